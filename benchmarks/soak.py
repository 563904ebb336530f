"""Train a small run for an hour and check that its memory, file handles and threads do not grow.

    python benchmarks/soak.py
    python benchmarks/soak.py --minutes 240  # in less than half an hour the pools of memory still fill

The run writes a checkpoint every 20 iterations, in the background. It writes sample grids and is evaluated often. The
script reads /proc of the run and its loader process every few seconds: memory, open files and threads, added up. The
resident memory is shown beside the processes' own, since the system takes back pages of files when memory is short.
After a warm-up it takes the median of the slopes between all pairs of readings (Theil and Sen). It fails where a slope
is above its bound, and where the run ends by itself. Linux only.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from translate.runs.folder import RunFolder

SETTINGS = [
    "model=cyclegan_small",
    "model.pool_size=5",
    "model.networks.generator_ab.base_width=4",
    "model.networks.generator_ab.num_downsamplings=3",
    "model.networks.discriminator_a.base_width=4",
    "data=critters",
    "data.domains=[cat,rabbit]",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=1",
    "metrics.local.num_iterations=20",
    "metrics.local.num_sources=6",
    "trainer=cpu",
    "trainer.threads=1",
    "iterations=100000000",
    "log_every=10",
    "checkpoint_every=20",
    "keep_checkpoints=2",
    "sample_every=200",
    "evaluate_every=1000",
    "best='domain accuracy'",
]

BOUNDS = {"own memory in MiB": 30.0, "open files": 2.0, "threads": 2.0}
"""The largest growth an hour."""

WARM_UP = 0.2  # fraction of the time in which caches and pools may fill


@dataclass(frozen=True)
class Reading:
    """The state of a process and its children at one moment."""

    minute: float
    iteration: int
    resident: float  # MiB, with pages of files such as libraries, which the system takes back when memory is short
    own: float  # MiB, without them
    files: int
    threads: int

    @property
    def values(self) -> tuple[float, float, float]:
        """Return the values in the order of `BOUNDS`."""
        return self.own, float(self.files), float(self.threads)


def family(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def read(pid: int, folder: Path, began: float) -> Reading:
    """Return the present state of a run."""
    resident, own, files, threads = 0.0, 0.0, 0, 0
    for each in family(pid):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{each}/status").read_text().splitlines())
        resident += int(status["VmRSS"].split()[0]) / 1024
        own += (int(status["RssAnon"].split()[0]) + int(status["RssShmem"].split()[0])) / 1024
        threads += int(status["Threads"])
        files += len(os.listdir(f"/proc/{each}/fd"))
    iteration = RunFolder(folder).newest_iteration() or 0
    return Reading((time.monotonic() - began) / 60, iteration, resident, own, files, threads)


def growth(readings: list[Reading]) -> dict[str, float]:
    """Return the growth of each value in an hour, the median over all pairs of readings."""
    slopes: dict[str, float] = {}
    for place, name in enumerate(BOUNDS):
        pairs = combinations([(r.minute / 60, r.values[place]) for r in readings], 2)
        slopes[name] = statistics.median((after - before) / (end - start) for (start, before), (end, after) in pairs)
    return slopes


def table(readings: list[Reading], rows: int = 13) -> str:
    """Return evenly spaced readings as a table."""
    chosen = [readings[round(k * (len(readings) - 1) / (rows - 1))] for k in range(rows)]
    lines = ["| minute | iteration | resident MiB | own MiB | open files | threads |"]
    lines.append("|" + " ---: |" * 6)
    lines += [
        f"| {r.minute:.0f} | {r.iteration} | {r.resident:.1f} | {r.own:.1f} | {r.files} | {r.threads} |" for r in chosen
    ]
    return "\n".join(lines)


def soak(place: Path, minutes: float, every: float) -> list[Reading]:
    """Train for some minutes and return the readings since the first checkpoint; the run is ended by a signal."""
    folder = place / "run"
    command = [sys.executable, "-m", "translate", *SETTINGS, f"folder={folder}"]
    readings: list[Reading] = []
    with open(place / "output.txt", "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            while RunFolder(folder).newest_iteration() is None and process.poll() is None:
                time.sleep(0.5)
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60 and process.poll() is None:
                readings.append(read(process.pid, folder, began))
                print(readings[-1], file=sys.stderr, flush=True)
                time.sleep(every)
            process.send_signal(signal.SIGINT)
            code = process.wait(120)
        finally:
            process.kill()
            process.wait()
    if code != 128 + signal.SIGINT:
        raise SystemExit(
            f"the run ended by itself with exit code {code}:\n{(place / 'output.txt').read_text()[-3000:]}"
        )
    return readings


def main() -> int:
    """Print the table and the growth; return 1 if a value grows more than its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the run after its first checkpoint")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between readings")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak_") as place:
        readings = soak(Path(place), arguments.minutes, arguments.every)
    warm = readings[int(WARM_UP * len(readings)) :]
    print(table(readings))
    grown = growth(warm)
    for name, slope in grown.items():
        print(f"{name}: {slope:+.2f} an hour, bound {BOUNDS[name]:g}")
    return int(any(slope > BOUNDS[name] for name, slope in grown.items()))


if __name__ == "__main__":
    sys.exit(main())
