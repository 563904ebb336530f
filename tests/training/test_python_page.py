"""Every program of docs/python.md runs and answers what the page says; so does that of docs/quickstart.md."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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


def test_the_program_of_the_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "orange").save("cat.png")
    (program,) = re.findall(
        r"```python\n(.*?)```", PAGE.with_name("quickstart.md").read_text(encoding="utf-8"), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["translation"].size == (64, 64)
