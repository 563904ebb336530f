"""Time training iterations by how idle OpenMP threads wait, alone and beside processes that keep the processors busy.

    python benchmarks/busy_machine.py [model=stargan_v2_small] [threads=2] [busy=0,4] [rounds=3]

A parallel operation ends when its last thread does. Threads that have ended early wait for the next operation. While
they spin, they start it at once, but take a processor from those that still compute. GNU's OpenMP lets them spin for
some milliseconds and then sleep; the command line makes that 10,000 turns (`GOMP_SPINCOUNT`) unless the environment
says otherwise; with `OMP_WAIT_POLICY=passive` they sleep at once. Each measurement is a process of its own; the choices
take turns. Ratios are to the default of the library.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ITERATIONS = 8
CHOICES = {"library": {}, "10,000 turns": {"GOMP_SPINCOUNT": "10000"}, "sleep": {"OMP_WAIT_POLICY": "passive"}}
SPIN = "while True: pass"
MEASURE = """
import sys, time
import torch
from translate.config.compose import load
from translate.training import build
model, threads, iterations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
config = load([f"model={model}", "data=critters", "data.num_images=60", "data.num_val_images=12", "trainer=cpu"])
data, trained = build.build_data(config), build.build_model(config)
batch = data.augment(data.iterations()[0])
trained.training_step(batch, 0)
began = time.perf_counter()
for k in range(iterations):
    trained.training_step(batch, k)
print((time.perf_counter() - began) / iterations)
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes computing."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def seconds(model: str, threads: int, variables: dict[str, str]) -> float:
    """Return the seconds of an iteration in a new process with these environment variables."""
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    words = [sys.executable, "-c", MEASURE, model, str(threads), str(ITERATIONS)]
    child = subprocess.run(words, env=environment | variables, capture_output=True, text=True, check=True)
    return float(child.stdout)


def main() -> None:
    """Measure and print a table."""
    options = {"model": "stargan_v2_small", "threads": "2", "busy": "0,4", "rounds": "3"}
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key not in options:
            raise SystemExit(f"unknown word {word!r}; known: {', '.join(f'{each}=' for each in options)}")
        options[key] = value
    print(f"| busy processes | library, s | {' | '.join(list(CHOICES)[1:])} |")
    print("| --- | ---: | ---: | ---: |")
    for count in map(int, options["busy"].split(",")):
        measured: dict[str, list[float]] = {choice: [] for choice in CHOICES}
        with busy(count):
            for _ in range(int(options["rounds"])):
                for choice, variables in CHOICES.items():
                    measured[choice].append(seconds(options["model"], int(options["threads"]), variables))
        first, *others = measured.values()
        ratios = [statistics.median(b / a for a, b in zip(first, other, strict=True)) for other in others]
        print(
            f"| {count} | {statistics.median(first):.3f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
