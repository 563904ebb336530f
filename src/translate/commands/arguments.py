"""Arguments of the command line: how a command declares them, and parsing and checks that follow from it.

A command is a module with `COMMAND`, a `Command`. Its arguments are a frozen dataclass, one field an argument:

    @dataclass(frozen=True)
    class Arguments:
        run: Path = arg(metavar="RUN_FOLDER", help="the run to export", values=completion.run_folders)
        checkpoint: str = arg("last", metavar="last|best|N", help="the checkpoint")
        private: bool = arg(False, help="create a private repository")

`parse` returns an instance for the words ``run=runs/a/b private=true``. The type of a field is its check: `str`,
`int`, `float`, `bool`, `Path`, a `Literal`, a tuple of these (``[a,b]``), a dict (``{a: 1}``), and each of them or None
(``null``).
`help` and `completion` read the same declaration.
"""

import dataclasses
import math
import re
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from translate.errors import NOTHING, ConfigError, Phrase, Problem, UserError, without_secrets
from translate.files.writing import check_writable

Values = Callable[[Sequence[str]], Iterable[str]]
"""Return the values that an argument can have, given the other words of the command line."""

Kind = Literal["value", "flag", "positional", "overrides", "remainder", "words"]
"""``remainder``: the words behind a name. ``words``: all words as they are, but a leading ``--``."""

INTERNAL_GROUPS = frozenset({"recipe"})
"""Groups of the configuration that the files choose, not the user."""

LARGEST = 1_000_000_000
"""The largest number of an argument without a maximum of its own."""

LARGEST_SEED = 2**64 - 1

_METADATA = "argument"
A = TypeVar("A")


@dataclass(frozen=True)
class Hint:
    """An override or option of Hydra that a command's help names and completion completes; Hydra parses it."""

    word: str  # "resume=", "-m"
    metavar: str
    help: str
    values: Values | None = None


@dataclass(frozen=True)
class Argument:
    """One argument of a command, as declared by a field of its dataclass."""

    help: str
    metavar: str = ""
    name: str = ""  # the text before "=", or the flag
    kind: Kind = "value"
    values: Values | None = None
    exact: bool = False  # whether no other values than these are accepted
    listed: bool = False  # whether help lists the values
    repeat: bool = False  # whether the argument can be given several times
    minimum: float | None = None
    maximum: float | None = None  # None: `LARGEST`
    writes: Literal["", "file", "folder", "either"] = ""  # what a path names that the command writes
    is_run: bool = False  # whether the value is a run folder, which may be fetched from an address
    section: str = ""  # a heading of help, below which the argument stands
    keys: tuple[str, ...] | None = None  # of overrides: the first parts of accepted keys; None: all
    hints: tuple[Hint, ...] = ()
    field: str = ""
    type: Any = None
    default: Any = NOTHING
    factory: Callable[[], Any] | None = None  # makes the default

    @property
    def form(self) -> str:
        """Return how the argument is written, such as ``run=RUN_FOLDER``."""
        if self.kind == "value":
            return f"{self.name}={self.metavar}"
        return {"flag": self.name, "remainder": f"{self.name} {self.metavar}"}.get(self.kind, self.metavar)

    @property
    def required(self) -> bool:
        """Return whether the argument has no default."""
        return self.default is NOTHING and self.factory is None

    def default_value(self) -> Any:
        """Return the default; NOTHING without one."""
        return self.default if self.factory is None else self.factory()

    def choices(self, words: Sequence[str] = ()) -> list[str]:
        """Return the values to offer, given the other words; [] if any value is possible."""
        if self.values is not None:
            return list(self.values(words))
        return ["true", "false"] if bool in (self.type, *get_args(self.type)) else literals(self.type)


@dataclass(frozen=True)
class Command(Generic[A]):
    """One command: its name, its arguments, and the function that runs it and returns an exit code."""

    name: str
    summary: str
    arguments: type[A]
    run: Callable[[A], int]
    examples: tuple[tuple[str, str], ...] = ()  # (words, purpose)
    notes: str = ""
    hidden: bool = False
    config_name: str = "train"  # the root of the configuration that overrides change


