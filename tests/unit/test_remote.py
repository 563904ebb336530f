"""Files at addresses: whole, retried, without secrets; the mirror of a folder follows its changes."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stores import object_store
from translate.downloads import remote
from translate.downloads.fetch import RetryPolicy
from translate.downloads.remote import RemoteFolder, Retries, open_folder
from translate.errors import UserError
from translate.runs import mirror as mirrors
from translate.runs import remote_runs
from translate.runs.mirror import Mirror, mirrored

QUICK = RetryPolicy(delays=(0.0, 0.0))


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store() as address:
        yield address


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    MemoryFileSystem.store.clear()
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('store')}/{tmp_path.name}/run"
    return f"file://{tmp_path}/there/run" if request.param == "file" else "memory://there/run"


def content(address: str) -> dict[str, str]:
    folder = open_folder(address, "folder")
    return {name: folder.text(name) for name in sorted(folder.sizes())}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_file_is_stored_fetched_listed_and_removed(address: str, tmp_path: Path) -> None:
    folder = open_folder(address, "folder")
    assert folder.sizes() == {}
    write(tmp_path, {"a.txt": "first"})
    folder.store(tmp_path / "a.txt", "deep/a.txt")
    assert folder.sizes() == {"deep/a.txt": 5}
    write(tmp_path, {"a.txt": "second!"})
    folder.store(tmp_path / "a.txt", "deep/a.txt")
    folder.fetch("deep/a.txt", tmp_path / "new" / "b.txt")
    assert (tmp_path / "new" / "b.txt").read_text() == "second!"
    folder.remove("deep/a.txt")
    folder.remove("deep/a.txt")
    assert folder.sizes() == {}


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder("memory://there", "folder")
    seen: list[dict[str, int]] = []
    put = folder.filesystem.put_file

    def watched(path: str, place: str, **options: Any) -> None:
        put(path, place, **options)
        seen.append(folder.sizes())

    monkeypatch.setattr(folder.filesystem, "put_file", watched)
    write(tmp_path, {"a": "text"})
    folder.store(tmp_path / "a", "a")
    assert seen == [{}]  # the bytes are there by another name
    assert folder.sizes() == {"a": 4}
    assert [name for name in MemoryFileSystem.store if "unfinished" in name] == []


class Faulty:
    """Makes a function of a file system fail some times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: RemoteFolder, error: Exception, times: int) -> None:
        self.calls, self.times = 0, times
        honest = folder.filesystem.put_file

        def put_file(*words: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls <= self.times:
                raise error
            return honest(*words, **options)

        monkeypatch.setattr(folder.filesystem, "put_file", put_file)


def test_failures_that_may_pass_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder("memory://there", "folder")
    write(tmp_path, {"a": "text"})
    waits: list[float] = []
    retries = Retries(RetryPolicy(delays=(1.0, 2.0, 4.0)), lambda seconds: bool(waits.append(seconds)))
    Faulty(monkeypatch, folder, ConnectionError("reset"), 2)
    folder.store(tmp_path / "a", "a", retries)
    assert waits == [1.0, 2.0]
    assert folder.text("a") == "text"


@pytest.mark.parametrize(
    ("error", "calls", "said"),
    [
        (ConnectionError("reset"), 3, r"memory://there: the folder cannot be used \(ConnectionError: reset, 3 times\)"),
        (PermissionError("no"), 1, r"\(PermissionError: no\). Fix: check the address, the connection"),
    ],
)
def test_a_failure_that_stays_is_a_sentence(
    error: Exception, calls: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder("memory://there", "folder")
    write(tmp_path, {"a": "text"})
    faulty = Faulty(monkeypatch, folder, error, 99)
    with pytest.raises(UserError, match=said):
        folder.store(tmp_path / "a", "a", Retries(QUICK))
    assert faulty.calls == calls


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense://a/b", r"folder: unknown kind of address 'nonsense'.*Known: s3, gs"),
        ("memory://", "found 'memory://', expected a folder, memory://NAME/FOLDER"),
        (
            "reference://a",
            r"folder: the address cannot be opened \(TypeError: .*\); found 'reference://a'. Fix: ",
        ),
        (
            "ftp://me:word@127.0.0.1:9/a",
            r"opened \(ConnectionRefusedError: .*\); found 'ftp://127.0.0.1:9/a'. ",
        ),
        ("gs://a/b", r"folder: addresses of the kind gs need a package \(.*gcsfs.*\). Fix: pip install gcsfs"),
    ],
)
def test_addresses_that_cannot_be_opened_are_sentences(address: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_folder(address, "folder")


def test_a_missing_package_of_ours_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*words: Any, **options: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        UserError, match=r"need a package \(Install s3fs to access S3\). Fix: pip install 'translate-gan"
    ):
        open_folder("s3://bucket/run", "resume")


