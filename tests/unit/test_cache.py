"""The image cache: what is read is what was on the disk, whatever happens to files, disks and processes."""

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from translate.data import cache
from translate.data.cache import cache_key, open_images
from translate.data.datasets.base import Dataset
from translate.data.datasets.folder import Folder
from translate.data.images import ImageError
from translate.errors import UserError


class World(Dataset):
    """Pictures made of numbers; `bad` items fail, and every reading is counted."""

    def __init__(self, count=200, bad=(), version="1", domains=("a", "b")):
        self.count, self.bad, self.version = count, set(bad), version
        self.domains = domains
        self.domain = np.arange(count) * len(domains) // count
        self.reads = []

    def __len__(self):
        return self.count

    def read(self, index, size):
        self.reads.append(index)
        if index in self.bad:
            raise ImageError("is spoilt")
        return self.image(index, size)

    def image(self, index, size):
        return np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)

    def describe(self, index):
        return f"world {index}"

    def fingerprint(self):
        return f"world {self.version} {self.count}"


def files(root, bad=0, count=60):
    for index in range(count):
        path = root / ("ab"[index % 2]) / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (index, 0, 0)).save(path)
        if index < bad:
            path.write_bytes(path.read_bytes()[:40])
    return root


def expect(world, images, size=8):
    """All images, in any order, are those of the world."""
    rows = np.random.default_rng(0).permutation(len(images))[:50]
    found = images.take(rows)
    assert found.dtype == np.uint8 and found.shape == (len(rows), size, size, 3) and type(found) is np.ndarray
    for row, image in zip(rows, found, strict=True):
        assert (image == world.image(images.indices[row], size)).all()


@pytest.mark.parametrize("workers", [None, 1, 3])
@pytest.mark.parametrize("on_demand", [False, True])
def test_take_returns_the_images(on_demand, workers, tmp_path):
    world = World(bad=[0, 77])
    images = open_images(world, 8, None if on_demand else tmp_path, num_threads=workers)
    assert sorted(world.reads[:200]) != [] and set(world.reads) == set(range(200))
    assert images.indices.tolist() == [index for index in range(200) if index not in (0, 77)]
    assert images.bad == [("world 0", "is spoilt"), ("world 77", "is spoilt")] and len(images) == 198
    world.reads.clear()
    expect(world, images)
    assert bool(world.reads) == on_demand
    found = images.take(np.array([3, 3]))
    found[0] = 0
    assert (images.take(np.array([3]))[0] == world.image(4, 8)).all()  # a copy: the cache is untouched
    with pytest.raises(IndexError):
        images.take(np.array([198]))


def test_a_second_opening_decodes_nothing(tmp_path):
    open_images(World(), 8, tmp_path)
    world = World()
    images = open_images(world, 8, tmp_path)
    assert world.reads == []
    expect(world, images)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock", ".u8"]


@pytest.mark.parametrize("on_demand", [False, True])
def test_images_may_be_stored_at_several_sizes(on_demand, tmp_path):
    world, folder = World(bad=[5]), None if on_demand else tmp_path
    images = open_images(world, 8, folder, further_sizes=[6])
    expect(world, images, 8)
    rows = np.array([7, 0, 150])
    small = images.take(rows, 1)
    assert images.sizes == ((8, 8), (6, 6)) and small.shape == (3, 6, 6, 3) and type(small) is np.ndarray
    assert all((image == world.image(images.indices[row], 6)).all() for row, image in zip(rows, small, strict=True))
    assert open_images(World(bad=[5]), 8, folder).sizes == ((8, 8),)  # another cache
    if not on_demand:
        assert images.path.stat().st_size == 200 * 3 * (64 + 36)
        again = World(bad=[5])
        assert open_images(again, 8, folder, further_sizes=[6]).path == images.path
        assert set(again.reads) <= {5}


def test_several_sizes_of_a_file_are_one_decoding(tmp_path, monkeypatch):
    from translate.data.datasets import base

    opened = []
    monkeypatch.setattr(base, "decoded", lambda path, decoded=base.decoded: opened.append(path) or decoded(path))
    dataset = Folder(str(files(tmp_path / "files")), split="train")
    large, small = dataset.read_sizes([0, 3], [12, 6])
    assert len(opened) == 2
    assert (large == dataset.read_many([0, 3], 12)).all() and (small == dataset.read_many([0, 3], 6)).all()


