"""The command `download`: which set, to which folder; then fetch, unpack, and say how to train on it."""

import textwrap
from collections.abc import Sequence

from translate.config.renamed import renamed_word
from translate.downloads.download import ROOT, Order, obtain, order_of, training_command
from translate.downloads.progress import in_units
from translate.downloads.sources import read_all
from translate.errors import UserError, among

_KEYS = ("data", "root", "data.root", "mirror", "keep")


def run(words: Sequence[str]) -> int:
    """Download what the words ask for, or list what there is if there are none; return the exit code."""
    order = parse(words)
    if order is None:
        print(overview())
        return 0
    print(obtain(order), *_what_now(order), sep="\n")
    return 0


def parse(words: Sequence[str]) -> Order | None:
    """Return what the words ask for, None if there are none; UserError for what they should not say."""
    given: dict[str, str] = {}
    for word in map(renamed_word, words):
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"download: found {word!r}, expected key=value, as in data={word}")
        if key not in _KEYS and not key.startswith("data."):
            raise UserError(f"download: there is no key {key!r}{among(key, _KEYS)}")
        if not value or key in given:
            raise UserError(f"download: {key} is given {'twice' if key in given else 'no value'}")
        given[key] = value
    if not given:
        return None
    if "data" not in given:
        raise UserError("download: say which, as data=horse2zebra; 'python -m translate download' lists what there is")
    selection = {key: value for key, value in given.items() if key not in _KEYS[1:]}
    return order_of(
        selection,
        given.get("root"),
        given.get("data.root"),
        given.get("mirror"),
        _yes(given.get("keep", "false")),
    )


def _yes(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise UserError(f"download: keep: expected true or false, found {word!r}")
    return word.lower() == "true"


# --- what there is ------------------------------------------------------------------------------------------


def overview() -> str:
    """Return the list of what can be downloaded, with sizes, folders and terms."""
    known = read_all()
    width = max(map(len, known))
    lines = []
    for name, source in known.items():
        size = "size unknown" if source.bytes is None else in_units(source.bytes)
        place = f"{size:<12}  to {ROOT}/{name}" if source.files else "by hand: the command says how"
        lines += [f"{name:<{width}}  {place}", f"    {source.about}"]
        lines += [textwrap.fill(f"licence: {source.licence}", 104, initial_indent="    ", subsequent_indent="    ")]
    return "\n".join([*lines, "", "'python -m translate download data=NAME' gets one; -h tells more"])


def help_text() -> str:
    """Return the rest of the command's help."""
    names = textwrap.fill(", ".join(read_all()), 104, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(
        [
            "",
            "  download                   list what there is: sizes, folders, licences",
            f"  download data=NAME         get one, into {ROOT}/NAME",
            "  root=DIR                   another folder than datasets for all data sets",
            "  data.root=DIR              the folder of this one, as the training command names it",
            "  mirror=DIR, mirror=URL     where the files are taken from, instead of the published places",
            "  keep=true                  do not remove the archives when they are unpacked",
            "",
            "  Interrupted, it goes on where it stopped. The words of a training command name a set as well:",
            "  download data=cyclegan_set data.collection=maps",
            "",
            "names",
            names,
        ]
    )


def words_to_complete() -> list[str]:
    """Return the words that a shell may complete."""
    return [*(f"data={name}" for name in read_all()), *(f"{key}=" for key in _KEYS[1:-1]), "keep=true"]


def _what_now(order: Order) -> list[str]:
    command = training_command(order)
    return [f"licence: {order.source.licence}", *([f"to train on it:\n  {command}"] if command else [])]
