"""Archives are unpacked whole, or refused in a sentence; nothing outside of the target changes."""

import errno
import hashlib
import shutil
import stat
import struct
import tarfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from archives import DEVICE, HARD, LINK, MAKERS, PIPE, make_tar, make_zip, tree
from translate.downloads import unpack as unpack_module
from translate.downloads.unpack import ArchiveError, looks_like, safe_name, unpack
from translate.errors import UserError

Usage = namedtuple("Usage", "total used free")
KINDS = pytest.mark.parametrize("kind", MAKERS)


def hostile(kind: Any, archive: Path) -> str:
    """Return how an archive is refused; nothing outside of the target may have changed."""
    place = archive.parent
    before = tree(place)
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, kind, place / "target")
    assert {name: held for name, held in tree(place).items() if not name.startswith("target")} == before
    assert not any(path.is_symlink() for path in place.rglob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused_by_the_disk(kind: Any, archive: Path) -> str:
    """Return how the disk refuses what an archive holds."""
    with pytest.raises(UserError) as caught:
        unpack(archive, kind, archive.parent / "target")
    return str(caught.value)


@KINDS
def test_archives_are_unpacked(tmp_path: Path, kind: Any) -> None:
    archive = MAKERS[kind](
        tmp_path / "a", ("set/", b""), ("set/trainA/1.jpg", b"one"), ("./set/2.jpg", b""), ("set/empty/", b"")
    )
    unpack(archive, kind, tmp_path / "target")
    assert tree(tmp_path / "target") == {
        "set": None,
        "set/trainA": None,
        "set/trainA/1.jpg": b"one",
        "set/2.jpg": b"",
        "set/empty": None,
    }
    mode = (tmp_path / "target/set/trainA/1.jpg").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)
    assert looks_like(archive, kind)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_kinds_of_tar(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "a", ("1.jpg", b"one"), mode=mode)
    unpack(archive, "tar", tmp_path / "target")
    assert tree(tmp_path / "target") == {"1.jpg": b"one"}


@KINDS
@pytest.mark.parametrize(
    "name",
    [
        "../outside.jpg",
        "set/../../outside.jpg",
        "set/..",
        "/outside.jpg",
        "//outside.jpg",
        "..\\outside.jpg",
        "set\\1.jpg",
        "C:/outside.jpg",
        "c:outside.jpg",
        "\\\\host\\share",
        "new\nline.jpg",
    ],
)
def test_names_that_lead_out(tmp_path: Path, kind: Any, name: str) -> None:
    said = hostile(kind, MAKERS[kind](tmp_path / "a", ("good.jpg", b"good"), (name, b"bad")))
    assert repr(name) in said


def test_names_with_a_zero_are_not_cut_there() -> None:
    with pytest.raises(ArchiveError, match="control characters"):
        safe_name("good.jpg\0/../../bad")


@KINDS
@pytest.mark.parametrize(
    "leads_to", ["/etc/passwd", "../outside", "a/../../outside", "..", "C:/outside", "..\\outside", "nothing", "set"]
)
def test_links_that_lead_out_or_nowhere(tmp_path: Path, kind: Any, leads_to: str) -> None:
    (tmp_path / "outside").write_text("mine")
    said = hostile(kind, MAKERS[kind](tmp_path / "a", ("set/1.jpg", b"1"), ("link", leads_to, LINK)))
    assert "the target of a link is not a file of the archive; found 'link' -> " in said


@KINDS
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: Any) -> None:
    entries = (("set/1.jpg", b"1"), ("way", "set", LINK), ("way/1.jpg", b"changed"))
    hostile(kind, MAKERS[kind](tmp_path / "a", *entries))


@pytest.mark.parametrize("leads_to", ["../outside", "/etc/passwd", "missing.jpg", "set"])
def test_hard_links_that_lead_out_or_nowhere(tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "outside").write_text("mine")
    hostile("tar", make_tar(tmp_path / "a", ("set/1.jpg", b"1"), ("set/2.jpg", leads_to, HARD)))


@KINDS
def test_links_within_become_files(tmp_path: Path, kind: Any) -> None:
    entries: list[Any] = [("set/b/2.jpg", "../1.jpg", LINK), ("set/3.jpg", "b/2.jpg", LINK), ("set/1.jpg", b"one")]
    if kind == "tar":
        entries.append(("set/4.jpg", "set/1.jpg", HARD))
    unpack(MAKERS[kind](tmp_path / "a", *entries), kind, tmp_path / "target")
    files = {name: held for name, held in tree(tmp_path / "target").items() if held is not None}
    assert set(files.values()) == {b"one"}
    assert len(files) == len(entries)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@KINDS
