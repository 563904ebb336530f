"""Data that a model can train on, though most likely not well, is named before the training."""

from pathlib import Path

import pytest
from PIL import Image

from training.tiny import RUN, tiny
from translate.config.compose import prepare
from translate.data import advice
from translate.data.datasets.critters import Critters
from translate.data.datasets.folder import Folder
from translate.errors import UserError
from translate.training import run


def photographs(root: Path, **counts: int) -> Path:
    """Write so many images into each folder, named with / as __."""
    for name, count in counts.items():
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (40, 32), (number, 0, 0)).save(folder / f"{number}.png")
    return root


def sentences(root: Path, **arguments: object) -> list[str]:
    return [str(problem) for problem in advice.warnings(Folder(str(root), split="train", **arguments))]


def test_enough_images_in_flat_folders_are_fine(tmp_path: Path) -> None:
    photographs(tmp_path, train__cat=50, train__dog=50, val__cat=1, val__dog=1)
    assert sentences(tmp_path) == []
    assert list(advice.warnings(Critters(num_images=30, split="train"))) != []
    assert list(advice.warnings(Critters(num_images=150, split="train"))) == []


def test_few_images_are_named_by_domain(tmp_path: Path) -> None:
    photographs(tmp_path, train__cat=50, train__dog=49, val__cat=1, val__dog=1)
    assert sentences(tmp_path) == [
        "the data set is small, so the discriminator overfits early; found training images: 49 of dog, expected at "
        "least 50, better some hundred, in each domain. Fix: add images, or set augment=resize_crop_flip"
    ]


def test_folders_inside_a_domain_are_named(tmp_path: Path) -> None:
    photographs(tmp_path, cat__old=40, cat__young=40, dog=80)
    (sentence,) = sentences(tmp_path)
    assert "root: all images in the folders of the domain 'cat' count as 'cat'; found folders " in sentence
    assert "Fix: if these are the domains, add /cat to the root" in sentence


def test_a_single_folder_of_folders_is_an_error(tmp_path: Path) -> None:
    photographs(tmp_path, photos__cat=3, photos__dog=3)
    with pytest.raises(UserError, match=r"found cat, dog\. Fix: give .*/photos, or set domains=\[photos\]"):
        Folder(str(tmp_path), split="train")
    assert Folder(str(tmp_path), split="train", domains=["photos"]).domains == ("photos",)
    assert Folder(str(tmp_path / "photos"), split="train").domains == ("cat", "dog")


def test_a_run_says_it_before_it_trains(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos", cat=9, dog=9)
    data = ["data=folder", f"data.root={root}", "data.image_size=32", "data.batch_size=4", "data.cache=null"]
    words = [*tiny.model, *data, *RUN, "data.num_workers=0", "iterations=1"]
    prepared = prepare(words)
    assert run.train(prepared.config, tmp_path / "run", None, words, prepared.datasets) == 0
    first = (tmp_path / "run" / "log.txt").read_text().splitlines()[0]
    assert "WARNING data: the data set is small" in first


# --- files that are not what they seem ----------------------------------------------------------------------


def splits(root: Path) -> tuple[Folder, Folder]:
    return Folder(str(root), split="train"), Folder(str(root), split="val")


def test_the_same_files_in_train_and_val_are_named(tmp_path: Path) -> None:
    photographs(tmp_path, train__cat=3, train__dog=3)
    photographs(tmp_path, val__cat=2, val__dog=2)
    (tmp_path / "val" / "dog" / "0.png").write_bytes(b"x" * (tmp_path / "train" / "dog" / "0.png").stat().st_size)
    (tmp_path / "val" / "dog" / "1.png").unlink()
    (problem,) = advice.shared_images(*splits(tmp_path))
    assert "validation images are among the training images" in str(problem)
    assert f"found 2 of 3 validation files, such as {tmp_path}/val/cat/" in str(problem)
    for number in range(2):
        (tmp_path / "val" / "cat" / f"{number}.png").write_bytes(b"y")
    assert list(advice.shared_images(*splits(tmp_path))) == []
    assert list(advice.shared_images(Critters(num_images=3, split="train"), Critters(split="val"))) == []


def test_few_validation_files_of_many_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs(tmp_path, train__cat=8, val__cat=8)
    read: list[str] = []
    digest = advice._digest
    monkeypatch.setattr(advice, "_digest", lambda path: read.append(path) or digest(path))
    monkeypatch.setattr(advice, "MOST_COMPARED", 2)
    (problem,) = advice.shared_images(*splits(tmp_path))
    assert "found 2 of 2 validation files" in str(problem)
    assert sum("/val/" in path for path in read) == 2


def test_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    photographs(tmp_path, train__cat=1, train__dog=1, val__cat=1, val__dog=1)
    (tmp_path / "train" / "cat" / "labels.csv").touch()
    assert list(advice.skipped_files(splits(tmp_path)[0])) == []
    for name in ("a.gif", "b.GIF", "c.heic", ".hidden.gif"):
        (tmp_path / "train" / "cat" / name).touch()
    (tmp_path / "train" / "cat" / "folder.gif").mkdir()
    (problem,) = advice.skipped_files(splits(tmp_path)[0])
    assert str(problem).startswith("root: files beside the images are skipped; found 2 of gif, 1 of heic, expected bmp")


def test_a_run_says_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photographs(tmp_path / "data", train__cat=2, train__dog=2, val__cat=1, val__dog=1)
    (tmp_path / "data" / "train" / "dog" / "a.gif").touch()
    overrides = ["data=folder", f"data.root={tmp_path / 'data'}", "data.image_size=32", "data.batch_size=2"]
    config = tiny.on([*overrides, "data.cache=null", "data.num_workers=0"], "iterations=1")
    assert run.train(config, tmp_path / "run", None, []) == 0
    said = capfd.readouterr().err
    assert said.count("data: validation images are among the training images") == 1
    assert said.count("data.root: files beside the images are skipped; found 1 of gif") == 1
