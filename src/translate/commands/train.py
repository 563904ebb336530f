"""The command `train`: train the configuration of a command line, or several with -m."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from translate.commands.arguments import Command, Hint, overrides
from translate.commands.completion import resumable

if TYPE_CHECKING:
    from translate.config.command_line import SingleRun


@dataclass(frozen=True)
class Arguments:
    """Hydra parses all words, and the configuration checks them."""

    overrides: tuple[str, ...] = overrides(
        "settings of the configuration: iterations=50000, model.weights.generator.style=2; + adds a key that the files "
        "do not mention: +model.networks.generator.base_width=32; the command 'show' prints all keys",
        listed=True,
        hints=(
            Hint("folder=", "DIR", "the run folder; default runs/<experiment or model>/<time>"),
            Hint(
                "resume=",
                "RUN_FOLDER|auto",
                "continue a run; auto: the newest unfinished run with the same settings",
                resumable,
            ),
            Hint("plugins=", "[my_lab]", "add the parts and configuration of packages that are not installed"),
            Hint(
                "-m",
                "",
                "train one run per value of key=a,b,c; all runs are checked before one starts; repeat the command "
                "to continue unfinished runs; hydra.launcher.n_jobs=2: two concurrent runs",
            ),
            Hint("-cd", " DIR", "a further folder of configuration"),
            Hint("--cfg", " job|hydra|all", "print the configuration before interpolations are resolved"),
        ),
    )


def run(arguments: Arguments) -> int:
    """Train; return the exit code, of several runs the worst one."""
    from translate.config.command_line import parse, single_run

    line = parse(arguments.overrides)
    if not line.is_single_run():
        from translate.sweeps.grid import launch

        return launch(line)
    return train_one(single_run(line), arguments.overrides)


def train_one(ready: "SingleRun", words: Sequence[str]) -> int:
    """Train a run that has been checked; ``words`` are the command line as it was typed. Return the exit code."""
    from translate.training import run  # torch is imported now that the configuration is good

    # Lightning starts further processes of this run with our command line: they must read the run folder.
    argv = sys.argv
    sys.argv = [argv[0], "join", f"run={ready.folder}", *(["resumed=true"] if ready.resume_from else [])]
    try:
        return run.train(
            ready.config, ready.folder, ready.resume_from, ready.overrides, ready.datasets, words, ready.of_length
        )
    finally:
        sys.argv = argv


COMMAND = Command(
    "train",
    "Train a model; the default command.",
    Arguments,
    run,
    examples=(
        ("", "StarGAN v2 on the built-in data"),
        ("model=cyclegan data=horse2zebra", "another model on another data set"),
        ("resume=runs/stargan_v2/2026-01-31_12-00-00 iterations=200000", "continue a run and train longer"),
    ),
)
