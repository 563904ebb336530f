"""The commands that `download` gives train, and docs/data.md tells of every set."""

import re
import shlex
from pathlib import Path

import pytest

from translate.config.compose import load
from translate.config.search_path import groups
from translate.data.datasets.unpaired import COLLECTIONS
from translate.downloads.download import DownloadRequest
from translate.downloads.sources import Source, read_all

TRAINED = {tuple(w for w in s.train if not w.startswith("data.collection=")): s for s in read_all().values() if s.train}


@pytest.mark.parametrize("source", TRAINED.values(), ids=lambda source: source.name)
def test_training_commands_are_good(source: Source, tmp_path: Path) -> None:
    told = DownloadRequest(source, tmp_path / "it's a folder, really").training_command()
    assert told is not None
    words = shlex.split(told)[3:]
    assert load(words, scan=False).data.arguments["root"] == str(tmp_path / "it's a folder, really")


def test_collections_are_known() -> None:
    words = [word for source in read_all().values() for word in source.train if word.startswith("data.collection=")]
    assert len(words) > 5
    assert {word.partition("=")[2] for word in words} < set(COLLECTIONS)


def test_the_page_about_data_tells_of_every_set() -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "data.md").read_text(encoding="utf-8")
    ladder = (docs / "ladder.md").read_text(encoding="utf-8")
    weights = {name for name in read_all() if name.startswith("weights_")}  # the page of the ladder has them
    assert all(name in ladder for name in weights)
    known = {name: source for name, source in read_all().items() if name not in weights}
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    sections = {"celeba", "emoji"}  # they have a section; that of emoji has a row for each style
    styles = set(known["emoji"].content)
    assert set(rows) - styles == {name for name, source in known.items() if source.files} - sections
    assert all(f"`{name}`" in text or f"data={name}`" in text for name in known)
    assert [option for option in groups()["data"] if f"`data={option}" not in text] == []
