"""Time training iterations against the recipes written plainly: in turns, on the same random batches.

    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 1
    python benchmarks/against_plain.py stargan_v1 --size 128 --batch 16 --ours float32 bf16 compile bf16,compile
    python benchmarks/against_plain.py cyclegan --size 128 --batch 1 --rounds 5 --json figures.json
    python benchmarks/against_plain.py cyclegan --size 64 --operations
    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 8 --device cuda --ours tf32 bf16 bf16,compile
    python benchmarks/against_plain.py stargan_v2 --size 64 --batch 32 --set model.networks.generator.base_width=64

The networks have the official widths, unless --set changes them for all sides. The plain side is strict float32, with
images laid out plane by plane and no fused optimizer; ratios are to it, or to --reference. On a GPU take plain_tf32:
torch rounds the factors of convolutions to TF32 unless it is asked not to. Each of ours has networks of its own and
the settings that its words say. Every side is a process of its own, since what a process has freed before decides how
fast it gets memory. Batches are drawn before the clock starts. On a GPU, which all sides share, memory is given back
after a turn, and a turn begins with an iteration that is not timed. A side that needs more memory than there is drops
out.

    official           the official code itself, networks and updates, from a checkout that --official names; with
                       torch's settings: on a GPU convolutions in TF32
    plain_tf32         the plain side with convolutions in TF32, torch's default (GPUs)
    float32            ours in strict float32, as trainer.tf32=false
    tf32               ours as shipped: products and convolutions in TF32 (GPUs)
    bf16               bfloat16 autocast, as trainer.precision=bf16-mixed
    fused              norms and activations in one pass, as trainer.fused_norms=true (GPUs)
    compile            compiled networks, as trainer.compile=true
    graphs             CUDA graphs, as trainer.graphs=true
    planes, last       images laid out plane by plane or channels-last, as trainer.channels_last=false, true
    library            no fast convolutions on a CPU, as trainer.convolutions=library
    returning          memory goes back to the system when it is freed, as trainer.keep_memory=false
    lazy               R1 in one of 16 iterations (StarGAN v2), as model.r1_every=16: other mathematics
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import torch
from official import official_step
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
from translate.training import build, process_settings
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
    "float32": ["trainer.tf32=false"],
    "tf32": ["trainer.tf32=true"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "fused": ["trainer.fused_norms=true"],
    "compile": ["trainer.compile=true"],
    "graphs": ["trainer.graphs=true"],
    "planes": ["trainer.channels_last=false"],
    "last": ["trainer.channels_last=true"],
    "library": ["trainer.convolutions=library"],
    "returning": ["trainer.keep_memory=false"],
    "lazy": ["model.r1_every=16"],
}
PLAIN = {"plain": "float32", "plain_tf32": "tf32", "official": "tf32"}
"""The plain sides and the official one, and the words whose settings they have."""
UPDATES = {"stargan_v1": 5}  # steps of an iteration in which every network learns; 1 of the others
TURN = {"cpu": {"cyclegan": 4}, "cuda": {"stargan_v2": 8, "stargan_v1": 4, "cyclegan": 30}}
"""Iterations of a turn by device, where one is short; 1 of the others."""

OUT_OF_MEMORY, OUT_OF_TIME, FAILED = "out of memory", "out of time", "failed, as its process says above"
Step = Callable[[int], None]


class Batches:
    """Random batches of a model's type, the same for every side: functions of a number."""

    def __init__(self, size: int, batch: int, device: torch.device) -> None:
        self.size, self.batch, self.device = size, batch, device
        self._drawn: dict[tuple[str, int], Any] = {}

    def draw(self, name: str, numbers: Iterable[int]) -> None:
        """Draw the batches of these numbers for a model, in place of those drawn before."""
        self._drawn.clear()
        self._drawn = {(name, k): getattr(self, name)(k) for k in dict.fromkeys(numbers)}

    def image(self, k: int, number: int) -> torch.Tensor:
        """Return images (B, 3, S, S) in (-1, 1)."""
        draws = torch.Generator().manual_seed(9 * k + number)
        return torch.randn(self.batch, 3, self.size, self.size, generator=draws).tanh().to(self.device)

    def stargan_v2(self, k: int) -> ReferenceBatch:
        """Return a batch of StarGAN v2 with codes of length 16 and three domains."""
        if (drawn := self._drawn.get(("stargan_v2", k))) is not None:
            return cast("ReferenceBatch", drawn)
        draws = torch.Generator().manual_seed(k)
        codes = [torch.randn(self.batch, 16, generator=draws).to(self.device) for _ in range(2)]
        domains = [torch.randint(3, (self.batch,), generator=draws).to(self.device) for _ in range(2)]
        return ReferenceBatch(self.image(k, 0), *domains, self.image(k, 1), self.image(k, 2), *codes)

    def stargan_v1(self, k: int) -> tuple[LabelledBatch]:
        """Return a batch of StarGAN v1 with five attributes."""
        if (drawn := self._drawn.get(("stargan_v1", k))) is not None:
            return cast("tuple[LabelledBatch]", drawn)
        draws = torch.rand(2, self.batch, 5, generator=torch.Generator().manual_seed(k))
        return (LabelledBatch(self.image(k, 0), *(draws > 0.5).float().to(self.device)),)

    def cyclegan(self, k: int) -> UnpairedBatch:
        """Return a batch of CycleGAN."""
        if (drawn := self._drawn.get(("cyclegan", k))) is not None:
            return cast("UnpairedBatch", drawn)
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