def arg(
    default: Any = NOTHING,
    *,
    help: str,
    metavar: str = "",
    name: str = "",
    kind: Kind = "value",
    values: Values | None = None,
    exact: bool = False,
    listed: bool = False,
    repeat: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    writes: Literal["", "file", "folder", "either"] = "",
    is_run: bool = False,
    section: str = "",
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare an argument; without a default it is required. ``name`` is that of the field unless given.

    ``factory`` makes the default when the command is called.
    """
    argument = Argument(
        *(help, metavar, name, kind, values, exact, listed, repeat, minimum, maximum, writes, is_run, section),
        factory=factory,
    )
    if factory is not None:
        return field(default_factory=factory, metadata={_METADATA: argument})
    return field(default=dataclasses.MISSING if default is NOTHING else default, metadata={_METADATA: argument})


def overrides(
    help: str, keys: tuple[str, ...] | None = None, hints: tuple[Hint, ...] = (), listed: bool = False
) -> Any:
    """Declare the field that takes all other words, Hydra's overrides.

    ``keys`` restricts the first parts of their keys. With ``listed``, help lists the groups and their options.
    """
    argument = Argument(help, "key=value ...", kind="overrides", keys=keys, hints=hints, listed=listed)
    return field(default=(), metadata={_METADATA: argument})


def arguments_of(command: Command[Any]) -> list[Argument]:
    """Return the arguments of a command in the order of declaration."""
    types_of_fields = get_type_hints(command.arguments)
    result = []
    for item in dataclasses.fields(command.arguments):
        argument: Argument = replace(
            item.metadata[_METADATA],
            field=item.name,
            name=item.metadata[_METADATA].name or item.name,
            type=types_of_fields[item.name],
            default=NOTHING if item.default is dataclasses.MISSING else item.default,
        )
        choices = [] if argument.values else argument.choices()
        result.append(replace(argument, metavar=argument.metavar or "|".join(choices) or argument.name.upper()))
    return result


# --- parsing ------------------------------------------------------------------------------------------------


def parse(command: Command[A], words: Sequence[str]) -> A:
    """Return the arguments in words of the command line; UserError, or ConfigError with all problems."""
    declared = arguments_of(command)
    words, fields = list(words), dict[str, Any]()
    for argument in declared:
        if argument.kind == "words":
            fields[argument.field] = tuple(words[1:] if words[:1] == ["--"] else words)
            words = []
        if argument.kind == "remainder" and argument.name in words:
            place = words.index(argument.name)
            fields[argument.field] = tuple(words[place + 1 :])
            del words[place:]
    named = {argument.name: argument for argument in declared if argument.kind == "value"}
    flags = {argument.name: argument for argument in declared if argument.kind == "flag"}
    positional = next((argument for argument in declared if argument.kind == "positional"), None)
    rest = next((argument for argument in declared if argument.kind == "overrides"), None)
    problems: list[Problem] = []
    for word in words:
        key, equals, text = word.partition("=")
        try:
            if word in flags:
                fields[flags[word].field] = True
            elif equals and key in named:
                _store(named[key], text, fields, words)
            elif positional is not None and (not equals or Path(word).exists()) and not word.startswith("-"):
                fields[positional.field] = (*fields.get(positional.field, ()), word)
            elif rest is not None and _is_override(rest, command, key):
                fields[rest.field] = (*fields.get(rest.field, ()), word)
            else:
                raise unknown(command, word)
        except UserError as error:
            problems += error.problems
    problems += [
        Problem("this argument is missing", key=argument.name, expected=argument.form)
        for argument in declared
        if argument.required and argument.field not in fields and not problems
    ]
    if problems:
        raise ConfigError(problems)
    return command.arguments(**fields)


def _is_override(rest: Argument, command: Command[Any], key: str) -> bool:
    first = key.lstrip("+~").partition(".")[0]
    return first != command.name if rest.keys is None else first in rest.keys


def _store(argument: Argument, text: str, fields: dict[str, Any], words: Sequence[str]) -> None:
    """Convert the text of an argument and put it into ``fields``; the run at an address is fetched first."""
    if not text:
        raise UserError("the value is missing", key=argument.name, expected=argument.metavar)
    if argument.repeat:
        fields[argument.field] = (*fields.get(argument.field, ()), _unquoted(text))
        return
    if argument.field in fields:
        raise UserError("this argument is given twice", key=argument.name, fix="remove one of the two")
    try:
        if argument.is_run and "://" in text:
            from translate.runs import remote_runs

            text = str(remote_runs.local(_unquoted(text), ""))
        # a Literal may also contain deprecated values, which `values` leaves out
        offered = argument.choices(words) if argument.values and literals(argument.type) else None
        value = convert(argument.type, text, offered)
        _check_range(argument, value)
        known = argument.choices(words) if argument.exact else []
        if argument.exact and value not in known:
            raise UserError("unknown value", found=value, known=known)
    except UserError as error:
        raise error.inside(argument.name) from None
    fields[argument.field] = value


def _check_range(argument: Argument, value: Any) -> None:
    """Raise UserError for a number, or one in a list or mapping, that is out of the argument's range."""
    is_seed = argument.name.rpartition(".")[2] in ("seed", "seeds")
    least = 0 if is_seed and argument.minimum is None else argument.minimum
    most = argument.maximum or (LARGEST_SEED if is_seed else LARGEST)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    for number in (part for part in parts if isinstance(part, int | float)):
        if least is not None and number < least:
            raise UserError(found=number, expected=f"at least {least:g}")
        if abs(number) > most:
            raise UserError(found=number, expected="0 to 2^64 - 1" if is_seed else f"at most {most:,}")


def check_outputs(command: Command[A], arguments: A) -> None:
    """Raise UserError if a file or folder that the command will write cannot be written, before it begins to work."""
    for argument in arguments_of(command):
        value = getattr(arguments, argument.field)
        if not argument.writes or value is None or "://" in str(value):
            continue
        path = Path(value).expanduser()
        if argument.writes == "file" and path.is_dir():
            raise UserError(key=argument.name, found=Phrase(f"the folder {path}"), expected="a file")
        check_writable(path if argument.writes == "folder" else path.parent, argument.name)


def unknown(command: Command[Any], word: str) -> UserError:
    """Return the error about a word that a command does not take."""
    declared = arguments_of(command)
    key, equals, _ = word.partition("=")
    if not equals and not word.startswith("-"):
        names = [argument.name for argument in declared if argument.kind == "value"]
        expected = f"argument=value, for example {names[0]}={word}" if names else "no argument"
        return UserError(key=command.name, found=word, expected=expected)
    names = [argument.name for argument in declared if argument.kind in ("value", "flag", "remainder")]
    return UserError("unknown argument", key=command.name, found=key, known=names)


def literals(kind: Any) -> list[str]:
    """Return the values of a Literal type, or of the Literal in a union; [] for other types."""
    return [str(value) for k in (kind, *get_args(kind)) if get_origin(k) is Literal for value in get_args(k)]


def convert(kind: Any, text: str, offered: Sequence[str] | None = None) -> Any:
    """Return the value of a text as the type of an argument; UserError without a key if the text has another form.

    The error about an unknown value of a Literal lists ``offered``, by default all values of the Literal.

    >>> convert(int | None, "null"), convert(tuple[str, ...], "[cat, dog]"), convert(bool, "true")
    (None, ('cat', 'dog'), True)
    """
    text = _unquoted(text)
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not types.NoneType]
        return (
            None
            if text.lower() == "null" and len(members) < len(get_args(kind))
            else convert(members[0], text, offered)
        )
    if get_origin(kind) is tuple:
        parts = [part.strip() for part in text.removeprefix("[").removesuffix("]").split(",")]
        return tuple(convert(get_args(kind)[0], part) for part in parts if part)
    if get_origin(kind) is dict:
        return _mapping(get_args(kind)[1], text)
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UserError("unknown value", found=text, known=get_args(kind) if offered is None else offered)
        return text
    return _SCALARS[kind](text)


