"""Several batches in one pass: the same results as one after another, and only where images are treated alone."""

import pytest
import torch
from torch import Tensor, nn

from translate.networks.cyclegan import ResnetGenerator
from translate.networks.layers.batching import forward_together
from translate.networks.pix2pix import PatchDiscriminator, PixelDiscriminator, UnetGenerator
from translate.networks.stargan_v1 import Discriminator

ALONE = {
    "patch": lambda: PatchDiscriminator(base_width=4),
    "pixel": lambda: PixelDiscriminator(base_width=4),
    "resnet": lambda: ResnetGenerator(base_width=4, num_blocks=1),
    "unet": lambda: UnetGenerator(num_downsamplings=3, base_width=4, norm="instance", dropout=False),
    "two outputs": lambda: Discriminator(32, num_labels=3, base_width=4, num_layers=3),
}
TOGETHER = {
    "patch, batch norm": lambda: PatchDiscriminator(base_width=4, norm="batch"),
    "pixel, batch norm": lambda: PixelDiscriminator(base_width=4, norm="batch"),
    "resnet, batch norm": lambda: ResnetGenerator(base_width=4, num_blocks=1, norm="batch"),
    "resnet, dropout": lambda: ResnetGenerator(base_width=4, num_blocks=1, dropout=True),
    "unet, batch norm": lambda: UnetGenerator(num_downsamplings=3, base_width=4, dropout=False),
    "a network that does not say": lambda: nn.Conv2d(3, 2, 1),
}


def passes(network: nn.Module) -> tuple[list[Tensor], list[Tensor], list[int]]:
    """Return all outputs of two batches in one pass, those of one after another, and the sizes of what came through."""
    draws = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, 3, 32, 32, generator=draws) for count in (3, 2)]
    wanted = [out for batch in batches for out in parts(network(batch))]
    sizes: list[int] = []
    network.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    return [out for found in forward_together(network, *batches) for out in parts(found)], wanted, sizes


def parts(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (found,) if isinstance(found, Tensor) else found


@pytest.mark.parametrize("name", ALONE)
def test_one_pass_gives_what_two_give(name: str) -> None:
    found, wanted, sizes = passes(ALONE[name]())
    assert sizes == [5]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TOGETHER)
def test_networks_whose_images_meet_get_one_batch_after_another(name: str) -> None:
    _, _, sizes = passes(TOGETHER[name]())
    assert sizes == [3, 2]