def test_links_in_a_circle(tmp_path: Path, kind: Any) -> None:
    hostile(kind, MAKERS[kind](tmp_path / "a", ("a.jpg", "b.jpg", LINK), ("b.jpg", "a.jpg", LINK)))


@KINDS
@pytest.mark.parametrize("what", [DEVICE, PIPE])
def test_devices(tmp_path: Path, kind: Any, what: str) -> None:
    assert "an entry is a device" in hostile(kind, MAKERS[kind](tmp_path / "a", ("null", "", what)))


@KINDS
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["1.jpg", "./1.jpg", "1.jpg/2.jpg"])
def test_two_entries_in_one_place(tmp_path: Path, kind: Any, second: str) -> None:
    said = hostile(kind, MAKERS[kind](tmp_path / "a", ("1.jpg", b"one"), (second, b"two")))
    assert "two entries have the same path; found '1.jpg" in said


@KINDS
def test_what_is_no_data_is_left_out(tmp_path: Path, kind: Any) -> None:
    entries = (("set/1.jpg", b"1"), ("__MACOSX/set/._1.jpg", b"?"), ("set/.DS_Store", b"?"))
    unpack(MAKERS[kind](tmp_path / "a", *entries), kind, tmp_path / "target")
    assert tree(tmp_path / "target") == {"set": None, "set/1.jpg": b"1"}


@KINDS
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setattr(unpack_module, "SMALL", 1 << 20)
    archive = MAKERS[kind](tmp_path / "a", ("0.jpg", b"small"), ("1.jpg", bytes(4 << 20)))
    assert "too large when unpacked" in hostile(kind, archive)
    if kind == "zip":  # which says at once what it holds
        assert tree(tmp_path / "target") == {}
    assert sum(len(held or b"") for name, held in tree(tmp_path).items() if name != "a") <= 1 << 20


@KINDS
def test_bombs_of_many_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setattr(unpack_module, "SMALL", 1 << 16)
    monkeypatch.setattr(unpack_module, "MAX_GROWTH", 2)
    assert "too large when unpacked" in hostile(
        kind, MAKERS[kind](tmp_path / "a", *((f"{n}", b"") for n in range(500)))
    )


def test_bombs_of_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_module, "SMALL", 1 << 20)
    links = [(f"{number}.jpg", "one.jpg", HARD) for number in range(40)]
    hostile("tar", make_tar(tmp_path / "a", ("one.jpg", bytes(1 << 16)), *links))


def test_bombs_in_the_headers_of_a_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_module, "SMALL", 1 << 20)
    with tarfile.open(tmp_path / "a", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("1.jpg")
        entry.pax_headers = {"comment": "x" * (8 << 20)}
        archive.addfile(entry)
    assert "too large when unpacked" in hostile("tar", tmp_path / "a")


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", ("1.jpg", bytes(1 << 20)))
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<L", 1 << 20), struct.pack("<L", 10)))
    assert "is damaged (Bad CRC-32" in hostile("zip", archive)


def test_no_room_for_what_a_zip_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2000, 1000, 1000))
    archive = make_zip(tmp_path / "a", ("1.jpg", bytes(5000)))
    assert "5.51kB are needed, 1.00kB are free" in refused_by_the_disk("zip", archive)
    assert tree(tmp_path / "target") == {}


@KINDS
@pytest.mark.parametrize("cut", [0.0, 0.3, 0.99])
def test_damaged_archives(tmp_path: Path, kind: Any, cut: float) -> None:
    noise = hashlib.shake_128(b"noise").digest(50_000)  # does not shrink
    archive = MAKERS[kind](tmp_path / "a", ("1.jpg", noise), ("2.jpg", noise))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * cut)])
    assert "is damaged" in hostile(kind, archive)


@KINDS
def test_flipped_bytes(tmp_path: Path, kind: Any) -> None:
    archive = MAKERS[kind](tmp_path / "a", ("1.jpg", hashlib.shake_128(b"noise").digest(50_000)))
    content = bytearray(archive.read_bytes())
    content[25_000] ^= 255
    archive.write_bytes(content)
    assert "is damaged" in hostile(kind, archive)


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", ("1.jpg", b"one"))
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[content.index(b"PK\3\4") + 6] |= 1
    archive.write_bytes(content)
    assert hostile("zip", archive) == "the archive is encrypted"


def test_a_disk_that_fills_up_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fills(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpack_module.shutil, "copyfileobj", fills)
    archive = make_tar(tmp_path / "a", ("1.jpg", b"one"))
    assert "no space is left" in refused_by_the_disk("tar", archive)
