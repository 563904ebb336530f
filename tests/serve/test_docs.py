"""docs/serve.md: its programs run, and its sentences and defaults are those of the server."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serve import models
from serve.client import pixels, write

pytest.importorskip("gradio", reason="the extra demo is not installed")

from translate.commands.serve import Arguments
from translate.serving.limits import Limits
from translate.serving.server import Settings, server

TEXT = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    engine = models.stargan_v2(("cat", "dog", "rabbit"))
    with server(engine, "tiny", Settings(port=0)) as running, running.in_background() as address:
        yield address


def program(language: str, url: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert ADDRESS in text
    return text.replace(ADDRESS, url)


def expected() -> np.ndarray:
    translator = models.stargan_v2(("cat", "dog", "rabbit")).translator
    return np.asarray(translator.translate(Image.fromarray(pixels(1)), "rabbit", seed=5))


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl or bash is missing")
def test_curl(url: str, tmp_path: Path) -> None:
    write(tmp_path / "photo.png", pixels(1))
    words = ["bash", "-euo", "pipefail", "-c", program("bash", url)]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.startswith("event: complete\ndata: [")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "translated.png")), expected())


def test_python(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photo.png", pixels(1))
    names: dict[str, object] = {}
    exec(program("python", url), names)
    assert np.array_equal(np.asarray(Image.open(str(names["path"]))), expected())
    assert len(names["images"]) == 3  # type: ignore[arg-type]
    assert names["about"]["targets"] == ["cat", "dog", "rabbit"]  # type: ignore[index]


def test_limits() -> None:
    limits, arguments = Limits(), Arguments()
    for name in ("max_bytes", "max_pixels", "queue"):
        assert getattr(limits, name) == getattr(arguments, name)
        assert f"| `{name}` | {getattr(limits, name):,} |" in TEXT
