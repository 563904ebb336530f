"""Time training iterations against the recipes written plainly: in turns, on the same random batches.

    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 1
    python benchmarks/against_plain.py stargan_v1 --size 128 --batch 16 --ours float32 bf16 compile bf16,compile
    python benchmarks/against_plain.py cyclegan --size 128 --batch 1 --rounds 5 --json figures.json
    python benchmarks/against_plain.py cyclegan --size 64 --operations
    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 8 --device cuda --ours tf32 bf16 bf16,compile

The networks have the published widths. The plain side is always float32 (without TF32), with images laid out plane by
plane and no fused optimizer. Each of ours has networks of its own and the settings that its words say. Every side is a
process of its own, since what a process has freed before decides how fast it gets memory. On a GPU, which all sides
share, memory is given back after a turn, and a turn begins with an iteration that is not timed. A side that needs more
memory than there is drops out.

    float32            as shipped
    tf32               products and convolutions in TF32 (GPUs)
    bf16               bfloat16 autocast, as trainer.precision=bf16-mixed
    compile            compiled networks, as trainer.compile=true
    planes, last       images laid out plane by plane or channels-last, as trainer.channels_last=false, true
    library            no fast convolutions on a CPU, as trainer.convolutions=library
    returning          memory goes back to the system when it is freed, as trainer.keep_memory=false
    lazy               R1 in one of 16 iterations (StarGAN v2), as model.r1_every=16: other mathematics
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import Connection
from typing import Any

import torch
from plain_cyclegan import PlainCycleGAN
from plain_stargan_v1 import PlainStarGANv1
from plain_stargan_v2 import PlainStarGANv2

from translate.config.compose import load
from translate.data.views.labelled import LabelledBatch
from translate.data.views.reference import ReferenceBatch
from translate.data.views.unpaired import UnpairedBatch
from translate.models.base import TranslationModel
from translate.profiling.timing import Operations
from translate.runs.environment import environment
from translate.training import build, cpu_process
from translate.training.failures import is_out_of_memory

COMMON = [
    "data=critters",
    "~recipe",
    "data.cache=null",
    "data.num_images=6",
    "data.num_val_images=6",
    "metrics=none",
    "trainer=cpu",
]
OVERRIDES = {
    "stargan_v2": ["model.weights.generator.diversity=1"],
    "stargan_v1": ["data.labels=attributes", "data.attributes=[smiling,glasses,bow,striped,dark_coat]"],
    "cyclegan": ["data.domains=[cat,rabbit]", "model.pool_size=0", "model.networks.generator_ab.num_blocks=6"],
}
WORDS = {
    "float32": [],
    "tf32": [],
    "bf16": ["trainer.precision=bf16-mixed"],
    "compile": ["trainer.compile=true"],
    "planes": ["trainer.channels_last=false"],
    "last": ["trainer.channels_last=true"],
    "library": ["trainer.convolutions=library"],
    "returning": ["trainer.keep_memory=false"],
    "lazy": ["model.r1_every=16"],
}
UPDATES = {"stargan_v1": 5}  # steps of an iteration in which every network learns; 1 of the others
TURN = {"cyclegan": 4}  # iterations of a turn, where one is short; 1 of the others
Step = Callable[[int], None]


class Batches:
    """Random batches of a model's type, the same for every side: functions of a number."""

    def __init__(self, size: int, batch: int, device: torch.device) -> None:
        self.size, self.batch, self.device = size, batch, device

    def image(self, k: int, number: int) -> torch.Tensor:
        """Return images (B, 3, S, S) in (-1, 1)."""
        draws = torch.Generator().manual_seed(9 * k + number)
        return torch.randn(self.batch, 3, self.size, self.size, generator=draws).tanh().to(self.device)

    def stargan_v2(self, k: int) -> ReferenceBatch:
        """Return a batch of StarGAN v2 with codes of length 16 and three domains."""
        draws = torch.Generator().manual_seed(k)
        codes = [torch.randn(self.batch, 16, generator=draws).to(self.device) for _ in range(2)]
        domains = [torch.randint(3, (self.batch,), generator=draws).to(self.device) for _ in range(2)]
        return ReferenceBatch(self.image(k, 0), *domains, self.image(k, 1), self.image(k, 2), *codes)

    def stargan_v1(self, k: int) -> tuple[LabelledBatch]:
        """Return a batch of StarGAN v1 with five attributes."""
        draws = torch.rand(2, self.batch, 5, generator=torch.Generator().manual_seed(k))
        return (LabelledBatch(self.image(k, 0), *(draws > 0.5).float().to(self.device)),)

    def cyclegan(self, k: int) -> UnpairedBatch:
        """Return a batch of CycleGAN."""
        return UnpairedBatch(self.image(k, 0), self.image(k, 1))


