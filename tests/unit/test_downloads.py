"""Downloads end whole and checked, or in one sentence, whatever servers, archives and disks do."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archives import MAKERS, make_tar, make_zip, tree
from serving import CONTENT, Answer, Server
from translate import signals
from translate.commands.arguments import parse as parse_words
from translate.commands.download import COMMAND, request_from
from translate.downloads import download as download_module
from translate.downloads import fetch as fetch_module
from translate.downloads import partial_file
from translate.downloads import progress as progress_module
from translate.downloads.disk import disk_errors
from translate.downloads.download import DownloadRequest, download
from translate.downloads.fetch import RetryPolicy, Unavailable, fetch, recorded_checksum
from translate.downloads.progress import Progress, in_units
from translate.downloads.sources import File, Source, find, read, read_all
from translate.errors import UserError
from translate.registry import plugins

Out = pytest.CaptureFixture[str]
HURRY = RetryPolicy(delays=(0.0, 0.0), max_retry_after=0.01, timeout=5.0)


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server on this machine."""
    with Server() as found:
        yield found


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_of(*urls: str, content: bytes | None = CONTENT, name: str = "set.bin", **facts: Any) -> File:
    """Return a file with the checksum of `content`, or None for one whose checksum is not known."""
    digest = None if content is None else checksum(content)
    return File(
        **{"name": name, "urls": urls, "sha256": digest, "size": None, "unpack": "none", "folder": ".", **facts}
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(call: Callable[[], object]) -> str:
    """Return the one sentence with which a call is refused."""
    with pytest.raises(UserError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    return said


TAGGED = {"ETag": '"one"'}


# --- fetching -----------------------------------------------------------------------------------------------


def test_a_file_comes_whole_and_alone(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(headers=TAGGED))
    path = fetch(file_of(url, size=len(CONTENT)), tmp_path / "new", retry_policy=HURRY)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["set.bin"]
    (headers,) = server.asked("set.bin")
    assert headers["user-agent"].startswith("translate-gan/")
    assert "range" not in headers
    fetch(file_of(url), tmp_path / "new", retry_policy=HURRY)  # it is there
    assert len(server.requests) == 1


def test_a_connection_that_breaks_goes_on_with_the_rest(server: Server, tmp_path: Path) -> None:
    url = server.serve(
        "set.bin",
        Answer(stops_after=3000, headers=TAGGED),
        Answer(stops_after=4000, headers=TAGGED),
        Answer(headers=TAGGED),
    )
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert [h.get("range") for h in server.asked("set.bin")] == [None, "bytes=3000-", "bytes=7000-"]
    assert [h.get("if-range") for h in server.asked("set.bin")] == [None, '"one"', '"one"']
    assert server.sent == len(CONTENT)  # nothing came twice


def test_attempts_that_bring_something_are_not_counted(server: Server, tmp_path: Path) -> None:
    drops = [Answer(stops_after=1000, headers=TAGGED)] * 8  # HURRY gives up after three that bring nothing
    url = server.serve("set.bin", *drops, Answer(headers=TAGGED))
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT, None], ids=["known checksum", "unknown checksum"])
def test_a_later_run_goes_on(server: Server, tmp_path: Path, content: bytes | None) -> None:
    dated = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    url = server.serve(
        "set.bin", Answer(stops_after=5000, headers=dated), *[Answer(status=503)] * 3, Answer(headers=dated)
    )
    said = refused(lambda: fetch(file_of(url, content=content), tmp_path, retry_policy=HURRY))
    assert f"{url} answers 503 Service Unavailable, 3 times" in said
    assert "(5.00kB are kept)" in said
    assert (tmp_path / "set.bin.part").read_bytes() == CONTENT[:5000]
    assert fetch(file_of(url, content=content), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    last = server.asked("set.bin")[-1]
    assert (last["range"], last["if-range"]) == ("bytes=5000-", dated["Last-Modified"])


def test_a_file_that_was_exchanged_meanwhile_begins_anew(server: Server, tmp_path: Path) -> None:
    other = CONTENT[::-1]
    url = server.serve("set.bin", Answer(stops_after=5000, headers=TAGGED), Answer(other, headers={"ETag": '"two"'}))
    assert fetch(file_of(url, content=None), tmp_path, retry_policy=HURRY).read_bytes() == other
    assert server.asked("set.bin")[1]["if-range"] == '"one"'


def test_a_server_that_ignores_range_begins_anew(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(stops_after=5000, headers=TAGGED), Answer(ranges=False, headers=TAGGED))
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT


def test_a_server_that_ignores_range_and_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(stops_after=5000, ranges=False, headers=TAGGED))
    said = refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    assert "broke off after 5,000 of 10,240 bytes" in said
    assert len(server.requests) == 4  # the first brings something new
    moods = [Answer(stops_after=n, ranges=False) for n in (5000, 3000, 5000, 3000, 5000)]
    refused(lambda: fetch(file_of(server.serve("moody", *moods)), tmp_path / "moody", retry_policy=HURRY))
    assert len(server.asked("moody")) == 4  # as much as once before is nothing new


