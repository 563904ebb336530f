"""Faults while a run trains: each is one sentence or a warning, and nothing that was written is lost."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from PIL import Image
from safetensors.torch import save

from training.tiny import RUN, TINY, differences, go_on, tiny, tiny_cyclegan, train
from translate.cli import USER_MISTAKE, main
from translate.errors import UserError
from translate.inference.translator import load
from translate.losses.adversarial import NonSaturating
from translate.metrics.weights import read_tensors
from translate.models.base import TranslationModel
from translate.models.ema import EMA
from translate.runs import checkpoints
from translate.runs import folder as folders
from translate.runs.checkpoints import Checkpoint
from translate.runs.folder import RunFolder
from translate.training import build, run
from translate.training.callbacks.checkpointing import Checkpointing
from translate.training.callbacks.metric_logging import weights_are_finite

Out = pytest.CaptureFixture[str]


def only_sentences(said: str) -> None:
    assert "Traceback" not in said
    assert "Error:" not in said


# --- numbers that are none ----------------------------------------------------------------------------------


def infinite(loss: torch.Tensor) -> torch.Tensor:
    return loss + float("inf")


def steep(loss: torch.Tensor) -> torch.Tensor:
    """Return the same number, whose gradient is none."""
    loss.register_hook(lambda gradient: gradient * float("nan"))
    return loss


@pytest.mark.parametrize(
    ("poison", "named"),
    [(infinite, "discriminator/latent/real"), (steep, "gradient_norm/discriminator")],
)
def test_what_becomes_infinite_is_named_and_never_on_the_disk(
    poison: Callable[[torch.Tensor], torch.Tensor],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Out,
) -> None:
    honest, calls = NonSaturating.real, iter(range(100))

    def poisoned(self: NonSaturating, logits: torch.Tensor) -> torch.Tensor:
        loss = honest(self, logits)
        return poison(loss) if next(calls) == 2 * 3 else loss  # two calls an iteration: the first one of the fourth

    monkeypatch.setattr(NonSaturating, "real", poisoned)
    assert run.train(tiny("iterations=8", "checkpoint_every=1", "log_every=100"), tmp_path, None, []) == run.FAILED
    said = capfd.readouterr().err
    assert "stopped: iteration 4: " in said
    assert named in said
    assert "the last checkpoint was written before" in said
    only_sentences(said)
    assert [int(path.stem) for path in RunFolder(tmp_path).checkpoints().values()] == [2, 3]
    for path in RunFolder(tmp_path).checkpoints().values():
        assert all(tensor.isfinite().all() for tensor in checkpoints.read(path).tensors.values())


@pytest.mark.parametrize("group", ["ema", "network"])
def test_weights_that_become_infinite_end_the_run_though_all_terms_are_finite(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    honest, iterations = EMA.update, iter(range(1, 100))

    def poisoned(self: EMA, networks: dict[str, torch.nn.Module]) -> None:
        honest(self, networks)
        if next(iterations) == 3:  # the last one: no term of a later iteration can tell
            network = (self.networks if group == "ema" else networks)["mapping"]
            next(network.parameters()).data.view(-1)[0] = float("inf")

    monkeypatch.setattr(EMA, "update", poisoned)
    assert run.train(tiny("iterations=3", "checkpoint_every=1", "log_every=100"), tmp_path, None, []) == run.FAILED
    said = capfd.readouterr().err
    assert f"stopped: iteration 3: {group}/mapping became NaN or infinite; the last checkpoint was" in said
    only_sentences(said)
    assert max(RunFolder(tmp_path).checkpoints()) == 2


def test_weights_are_looked_at_without_waiting_for_the_device() -> None:
    model = build.build_model(tiny())
    numbers = weights_are_finite(model)
    assert set(numbers) == {
        *(f"network/{role}" for role in model.trained),
        *(f"ema/{role}" for role in model.ema.networks),
    }
    assert all(number.shape == () and number == 0 for number in numbers.values())
    next(model.ema["mapping"].parameters()).data.view(-1)[-1] = float("nan")
    assert [name for name, number in weights_are_finite(model).items() if not number.isfinite()] == ["ema/mapping"]


@pytest.mark.parametrize(
    "want", [lambda: torch.empty(1 << 50), lambda: raised(torch.OutOfMemoryError("CUDA out of memory. Tried to\nmore"))]
)
@pytest.mark.parametrize("iteration", [1, 4])
def test_a_lack_of_memory_says_how_to_need_less(
    want: Callable[[], Any], iteration: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    honest, calls = NonSaturating.real, iter(range(100))

    def greedy(self: NonSaturating, logits: torch.Tensor) -> torch.Tensor:
        if next(calls) == 2 * (iteration - 1):
            want()
        return honest(self, logits)

    with monkeypatch.context() as patched:
        patched.setattr(NonSaturating, "real", greedy)
        assert run.train(tiny("iterations=5", "checkpoint_every=2"), tmp_path / "run", None, []) == run.FAILED
    said = capfd.readouterr().err
    assert "stopped: out of memory (" in said
    assert (
        "reduce the memory by trainer.activation_checkpointing=true, trainer.accumulate=2 or a smaller data.batch_size"
        in said
    )
    only_sentences(said)
    if iteration == 1:
        assert "no checkpoint yet" in said
        return
    assert "the checkpoint of iteration 2 is complete. Fix: " in said
    assert "continue by: python -m translate resume=" in said
    train(tmp_path / "whole", "iterations=5")
    assert (
        differences(
            checkpoints.newest(tmp_path / "whole"), go_on(tmp_path / "run", "trainer.activation_checkpointing=true")
        )
        == []
    )


def raised(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "stopped: out of memory (MemoryError)"),
        (
            torch.distributed.DistBackendError("NCCL error in: x.cpp:1, system error\nLast error:\nmore"),
            "stopped: the processes of the run do not reach each other (NCCL error in: x.cpp:1, system error)",
        ),
        (torch.distributed.DistNetworkError("Connection reset by peer"), "do not reach each other (Connection reset"),
    ],
    ids=["memory", "NCCL", "network"],
)
def test_a_failure_of_the_machine_is_one_sentence(
    error: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    monkeypatch.setattr(NonSaturating, "real", lambda self, logits: raised(error))
    assert run.train(tiny("iterations=1"), tmp_path, None, []) == run.FAILED
    said = capfd.readouterr().err
    assert said.count(sentence) == said.count("stopped: ") == 1
    assert "the run has no checkpoint yet. Fix: " in said
    only_sentences(said)


# --- data that changes --------------------------------------------------------------------------------------


class Photos:
    """Class folders of pictures, what a run on them is asked for, and what can happen to them."""

    def __init__(self, place: Path) -> None:
        self.root = place / "photos"
        self.cache = place / "cache"
        for part, number in (("train", 10), ("val", 3)):
            for domain in ("cat", "rabbit"):
                (self.root / part / domain).mkdir(parents=True)
                for k in range(number):
                    self.draw(self.root / part / domain / f"{k}.png", k)

    @staticmethod
    def draw(path: Path, seed: int) -> None:
        """Draw noise."""
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)).save(path)

    @property
    def files(self) -> list[Path]:
        """Return the files to train on."""
        return sorted((self.root / "train").rglob("*.png"))

    def settings(self, cached: bool, *overrides: str) -> list[str]:
        """Return the overrides of a run on these pictures."""
        cache = self.cache if cached else "null"
        data = ["data=folder", "data.image_size=32", "data.batch_size=2", f"data.root={self.root}"]
        return [*data, f"data.cache={cache}", "data.num_workers=0", "checkpoint_every=2", *overrides]

    def train(self, folder: Path, cached: bool, *overrides: str) -> int:
        """Train on them in this process."""
        return run.train(tiny_cyclegan.on([], *self.settings(cached, *overrides)), folder, None, [])

    def vanish(self) -> None:
        """Delete the files that are trained on."""
        for path in self.files:
            path.unlink()

    def shrink(self) -> None:
        """Cut the files short."""
        for path in self.files:
            path.write_bytes(path.read_bytes()[:100])

    def become_others(self) -> None:
        """Put other pictures in their places."""
        for number, path in enumerate(self.files):
            self.draw(path, 100 + number)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


def at_iteration(number: int, happens: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen, once, when the checkpoint of an iteration has been written."""
    write, left = Checkpointing.write, [happens]

    def writes(self: Checkpointing, model: TranslationModel) -> None:
        write(self, model)
        self.writer.wait()
        if model.iteration == number and left:
            left.pop()()

    monkeypatch.setattr(Checkpointing, "write", writes)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("happens", "reason"),
    [(Photos.vanish, "cannot be read: no such file or directory"), (Photos.shrink, "cannot be read: ")],
)
def test_files_that_are_lost_on_the_way_end_the_run_in_one_sentence(
    happens: Callable[[Photos], None],
    reason: str,
    num_workers: int,
    photos: Photos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, kept = tmp_path / "run", tmp_path / "kept"
    shutil.copytree(photos.root, kept)
    photos.train(tmp_path / "whole", False, "iterations=12")
    at_iteration(2, lambda: happens(photos), monkeypatch)
    with pytest.raises(
        UserError, match=rf"photos/train/\S+ could be read at the start of the run, now it {reason}"
    ) as found:
        photos.train(folder, False, "iterations=12", f"data.num_workers={num_workers}")
    assert len(str(found.value).splitlines()) == 1
    assert "restore the file, then resume the run" in str(found.value)
    assert checkpoints.newest(folder).iteration >= 2
    shutil.rmtree(photos.root)
    shutil.copytree(kept, photos.root)  # with the times of the files
    assert differences(checkpoints.newest(tmp_path / "whole"), go_on(folder, "data.num_workers=0")) == []


@pytest.mark.parametrize("happens", [Photos.vanish, Photos.shrink, Photos.become_others])
def test_a_cache_outlives_its_files_and_the_run_says_so(
    happens: Callable[[Photos], None], photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    photos.train(tmp_path / "whole", True, "iterations=6")
    assert "will not be repeated" not in capfd.readouterr().err
    at_iteration(2, lambda: happens(photos), monkeypatch)
    assert photos.train(tmp_path / "run", True, "iterations=6") == 0
    said = capfd.readouterr().err
    assert (
        "domain 'cat' is empty" if happens is Photos.vanish else "differ from those at the beginning of the run"
    ) in said
    assert "the run may have used both, and its command will not repeat it" in said
    assert differences(*(checkpoints.newest(tmp_path / name) for name in ("whole", "run"))) == []


def test_other_pictures_in_the_same_places_are_noticed_without_a_cache(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    at_iteration(2, photos.become_others, monkeypatch)
    assert photos.train(tmp_path / "run", False, "iterations=4") == 0
    said = capfd.readouterr().err
    assert "data: the train images differ from those at the beginning of the run (equal in number)" in said
    assert "val images" not in said


@pytest.mark.parametrize("cached", [False, True])
def test_a_resumed_run_says_that_its_data_has_changed(cached: bool, photos: Photos, tmp_path: Path, capfd: Out) -> None:
    folder = tmp_path / "run"
    photos.train(folder, cached, "iterations=2")
    go_on(folder, "iterations=3")
    assert "the run began with" not in capfd.readouterr().err
    photos.files[0].unlink()
    go_on(folder, "iterations=4")
    said = capfd.readouterr().err
    assert "resume: the train images differ from those at the beginning of the run (20 then, 19 now)" in said
    assert "the run continues and will not equal an uninterrupted one" in said
    go_on(folder, "iterations=5")
    assert "the run began with" not in capfd.readouterr().err
    photos.shrink()
    with pytest.raises(
        UserError, match=r"data\.max_bad_fraction: too many images cannot be read: .* found 19 of 19 images"
    ):
        go_on(folder, "iterations=6")
    assert checkpoints.newest(folder).iteration == 5


# --- a loader process that dies -----------------------------------------------------------------------------


def test_a_loader_process_that_dies_is_one_sentence_and_loses_nothing(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    folder = tmp_path / "run"
    photos.train(tmp_path / "whole", True, "iterations=12")
    killed = []

    def dies() -> None:
        for process in multiprocessing.active_children():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    at_iteration(4, dies, monkeypatch)
    assert photos.train(folder, True, "iterations=12", "data.num_workers=1") == run.FAILED
    assert len(killed) == 1
    said = capfd.readouterr().err
    assert "stopped: a process that loads data has died, most often because memory ran out" in said
    reached = checkpoints.newest(folder).iteration
    assert 4 <= reached < 12
    assert f"the checkpoint of iteration {reached} is complete. Fix: lower data.num_workers if it happens again" in said
    assert f"continue by: python -m translate resume={folder}" in said
    only_sentences(said)
    assert differences(checkpoints.newest(tmp_path / "whole"), go_on(folder, "data.num_workers=0")) == []


def test_a_run_whose_loaders_outlive_it_goes_on_at_once(photos: Photos, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    photos.train(tmp_path / "whole", True, "iterations=12")
    words = [*tiny_cyclegan.model, *RUN, *photos.settings(True, "data.num_workers=1", "checkpoint_every=1")]
    process = subprocess.Popen([sys.executable, "-m", "translate", *words, "iterations=12", f"folder={folder}"])
    while not RunFolder(folder).checkpoints():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()  # as the system does when memory runs out: its loader, a fork, still holds the lock for a while
    process.wait()
    assert checkpoints.newest(folder).iteration < 12, "the kill came too late to prove anything"
    assert differences(checkpoints.newest(tmp_path / "whole"), go_on(folder, "data.num_workers=0")) == []


def test_a_folder_in_which_another_process_trains_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LOCK_TIMEOUT", 0.1)
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(UserError, match=r"another process trains in this folder"),
    ):
        train(tmp_path, "iterations=1")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_run_that_began_in_the_folder_meanwhile_is_left_alone(done: Path, tmp_path: Path) -> None:
    """Both runs found the folder empty when they were checked; the other one has been faster."""
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    before = content_of(folder)
    with pytest.raises(UserError, match=r"another run has begun in this folder; found its checkpoint of iteration 2"):
        train(folder, "iterations=1")
    assert content_of(folder) == before


# --- loggers that fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["log_metrics", "experiment", "finalize"])
def test_a_logger_that_fails_is_named_once_and_left_out(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Out
) -> None:
    pytest.importorskip("tensorboard")
    from pytorch_lightning.loggers import TensorBoardLogger

    told: list[int] = []

    def fails(self: Any, *_: object, step: int = 0) -> None:
        told.append(step)
        if step >= 3 or method != "log_metrics":
            raise ConnectionError("the server has gone\nand more lines")

    monkeypatch.setattr(TensorBoardLogger, method, property(fails) if method == "experiment" else fails)
    whole = train(tmp_path / "whole", "iterations=5")
    capfd.readouterr()
    found = train(tmp_path / "run", "iterations=5", "sample_every=2", "logger=tensorboard")
    said = capfd.readouterr().err
    assert said.count("TensorBoardLogger failed and is left out from here on (the server has gone)") == 1
    only_sentences(said)
    if method == "log_metrics":
        assert told == [1, 2, 3]
    assert differences(whole, found) == []
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_server_that_is_not_there_leaves_a_record_to_send_later(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    folder = tmp_path / "run"
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40, "WANDB_INIT_TIMEOUT": "2"}
    words = [*TINY, "iterations=2", "logger=wandb", "logger.wandb.offline=false", f"folder={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "translate", *words],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "wandb: cannot record online (" in done.stderr
    assert "recording offline; 'wandb sync' sends it later" in done.stderr
    assert "Traceback" not in done.stderr
    (record,) = (folder / "wandb").glob("offline-run-*")
    assert record.name.endswith((folder / "wandb_id.txt").read_text())
    assert checkpoints.newest(folder).iteration == 2


# --- checkpoints that are none ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two iterations."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    train(folder, "iterations=2", "checkpoint_every=1")
    return folder


class Hostile:
    """What makes a file when a pickle of it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def header(**changes: str) -> dict[str, str]:
    """Return the header of a checkpoint, with changes."""
    honest = {"iteration": "2", "domains": "[]", "config": "{}", "optimizers": "{}"}
    return {"format": checkpoints.FORMAT, **honest, **changes}


def turned(whole: bytes) -> bytes:
    """Return a checkpoint one bit of whose first weight of a network is turned round."""
    length = int.from_bytes(whole[:8], "little")
    table = json.loads(whole[8 : 8 + length])
    first = min(entry["data_offsets"][0] for name, entry in table.items() if name.startswith("network."))
    place = 8 + length + first
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


TENSORS = {"network.generator.weight": torch.zeros(2)}
NO_CHECKPOINTS: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "a hostile pickle": (lambda _, mark: pickle.dumps(Hostile(mark)), "not a readable checkpoint"),
    "cut short": (lambda whole, _: whole[: len(whole) // 2], "not a readable checkpoint"),
    "cut in its header": (lambda whole, _: whole[:100], "not a readable checkpoint"),
    "empty": (lambda *_: b"", "not a readable checkpoint"),
    "of another format": (
        lambda *_: save(TENSORS, header(format="translate checkpoint 9")),
        "'translate checkpoint 9'",
    ),
    "without an iteration": (lambda *_: save(TENSORS, header(iteration="two")), "damaged: "),
    "with a bit turned round": (lambda whole, _: turned(whole), "wrong checksum of network"),
    "of another iteration by its header": (
        lambda whole, _: whole.replace(b'"iteration":"2"', b'"iteration":"1"'),
        "wrong checksum of header",
    ),
    "without a configuration": (lambda *_: save(TENSORS, header(config="{")), "damaged: "),
}
ENTRANCES: dict[str, Callable[[Path], list[str]]] = {
    "resume": lambda folder: [f"resume={folder}", "iterations=4"],
    "evaluate": lambda folder: ["evaluate", f"run={folder}", "metrics=local", "device=cpu"],
    "export": lambda folder: ["export", f"run={folder}", f"to={folder.parent / 'out.safetensors'}"],
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused_at_every_entrance(
    kind: str, entrance: str, done: Path, tmp_path: Path, capfd: Out
) -> None:
    folder, mark = tmp_path / "run", tmp_path / "executed"
    shutil.copytree(done, folder)
    path = RunFolder(folder).checkpoint(2)
    make, reason = NO_CHECKPOINTS[kind]
    path.write_bytes(make(path.read_bytes(), mark))
    before = {p.name: p.read_bytes() for p in (folder / "checkpoints").iterdir()}
    assert main(ENTRANCES[entrance](folder)) == USER_MISTAKE
    said = capfd.readouterr().err
    only_sentences(said)
    assert reason in said
    assert said.count(str(path)) == 1
    assert not mark.exists()
    assert {p.name: p.read_bytes() for p in (folder / "checkpoints").iterdir()} == before
    if entrance == "resume" and "delete it" in said:
        path.unlink()
        assert differences(checkpoints.newest(done), go_on(folder)) == []


@pytest.mark.parametrize("content", [pickle.dumps, torch.save], ids=["pickle", "torch"])
def test_weights_of_a_metric_are_not_executed(content: Callable[..., Any], tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "alexnet.pth"
    if content is torch.save:
        torch.save({"weight": Hostile(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(mark)))
    for read in (read_tensors, load):
        with pytest.raises(UserError) as caught:
            read(path)
        assert len(str(caught.value).splitlines()) == 1
    assert not mark.exists()


def test_a_checkpoint_of_another_size_or_model_is_one_sentence(done: Path, tmp_path: Path, capfd: Out) -> None:
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    assert main([f"resume={folder}", "iterations=4", "model.networks.generator.base_width=8"]) == USER_MISTAKE
    assert "resume: the checkpoint does not fit this configuration's networks (size mismatch" in capfd.readouterr().err
    assert differences(checkpoints.newest(done), checkpoints.newest(folder)) == []
    assert run.train(tiny_cyclegan("iterations=2"), tmp_path / "other", None, []) == 0
    other = checkpoints.newest(tmp_path / "other")
    kept = checkpoints.newest(folder)
    foreign = Checkpoint(other.tensors, 2, kept.domains, kept.config, other.optimizers)
    checkpoints.write(foreign, RunFolder(folder).checkpoint(2))
    for entrance in ("resume", "evaluate"):
        capfd.readouterr()
        assert main(ENTRANCES[entrance](folder)) == USER_MISTAKE
        said = capfd.readouterr().err
        assert "the checkpoint does not fit this configuration's networks" in said
        only_sentences(said)
    checkpoints.write(replace(foreign, domains=("cat", "dog")), RunFolder(folder).checkpoint(2))
    assert main(ENTRANCES["resume"](folder)) == USER_MISTAKE
    assert (
        "resume: the data has other domains than the checkpoint; found ['bear', 'cat', 'rabbit'], expected cat, dog"
        in capfd.readouterr().err
    )


# --- a resume that does not begin ---------------------------------------------------------------------------


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the content of a run's files, without its log, which tells of every attempt."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log.txt"
    }


@pytest.mark.parametrize("where", ["building the networks", "opening the data", "the first iteration"])
def test_a_resume_that_fails_before_its_first_iteration_ends_changes_nothing(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    train(folder, "iterations=2", "checkpoint_every=1")
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"iteration": 3}\n')
    before = content_of(folder)

    def fail(*_: object, **__: object) -> None:
        raise UserError("it fails")

    places = {
        "building the networks": ("translate.training.build.build_model", fail),
        "opening the data": ("translate.training.build.build_data", fail),
        "the first iteration": ("translate.models.stargan_v2.StarGANv2.step", fail),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[where])
        with pytest.raises(UserError, match="it fails"):
            go_on(folder, "iterations=4", "log_every=2")
    assert content_of(folder) == before
    go_on(folder, "iterations=4", "log_every=2")
    assert [json.loads(line)["iteration"] for line in metrics.read_text().splitlines()] == [1, 2, 4]
    assert yaml.safe_load((folder / "config.yaml").read_text())["iterations"] == 4
