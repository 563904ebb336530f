"""Checkpoints that a thread writes: exact, one at a time, with the errors on the thread that trains."""

import threading
from pathlib import Path
from typing import IO

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from translate.runs import background, checkpoints, tensor_files
from translate.runs.background import BackgroundWriter
from translate.runs.checkpoints import Checkpoint


def state(value: float, iteration: int = 1) -> Checkpoint:
    return Checkpoint({"network.g.w": torch.full((3, 2), value), "state.pool.n": torch.tensor(7)}, iteration, (), {})


class Gate:
    """Holds the writing thread until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        write = checkpoints.write

        def held(checkpoint: Checkpoint, path: Path) -> None:
            self.entered.set()
            assert self.open.wait(30)
            write(checkpoint, path)

        monkeypatch.setattr(background.checkpoints, "write", held)


def test_the_file_has_the_values_of_the_moment_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, writer, checkpoint = Gate(monkeypatch), BackgroundWriter(), state(1.0)
    writer.write(checkpoint, tmp_path / "1.safetensors")
    assert gate.entered.wait(30)
    checkpoint.tensors["network.g.w"].fill_(2.0)  # as an optimizer does
    assert not (tmp_path / "1.safetensors").exists()
    gate.open.set()
    writer.wait()
    assert checkpoints.read(tmp_path / "1.safetensors").tensors["network.g.w"].eq(1.0).all()


def test_memory_is_used_again_unless_a_tensor_has_another_shape(tmp_path: Path) -> None:
    snapshot = background.Snapshot()
    first, wait = snapshot.take(state(1.0).tensors)
    wait()
    places = {name: tensor.data_ptr() for name, tensor in first.items()}
    second, _ = snapshot.take({**state(2.0).tensors, "optimizer.g.0.step": torch.ones(())})
    assert {name: second[name].data_ptr() for name in places} == places
    third, _ = snapshot.take({"network.g.w": torch.ones(5)})
    assert third.keys() == {"network.g.w"}
    assert third["network.g.w"].tolist() == [1.0] * 5


def test_a_strided_tensor_is_copied_in_its_order(tmp_path: Path) -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    copies, _ = background.Snapshot().take({"x": image})
    assert copies["x"].is_contiguous()
    assert copies["x"].equal(image)


def test_the_next_write_waits_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, writer = Gate(monkeypatch), BackgroundWriter()
    done: list[int] = []
    writer.write(state(1.0), tmp_path / "1.safetensors", lambda: done.append(1))
    second = threading.Thread(target=writer.write, args=(state(2.0), tmp_path / "2.safetensors"))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    assert done == []
    gate.open.set()
    second.join(30)
    assert done == [1]
    writer.wait()
    assert [checkpoints.read(tmp_path / f"{k}.safetensors").tensors["network.g.w"][0, 0].item() for k in (1, 2)] == [
        1.0,
        2.0,
    ]


@pytest.mark.parametrize("method", ["check", "wait", "write"])
def test_an_error_of_the_thread_is_raised_once(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: IO[bytes], tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_files, "write", full)
    writer = BackgroundWriter()
    writer.write(state(1.0), tmp_path / "1.safetensors")
    assert writer._thread is not None
    writer._thread.join()
    call = {
        "check": writer.check,
        "wait": writer.wait,
        "write": lambda: writer.write(state(1.0), tmp_path / "2.safetensors"),
    }
    with pytest.raises(OSError, match="No space left"):
        call[method]()
    writer.check()
    writer.wait()
    assert list(tmp_path.iterdir()) == []


def test_an_error_beside_another_one_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tensor_files, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    writer = BackgroundWriter()
    writer.write(state(1.0), tmp_path / "1.safetensors")
    writer.finish()
    assert "the last checkpoint was not written ([Errno 28] No space left" in caplog.text


DTYPES = [dtype for dtype in tensor_files.DTYPES if dtype not in (torch.float8_e4m3fn, torch.float8_e5m2)]


def test_the_library_reads_and_writes_the_same_file(tmp_path: Path) -> None:
    tensors = {f"{str(dtype).rpartition('.')[2]}.é": torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES}
    tensors |= {"empty": torch.zeros(0, 3), "scalar": torch.tensor(1.5), "a": torch.ones(2), "B": torch.ones(1)}
    with open(tmp_path / "own", "wb") as file:
        tensor_files.write(file, tensors, {"format": "x", "text": 'ü "quoted"'})
    save_file(tensors, tmp_path / "library", {"format": "x", "text": 'ü "quoted"'})
    for path in (tmp_path / "own", tmp_path / "library"):
        loaded = load_file(path)
        assert loaded.keys() == tensors.keys()
        assert all(
            loaded[name].equal(tensor) and loaded[name].dtype == tensor.dtype for name, tensor in tensors.items()
        )
    floats = {name: tensor for name, tensor in tensors.items() if tensor.dtype == torch.float32}
    with open(tmp_path / "own", "wb") as file:
        tensor_files.write(file, floats, {})
    save_file(floats, tmp_path / "library", {"": ""})
    own, library = ((tmp_path / name).read_bytes() for name in ("own", "library"))
    assert own[8 + int.from_bytes(own[:8], "little") :] == library[8 + int.from_bytes(library[:8], "little") :]
