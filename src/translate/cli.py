"""The command line. `train` is the default command; torch waits until the configuration is good.

A command is one entry of COMMANDS: a function of its words that returns an exit code. What the user did wrong
is a UserError and ends as sentences on stderr with exit code 2; everything else keeps its traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate import __version__
from translate.errors import UserError, among
from translate.runs.folder import RunFolder

if TYPE_CHECKING:
    from translate.config.schema import RunConfig

USER_MISTAKE = 2
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """One word of the command line."""

    run: Callable[[Sequence[str]], int]
    usage: str
    summary: str
    details: Callable[[], str] = lambda: ""  # the rest of its help
    hidden: bool = False


def main(words: Sequence[str]) -> int:
    """Run the command line of these words; return the exit code."""
    words = list(words)
    try:
        return _dispatch(words)
    except UserError as error:
        print(error, file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of `... list | head` has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    name = "train"
    if words[:1] == ["help"]:
        words[0] = "--help"
    if words and not words[0].startswith(("-", "+", "~")) and "=" not in words[0]:
        name = words.pop(0)
        if name not in COMMANDS:
            known = [command for command, entry in COMMANDS.items() if not entry.hidden]
            raise UserError(f"unknown command {name!r}{among(name, known)}; what is to be set reads key=value")
    elif words[:1] in (["-h"], ["--help"]):
        print(overview())
        return 0
    elif words[:1] == ["--version"]:
        print(f"translate-gan {__version__}")
        return 0
    command = COMMANDS[name]
    if any(word in ("-h", "--help") for word in words):
        print(f"usage: {command.usage}\n\n{command.summary}\n{command.details()}".rstrip())
        return 0
    return command.run(words)


# --- help ---------------------------------------------------------------------------------------------------


def overview() -> str:
    """Return the text of `python -m translate --help`."""
    width = max(len(name) for name, command in COMMANDS.items() if not command.hidden)
    commands = "\n".join(f"  {n:<{width}}  {c.summary}" for n, c in COMMANDS.items() if not c.hidden)
    return f"""\
translate {__version__}: image-to-image translation with generative adversarial networks

usage: python -m translate [command] [key=value ...]

commands
{commands}

examples
  python -m translate                                         StarGAN v2 on the built-in data, on this machine
  python -m translate data=folder data.root=photos            on your own images, a folder for each domain
  python -m translate trainer=ddp trainer.devices=8           on eight GPUs
  python -m translate -m seed=0,1,2                           three runs, each in a process of its own
  python -m translate resume=auto                             go on with the newest unfinished run
  python -m translate show data.image_size=128                what would run, without running it

The command is train if none is given; 'python -m translate COMMAND -h' tells more about one.
Overrides, groups, sweeps (-m), --cfg, --info and -cd are Hydra's: 'python -m translate --hydra-help'.
Tab completion, for this shell:  eval "$(python -m translate -sc install=bash)\""""


def _train_help() -> str:
    from translate.config.search_path import groups
    from translate.console import wrapped

    found = {name: options for name, options in groups().items() if name != "recipe"}
    width = max(map(len, found))
    lines = [wrapped(f"  {name:<{width}}  ", ", ".join(options) or "(none yet)") for name, options in found.items()]
    return "\n".join(
        [
            "",
            "groups, chosen by group=name",
            *lines,
            "",
            "values",
            "  iterations=50000 data.batch_size=16 model.weights.generator.style=2",
            "  +model.networks.generator.base_width=32      a key that the files do not mention takes a +",
            "  'python -m translate show' prints every key; '--cfg job' prints them as they are written",
            "",
            "runs",
            "  folder=DIR           where the run is written; else runs/<experiment or model>/<time>",
            "  resume=RUN_FOLDER    go on with a run; resume=auto finds the newest unfinished one",
            "  -m key=a,b,c         one run for each value, all of them checked before the first begins;",
            "                       hydra.launcher.n_jobs=2: two at once; given again, the command goes on",
            "  plugins=[my_lab]     add parts and configuration of a package that is not installed",
        ]
    )


