"""Every program of docs/python.md runs, and answers what the page says."""

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_program_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(
        PAGE.read_text(encoding="utf-8"), {"__name__": "page"}, PAGE.name, str(PAGE), 0
    )
    assert len(test.examples) > 25
    reports: list[str] = []
    doctest.DocTestRunner().run(test, out=reports.append)
    assert reports == [], "".join(reports)
