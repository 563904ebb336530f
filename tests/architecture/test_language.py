"""The project speaks the field's language: banned words stay out, and errors are structured."""

import ast
import re
from pathlib import Path

import pytest

from architecture.sources import MODULES, Module

ROOT = Path(__file__).parents[2]

BANNED = {
    "pays": "has the loss",
    "told": "condition, or given",
    "judge": "classifier",
    "judges": "classifiers",
    "judged": "discriminated, or classified",
    "picture": "image",
    "pictures": "images",
    "put up with": "tolerated",
    "dear to": "expensive to",
    "made up for": "repeated, or compensated",
    "whoever": "the process that, or the user who",
    "is none": "is absent, or without it",
    "are none": "are absent, or without them",
    "is to be": "must be, or the imperative",
    "shall": "must, or the present tense",
    "sign of life": "heartbeat",
    "lies": "is",
    "rests": "is frozen",
    "meets": "synchronizes with",
    "descend": "minimize",
    "descends": "minimizes",
    "steady": "deterministic",
    "telemetry": "metric_logging",
    "liveness": "watchdog",
    "tally": "accumulator",
    "tallies": "accumulators",
    "share_of_real": "interpolation_weights",
    "own_rows": "local_shard",
    "in_turns": "run_microbatches",
}
"""Word or phrase -> what to write instead."""

PATTERN = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, BANNED))})(?![a-z])", re.IGNORECASE)
"""Also inside an identifier with underscores."""

FILES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/*.py",
        "src/**/*.py",
        "src/**/*.yaml",
        "conf/**/*.yaml",
        "experiments/**/*",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix in (".md", ".py", ".yaml") and path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_banned_words(path: Path) -> None:
    """CHANGELOG.md is left out: its tables name the old words."""
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {match[1]!r}, say {BANNED[match[1].lower()]}: {line.strip()[:100]}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# old name" not in line  # a reader of former files must know the word
        for match in PATTERN.finditer(line)
        if not match[1].endswith(" None")  # the value of Python
    ]
    assert hits == [], "\n".join(hits)


def sentences(module: Module) -> list[tuple[int, str]]:
    """Return the literal text of the statement in every UserError and Problem of a module, with its line."""
    texts = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in ("UserError", "Problem") or not node.args:
            continue
        literals = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
        texts.append((node.lineno, " ".join(part for part in literals if isinstance(part, str))))
    return texts


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_errors_are_structured(module: Module) -> None:
    """Where, found, expected and fix are fields, not parts of the text."""
    glued = re.compile(r"\bfound |\bexpected |^[\w.\[\]-]+: |did you mean|; (write|use|set|remove|choose|give) ")
    bad = [f"{module.path}:{line}: {text}" for line, text in sentences(module) if glued.search(text)]
    assert bad == [], "\n".join(bad)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_nothing_parses_a_sentence(module: Module) -> None:
    """The text of a UserError is made for people: no code looks into it."""
    text = module.path.read_text(encoding="utf-8")
    parsed = re.findall(
        r"str\((?:error|mistake|problem)\)\.(?:startswith|partition|split|find|replace|removeprefix)", text
    )
    lines = [match for match in parsed if "strip" not in match]
    assert lines == [], f"{module.name}: {lines}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_list_of_problems_holds_problems(module: Module) -> None:
    """No text is appended to a list of problems: the module would have glued its fields."""
    if module.name in ("translate.config.experiments",):
        return  # lists of plain remarks, which no error of a configuration holds
    given_as_text = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "problems"
        and isinstance(node.args[0], ast.JoinedStr | ast.Constant)
    ]
    assert given_as_text == [], f"{module.path}: lines {given_as_text}"
