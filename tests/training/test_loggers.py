"""TensorBoard and Weights & Biases get terms and pictures, and a resumed run is the same run there."""

from pathlib import Path

import pytest

from training.tiny import go_on, train

pytest.importorskip("tensorboard")
pytest.importorskip("wandb")


def test_tensorboard_gets_terms_and_pictures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, "iterations=2", "sample_every=2", "logger=tensorboard")
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    found = EventAccumulator(str(events.parent), size_guidance={"images": 0}).Reload()
    assert [event.step for event in found.Scalars("generator/latent/cycle")] == [1, 2]
    assert "images_per_second" in found.Tags()["scalars"]
    assert set(found.Tags()["images"]) == {"samples/cycle", "samples/latent", "samples/reference"}
    (picture,) = found.Images("samples/latent")
    assert picture.step == 2
    assert picture.encoded_image_string.startswith(b"\x89PNG")


def test_a_resumed_run_is_the_same_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

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
    pictures = {path.name.split("_")[0] for path in (runs[0] / "files" / "media").rglob("*.png")}
    assert pictures == {"cycle", "latent", "reference"}