def plain_step(name: str, model: TranslationModel, batches: Batches) -> Step:
    """Return the plain step, from the weights that a model has."""
    states = {role: dict(model.network(role).named_parameters()) for role in model.roles}
    if name == "stargan_v2":
        rates = {"generator": 1e-4, "mapping": 1e-6, "style_encoder": 1e-4, "discriminator": 1e-4}
        v2 = PlainStarGANv2(states, rates, diversity=1.0, decay=0.999)

        def step_v2(k: int) -> None:
            b = batches.stargan_v2(k)
            v2.step(b.image, b.domain, b.target, (b.code, b.code2), (b.reference, b.reference2))

        return step_v2
    if name == "stargan_v1":
        v1 = PlainStarGANv1(states, 1e-4, num_critic=5)

        def step_v1(k: int) -> None:
            (b,) = batches.stargan_v1(k)
            share = torch.rand(batches.batch, 1, 1, 1, generator=torch.Generator().manual_seed(k)).to(batches.device)
            v1.step(b.image, b.label, b.target, share)

        return step_v1
    cyclegan = PlainCycleGAN(states, 2e-4)
    return lambda k: cyclegan.step(*batches.cyclegan(k))


def settings(words: str) -> tuple[list[str], Callable[[torch.device], AbstractContextManager[Any]]]:
    """Return the overrides that words such as "bf16,compile" say, and what a step of theirs runs in."""
    overrides = [override for word in words.split(",") for override in WORDS[word]]

    def within(device: torch.device) -> AbstractContextManager[Any]:
        quick = "tf32" in words.split(",")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = quick
        bf16 = "bf16" in words.split(",")
        # without a cache, as Lightning does: it would keep weights that were cast without gradients, or before a step
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if bf16 else nullcontext()

    return overrides, within


def measured(step: Step, numbers: range, device: torch.device) -> tuple[float, int | None]:
    """Return the seconds of a call for each number, and the bytes on a GPU beyond those held before (None: no GPU)."""
    if device.type != "cuda":
        return timed(step, numbers), None
    step(numbers.start)  # to get memory, which other sides have had in the meantime
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    took = timed(step, numbers, torch.cuda.synchronize)
    most = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    return took, most - before


def timed(step: Step, numbers: range, settle: Callable[[], None] = lambda: None) -> float:
    """Return the seconds of a call for each number; ``settle`` waits for what has been asked of the device."""
    settle()
    began = time.perf_counter()
    for k in numbers:
        step(k)
    settle()
    return time.perf_counter() - began


def take_turns(orders: Connection, name: str, size: int, batch: int, words: str, device: torch.device) -> None:
    """Build a side, then answer every range of numbers with what iterations by these took, until None comes.

    The answer None says that there is not enough memory, and is the last.
    """
    batches = Batches(size, batch, device)
    overrides, within = settings("float32" if words == "plain" else words)
    config = load([f"model={name}", *COMMON, *OVERRIDES[name], f"data.image_size={size}", *overrides])
    model = build.build_model(config).to(device)
    if words == "plain":
        step = plain_step(name, model, batches)
    else:
        cpu_process.prepare(config.trainer)
        build.compile_model(model, config.trainer)
        make = getattr(batches, name)

        def step(k: int) -> None:
            model.training_step(make(k), k)

    with within(device):
        while (numbers := orders.recv()) is not None:
            try:
                orders.send(measured(step, numbers, device))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                orders.send(None)
                return


