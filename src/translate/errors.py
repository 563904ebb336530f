"""Structured errors for mistakes of the user, and the one place where their sentences are made.

A problem is data: the key where it stands, what was found, what was expected, and the fix. Low layers raise `UserError`
with these fields; the command line prints `str(error)`. Nothing parses a sentence. `assert` is for our own mistakes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

MAX_SHOWN = 400
"""Characters of a value that a message shows."""

MAX_PROBLEMS = 50
"""Problems that a message shows; a file of others can have any number."""

MAX_NAME = 100
"""Characters of a known name that a message shows."""

MAX_KNOWN = 8
"""How many known names a message lists, the nearest first."""


class _Nothing:
    """Stands for a field that is not given, since None is a value that a user can write."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


class Phrase(str):
    """Text that a sentence shows without quotes, such as "3 images"."""

    __slots__ = ()


@dataclass(frozen=True)
class Problem:
    """One mistake of the user.

    ``key`` says where: a configuration key, an argument or a file. ``what`` is the statement, when ``found`` and
    ``expected`` do not say it alone. ``found`` is the value that was given. ``known`` are the names that could have
    been meant instead of ``found``. ``fix`` says what to do.
    """

    what: str = ""
    key: str = ""
    found: Any = NOTHING
    expected: str = ""
    fix: str = ""
    known: tuple[str, ...] | None = field(default=None)

    def __str__(self) -> str:
        """Return the sentence: ``key: what; found X, expected Y. Did you mean ...? Known: ... Fix: ...``."""
        statement = self.what
        if self.known is not None and statement and self.found is not NOTHING:  # unknown network 'stargan_v3'
            statement = f"{statement} {_shown(self.found)}"
        comparison = [] if self.known is not None and self.what else self._comparison()
        text = "; ".join(filter(None, [statement, ", ".join(comparison)]))
        if self.key:
            text = f"{self.key}: {text}" if text else self.key
        if self.known is not None:
            text = f"{_sentence(text)} {alternatives(str(self.found), self.known)}"
        if self.fix:
            text = f"{_sentence(text)} Fix: {self.fix}"
        return printable(without_secrets(text))

    def _comparison(self) -> list[str]:
        found = [] if self.found is NOTHING else [f"found {_shown(self.found)}"]
        return [*found, *([f"expected {self.expected}"] if self.expected else [])]

    def inside(self, key: str) -> "Problem":
        """Return the same problem with its key below another one: ``root`` inside ``data`` is ``data.root``."""
        return replace(self, key=f"{key}.{self.key}" if self.key else key)


Problems = list[Problem]
"""Problems in the order in which they were noticed; a check appends to it."""


class UserError(ValueError):
    """A mistake of the user, raised with the fields of `Problem`. It ends as a sentence and exit code 2."""

    def __init__(
        self,
        what: str = "",
        *,
        key: str = "",
        found: Any = NOTHING,
        expected: str = "",
        fix: str = "",
        known: Iterable[str] | None = None,
    ) -> None:
        self.problems: tuple[Problem, ...] = (
            Problem(what, key, found, expected, fix, None if known is None else tuple(known)),
        )
        super().__init__(what)

    @classmethod
    def of(cls, problem: Problem) -> "UserError":
        """Return the error of a problem."""
        return cls(
            problem.what,
            key=problem.key,
            found=problem.found,
            expected=problem.expected,
            fix=problem.fix,
            known=problem.known,
        )

    @property
    def problem(self) -> Problem:
        """Return the first problem, the only one unless this is a `ConfigError`."""
        return self.problems[0]

    def inside(self, key: str) -> "UserError":
        """Return the same error with the key of each problem below another key."""
        return ConfigError([problem.inside(key) for problem in self.problems])

    def __str__(self) -> str:
        """Return the sentence, or the number of problems and one sentence a line."""
        if len(self.problems) == 1:
            return str(self.problem)
        lines = [f"{len(self.problems)} problems:", *(f"  - {p}" for p in self.problems[:MAX_PROBLEMS])]
        if (more := len(self.problems) - MAX_PROBLEMS) > 0:
            lines.append(f"  and {more} more")
        return "\n".join(lines)

    def __reduce__(self) -> Any:
        """Let the error cross processes with its fields."""
        return _rebuild, (type(self), self.problems)


class ConfigError(UserError):
    """All problems of a configuration at once, in the order in which they were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Take the problems, at least one; equal ones are kept once."""
        assert problems, "a ConfigError without a problem"
        super().__init__()
        # a list that was found cannot be hashed, so a set does not do
        self.problems = tuple(problem for place, problem in enumerate(problems) if problem not in problems[:place])


def _rebuild(cls: type[UserError], problems: tuple[Problem, ...]) -> UserError:
    return ConfigError(problems) if issubclass(cls, ConfigError) else UserError.of(problems[0])


def _shown(value: Any) -> str:
    if isinstance(value, Phrase):
        return value
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits, or a nest of more levels, than Python writes
        text = f"a value of the type {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 40]}...{text[-30:]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def first_line(error: BaseException) -> str:
    """Return the first line of a message that another library made, or the kind of the error."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def printable(text: str) -> str:
    """Return a text as one line that any terminal shows: other characters are escaped as in Python source.

    >>> print(printable("é: line\\nline"))
    é: line\\nline
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*")


def without_secrets(text: str) -> str:
    """Return a text whose addresses have neither user name and password nor a query, which may hold a token.

    >>> without_secrets("folder=sftp://me:word@host/run, https://host/run?token=3")
    'folder=sftp://host/run, https://host/run'
    """
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``word`` was probably meant to be, or None; letter case, - and _ do not matter.

    >>> nearest("StarGAN-v2", ["stargan_v1", "stargan_v2"])
    'stargan_v2'
    """
    plain = {name.lower().replace("-", "_"): name for name in known}
    matches = get_close_matches(str(word).lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[matches[0]] if matches else None


def alternatives(word: str, known: Sequence[str]) -> str:
    """Return the tail of a message about an unknown name: the near known one, if any, and at most eight known ones.

    >>> alternatives("genrator", ["generator", "mapping"])
    "Did you mean 'generator'? Known: generator, mapping"
    >>> alternatives("zebra", ["generator", "mapping"])
    'Known: generator, mapping'
    >>> alternatives("z", [])
    'Known: none'
    """
    near = nearest(word, known)
    ordered = list(known)
    if len(ordered) > MAX_KNOWN:
        matches = get_close_matches(str(word), ordered, n=MAX_KNOWN, cutoff=0.0)
        ordered = [*([near] if near else []), *(name for name in matches if name != near)][:MAX_KNOWN]
    more = f" and {len(known) - len(ordered)} more" if len(known) > len(ordered) else ""
    hint = f"Did you mean '{near}'? " if near else ""
    return f"{hint}Known: {', '.join(map(_short, ordered)) or 'none'}{more}"


def _short(name: str) -> str:
    """Return a name that may come from a file of others, without the middle of a long one."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 20]}...{name[-15:]}"


@contextmanager
def errors_inside(key: str) -> Iterator[None]:
    """Put a key of the configuration in front of the keys of errors, which a layer without configuration raises."""
    try:
        yield
    except UserError as error:
        raise error.inside(key) from error
