"""Threads decode no more pixels at once than their budget has, in any order, with the same images as ever."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.data import images, pixel_budget
from translate.data.cache import open_images
from translate.data.datasets.base import ImageFiles
from translate.data.images import ImageError, decoded, open_rgb
from translate.data.pixel_budget import LEAST, PixelBudget, available_memory, decoding_budget
from translate.doctor import inspection


class Files(ImageFiles):
    """Image files without labels."""

    def fingerprint(self) -> str:
        return str(self.names)


class Counted:
    """Counts the pixels of the images that are in decoding; `most` is the largest sum."""

    def __init__(self, budget: PixelBudget) -> None:
        self.most = self.now = self.images = 0
        self.together: list[int] = []  # how many were in decoding when one began
        self._lock = threading.Lock()
        take, give = budget.take, budget.give

        def counted_take(pixels: int) -> None:
            take(pixels)
            with self._lock:
                self.now, self.images = self.now + pixels, self.images + 1
                self.most = max(self.most, self.now)
                self.together.append(self.images)

        def counted_give(pixels: int) -> None:
            with self._lock:
                self.now, self.images = self.now - pixels, self.images - 1
            give(pixels)

        budget.take, budget.give = counted_take, counted_give  # type: ignore[method-assign]


SIDES = [30, 8, 8, 40, 10, 10, 8, 30, 12, 8, 40, 9] * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for number, side in enumerate(SIDES):
        Image.fromarray(generator.integers(0, 255, (side, side, 3), np.uint8)).save(tmp_path / f"{number:02d}.png")
    return tmp_path


@pytest.mark.parametrize("pixels", [1, 100, 1000, 2000])
def test_decoding_stays_within_the_budget_and_gives_the_same_images(
    pixels: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Files(str(folder), sorted(path.name for path in folder.iterdir()), "square")
    wanted = open_images(dataset, 8, None, num_threads=1, progress=False).take(np.arange(len(SIDES)))
    budget = PixelBudget(pixels)
    counted = Counted(budget)
    monkeypatch.setattr(images, "decoding_budget", lambda: budget)
    monkeypatch.setattr("translate.data.decoding._CHUNK_ITEMS", 1)
    stored = open_images(dataset, 8, folder / "cache", num_threads=8, progress=False)
    assert (stored.take(np.arange(len(SIDES))) == wanted).all()
    assert len(counted.together) == len(SIDES) and counted.now == 0 and budget.free == pixels
    assert counted.most <= max(pixels, 40 * 40)  # the largest image alone may be larger than the budget
    if pixels == 1:
        assert set(counted.together) == {1}


def test_the_doctor_decodes_within_the_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(1)
    counted = Counted(budget)
    monkeypatch.setattr(images, "decoding_budget", lambda: budget)
    names = sorted(path.name for path in folder.iterdir())
    found = inspection.inspect(len(names), inspection.of_files(str(folder), names), num_threads=6)
    assert found.width.tolist() == SIDES
    assert counted.together == [1] * len(SIDES)


def test_small_images_are_decoded_together_and_a_huge_one_alone() -> None:
    budget = PixelBudget(100)
    inside, leave, log = threading.Semaphore(0), threading.Event(), []

    def decode(pixels: int) -> None:
        with budget.hold(pixels):
            log.append(pixels)
            inside.release()
            leave.wait(20)

    def begin(pixels: int) -> threading.Thread:
        thread = threading.Thread(target=decode, args=(pixels,))
        thread.start()
        return thread

    threads = [begin(50), begin(50)]
    assert inside.acquire(timeout=20) and inside.acquire(timeout=20)  # both are inside at once
    assert not budget.has_room(1)
    threads += [begin(500)]
    while len(budget._waiting) < 1:
        pass
    threads += [begin(10)]
    while len(budget._waiting) < 2:
        pass
    assert log == [50, 50]
    leave.set()
    for thread in threads:
        thread.join(20)
    assert log == [50, 50, 500, 10]  # first come, first served: small ones do not keep a huge one waiting
    assert budget.free == 100


def test_a_thread_does_not_wait_for_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(10)
    monkeypatch.setattr(images, "decoding_budget", lambda: budget)
    with decoded(folder / "00.png") as first, decoded(folder / "03.png") as second:
        assert (first.size, second.size) == ((30, 30), (40, 40))
        assert budget.free < 0
    assert budget.free == 10


def test_a_file_that_fails_returns_its_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(10)
    monkeypatch.setattr(images, "decoding_budget", lambda: budget)
    path = folder / "00.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match="cannot be read"):
        open_rgb(path)
    assert budget.free == 10


def test_a_bomb_is_refused_before_it_takes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(10)
    counted = Counted(budget)
    monkeypatch.setattr(images, "decoding_budget", lambda: budget)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (30, 30)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="is larger than 0 megapixels"):
        open_rgb(tmp_path / "bomb.png")
    assert counted.together == []


def test_the_budget_follows_the_memory_that_is_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert available_memory() > 0
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(pixel_budget, "_CGROUP", tmp_path)
    assert available_memory() == 3000
    monkeypatch.setattr(pixel_budget, "_OF_PROCESS", {})
    assert decoding_budget().pixels == LEAST
    assert decoding_budget() is decoding_budget()
    monkeypatch.setattr(pixel_budget, "_OF_PROCESS", {})
    monkeypatch.setattr(pixel_budget, "available_memory", lambda: 96 * LEAST * 5)
    assert decoding_budget().pixels == 5 * LEAST
