"""RaFD: what its file names say, persons held out, class folders, and a sentence for what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import EXPRESSIONS, folders, picture, rafd
from translate.data.datasets import rafd as module
from translate.data.datasets.rafd import RaFD
from translate.errors import UserError
from translate.registry.registry import DATASETS


def person(name: str) -> str:
    return Path(name).name.split("_")[1]


def error(root: Path, split: str = "train", **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        RaFD(str(root), split=split, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("rafd") is RaFD
    assert tuple(DATASETS.facts("rafd")["provides"]) == ("domain",)
    assert module.EXPRESSIONS == EXPRESSIONS


def test_names_tell_expression_angle_and_person(tmp_path: Path) -> None:
    rafd(tmp_path, persons=5)
    train, val = (RaFD(str(tmp_path), split=split) for split in ("train", "val"))
    assert train.domains == val.domains == EXPRESSIONS
    assert len(train) + len(val) == 5 * 3 * 8  # persons, the published angles, expressions
    for dataset in (train, val):
        assert dataset.domain is not None
        for name, label in zip(dataset.names, dataset.domain, strict=True):
            assert f"_{EXPRESSIONS[label]}_frontal" in name
            assert name[4:7] in ("045", "090", "135")
        assert set(np.bincount(dataset.domain)) == {len(dataset) // 8}


def test_persons_are_held_out_and_stay_so(tmp_path: Path) -> None:
    rafd(tmp_path, persons=20, angles=(90,))
    train, val = (RaFD(str(tmp_path), split=split, val_fraction=0.3) for split in ("train", "val"))
    persons = {part: {person(name) for name in found.names} for part, found in (("train", train), ("val", val))}
    assert not persons["train"] & persons["val"]
    assert len(persons["train"] | persons["val"]) == 20
    assert 1 <= len(persons["val"]) <= 12
    assert train.summary().endswith(f"; {len(persons['train'])} persons")
    of_one_angle = RaFD(str(tmp_path), angles=[90], val_fraction=0.3, split="val")
    assert {person(name) for name in of_one_angle.names} == persons["val"]
    rafd(tmp_path, persons=30, angles=(90,))  # more persons; the old ones keep their sides
    later = RaFD(str(tmp_path), split="val", val_fraction=0.3)
    assert persons["val"] <= {person(name) for name in later.names}
    assert not persons["train"] & {person(name) for name in later.names}


def test_angles_and_expressions_are_chosen(tmp_path: Path) -> None:
    rafd(tmp_path, persons=3)
    found = RaFD(str(tmp_path), angles=[0, 180], domains=["sad", "happy"], split="train")
    assert found.domains == ("sad", "happy")
    assert {name[4:7] for name in found.names} == {"000", "180"}
    assert found.domain is not None
    assert [("sad", "happy")[label] in name for name, label in zip(found.names, found.domain, strict=True)]


def test_files_lie_anywhere_and_others_do_not_count(tmp_path: Path) -> None:
    rafd(tmp_path / "deep" / "er", persons=2, angles=(90,))
    picture(tmp_path / "me.jpg")
    picture(tmp_path / "Rafd090_03_Caucasian_male_bored_frontal.jpg")
    picture(tmp_path / "deep" / "rafd090_01_Caucasian_male_SAD_left.PNG")
    found = [RaFD(str(tmp_path), split=split) for split in ("train", "val")]
    names = [name for dataset in found for name in dataset.names]
    assert len(names) == 17
    assert sum("SAD" in name for name in names) == 1


def test_the_crop_is_a_number_of_pixels(tmp_path: Path) -> None:
    rafd(tmp_path, persons=2, angles=(90,))
    image = Image.new("L", (48, 80))
    image.paste(255, (16, 32, 32, 48))
    for path in tmp_path.iterdir():
        image.save(path, quality=100)
    assert (RaFD(str(tmp_path), crop=16, split="train").read(0, 16) > 250).all()
    assert (RaFD(str(tmp_path), crop=48, split="train").read(0, 48)[:16] < 5).all()
    assert np.array_equal(
        RaFD(str(tmp_path), split="train").read(0, 48),  # fewer pixels than the published crop
        RaFD(str(tmp_path), crop="square", split="train").read(0, 48),
    )
    assert RaFD(str(tmp_path), split="train").fingerprint() != RaFD(str(tmp_path), crop=10, split="train").fingerprint()


@pytest.mark.parametrize("divided", [True, False])
def test_class_folders_do_as_well(divided: bool, tmp_path: Path) -> None:
    parts = ("train/", "test/") if divided else ("",)
    folders(tmp_path, {f"{part}{name}": 6 for part in parts for name in ("anger", "joy")})
    train, val = (RaFD(str(tmp_path), split=split) for split in ("train", "val"))
    assert train.domains == ("anger", "joy")
    assert len(train) + len(val) == 12 * len(parts)
    assert "person" not in train.summary()
    assert train.read(0, 4).shape == (4, 4, 3)


def test_the_users_split_of_published_names_counts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("happy", "sad"):
            picture(tmp_path / part / name / f"Rafd000_01_Caucasian_male_{name}_left.jpg")
    assert RaFD(str(tmp_path), split="val").names == [
        f"test/{name}/Rafd000_01_Caucasian_male_{name}_left.jpg" for name in ("happy", "sad")
    ]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    assert "no class folder" in error(tmp_path)
    rafd(tmp_path, persons=1)
    assert "images of a single person" in error(tmp_path)
    rafd(tmp_path, persons=3)
    assert "angles: found [60], expected some of 0, 45, 90, 135, 180" in error(tmp_path, angles=[60])
    assert "angles: found []" in error(tmp_path, angles=[])
    assert "Did you mean 'happy'" in error(tmp_path, domains=["hapy", "sad"])
    assert "val_fraction" in error(tmp_path, val_fraction=2.0)
    assert "crop" in error(tmp_path, crop=-3)
    for path in tmp_path.glob("*_fearful_*"):
        path.unlink()
    assert "has no val image of 'fearful'" in error(tmp_path, "val")
    assert RaFD(str(tmp_path), domains=["angry", "sad"], split="val").domains == ("angry", "sad")
    for path in tmp_path.glob("Rafd[01][0349][05]*"):
        if "Rafd000" not in path.name:
            path.unlink()
    assert "has no image at them; found [45, 90, 135], expected some of 0, 180" in error(tmp_path)
