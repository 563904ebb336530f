"""Run tests and write the versions with which they passed into docs/versions.md, a row for each set of versions.

    python release/tested.py [arguments of pytest]

The default is the whole suite. Rows are kept in docs/tested_versions.json; a set of versions has one row, the newest.
"""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = ROOT / "docs" / "tested_versions.json", ROOT / "docs" / "versions.md"
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "pillow")
BEGIN, END = "<!-- rows of release/tested.py -->", "<!-- end of rows -->"
KEYS = ("python", *PACKAGES, "system")


def versions() -> dict[str, str]:
    """Return the versions of this environment."""
    import torch

    found = {name: metadata.version(name) for name in PACKAGES} | {"torch": str(torch.__version__)}
    system = f"{platform.system()} {platform.machine()}, {'GPU' if torch.cuda.is_available() else 'CPU'}"
    return {"python": platform.python_version(), **found, "system": system}


def counts(printed: str) -> tuple[int, int]:
    """Return how many tests passed and failed, by the last line that pytest has printed.

    >>> counts("...\\n2 failed, 30 passed, 1 error in 4.5s"), counts("nothing")
    ((30, 3), (0, 0))
    """
    last = next((line for line in reversed(printed.splitlines()) if re.search(r"\d+ (passed|failed|error)", line)), "")
    number = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", last)}
    return number.get("passed", 0), number.get("failed", 0) + number.get("error", 0)


def with_row(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return rows with another one, in the place of an older one of the same versions; the newest first."""
    kept = [each for each in rows if any(each[key] != row[key] for key in KEYS)]
    return sorted([row, *kept], key=lambda each: str(each["date"]), reverse=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    heads = ("date", *KEYS, "tests")
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        failed = f", {row['failed']} failed" if row["failed"] else ""
        tests = f"{row['passed']:,} passed{failed} ({row['tests']})"
        lines.append(f"| {' | '.join(str(row[key]) for key in ('date', *KEYS))} | {tests} |")
    return "\n".join(lines)


def page(text: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the page with these rows between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{rest.partition(END)[2]}"


def main(words: list[str]) -> int:
    """Run the tests, write the row, and return the exit code of pytest."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib --doctest-modules", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n")
    passed, failed = counts(done.stdout)
    if not passed:
        print("no test has passed: no row is written")
        return done.returncode or 1
    row = {
        "date": datetime.now(UTC).date().isoformat(),
        **versions(),
        "passed": passed,
        "failed": failed,
        "tests": " ".join(words) or "all",
    }
    rows = with_row(json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.is_file() else [], row)
    ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
