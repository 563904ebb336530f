"""Measure how the speed grows with the number of devices, each number in processes of its own.

Weak scaling keeps the batch of a device: N devices take a batch N times as large, at best in the time of one. Strong
scaling keeps the global batch: N devices take it at best in 1 / N of the time. The efficiency is the fraction of the
best speed: `E_weak = t(1) / t(N)`, `E_strong = t(1) / (N t(N))`, with the seconds t of an iteration.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from translate.config.schema import RunConfig
from translate.errors import Phrase, UserError
from translate.profiling.compare import Side, measured
from translate.training import build

WEAK, STRONG = "weak", "strong"
KEY = "benchmark.devices"


@dataclass(frozen=True)
class Point:
    """One setting of a scaling measurement: the number of devices, and the global batch."""

    mode: str
    devices: int
    batch_size: int

    def words(self) -> tuple[str, ...]:
        """Return the overrides of this setting."""
        return (f"trainer.devices={self.devices}", f"data.batch_size={self.batch_size}")


def points(config: RunConfig, devices: Sequence[int]) -> list[Point]:
    """Return the settings to measure: one device, then weak and strong scaling. UserError for wrong numbers."""
    batch, available = config.data.batch_size, torch.cuda.device_count()
    if len(devices) < 2 or devices[0] != 1 or list(devices) != sorted(set(devices)):
        raise UserError(key=KEY, found=list(devices), expected="1 and larger numbers, such as [1,2,4,8]")
    if build.trains_on_gpu(config.trainer) and devices[-1] > available:
        raise UserError(key=KEY, found=devices[-1], expected=Phrase(f"at most {available}, the GPUs of this machine"))
    parts = devices[-1] * config.trainer.accumulate
    if uneven := [n for n in devices if batch % (n * config.trainer.accumulate)]:
        raise UserError(
            f"strong scaling divides the batch among {uneven[0]} devices",
            key="data.batch_size",
            found=batch,
            expected=f"a multiple of {uneven[0] * config.trainer.accumulate}",
            fix=f"set data.batch_size={parts * -(-batch // parts)}",
        )
    several = devices[1:]
    weak, strong = ([Point(mode, n, batch * (n if mode == WEAK else 1)) for n in several] for mode in (WEAK, STRONG))
    return [Point(WEAK, 1, batch), *weak, *strong]


def measure(
    words: Sequence[str], settings: Sequence[Point], rounds: int, own: Sequence[str]
) -> Iterator[tuple[Point, dict[str, Any]]]:
    """Measure every setting once a round, in reversed order in every other round; ``own`` are words of benchmark."""
    for number in range(rounds):
        for point in settings if number % 2 == 0 else reversed(settings):
            yield point, measured(Side((*words, *point.words())), own)


def summary(found: Sequence[tuple[Point, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each setting: the medians over rounds, and the efficiency; one device is in both modes."""
    seconds: dict[Point, list[float]] = {}
    for point, results in found:
        seconds.setdefault(point, []).append(float(results["seconds_per_iteration"]))
    median = {point: statistics.median(values) for point, values in seconds.items()}
    (single,) = (point for point in median if point.devices == 1)
    rows = []
    for mode in (WEAK, STRONG):
        ordered = sorted((p for p in median if p.devices > 1 and p.mode == mode), key=lambda p: p.devices)
        for point in (Point(mode, 1, single.batch_size), *ordered):
            took = median[single if point.devices == 1 else point]
            ideal = median[single] * point.batch_size / single.batch_size / point.devices
            images = point.batch_size / took
            rows.append({**asdict(point), "seconds": took, "images_per_second": images, "efficiency": ideal / took})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a summary for the terminal."""
    cells = [("scaling", "devices", "batch", "seconds an iteration", "images a second", "efficiency")]
    for row in rows:
        numbers = (f"{row['seconds']:.4g}", f"{row['images_per_second']:.4g}", f"{row['efficiency']:.1%}")
        cells.append((row["mode"], str(row["devices"]), str(row["batch_size"]), *numbers))
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    )
