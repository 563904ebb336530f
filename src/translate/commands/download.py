"""The command `download`: get a data set, or list the data sets that can be downloaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from translate.commands.arguments import Command, arg, overrides
from translate.console import wrapped
from translate.downloads.download import ROOT, Order, obtain, order_of, training_command
from translate.downloads.progress import in_units
from translate.downloads.sources import read_all
from translate.errors import UserError
from translate.registry import plugins


def names(words: Sequence[str] = ()) -> list[str]:
    """Return the names of all data sets that can be downloaded."""
    return list(read_all())


@dataclass(frozen=True)
class Arguments:
    """The data set, and the source and destination of its files."""

    data: str | None = arg(
        None,
        metavar="NAME",
        help="the data set; without this argument, all data sets are listed",
        values=names,
        listed=True,
    )
    root: str | None = arg(None, metavar="DIR", help=f"the folder of all data sets; default {ROOT}")
    data_root: str | None = arg(None, name="data.root", metavar="DIR", help="the folder of this data set")
    mirror: str | None = arg(None, metavar="DIR|URL", help="source of the files, instead of their publishers")
    keep: bool = arg(False, help="keep the archives after unpacking")
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="packages with data sets that are not installed")
    selection: tuple[str, ...] = overrides(
        "settings of a training command that select the data set: data.collection=maps", keys=("data",)
    )


def run(arguments: Arguments) -> int:
    """Get the data set and print how to train on it, or list all data sets; return 0."""
    plugins.activate(arguments.plugins)
    order = order_from(arguments)
    if order is None:
        print(listing())
        return 0
    print(obtain(order))
    print(f"licence: {order.source.licence}")
    if (command := training_command(order)) is not None:
        print(f"to train on it:\n  {command}")
    return 0


def order_from(arguments: Arguments) -> Order | None:
    """Return the order of a command line, None if it has no argument; UserError if it names no data set."""
    if arguments.data is None:
        if arguments != Arguments(plugins=arguments.plugins):
            raise UserError("this argument is missing", key="data", expected="data=NAME, for example data=horse2zebra")
        return None
    words = [f"data={arguments.data}", *arguments.selection]
    if arguments.selection or arguments.data not in read_all():
        from translate.config.renamed import renamed_word  # imports OmegaConf

        words = list(map(renamed_word, words))
    return order_of(
        dict(word.split("=", 1) for word in words if "=" in word),
        arguments.root,
        arguments.data_root,
        arguments.mirror,
        arguments.keep,
    )


def listing() -> str:
    """Return the data sets that can be downloaded, with sizes, folders and licences."""
    known = read_all()
    width = max(map(len, known))
    lines = []
    for name, source in known.items():
        size = "size unknown" if source.bytes is None else in_units(source.bytes)
        place = f"{size:<12}  to {ROOT}/{name}" if source.files else "by hand: the command says how"
        lines += [f"{name:<{width}}  {place}", f"    {source.about}", wrapped("    ", f"licence: {source.licence}")]
    return "\n".join([*lines, "", "'python -m translate download data=NAME' gets one of them"])


COMMAND = Command(
    "download",
    "Download a data set, or list the data sets.",
    Arguments,
    run,
    examples=(
        ("download", "list all data sets: sizes, folders, licences"),
        ("download data=horse2zebra", f"download to {ROOT}/horse2zebra"),
        ("download data=cyclegan_set data.collection=maps", "download the data set of a training command"),
    ),
    notes="Repeat the command to continue an interrupted download.",
)