def compare(
    name: str, size: int, batch: int, ours: list[str], rounds: int = 3, device: torch.device | None = None
) -> dict[str, Any]:
    """Return the seconds of iterations by each setting and plainly, and the ratios to the plain ones of the same round.

    An iteration of StarGAN v1 is a round of five updates of the discriminator and one of the generator. What does not
    fit into memory has no ratios, and if it is the plain recipe nothing has.
    """
    device = device or torch.device("cpu")
    turn = TURN.get(name, 1)
    each = UPDATES.get(name, 1) * turn
    context = multiprocessing.get_context("spawn")
    sides: dict[str, Connection] = {}
    for words in ("plain", *ours):
        sides[words], far = context.Pipe()
        arguments = (far, name, size, batch, words, device)
        context.Process(target=take_turns, args=arguments, daemon=True).start()
        far.close()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    held: dict[str, int | None] = {}
    for number in range(rounds + 1):  # the first one warms up and compiles
        order = list(sides) if number % 2 else list(reversed(sides))
        for side in order:
            sides[side].send(range(each * number, each * (number + 1)))
            try:
                answer = sides[side].recv()
            except EOFError:
                raise SystemExit(f"{side}: its process has ended; see above for its words") from None
            if answer is None:
                del sides[side], seconds[side]
                continue
            took, held[side] = answer
            if number:
                seconds[side].append(took / turn)
    for orders in sides.values():
        orders.send(None)
    ratios = {
        side: [a / b for a, b in zip(seconds[side], seconds["plain"], strict=True)]
        for side in sides
        if side != "plain" and "plain" in sides
    }
    return {
        "model": name,
        "size": size,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "ratios": ratios,
        "median": {side: statistics.median(found) for side, found in ratios.items()},
        "bytes": held,
    }


def count_operations(name: str, size: int, batch: int) -> tuple[int, int]:
    """Return the operations of convolutions and matrix products of an iteration, ours and the plain one's."""
    batches = Batches(size, batch, torch.device("cpu"))
    model = build.build_model(load([f"model={name}", *COMMON, *OVERRIDES[name], f"data.image_size={size}"]))
    plain, make = plain_step(name, model, batches), getattr(batches, name)
    counts = []
    for step in (lambda k: model.training_step(make(k), k), plain):
        with Operations() as operations:
            for k in range(UPDATES.get(name, 1)):
                step(k)
        counts.append(operations.count)
    return counts[0], counts[1]


def sentence(found: dict[str, Any], side: str) -> str:
    """Return what was found of one setting."""
    what = f"{found['model']}, {found['size']} px, batch {found['batch']}, {side}"
    seconds = found["seconds"]
    if side not in seconds:
        return f"{what}: out of memory"
    if side not in found["ratios"]:
        return f"{what}: {statistics.median(seconds[side]):.3g} s, plain: out of memory"
    ratios = found["ratios"][side]
    memory = "" if found["bytes"][side] is None else f", {found['bytes'][side] / 2**30:.2f} GiB on top"
    return (
        f"{what}: {statistics.median(seconds[side]):.3g} s, plain {statistics.median(seconds['plain']):.3g} s, ratio "
        f"{found['median'][side]:.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds){memory}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(OVERRIDES))
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="several: one after the other")
    parser.add_argument("--ours", nargs="+", default=["float32"], help="settings, each of words joined by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--operations", action="store_true", help="count operations instead of timing")
    parser.add_argument("--json", help="also write the figures to this file")
    asked = parser.parse_args()
    for words in asked.ours:
        for word in words.split(","):
            if word not in WORDS:
                parser.error(f"--ours: found {word!r}, expected words of {', '.join(WORDS)}")
    if asked.operations:
        ours, plain = count_operations(asked.model, asked.size, asked.batch[0])
        print(f"{asked.model}: {ours / 1e9:.4g} G operations, plain {plain / 1e9:.4g} G, ratio {ours / plain:.3f}")
        return
    results = []
    for batch in asked.batch:
        found = compare(asked.model, asked.size, batch, asked.ours, asked.rounds, torch.device(asked.device))
        results.append(found)
        for side in asked.ours:
            print(sentence(found, side), flush=True)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"environment": environment(0), "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