def _mapping(kind: Any, text: str) -> dict[str, Any]:
    """Return the values by name of a text such as {Blond_Hair: 1, Male: 0}; true and false are 1 and 0."""
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.removeprefix("{").removesuffix("}").split(","))):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not name or not colon or name in values:
            raise UserError(found=text, expected="each name once, with a value: {NAME: 1, NAME: 0}")
        try:
            values[name] = convert(kind, {"true": "1", "false": "0"}.get(value.lower(), value))
        except UserError as error:
            raise error.inside(name) from None
    return values


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise UserError(found=text, expected="true or false")
    return text.lower() == "true"


def _int(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise UserError(found=text, expected="a whole number")
    return int(text)


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(found=text, expected="a number")
    return value


def _path(text: str) -> Path:
    if "://" in text:  # a path would have one slash less, and name a folder here
        raise UserError(found=without_secrets(text), expected="a path on this machine")
    return Path(text).expanduser()


_SCALARS: dict[Any, Callable[[str], Any]] = {
    str: str,
    bool: _bool,
    int: _int,
    float: _float,
    Path: _path,
}


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def existing_file(key: str, path: Path) -> Path:
    """Return a path if it is a file; UserError if not."""
    if path.is_dir():
        raise UserError(f"{path} is a folder", key=key, expected="a file")
    if not path.is_file():
        raise UserError(f"there is no file {path}", key=key)
    return path


def to_words(command: Command[A], arguments: A) -> list[str]:
    """Return words that `parse` turns into these arguments; defaults are left out."""
    words: list[str] = []
    for argument in arguments_of(command):
        value = getattr(arguments, argument.field)
        if value == argument.default_value():
            continue
        if argument.kind == "value" and not argument.repeat:
            words.append(f"{argument.name}={_text(value)}")
        elif argument.kind == "value":
            words += [f"{argument.name}={entry}" for entry in value]
        elif argument.kind == "flag":
            words.append(argument.name)
        else:
            words += [*([argument.name] if argument.kind == "remainder" else []), *value]
    return words


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_text(entry)}' for name, entry in value.items())}}}"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)
