"""Reckon on paper what averaging gradients over many GPUs costs, from the updates of a model; print a table.

    python benchmarks/communication.py

The updates come from iterations on fake tensors, until every network has been updated: the bytes of the gradients that
each averages, and the operations of its backward pass. A GPU is assumed to do a number of operations a second, so these
iterations take `T = operations / rate` without communication. N GPUs average a bucket of B bytes around a ring of
bandwidth W, each of its 2 (N - 1) steps with a latency L:

    t(B) = 2 (N - 1) / N * B / W + 2 (N - 1) L

Bucket k of K is complete after the fraction k / K of the backward pass. The calls run one after the other, beside the
backward pass, and the optimizer waits for the last: the rest after the backward pass is not hidden.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from translate.config.compose import load
from translate.config.schema import RunConfig
from translate.distributed.gradients import BUCKET_BYTES
from translate.models.roles import owner_of
from translate.profiling.memory import MAX_ITERATIONS, on_fake_tensors
from translate.profiling.timing import Operations

COMMON = ("data=critters", "~recipe", "data.cache=null", "metrics=none", "trainer=gpu")
MODELS: dict[str, tuple[str, ...]] = {
    "StarGAN v2, 256 px, 8": ("model=stargan_v2", "data.image_size=256", "data.batch_size=8"),
    "StarGAN v1, 128 px, 16": (
        *("model=stargan_v1", "data.image_size=128", "data.batch_size=16", "data.labels=attributes"),
        "data.attributes=[smiling,glasses,bow,striped,dark_coat]",
    ),
    "CycleGAN, 256 px, 1": (
        *("model=cyclegan", "data.image_size=256", "data.batch_size=1"),
        "data.domains=[cat,rabbit]",
    ),
}
"""Official sizes: model, image side and batch of a GPU -> the words of its configuration."""

BYTES = 4
"""Bytes of a gradient, float32 in every precision."""


@dataclass(frozen=True)
class Update:
    """An update: the bytes of each of its gradients, and the operations of its backward pass."""

    roles: tuple[str, ...]
    gradients: tuple[int, ...]  # bytes, the last parameter first, as the backward pass completes them
    backward: int  # operations

    @property
    def num_bytes(self) -> int:
        """Return the bytes of all gradients."""
        return sum(self.gradients)

    def buckets(self, capacity: int = BUCKET_BYTES) -> list[int]:
        """Return the bytes of the buckets: a bucket is complete with ``capacity`` bytes."""
        sizes: list[int] = []
        for size in self.gradients:
            if not sizes or sizes[-1] >= capacity:
                sizes.append(0)
            sizes[-1] += size
        return sizes


@dataclass(frozen=True)
class Round:
    """The updates of the iterations until every network has been updated, and the operations of the whole."""

    updates: tuple[Update, ...]
    operations: int

    @property
    def num_bytes(self) -> int:
        """Return the bytes of gradients that are averaged."""
        return sum(update.num_bytes for update in self.updates)


@dataclass(frozen=True)
class Machines:
    """An assumption about GPUs and their links: bytes a second around the ring, seconds a step of it."""

    name: str
    gpus: int
    bandwidth: float
    latency: float
    rate: float = 200e12  # operations a second of a GPU


@dataclass(frozen=True)
class Cost:
    """The seconds of a round: computing, all collective calls, and the part of these that is not hidden."""

    computing: float
    calls: float
    exposed: float

    @property
    def efficiency(self) -> float:
        """Return the fraction of the speed without communication."""
        return self.computing / (self.computing + self.exposed)


ASSUMED = (
    Machines("8 GPUs, NVLink", 8, bandwidth=200e9, latency=3e-6),
    Machines("64 GPUs, 8 x 400 Gbit/s a machine", 64, bandwidth=100e9, latency=5e-6),
    Machines("64 GPUs, 1 x 100 Gbit/s a machine", 64, bandwidth=10e9, latency=10e-6),
)
"""Assumptions, not measurements: half of the bandwidth that such links reach with calls much larger than a bucket."""


def round_of(config: RunConfig) -> Round:
    """Return the updates of a checked configuration, which allocates nothing."""
    with on_fake_tensors(config) as (model, batch):
        operations, updates = Operations(), list[Update]()

        @contextmanager
        def minimized(roles: tuple[str, ...]) -> Iterator[None]:
            before = operations.count
            yield
            parameters = [p for role in roles for p in model.network(role).parameters() if p.requires_grad]
            sizes = tuple(BYTES * p.numel() for p in reversed(parameters))
            updates.append(Update(tuple(map(owner_of, roles)), sizes, operations.count - before))

        def observer(phase: str, roles: tuple[str, ...]) -> AbstractContextManager[object]:
            return minimized(roles) if phase == "minimize" else nullcontext()

        model.observer = observer
        with operations:
            for number in range(MAX_ITERATIONS):
                model.training_step(batch, number)
                if {role for update in updates for role in update.roles}.issuperset(model.trained):
                    break
    return Round(tuple(updates), operations.count)


def cost(updates: Round, machines: Machines) -> Cost:
    """Return the seconds of a round whose batch on each GPU is that of ``updates`` (weak scaling)."""
    calls = exposed = 0.0
    for update in updates.updates:
        took, waited = _waits(update, machines)
        calls, exposed = calls + took, exposed + waited
    return Cost(updates.operations / machines.rate, calls, exposed)


def _waits(update: Update, machines: Machines) -> tuple[float, float]:
    """Return the seconds of the calls of an update, and those after its backward pass."""
    steps, backward = 2 * (machines.gpus - 1), update.backward / machines.rate
    buckets = update.buckets()
    end = total = 0.0
    for number, size in enumerate(buckets, 1):
        call = steps / machines.gpus * size / machines.bandwidth + steps * machines.latency
        end = max(end, backward * number / len(buckets)) + call
        total += call
    return total, max(0.0, end - backward)


def table(rounds: Mapping[str, Round], assumed: Sequence[Machines] = ASSUMED) -> str:
    """Return the table in Markdown: a row for each model and assumption."""
    lines = [
        "| model, batch of a GPU | machines | updates | gradients, MB | computing, ms | calls, ms | not hidden, ms "
        "| efficiency |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, updates in rounds.items():
        for machines in assumed:
            found = cost(updates, machines)
            lines.append(
                f"| {name} | {machines.name} | {len(updates.updates)} | {updates.num_bytes / 1e6:.0f} | "
                f"{1e3 * found.computing:.1f} | {1e3 * found.calls:.1f} | {1e3 * found.exposed:.1f} | "
                f"{found.efficiency:.0%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    print(table({name: round_of(load([*COMMON, *words])) for name, words in MODELS.items()}), end="")


if __name__ == "__main__":
    main()
