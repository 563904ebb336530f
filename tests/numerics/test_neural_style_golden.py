"""Style transfer by optimization against figures of the official notebook, all in float64."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from numerics.formula import draw, parameter
from translate.inference.neural_style import ImageOptimization, LossWeights, StyleLoss
from translate.losses.style import gram_matrix
from translate.networks.vgg import VGGFeatures

FOLDER = Path(__file__).parent / "golden"
TAG = "gatys_64"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
OUTPUTS = dict(np.load(FOLDER / f"{TAG}.npz"))
MEAN = (0.40760392, 0.45795686, 0.48501961)
"""Of blue, green and red, as the notebook has it: those of Caffe over 255, with eight digits."""


def layer(short: str) -> str:
    """Return our name of a layer, such as relu4_2 for r42."""
    return f"relu{short[1]}_{short[2]}"


STYLE = [layer(name) for name in GOLDEN["layers"]["style"]]
CONTENT = [layer(name) for name in GOLDEN["layers"]["content"]]


def features() -> VGGFeatures:
    """Return VGG19 filled by formula, from a file with the notebook's names."""
    network = VGGFeatures([*STYLE, *CONTENT], depth=19, preprocessing="caffe")
    state = {key: parameter(TAG, "vgg19", key, tuple(shape)) for key, shape in GOLDEN["layout"]["vgg19"]}
    network.load_state_dict(network.renamed(state), strict=False)
    assert set(network.state_dict()) <= set(network.renamed(state))
    network.mean.copy_(torch.tensor(MEAN, dtype=torch.float64)[:, None, None] * 255)
    return network.double()


def image(field: str, size: list[int]) -> Tensor:
    """Return an image in [-1, 1]; the official run has it in 0..255, rounded to float32 there."""
    pixels = 255 * (1 + np.tanh(draw(f"{TAG}/{field}/0", (1, 3, *size)))) / 2
    assert pixels.dtype == np.float32
    return torch.from_numpy(pixels).double() / 127.5 - 1


def optimization() -> ImageOptimization:
    weights = LossWeights(dict.fromkeys(CONTENT, GOLDEN["weights"]["content"]), dict.fromkeys(STYLE, 1.0))
    content, style = image("content", GOLDEN["content_size"]), image("style", GOLDEN["style_size"])
    loss = StyleLoss(features(), content, [style], weights)
    return ImageOptimization(loss, image("start", GOLDEN["content_size"]))


def difference(own: Tensor, official: np.ndarray) -> float:
    """Return the greatest difference, relative to the greatest official value."""
    return float(np.abs(own.detach().numpy() - official).max() / np.abs(official).max())


def test_loss_of_each_layer_equals_the_official_one() -> None:
    terms = {name: value.item() for name, value in optimization().loss.terms(image("start", [64, 80])).items()}
    official = {f"style/{layer(name)}": GOLDEN["losses_start"][name] for name in GOLDEN["layers"]["style"]}
    official |= {f"content/{layer(name)}": GOLDEN["losses_start"][name] for name in GOLDEN["layers"]["content"]}
    assert terms.keys() == official.keys()
    for name, value in official.items():
        assert abs(terms[name] / value - 1) < 1e-12, name


def test_default_weights_are_those_of_the_notebook() -> None:
    assert LossWeights() == LossWeights(dict.fromkeys(CONTENT, 1.0), dict.fromkeys(STYLE, 1.0))
    factors = optimization().loss.style_factors
    assert [factors[name] for name in STYLE] == GOLDEN["weights"]["style"]


def test_gram_matrices_and_features_equal_the_official_ones() -> None:
    network = features()
    style = network(image("style", GOLDEN["style_size"]), STYLE)
    for name, feature in zip(GOLDEN["layers"]["style"], style, strict=True):
        assert difference(gram_matrix(feature)[0, :8, :8], OUTPUTS[f"gram_style_{name}_first8"]) < 1e-7
    for rms, feature in zip(GOLDEN["gram_rms"], style, strict=True):
        assert abs(gram_matrix(feature).square().mean().sqrt().item() / rms - 1) < 1e-12
    (start,) = network(image("start", GOLDEN["content_size"]), CONTENT)
    assert difference(start[:, ::16], OUTPUTS["r42_start"]) < 1e-7


def test_gradient_of_the_image_equals_the_official_one() -> None:
    """The official pixels are blue, green, red."""
    model = optimization()
    torch.stack(list(model.loss.terms(model.pixels / 127.5 - 1).values())).sum().backward()
    assert model.pixels.grad is not None
    assert difference(model.pixels.grad.flip(1), OUTPUTS["image_gradient"]) < 1e-7
    rms = model.pixels.grad.square().mean().sqrt().item()
    assert abs(rms / GOLDEN["image_gradient_rms"] - 1) < 1e-12


def test_twenty_moves_equal_the_official_ones() -> None:
    """One official call of L-BFGS is twenty steps here."""
    losses, pixels = losses_of_twenty_moves()
    for number, (own, official) in enumerate(zip(losses, GOLDEN["lbfgs"]["closure_losses"], strict=True)):
        assert abs(own / official - 1) < 1e-9, number
    mean = torch.tensor(MEAN, dtype=torch.float64)[:, None, None] * 255
    assert difference(pixels.flip(1) - mean, OUTPUTS["image_after_20"]) < 1e-7


def losses_of_twenty_moves() -> tuple[list[float], Tensor]:
    """Return the total loss before each move, and the pixels after all."""
    model = optimization()
    losses = [sum(model.step().values()) for _ in GOLDEN["lbfgs"]["closure_losses"]]
    return losses, model.pixels.detach()
