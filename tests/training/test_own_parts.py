"""docs/own_parts.md is executed: its files are written to an empty folder and its commands run there."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from translate.cli import main
from translate.registry import plugins

PAGE = (Path(__file__).parents[2] / "docs" / "own_parts.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w./]+)`:\n\n```(?:python|yaml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^    python -m translate (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with the files of the page, the working directory; the plug-in is forgotten afterwards."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))
    before = list(plugins._activated)
    yield tmp_path
    plugins._activated[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


def test_the_page_has_the_files_that_it_names() -> None:
    listing = re.search(r"^    my_parts/\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert listing is not None
    assert {f"my_parts/{line.strip()}" for line in listing[1].splitlines()} == set(FILES)
    assert len(COMMANDS) == 4


def test_every_command_uses_the_parts_of_the_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in COMMANDS:
        assert main(shlex.split(line, comments=True)) == 0, f"{line}\n{capsys.readouterr().err}"
        if line.startswith("list"):
            assert "my_parts_stripes" in capsys.readouterr().out
    scores = json.loads((place / "runs/stripes/metrics/local_last.json").read_text(encoding="utf-8"))["scores"]
    assert scores
    assert all(name.startswith("brightness change") and value >= 0 for name, value in scores.items())
    assert "my_parts_charbonnier" in (place / "runs/codes/config.yaml").read_text(encoding="utf-8")
