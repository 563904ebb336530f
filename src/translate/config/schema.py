"""The typed, frozen configuration of a run, and its form on disk.

On disk and on the command line a node is flat: ``model`` contains the keys of `ModelConfig` and the arguments of the
part ``model.name``. In `ModelConfig` these arguments are the field ``arguments``. Every field without a default is
required: no key is optional by absence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from translate.config.length import UNKNOWN_LENGTH
from translate.config.renamed import rename_saved
from translate.registry.registry import MODELS, NETWORKS, Registry
from translate.sizes import SizeLike

INJECTED_INTO_MODEL = ("networks", "optimizers", "losses", "weights", "seed")
"""Arguments of every model that do not come from keys of the same name."""


@dataclass(frozen=True)
class ModelConfig:
    """The model: networks and optimizers by role, losses by slot, weights by phase and term."""

    name: str  # key of MODELS
    networks: dict[str, Any]  # role -> {name: key of NETWORKS, ...its arguments}
    optimizers: dict[str, Any]  # role -> {_target_: import path, ...its arguments}
    losses: dict[str, Any]  # slot -> {name: key of LOSSES, ...its arguments}
    weights: dict[str, Any]  # phase -> term -> number or schedule
    arguments: dict[str, Any] = field(default_factory=dict)  # of the MODELS entry


@dataclass(frozen=True)
class DataConfig:
    """The data set and its loader."""

    name: str  # key of DATASETS
    image_size: "SizeLike"  # of the images that networks see
    domains: list[str] | None  # null: all domains of the data set; filled in before a run starts
    labels: (
        Literal["attributes", "domain"] | None
    )  # labels of StarGAN v1; null: attributes if the data set has any, otherwise the domain
    batch_size: int  # total of all processes
    num_workers: int  # loader processes per training process
    augment: Literal["crop_flip", "resize_crop_flip", "flip", "crop_turn", "none"]  # of training images
    cache: str | None  # folder of decoded images; null: decode at every use
    max_bad_fraction: float  # largest tolerated fraction of unreadable files
    load_size: "SizeLike | None" = None  # of resize_crop_flip: the size before the crop; null: 286/256 of image_size
    num_domains: int | None = None  # read from the data
    label_sets: list[dict[str, Any]] | None = None  # read from the data: {kind: attributes or classes, names} per set
    num_labels: int | None = None  # read from the data: the number of names in all label sets
    epoch_size: int | None = None  # read from the data: the number of images of the largest domain
    arguments: dict[str, Any] = field(default_factory=dict)  # of the DATASETS entry


@dataclass(frozen=True)
class TrainerConfig:
    """Devices, precision and memory. The keys down to ``deterministic`` are arguments of Lightning's Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: int | list[int] | Literal["auto"]
    num_nodes: int
    strategy: str
    precision: Literal["32-true", "bf16-mixed", "64-true"]
    deterministic: bool | Literal["warn"]
    threads: int | None  # CPU threads of each process; null: torch's choice
    accumulate: int = 1  # microbatches of each process: less memory, the same update
    channels_last: bool | None = None  # memory layout of images; null: the faster layout of the device
    convolutions: Literal["fast", "library"] = "fast"  # convolutions on a CPU: our choice of algorithms, or torch's
    keep_memory: bool = True  # on a CPU, the process keeps freed memory instead of returning it to the system
    activation_checkpointing: bool = False  # recompute activations in the backward pass: less memory, more time
    compile: bool = False  # torch.compile the networks: one to two minutes at the start, then faster iterations
    hang_timeout: float | None = 1800.0  # seconds that ranks wait for a rank at a collective call; null: no limit


