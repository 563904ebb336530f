"""An auto-encoder as a model: it reconstructs images, and its encoder is f of a domain transfer network."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.tiny import Case, tiny_autoencoder, tiny_dtn
from translate.cli import main
from translate.models.autoencoder import Autoencoder
from translate.models.dtn import DTN
from translate.runs import checkpoints
from translate.training import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of an auto-encoder that is evaluated when it ends."""
    words = ["iterations=80", "model.optimizers.encoder.lr=1e-2", "model.ema_decay=null", "metrics=content"]
    return tiny_autoencoder.trained(tmp_path_factory.mktemp("autoencoder") / "run", *words)


def test_reconstructions_are_nearer_to_their_images_than_those_of_random_weights(folder: Path) -> None:
    config = tiny_autoencoder("model.ema_decay=null")
    data, model = build.build_data(config), build.build_model(config)
    assert isinstance(model, Autoencoder)
    x = data.held_out(6).image
    target = torch.zeros(len(x), dtype=torch.int64)
    before = (model.translate(x, target) - x).square().mean()
    checkpoints.restore_networks(model, checkpoints.newest(folder))
    assert (model.translate(x, target) - x).square().mean() < 0.5 * before


def test_loss_is_the_distance_of_reconstructions() -> None:
    config = tiny_autoencoder("model.losses.reconstruction.name=l1", "model.weights.autoencoder.reconstruction=3")
    model = build.build_model(config)
    assert isinstance(model, Autoencoder)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    expected = 3 * (model.decoder(model.encoder(x)) - x).abs().mean()
    torch.testing.assert_close(model.autoencoder_loss(x), expected)


def test_metrics_of_content_compare_reconstructions_with_their_images(folder: Path) -> None:
    tree = json.loads((folder / "metrics" / "local_last.json").read_text())
    (score,) = (score for name, score in tree["scores"].items() if name.startswith("SSIM"))
    assert 0.1 < score < 1


def test_the_encoder_is_frozen_in_a_domain_transfer_network(folder: Path) -> None:
    case = Case([word for word in tiny_dtn.model if "model.networks.features" not in word], tiny_dtn.data)
    model = build.build_model(
        case(f"model.networks.features.weights={folder}", "model.networks.generator.code_size=16")
    )
    assert isinstance(model, DTN)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    trained = build.build_model(tiny_autoencoder("model.ema_decay=null"))
    checkpoints.restore_networks(trained, checkpoints.newest(folder))
    with torch.no_grad():
        codes = trained.inference_networks()["encoder"](x)
        assert model.features(x).equal(codes)
    assert "features" not in model.trained


def test_apply_writes_reconstructions(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "red.png")
    words = ["apply", f"weights={folder}", f"input={tmp_path / 'red.png'}", f"output={tmp_path / 'out'}"]
    assert main(words) == 0
    (path,) = (tmp_path / "out").rglob("*.png")
    assert Image.open(path).size == (32, 32)