def test_a_data_set_that_cannot_fail_is_not_scanned(tmp_path):
    world = World()
    world.may_fail = False
    images = open_images(world, 8, None)
    assert world.reads == [] and len(images) == 200
    expect(world, images)


def test_size_and_fingerprint_make_another_cache(tmp_path):
    keys = {cache_key(World(version=version), size) for version in "12" for size in (8, 16)}
    assert len(keys) == 4
    open_images(World(), 8, tmp_path)
    world = World()
    expect(world, open_images(world, 16, tmp_path), 16)
    assert len(world.reads) == 200
    changed = World(version="2")
    open_images(changed, 8, tmp_path)
    assert len(changed.reads) == 200


def test_a_changed_file_makes_a_new_cache(tmp_path):
    root = files(tmp_path / "root")
    folder = tmp_path / "cache"
    before = open_images(Folder(str(root), split="train"), 8, folder)
    name = before.dataset.names[5]
    assert before.take(np.array([5]))[0, 0, 0, 1] == 0
    Image.new("RGB", (12, 12), (0, 99, 0)).save(root / name)
    os.utime(root / name, ns=(0, 10**9))
    after = open_images(Folder(str(root), split="train"), 8, folder)
    assert after.path != before.path
    assert (after.take(np.array([5]))[0] == [0, 99, 0]).all()
    assert before.take(np.array([5]))[0, 0, 0, 1] == 0  # a run that still uses the old one is not disturbed


@pytest.mark.parametrize("damage", ["short", "long", "gone", "no notes", "bad notes", "other notes", "alien notes"])
def test_damaged_caches_are_rebuilt(damage, tmp_path):
    path = open_images(World(bad=[3]), 8, tmp_path).path
    notes = path.with_suffix(".json")
    content = path.read_bytes()
    match damage:
        case "short":
            path.write_bytes(content[:-1])
        case "long":
            path.write_bytes(content + b"x")
        case "gone":
            path.unlink()
        case "no notes":
            notes.unlink()
        case "bad notes":
            notes.write_text(notes.read_text()[:-3])
        case "other notes":
            notes.write_text(json.dumps(json.loads(notes.read_text()) | {"bad": [[999, "x"]]}))
        case "alien notes":
            notes.write_text("[1, 2]")
    world = World(bad=[3])
    images = open_images(world, 8, tmp_path)
    assert set(world.reads) == set(range(200))
    expect(world, images)
    assert path.read_bytes() == content and 3 not in images.indices
    again = World(bad=[3])
    open_images(again, 8, tmp_path)
    assert set(again.reads) == {3}


def test_bad_files_are_named_and_counted_at_every_start(tmp_path, caplog):
    root = files(tmp_path / "root", bad=2)
    dataset = Folder(str(root), split="train")
    spoilt = [name for name in dataset.names if name in ("a/000.png", "b/001.png")]
    for folder in (tmp_path / "cache", tmp_path / "cache", None):
        caplog.clear()
        with caplog.at_level(logging.INFO, "translate"):
            images = open_images(Folder(str(root), split="train"), 8, folder, max_bad_fraction=0.1)
        assert [name for name, _ in images.bad] == [str(root / name) for name in spoilt] and spoilt
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        for line, name in zip(warnings, spoilt, strict=False):
            assert f"{root / name} is not an image" in line
        assert len(warnings) == len(spoilt) + 1
        assert f"{len(spoilt)} of {len(dataset)} images left out" in warnings[-1]


def test_a_bad_file_that_becomes_readable_is_taken_back(tmp_path):
    open_images(World(bad=[5, 6]), 8, tmp_path)
    mended = World(bad=[6])
    images = open_images(mended, 8, tmp_path)
    assert images.bad == [("world 6", "is spoilt")] and 5 in images.indices
    expect(mended, images)


