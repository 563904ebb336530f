"""The networks of CycleGAN and pix2pix: sizes and names as published, what normalises, what is dropped."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.cyclegan import ResnetGenerator
from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import PlainInstanceNorm
from translate.networks.pix2pix import PatchDiscriminator, PixelDiscriminator, UnetGenerator
from translate.networks.small_conv import SmallConvDiscriminator, SmallConvGenerator


def images(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0)).tanh()


def parameters_of(kind: Callable[..., nn.Module], *arguments: Any, **named: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in kind(*arguments, **named).parameters())


def test_published_numbers_of_parameters() -> None:
    assert parameters_of(ResnetGenerator) == 11_378_179
    assert parameters_of(ResnetGenerator, num_blocks=6) == 7_837_699
    assert parameters_of(UnetGenerator) == 54_413_955
    assert parameters_of(UnetGenerator, 7) == 41_828_995
    assert parameters_of(PatchDiscriminator) == 2_764_737
    assert parameters_of(PixelDiscriminator) == 8_705
    pairs = 3 * 64 * 4 * 4  # three more channels
    batch_norms = 128 + 256 + 512  # a scale and a shift each, for which the convolutions before have no bias
    assert parameters_of(PatchDiscriminator, 6, norm="batch") == 2_764_737 + pairs + batch_norms


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("network", [ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator])
def test_a_convolution_has_a_bias_unless_a_batch_norm_follows(network: type[nn.Module], norm: str) -> None:
    """As published; there, too, the first convolution of a U-Net and the last of PixelGAN do as those between."""
    modules = [m for m in network(norm=norm).modules() if not list(m.children())]
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d | PlainInstanceNorm)]
    assert {type(m) for m in norms} == {PlainInstanceNorm if norm == "instance" else nn.BatchNorm2d}
    if norm == "instance":
        assert all(m.bias is not None for m in convolutions)
        return
    with_bias = [number for number, m in enumerate(convolutions) if m.bias is not None]
    last = len(convolutions) - 1
    wanted = {ResnetGenerator: [last], UnetGenerator: [last], PatchDiscriminator: [0, last], PixelDiscriminator: [0]}
    assert with_bias == wanted[network]


@pytest.mark.parametrize(
    ("dropout", "blocks"), [(False, "conv_block.{1,5}"), (True, "conv_block.{1,6}")], ids=["plain", "dropout"]
)
def test_published_names_of_the_residual_generator(dropout: bool, blocks: str) -> None:
    found = [key.removesuffix(".weight") for key in ResnetGenerator(4, dropout=dropout).state_dict() if "weight" in key]
    second = blocks[-2]
    inside = [f"model.{n}.conv_block.{k}" for n in range(10, 19) for k in ("1", second)]
    assert found == ["model.1", "model.4", "model.7", *inside, "model.19", "model.22", "model.26"]
    assert len(ResnetGenerator(4).state_dict()) == 48
    six = [key for key in ResnetGenerator(4, num_blocks=6).state_dict() if "conv_block" not in key and "weight" in key]
    assert six == [f"model.{n}.weight" for n in (1, 4, 7, 16, 19, 23)]


def test_published_names_of_the_patch_discriminator() -> None:
    with_batch_norm = PatchDiscriminator(6, 4, norm="batch").state_dict()
    assert {key.split(".")[1] for key in PatchDiscriminator(3, 4).state_dict()} == {"0", "2", "5", "8", "11"}
    assert {key.split(".")[1] for key in with_batch_norm if "running" in key} == {"3", "6", "9"}


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_a_logit_sees_so_many_pixels(num_layers: int) -> None:
    """70 x 70 for three layers; the gradient of one logit shows which pixels count."""
    discriminator = PatchDiscriminator(1, 2, num_layers).double()
    for p in discriminator.parameters():
        nn.init.constant_(p, 0.1)
    for number, module in enumerate(discriminator.model):
        if isinstance(module, PlainInstanceNorm):
            discriminator.model[number] = nn.Identity()  # which sees the whole image
    x = torch.ones(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    logits = discriminator(x)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().sum(0).nonzero()[:, 0]
    assert int(seen.max() - seen.min()) + 1 == {1: 16, 2: 34, 3: 70, 4: 142}[num_layers]


def test_pixels_are_judged_alone() -> None:
    discriminator = PixelDiscriminator(3, 4, norm="batch").eval()
    x = images(8)
    with torch.no_grad():
        before = discriminator(x)
        x[:, :, 3, 5] = 1
        after = discriminator(x)
    changed = (before != after).any(0)[0].nonzero()
    assert changed.tolist() == [[3, 5]]


@pytest.mark.parametrize(("num_downsamplings", "size"), [(2, 4), (5, 32), (7, 128)])
def test_unet_goes_down_to_one_pixel(num_downsamplings: int, size: int) -> None:
    generator = UnetGenerator(num_downsamplings, 2)
    sides: list[int] = []
    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, found: sides.append(found.shape[-1]))
    with torch.no_grad():
        assert generator(images(size)).shape == (2, 3, size, size)
    assert sides == [size // 2**n for n in range(1, num_downsamplings + 1)]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_unet_has_a_skip_connection_at_every_level(number: int) -> None:
    """With the way up from below cut through anywhere but at the last step, the image still comes through."""
    generator = UnetGenerator(5, 4, dropout=False).eval()
    ups = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]  # from the bottom up
    assert len(ups) == 5
    with torch.no_grad():
        whole = generator(images(32))
        nn.init.zeros_(ups[number].weight)
        cut = generator(images(32))
        nn.init.zeros_(ups[-1].weight)
        closed = generator(images(32))
    assert not cut.equal(whole)
    assert not cut[0].allclose(cut[1], atol=1e-7)
    assert closed[0].equal(closed[1])


def test_fine_width_adds_a_skip_connection_at_the_side_of_the_image() -> None:
    """With the whole way through the halvings cut, a pixel still comes through, to those two away and no further."""
    generator = UnetGenerator(4, 4, dropout=False, fine_width=3).eval()
    ups = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [up.out_channels for up in ups] == [16, 8, 4, 3]
    with torch.no_grad():
        nn.init.zeros_(ups[-1].weight)
        image = images(32)[:1]
        changed = image.clone()
        changed[:, :, 10, 20] += 1
        difference = (generator(changed) - generator(image)).abs().amax((0, 1))
    rows, columns = difference.nonzero().unbind(1)
    assert (int(rows.min()), int(rows.max())) == (8, 12)
    assert (int(columns.min()), int(columns.max())) == (18, 22)


def test_unet_of_one_halving_is_refused() -> None:
    with pytest.raises(ValueError, match="num_downsamplings: found 1, expected at least 2"):
        UnetGenerator(1)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (UnetGenerator(8, 2), 3),
        (UnetGenerator(7, 2), 2),
        (UnetGenerator(5, 2), 0),
        (UnetGenerator(8, 2, dropout=False), 0),
        (ResnetGenerator(2, dropout=True), 9),
        (ResnetGenerator(2), 0),
    ],
)
def test_published_places_of_dropout(network: nn.Module, count: int) -> None:
    found = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    assert len(found) == count
    assert all(m.p == 0.5 for m in found)


def test_dropout_is_noise_in_training_alone() -> None:
    generator = UnetGenerator(6, 2)
    with torch.no_grad():
        assert not generator(images(64)).equal(generator(images(64)))
        generator.eval()
        assert generator(images(64)).equal(generator(images(64)))


def test_borders_of_the_residual_generator_are_reflected() -> None:
    """A constant image stays constant up to the layers that halve, which pad with zeros."""
    generator = ResnetGenerator(4)
    with torch.no_grad():
        features = generator.model[:2](torch.full((1, 3, 16, 16), 0.5))
    assert features.shape == (1, 4, 16, 16)
    torch.testing.assert_close(features, features[:, :, :1, :1].expand_as(features), rtol=1e-4, atol=1e-5)


def test_small_networks_have_the_said_widths() -> None:
    generator, discriminator = SmallConvGenerator(), SmallConvDiscriminator()
    widths = [m.weight.shape[0] for m in generator.modules() if isinstance(m, nn.Conv2d)]
    back = [m.weight.shape[1] for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert (widths, back) == ([64, 128, 256], [128, 64, 3])
    assert [m.weight.shape[0] for m in discriminator.modules() if isinstance(m, nn.Conv2d)] == [32, 64, 128, 256, 1]


@pytest.mark.parametrize("network", [ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator])
def test_there_is_no_third_norm(network: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="norm: found 'layer', expected 'instance' or 'batch'"):
        network(norm="layer")


def test_plain_instance_norm_equals_torch() -> None:
    x = images(16) * 3 + 1
    torch.testing.assert_close(PlainInstanceNorm()(x), F.instance_norm(x), rtol=1e-4, atol=1e-5)


def test_dcgan_initialisation() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(64, 64, 4), nn.ConvTranspose2d(64, 64, 4), nn.BatchNorm2d(20_000), nn.Linear(3, 3)]
    linear = layers[-1].weight.clone()
    for layer in layers:
        layer.apply(dcgan_normal)
    for layer, mean in zip(layers, (0.0, 0.0, 1.0), strict=False):
        error = 5 * 0.02 / math.sqrt(layer.weight.numel())
        assert layer.weight.mean().item() == pytest.approx(mean, abs=error)
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert layer.bias.eq(0).all()
    assert layers[-1].weight.equal(linear)
