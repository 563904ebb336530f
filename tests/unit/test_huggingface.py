"""Hugging Face data: local folders and tables, labels, splits, laziness, and a sentence for what is wrong."""

import builtins
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import colour, folders, picture
from translate.config.compose import load
from translate.data.cache import cache_key, open_images
from translate.data.datasets import huggingface as module
from translate.data.datasets.huggingface import HuggingFace
from translate.errors import ConfigError, UserError
from translate.registry.registry import DATASETS

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep what the library writes out of the user's home, and never ask the Hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    module._load_from_hub.cache_clear()
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def opened(path: Path, split: str = "train", **arguments: Any) -> HuggingFace:
    return HuggingFace(str(path), split=split, **arguments)


def error(path: Path | str, split: str = "train", **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        HuggingFace(str(path), split=split, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def table(path: Path, labels: list[Any], feature: Any, embed: bool = True, column: str = "image") -> None:
    """Write a parquet file of pictures of colour 0, 1, ... with these labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = []
    for row in range(len(labels)):
        file = path.parents[1] / "pictures" / f"{row}.png"  # where the library does not look
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour(row)).save(file)
        stored.append({"bytes": file.read_bytes(), "path": file.name} if embed else {"bytes": None, "path": str(file)})
    features = datasets.Features({column: datasets.Image(decode=False), "label": feature})
    rows = datasets.Dataset.from_dict({column: stored, "label": labels}, features=features)
    rows.cast_column(column, datasets.Image()).to_parquet(str(path))


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("huggingface") is HuggingFace
    assert tuple(DATASETS.facts("huggingface")["provides"]) == ("domain",)


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    folders(tmp_path, {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 2})
    train, val = opened(tmp_path), opened(tmp_path, "val")
    assert train.domains == val.domains == ("cat", "dog")
    assert train.domain is not None
    assert train.domain.tolist() == [0, 0, 0, 1, 1]
    assert train.domain.dtype == np.int64
    assert (len(train), len(val)) == (5, 3)
    assert (train.read(3, 4) == colour(100)).all()
    assert train.describe(3) == f"{tmp_path} train row 3 ({tmp_path / 'train' / 'dog' / '000.png'})"
    assert train.summary() == "5 images, cat 3, dog 2"


@pytest.mark.parametrize("embed", [True, False])
def test_a_parquet_file(embed: bool, tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["wild", "tame", "never"])
    table(tmp_path / "t" / "all.parquet", [0, 1, 1, 0, None, -1] * 5, names, embed)
    parts = [opened(tmp_path / "t" / "all.parquet", split, domains=["tame", "wild"]) for split in ("train", "val")]
    assert sum(map(len, parts)) == 20  # without those that have no label
    for part in parts:
        assert part.domains == ("tame", "wild")
        assert part.domain is not None
        for index, label in enumerate(part.domain):
            number = int(part.read(index, 4)[0, 0, 0])
            assert [0, 1, 1, 0][number % 6] == 1 - label
    assert "(0.png)" in parts[0].describe(0) + parts[1].describe(0) or not embed
    assert "no train image of 'never'. Fix: choose [wild,tame]" in error(tmp_path / "t" / "all.parquet")


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    root = tmp_path / "t"
    for split, count in (("train", 6), ("validation", 4), ("test", 2)):
        table(root / f"{split}.parquet", ["b", "a"] * (count // 2), datasets.Value("string"))
    train, val = opened(root), opened(root, "val")
    assert train.domains == ("a", "b")
    assert (len(train), len(val)) == (6, 4)
    assert train.domain is not None
    assert train.domain.tolist() == [1, 0] * 3
    assert len(opened(root, "val", val_split="test")) == 2
    assert len(opened(root, train_split="validation")) == 4


def test_numbers_are_domains_in_their_order(tmp_path: Path) -> None:
    table(tmp_path / "x.parquet", [10, 9, 2] * 4, datasets.Value("int64"))
    found = opened(tmp_path / "x.parquet", val_fraction=0.4)
    assert found.domains == ("2", "9", "10")


def test_columns_have_any_name(tmp_path: Path) -> None:
    table(tmp_path / "x.parquet", ["a", "b"] * 10, datasets.Value("string"), column="photo")
    assert (opened(tmp_path / "x.parquet", image_column="photo").read(0, 4)[..., 1] == 0).all()


def test_a_single_split_is_divided_by_row(tmp_path: Path) -> None:
    table(tmp_path / "x.parquet", ["a", "b"] * 40, datasets.Value("string"))
    table(tmp_path / "y.parquet", ["a", "b"] * 60, datasets.Value("string"))

    def rows(name: str, split: str) -> set[int]:
        return set(opened(tmp_path / name, split, val_fraction=0.2)._rows.tolist())

    assert rows("x.parquet", "train") | rows("x.parquet", "val") == set(range(80))
    assert not rows("x.parquet", "train") & rows("x.parquet", "val")
    assert 5 <= len(rows("x.parquet", "val")) <= 30
    assert rows("x.parquet", "val") <= rows("y.parquet", "val")  # rows that are added change no other's side


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    table(tmp_path / "x.parquet", ["a", "b"] * 30, datasets.Value("string"))
    found = opened(tmp_path / "x.parquet")
    single = [found.read(index, 4) for index in range(len(found))]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda index: found.read(index, 4), range(len(found))))
    assert all(np.array_equal(a, b) for a, b in zip(together, single, strict=True))
    assert np.array_equal(pickle.loads(pickle.dumps(found)).read(5, 4), single[5])  # in a worker process


def test_bad_pictures_are_set_aside(tmp_path: Path) -> None:
    folders(tmp_path, {"train/cat": 6, "train/dog": 6, "test/cat": 1, "test/dog": 1})
    (tmp_path / "train" / "cat" / "000.png").write_bytes(b"")
    (tmp_path / "train" / "cat" / "001.png").write_bytes(b"no picture")
    (tmp_path / "train" / "dog" / "000.png").unlink()
    pictures = open_images(opened(tmp_path), 8, None, max_bad_fraction=0.3, progress=False)
    assert len(pictures) == 9
    assert [reason for _, reason in pictures.bad] == ["is empty (0 bytes)", "is not an image in a known format"]


def test_rows_without_a_picture_are_set_aside(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    good = {"bytes": (tmp_path / "x.png").read_bytes(), "path": None}
    stored = [None, {"bytes": b"", "path": None}, *[good] * 10]
    rows = datasets.Dataset.from_dict({"image": stored, "label": ["a"] * 12})
    rows.cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "x.parquet"))
    reasons = []
    for split in ("train", "val"):
        found = opened(tmp_path / "x.parquet", split, val_fraction=0.4)
        reasons += open_images(found, 8, None, max_bad_fraction=1.0, progress=False).bad
    assert sorted(reason for _, reason in reasons) == ["has no image", "is empty (0 bytes)"]


def test_the_fingerprint_follows_data_and_choice(tmp_path: Path) -> None:
    folders(tmp_path / "x", {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    seen = [opened(tmp_path / "x").fingerprint()]
    assert opened(tmp_path / "x").fingerprint() == seen[0]
    seen.append(opened(tmp_path / "x", "val").fingerprint())
    seen.append(opened(tmp_path / "x", crop="square").fingerprint())
    seen.append(opened(tmp_path / "x", domains=["dog"]).fingerprint())
    os.utime(tmp_path / "x" / "train" / "cat" / "000.png", (1, 1))
    seen.append(opened(tmp_path / "x").fingerprint())
    assert len(set(seen)) == len(seen)
    assert cache_key(opened(tmp_path / "x"), 8) == cache_key(opened(tmp_path / "x"), 8)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folders(tmp_path / "x", {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    assert f"there is no {tmp_path / 'nothing'}" in error(tmp_path / "nothing")
    assert "expected a parquet file or a folder" in error(tmp_path / "x" / "train" / "cat" / "000.png")
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded by 'datasets'" in error(tmp_path / "empty")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    assert "cannot be loaded by 'datasets'" in error(tmp_path / "bad.parquet")
    assert "train_split" in error(tmp_path / "x", train_split="trian")
    assert "Did you mean 'train'" in error(tmp_path / "x", train_split="trian")
    assert "val_split" in error(tmp_path / "x", val_split="dev")
    assert "the split is also that for training; found" in error(tmp_path / "x", val_split="train")
    assert "has no column 'img'" in error(tmp_path / "x", image_column="img")
    assert "label_column" in error(tmp_path / "x", label_column="labels")
    assert "image_column: the column 'label' holds no images" in error(tmp_path / "x", image_column="label")
    assert "crop" in error(tmp_path / "x", crop="sqare")
    assert "no domain 'fox'" in error(tmp_path / "x", domains=["cat", "fox"])
    table(tmp_path / "one.parquet", ["a"], datasets.Value("string"))
    assert "has a single image of 'a', too few for train and val" in error(tmp_path / "one.parquet")
    table(tmp_path / "real.parquet", [0.5, 1.5], datasets.Value("float64"))
    assert "found float, expected a ClassLabel" in error(tmp_path / "real.parquet")
    table(tmp_path / "share.parquet", ["a", "b"] * 9, datasets.Value("string"))
    assert "val_fraction" in error(tmp_path / "share.parquet", val_fraction=1.0)


def test_a_domain_that_validation_lacks_is_named(tmp_path: Path) -> None:
    folders(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/dog": 0})
    opened(tmp_path)
    assert "has no val image of 'dog'. Fix: choose [cat]" in error(tmp_path, "val")


def test_without_the_library_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "datasets":
            raise ModuleNotFoundError("No module named 'datasets'", name="datasets")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "pip install 'translate-gan[huggingface]'" in error(tmp_path)


# The Hub is asked only when it must be


def asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []

    def refuse(path: str, **options: Any) -> Any:
        calls.append(path)
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    return calls


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(["data=huggingface", "data.path=someone/something", *overrides])
    return list(map(str, caught.value.problems))


def test_what_the_hub_says_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked_of_the_hub(monkeypatch)
    (problem,) = problems()
    assert "someone/something cannot be loaded by 'datasets' (ConnectionError: Couldn't reach" in problem
    assert "\n" not in problem
    assert calls == ["someone/something"]


def test_nothing_is_downloaded_for_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked_of_the_hub(monkeypatch)
    (problem,) = problems("iterations=0")
    assert problem.startswith("iterations: found 0")
    assert problems("data.val_fraction=much")[0].startswith("data.val_fraction: found 'much'")
    assert calls == []


def test_it_is_loaded_once_for_both_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    there = datasets.load_dataset(str(tmp_path))
    calls: list[tuple[str, Any]] = []
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **options: calls.append((path, options)) or there)
    for split in ("train", "val"):
        HuggingFace("someone/something", subset="small", revision="abc", split=split)
    assert calls == [("someone/something", {"name": "small", "revision": "abc"})]


def test_the_library_is_imported_for_this_data_set_alone() -> None:
    code = (
        "import sys; from translate.config.compose import load; import translate.data.datasets\n"
        "load(['data=critters']); found = [m for m in ('datasets', 'pyarrow', 'pandas') if m in sys.modules]\n"
        "assert not found, found"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
