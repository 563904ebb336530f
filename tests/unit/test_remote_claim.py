"""One run at an address at a time: a living one is not disturbed, a dead one is followed."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from translate.downloads.remote import CLAIM_FILE, RemoteFolder, open_folder
from translate.errors import UserError
from translate.runs import remote_claim
from translate.runs.claim import Holder
from translate.runs.mirror import mirrored
from translate.runs.remote_claim import PATIENCE, Claim, Note, claimed

OTHER = Note("another", Holder(4321, "elsewhere", "2026-11-28 10:00:00"), "another kernel")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> RemoteFolder:
    MemoryFileSystem.store.clear()
    monkeypatch.setattr(remote_claim, "SETTLE", 0.0)
    return open_folder("memory://there/run", "folder")


def note(there: RemoteFolder, value: Note) -> None:
    there.write(CLAIM_FILE, json.dumps(asdict(value)).encode())


def watching(action: Callable[[float], object] = lambda waited: None) -> tuple[Callable[[float], object], list[float]]:
    """Return a wait that takes no time, does something, and keeps how long it waited in all."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        action(sum(waits))

    return wait, waits


def test_a_note_is_there_while_the_block_lasts(there: RemoteFolder) -> None:
    with claimed(there) as claim:
        assert json.loads(there.text(CLAIM_FILE))["word"] == claim.note.word
        assert there.sizes() == {}, "it is no file of the run"
        claim.require_held()
    assert not MemoryFileSystem.store


def test_a_note_that_is_renewed_belongs_to_a_living_run(there: RemoteFolder) -> None:
    note(there, OTHER)
    wait, waits = watching(lambda waited: waited >= 20 and note(there, replace(OTHER, renewals=1)))
    with pytest.raises(UserError) as raised:
        Claim(there).begin(wait)
    assert str(raised.value) == (
        "memory://there/run: another run is copied to this address; found process 4321 on elsewhere, since "
        "2026-11-28 10:00:00. Fix: stop that run, or name another address"
    )
    assert sum(waits) == 20
    assert json.loads(there.text(CLAIM_FILE))["word"] == "another"


def test_a_note_that_stays_as_it_is_was_left_by_a_killed_run(there: RemoteFolder) -> None:
    note(there, OTHER)
    claim, (wait, waits) = Claim(there), watching()
    claim.begin(wait)
    assert sum(waits) == PATIENCE
    assert json.loads(there.text(CLAIM_FILE))["word"] == claim.note.word
    claim.end()


def test_a_run_that_leaves_meanwhile_is_followed(there: RemoteFolder) -> None:
    note(there, OTHER)
    claim, (wait, waits) = Claim(there), watching(lambda waited: there.remove(CLAIM_FILE) if waited == 10 else None)
    claim.begin(wait)
    assert sum(waits) == 10
    claim.end()


def test_an_ended_process_of_this_machine_is_followed_at_once(
    there: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Note.current()
    assert not mine.is_dead()
    dead = replace(mine, word="another", holder=replace(mine.holder, process=2**22 + 1))  # more than Linux gives
    assert dead.is_dead()
    assert not replace(dead, kernel="another container").is_dead()
    note(there, dead)
    claim, (wait, waits) = Claim(there), watching()
    claim.begin(wait)
    assert sum(waits) == 0
    claim.end()
    monkeypatch.setattr(remote_claim, "BOOT", Path("/none"))
    assert not replace(dead, kernel="").is_dead(), "a system that does not tell"


def test_of_two_that_begin_together_the_last_note_counts(there: RemoteFolder) -> None:
    wait, _ = watching(lambda waited: note(there, OTHER))
    with pytest.raises(UserError, match="another run is copied to this address; found process 4321"):
        Claim(there).begin(wait)


def test_a_run_whose_address_was_taken_stops_copying(
    there: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote_claim, "EVERY", 0.01)
    (tmp_path / "config.yaml").write_text("seed: 0")
    said = "another run has taken the address, so this one is no longer copied; the run is whole in"
    with pytest.raises(UserError, match=said), mirrored("memory://there/run", tmp_path) as mirror:
        assert mirror is not None
        note(there, OTHER)
        held = mirror.require_held.__self__  # type: ignore[attr-defined]
        held._thread.join(10)
        (tmp_path / "metrics.jsonl").write_text("1")
    assert set(there.sizes()) == {"config.yaml"}
    assert json.loads(there.text(CLAIM_FILE))["word"] == "another", "the note of the other run stays"


def test_renewals_survive_a_connection_that_fails(there: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_claim, "EVERY", 0.01)
    failures = [ConnectionError("reset")] * 3
    honest = there.filesystem.cat_file

    def failing(*words: object, **settings: object) -> object:
        if claim.note.renewals == 1 and failures:
            raise failures.pop()
        return honest(*words, **settings)

    claim = Claim(there)
    monkeypatch.setattr(there.filesystem, "cat_file", failing)
    claim.begin()
    for _ in range(1000):
        if claim.note.renewals > 2:
            break
        claim._ended.wait(0.01)
    assert not failures
    assert claim.note.renewals > 2
    claim.end()
    assert not MemoryFileSystem.store


@pytest.mark.parametrize("text", [b"\xff", b"[]", b"{}", b'{"word": 1, "holder": "x"}', b""])
def test_a_note_that_cannot_be_read_counts_for_none(there: RemoteFolder, text: bytes) -> None:
    there.write(CLAIM_FILE, text)
    with claimed(there) as claim:
        assert json.loads(there.text(CLAIM_FILE))["word"] == claim.note.word