# --- train --------------------------------------------------------------------------------------------------


def train(words: Sequence[str]) -> int:
    """Train what a command line in Hydra's grammar describes; return the exit code of the worst job."""
    from translate.sweeps.launch import launch

    return launch(list(words), _train_one)


def _train_one(config: "RunConfig", folder: Path, resume_from: Path | None, overrides: list[str]) -> int:
    """Train one checked configuration. Only here is torch imported."""
    from translate.training import run

    # Lightning starts further processes of this run with our command line: they shall read the run folder.
    argv = sys.argv
    sys.argv = [argv[0], "join", str(folder), *(["resumed"] if resume_from else [])]
    try:
        return int(run.train(config, folder, resume_from, overrides) or 0)
    finally:
        sys.argv = argv


def join(words: Sequence[str]) -> int:
    """Take part in a run that another process has begun, as one of its further processes."""
    from translate.training import run

    if not words:
        raise UserError("join: expected a run folder")
    folder = Path(words[0])
    config = _configuration_of(folder, "join")
    return int(run.train(config, folder, folder if "resumed" in words[1:] else None, []) or 0)


# --- show ---------------------------------------------------------------------------------------------------


def show(words: Sequence[str]) -> int:
    """Print the configuration of a command line or of the run in run=FOLDER or, with --memory, what it will need."""
    from translate.config.schema import to_yaml
    from translate.sweeps.launch import configuration

    others = [word for word in words if word != "--memory"]
    of_memory = len(others) < len(words)
    folders = [Path(word.partition("=")[2]) for word in others if word.startswith("run=")]
    if folders and len(others) > 1:
        raise UserError("show: run=FOLDER stands alone; a finished run's configuration takes no overrides")
    if folders and not of_memory:
        print(RunFolder(folders[0]).require_run().config_file.read_text(encoding="utf-8"), end="")
        return 0
    config = _configuration_of(folders[0], "show") if folders else configuration(others)
    if not of_memory:
        print(to_yaml(config), end="")
        return 0
    from translate.profiling import memory  # torch is imported now that the configuration is good

    print(memory.table(config, memory.estimate(config)))
    return 0


def _configuration_of(folder: Path, command: str) -> "RunConfig":
    """Return the checked configuration of a run folder that a command was given."""
    from translate.config.check import check
    from translate.config.schema import read_yaml

    return check(read_yaml(RunFolder(folder).require_run(command).config_file))


def _show_help() -> str:
    return """
  --memory             instead: parameters, activations and the peak of memory of training it
  trainer=gpu          for a GPU, also on a machine without one

  For its memory the model trains a round of iterations on tensors without numbers; what is alive at the peak is told by
  kind. Of several processes it is the memory of each."""


# --- list ---------------------------------------------------------------------------------------------------


def list_names(words: Sequence[str]) -> int:
    """Print what there is: registered parts with their arguments, or the options of a configuration group."""
    from translate.commands import list

    return list.run(_without_plugins(words))


def _list_help() -> str:
    from translate.commands.list import help_text

    return "\n" + help_text()


def _without_plugins(words: Sequence[str]) -> list[str]:
    """Activate the plugins that words name, as Hydra would, and return the other words."""
    from translate.registry import plugins

    given = [word for word in words if word.startswith("plugins=")]
    for word in given:
        names = word.partition("=")[2].strip("[]'\"").split(",")
        plugins.activate(name.strip() for name in names if name.strip())
    return [word for word in words if word not in given]


# --- export, import ----------------------------------------------------------------------------------------


def export(words: Sequence[str]) -> int:
    """Write the weights of a run to a file, in a published layout, or to the Hugging Face Hub."""
    from translate.commands import weights

    return weights.export(words)


def import_weights(words: Sequence[str]) -> int:
    """Bring in published weights, as a file of ours or as a run to train on."""
    from translate.commands import weights

    return weights.import_weights(words)


def _weights_help(name: str) -> str:
    from translate.commands.weights import HELP

    return "\n" + HELP[name]


# --- download -----------------------------------------------------------------------------------------------


