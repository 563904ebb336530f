"""The command `download`: get a data set, or list the data sets that can be downloaded."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.commands.arguments import Command, arg, overrides
from translate.console import wrapped
from translate.downloads.download import ROOT, DownloadRequest, download
from translate.downloads.fetch import mirror_url
from translate.downloads.icons import PIXELS
from translate.downloads.progress import in_units
from translate.downloads.sources import find, read_all
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
    root: str | None = arg(None, metavar="DIR", writes="folder", help=f"the folder of all data sets; default {ROOT}")
    data_root: str | None = arg(
        None, name="data.root", metavar="DIR", writes="folder", help="the folder of this data set"
    )
    mirror: str | None = arg(None, metavar="DIR|URL", help="source of the files, instead of their own URLs")
    keep: bool = arg(False, help="keep the archives after unpacking")
    pixels: int = arg(
        PIXELS, metavar="N", minimum=8, maximum=4096, help="emoji: the side of the images, which are rendered"
    )
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="packages with data sets that are not installed")
    selection: tuple[str, ...] = overrides(
        "settings of a training command that select the data set: data.collection=maps", keys=("data",)
    )


def run(arguments: Arguments) -> int:
    """Get the data set and print how to train on it, or list all data sets; return 0."""
    plugins.activate(arguments.plugins)
    request = request_from(arguments)
    if request is None:
        print(listing())
        return 0
    print(download(request))
    print(f"licence: {request.source.licence}")
    if (command := request.training_command()) is not None:
        print(f"to train on it:\n  {command}")
    return 0


def request_from(arguments: Arguments) -> DownloadRequest | None:
    """Return the download that the arguments ask for, None without arguments; UserError without a data set."""
    if arguments.data is None:
        if arguments != Arguments(plugins=arguments.plugins):
            raise UserError("this argument is missing", key="data", expected="data=NAME, for example data=horse2zebra")
        return None
    sources = read_all()
    words = [f"data={arguments.data}", *arguments.selection]
    if arguments.selection or arguments.data not in sources:
        from translate.config.renamed import renamed_word  # imports OmegaConf

        words = list(map(renamed_word, words))
    source = find(dict(word.split("=", 1) for word in words if "=" in word), sources)
    if arguments.root is not None and arguments.data_root is not None:
        raise UserError(
            "root, the folder of all data sets, and data.root, the folder of this one, exclude each other",
            fix="remove one of them",
        )
    folder = Path(arguments.data_root or os.path.join(arguments.root or ROOT, source.name)).expanduser()
    if folder.name in ("", "..") or folder.is_symlink():
        folder = folder.resolve()
    mirror = None if arguments.mirror is None else mirror_url(arguments.mirror)
    return DownloadRequest(source, folder, mirror, arguments.keep, arguments.pixels)


def listing() -> str:
    """Return the data sets that can be downloaded, with sizes, folders and licences."""
    known = read_all()
    width = max(map(len, known))
    lines = []
    for name, source in known.items():
        size = "size unknown" if source.size is None else in_units(source.size)
        place = f"{size:<12}  to {ROOT}/{name}" if source.files else "get it yourself: the command says how"
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
