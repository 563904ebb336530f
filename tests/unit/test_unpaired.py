"""The layout of CycleGAN: sides, names, splits, published collections, and a sentence for what is wrong."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layouts import folders, picture
from translate.data.datasets.unpaired import COLLECTIONS, Unpaired
from translate.data.images import read_image
from translate.errors import UserError
from translate.registry.registry import DATASETS

BOTH = {"trainA": 5, "trainB": 3, "testA": 2, "testB": 4}


def names(dataset: Unpaired, root: Path) -> list[str]:
    return [os.path.relpath(dataset.describe(index), root) for index in range(len(dataset))]


def error(root: Path, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        Unpaired(str(root), split="train", **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("unpaired") is Unpaired
    assert tuple(DATASETS.facts("unpaired")["provides"]) == ("domain",)


def test_sides_are_domains(tmp_path: Path) -> None:
    folders(tmp_path, BOTH)
    picture(tmp_path / "trainA" / "more" / "Z.BMP", 77)
    (tmp_path / "trainA" / "notes.txt").write_text("x")
    train, val = Unpaired(str(tmp_path), split="train"), Unpaired(str(tmp_path), split="val")
    assert train.domains == val.domains == ("a", "b")
    assert train.domain is not None
    assert val.domain is not None
    assert train.domain.tolist() == [0] * 6 + [1] * 3
    assert train.domain.dtype == np.int64
    assert val.domain.tolist() == [0, 0, 1, 1, 1, 1]
    assert names(train, tmp_path)[5:7] == ["trainA/more/Z.BMP", "trainB/000.png"]
    assert names(val, tmp_path)[:2] == ["testA/000.png", "testA/001.png"]
    assert np.array_equal(train.read(6, 4), read_image(tmp_path / "trainB" / "000.png", 4))
    assert train.partner is None
    assert train.epoch_size() == 6  # of the larger side


def test_val_goes_before_test(tmp_path: Path) -> None:
    folders(tmp_path, {**BOTH, "valA": 1, "valB": 1})
    assert len(Unpaired(str(tmp_path), split="val")) == 2


def test_domains_chooses_and_orders(tmp_path: Path) -> None:
    folders(tmp_path, BOTH)
    found = Unpaired(str(tmp_path), domain_names=["horse", "zebra"], domains=["zebra", "horse"], split="train")
    assert found.domains == ("zebra", "horse")
    assert names(found, tmp_path)[:3] == ["trainB/000.png", "trainB/001.png", "trainB/002.png"]
    assert Unpaired(str(tmp_path), domains=["b"], split="train").domains == ("b",)


def test_without_test_folders_a_share_is_held_out(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    folders(here, {"trainA": 40, "trainB": 60})
    parts = {part: Unpaired(str(here), val_fraction=0.2, split=part) for part in ("train", "val")}
    found = {part: set(names(dataset, here)) for part, dataset in parts.items()}
    assert len(found["train"] | found["val"]) == 100
    assert not found["train"] & found["val"]
    assert parts["val"].domain is not None
    assert 2 <= np.bincount(parts["val"].domain)[0] <= 16
    here.rename(there)
    assert set(names(Unpaired(str(there), val_fraction=0.2, split="val"), there)) == found["val"]


@pytest.mark.parametrize("below", [True, False])
def test_a_collection_lies_in_the_root_or_is_it(below: bool, tmp_path: Path) -> None:
    folders(tmp_path / "apple2orange", BOTH)
    root = tmp_path if below else tmp_path / "apple2orange"
    found = Unpaired(str(root), collection="apple2orange", split="train")
    assert found.domains == ("apple", "orange")
    assert len(found) == 8
    assert Unpaired(str(root), "apple2orange", ["x", "y"], split="train").domains == ("x", "y")


def test_every_collection_names_two_sides() -> None:
    assert all(len(set(sides)) == 2 for sides in COLLECTIONS.values())
    assert all(name.startswith("2".join(sides)) for name, sides in COLLECTIONS.items() if "2" in name)


def test_a_wrong_collection_is_refused(tmp_path: Path) -> None:
    folders(tmp_path / "horse2zebra", BOTH)
    assert "Did you mean 'apple2orange'" in error(tmp_path, collection="aple2orange")
    text = error(tmp_path / "horse2zebra", collection="apple2orange")
    assert "is another collection; found 'horse2zebra', expected 'apple2orange'" in text


def test_missing_sides_are_explained(tmp_path: Path) -> None:
    assert "no folders" in error(tmp_path)
    folders(tmp_path / "horse2zebra", BOTH)
    assert f"Fix: give {tmp_path / 'horse2zebra'}" in error(tmp_path)
    folders(tmp_path / "classes" / "train", {"cat": 1, "dog": 1})
    assert "use the data set folder" in error(tmp_path / "classes")
    folders(tmp_path / "odd", {"traina": 1, "B": 1})
    assert "found B, traina" in error(tmp_path / "odd")
    folders(tmp_path / "many", {f"x{k}": 0 for k in range(9)})
    assert "and 4 more" in error(tmp_path / "many")
    assert "there is no folder" in error(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"trainA": 2}, "has trainA/ but no trainB/"),
        ({"trainB": 2}, "has trainB/ but no trainA/"),
        ({"trainA": 2, "trainB": 2, "testA": 1}, "has testA/ but no testB/"),
        ({"trainA": 2, "trainB": 0}, "domain 'b' is empty"),
        ({"trainA": 2, "trainB": 1}, "domain 'b' in"),
    ],
)
def test_sides_that_lack_something_are_named(counts: dict[str, int], sentence: str, tmp_path: Path) -> None:
    folders(tmp_path, counts)
    assert sentence in error(tmp_path)


def test_an_empty_test_side_is_named(tmp_path: Path) -> None:
    folders(tmp_path, {**BOTH, "testB": 0})
    Unpaired(str(tmp_path), split="train")
    with pytest.raises(UserError, match="domain 'b' is empty"):
        Unpaired(str(tmp_path), split="val")


@pytest.mark.parametrize("given", [["x"], ["x", "x"], ["x", "y", "z"], ["", "y"], []])
def test_names_must_be_two(given: list[str], tmp_path: Path) -> None:
    folders(tmp_path, BOTH)
    assert "domain_names" in error(tmp_path, domain_names=given)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    folders(tmp_path, {"trainA": 2, "trainB": 2})
    assert "val_fraction" in error(tmp_path, val_fraction=1.5)
    assert "Did you mean 'square'" in error(tmp_path, crop="sqare")
    assert "no domain 'horse'" in error(tmp_path, domains=["horse", "b"])
