"""Pairs in both layouts: what belongs together, directions, halves, and a sentence for what is wrong."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import colour, folders, picture, side_by_side
from translate.data.cache import cache_key, open_images
from translate.data.datasets import base
from translate.data.datasets.paired import Paired
from translate.data.images import ImageError
from translate.errors import UserError
from translate.registry.registry import DATASETS

SPELLINGS = ("{part}{side}", "{side}/{part}", "{part}/{side}")


def paired(root: Path, split: str = "train", **arguments: Any) -> Paired:
    return Paired(str(root), split=split, **arguments)


def two_folders(root: Path, counts: dict[str, int], spelling: str = SPELLINGS[0]) -> None:
    folders(
        root,
        {spelling.format(part=part, side=side): count for side in "AB" for part, count in counts.items()},
    )


def error(root: Path, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        paired(root, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def stems(dataset: Paired) -> list[str]:
    return [Path(name).stem for name in dataset.names]


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("paired") is Paired
    assert tuple(DATASETS.facts("paired")["provides"]) == ("domain", "partner")


# Side by side


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_halves_of_a_file_are_a_pair(held_out: str, tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 3, held_out: 2})
    train, val = paired(tmp_path), paired(tmp_path, "val")
    assert (len(train), len(val)) == (6, 4)
    assert train.domains == ("a", "b")
    assert train.domain is not None
    assert train.partner is not None
    assert train.domain.tolist() == [0, 1] * 3
    assert train.partner.tolist() == [1, 0, 3, 2, 5, 4]
    assert train.names[0] == train.names[1] == "train/000.png"
    assert train.describe(1).endswith("train/000.png (right)")
    for k in range(3):
        assert (train.read(2 * k, 4) == colour(k)).all()
        assert (train.read(2 * k + 1, 4) == colour(100 + k)).all()


def test_val_goes_before_test(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 2, "val": 3, "test": 4})
    assert len(paired(tmp_path, "val")) == 6


@pytest.mark.parametrize("below", ["train", "."])
def test_without_val_a_share_of_the_pairs_is_held_out(below: str, tmp_path: Path) -> None:
    side_by_side(tmp_path, {below: 50})
    parts = [paired(tmp_path, split, val_fraction=0.2) for split in ("train", "val")]
    found = [set(dataset.names) for dataset in parts]
    assert len(found[0] | found[1]) == 50
    assert not found[0] & found[1]
    assert all(len(dataset) == 2 * len(names) for dataset, names in zip(parts, found, strict=True))
    assert 2 <= len(found[1]) <= 20


def test_domains_turns_the_direction(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 2, "val": 1})
    there = paired(tmp_path, domain_names=["photo", "map"])
    back = paired(tmp_path, domain_names=["photo", "map"], domains=["map", "photo"])
    assert there.domains == ("photo", "map")
    assert back.domains == ("map", "photo")
    assert there.domain is not None
    assert back.domain is not None
    assert back.domain.tolist() == there.domain.tolist()  # the first domain is the source
    assert np.array_equal(back.read(0, 4), there.read(1, 4))
    assert np.array_equal(back.read(1, 4), there.read(0, 4))
    assert cache_key(there, 8) != cache_key(back, 8)


def test_the_crop_is_taken_of_a_half(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir(parents=True)
    stripes = np.zeros((4, 20, 3), np.uint8)
    stripes[:, :10] = np.arange(10)[:, None]  # the left half, 10 x 4: columns 3 to 6 are its centre
    stripes[:, 10:] = 100 + np.arange(10)[:, None]
    for index in range(2):
        Image.fromarray(stripes).save(tmp_path / "train" / f"{index}.png")
    (tmp_path / "val").symlink_to(tmp_path / "train")
    found = paired(tmp_path, crop="square")
    assert found.read(0, 4)[0, :, 0].tolist() == [3, 4, 5, 6]
    assert found.read(1, 4)[0, :, 0].tolist() == [103, 104, 105, 106]
    assert paired(tmp_path, crop=2).read(1, 2)[0, :, 0].tolist() == [104, 105]


def test_many_are_read_as_one_by_one_and_a_file_is_decoded_once(tmp_path: Path, monkeypatch: Any) -> None:
    side_by_side(tmp_path, {"train": 3, "val": 1})
    found = paired(tmp_path)
    single = [found.read(index, 4) for index in range(6)]
    opened: list[str] = []
    decode = base.decoded
    monkeypatch.setattr(base, "decoded", lambda path: opened.append(path) or decode(path))
    assert np.array_equal(found.read_many(np.arange(6), 4), np.stack(single))
    assert len(opened) == 3
    assert np.array_equal(found.read_many([5, 0, 5], 4), np.stack([single[5], single[0], single[5]]))


def test_an_odd_width_is_set_aside_with_both_halves(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 9, "val": 1})
    picture(tmp_path / "train" / "odd.png", size=(15, 8))
    found = paired(tmp_path)
    with pytest.raises(ImageError, match="is 15 pixels wide"):
        found.read(len(found) - 1, 4)
    pictures = open_images(found, 4, None, max_bad_fraction=0.2, progress=False)
    assert len(pictures) == 18
    assert [name for name, _ in pictures.bad] == [found.describe(18), found.describe(19)]
    with pytest.raises(UserError, match="not two images of equal width"):
        open_images(found, 4, None, max_bad_fraction=0.05, progress=False)


def test_the_fingerprint_follows_sides_and_files(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 3, "val": 1})
    seen = [paired(tmp_path).fingerprint()]
    assert paired(tmp_path).fingerprint() == seen[0]
    seen.append(paired(tmp_path, domains=["b", "a"]).fingerprint())
    seen.append(paired(tmp_path, crop="square").fingerprint())
    os.utime(tmp_path / "train" / "000.png", ns=(0, 1))
    seen.append(paired(tmp_path).fingerprint())
    assert len(set(seen)) == len(seen)


# Two folders


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_equal_names_are_pairs(spelling: str, tmp_path: Path) -> None:
    two_folders(tmp_path, {"train": 4, "val": 2}, spelling)
    train, val = paired(tmp_path), paired(tmp_path, "val", domains=["b", "a"])
    assert (len(train), len(val)) == (8, 4)
    assert stems(train) == [f"{k:03d}" for k in range(4) for _ in "ab"]
    assert train.halves is None
    a, b = (spelling.format(part="train", side=side) for side in "AB")
    assert train.names[:2] == [f"{a}/000.png", f"{b}/000.png"]
    assert val.names[0].startswith(spelling.format(part="val", side="B"))
    assert train.partner is not None
    assert train.partner.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_endings_and_suffixes_may_differ(tmp_path: Path) -> None:
    for name in ("x", "deep/y"):
        picture(tmp_path / "plain" / "trainA" / f"{name}.jpg")
        picture(tmp_path / "plain" / "trainB" / f"{name}.png")
        picture(tmp_path / "suffix" / "trainA" / f"{name}_A.jpg")
        picture(tmp_path / "suffix" / "trainB" / f"{name}_B.jpg")
    for root in ("plain", "suffix"):
        both = [paired(tmp_path / root, split) for split in ("train", "val")]
        assert sorted(name.rpartition("train")[2][:3] for dataset in both for name in dataset.names) == [
            "A/d", "A/x", "B/d", "B/x",
        ]  # fmt: skip


def test_a_name_that_ends_like_a_suffix_is_a_name(tmp_path: Path) -> None:
    for side in "AB":
        for name in ("x_A", "x_B"):
            picture(tmp_path / f"train{side}" / f"{name}.png")
            picture(tmp_path / f"val{side}" / f"{name}.png")
    assert stems(paired(tmp_path)) == ["x_A", "x_A", "x_B", "x_B"]


def test_pairs_are_held_out_as_pairs(tmp_path: Path) -> None:
    two_folders(tmp_path, {"train": 50})
    train, val = (paired(tmp_path, split, val_fraction=0.2) for split in ("train", "val"))
    assert stems(train)[::2] == stems(train)[1::2]
    assert not set(stems(train)) & set(stems(val))
    assert len(set(stems(train)) | set(stems(val))) == 50


def test_two_folders_go_before_what_was_combined_from_them(tmp_path: Path) -> None:
    two_folders(tmp_path, {"train": 4, "val": 2}, "{side}/{part}")
    side_by_side(tmp_path, {"train": 4, "val": 2})
    assert paired(tmp_path).halves is None


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    two_folders(tmp_path, {"train": 4, "val": 2})
    picture(tmp_path / "trainA" / "alone.png")
    text = error(tmp_path)
    assert "1 images" in text
    assert "trainA/alone (none in trainB/)" in text
    assert "use the data set unpaired" in text
    for k in range(5):
        picture(tmp_path / "trainB" / f"more{k}.png")
    assert "6 images" in error(tmp_path)
    assert "and 3 more" in error(tmp_path)
    assert len(paired(tmp_path, "val")) == 4


def test_names_that_are_not_unique_are_refused(tmp_path: Path) -> None:
    two_folders(tmp_path, {"train": 2, "val": 2})
    picture(tmp_path / "trainB" / "000.jpg")
    assert "has several images named '000'" in error(tmp_path)


# What is wrong in either


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "found no image file, expected files of two images side by side in train/"),
        ({"train": 0}, "found no image file"),
        ({"train/cat": 2, "train/dog": 2}, "as for the data set folder"),
        ({"val": 2}, "has val/ but no train/"),
        ({"train": 1}, "a single pair"),
        ({"trainA": 2}, "has trainA/ but no trainB/"),
        ({"A/train": 2}, "has A/train/ but no B/train/"),
        ({"trainA": 2, "trainB": 2, "testA": 2}, "has testA/ but no testB/"),
        ({"trainA": 2, "trainB": 0}, "trainB has no image file"),
        ({"trainA": 1, "trainB": 1}, "a single pair"),
    ],
)
def test_what_is_missing_is_named(counts: dict[str, int], sentence: str, tmp_path: Path) -> None:
    folders(tmp_path, counts)
    assert sentence in error(tmp_path)


def test_an_empty_validation_part_is_named(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 2, "val": 0})
    with pytest.raises(UserError, match="val has no pairs; found no image file"):
        paired(tmp_path, "val")


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    side_by_side(tmp_path, {"train": 3})
    assert "domain_names" in error(tmp_path, domain_names=["x"])
    assert "domains: found ['a'], expected both a and b" in error(tmp_path, domains=["a"])
    assert "no domain 'photo'" in error(tmp_path, domains=["photo", "a"])
    assert "val_fraction" in error(tmp_path, val_fraction=0.0)
    assert "crop: found 0, expected square, none or a number of pixels" in error(tmp_path, crop=0)
    assert "there is no folder" in error(tmp_path / "nothing")