@pytest.mark.parametrize("on_demand", [False, True])
def test_too_many_bad_files_are_an_error_that_names_them_and_the_setting(on_demand, tmp_path):
    folder = None if on_demand else tmp_path
    assert len(open_images(World(bad=[0, 1]), 8, folder, max_bad_fraction=0.01)) == 198  # at the limit
    world = World(version="2", bad=[10, 11, 12, 13, 14])
    with pytest.raises(UserError) as caught:
        open_images(world, 8, folder, max_bad_fraction=0.01)
    text = str(caught.value)
    assert (
        "5 of 200" in text
        and "world 10 is spoilt" in text
        and "2 more" in text
        and text.startswith("max_bad_fraction: ")
    )
    assert "1.0%" in text and "2.5%" in text and "\n" not in text
    assert len(open_images(World(version="2", bad=world.bad), 8, folder, max_bad_fraction=0.05)) == 195
    with pytest.raises(UserError):  # the limit holds for a cache that is there, too
        open_images(World(version="2", bad=world.bad), 8, folder, max_bad_fraction=0.01)
    with pytest.raises(UserError):
        open_images(World(version="3", bad=[9]), 8, folder, max_bad_fraction=0.0)


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_domain_left_empty_is_an_error_that_names_it(on_demand, tmp_path):
    world = World(bad=range(100, 200))
    with pytest.raises(UserError, match="domain 'b'"):
        open_images(world, 8, None if on_demand else tmp_path, max_bad_fraction=0.9)


def test_a_folder_that_cannot_be_written_means_on_demand(tmp_path, caplog):
    (tmp_path / "file").write_text("x")
    world = World(bad=[3])
    with caplog.at_level(logging.INFO, "translate"):
        images = open_images(world, 8, tmp_path / "file" / "cache")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len([line for line in warnings if "on demand" in line]) == 1
    assert images.path is None and 3 not in images.indices
    expect(world, images)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system has no such call")
def test_a_full_disk_is_noticed_before_the_scan(tmp_path, monkeypatch, caplog):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    world = World()
    images = open_images(world, 8, tmp_path)
    assert images.path is None and len(world.reads) == 200
    assert any("no space left" in record.getMessage() for record in caplog.records)
    expect(world, images)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