def download(words: Sequence[str]) -> int:
    """Get a published data set, or print which there are."""
    from translate.commands import download as command

    return command.run(_without_plugins(words))


def _download_help() -> str:
    from translate.commands import download as command

    return command.help_text()


# --- evaluate -----------------------------------------------------------------------------------------------


def evaluate(words: Sequence[str]) -> int:
    """Measure a trained run by metrics of a protocol."""
    from translate.commands import evaluate as command

    return command.run(words)


def _evaluate_help() -> str:
    from translate.commands.evaluate import HELP

    return "\n" + HELP


# --- sweep --------------------------------------------------------------------------------------------------


def sweep(words: Sequence[str]) -> int:
    """Search with Optuna."""
    from translate.commands import sweep as command

    return command.run(words)


def _sweep_help() -> str:
    from translate.commands.sweep import help_text

    return "\n" + help_text()


# --- table --------------------------------------------------------------------------------------------------


def table(words: Sequence[str]) -> int:
    """Write tables of what runs have measured."""
    from translate.commands import table as command

    return command.run(words)


def _table_help() -> str:
    from translate.commands.table import help_text

    return "\n" + help_text()


# --- benchmark ----------------------------------------------------------------------------------------------


def benchmark(words: Sequence[str]) -> int:
    """Measure how fast a configuration trains, or compare two."""
    from translate.commands import benchmark as command

    return command.run(words)


def _benchmark_help() -> str:
    from translate.commands.benchmark import HELP

    return "\n" + HELP


COMMANDS: dict[str, Command] = {
    "train": Command(
        train,
        "python -m translate [train] [-m] [key=value ...]",
        "Train a model; the default command.",
        _train_help,
    ),
    "show": Command(
        show,
        "python -m translate show [--memory] [key=value ...]\n"
        "       python -m translate show [--memory] run=RUN_FOLDER",
        "Print the whole configuration of a command line or of a run, or the memory that it needs.",
        _show_help,
    ),
    "list": Command(
        list_names,
        "python -m translate list [what ...]",
        "Print the parts and configurations there are.",
        _list_help,
    ),
    "evaluate": Command(
        evaluate,
        "python -m translate evaluate run=RUN_FOLDER [checkpoint=last|best|N] [metrics=...] [key=value ...]",
        "Measure a run by named protocols.",
        _evaluate_help,
    ),
    "sweep": Command(
        sweep,
        "python -m translate sweep sweep=NAME|FILE.yaml [sweep.key=value ...] [key=value ...]",
        "Search for good values with Optuna: pruned, resumable, on several machines.",
        _sweep_help,
    ),
    "table": Command(
        table,
        "python -m translate table RUNS... [to=FOLDER] [figure=NAME] [checkpoint=last|best|N] [paper=FILE.yaml]",
        "Put figures of runs side by side: mean and spread over seeds.",
        _table_help,
    ),
    "benchmark": Command(
        benchmark,
        "python -m translate benchmark [key=value ...] [--compare key=value ...]",
        "Measure how fast a configuration trains, or how two compare.",
        _benchmark_help,
    ),
    "export": Command(
        export,
        "python -m translate export run=RUN_FOLDER [to=FILE.safetensors | to=hf://owner/name] [key=value ...]",
        "Write the weights of a run, to translate with or to share.",
        lambda: _weights_help("export"),
    ),
    "import": Command(
        import_weights,
        "python -m translate import weights=FILE[,FILE] to=FILE.safetensors [key=value ...]\n"
        "       python -m translate import weights=FILE[,FILE] to=RUN_FOLDER data=... [key=value ...]",
        "Bring in published weights, to translate with or to train on.",
        lambda: _weights_help("import"),
    ),
    "download": Command(
        download,
        "python -m translate download [data=NAME] [root=DIR] [mirror=DIR_OR_URL] [keep=true]",
        "Get a published data set, or print which there are.",
        _download_help,
    ),
    "join": Command(
        join,
        "python -m translate join RUN_FOLDER [resumed]",
        "Take part in a run as a further process; started by the program itself.",
        hidden=True,
    ),
}
