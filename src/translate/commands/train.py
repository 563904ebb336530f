"""The command `train`: train the configuration of a command line, or several with -m."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.commands.arguments import Command, Hint, overrides
from translate.commands.completion import resumable

if TYPE_CHECKING:
    from translate.config.schema import RunConfig


@dataclass(frozen=True)
class Arguments:
    """Hydra parses all words, and the configuration checks them."""

    overrides: tuple[str, ...] = overrides(
        "settings of the configuration: iterations=50000, model.weights.generator.style=2; a key that the files do not "
        "mention takes a +: +model.networks.generator.base_width=32; 'show' prints all keys",
        listed=True,
        hints=(
            Hint("folder=", "DIR", "where the run is written; default runs/<experiment or model>/<time>"),
            Hint("resume=", "RUN_FOLDER|auto", "continue a run; auto: the newest unfinished one", resumable),
            Hint("plugins=", "[my_lab]", "add parts and configuration of a package that is not installed"),
            Hint(
                "-m",
                "",
                "a run for each value of key=a,b,c; all are checked before the first starts, and the same command "
                "continues them; hydra.launcher.n_jobs=2: two at once",
            ),
            Hint("-cd", " DIR", "a further folder of configuration"),
            Hint("--cfg", " job|hydra|all", "print the configuration as the files have it"),
        ),
    )


def run(arguments: Arguments) -> int:
    """Train; return the exit code, of several runs the worst one."""
    from translate.sweeps.launch import launch

    return launch(list(arguments.overrides), _train_one)


def _train_one(config: "RunConfig", folder: Path, resume_from: Path | None, overrides: list[str]) -> int:
    """Train one checked configuration. Only here is torch imported."""
    from translate.training import run

    # Lightning starts further processes of this run with our command line: they shall read the run folder.
    argv = sys.argv
    sys.argv = [argv[0], "join", f"run={folder}", *(["resumed=true"] if resume_from else [])]
    try:
        return int(run.train(config, folder, resume_from, overrides) or 0)
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
        ("resume=runs/stargan_v2/2026-01-31_12-00-00 iterations=200000", "continue a run, with more iterations"),
    ),
)
