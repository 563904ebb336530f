"""The command `join`: take part in a run as one of its further processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.commands.arguments import Command, arg
from translate.commands.completion import run_folders
from translate.runs.folder import RunFolder

if TYPE_CHECKING:
    from translate.config.schema import RunConfig


@dataclass(frozen=True)
class Arguments:
    """The run, and its start: new or resumed."""

    run: Path = arg(metavar="RUN_FOLDER", help="the run of the first process", values=run_folders)
    resumed: bool = arg(False, help="whether the first process resumed the run")
    trust: tuple[str, ...] = arg((), metavar="[my_lab]", help="packages that the first process trusts")


def run(arguments: Arguments) -> int:
    """Train as a further process of a run; return the exit code."""
    from translate.config.check import check
    from translate.config.schema import read_yaml
    from translate.registry import trust

    trust.trust(arguments.trust)
    folder = RunFolder(arguments.run).require_run()

    def saved() -> "RunConfig":
        return check(read_yaml(folder.resumed_config_file if arguments.resumed else folder.config_file))

    config = saved()
    from translate.training import run

    resume_from = arguments.run if arguments.resumed else None
    # the first process writes the number of iterations that follows from a budget before it passes the number on
    return run.train(config, arguments.run, resume_from, of_length=lambda iterations: saved())


COMMAND = Command(
    "join",
    "Join a run as a further process; the program calls this command.",
    Arguments,
    run,
    hidden=True,
)