def test_a_disk_that_fills_up_on_the_way_costs_no_second_scan(tmp_path, monkeypatch, caplog):
    def fill(file, size):
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())

    monkeypatch.setattr(cache, "_reserve", fill)
    world = World(bad=[9])
    images = open_images(world, 8, tmp_path)
    assert images.path is None and len(set(world.reads)) == 200 and len(world.reads) < 300
    assert [record for record in caplog.records if "no space left" in record.getMessage()]
    expect(world, images)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_an_interrupted_build_leaves_no_cache(tmp_path, monkeypatch):
    def stop(self, index, size):
        if index == 150:
            raise KeyboardInterrupt
        return World.image(self, index, size)

    with monkeypatch.context() as patch:
        patch.setattr(World, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            open_images(World(), 8, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]
    world = World()
    expect(world, open_images(world, 8, tmp_path))


CHILD = textwrap.dedent("""
    import sys, time, logging
    sys.path.insert(0, sys.argv[1])
    import test_cache
    from pathlib import Path
    from translate.data.cache import open_images
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    class Slow(test_cache.World):
        def read(self, index, size):
            time.sleep(0.005)
            return super().read(index, size)
    world = Slow()
    print("begin", flush=True)
    images = open_images(world, 8, Path(sys.argv[2]), num_threads=1)
    test_cache.expect(world, images)
    print("reads", len(world.reads), flush=True)
""")


def child(folder):
    command = [sys.executable, "-c", CHILD, os.path.dirname(__file__), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path):
    processes = [child(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(int(output.split("reads ")[1]) for output in outputs) == [0, 200]


def test_a_killed_build_is_done_again_and_swept_up(tmp_path):
    process = child(tmp_path)
    deadline = time.monotonic() + 60
    while not (left := list(tmp_path.glob("*.part"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert left and not list(tmp_path.glob("*.json"))
    world = World()
    expect(world, open_images(world, 8, tmp_path))
    assert len(world.reads) >= 200 and not list(tmp_path.glob("*.part"))


def test_pictures_travel_to_workers_without_their_bytes(tmp_path):
    world = World(2000)
    images = open_images(world, 16, tmp_path)
    world.reads.clear()
    sent = pickle.dumps(images)
    assert len(sent) < images.path.stat().st_size / 10
    expect(world, pickle.loads(sent), 16)


def test_memory_does_not_grow_with_the_data_set(tmp_path, monkeypatch):
    class Flat(World):
        def read(self, index, size):
            return np.full((size, size, 3), index % 256, np.uint8)

    append = cache._FileWriter.append  # a slow disk, which the threads could run ahead of
    monkeypatch.setattr(cache._FileWriter, "append", lambda self, images: (time.sleep(0.01), append(self, images)))
    tracemalloc.start()
    try:
        images = open_images(Flat(4000), 64, tmp_path, num_threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.path.stat().st_size / 4  # 49 MB in all, about 5 MB of chunks in flight
    assert images.take(np.array([3999]))[0, 0, 0, 0] == 3999 % 256


def test_a_file_lost_during_the_run_is_named(tmp_path):
    root = files(tmp_path)
    images = open_images(Folder(str(root), split="train"), 8, None)
    gone = root / images.dataset.names[7]
    gone.unlink()
    with pytest.raises(UserError, match=str(gone)):
        images.take(np.arange(20))


def test_the_log_has_lines_and_no_bar_without_a_terminal(tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO, "translate"):
        open_images(World(), 8, tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert any("200 images, a 100, b 100" in line for line in lines)
    assert any(line.startswith("data: decoding 200 images to 8 px") for line in lines)
    assert any("images/s" in line and "0 unreadable" in line for line in lines)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch):
    written = []

    class Terminal:
        encoding = "utf-8"

        def isatty(self):
            return True

        def write(self, text):
            written.append(text)

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stderr", Terminal())
    open_images(World(), 8, tmp_path)
    assert "200/200" in "".join(written)
    written.clear()
    open_images(World(version="2"), 8, tmp_path, progress=False)
    assert written == []


def test_a_cache_that_is_removed_during_the_run_is_an_error(tmp_path):
    images = open_images(World(), 8, tmp_path)
    in_a_worker = pickle.loads(pickle.dumps(images))
    images.path.unlink()
    with pytest.raises(UserError, match=f"the cache {images.path} was removed during the run"):
        in_a_worker.take(np.arange(3))


# --- bytes that change on the disk --------------------------------------------------------------------------


def test_an_image_that_changed_in_the_cache_is_named_and_the_cache_is_built_again(tmp_path):
    open_images(World(), 8, tmp_path)
    (path,) = tmp_path.glob("*.u8")
    content = bytearray(path.read_bytes())
    content[7 * 192 + 5] ^= 1  # of image 7
    path.write_bytes(content)
    images = open_images(World(), 8, tmp_path)
    images.take(np.array([6, 8]))  # the others are as they were
    with pytest.raises(UserError, match=rf"{path}: the cache has changed on the disk: \S* ?.*7") as caught:
        images.take(np.array([8, 7]))
    assert "which builds the cache again" in str(caught.value)
    world = World()
    images = open_images(world, 8, tmp_path)
    assert world.reads
    expect(world, images)


def test_each_process_compares_an_image_once(tmp_path, monkeypatch):
    images = open_images(World(), 8, tmp_path)
    compared = []
    crc32 = cache.zlib.crc32
    monkeypatch.setattr(cache.zlib, "crc32", lambda record: compared.append(0) or crc32(record))
    for _ in range(3):
        images.take(np.array([3, 4, 4, 5]))
    assert len(compared) == 4  # image 4 twice within a call
    pickle.loads(pickle.dumps(images)).take(np.array([3]))
    assert len(compared) == 5


def test_a_cache_of_a_version_without_checksums_is_used(tmp_path):
    open_images(World(), 8, tmp_path)
    (notes,) = tmp_path.glob("*.json")
    content = json.loads(notes.read_text())
    del content["checksums"]
    notes.write_text(json.dumps(content))
    world = World()
    images = open_images(world, 8, tmp_path)
    assert world.reads == []
    expect(world, images)


@pytest.mark.parametrize("checksums", ["", "zz", "00", 3, None, [1]])
def test_checksums_that_are_damaged_are_a_cache_to_build_again(checksums, tmp_path):
    open_images(World(), 8, tmp_path)
    (notes,) = tmp_path.glob("*.json")
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"checksums": checksums}))
    world = World()
    expect(world, open_images(world, 8, tmp_path))
    assert world.reads
