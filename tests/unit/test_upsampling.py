"""Convolutions that double the side: shapes, equality with their definition, and the default of generators."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.cyclegan import ResnetGenerator
from translate.networks.layers.upsampling import BilinearConv2d, Upsampling, doubling_convolution
from translate.networks.pix2pix import UnetGenerator
from translate.networks.small_conv import SmallConvGenerator
from translate.networks.stargan_v1 import AdaINGenerator, Generator

NAMES: tuple[Upsampling, ...] = ("transposed", "nearest", "bilinear")
GENERATORS: list[tuple[type[nn.Module], dict[str, Any], int]] = [
    (Generator, {"num_labels": 2, "base_width": 2, "num_blocks": 1}, 2),
    (AdaINGenerator, {"num_labels": 2, "base_width": 2, "num_blocks": 1}, 2),
    (ResnetGenerator, {"base_width": 2, "num_blocks": 1}, 2),
    (UnetGenerator, {"base_width": 2, "num_downsamplings": 3}, 3),
    (SmallConvGenerator, {"base_width": 2}, 3),
]
"""Generators with small arguments, and how often each doubles the side."""


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_side_is_doubled(name: Upsampling, bias: bool, kernel_size: Any) -> None:
    convolution = doubling_convolution(name, 4, 2, kernel_size, bias)
    assert convolution(features(2, 4, 5, 3)).shape == (2, 2, 10, 6)
    assert (dict(convolution.named_parameters()).keys() == {"weight", "bias"}) == bias


@pytest.mark.parametrize("name", ["nearest", "bilinear"])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_a_convolution_of_upsampled_features(name: Any, bias: bool) -> None:
    torch.manual_seed(0)
    convolution = doubling_convolution(name, 4, 2, bias=bias).double()
    assert isinstance(convolution, nn.Conv2d)
    x = features(2, 4, 5, 3).double()
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode=name), convolution.weight, convolution.bias, padding=1)
    torch.testing.assert_close(convolution(x), expected)


def test_bilinear_upsampling_keeps_planes_and_has_gradients() -> None:
    convolution = BilinearConv2d(1, 1, bias=False).double()
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 1, 1] = 1.0
    ramp = torch.arange(4.0).double().expand(1, 1, 4, 4)
    row = [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
    assert convolution(ramp)[0, 0, 3].tolist() == row
    assert torch.autograd.gradcheck(convolution, (features(1, 1, 2, 3).double().requires_grad_(),))


@pytest.mark.parametrize(("network", "arguments", "doublings"), GENERATORS)
def test_every_doubling_of_a_generator_is_the_chosen_one(
    network: type[nn.Module], arguments: dict[str, Any], doublings: int
) -> None:
    def kinds(**upsampling: str) -> list[type]:
        parts = network(**arguments, **upsampling).modules()
        chosen = {type(doubling_convolution(name, 1, 1)) for name in NAMES}
        return [type(part) for part in parts if type(part) in chosen]

    assert kinds() == [nn.ConvTranspose2d] * doublings  # the official one is the default
    for name in NAMES:
        assert kinds(upsampling=name) == [type(doubling_convolution(name, 1, 1))] * doublings
    with pytest.raises(UserError, match="upsampling: found 'cubic', expected 'transposed', 'nearest' or 'bilinear'"):
        network(**arguments, upsampling="cubic")


def test_labels_enter_by_the_border_as_planes_and_everywhere_by_adain() -> None:
    """Instance norm subtracts constant planes exactly, if the first convolution has no border of zeros."""
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"num_labels": 2, "base_width": 4, "num_blocks": 1}
    planes, adain = Generator(**arguments), AdaINGenerator(**arguments)
    x, labels = features(1, 3, 16, 16), torch.tensor([[0.0, 0.0], [1.0, 1.0]])

    def effect(network: nn.Module) -> float:
        with torch.no_grad():
            return float((network(x, labels[:1]) - network(x, labels[1:])).abs().mean())

    assert effect(planes) > 0.01
    assert effect(adain) > 0.01
    for first in (planes.get_submodule("main.0"), adain.get_submodule("main.0.conv")):
        assert isinstance(first, nn.Conv2d)
        first.padding_mode = "circular"
    assert effect(planes) < 1e-4
    assert effect(adain) > 0.01
