"""Fast style transfer against figures of pytorch/examples: outputs in float32, two iterations in float64."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from numerics.differences import Differences, record_in_float64
from numerics.formula import draw, parameter
from numerics.gradients import of_first_iteration
from translate.data import style_images
from translate.data.views.images import ImageBatch
from translate.losses.style import gram_matrix
from translate.models.fast_style import FastStyle
from translate.networks.fast_style import TransformerNet
from translate.networks.vgg import VGGFeatures

FOLDER = Path(__file__).parent / "golden"
TAG = "fast_style_64"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
OUTPUTS = dict(np.load(FOLDER / f"{TAG}.npz"))
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


def image(field: str, k: int, batch: int, size: int) -> Tensor:
    """Return images (B, 3, S, S) float64 in [-1, 1]; the official ones are in 0..255."""
    return torch.from_numpy(np.tanh(draw(f"{TAG}/{field}/{k}", (batch, 3, size, size)))).double()


def transformer(dtype: torch.dtype = torch.float32) -> TransformerNet:
    """Return the network filled by formula; the last layer is scaled so that images are in the range."""
    network = TransformerNet()
    with torch.no_grad():
        for key, value in network.named_parameters():
            value.copy_(parameter(TAG, "transformer", key, tuple(value.shape)))
        network.deconv3.conv2d.weight.mul_(40)
        network.to(dtype).deconv3.conv2d.bias.add_(128)
    return network


def vgg() -> VGGFeatures:
    """Return VGG16 filled by formula; its parameters are numbered by slice in the official code."""
    network = VGGFeatures(LAYERS)
    for key, shape in GOLDEN["layout"]["vgg16"]:
        own = network.get_parameter(f"features.{key.partition('.')[2]}")
        own.copy_(parameter(TAG, "vgg16", key, tuple(shape)))
    return network


def make_model(monkeypatch: pytest.MonkeyPatch) -> FastStyle:
    """Return the model in float64 with the official weights."""
    monkeypatch.setattr(style_images, "read", lambda *_: np.zeros((8, 8, 3), np.uint8))
    adam = partial(torch.optim.Adam, lr=GOLDEN["adam"]["lr"], betas=tuple(GOLDEN["adam"]["betas"]))
    model = FastStyle(
        style_image="style.png",
        networks={"transformer": transformer(torch.float64), "features": vgg()},
        optimizers={"transformer": adam},
        losses={},
        weights={
            "transformer": {
                "content": GOLDEN["content_weight"],
                "style": GOLDEN["style_weight"],
                "variation": 0.0,
            }
        },
    ).double()
    model.style.image = image("style", 0, 1, GOLDEN["style_size"])
    return model


def test_layout_equals_the_official_one() -> None:
    own = sorted((key, list(value.shape)) for key, value in transformer().state_dict().items())
    assert own == sorted((key, shape) for key, shape in GOLDEN["layout"]["transformer"])
    assert sum(value.numel() for value in transformer().parameters()) == GOLDEN["parameters"]


def test_outputs_equal_the_official_ones() -> None:
    with torch.no_grad():
        y = transformer()(image("x", 0, GOLDEN["batch"], GOLDEN["img_size"]).float())
        features, style = vgg()(y), vgg()(image("style", 0, 1, GOLDEN["style_size"]).float())
    found = {"y": (y + 1) * 127.5, "relu2_2_y": features[1][:, :16], "relu4_3_y": features[3][:, ::8]}
    found |= {f"gram_style_{k}_first8": gram_matrix(f, "elements")[0, :8, :8] for k, f in enumerate(style)}
    assert found.keys() == OUTPUTS.keys()
    for name, official in OUTPUTS.items():
        error = np.abs(found[name].numpy() - official).max() / np.abs(official).max()
        assert error < 2e-5, (name, error)
    for rms, feature in zip(GOLDEN["gram_rms"], style, strict=True):
        assert gram_matrix(feature, "elements").square().mean().sqrt().item() == pytest.approx(rms, rel=1e-5)


def is_rounding(key: str) -> bool:
    """Return whether a parameter only shifts channels before an instance norm: its gradient is zero but for rounding.

    Those are biases of convolutions, and of the last norm of a residual block, since padding by reflection keeps a
    shift constant.
    """
    return key.endswith(("conv2d.bias", ".in2.bias")) and not key.startswith("deconv3")


def test_two_iterations_equal_the_official_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(monkeypatch).check({"term": 1e-12, "gradient": 1e-10, "weight": 1e-9})


def differences_of_iterations(monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in two iterations in float64, and where it is."""
    official, differences = GOLDEN["double"], Differences()
    model = make_model(monkeypatch)
    record_in_float64(monkeypatch)
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(official["steps"]):
        model.training_step(ImageBatch(image("x", k, GOLDEN["batch"], GOLDEN["img_size"])), k)
        content = GOLDEN["content_weight"] * model.terms["transformer/content"].item()
        style = GOLDEN["style_weight"] * model.terms["transformer/style"].item()
        differences.compare("term", f"content {k}", content, wanted["content"])
        differences.compare("term", f"style {k}", style, wanted["style"])
        differences.compare("term", f"total {k}", content + style, wanted["total"])
        layers = sum(wanted["style_layers"])
        differences.compare("term", f"layers {k}", model.terms["transformer/style"].item(), layers)
    for key, value in model.transformer.named_parameters():
        if is_rounding(key):
            continue
        rms = gradients["transformer"][key].square().mean().sqrt().item()
        differences.compare("gradient", key, rms, official["grad_rms_step0"]["transformer"][key])
        after = official["weights_after"]["transformer"][key]
        differences.compare_summary("weight", key, value, after)
    return differences
