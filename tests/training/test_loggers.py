"""Loggers get terms, scores, images and the configuration; a resumed run stays one run of W&B."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pytorch_lightning.loggers import CSVLogger, Logger

from training.tiny import go_on, tiny, train
from translate.errors import UserError
from translate.runs.folder import RunFolder
from translate.training.loggers import (
    FaultTolerantLogger,
    build_loggers,
    closing_loggers,
    image_writer,
    log_scores,
    wandb_labels,
)

PIXELS = np.zeros((4, 6, 3), np.uint8)
SCORED = ["metrics=local", "metrics.local.num_iterations=2", "metrics.local.num_sources=6"]


class Recording(Logger):
    """A logger that keeps what it is given."""

    name, version = "recording", 0

    def __init__(self, experiment: Any = None) -> None:
        super().__init__()
        self.experiment = experiment
        self.calls: list[tuple[Any, ...]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.calls.append(("metrics", metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("hyperparams", params))

    def finalize(self, status: str) -> None:
        self.calls.append(("finalize", status))


class Experiment:
    """The experiment of a third-party logger, with one method for images."""

    def __init__(self, method: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        setattr(self, method, lambda *args, **kwargs: self.calls.append((args, kwargs)))


def test_images_go_through_the_interface_that_a_logger_has() -> None:
    own = Recording()
    own.log_image = lambda name, images, step: own.calls.append((name, len(images), step))  # type: ignore[attr-defined]
    tensorboard, comet, mlflow = (Recording(Experiment(name)) for name in ("add_image", "log_image", "log_image"))
    mlflow.run_id = "7"  # type: ignore[attr-defined]
    for logger in (own, tensorboard, comet, mlflow):
        FaultTolerantLogger(logger).log_image("samples/a", PIXELS, 3)
    assert own.calls == [("samples/a", 1, 3)]
    assert tensorboard.experiment.calls == [(("samples/a", PIXELS, 3), {"dataformats": "HWC"})]
    assert comet.experiment.calls == [((PIXELS,), {"name": "samples/a", "step": 3})]
    assert mlflow.experiment.calls == [(("7", PIXELS), {"key": "samples/a", "step": 3})]


def test_a_logger_without_images_says_so_once(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(logging.getLogger("translate"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("translate"), "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, "translate")
    assert image_writer(Recording()) is None
    logger = FaultTolerantLogger(Recording())
    logger.log_image("a", PIXELS, 1)
    logger.log_image("a", PIXELS, 2)
    assert [record.message for record in caplog.records] == [
        "Recording takes no images; they are in the run folder's samples/"
    ]


def test_finite_scores_are_logged_and_loggers_are_finalized_at_the_end() -> None:
    inner = Recording()
    with closing_loggers() as loggers:
        loggers.append(FaultTolerantLogger(inner))
        loggers[0].finalize("success")  # by Lightning, after training
        log_scores(loggers, {"local": {"FID, latent": 2.0, "KID": float("nan")}}, 5)
        assert ("finalize", "success") not in inner.calls
    assert inner.calls == [("metrics", {"scores/local/FID, latent": 2.0}, 5), ("finalize", "success")]


def test_a_class_that_is_no_logger_is_refused(tmp_path: Path) -> None:
    config = tiny("+logger.mine._target_=collections.OrderedDict", "trust=[collections]")
    with pytest.raises(UserError) as caught:
        build_loggers(config, RunFolder(tmp_path))
    assert str(caught.value) == (
        "logger.mine._target_: found 'collections.OrderedDict', "
        "expected a subclass of pytorch_lightning.loggers.logger.Logger"
    )


def test_a_csv_logger_gets_terms_scores_and_the_configuration(tmp_path: Path) -> None:
    target = f"{CSVLogger.__module__}.CSVLogger"
    train(tmp_path, "iterations=2", "log_every=1", "sample_every=2", *SCORED, f"+logger.csv._target_={target}")
    (path,) = tmp_path.rglob("metrics.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    scores = json.loads((tmp_path / "metrics" / "local_last.json").read_text())["scores"]
    assert [row["step"] for row in rows if row["generator/latent/cycle"]] == ["1", "2"]
    (row,) = [row for row in rows if row["scores/local/domain accuracy, latent"]]
    assert float(row["scores/local/domain accuracy, latent"]) == scores["domain accuracy, latent"]
    saved = yaml.unsafe_load((path.parent / "hparams.yaml").read_text())
    assert saved["iterations"] == 2


def test_a_run_of_a_sweep_is_named_by_its_overrides(tmp_path: Path) -> None:
    config = tiny()
    alone, job = RunFolder(tmp_path / "runs" / "time"), RunFolder(tmp_path / "seeds" / "sweep" / "0")
    for folder in (alone, job):
        folder.begin("", ["seed=1", "data.batch_size=4", f"folder={folder}", "resume=auto"], 1)
    (job.path.parent / "sweep.json").write_text("{}")
    labels = wandb_labels(config, alone)
    assert (labels["name"], labels["job_type"], labels["group"]) == ("time", "train", config.name or config.model.name)
    assert {config.model.name, config.data.name} <= set(labels["tags"])
    labels = wandb_labels(config, job)
    assert (labels["name"], labels["job_type"]) == ("seed=1 data.batch_size=4", "sweep")
    assert labels["group"] == "seeds/sweep"


def test_tensorboard_gets_terms_scores_images_and_the_configuration(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, "iterations=2", "sample_every=2", "logger=tensorboard", *SCORED)
    places = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    (place,) = places
    events = EventAccumulator(str(place), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Scalars("generator/latent/cycle")] == [1, 2]
    assert "images_per_second" in events.Tags()["scalars"]
    assert [event.step for event in events.Scalars("scores/local/domain accuracy, latent")] == [2]
    assert set(events.Tags()["images"]) == {"samples/cycle", "samples/latent", "samples/reference"}
    (image,) = events.Images("samples/latent")
    assert image.step == 2
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert yaml.unsafe_load((place / "hparams.yaml").read_text())["iterations"] == 2


def test_a_resumed_run_is_the_same_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run"
    train(folder, "iterations=1", "sample_every=1", "logger=wandb", "logger.wandb.offline=true")
    wandb.finish()
    kept = (folder / "wandb_id.txt").read_text()
    go_on(folder, "iterations=2")
    wandb.finish()
    assert (folder / "wandb_id.txt").read_text() == kept
    runs = sorted((folder / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    assert all(run.name.endswith(f"-{kept}") for run in runs)
    images = {path.name.split("_")[0] for path in (runs[0] / "files" / "media").rglob("*.png")}
    assert images == {"cycle", "latent", "reference"}
