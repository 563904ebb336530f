"""The command `replay`: train a stretch of a run again, and compare it with what the run has recorded."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.commands.arguments import Command, arg, overrides
from translate.commands.completion import checkpoints, run_folders
from translate.commands.train import joined_by_others
from translate.errors import UserError
from translate.runs.folder import RunFolder
from translate.runs.stretch import Comparison, stretch_of

if TYPE_CHECKING:
    from translate.training.replay import Replay

FAILED = 1
"""The exit code of training that has stopped because a value is not finite."""

DIFFERS = 1
"""The exit code of a replay that differs from the run."""


def iterations(words: Sequence[str] = ()) -> list[str]:
    """Return the iterations of the checkpoints of the run that the words name."""
    return [name for name in checkpoints(words) if name.isdigit()]


@dataclass(frozen=True)
class Arguments:
    """The run, the stretch, and the folder of the replay."""

    run: Path = arg(metavar="RUN_FOLDER", help="the run; it is read and never written", values=run_folders, is_run=True)
    begin: int | None = arg(
        None,
        name="from",
        metavar="N",
        minimum=0,
        help="the iteration before the stretch; the replay starts from the newest checkpoint up to there; 0: from "
        "the beginning; default the last checkpoint but one",
        values=iterations,
    )
    end: int | None = arg(
        None,
        name="to",
        metavar="M",
        minimum=1,
        help="the last iteration; default that of the last checkpoint",
        values=iterations,
    )
    output: Path | None = arg(
        None,
        metavar="FOLDER",
        help="keep the replay there as a run folder, unless a signal ends it; default: it is removed",
    )
    overrides: tuple[str, ...] = overrides(
        "where the data is, and how this machine computes: data.root=FOLDER, data.cache=null, trainer=cpu, "
        "trainer.threads=2; trust=[my_lab] for code that the run names",
        keys=("data", "trainer", "trust", "plugins"),
    )


def run(arguments: Arguments) -> int:
    """Replay, print the comparison, and return 0 if both agree, else 1."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a replay starts its further processes itself", key="replay", fix="start one process")
    folder = RunFolder(arguments.run).require_run()
    stretch = stretch_of(folder, arguments.begin, arguments.end)
    with _output(arguments.output) as output:
        from translate.config.replay import prepare_replay

        prepared = prepare_replay(stretch, output.path, arguments.overrides)
        from translate.training.replay import replay

        result = replay(stretch, prepared, output, joined_by_others)
        if isinstance(result, int):
            if result > FAILED:  # a signal has ended it
                shutil.rmtree(output.path, ignore_errors=True)
            return result
    print(answer(result))
    return 0 if result.agrees else DIFFERS


@contextmanager
def _output(path: Path | None) -> Iterator[RunFolder]:
    """Yield the folder of the replay: a new one, or a temporary one without a path."""
    if path is None:
        with tempfile.TemporaryDirectory(prefix="translate-replay-") as temporary:
            yield RunFolder(temporary)
        return
    if not RunFolder(path).is_fresh():
        raise UserError(f"{path} is not empty", key="output", expected="a new folder")
    try:
        yield RunFolder(path)
    except BaseException:  # the command can be given again
        shutil.rmtree(path, ignore_errors=True)
        raise


def answer(result: "Replay") -> str:
    """Return what is printed: why bits may differ, a table, and the verdict."""
    stretch = result.stretch
    where = f"from the checkpoint of iteration {stretch.start}" if stretch.start_file else "from the beginning"
    lines = [f"iterations {stretch.begin + 1} to {stretch.end} of {stretch.run}, trained again {where}"]
    lines += [f"bits may differ: {reason}" for reason in result.reasons]
    header = ("compared", "at iterations", "values", "that differ", "greatest difference", "bound", "first beyond it")
    rows = [header, *(_row(each) for each in result.comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), ""]
    lines.append(_verdict(result))
    return "\n".join(lines)


def _row(comparison: Comparison) -> tuple[str, ...]:
    greatest, beyond = comparison.greatest, comparison.excessive
    return (
        comparison.what,
        f"{len(comparison.iterations)}",
        f"{comparison.count:,}",
        f"{len(comparison.differences):,}",
        "0" if greatest is None else f"{greatest.size:.2g} ({greatest.name}, iteration {greatest.iteration})",
        f"{comparison.bound:g}",
        f"iteration {beyond[0].iteration} ({beyond[0].name})" if beyond else "-",
    )


def _verdict(result: "Replay") -> str:
    if not result.agrees:
        first = min(each.excessive[0].iteration for each in result.comparisons if each.excessive)
        return f"the run differs from its replay, at iteration {first} first"
    return "equal within the bounds" if result.reasons else "equal to the bit"


COMMAND = Command(
    "replay",
    "Train a stretch of a run again, and compare it with what the run has recorded.",
    Arguments,
    run,
    examples=(
        ("replay run=runs/stargan_v2/2026-01-31_12-00-00", "between the last two checkpoints"),
        ("replay run=runs/stargan_v2/2026-01-31_12-00-00 from=90000 to=90500", "half a thousand iterations"),
        ("replay run=downloads/theirs data.root=datasets/afhq from=0 to=1000", "a run of others, from its beginning"),
    ),
    notes="On the same kind of machine recorded terms and tensors must be equal to the bit. docs/robustness.md has the "
    "bounds for others. Exit code: 1 if the run differs from its replay.",
)
