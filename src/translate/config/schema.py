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
from translate.errors import UserError, first_line, without_secrets
from translate.files.yaml_files import checked_text
from translate.registry.registry import MODELS, NETWORKS, Registry
from translate.runs.saved_config import require_shape
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
    crop_until: int | None = None  # of resize_crop_flip: the iteration from which images are not cropped; null: never
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
    threads: int | None  # CPU threads of each process, for arithmetic and decoding; null: torch's choice, one a CPU
    accumulate: int = 1  # microbatches of each process: less memory, the same update
    channels_last: bool | None = None  # memory layout of images; null: the faster layout of the device
    convolutions: Literal["fast", "library"] = "fast"  # convolutions on a CPU: our choice of algorithms, or torch's
    tf32: bool = True  # on a GPU, float32 convolutions and matrix products round their factors to 10 bits
    cudnn_benchmark: bool = (
        True  # on a GPU, time the algorithms of a convolution and take the fastest; not if deterministic
    )
    fused_norms: bool = False  # on a GPU: instance norm, scale, shift and activation in one pass, by Triton
    graphs: bool | None = None  # on one GPU: capture iterations as CUDA graphs and replay these; null: where possible
    keep_memory: bool = True  # on a CPU, the process keeps freed memory instead of returning it to the system
    activation_checkpointing: bool = False  # recompute activations in the backward pass: less memory, more time
    compile: bool = False  # torch.compile the networks: one to two minutes at the start, then faster iterations
    offload_domains: bool = False  # networks of domains that an iteration does not use wait in CPU memory
    emulate_bf16: bool = False  # allow bf16-mixed on a CPU without instructions for it: some 30 times slower
    hang_timeout: float | None = 1800.0  # seconds that ranks wait for a rank at a collective call; null: no limit


@dataclass(frozen=True)
class StartConfig:
    """Where trained networks begin: with the weights of another run, instead of random ones."""

    weights: str  # a run folder, checkpoint, weights file, shipped name or hf:// address; a file once it is resolved
    roles: dict[str, str]  # role -> role of the source; a list, or null for all roles that both have, is resolved
    sha256: str | None = None  # of the file; filled in


@dataclass(frozen=True)
class ExpectedConfig:
    """Scores that the runs of an experiment reach, by one protocol; see `config.expected`. `table` compares."""

    protocol: str
    seeds: list[int]  # of the runs over which the mean is taken
    scores: list[dict[str, Any]]  # {score, checkpoint: last or best, at_most or at_least or near, tolerance}


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
    expected: ExpectedConfig | None = None  # scores that `table` compares the runs with; null: nothing is expected
    trust: list[str] = field(default_factory=list)  # packages whose code may be loaded; only the command line sets it


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
        "trainer.fused_norms",
        "trainer.graphs",
        "trainer.emulate_bf16",
        "trainer.cudnn_benchmark",
        "trainer.convolutions",
        "trainer.hang_timeout",
        "trainer.keep_memory",
        "trainer.activation_checkpointing",
        "trainer.offload_domains",
        "logger",
        "metrics",
        "budget",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep_checkpoints",
        "evaluate_every",
        "best",
        "expected",
        "resume",
        "plugins",
        "trust",
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
        if isinstance(value, ModelConfig | DataConfig | TrainerConfig | StartConfig | ExpectedConfig):
            node = {f.name: getattr(value, f.name) for f in fields(value)}
            node.update(node.pop("arguments", {}))
            value = node
        tree[item.name] = value
    if config.folder is not None:
        tree["folder"] = without_secrets(config.folder)
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


def read_yaml(path: Path, needs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plain mapping of a saved ``config.yaml``; floats without a point (1e-06) stay floats.

    Keys that are newer than the file get their defaults, which do not change results. UserError for another file, for
    values of other kinds than a configuration has, and without the keys in ``needs``.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    text = checked_text(path)
    try:
        tree = OmegaConf.to_container(OmegaConf.create(text))
    except (OmegaConfBaseException, YAMLError, ValueError) as error:  # ValueError: a number of too many digits
        raise UserError(f"the file cannot be read ({first_line(error)})", key=str(path)) from error
    except AssertionError:  # a single number or truth value
        tree = None
    if not isinstance(tree, dict) or not tree:
        raise UserError("the file is not the configuration of a run", key=str(path), expected="a mapping")
    saved = {str(key): value for key, value in tree.items()}
    require_shape(saved, str(path), needs)
    return of_today(saved)


def of_today(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved configuration with the names of today, and with defaults of keys that are newer than it."""
    config = {"budget": None} | rename_saved(saved)
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

    Missing keys of model and networks get their defaults, and terms of weight zero are left out, so a run that is older
    than a key or a term keeps its identity.
    """
    values: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if path in without:
            return
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(value, f"{path}.{key}" if path else str(key))
        elif node != 0 or not path.startswith("model.weights."):
            values[path] = list(node) if isinstance(node, tuple) else node

    walk(_with_defaults(tree), "")
    return values