def test_secrets_of_an_address_are_used_and_never_shown(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"s3://user:password@{store.removeprefix('s3://')}/x"
    folder = open_folder(place, "folder")
    assert (folder.filesystem.key, folder.filesystem.secret) == ("user", "password")
    assert str(folder) == f"{store}/x"
    Faulty(monkeypatch, folder, OSError("denied to user:password"), 9)
    with pytest.raises(UserError) as caught:
        folder.store(Path(__file__), "x", Retries(RetryPolicy(delays=())))
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "a\\..\\outside"])
def test_a_name_that_leaves_the_folder_is_not_fetched(name: str) -> None:
    assert not remote_runs._is_inside(name)
    assert remote_runs._is_inside("samples/000001_a.png")


# --- the mirror ---------------------------------------------------------------------------------------------

RUN = {"config.yaml": "seed: 0", "metrics.jsonl": "1", "checkpoints/000002.safetensors": "two", "samples/a.png": "a"}


def test_a_mirror_follows_the_changes_of_a_folder(address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, {**RUN, ".lock": "", "checkpoints/000004.safetensors.unfinished": "fo", "config.resumed.yaml": "x"})
    with mirrored(address, run) as mirror:
        assert mirror is not None
        mirror.request()
        assert mirror._idle.wait(30)
        assert content(address) == RUN
        write(run, {"metrics.jsonl": "1 2", "checkpoints/000004.safetensors": "four"})
        (run / "checkpoints/000002.safetensors").unlink()
    wanted = {**RUN, "metrics.jsonl": "1 2", "checkpoints/000004.safetensors": "four"}
    del wanted["checkpoints/000002.safetensors"]
    assert content(address) == wanted


def test_training_that_is_faster_than_the_copies_always_has_a_checkpoint_at_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, honest, kept = tmp_path / "run", RemoteFolder.store, [2, 4]

    def name_of(iteration: int) -> str:
        return f"checkpoints/{iteration:06d}.safetensors"

    def train_meanwhile(self: RemoteFolder, path: Path, name: str, *rest: Retries) -> None:
        honest(self, path, name, *rest)
        for _ in range(2):
            (run / name_of(kept.pop(0))).unlink()
            kept.append(kept[-1] + 2)
            write(run, {"metrics.jsonl": str(kept), name_of(kept[-1]): str(kept)})

    write(run, {"config.yaml": "seed: 0", "metrics.jsonl": "", name_of(2): "", name_of(4): ""})
    mirror = Mirror(run, open_folder("memory://there", "folder"), QUICK)
    mirror.begin()
    monkeypatch.setattr(RemoteFolder, "store", train_meanwhile)
    for _ in range(3):
        mirror._copy_all()
        assert remote_runs.numbered(content("memory://there"))
    monkeypatch.undo()
    assert mirror.finish(30) is None
    assert content("memory://there").keys() == {"config.yaml", "metrics.jsonl", *map(name_of, kept)}


def test_requests_do_not_wait_and_become_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "run", RUN)
    folder = open_folder("memory://there", "folder")
    gate, entered, passes = threading.Event(), threading.Event(), []
    mirror = Mirror(tmp_path / "run", folder, QUICK)
    honest = mirror._copy_all

    def slow() -> None:
        passes.append(1)
        entered.set()
        assert gate.wait(30)
        honest()

    mirror._copy_all = slow  # type: ignore[method-assign]
    mirror.begin()
    mirror.request()
    assert entered.wait(30)
    for _ in range(5):
        mirror.request()
    assert "behind; a larger checkpoint_every makes fewer" in caplog.text
    gate.set()
    assert mirror.finish(30) is None
    assert len(passes) == 2
    assert content("memory://there") == RUN