@dataclass(frozen=True)
class StartConfig:
    """Where trained networks begin: with the weights of another run, instead of random ones."""

    weights: str  # a run folder, a checkpoint or a weights file; a file once it is resolved
    roles: dict[str, str]  # role -> role of the source; a list, or null for all roles that both have, is resolved
    sha256: str | None = None  # of the file; filled in


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run. Intervals are in iterations; null switches the event off.

    `sample_every` may be "doubling": at iterations 8, 16, 32, 64 and so on.
    """

    model: ModelConfig
    data: DataConfig
    trainer: TrainerConfig
    logger: dict[str, Any]  # name -> {_target_: import path, ...}
    metrics: dict[str, Any]  # label -> {name: key of METRICS, ...}
    seed: int
    variant: Literal["paper", "official_code"]  # the source of a setting where a paper and its official code differ
    iterations: int  # 0 while a budget has yet to decide, null in files
    budget: str | None  # a duration; from it the number of iterations is computed once
    log_every: int
    sample_every: int | Literal["doubling"] | None
    checkpoint_every: int
    keep_checkpoints: int
    evaluate_every: int | None
    best: str | None  # the score, or a metric with one score, that selects the best checkpoint
    resume: str | None  # a run folder, or "auto"
    plugins: list[str]
    name: str | None  # null: the experiment, else the model; filled in
    folder: str | None  # null: runs/<name>/<time>
    start_from: StartConfig | None = None  # weights with which trained networks begin; null: random ones


RESULT_NEUTRAL_KEYS = frozenset(
    {
        "data.num_workers",
        "data.cache",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.strategy",
        "trainer.threads",
        "trainer.accumulate",
        "trainer.channels_last",
        "trainer.compile",
        "trainer.convolutions",
        "trainer.hang_timeout",
        "trainer.keep_memory",
        "trainer.activation_checkpointing",
        "logger",
        "metrics",
        "budget",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep_checkpoints",
        "evaluate_every",
        "best",
        "resume",
        "plugins",
        "name",
        "folder",
        "start_from.weights",
    }
)
"""Keys that do not change the result: two runs that differ only in these keys are the same experiment."""


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain, flat mappings, the form on disk and the input of `check`."""
    tree: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, ModelConfig | DataConfig | TrainerConfig | StartConfig):
            node = {f.name: getattr(value, f.name) for f in fields(value)}
            node.update(node.pop("arguments", {}))
            value = node
        tree[item.name] = value
    if config.iterations == UNKNOWN_LENGTH:
        tree["iterations"] = None
    return tree


def to_yaml(config: RunConfig) -> str:
    """Return the configuration as YAML text, complete and without interpolations."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quote strings that `read_yaml` would read as numbers, such as 1e5, and escape unprintable characters."""

        def represent_str(self, data: str) -> yaml.ScalarNode:
            style = '"' if not data.isprintable() else "'" if _is_number(data) else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style)

    Dumper.add_representer(str, Dumper.represent_str)
    return yaml.dump(to_mapping(config), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the plain mapping of a saved ``config.yaml``; floats without a point (1e-06) stay floats.

    Keys that are newer than the file get their defaults, which do not change results.
    """
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(tree, dict)
    config = {"budget": None} | rename_saved({str(key): value for key, value in tree.items()})
    if isinstance(trainer := config.get("trainer"), dict):
        config["trainer"] = {f.name: f.default for f in fields(TrainerConfig) if f.default is not MISSING} | trainer
    return config


def _with_defaults(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the defaults of model and networks that it omits."""
    config = {"start_from": None} | rename_saved(tree)
    if isinstance(model := config.get("model"), dict):
        config["model"] = _defaults(MODELS, model, INJECTED_INTO_MODEL) | model
        if isinstance(networks := model.get("networks"), dict):
            config["model"]["networks"] = {
                role: _defaults(NETWORKS, node) | node if isinstance(node, dict) else node
                for role, node in networks.items()
            }
    return config


def _defaults(registry: Registry, node: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the default arguments of the part that a node names; {} for a part that does not exist any more."""
    entry = registry.index().get(str(node.get("name")))
    parameters = () if entry is None else entry.parameters
    return {p.name: p.default for p in parameters if not p.required and p.is_literal and p.name not in without}


def experiment_key(tree: Mapping[str, Any], without: frozenset[str] = RESULT_NEUTRAL_KEYS) -> dict[str, Any]:
    """Return the identity of an experiment: a flat mapping ``a.b.c -> value`` without the keys in ``without``.

    Missing keys of model and networks get their defaults, so a run that is older than a key keeps its identity.
    """
    values: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if path in without:
            return
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(value, f"{path}.{key}" if path else str(key))
        else:
            values[path] = list(node) if isinstance(node, tuple) else node

    walk(_with_defaults(tree), "")
    return values
