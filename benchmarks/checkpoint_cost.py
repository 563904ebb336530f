"""Time what checkpoints cost a run: none, written by the thread that trains, and written in the background.

    python benchmarks/checkpoint_cost.py
    python benchmarks/checkpoint_cost.py --device cuda model=stargan_v2 data.image_size=256

The training step is the model's own, on one batch again and again, so that loading costs nothing. The ways take turns,
A B C A B C. A turn is one checkpoint and ``--iterations`` iterations after it. It ends when the last iteration is done
and the checkpoint is on the disk. Two times are taken: by the clock, and of the processor for the thread that trains.
The second one also means something beside other work. On a quiet machine the first one counts, since a thread in the
background takes memory bandwidth and, without a free core, time. The cost is the median over the rounds beyond a turn
without a checkpoint, in percent of ``--every`` iterations.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from translate.config.command_line import configuration
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.background import BackgroundWriter
from translate.training import build

DEFAULT = ["model=stargan_v2_small", "data=critters", "data.image_size=64", "data.batch_size=4"]


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Step:
    """An iteration of a model on one batch, again and again."""

    def __init__(self, words: list[str], device: torch.device) -> None:
        config = configuration([*words, "trainer=cpu" if device.type == "cpu" else "trainer=gpu"])
        data = build.build_data(config)
        self.model: TranslationModel = build.build_model(config).to(device)
        data.setup("fit")
        batch = next(iter(data.train_dataloader()))
        self.batch = data.augment(data.transfer_batch_to_device(batch, device, 0))
        self.device = device

    def __call__(self) -> None:
        """Do an iteration."""
        self.model.training_step(self.batch, 0)


def turn(step: Step, iterations: int, write: Callable[[], None], end: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of a checkpoint and some iterations after it, by the clock and of this thread."""
    synchronize(step.device)
    began, worked = time.perf_counter(), time.thread_time()
    write()
    for _ in range(iterations):
        step()
    synchronize(step.device)
    end()
    return time.perf_counter() - began, time.thread_time() - worked


def main() -> None:
    """Print a table of the ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--every", type=int, default=500, help="iterations between checkpoints, of the cost")
    parser.add_argument("--iterations", type=int, default=30, help="iterations of a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--threads", type=int, default=1)
    arguments, words = parser.parse_known_args()
    torch.set_num_threads(arguments.threads)
    step = Step(words or DEFAULT, torch.device(arguments.device))
    writer = BackgroundWriter()
    with tempfile.TemporaryDirectory(prefix="checkpoints_") as place:
        path = Path(place) / "checkpoint.safetensors"

        def capture() -> None:
            checkpoints.write(checkpoints.capture(step.model, (), {}), path)

        def hand_over() -> None:
            writer.write(checkpoints.state_of(step.model, (), {}), path)

        ways: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "none": (lambda: None, lambda: None),
            "on the training thread": (capture, lambda: None),
            "in the background": (hand_over, writer.wait),
        }
        for write, end in ways.values():  # memory and compiled kernels are there afterwards
            turn(step, 3, write, end)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, (write, end) in ways.items():
                times[name].append(turn(step, arguments.iterations, write, end))
        size = path.stat().st_size / 1e6
    print(f"{' '.join(words or DEFAULT)}, {arguments.device}, a checkpoint of {size:.0f} MB")
    print("| checkpoints | s of the clock | s of the thread | cost, clock | cost, thread |")
    print("| --- | ---: | ---: | ---: | ---: |")
    medians = {name: [statistics.median(each) for each in zip(*pairs, strict=True)] for name, pairs in times.items()}
    base = medians["none"]
    for name, values in medians.items():
        share = arguments.iterations / arguments.every
        costs = [share * (value / none - 1) for value, none in zip(values, base, strict=True)]
        print(f"| {name} | {values[0]:.2f} | {values[1]:.2f} | {100 * costs[0]:+.2f} % | {100 * costs[1]:+.2f} % |")
    clock = [seconds for seconds, _ in times["none"]]
    print(f"the slowest turn without a checkpoint takes {max(clock) / min(clock):.2f} times the fastest one")


if __name__ == "__main__":
    main()