def _with_faults(run: Path, error: Exception, times: int, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    folder = open_folder("memory://there", "folder")
    mirror = Mirror(run, folder, QUICK)
    mirror.begin()
    Faulty(monkeypatch, folder, error, times)
    return mirror


def test_a_failure_is_said_once_and_repeated_at_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path / "run", RUN)
    mirror = _with_faults(tmp_path / "run", ConnectionError("reset"), 6, monkeypatch)  # two passes of three attempts
    for _ in range(2):
        mirror.request()
        assert mirror._idle.wait(30)
    assert caplog.text.count("training continues, and the copies are tried again after each checkpoint") == 1
    assert mirror.finish(30) is None
    assert "the copies at memory://there are complete again" in caplog.text
    assert content("memory://there") == RUN


def test_a_failure_at_the_end_is_an_error_with_a_way_to_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    write(run, RUN)
    monkeypatch.setattr(mirrors, "DEFAULT_RETRY_POLICY", QUICK)
    monkeypatch.setattr(Mirror.__init__, "__defaults__", (QUICK, lambda: None))
    with (
        pytest.raises(
            UserError, match=r"the run is whole in .*. Fix: repeat the copying by: python -m translate resume="
        ),
        mirrored("memory://there", run) as mirror,
    ):
        assert mirror is not None
        Faulty(monkeypatch, mirror.remote, ConnectionError("reset"), 99)


@pytest.mark.parametrize("by", ["signal", "error"])
def test_after_a_signal_or_an_error_the_problem_is_logged(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "run", RUN)
    monkeypatch.setattr(mirrors, "AFTER_A_SIGNAL", 0.2)

    def body() -> None:
        with mirrored("memory://there", tmp_path / "run") as mirror:
            assert mirror is not None
            monkeypatch.setattr(mirror, "_copy_all", lambda: threading.Event().wait(5))
            mirror.hurried = by == "signal"
            if by == "error":
                raise ZeroDivisionError

    action: Callable[[], None] = body
    if by == "error":
        with pytest.raises(ZeroDivisionError):
            action()
    else:
        action()
    assert "memory://there: not all files were copied within 0 s; the run is whole in" in caplog.text


def test_a_signal_during_the_last_copies_leaves_them_a_few_seconds_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "run", RUN)
    honest, waits = Mirror.finish, []

    def finish(self: Mirror, seconds: float) -> UserError | None:
        waits.append(seconds)
        if seconds == mirrors.AT_THE_END:
            raise KeyboardInterrupt
        return honest(self, seconds)

    monkeypatch.setattr(Mirror, "finish", finish)
    with pytest.raises(KeyboardInterrupt), mirrored("memory://there", tmp_path / "run"):
        pass
    assert waits == [mirrors.AT_THE_END, mirrors.AFTER_A_SIGNAL]
    assert content("memory://there") == RUN
    assert "not all files were copied" not in caplog.text


def test_an_address_that_cannot_be_written_is_noticed_before_training(tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    write(tmp_path / "run", RUN)
    with (
        pytest.raises(UserError, match="the folder cannot be used"),
        mirrored(f"file://{tmp_path}/a_file/run", tmp_path / "run"),
    ):
        pytest.fail("the run began")


def test_without_an_address_there_is_no_mirror(tmp_path: Path) -> None:
    with mirrored("runs/a", tmp_path) as mirror:
        assert mirror is None
    with mirrored(None, tmp_path) as mirror:
        assert mirror is None


# --- runs ---------------------------------------------------------------------------------------------------


def test_only_the_run_of_its_own_cache_is_copied_without_being_asked(cache: Path, tmp_path: Path) -> None:
    own = cache / "remote" / "s3" / "bucket" / "run"
    assert remote_runs.local_folder("s3://me:word@bucket/run") == own
    assert remote_runs.is_copied("s3://bucket/run", own)
    assert not remote_runs.is_copied("s3://bucket/run", tmp_path)  # a run that somebody downloaded
    assert not remote_runs.is_copied(str(own), own)
    assert cache in remote_runs.local_folder("file:///../../etc/passwd").parents


def test_a_place_without_a_run_is_a_sentence() -> None:
    message = r"resume: memory://none holds no run; found no file: .*, expected a folder with config.yaml"
    with pytest.raises(UserError, match=message):
        remote_runs.fetch("memory://none", "resume")


def test_kinds_of_addresses_are_documented() -> None:
    assert set(remote.COMMON) <= set(fsspec.available_protocols())
