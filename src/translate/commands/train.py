"""The command `train`: train the configuration of a command line, or several with -m."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
            Hint(
                "folder=",
                "DIR|ADDRESS",
                "the run folder; default runs/<experiment or model>/<time>; with an address such as s3://bucket/run it "
                "is copied there after each checkpoint",
            ),
            Hint(
                "resume=",
                "RUN_FOLDER|ADDRESS|auto",
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
    from translate.config.command_line import parse, single_run, stages_of

    line = parse(arguments.overrides)
    if (stages := stages_of(line)) is not None:
        from translate.sweeps.stages import launch as launch_stages

        return launch_stages(line, stages).code
    if not line.is_single_run():
        from translate.sweeps.grid import launch

        return launch(line)
    ready = single_run(line)
    from translate.training import run  # torch is imported now that the configuration is good

    with joined_by_others(ready):
        return run.train(
            ready.config,
            ready.folder,
            ready.resume_from,
            ready.overrides,
            ready.datasets,
            arguments.overrides,
            ready.of_length,
        )


@contextmanager
def joined_by_others(ready: "SingleRun", program: str | None = None) -> Iterator[None]:
    """Let Lightning start further processes of a run with a command line by which they read the run folder.

    ``program`` is the file that they execute; None: that of this process.
    """
    from translate.config.schema import to_mapping
    from translate.registry import trust

    argv = sys.argv
    resumed = ["resumed=true"] if ready.resume_from else []
    trusted = [f"trust=[{','.join(names)}]"] if (names := trust.untrusted(to_mapping(ready.config))) else []
    sys.argv = [program or argv[0], "join", f"run={ready.folder}", *resumed, *trusted]
    try:
        yield
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
