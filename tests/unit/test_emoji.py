"""Emoji: vector icons are fetched, rendered and attributed; styles share names, and two are pairs by name."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving import Answer, Server
from translate.cli import USER_MISTAKE, main
from translate.data.datasets.emoji import Emoji
from translate.downloads import icons
from translate.downloads.sources import read_all
from translate.downloads.unpack import ArchiveError
from translate.errors import UserError

NAMES = [f"face-{number}" for number in range(12)]
INFO = {"name": "A style", "author": {"name": "Somebody", "url": "https://example.org"}, "license": {"title": "MIT"}}


def collection(names: list[str] = NAMES, **icon: Any) -> str:
    body = {name: {"body": f'<circle cx="8" cy="8" r="{k % 8}" fill="red"/>', **icon} for k, name in enumerate(names)}
    return json.dumps({"prefix": "style", "info": INFO, "icons": body})


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take the place of resvg-py by squares of one colour; return the SVG texts that it is given."""
    rendered: list[str] = []

    def svg_to_bytes(svg_string: str, background: str) -> bytes:
        rendered.append(svg_string)
        side = int(svg_string.split(' width="')[1].split('"')[0])
        content = io.BytesIO()
        Image.new("RGB", (side, side), background).save(content, format="PNG")
        return content.getvalue()

    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=svg_to_bytes))
    return rendered


def test_the_collections_are_fetched_and_rendered(
    tmp_path: Path, renderer: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = read_all()["emoji"]
    with Server() as server:
        for number, file in enumerate(source.files):
            content = collection(NAMES if number else [*NAMES, "only-here"]).encode()
            server.serve(file.name, Answer(content))
        words = ["download", "data=emoji", f"mirror={server.url('')}", "pixels=24"]
        assert main(words) == 0, capsys.readouterr().err
    root = tmp_path / "datasets" / "emoji"
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == sorted(source.content)
    for style in source.content:
        text = (root / style / icons.NOTICE).read_text()
        assert "Drawings: Somebody https://example.org" in text
        assert "Licence: MIT" in text
        assert "24 x 24 px" in text
        stems = {path.stem: path.parent.name for path in (root / style).glob("*/*.png")}
        assert set(NAMES) <= set(stems)
        assert all(stems[name] == icons.split_of(name) for name in NAMES)
    assert Image.open(next(root.glob("noto/train/*.png"))).size == (24, 24)
    assert all('viewBox="0 0 16 16"' in svg for svg in renderer)
    with_val = Emoji(str(root), split="val", domains=["noto", "twemoji"])
    assert {Path(name).stem for name in with_val.names} == {n for n in NAMES if icons.split_of(n) == "val"}


def styles(root: Path, names: dict[str, list[str]], part: str = "train") -> None:
    for style, own in names.items():
        (root / style / part).mkdir(parents=True, exist_ok=True)
        for name in own:
            Image.new("RGB", (4, 4)).save(root / style / part / f"{name}.png")


def test_styles_share_their_names_and_two_are_pairs(tmp_path: Path) -> None:
    styles(tmp_path, {"noto": ["a", "b", "c"], "twemoji": ["b", "c"], "fluent": ["c", "b", "d"]})
    two = Emoji(str(tmp_path), split="train", domains=["twemoji", "noto"])
    assert two.domains == ("twemoji", "noto")
    assert [Path(name).as_posix() for name in two.names] == [
        *(f"twemoji/train/{name}.png" for name in "bc"),
        *(f"noto/train/{name}.png" for name in "bc"),
    ]
    assert two.domain is not None
    assert two.partner is not None
    for item, partner in enumerate(two.partner):
        assert Path(two.names[item]).name == Path(two.names[partner]).name
        assert two.domain[item] != two.domain[partner]
    np.testing.assert_array_equal(two.partner[two.partner], np.arange(4))
    three = Emoji(str(tmp_path), split="train")
    assert (three.domains, three.partner, len(three)) == (("fluent", "noto", "twemoji"), None, 6)


def test_mistakes_of_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder of a style with train/\. Fix: python -m translate download"):
        Emoji(str(tmp_path), split="train")
    styles(tmp_path, {"noto": ["a"], "twemoji": ["b"]})
    with pytest.raises(UserError, match=r"no train image of a common name; found 1 of noto, 1 of twemoji"):
        Emoji(str(tmp_path), split="train")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        collection(["../up"]),
        collection(body='<image href="/etc/passwd"/>'),
        collection(body='<use xlink:href="other.svg"/>'),
        collection(body='<path fill="url(https://example.org)"/>'),
        collection(body='<!ENTITY x SYSTEM "file:///etc/passwd">'),
    ],
)
def test_a_hostile_collection_is_refused(text: str, tmp_path: Path, renderer: list[str]) -> None:
    (tmp_path / "icons.json").write_text(text)
    with pytest.raises(ArchiveError):
        icons.render(tmp_path / "icons.json", tmp_path / "out")
    assert renderer == []


def test_references_within_an_icon_are_allowed(tmp_path: Path, renderer: list[str]) -> None:
    (tmp_path / "icons.json").write_text(collection(["a"], body='<use href="#b"/><path fill="url(#c)"/>', width=32))
    icons.render(tmp_path / "icons.json", tmp_path / "out", 8)
    assert 'viewBox="0 0 32 16"' in renderer[0]


def test_without_the_renderer_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["download", "data=emoji", "mirror=https://127.0.0.1:1"]) == USER_MISTAKE
    assert "pip install 'translate-gan[emoji]'" in capsys.readouterr().err


def test_the_real_renderer_draws_a_circle(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    (tmp_path / "icons.json").write_text(collection(NAMES[:8]))
    icons.render(tmp_path / "icons.json", tmp_path / "out", 32)
    image = Image.open(next((tmp_path / "out").glob("*/face-7.png"))).convert("RGB")
    assert (image.size, image.getpixel((0, 0)), image.getpixel((16, 16))) == ((32, 32), (255, 255, 255), (255, 0, 0))
