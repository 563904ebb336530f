"""Model cards: what they say of the sizes of images."""

import pytest

from translate.downloads.hub import Address
from translate.export.model_card import text
from translate.weights.format import Node, Weights


def card(model: str, networks: dict[str, Node], image_size: int) -> str:
    weights = Weights({}, model, networks, image_size, domains=("high_resolution",))
    return text(weights, Address("me/large"), "python -m translate export")


def test_a_translation_has_the_size_of_training() -> None:
    said = card("cyclegan", {"generator_ab": {"name": "resnet_generator"}}, 64)
    assert "by the model `cyclegan` at 64 px." in said
    assert "a Pillow image of the size of training;" in said


@pytest.mark.parametrize(("scale", "small"), [(4, 24), (2, 48)])
def test_super_resolution_has_a_small_and_a_large_size(scale: int, small: int) -> None:
    said = card("srgan", {"generator": {"name": "srresnet", "scale": scale}}, 96)
    assert "by the model `srgan` for results of 96 px." in said
    assert f"with {scale} times as many pixels a side as its source. The photo is first reduced to {small} px" in said
    assert "size of training" not in said
