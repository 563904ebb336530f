"""docs/adding_a_model.md is executed: its files are written to an empty folder and its commands run there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "adding_a_model.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```(?:python|yaml|toml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^    (python (?:-m|rabbit).*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the page."""
    folder = tmp_path_factory.mktemp("reader")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_the_page_has_files_and_commands() -> None:
    told = re.search(r"^    gc_lab/\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert told is not None
    named = {line.strip() for line in told[1].splitlines()}
    assert named - {"tests/test_gcgan.py"} == {n.removeprefix("gc_lab/") for n in FILES if n.startswith("gc_lab/")}
    assert len(COMMANDS) == 8


def test_every_command_does_what_the_page_says(place: Path) -> None:
    """In the order of the page, since a later one resumes an earlier one's run."""
    Image.new("RGB", (40, 40), "orange").save(place / "cat.png")
    environment = {**os.environ, "TRANSLATE_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    for line in COMMANDS:
        words = shlex.split(line, comments=True)
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        wanted = 2 if line.endswith("# exit code 2") else 0
        assert done.returncode == wanted, f"{line}\n{done.stdout}{done.stderr}"
        if wanted == 2:
            assert "expected 2 domains for the model 'gcgan'" in done.stderr
        if "rabbit.py" in line:
            assert "(32, 32)" in done.stdout
    assert {path.name for path in (place / "runs/first/samples").iterdir()} >= {"000010_translation.png"}
    assert sorted(path.stem for path in (place / "runs/first/checkpoints").glob("*.safetensors"))[-1] == "000030"
