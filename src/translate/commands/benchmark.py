"""The command `benchmark`: how fast a configuration trains, or how much faster than another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import UserError, among
from translate.profiling import compare

if TYPE_CHECKING:
    from translate.config.schema import RunConfig

HELP = """\
  key=value                    what is trained, as for train; nothing is written to a run folder
  benchmark.iterations=10      timed iterations, after benchmark.warmup=3
  benchmark.json=FILE          also write all figures to a file
  --compare key=value ...      the same command with these words more; both in turns, each in processes of its own
  --compare commit=REV         the same command by the code of a commit (words may follow)
  benchmark.rounds=3           how often each is measured in a comparison

  The rate of the machine is that of a large matrix product; operations are those of convolutions and matrix products.
  Parts are timed in two further iterations, operations counted in one more: neither takes part in the speed."""

OWN = {"iterations": 10, "warmup": 3, "rounds": 3}
QUIET = ("sample_every=null", "evaluate_every=null", "best=null", "metrics=none", "logger=none")


def run(words: Sequence[str]) -> int:
    """Measure, print a table, and return the exit code."""
    words, changes = list(words), None
    if "--compare" in words:
        place = words.index("--compare")
        words, changes = words[:place], words[place + 1 :]
        if not changes:
            raise UserError("benchmark: --compare wants the words by which the second command differs")
    settings, target, rest = read(words)
    figures = _alone(rest, settings) if changes is None else _against(rest, changes, settings)
    if target is not None:
        target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def read(words: Sequence[str]) -> tuple[dict[str, int], Path | None, list[str]]:
    """Return our own settings, the file to write (None: none), and the words of the configuration."""
    settings, target, rest = dict(OWN), None, []
    for word in words:
        key, _, value = word.partition("=")
        if not key.startswith("benchmark."):
            rest.append(word)
        elif (name := key.removeprefix("benchmark.")) == "json":
            target = Path(value)
            if not target.parent.is_dir():
                raise UserError(f"benchmark.json: the folder {target.parent} does not exist")
        elif name not in OWN:
            raise UserError(f"{key}: unknown key{among(name, [*OWN, 'json'])}")
        elif not value.isdigit() or int(value) < (name != "warmup"):
            raise UserError(f"{key}: found {value!r}, expected a whole number of at least {int(name != 'warmup')}")
        else:
            settings[name] = int(value)
    return settings, target, rest


def configured(words: Sequence[str], total: int) -> "RunConfig":
    """Return the checked configuration of a command line for so many iterations."""
    from translate.config.compose import load
    from translate.sweeps.launch import parsed_words

    overrides, config_dir = parsed_words(words)
    for word in overrides:
        if word.partition("=")[0].lstrip("+") in ("iterations", "folder", "resume"):
            raise UserError(f"benchmark: {word}: nothing is kept; say benchmark.iterations=N for the timed iterations")
    return load([*overrides, *QUIET, f"iterations={total}", f"checkpoint_every={total}"], config_dir)


def _alone(words: Sequence[str], settings: dict[str, int]) -> dict[str, Any]:
    config = configured(words, settings["warmup"] + settings["iterations"] + 10)
    from translate.profiling.report import single
    from translate.profiling.timing import Length, measure

    figures = measure(config, Length(settings["warmup"], settings["iterations"]))
    print(single(figures))
    return figures


def _against(words: Sequence[str], changes: Sequence[str], settings: dict[str, int]) -> dict[str, Any]:
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
