"""Reports: findings by severity in sections, as text for the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from translate.console import wrapped
from translate.errors import printable
from translate.files.writing import atomic_write

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
"""From the worst: a problem makes training fail or its result wrong, a warning makes the result worse."""

MAX_NAMES = 8
"""How many names a finding shows on the terminal; the JSON file has up to `MAX_STORED`."""
MAX_STORED = 1000

FACT_WIDTHS = (24, 44)  # columns of a fact's name, at least and at most


@dataclass(frozen=True)
class Finding:
    """One finding: a statement, the names concerned, and the fix.

    ``count`` is the number of names before they were cut to `MAX_STORED`.
    """

    severity: Severity
    text: str
    names: tuple[str, ...] = ()
    count: int = 0
    fix: str = ""


@dataclass
class Section:
    """A part of a report: facts as (name, value), and findings."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def fact(self, name: str, value: str) -> None:
        """Add a fact."""
        self.facts.append((name, value))

    def problem(self, text: str, names: Iterable[str] = (), fix: str = "") -> None:
        """Add a finding that makes training fail or its result wrong."""
        self._add("problem", text, names, fix)

    def warning(self, text: str, names: Iterable[str] = (), fix: str = "") -> None:
        """Add a finding that makes the result worse."""
        self._add("warning", text, names, fix)

    def note(self, text: str, names: Iterable[str] = (), fix: str = "") -> None:
        """Add a finding that is good to know."""
        self._add("note", text, names, fix)

    def _add(self, severity: Severity, text: str, names: Iterable[str], fix: str) -> None:
        everything = list(names)
        self.findings.append(Finding(severity, text, tuple(everything[:MAX_STORED]), len(everything), fix))


@dataclass
class Report:
    """The sections of a report on a subject, and the command line to continue with ("" without one)."""

    subject: str
    sections: list[Section] = field(default_factory=list)
    command: str = ""
    reasons: list[str] = field(default_factory=list)  # for the command

    def section(self, title: str) -> Section:
        """Begin a section and return it."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def findings(self, severity: Severity) -> list[Finding]:
        """Return the findings of a severity in all sections."""
        return [each for section in self.sections for each in section.findings if each.severity == severity]

    def has_problems(self) -> bool:
        """Return whether a finding is a problem."""
        return bool(self.findings("problem"))

    def summary(self) -> str:
        """Return the numbers of problems and warnings in words."""
        numbers = [number(len(self.findings(severity)), severity) for severity in SEVERITIES[:2]]
        return ", ".join(numbers)

    def text(self) -> str:
        """Return the report for a terminal: sections, in each the worst finding first."""
        lines = [printable(f"{self.subject}: {self.summary()}")]
        for section in self.sections:
            if section.facts or section.findings:
                lines += ["", section.title, *_lines(section)]
        if self.command:
            first = ", when the problems are solved" if self.has_problems() else ""
            lines += [
                "",
                f"Next command{first}",
                *(wrapped("  ", each) for each in self.reasons),
                "",
                f"  {self.command}",
            ]
        return "\n".join(lines)

    def to_tree(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "subject": self.subject,
            **{f"{severity}s": len(self.findings(severity)) for severity in SEVERITIES},
            "sections": [
                {
                    "title": section.title,
                    "facts": dict(section.facts),
                    "findings": [
                        {
                            "severity": each.severity,
                            "text": each.text,
                            "names": list(each.names),
                            "count": each.count,
                            "fix": each.fix,
                        }
                        for each in ordered(section.findings)
                    ],
                }
                for section in self.sections
            ],
            "command": self.command,
            "reasons": self.reasons,
        }

    def write(self, path: Path) -> None:
        """Write the report as a JSON file."""
        atomic_write(path, json.dumps(self.to_tree(), indent=2) + "\n")


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by severity, the worst first."""
    return sorted(findings, key=lambda each: SEVERITIES.index(each.severity))


def _lines(section: Section) -> Iterator[str]:
    for each in ordered(section.findings):
        yield wrapped(f"  {each.severity:<9}", printable(each.text))
        if each.names:
            yield wrapped(" " * 13, names_in_words(each.names, each.count))
        if each.fix:
            yield wrapped(" " * 11, printable(f"Fix: {each.fix}"))
    longest = max((len(name) for name, _ in section.facts), default=0) + 2
    width = min(max(longest, FACT_WIDTHS[0]), FACT_WIDTHS[1])
    for name, value in section.facts:
        yield wrapped(f"  {name:<{width}}" if len(name) < width else f"  {name}  ", printable(value))


def names_in_words(names: Sequence[str], count: int) -> str:
    """Return at most `MAX_NAMES` names, and how many more there are of ``count``.

    >>> names_in_words(["a", "b"], 5)
    'a, b and 3 more'
    """
    shown = [printable(name) for name in names[:MAX_NAMES]]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return f"{', '.join(shown)}{more}"


def number(count: int, word: str, verb_of_many: str = "") -> str:
    """Return a number with its word, in the plural if need be, and with the verb behind it.

    >>> number(1, "image"), number(1200, "image"), number(1, "file", "are")
    ('1 image', '1,200 images', '1 file is')
    """
    words = f"{count:,} {word}{'' if count == 1 else 's'}"
    return f"{words} {verb(count, verb_of_many)}" if verb_of_many else words


def verb(count: int, of_many: str = "are") -> str:
    """Return a verb in the number of its subject.

    >>> verb(1), verb(2), verb(1, "become")
    ('is', 'are', 'becomes')
    """
    return of_many if count != 1 else "is" if of_many == "are" else f"{of_many}s"


def size_in_words(count: int) -> str:
    """Return a number of bytes in MB, and from a tenth of a GB on in GB.

    >>> size_in_words(738_000), size_in_words(2_340_000_000)
    ('0.7 MB', '2.34 GB')
    """
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
