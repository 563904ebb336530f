"""The typed, frozen configuration of a run, and its form on disk.

On disk and on the command line a node is flat: `model` holds the common keys below and, beside them, the
arguments of the registry entry that `model.name` names; in `ModelConfig` those are `arguments`. A field
without a default must stand in the configuration: no key is optional by absence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from translate.config.renamed import rename_saved
from translate.registry.registry import MODELS, NETWORKS, Registry

INJECTED_INTO_MODEL = ("networks", "optimizers", "losses", "weights", "seed")
"""Arguments of every model that no key of its own gives."""


@dataclass(frozen=True)
class ModelConfig:
    """What learns: networks and optimizers by role, losses by slot, weights by phase and term."""

    name: str  # key of MODELS
    networks: dict[str, Any]  # role -> {name: key of NETWORKS, ...its arguments}
    optimizers: dict[str, Any]  # role -> {_target_: import path, ...its arguments}
    losses: dict[str, Any]  # slot -> {name: key of LOSSES, ...its arguments}
    weights: dict[str, Any]  # phase -> term -> number or schedule
    arguments: dict[str, Any] = field(default_factory=dict)  # of the MODELS entry


@dataclass(frozen=True)
class DataConfig:
    """What it learns from, and how it is fed."""

    name: str  # key of DATASETS
    image_size: int  # height and width in pixels
    domains: list[str] | None  # null: as found; filled in before a run starts
    labels: Literal["attributes", "domain"] | None  # what StarGAN v1 translates; null: attributes, else the domain
    batch_size: int  # of all processes together
    num_workers: int  # loader processes per training process
    augment: Literal["crop_flip", "resize_crop_flip", "flip", "none"]  # of training images
    cache: str | None  # folder of decoded images; null: decode every time they are needed
    max_bad_fraction: float  # largest tolerated fraction of unreadable files
    num_domains: int | None = None  # found in the data
    label_sets: list[dict[str, Any]] | None = None  # found: {kind: attributes or classes, names} of each data set
    num_labels: int | None = None  # found: the names of all label sets together
    epoch_size: int | None = None  # found: the images of the largest domain
    arguments: dict[str, Any] = field(default_factory=dict)  # of the DATASETS entry


@dataclass(frozen=True)
class TrainerConfig:
    """Where it runs, and how; the words down to `deterministic` are those of Lightning's Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: int | list[int] | Literal["auto"]
    num_nodes: int
    strategy: str
    precision: Literal["32-true", "bf16-mixed", "64-true"]
    deterministic: bool | Literal["warn"]
    threads: int | None  # CPU threads of each process; null: torch's choice
    accumulate: int = 1  # parts in which each process trains its share of the batch: less memory, the same update
    channels_last: bool | None = None  # how images lie in memory; null: as the processor is quicker
    convolutions: Literal["fast", "library"] = "fast"  # who chooses how they are computed on a CPU
    keep_memory: bool = True  # on a CPU, freed memory is kept for what comes next, not given back to the system
    activation_checkpointing: bool = (
        False  # keep what goes into stages alone, and compute the rest again: less memory, more time
    )
    compile: bool = False  # torch.compile the networks: a minute or two at the start, faster iterations
    hang_timeout: float | None = 1800.0  # seconds that the ranks wait for one of them at a collective call; null: any


@dataclass(frozen=True)
class RunConfig:
    """Everything a run is made of. Cadences are in iterations; null switches one off."""

    model: ModelConfig
    data: DataConfig
    trainer: TrainerConfig
    logger: dict[str, Any]  # name -> {_target_: import path, ...}
    metrics: dict[str, Any]  # label -> {name: key of METRICS, ...}
    seed: int
    variant: Literal["paper", "official_code"]  # which one to follow where a paper and its code differ
    iterations: int
    log_every: int
    sample_every: int | None
    checkpoint_every: int
    keep_checkpoints: int
    evaluate_every: int | None
    best: str | None  # a figure, or a metric that has one: by it the best checkpoint is kept
    resume: str | None  # a run folder, or "auto"
    plugins: list[str]
    name: str | None  # null: the experiment, else the model; filled in
    folder: str | None  # null: runs/<name>/<time>


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
    }
)
"""Keys that cannot change the result: two runs that agree without them are the same experiment."""


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain, flat mappings: what is written to disk and what `check` accepts."""
    tree: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, ModelConfig | DataConfig | TrainerConfig):
            node = {f.name: getattr(value, f.name) for f in fields(value)}
            node.update(node.pop("arguments", {}))
            value = node
        tree[item.name] = value
    return tree


def to_yaml(config: RunConfig) -> str:
    """Return the configuration as YAML text, complete and without interpolations."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what `read_yaml` would take for a number, such as 1e5, and escapes what cannot be printed."""

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
    """Return the plain mapping in a saved `config.yaml`; floats without a point (1e-06) stay floats.

    Trainer keys that are newer than the file have their defaults, which change nothing.
    """
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(tree, dict)
    found = rename_saved({str(key): value for key, value in tree.items()})
    if isinstance(trainer := found.get("trainer"), dict):
        found["trainer"] = {f.name: f.default for f in fields(TrainerConfig) if f.default is not MISSING} | trainer
    return found


def _spelt_out(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the defaults of model and networks, which it need not say or could not yet."""
    found = rename_saved(tree)
    if isinstance(model := found.get("model"), dict):
        found["model"] = _defaults(MODELS, model, INJECTED_INTO_MODEL) | model
        if isinstance(networks := model.get("networks"), dict):
            found["model"]["networks"] = {
                role: _defaults(NETWORKS, node) | node if isinstance(node, dict) else node
                for role, node in networks.items()
            }
    return found


def _defaults(registry: Registry, node: Mapping[str, Any], but: Sequence[str] = ()) -> dict[str, Any]:
    """Return the defaults of the registered thing that a node names; none of one that is not there any more."""
    entry = registry.index().get(str(node.get("name")))
    parameters = () if entry is None else entry.parameters
    return {p.name: p.default for p in parameters if not p.required and p.is_literal and p.name not in but}


def experiment_key(tree: Mapping[str, Any], without: frozenset[str] = RESULT_NEUTRAL_KEYS) -> dict[str, Any]:
    """Return what identifies the experiment: a flat mapping `a.b.c -> value` without the given keys.

    Missing keys of model and networks have their defaults, so a run that is older than a key is still recognised.
    """
    found: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if path in without:
            return
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(value, f"{path}.{key}" if path else str(key))
        else:
            found[path] = list(node) if isinstance(node, tuple) else node

    walk(_spelt_out(tree), "")
    return found