def take_turns(
    orders: Connection,
    name: str,
    size: int,
    words: str,
    device: torch.device,
    checkout: Path | None,
    changes: Sequence[str],
) -> None:
    """Build a side, then answer every order, (batch size, range of numbers), with what these iterations took.

    The answer None says that there is not enough memory. The order None is the last.
    """
    overrides, within = settings(PLAIN.get(words, words))
    config = load([f"model={name}", *COMMON, *OVERRIDES[name], f"data.image_size={size}", *overrides, *changes])
    model = build.build_model(config).to(device)
    process_settings.prepare(config.trainer)
    if words in PLAIN:
        torch.backends.cuda.matmul.allow_tf32 = False  # torch's default for products
    else:
        build.compile_model(model, config.trainer)
    batches = Batches(size, 0, device)
    step: Step | None = None
    with within(device):
        while (order := orders.recv()) is not None:
            batch, numbers = order
            try:
                if batch != batches.batch:
                    batches.batch = batch
                    step = step_of(words, name, model, batches, checkout) if step is None else step
                assert step is not None
                batches.draw(name, numbers)
                orders.send(measured(step, numbers, device))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                batches.draw(name, ())
                orders.send(None)


def step_of(words: str, name: str, model: TranslationModel, batches: Batches, checkout: Path | None) -> Step:
    """Return the iteration of a side."""
    if words == "official":
        assert checkout is not None
        return official_step(name, checkout, batches)
    if words in PLAIN:
        return plain_step(name, model, batches)
    make = getattr(batches, name)

    def step(k: int) -> None:
        model.training_step(make(k), k)

    return step


class Sides:
    """A process for each side, which take turns; a context that ends them.

    The side "plain" or another ``reference`` is the one that ratios are to. ``checkout`` is that of the official
    repository, for the side "official". ``changes`` are overrides of the networks of all sides.
    """

    def __init__(
        self,
        name: str,
        size: int,
        ours: Sequence[str],
        device: torch.device | None = None,
        checkout: Path | None = None,
        reference: str = "plain",
        changes: Sequence[str] = (),
    ) -> None:
        self.name, self.size, self.reference = name, size, reference
        self.device = device or torch.device("cpu")
        context = multiprocessing.get_context("spawn")
        self._orders: dict[str, Connection] = {}
        self._lost: dict[str, str] = {}  # sides without a process, and why
        self._processes: dict[str, BaseProcess] = {}
        for words in dict.fromkeys((reference, *ours)):
            self._orders[words], far = context.Pipe()
            arguments = (far, name, size, words, self.device, checkout, tuple(changes))
            self._processes[words] = context.Process(target=take_turns, args=arguments, daemon=True)
            self._processes[words].start()
            far.close()

    def __enter__(self) -> "Sides":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.join()

    def compare(
        self, batch: int, ours: Sequence[str], rounds: int = 3, deadline: float | None = None
    ) -> dict[str, Any]:
        """Return the seconds of iterations by each side, and the ratios to those of the reference in the same round.

        An iteration of StarGAN v1 is a round of five updates of the discriminator and one of the generator. A side
        that does not fit into memory has no ratios, and if it is the reference none has. At ``deadline``, a time of
        `time.monotonic`, rounds end: a side without an answer drops out for good. So does one whose process fails.
        """
        turn = TURN.get(self.device.type, {}).get(self.name, 1)
        each = UPDATES.get(self.name, 1) * turn
        sides = [side for side in dict.fromkeys((self.reference, *ours)) if side in self._orders]
        dropped = {side: self._lost[side] for side in (self.reference, *ours) if side in self._lost}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        held: dict[str, int | None] = {}
        for number in range(rounds + 1):  # the first one warms up and compiles
            if number > 1 and deadline is not None and time.monotonic() > deadline:
                break
            order = (batch, range(each * number, each * (number + 1)))
            ahead = [side for side in sides if "compile" in side] if number == 0 else []
            for side in ahead:  # they compile beside the warm-up of the others
                self._order(side, order)
            turns = sides if number % 2 else list(reversed(sides))
            for side in [*(side for side in turns if side not in ahead), *ahead]:
                if side not in ahead:
                    self._order(side, order)
                answer = self._answer(side, deadline)
                if isinstance(answer, str):
                    dropped[side] = answer
                    sides = [other for other in sides if other != side]
                    seconds.pop(side)
                    continue
                took, held[side] = answer
                if number:
                    seconds[side].append(took / turn)
                else:
                    print(f"{side}: {took / turn:.3g} s an iteration of the warm-up", file=sys.stderr, flush=True)
        return self._results(batch, {side: times for side, times in seconds.items() if times}, held, dropped)

    def _order(self, side: str, order: tuple[int, range]) -> None:
        """Send an order; a process that has ended shows this by its answer."""
        with suppress(BrokenPipeError):
            self._orders[side].send(order)

    def _answer(self, side: str, deadline: float | None) -> tuple[float, int | None] | str:
        """Return what a turn took, or why the side drops out."""
        orders = self._orders[side]
        if not orders.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
            self._processes[side].kill()  # so that it does not slow the others
            return self._lose(side, OUT_OF_TIME)
        try:
            answer: tuple[float, int | None] | None = orders.recv()
        except (EOFError, ConnectionResetError):
            return self._lose(side, FAILED)
        return OUT_OF_MEMORY if answer is None else answer

    def _lose(self, side: str, reason: str) -> str:
        """Give up a side for good; return the reason."""
        del self._orders[side]
        self._lost[side] = reason
        return reason

    def _results(
        self, batch: int, seconds: dict[str, list[float]], held: dict[str, int | None], dropped: dict[str, str]
    ) -> dict[str, Any]:
        reference = seconds.get(self.reference, [])
        ratios = {
            side: [a / b for a, b in zip(times, reference, strict=False)]  # the last round may be incomplete
            for side, times in seconds.items()
            if side != self.reference and reference
        }
        return {
            "model": self.name,
            "size": self.size,
            "batch": batch,
            "reference": self.reference,
            "threads": torch.get_num_threads(),
            "seconds": seconds,
            "ratios": ratios,
            "median": {side: statistics.median(found) for side, found in ratios.items()},
            "bytes": held,
            "dropped": dropped,
        }


