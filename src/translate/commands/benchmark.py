"""The command `benchmark`: measure how fast a configuration trains, compare two, or measure several devices."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.commands.arguments import Command, arg, overrides
from translate.errors import UserError
from translate.files.writing import atomic_write
from translate.signals import is_first_process

if TYPE_CHECKING:
    from translate.config.schema import RunConfig

QUIET = ("sample_every=null", "evaluate_every=null", "best=null", "metrics=none", "logger=none")


@dataclass(frozen=True)
class Arguments:
    """A configuration, the length of the measurement, and the changes of the second side."""

    iterations: int = arg(10, name="benchmark.iterations", metavar="N", minimum=1, help="timed iterations")
    warmup: int = arg(5, name="benchmark.warmup", metavar="N", minimum=0, help="iterations before the timed ones")
    rounds: int = arg(3, name="benchmark.rounds", metavar="N", minimum=1, help="measurements per side of a comparison")
    devices: tuple[int, ...] | None = arg(
        None,
        name="benchmark.devices",
        metavar="[1,2,4]",
        minimum=1,
        help="measure weak and strong scaling over these numbers of GPUs, or of CPU processes; data.batch_size is that "
        "of one device",
    )
    json: Path | None = arg(None, name="benchmark.json", metavar="FILE", help="also write all results to a file")
    overrides: tuple[str, ...] = overrides("a configuration, as for train; a benchmark writes no run folder")
    compare: tuple[str, ...] | None = arg(
        None,
        name="--compare",
        kind="remainder",
        metavar="key=value ...",
        help="compare with the same command plus these overrides; the two sides alternate, in separate processes; "
        "commit=REV compares with the code of a commit",
    )

    @property
    def settings(self) -> dict[str, int]:
        """Return the length of the measurement by name."""
        return {"iterations": self.iterations, "warmup": self.warmup, "rounds": self.rounds}


def run(arguments: Arguments) -> int:
    """Measure and print a table; return 0."""
    if arguments.compare == ():
        raise UserError("this argument needs words", key="--compare", expected="key=value ..., or commit=REV")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        raise UserError(f"the folder {arguments.json.parent} does not exist", key="benchmark.json")
    if arguments.devices is not None and arguments.compare is not None:
        raise UserError("not with benchmark.devices", key="--compare", fix="measure one after the other")
    if arguments.devices is not None:
        results = _scaling(arguments.overrides, arguments.devices, arguments.settings)
    elif arguments.compare is None:
        results = _alone(arguments.overrides, arguments.settings)
    else:
        results = _against(arguments.overrides, arguments.compare, arguments.settings)
    if arguments.json is not None and is_first_process():
        atomic_write(arguments.json, json.dumps(results, indent=2) + "\n")
    return 0


def configured(words: Sequence[str], total: int) -> "RunConfig":
    """Return the checked configuration of a command line for so many iterations."""
    from translate.config.command_line import parsed_words
    from translate.config.compose import load

    overrides, config_dir = parsed_words(words)
    for word in overrides:
        if word.partition("=")[0].lstrip("+") in ("iterations", "budget", "folder", "resume"):
            raise UserError(
                "a benchmark keeps nothing",
                key=word,
                fix="leave it out; benchmark.iterations=N are the timed iterations",
            )
    return load([*overrides, *QUIET, f"iterations={total}", f"checkpoint_every={total}"], config_dir)


def _alone(words: Sequence[str], settings: dict[str, int]) -> dict[str, Any]:
    config = configured(words, settings["warmup"] + settings["iterations"] + 10)
    from translate.profiling.report import single
    from translate.profiling.timing import Length, measure

    figures = measure(config, Length(settings["warmup"], settings["iterations"]))
    if is_first_process():
        print(single(figures))
    return figures


def _scaling(words: Sequence[str], devices: Sequence[int], settings: dict[str, int]) -> dict[str, Any]:
    config = configured(words, 100)
    from translate.profiling import scaling

    found = []
    own = [f"benchmark.{name}={settings[name]}" for name in ("iterations", "warmup")]
    for point, results in scaling.measure(words, scaling.points(config, devices), settings["rounds"], own):
        found.append((point, results))
        print(f"{' '.join(point.words())}: {results['seconds_per_iteration']:.4g} s an iteration", flush=True)
    rows = scaling.summary(found)
    print(scaling.table(rows))
    return {"command": list(words), "scaling": rows, "rounds": [{**asdict(point), **r} for point, r in found]}


def _against(words: Sequence[str], changes: Sequence[str], settings: dict[str, int]) -> dict[str, Any]:
    from translate.profiling import compare
    from translate.profiling.report import comparison

    configured([*words, *(word for word in changes if not word.startswith(f"{compare.COMMIT}="))], 100)
    own = [f"benchmark.{name}={settings[name]}" for name in ("iterations", "warmup")]
    found = []
    with compare.checked_out(changes) as places:
        first, second = compare.sides(words, changes, places)
        for measurement in compare.alternate(first, second, settings["rounds"], own):
            found.append(measurement)
            seconds = measurement.results["seconds_per_iteration"]
            print(f"round {measurement.round + 1}, {'AB'[measurement.side]}: {seconds:.4g} s an iteration", flush=True)
    named = {"A": " ".join(words) or "(no words)", "B": f"A with {' '.join(changes)}"}
    print(comparison(found, named))
    return {"sides": named, "rounds": [{"round": m.round, "side": "AB"[m.side], **m.results} for m in found]}


COMMAND = Command(
    "benchmark",
    "Measure the training speed of a configuration, or compare two.",
    Arguments,
    run,
    examples=(
        (
            "benchmark model=cyclegan data.batch_size=4",
            "iterations and images per second, and time per phase and network",
        ),
        ("benchmark --compare trainer.precision=bf16-mixed", "compare two settings"),
        ("benchmark --compare commit=HEAD~1", "compare two commits"),
        ("benchmark trainer=gpu benchmark.devices=[1,2,4,8]", "weak and strong scaling over the GPUs of this machine"),
    ),
    notes="The speed of the machine is measured by a large matrix product. Operations are those of convolutions and "
    "matrix products. Phases are timed in two more iterations, operations are counted in a third. The reported speed "
    "excludes these three iterations.",
)
