"""Errors for what the user did, and suggestions for misspelt names.

`assert` is for what we did. Everything here reaches the user as sentences, never as a traceback.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(ValueError):
    """One clear sentence for what the user did: where, what was found, what was expected, what to do."""

    def __str__(self) -> str:
        """Return the sentence; what the user wrote stands in it, whatever signs it holds."""
        return printable(super().__str__())


class ConfigError(UserError):
    """All the problems of a configuration at once, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take the sentences; at least one."""
        assert problems, "a ConfigError without a problem"
        self.problems = tuple(map(printable, problems))
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return the sentences, one a line, after their count when there are several."""
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} problems in the configuration:", *(f"  - {p}" for p in self.problems)])


def printable(text: str) -> str:
    """Return a text as one line that any terminal shows: other signs are written as in Python source.

    >>> print(printable("é: line\\nline"))
    é: line\\nline
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that `word` was probably meant to be, or None; letter case, - and _ do not count.

    >>> nearest("StarGAN-v2", ["stargan_v1", "stargan_v2"])
    'stargan_v2'
    """
    plain = {name.lower().replace("-", "_"): name for name in known}
    found = get_close_matches(str(word).lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the tail of a message about an unknown name: a near known one, or nothing.

    >>> suggest("genrator", ["generator", "mapping"])
    "; did you mean 'generator'?"
    >>> suggest("zebra", ["generator", "mapping"])
    ''
    """
    near = nearest(word, known)
    return f"; did you mean '{near}'?" if near else ""


def among(word: str, known: Iterable[str]) -> str:
    """Return the tail of a message about an unknown name: a near known one, if any, and all known ones.

    >>> among("genrator", ["generator", "mapping"])
    "; did you mean 'generator'? Known: generator, mapping"
    >>> among("zebra", ["generator", "mapping"])
    '. Known: generator, mapping'
    """
    known = list(known)
    return f"{suggest(word, known) or '.'} Known: {', '.join(known) or 'none'}"
