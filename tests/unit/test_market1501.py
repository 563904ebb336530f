"""Market-1501: cameras from file names, junk left out, and a sentence for what is wrong."""

from pathlib import Path
from typing import Any

import pytest

from layouts import market1501, picture
from translate.data.datasets.market1501 import Market1501
from translate.errors import UserError
from translate.registry.registry import DATASETS


def error(root: Path, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        Market1501(str(root), split="train", **arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("market1501") is Market1501
    assert tuple(DATASETS.facts("market1501")["provides"]) == ("domain",)


def test_cameras_are_domains_and_junk_is_left_out(tmp_path: Path) -> None:
    market1501(tmp_path, each=3, cameras=6)
    train, val = (Market1501(str(tmp_path), split=split) for split in ("train", "val"))
    assert train.domains == val.domains == ("c1", "c2", "c3", "c4", "c5", "c6")
    for dataset, folder in ((train, "bounding_box_train"), (val, "bounding_box_test")):
        assert len(dataset) == 18
        assert dataset.domain is not None
        for name, label in zip(dataset.names, dataset.domain, strict=True):
            assert name.startswith(f"{folder}/")
            assert f"_c{label + 1}s" in name
            assert not Path(name).name.startswith(("-1", "0000"))


def test_pictures_are_squeezed_to_a_square(tmp_path: Path) -> None:
    market1501(tmp_path)
    assert Market1501(str(tmp_path), split="train").read(0, 8).shape == (8, 8, 3)
    assert Market1501(str(tmp_path), split="train").crop == "none"


def test_cameras_are_chosen_and_ordered(tmp_path: Path) -> None:
    market1501(tmp_path, each=2)
    found = Market1501(str(tmp_path), domains=["c5", "c2"], split="train")
    assert found.domains == ("c5", "c2")
    assert found.domain is not None
    assert found.domain.tolist() == [0, 0, 1, 1]
    assert ["_c5s" in name for name in found.names] == [True, True, False, False]


def test_cameras_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    market1501(tmp_path, each=1, cameras=11)
    assert Market1501(str(tmp_path), split="train").domains[-2:] == ("c10", "c11")


def test_query_stands_in_for_the_test_part(tmp_path: Path) -> None:
    market1501(tmp_path)
    (tmp_path / "bounding_box_test").rename(tmp_path / "query")
    assert Market1501(str(tmp_path), split="val").names[0].startswith("query/")


def test_other_files_are_left_out(tmp_path: Path) -> None:
    market1501(tmp_path, each=1)
    for name in ("0002_c1s1_000451.jpg", "0002_c1_f0046182.jpg", "Thumbs.png", "002_c1s1_000451_03.jpg"):
        picture(tmp_path / "bounding_box_train" / name)
    (tmp_path / "bounding_box_train" / "Thumbs.db").write_text("x")
    assert len(Market1501(str(tmp_path), split="train")) == 6


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    assert "there is no folder" in error(tmp_path / "nothing")
    assert "no folder bounding_box_train" in error(tmp_path)
    (tmp_path / "bounding_box_train").mkdir()
    assert "no folder bounding_box_test or query" in error(tmp_path)
    (tmp_path / "query").mkdir()
    assert "bounding_box_train has no file named as 0002_c1s1_000451_03.jpg" in error(tmp_path)
    market1501(tmp_path)
    assert "no domain 'c7'" in error(tmp_path, domains=["c1", "c7"])
    for path in (tmp_path / "bounding_box_test").glob("*_c3s*"):
        path.unlink()
    assert "bounding_box_test has no image of camera c3. Fix: choose other cameras" in error(tmp_path)
    assert Market1501(str(tmp_path), domains=["c1", "c2"], split="train").domains == ("c1", "c2")
