"""The command `show`: print a configuration, or the memory that training it needs."""

from dataclasses import dataclass
from pathlib import Path

from translate.commands.arguments import Command, arg, overrides
from translate.commands.completion import run_folders
from translate.errors import UserError
from translate.files.yaml_files import checked_text
from translate.runs.folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """A configuration or a run, and the printed aspect: its keys or its memory."""

    memory: bool = arg(
        False,
        name="--memory",
        kind="flag",
        help="print the memory estimate instead: parameters, activations and the peak of training, per process",
    )
    run: Path | None = arg(
        None, metavar="RUN_FOLDER", help="print the configuration of a run", values=run_folders, is_run=True
    )
    overrides: tuple[str, ...] = overrides("a configuration, as for train")


def run(arguments: Arguments) -> int:
    """Print the configuration or its memory; return 0."""
    if arguments.run is not None and arguments.overrides:
        raise UserError(
            "the configuration of a run takes no overrides", key="run", fix="leave out run=, or the other words"
        )
    if arguments.run is not None and not arguments.memory:
        from translate.config.schema import read_yaml

        path = RunFolder(arguments.run).require_run().config_file
        read_yaml(path)  # refuses what is no configuration
        print(checked_text(path), end="")
        return 0
    if arguments.run is not None:
        from translate.config.check import check
        from translate.config.schema import read_yaml

        config = check(read_yaml(RunFolder(arguments.run).require_run().config_file))
    else:
        from translate.config.command_line import configuration

        config = configuration(list(arguments.overrides))
    if not arguments.memory:
        from translate.config.length import explanation
        from translate.config.schema import to_yaml

        print(explanation(config.budget, config.iterations) + to_yaml(config), end="")
        return 0
    from translate.profiling import memory, memory_report  # imports torch, so after the checks

    print(memory_report.table(config, memory.estimate(config)))
    return 0


COMMAND = Command(
    "show",
    "Print the configuration of a command line or of a run, or its memory estimate.",
    Arguments,
    run,
    examples=(
        ("show model=cyclegan data=horse2zebra", "all keys of a configuration"),
        ("show --memory trainer=gpu data.image_size=512", "the memory of training on a GPU, estimated on any machine"),
    ),
    notes="A configuration with a budget has iterations: null, until a run has measured its speed. "
    "For --memory, the model trains iterations on tensors without data. The peak is listed by kind of tensor.",
)
