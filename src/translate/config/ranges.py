"""Ranges of the numbers in a configuration, by the names of their keys."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from translate.errors import Problem
from translate.files.reading import is_finite

LARGEST = 1_000_000_000
"""The largest count, and the largest number of any other argument."""

LARGEST_SIZE = 65_536
"""The largest width, side of an image and number of channels."""

DEEPEST = 1_000
"""The largest number of layers of one kind."""

LARGEST_WEIGHT = 10**15  # of a term; that of Johnson's style is 1e10

GROUPS = ("model", "data", "trainer", "metrics")
COUNTS = ("iterations", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "evaluate_every")
BOUNDED_ELSEWHERE = ("data.image_size", "data.load_size", "data.batch_size", "data.num_workers", "trainer.num_nodes")
"""Keys whose smallest value `translate.config.rules` checks."""

LARGEST_RATE = 1e20  # single precision overflows beyond it at once
LARGEST_DECAY = 100.0


@dataclass(frozen=True)
class Range:
    """The values that a number can have; ``open_*`` leave out the bound itself."""

    least: float = -LARGEST
    most: float = LARGEST
    open_least: bool = False
    open_most: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.least if self.open_least else value >= self.least
        return above and (value < self.most if self.open_most else value <= self.most)

    def expected(self, value: float) -> str:
        """Return what is expected instead of a value out of the range; a limit that nobody comes near is left out."""
        least = f"{'above' if self.open_least else 'at least'} {_number(self.least)}"
        most = f"{'below' if self.open_most else 'at most'} {_number(self.most)}"
        if self.least in (-self.most, -math.inf) or (self.most >= LARGEST_SIZE and value > self.most):
            return most
        return least if self.most >= LARGEST_SIZE else f"{least} and {most}"


COUNT, SIZE, DEPTH = Range(1), Range(1, LARGEST_SIZE), Range(0, DEEPEST)
FROM_ZERO, POSITIVE = Range(0), Range(0, open_least=True)
FRACTION, MOMENTUM = Range(0, 1), Range(0, 1, open_most=True)
BETWEEN = Range(0, 1, open_least=True, open_most=True)
ANY_SEED = Range(0, 2**64, open_most=True)
RATE, DECAY = Range(0, LARGEST_RATE), Range(0, LARGEST_DECAY)
WEIGHT = Range(-LARGEST_WEIGHT, LARGEST_WEIGHT)

ARGUMENTS = {
    **dict.fromkeys(("num_images", "num_val_images"), Range(1, 10_000_000)),
    **dict.fromkeys(("num_sources", "num_iterations", "num_subsets", "tiles"), COUNT),
    **dict.fromkeys(("subset_size", "kept", "nearest", "r1_every", "num_critic", "num_places", "scale"), COUNT),
    **dict.fromkeys(("num_features",), SIZE),
    **dict.fromkeys(("num_layers", "num_scales", "num_downsamplings"), Range(1, DEEPEST)),
    **dict.fromkeys(("num_blocks", "num_bottleneck", "num_shared", "num_unshared", "taps"), DEPTH),
    **dict.fromkeys(("num_logits", "num_outputs"), FROM_ZERO),
    **dict.fromkeys(
        ("num_domains", "num_labels", "num_sets", "pool_size", "border", "w_hpf", "noise", "reversal"), FROM_ZERO
    ),
    **dict.fromkeys(("angles", "tolerance", "weights"), FROM_ZERO),
    **dict.fromkeys(("adaptive_layer_weights", "identity_layer_weights"), FROM_ZERO),
    **dict.fromkeys(("temperature", "learning_rate", "order", "radius_x", "radius_y", "softness"), POSITIVE),
    **dict.fromkeys(("dropout", "ema_decay"), MOMENTUM),
    **dict.fromkeys(("region", "max_bad_fraction"), FRACTION),
    "fine_width": Range(0, LARGEST_SIZE),
    "val_fraction": BETWEEN,
    "crop": COUNT,
    "batch_size": COUNT,
    "accumulate": COUNT,
    "num_workers": Range(0, 1_024),
    "threads": Range(1, 4_096),
    "num_nodes": SIZE,
    "devices": Range(-1, LARGEST_SIZE),
    "gradient_clip": POSITIVE,
}
"""Ranges of arguments of registered parts, by name; `range_of` adds widths, sizes, channels and seeds."""

OPTIONAL = ("ema_decay", "gradient_clip")
"""Arguments that null switches off."""

OPTIMIZERS = {
    **dict.fromkeys(("betas", "momentum", "beta1", "beta2", "alpha", "rho", "dampening"), MOMENTUM),
    **dict.fromkeys(("eps", "weight_decay", "lr_decay", "lambd", "initial_accumulator_value"), DECAY),
    "lr": RATE,
}
"""Ranges of arguments of torch's optimizers, by name."""

RATE_SCHEDULES = {**dict.fromkeys(("value", "start", "end"), RATE), "factor": DECAY}
"""Ranges of the numbers of a schedule of learning rates; `translate.schedules` checks its iterations."""


def range_of(name: str) -> Range | None:
    """Return the range of an argument of a registered part, None for an unknown name."""
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    if name.endswith(("width", "_size", "_channels")):
        return SIZE
    return ANY_SEED if name.endswith("seed") else None


def numbers_are_in_range(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Numbers are finite, and rates, decays, sizes and counts have values that can be meant."""
    for key in COUNTS:
        found = values.get(key)
        if isinstance(found, int) and found > LARGEST:
            yield Problem(key=key, found=found, expected=f"at most {LARGEST:,}")
    for group in GROUPS:
        node = values.get(group) or {}
        flat = {**{key: value for key, value in node.items() if key != "arguments"}, **(node.get("arguments") or {})}
        for path, value in _numbers(flat, group):
            if (expected := _expected(path, value)) is not None:
                yield Problem(key=path, found=value, expected=expected)


def _numbers(node: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """Yield the path of each number and the number; elements of a list have the path of the list."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _numbers(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _numbers(value, path)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node


def _expected(path: str, value: int | float) -> str | None:
    """Return what a key expects if the value is out of its range, else None."""
    name = path.rpartition(".")[2]
    is_weight, is_rate = path.startswith("model.weights."), ".lr." in path
    if not is_finite(value):
        is_schedule = is_weight or is_rate or name == "lr"
        return None if is_schedule else "a finite number"  # schedules are checked where they are read
    if is_weight:
        allowed = WEIGHT
    elif path.startswith("model.optimizers."):
        allowed = (RATE_SCHEDULES if is_rate else OPTIMIZERS).get(name, Range())
    elif path in BOUNDED_ELSEWHERE:
        allowed = replace(range_of(name) or Range(), least=-math.inf)
    else:
        allowed = range_of(name) or Range()
    if value in allowed:
        return None
    return allowed.expected(value) + (", or null" if name in OPTIONAL else "")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