def test_a_partial_answer_from_elsewhere_is_not_appended(server: Server, tmp_path: Path) -> None:
    url = server.serve(
        "set.bin", Answer(stops_after=5000, headers=TAGGED), Answer(starts=6000, headers=TAGGED), Answer(headers=TAGGED)
    )
    assert fetch(file_of(url, content=None), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT


def test_what_was_whole_but_not_yet_named_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(headers=TAGGED))
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    (tmp_path / "set.bin.part.json").write_text(json.dumps({"url": url, "condition": '"one"'}))
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert server.sent == 0


def test_a_part_that_is_too_long_begins_anew(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(headers=TAGGED))
    (tmp_path / "set.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "set.bin.part.json").write_text(json.dumps({"url": url, "condition": '"one"'}))
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"one"'}], ids=["no condition", "weak condition"])
def test_without_a_condition_only_a_checksum_lets_parts_join(
    server: Server, tmp_path: Path, headers: dict[str, str]
) -> None:
    breaks, whole = Answer(stops_after=5000, headers=headers), Answer(headers=headers)
    url = server.serve("a", breaks, whole)
    fetch(file_of(url, name="a"), tmp_path, retry_policy=HURRY)
    assert server.asked("a")[1]["range"] == "bytes=5000-"
    assert "if-range" not in server.asked("a")[1]
    url = server.serve("b", breaks, whole)
    fetch(file_of(url, name="b", content=None), tmp_path, retry_policy=HURRY)
    assert "range" not in server.asked("b")[1]


def test_parts_of_two_files_do_not_join(server: Server, tmp_path: Path, capsys: Out) -> None:
    wrong = server.serve("wrong", Answer(b"x" * len(CONTENT), stops_after=4000, headers=TAGGED), Answer(status=404))
    right = server.serve("right", Answer(headers=TAGGED))
    assert fetch(file_of(wrong, right), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert [h.get("range") for h in server.asked("right")] == ["bytes=4000-", None]
    assert "if-range" not in server.asked("right")[0]  # the mark is another place's
    assert "are of different files" in capsys.readouterr().err
    server.serve("wrong", Answer(b"x" * len(CONTENT), stops_after=4000, headers=TAGGED), Answer(status=404))
    assert fetch(file_of(wrong, right, content=None), tmp_path / "b", retry_policy=HURRY).read_bytes() == CONTENT
    assert "range" not in server.asked("right")[-1]  # nothing could tell that they do not belong together


@pytest.mark.parametrize("notes", ["", "[1]", '{"url": 3}'])
def test_damaged_notes_are_no_notes(server: Server, tmp_path: Path, notes: str) -> None:
    url = server.serve("set.bin", Answer())
    (tmp_path / "set.bin.part").write_bytes(b"old")
    (tmp_path / "set.bin.part.json").write_text(notes)
    assert fetch(file_of(url, content=None), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT


# --- places that do not give the file -----------------------------------------------------------------------


def test_the_next_place_is_asked(server: Server, tmp_path: Path) -> None:
    missing = server.url("missing")
    longer = server.serve("longer", Answer(CONTENT + b"?"))
    wrong = server.serve("wrong", Answer(CONTENT[::-1]))
    right = server.serve("right", Answer())
    file = file_of(missing, longer, wrong, right, size=len(CONTENT))
    assert fetch(file, tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["missing", "longer", "wrong", "right"]  # none of them twice
    assert names(tmp_path) == ["set.bin"]


def test_when_no_place_gives_it_all_are_named(server: Server, tmp_path: Path) -> None:
    missing, wrong = server.url("missing"), server.serve("wrong", Answer(b"something else"))
    with pytest.raises(Unavailable) as caught:
        fetch(file_of(missing, wrong), tmp_path, retry_policy=HURRY)
    said = str(caught.value)
    assert f"{missing} answers 404 Not Found" in said
    assert f"{wrong} has the sha256 {checksum(b'something else')}, expected {checksum(CONTENT)}" in said
    assert f"put it into {tmp_path}" in said
    assert "\n" not in said
    assert names(tmp_path) == []  # a wrong file is not kept


def test_a_wrong_length_is_seen_before_anything_comes(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(CONTENT * 1000, stops_after=0))
    said = refused(lambda: fetch(file_of(url, size=len(CONTENT)), tmp_path, retry_policy=HURRY))
    assert f"{url} has 10,240,000 bytes, expected 10,240" in said


def test_a_server_that_promises_too_much(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(declared=len(CONTENT) + 100, ranges=False))
    said = refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    assert "broke off after 10,240 of 10,340 bytes, 3 times" in said


def test_a_server_that_promises_too_little(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(declared=len(CONTENT) - 100))
    assert "has the sha256" in refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    said = refused(lambda: fetch(file_of(url, size=len(CONTENT)), tmp_path, retry_policy=HURRY))
    assert "has 10,140 bytes, expected 10,240" in said


def test_a_server_that_states_no_length(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(declared=None, stops_after=700), Answer(declared=None))
    assert fetch(file_of(url, size=len(CONTENT)), tmp_path / "a", retry_policy=HURRY).read_bytes() == CONTENT
    assert server.asked("set.bin")[1]["range"] == "bytes=700-"
    endless = server.serve("endless", Answer(CONTENT * 100, declared=None))
    said = refused(lambda: fetch(file_of(endless, size=len(CONTENT)), tmp_path / "b", retry_policy=HURRY))
    assert "sends more than 10,240 bytes" in said


def test_passing_faults_are_waited_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(fetch_module.time, "sleep", waits.append)
    busy = Answer(status=503, headers={"Retry-After": "7"})
    traffic = Answer(status=429, headers={"Retry-After": "99999"})
    url = server.serve("set.bin", busy, traffic, Answer(status=500, headers={"Retry-After": "a while"}), Answer())
    fetch(file_of(url), tmp_path, retry_policy=RetryPolicy(delays=(1.0, 2.0, 4.0)))
    assert waits == [7.0, 60.0, 4.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_lasting_faults_are_not(server: Server, tmp_path: Path, status: int) -> None:
    url = server.serve("set.bin", Answer(status=status))
    assert f"answers {status}" in refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    assert len(server.requests) == 1


def test_a_server_that_cannot_be_reached_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    gone = server.url("set.bin")
    server.http.shutdown()
    server.http.server_close()
    began = time.monotonic()
    said = refused(lambda: fetch(file_of(gone), tmp_path, retry_policy=RetryPolicy(delays=(60.0,))))
    assert time.monotonic() - began < 5
    assert f"{gone} cannot be reached (connection refused)" in said


def test_silence_counts_as_broken(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(silent_after=2000, headers=TAGGED), Answer(headers=TAGGED))
    retry_policy = dataclasses.replace(HURRY, timeout=0.1)
    assert fetch(file_of(url), tmp_path, retry_policy=retry_policy).read_bytes() == CONTENT
    assert server.asked("set.bin")[1]["range"] == "bytes=2000-"


def test_redirections_are_followed_with_the_range(server: Server, tmp_path: Path) -> None:
    server.serve("real", Answer(stops_after=5000, headers=TAGGED), Answer(headers=TAGGED))
    url = server.serve("set.bin", Answer(b"", 302, headers={"Location": server.url("real")}))
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert [h.get("range") for h in server.asked("real")] == [None, "bytes=5000-"]


def test_redirections_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    url = server.serve("set.bin", Answer(b"", 302, headers={"Location": server.url("set.bin")}))
    assert "answers 302" in refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))


def test_redirections_do_not_leave_encryption() -> None:
    asked = fetch_module.urllib.request.Request("https://example.org/set.bin")
    follow = fetch_module._EncryptedRedirects().redirect_request
    with pytest.raises(fetch_module._Unusable, match="which is not encrypted"):
        follow(asked, None, 302, "Found", {}, "http://example.org/other")
    assert follow(asked, None, 302, "Found", {}, "https://example.org/other").full_url == "https://example.org/other"


@pytest.mark.parametrize("url", ["http://[broken/a", "http://127.0.0.1:port/a"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    assert "is not a valid URL" in refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))


# --- checksums that are not known ---------------------------------------------------------------------------


def test_the_first_checksum_is_remembered(server: Server, tmp_path: Path, capsys: Out) -> None:
    url = server.serve("set.bin", Answer())
    file = file_of(url, content=None)
    path = fetch(file, tmp_path, retry_policy=HURRY)
    assert "warning: the checksum of set.bin is not known" in capsys.readouterr().err
    assert (tmp_path / "set.bin.sha256").read_text() == f"{checksum(CONTENT)}  set.bin\n"
    path.unlink()
    fetch(file, tmp_path, retry_policy=HURRY)
    assert "warning" not in capsys.readouterr().err  # it is the same
    path.unlink()
    server.serve("set.bin", Answer(CONTENT[::-1]))
    said = refused(lambda: fetch(file, tmp_path, retry_policy=HURRY))
    assert f"expected {checksum(CONTENT)}, that of the first download (remove {tmp_path / 'set.bin.sha256'}" in said
    (tmp_path / "set.bin.sha256").unlink()
    assert fetch(file, tmp_path, retry_policy=HURRY).read_bytes() == CONTENT[::-1]


def test_known_checksums_are_not_remembered(server: Server, tmp_path: Path, capsys: Out) -> None:
    fetch(file_of(server.serve("set.bin", Answer())), tmp_path, retry_policy=HURRY)
    assert recorded_checksum(tmp_path / "set.bin") is None
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_page_instead_of_an_archive_is_refused(server: Server, tmp_path: Path, kind: str) -> None:
    page = b"<!DOCTYPE html><title>too much traffic</title>"
    url = server.serve("set.bin", Answer(page))
    said = refused(lambda: fetch(file_of(url, content=None, unpack=kind), tmp_path, retry_policy=HURRY))
    assert f"is not a {kind} archive: it has 46 bytes and begins with b'<!DOCTYPE html><'" in said
    assert names(tmp_path) == []  # and its checksum is not remembered


def test_a_file_that_lies_there_is_checked(server: Server, tmp_path: Path, capsys: Out) -> None:
    url = server.serve("set.bin", Answer())
    (tmp_path / "set.bin").write_bytes(b"by hand, but cut short")
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert "has the sha256" in capsys.readouterr().err


# --- mirrors ------------------------------------------------------------------------------------------------


def test_mirrors(server: Server, tmp_path: Path) -> None:
    shelf = tmp_path / "a shelf"
    shelf.mkdir()
    (shelf / "set.bin").write_bytes(CONTENT)
    server.serve("shelf/set.bin", Answer())
    for number, mirror in enumerate([str(shelf), shelf.as_uri(), server.url("shelf/")]):
        found = fetch(file_of("http://127.0.0.1:9/no"), tmp_path / str(number), fetch_module.mirror_url(mirror), HURRY)
        assert found.read_bytes() == CONTENT
    assert "does not exist" in refused(
        lambda: fetch(file_of(name="other.bin"), tmp_path / "new", fetch_module.mirror_url(str(shelf)), HURRY)
    )
    for place in (str(tmp_path / "shelv"), "ftp://example.org", "http:[broken"):
        assert "the folder does not exist" in refused(lambda place=place: fetch_module.mirror_url(place))


# --- the disk -----------------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


def test_too_little_room_is_seen_before(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("set.bin", Answer())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(20_000, 19_000, 1000))
    said = refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    assert "10.2kB are needed, 1.00kB are free" in said
    assert "repeat the command" in said


def test_a_disk_that_fills_up_keeps_what_came(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(io.FileIO):
        def write(self, chunk: Any) -> int:
            if self.tell() >= 6000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(chunk[: 6000 - self.tell()])

    def small(path: Path, mode: str, **_: Any) -> io.FileIO:
        return Small(path, mode.replace("b", "")) if mode == "a+b" else io.FileIO(path, mode.replace("b", ""))

    url = server.serve("set.bin", Answer(headers=TAGGED))
    monkeypatch.setattr(partial_file, "open", small, raising=False)
    assert "no space is left" in refused(lambda: fetch(file_of(url), tmp_path, retry_policy=HURRY))
    monkeypatch.undo()
    assert (tmp_path / "set.bin.part").read_bytes() == CONTENT[:6000]
    assert fetch(file_of(url), tmp_path, retry_policy=HURRY).read_bytes() == CONTENT
    assert server.asked("set.bin")[1]["range"] == "bytes=6000-"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EACCES, "the file system reports 'permission denied'"),
        (errno.EROFS, "the file system reports 'read-only file system'"),
        (errno.EDQUOT, "no space is left"),
        (errno.EIO, "the file system reports 'input/output error'"),
    ],
)
def test_what_the_disk_says_is_a_sentence(code: int, said: str) -> None:
    def write() -> None:
        with disk_errors(Path("a/b")):
            raise OSError(code, os.strerror(code))

    sentence = refused(write)
    assert said in sentence
    assert "a/b" in sentence
    assert "root=DIR" in sentence


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    url = server.serve("set.bin", Answer())
    assert "choose another folder by root=DIR" in refused(lambda: fetch(file_of(url), tmp_path / "taken" / "x"))


# --- how far it is ------------------------------------------------------------------------------------------


def test_lines_in_a_log(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "LINE_EVERY", 0.0)
    clock = iter([0.0, 1.0, 10.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with Progress("set.zip", 400_000_000) as progress:
        progress.update(100_000_000)
        progress.update(200_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "set.zip:  25% 100M/400M [00:01<?, ?B/s]",
        "set.zip:  50% 200M/400M [00:10<00:20, 10.0MB/s]",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress("set.zip") as progress:
        progress.update(3000, 4000)
        progress.update(0, 4000)  # from the beginning
        progress.update(4000, 4000)
    assert "set.zip" in screen.getvalue()
    assert "4.00k/4.00k" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_units() -> None:
    assert [in_units(n) for n in (0, 1000, 9996, 999_499, 999_500, 10**12)] == [
        "0.00B",
        "1.00kB",
        "10.0kB",
        "999kB",
        "1.00MB",
        "1.00TB",
    ]


# --- sources ------------------------------------------------------------------------------------------------


def test_shipped_sources_are_good() -> None:
    known = read_all()
    assert {"horse2zebra", "facades", "afhq", "celeba", "rafd"} <= set(known)
    files = [file.name for source in known.values() for file in source.files]
    assert len(set(files)) == len(files)  # so that a mirror is one folder
    assert download_module.DOWNLOADS not in known
    assert all(source.files or "{folder}" in (source.manual_instructions or "") for source in known.values())


ENTRY = """\
about: dots
licence: none
train: [model=painter, data=dots]
content: [train]
manual_instructions: null
files:
  - {name: dots.zip, urls: ["https://example.org/dots.zip"], sha256: null, size: 5, unpack: zip, folder: .}
"""


def write_source(path: Path, text: str, name: str = "dots") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    return path


def test_a_source_is_read(tmp_path: Path) -> None:
    (source,) = read(write_source(tmp_path / "a.yaml", ENTRY))
    assert source.files[0] == File("dots.zip", ("https://example.org/dots.zip",), None, 5, "zip", ".")
    assert (source.name, source.train, source.size) == ("dots", ("model=painter", "data=dots"), 5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("about: dots\n", "", "expected the keys about, licence"),
        ("about: dots", "about: 3", "about: found 3, expected text"),
        ("content: [train]", "content: train", "content: found 'train', expected a list of texts"),
        ("unpack: zip", "unpack: zap", "unpack: found 'zap', expected one of zip, tar, none"),
        ("sha256: null", "sha256: abc", "sha256: found 'abc', expected 64 hexadecimal digits or null"),
        ("size: 5", "size: many", "size: found 'many', expected a number of bytes or null"),
        ("folder: .", "folder: ../x", "expected a folder below that of the data set"),
        ("folder: .", "folder: /x", "expected a folder below that of the data set"),
        ("name: dots.zip", "name: ../dots.zip", "expected a file name"),
        ("https://example", "ftp://example", "expected URLs with https://, http:// or file://"),
        (", folder: .", "", "expected the keys"),
        (ENTRY[ENTRY.index("files:") :], "files: []", "has neither files nor manual_instructions"),
    ],
)
def test_a_damaged_source_is_a_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in ENTRY
    path = write_source(tmp_path / "a.yaml", ENTRY.replace(old, new))
    sentence = refused(lambda: read(path))
    assert said in sentence
    assert str(path) in sentence


@pytest.mark.parametrize("text", ["a: [", "- a", "\0"])
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert str(tmp_path / "a.yaml") in refused(lambda: read(tmp_path / "a.yaml"))


@pytest.mark.parametrize("name", ["../dots", "a b", "3"])
def test_names_of_sources_are_names_of_folders(tmp_path: Path, name: str) -> None:
    assert "expected a name of small letters" in refused(lambda: read(write_source(tmp_path / "a.yaml", ENTRY, name)))


def test_plugins_bring_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dot_lab").mkdir()
    (tmp_path / "dot_lab" / "__init__.py").touch()
    write_source(tmp_path / "dot_lab" / "sources" / "dots.yaml", ENTRY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_activated", ["dot_lab"])
    assert read_all()["dots"].about == "dots"
    write_source(tmp_path / "dot_lab" / "sources" / "more.yaml", ENTRY, "afhq")
    said = refused(read_all)
    assert "the source is defined twice; found 'afhq'" in said
    assert "more.yaml" in said


def test_sources_are_found_by_name_or_by_the_words_that_train() -> None:
    known = read_all()
    assert find({"data": "horse2zebra"}, known).name == "horse2zebra"
    assert find({"data": "maps"}, known).name == "maps"
    assert find({"data": "cyclegan_set", "data.collection": "maps"}, known).name == "maps_unpaired"
    assert "several data sets match; expected one of apple2orange" in refused(
        lambda: find({"data": "cyclegan_set"}, known)
    )
    assert "Did you mean 'horse2zebra'?" in refused(lambda: find({"data": "horse2zebr"}, known))
    said = refused(lambda: find({"data": "maps", "data.crop": "3"}, known))
    assert "data.crop=3: the source of maps does not depend on this" in said


# --- the whole ----------------------------------------------------------------------------------------------

PICTURES = (("dots/train/1.png", b"one"), ("dots/train/2.png", b"two"), ("dots/val/1.png", b"three"))


@pytest.fixture
def order(server: Server, tmp_path: Path) -> DownloadRequest:
    """Return an order for a set of one zip."""
    archive = make_zip(tmp_path / "dots.zip", *PICTURES).read_bytes()
    url = server.serve("dots.zip", Answer(archive, headers=TAGGED))
    file = file_of(url, name="dots.zip", content=archive, size=len(archive), unpack="zip")
    source = Source("dots", "dots", "free", ("data=dots",), ("train", "val"), (file,), None)
    return DownloadRequest(source, tmp_path / "datasets" / "dots", None, False)


def changed(order: DownloadRequest, *, file: dict[str, Any] | None = None, **source: Any) -> DownloadRequest:
    files = tuple(dataclasses.replace(one, **file or {}) for one in order.source.files)
    return order._replace(source=dataclasses.replace(order.source, **{"files": files, **source}))


SET = {"train": None, "val": None, "train/1.png": b"one", "train/2.png": b"two", "val/1.png": b"three"}


def content(folder: Path) -> dict[str, bytes | None]:
    return {name: held for name, held in tree(folder).items() if name != download_module._RECORD}


def test_a_set_is_obtained(server: Server, order: DownloadRequest) -> None:
    assert download(order, HURRY) == f"dots is in {order.folder}: 3 files, 11.0B"
    assert content(order.folder) == SET  # without the folder in which it was packed
    assert names(order.folder.parent) == ["dots", "downloads"]
    assert names(order.folder.parent / "downloads") == ["dots.lock"]
    assert download(order, HURRY) == f"dots is in {order.folder} already: 3 files, 11.0B; nothing to do"
    assert len(server.requests) == 1


def test_archives_are_kept_if_asked_for(order: DownloadRequest, tmp_path: Path) -> None:
    download(order._replace(keep=True), HURRY)
    kept = order.folder.parent / "downloads"
    assert "dots.zip" in names(kept)
    other = order._replace(folder=tmp_path / "other" / "dots", mirror=kept.as_uri())
    download(changed(other, file={"urls": ("http://127.0.0.1:9/no",)}), HURRY)  # a machine without internet
    assert content(other.folder) == SET


def test_an_archive_put_there_by_hand_is_taken(server: Server, order: DownloadRequest, tmp_path: Path) -> None:
    (order.folder.parent / "downloads").mkdir(parents=True)
    (tmp_path / "dots.zip").rename(order.folder.parent / "downloads" / "dots.zip")
    download(order, HURRY)
    assert content(order.folder) == SET
    assert server.requests == []


def test_several_files_make_one_set(server: Server, order: DownloadRequest, tmp_path: Path) -> None:
    table, tar = b"a table", make_tar(tmp_path / "more.tar.gz", ("1.png", b"four"), ("2.png", b"five")).read_bytes()
    more = [
        file_of(server.serve("table.txt", Answer(table)), content=table, name="table.txt"),
        file_of(server.serve("more", Answer(tar)), content=tar, name="more.tar.gz", unpack="tar", folder="more/test"),
    ]
    several = changed(order, files=(*order.source.files, *more), content=("train", "table.txt", "more"))
    download(several, HURRY)
    assert content(order.folder) == SET | {
        "table.txt": b"a table",
        "more": None,
        "more/test": None,
        "more/test/1.png": b"four",
        "more/test/2.png": b"five",
    }
    clash = file_of(server.serve("train", Answer(table)), content=table, name="train")
    twice = changed(order, files=(*order.source.files, clash))
    said = refused(lambda: download(twice._replace(folder=tmp_path / "x" / "dots"), HURRY))
    assert "train: another file of the data set has train too" in said


def test_a_set_that_is_packed_in_no_folder(server: Server, order: DownloadRequest, tmp_path: Path) -> None:
    flat = make_zip(tmp_path / "flat.zip", ("train/1.png", b"one")).read_bytes()
    server.serve("dots.zip", Answer(flat))
    only = changed(order, content=("train",), file={"sha256": checksum(flat), "size": None})
    download(only, HURRY)
    assert content(order.folder) == {"train": None, "train/1.png": b"one"}  # train/ is no wrapping


def test_an_incomplete_set_is_named(order: DownloadRequest) -> None:
    download(order, HURRY)
    (order.folder / "train" / "2.png").unlink()
    said = refused(lambda: download(order, HURRY))
    assert "found 2 files with 8 bytes, expected 3 files with 11 bytes" in said


def test_folders_of_others_are_left_alone(order: DownloadRequest) -> None:
    order.folder.mkdir(parents=True)
    download(order, HURRY)  # empty: taken
    other = changed(order, name="rings")
    assert f"{order.folder}: the folder holds dots. Fix: choose another" in refused(lambda: download(other, HURRY))
    (order.folder / download_module._RECORD).write_text("{}")
    assert "this is no record of a download" in refused(lambda: download(order, HURRY))
    (order.folder / download_module._RECORD).unlink()
    assert "not checked: no download of this program" in download(order, HURRY)
    (order.folder / "val" / "1.png").unlink()
    (order.folder / "val").rmdir()
    before = tree(order.folder)
    assert "the folder has other content; expected train, val" in refused(lambda: download(order, HURRY))
    assert tree(order.folder) == before


def test_a_file_where_the_folder_should_be(order: DownloadRequest) -> None:
    order.folder.parent.mkdir()
    order.folder.write_text("mine")
    assert "this is a file, not a folder" in refused(lambda: download(order, HURRY))


def test_an_archive_with_something_else(order: DownloadRequest) -> None:
    said = refused(lambda: download(changed(order, content=("train", "labels.txt")), HURRY))
    assert "found train, val, expected train, labels.txt" in said
    assert names(order.folder.parent) == ["downloads"]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_hostile_archive_leaves_nothing(server: Server, order: DownloadRequest, tmp_path: Path, kind: Any) -> None:
    bad = MAKERS[kind](tmp_path / "bad", ("train/1.png", b"one"), ("../../outside", b"bad")).read_bytes()
    server.serve("dots.zip", Answer(bad))
    said = refused(lambda: download(changed(order, file={"sha256": None, "size": None, "unpack": kind}), HURRY))
    assert "the name of an entry is outside its folder; found '../../outside'" in said
    assert "has been removed" in said
    assert names(order.folder.parent) == ["downloads"]
    assert names(order.folder.parent / "downloads") == ["dots.lock"]  # neither archive nor checksum


def test_remains_of_a_process_that_died_are_no_obstacle(order: DownloadRequest) -> None:
    left = order.folder.with_name(".dots.unpacking") / "whole"
    left.mkdir(parents=True)
    (left / "old.png").write_bytes(b"old")
    download(order, HURRY)
    assert content(order.folder) == SET
    assert names(order.folder.parent) == ["dots", "downloads"]


def test_what_cannot_be_downloaded_says_what_to_do(order: DownloadRequest) -> None:
    by_hand = changed(order, files=(), manual_instructions="write a letter and put what comes into {folder}")
    said = refused(lambda: download(by_hand, HURRY))
    assert f"write a letter and put what comes into {order.folder}" in said
    assert f"then: python -m translate data=dots data.root={order.folder}" in said
    assert not order.folder.parent.exists()
    fails = changed(order, manual_instructions="write a letter", file={"urls": ("http://127.0.0.1:9/no",)})
    assert "or get the data set yourself: write a letter" in refused(lambda: download(fails, HURRY))


def test_two_at_once_are_one(server: Server, order: DownloadRequest) -> None:
    first = server.answers["dots.zip"][0]
    server.serve("dots.zip", dataclasses.replace(first, silent_after=50), first)
    retry_policy = dataclasses.replace(HURRY, timeout=0.3)
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(download(order, retry_policy))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum("already" in one for one in said) == 3, said
    assert len(said) == 4
    assert len(server.requests) == 2  # one that fell silent, one for the rest
    assert content(order.folder) == SET


def test_an_interrupted_download_says_how_to_go_on(
    server: Server, order: DownloadRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first = server.answers["dots.zip"][0]
    server.serve("dots.zip", dataclasses.replace(first, stops_after=50), first)

    def interrupt(_: float) -> None:
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(fetch_module.time, "sleep", interrupt)
        with signals.handled(ends_process=False) as outcome:
            download(order, HURRY)
    assert outcome.code == 128 + signal.SIGINT
    assert "repeat the command to continue" in capfd.readouterr().err
    download(order, HURRY)
    assert server.requests[-1][1]["range"] == "bytes=50-"
    assert content(order.folder) == SET


# --- words --------------------------------------------------------------------------------------------------


def parse(words: list[str]) -> DownloadRequest | None:
    return request_from(parse_words(COMMAND, words))


def test_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse([]) is None
    plain = parse(["data=horse2zebra"])
    assert plain == DownloadRequest(read_all()["horse2zebra"], Path("datasets/horse2zebra"), None, False)
    rooted = parse(["root=~/x", "data=horse2zebra", "keep=true", f"mirror={tmp_path}"])
    assert rooted == DownloadRequest(
        read_all()["horse2zebra"], Path("~/x/horse2zebra").expanduser(), tmp_path.resolve().as_uri(), True
    )
    own = parse(["data=afhq", "data.root=faces"])
    assert own is not None
    assert own.folder == Path("faces")
    assert own.training_command() == "python -m translate model=stargan_v2 data=afhq data.root=faces"
    here = parse(["data=afhq", "data.root=."])
    assert here is not None
    assert here.folder == tmp_path.resolve()


def test_a_linked_folder_stays_linked(order: DownloadRequest, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "afhq").symlink_to(tmp_path / "big disk")
    linked = parse(["data=afhq", f"data.root={tmp_path / 'afhq'}"])
    assert linked is not None
    download(linked._replace(source=order.source), HURRY)
    assert (tmp_path / "afhq").is_symlink()
    assert content(tmp_path / "afhq") == SET


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["horse2zebra"], "download: found 'horse2zebra', expected argument=value, for example data=horse2zebra"),
        (["root=x"], "data: this argument is missing; expected data=NAME, for example data=horse2zebra"),
        (["data="], "data: the value is missing; expected NAME"),
        (["data=afhq", "data=maps"], "data: this argument is given twice"),
        (["data=afhq", "rot=x"], "download: unknown argument 'rot'. Did you mean 'root'?"),
        (["data=afhq", "root=a", "data.root=b"], "exclude each other"),
        (["data=afhq", "keep=perhaps"], "keep: found 'perhaps', expected true or false"),
        (["data=critters"], "data=critters: unknown source 'critters'"),
        (["data=afhq", "mirror=nowhere"], "mirror: the folder does not exist; found 'nowhere'"),
    ],
)
def test_words_that_say_nothing(words: list[str], said: str) -> None:
    assert said in refused(lambda: parse(words))
