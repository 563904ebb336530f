"""Processes that see different data raise an error with the rank and the first difference."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from translate.data import module
from translate.data.consistency import check_consistency
from translate.data.datasets.folder import Folder
from translate.data.module import DataModule
from translate.errors import UserError


def test_what_is_alike_is_passed_over() -> None:
    check_consistency(["2 train images"], lambda mine: [mine, ("elsewhere", ["2 train images"])])


def test_every_rank_that_differs_is_named_with_the_plainest_of_what_it_found() -> None:
    others = [
        ("b", ["9 train images", "labels x"]),
        ("b", ["9 train images", "labels y"]),
        ("c", ["7 images", "labels x"]),
    ]
    with pytest.raises(UserError) as caught:
        check_consistency(["9 train images", "labels x"], lambda mine: [("a", mine[1]), *others, others[2]])
    said = str(caught.value)
    assert "labels y on rank 2 of 5 (host b), labels x on rank 0 (host a)" in said
    assert "7 images on ranks 3, 4 of 5 (host c), 9 train images on rank 0 (host a)" in said
    assert "rank 1" not in said


def facts(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the facts of a folder of images that a process sends to the others, before and after reading them."""
    gathered: list[list[str]] = []
    monkeypatch.setattr(module, "alone", lambda: False)
    monkeypatch.setattr(module, "check_consistency", gathered.append)
    train, val = (Folder(root=str(root), split=split, domains=None) for split in ("train", "val"))
    DataModule(train, val, image_size=16, batch_size=2, max_bad_fraction=0.5).setup()
    return gathered


def remove(root: Path) -> None:
    (root / "train" / "dog" / "0.png").unlink()


def touch(root: Path) -> None:
    os.utime(root / "train" / "dog" / "0.png", (1, 1))


def move(root: Path) -> None:
    os.rename(root / "train" / "dog" / "0.png", root / "train" / "cat" / "5.png")


def spoil(root: Path) -> None:
    path = root / "val" / "dog" / "0.png"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"\0" * path.stat().st_size)
    os.utime(path, ns=times)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda root: None, None),
        (remove, "9 train images"),
        (touch, "train images with the fingerprint"),
        (move, "train images with the fingerprint"),
        (spoil, "3 readable val images"),
    ],
)
def test_copies_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], found: str | None
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for part, count in (("train", 5), ("val", 2)):
        for domain in ("cat", "dog"):
            (one / part / domain).mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (20, 20), (40 * k, 90, 120)).save(one / part / domain / f"{k}.png")
    shutil.copytree(one, two)
    change(two)
    for first, second in zip(facts(one, monkeypatch), facts(two, monkeypatch), strict=True):
        if first != second:
            assert found is not None
            with pytest.raises(UserError, match=rf"{found}.* on rank 1 of 2 \(host b\)"):
                check_consistency(first, lambda mine, other=second: [mine, ("b", other)])
            return
    assert found is None