def compare(
    name: str,
    size: int,
    batch: int,
    ours: Sequence[str],
    rounds: int = 3,
    deadline: float | None = None,
    **where: Any,
) -> dict[str, Any]:
    """Return the comparison of one batch size; ``where`` are further arguments of `Sides`."""
    with Sides(name, size, ours, **where) as sides:
        return sides.compare(batch, ours, rounds, deadline)


def count_operations(name: str, size: int, batch: int, changes: Sequence[str] = ()) -> tuple[int, int]:
    """Return the operations of convolutions and matrix products of an iteration, ours and the plain one's."""
    batches = Batches(size, batch, torch.device("cpu"))
    model = build.build_model(load([f"model={name}", *COMMON, *OVERRIDES[name], f"data.image_size={size}", *changes]))
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
    seconds, reference = found["seconds"], found["reference"]
    if side not in seconds:
        return f"{what}: {found['dropped'][side]}"
    if side not in found["ratios"]:
        return f"{what}: {statistics.median(seconds[side]):.3g} s, {reference}: {found['dropped'][reference]}"
    ratios = found["ratios"][side]
    memory = "" if found["bytes"][side] is None else f", {found['bytes'][side] / 2**30:.2f} GiB on top"
    took, of_reference = (statistics.median(seconds[name]) for name in (side, reference))
    spread = f"(from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds)"
    return f"{what}: {took:.3g} s, {reference} {of_reference:.3g} s, ratio {found['median'][side]:.3f} {spread}{memory}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(OVERRIDES))
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="several: one after the other")
    parser.add_argument("--ours", nargs="+", default=["float32"], help="settings, each of words joined by commas")
    parser.add_argument("--official", type=Path, help="a checkout of the model's official repository: one more side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--reference", default="plain", choices=list(PLAIN), help="the side that ratios are to")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of all sides")
    parser.add_argument("--limit", type=float, help="seconds, after which rounds end")
    parser.add_argument("--operations", action="store_true", help="count operations instead of timing")
    parser.add_argument("--json", help="also write the figures to this file")
    asked = parser.parse_args()
    for words in asked.ours:
        for word in words.split(","):
            if word not in WORDS and words not in ("plain", "plain_tf32"):
                parser.error(f"--ours: found {word!r}, expected plain, plain_tf32 or words of {', '.join(WORDS)}")
    if asked.operations:
        ours, plain = count_operations(asked.model, asked.size, asked.batch[0], asked.set)
        print(f"{asked.model}: {ours / 1e9:.4g} G operations, plain {plain / 1e9:.4g} G, ratio {ours / plain:.3f}")
        return
    results = []
    deadline = None if asked.limit is None else time.monotonic() + asked.limit
    sides = ["official", *asked.ours] if asked.official else asked.ours
    where = {
        "device": torch.device(asked.device),
        "checkout": asked.official,
        "reference": asked.reference,
        "changes": asked.set,
    }
    for batch in asked.batch:
        found = compare(asked.model, asked.size, batch, sides, asked.rounds, deadline, **where)
        results.append(found)
        for side in sides:
            print(sentence(found, side), flush=True)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"environment": environment(0), "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
