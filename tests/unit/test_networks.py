"""Every registered network builds, runs at two sizes, is differentiable, comes back; StarGAN v2's are as published."""

import math
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from translate.config.network_sizes import check_image_size, size_needed, values_of_a_channel
from translate.networks import stargan_v1
from translate.networks.classifier import ConvEncoder
from translate.networks.layers import resampling
from translate.networks.layers.device import assume_device
from translate.networks.layers.initialization import he_normal
from translate.networks.layers.normalization import AdaIN, InstanceNorm, instance_norm
from translate.networks.layers.per_domain import PerDomain
from translate.networks.layers.resampling import DoublingConv2d, HalvingConv2d
from translate.networks.stargan_v2 import (
    SLOPE,
    Discriminator,
    FaceOval,
    Generator,
    HighPass,
    MappingNetwork,
    ModulatedBlock,
    ResidualBlock,
    StyledBlock,
    StyleEncoder,
    pick_domain,
)
from translate.networks.stargan_v2_ablation import LabelAndCodeCondition, LabelConcatenationGenerator, LabelCondition
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize

B, K, L, Z = 4, 3, 5, 9
SMALL = {
    "num_domains": K,
    "latent_size": L,
    "style_size": Z,
    "hidden_width": 8,
    "base_width": 4,
    "max_width": 8,
    "num_bottleneck": 1,
    "num_labels": K,
    "num_blocks": 1,
    "num_layers": 4,
}
"""Arguments that make a network small; a network takes those that it knows."""


def images(size: int) -> Tensor:
    return torch.randn(B, 3, size, size, generator=torch.Generator().manual_seed(0)).tanh()


def vectors(length: int) -> Tensor:
    return torch.randn(B, length, generator=torch.Generator().manual_seed(1))


def signs() -> Tensor:
    return torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]])


def maps(width: int, size: int) -> Tensor:
    return torch.randn(B, width, size, size, generator=torch.Generator().manual_seed(1))


def places(count: int, width: int) -> Tensor:
    """Return features at places of a map (B, count, width)."""
    return maps(count, width)[..., 0]


def masks(size: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(2)
    return torch.rand(B, 1, size, size, generator=draws), torch.rand(B, 1, size, size, generator=draws)


DOMAIN = torch.tensor([0, 1, 2, 1])  # every head is asked

# name -> (further arguments, inputs at a size, shapes of the outputs at a size)
Case = tuple[dict[str, Any], Callable[[int], tuple[Any, ...]], Callable[[int], list[tuple[int, ...]]]]
CASES: dict[str, list[Case]] = {
    "fast_style_transformer": [({}, lambda s: (images(s),), lambda s: [(B, 3, s, s)])],
    "combogan_encoders": [({}, lambda s: (images(s),), lambda s: [(B, 16, s // 4, s // 4)] * K)],
    "combogan_decoders": [({}, lambda s: (maps(16, s // 4),), lambda s: [(B, 3, s, s)] * K)],
    "combogan_discriminators": [
        (
            {"num_layers": 2},
            lambda s: (images(s),),
            lambda s: [(B, 2, side, side) for side in (s // 4 + 1, s // 4 + 3)] * K,
        ),
    ],
    "combogan_shared_blocks": [
        ({"width": 16}, lambda s: (maps(16, s // 4), 1), lambda s: [(B, 16, s // 4, s // 4)]),
    ],
    "cut_generator": [({}, lambda s: (images(s),), lambda s: [(B, 3, s, s)])],
    "cut_discriminator": [
        ({"num_layers": 3}, lambda s: (images(s),), lambda s: [(B, 1, s // 8 - 2, s // 8 - 2)]),
        ({"num_layers": 1}, lambda s: (images(s),), lambda s: [(B, 1, s // 2 - 2, s // 2 - 2)]),
    ],
    "cut_projection": [
        (
            {"taps": [0, 4], "num_features": 24},
            lambda s: (places(s, 3), places(s, 8)),
            lambda s: [(B, s, 24), (B, s, 24)],
        ),
        ({"taps": [12], "num_features": 24, "in_channels": [5]}, lambda s: (places(s, 5),), lambda s: [(B, s, 24)]),
    ],
    "label_condition": [({}, lambda s: (vectors(L), DOMAIN), lambda s: [(B, Z)])],
    "label_and_code_condition": [({}, lambda s: (vectors(L), DOMAIN), lambda s: [(B, Z)])],
    "label_and_code_encoder": [({}, lambda s: (images(s), DOMAIN), lambda s: [(B, Z)])],
    "label_concatenation_generator": [({}, lambda s: (images(s), vectors(Z)), lambda s: [(B, 3, s, s)])],
    "patch_discriminator": [
        ({"num_layers": 3}, lambda s: (images(s),), lambda s: [(B, 1, s // 8 - 2, s // 8 - 2)]),
        ({"num_layers": 2, "norm": "batch"}, lambda s: (images(s),), lambda s: [(B, 1, s // 4 - 2, s // 4 - 2)]),
        (
            {"num_layers": 2, "norm": "none", "spectral_norm": True},
            lambda s: (images(s),),
            lambda s: [(B, 1, s // 4 - 2, s // 4 - 2)],
        ),
    ],
    "multiscale_patch_discriminator": [
        (
            {"num_layers": 2, "num_scales": 2},
            lambda s: (images(s),),
            lambda s: [(B, 1, s // 4 - 2, s // 4 - 2), (B, 1, s // 8 - 2, s // 8 - 2)],
        ),
    ],
    "pixel_discriminator": [
        ({}, lambda s: (images(s),), lambda s: [(B, 1, s, s)]),
        ({"norm": "batch"}, lambda s: (images(s),), lambda s: [(B, 1, s, s)]),
    ],
    "resnet_generator": [
        ({}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
        ({"norm": "batch", "upsampling": "bilinear"}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
        ({"norm": "batch"}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
    ],
    "small_conv_discriminator": [({}, lambda s: (images(s),), lambda s: [(B,)])],
    "small_conv_generator": [
        ({}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
        ({"upsampling": "nearest"}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
    ],
    "srgan_discriminator": [
        ({"hidden_width": 8}, lambda s: (images(s),), lambda s: [(B, 1)]),
        ({"hidden_width": 8, "head": "pooled", "bias": True}, lambda s: (images(s),), lambda s: [(B, 1)]),
    ],
    "srresnet": [
        ({}, lambda s: (images(s),), lambda s: [(B, 3, 4 * s, 4 * s)]),
        ({"scale": 2, "output": "clamp"}, lambda s: (images(s),), lambda s: [(B, 3, 2 * s, 2 * s)]),
        ({"scale": 8, "output": "tanh", "bias": True}, lambda s: (images(s),), lambda s: [(B, 3, 8 * s, 8 * s)]),
    ],
    "stargan_v1_generator": [
        ({}, lambda s: (images(s), vectors(K)), lambda s: [(B, 3, s, s)]),
        ({"num_sets": 2}, lambda s: (images(s), vectors(K + 2)), lambda s: [(B, 3, s, s)]),
        ({"upsampling": "nearest"}, lambda s: (images(s), vectors(K)), lambda s: [(B, 3, s, s)]),
    ],
    "stargan_v1_adain_generator": [
        ({}, lambda s: (images(s), vectors(K)), lambda s: [(B, 3, s, s)]),
        ({"num_sets": 2, "upsampling": "bilinear"}, lambda s: (images(s), vectors(K + 2)), lambda s: [(B, 3, s, s)]),
    ],
    "stargan_v1_masked_generator": [
        ({}, lambda s: (images(s), vectors(K)), lambda s: [(B, 3, s, s)]),
        ({"num_sets": 2, "upsampling": "nearest"}, lambda s: (images(s), vectors(K + 2)), lambda s: [(B, 3, s, s)]),
    ],
    "stargan_v1_discriminator": [
        ({}, lambda s: (images(s),), lambda s: [(B, 1, s // 16, s // 16), (B, K)]),
        ({"spectral_norm": True}, lambda s: (images(s),), lambda s: [(B, 1, s // 16, s // 16), (B, K)]),
    ],
    "stargan_v2_generator": [
        ({}, lambda s: (images(s), vectors(Z)), lambda s: [(B, 3, s, s)]),
        ({"w_hpf": 1.0}, lambda s: (images(s), vectors(Z), masks(s)), lambda s: [(B, 3, s, s)]),
    ],
    "stargan_v2_modulated_generator": [
        ({}, lambda s: (images(s), vectors(Z)), lambda s: [(B, 3, s, s)]),
        ({"w_hpf": 1.0}, lambda s: (images(s), vectors(Z), masks(s)), lambda s: [(B, 3, s, s)]),
        ({"normalized": True}, lambda s: (images(s), vectors(Z)), lambda s: [(B, 3, s, s)]),
    ],
    "stargan_v2_mapping": [({}, lambda s: (vectors(L), DOMAIN), lambda s: [(B, Z)])],
    "stargan_v2_style_encoder": [({}, lambda s: (images(s), DOMAIN), lambda s: [(B, Z)])],
    "stargan_v2_discriminator": [({}, lambda s: (images(s), DOMAIN), lambda s: [(B,)])],
    "conv_encoder": [
        ({"num_features": 12}, lambda s: (images(s),), lambda s: [(B, 12)]),
        ({"num_features": 12, "activation": "tanh"}, lambda s: (images(s),), lambda s: [(B, 12)]),
    ],
    "linear_head": [({"num_features": 8}, lambda s: (vectors(8),), lambda s: [(B, K)])],
    "icgan_generator": [({}, lambda s: (vectors(L), signs()), lambda s: [(B, 3, s, s)])],
    "icgan_discriminator": [({}, lambda s: (images(s), signs()), lambda s: [(B,)])],
    "icgan_encoder": [
        ({"num_outputs": L, "num_layers": 3}, lambda s: (images(s),), lambda s: [(B, L)]),
        ({"num_outputs": K, "num_layers": 3, "hidden_width": 16}, lambda s: (images(s),), lambda s: [(B, K)]),
    ],
    "frozen": [
        (
            {"role": "generator", "network": {"name": "small_conv_generator", "base_width": 4}},
            lambda s: (images(s),),
            lambda s: [(B, 3, s, s)],
        ),
    ],
    "landmark_masks": [({}, lambda s: (images(s),), lambda s: [(B, 1, 256, 256)] * 2)],
    "face_oval": [({}, lambda s: (images(s),), lambda s: [(B, 1, s, s)] * 2)],
    "unit_encoder": [({"num_downsamplings": 2}, lambda s: (images(s),), lambda s: [(B, 16, s // 4, s // 4)])],
    "unit_decoder": [({"num_downsamplings": 2}, lambda s: (maps(16, s // 4),), lambda s: [(B, 3, s, s)])],
    "unit_discriminator": [
        ({"num_layers": 3}, lambda s: (images(s),), lambda s: [(B, 1, s // k, s // k) for k in (8, 16, 32)]),
        ({"num_layers": 4, "num_scales": 1}, lambda s: (images(s),), lambda s: [(B, 1, s // 16, s // 16)]),
    ],
    "unit_paper_encoder": [({"num_downsamplings": 3}, lambda s: (images(s),), lambda s: [(B, 32, s // 8, s // 8)])],
    "unit_paper_decoder": [({"num_downsamplings": 3}, lambda s: (maps(32, s // 8),), lambda s: [(B, 3, s, s)])],
    "unit_shared_blocks": [({"width": 16}, lambda s: (maps(16, s // 4),), lambda s: [(B, 16, s // 4, s // 4)])],
    "unit_paper_discriminator": [({"num_layers": 2}, lambda s: (images(s),), lambda s: [(B, 8, s // 4, s // 4)])],
    "unit_shared_discriminator": [
        ({"in_channels": 8, "num_layers": 2}, lambda s: (maps(8, s // 4),), lambda s: [(B, 1, s // 16, s // 16)]),
    ],
    "diat_discriminator": [
        ({}, lambda s: (images(s),), lambda s: [(B,)]),
        (
            {"norm": "instance", "hidden_width": 8},
            lambda s: (images(s),),
            lambda s: [(B,)],
        ),
    ],
    "diat_denoiser": [({}, lambda s: (images(s),), lambda s: [(B, 3, s, s)])],
    "dtn_generator": [
        ({"code_size": 16}, lambda s: (vectors(16),), lambda s: [(B, 3, s, s)]),
        ({"code_size": 16, "image_channels": 1, "pointwise": True}, lambda s: (vectors(16),), lambda s: [(B, 3, s, s)]),
    ],
    "dtn_discriminator": [
        ({}, lambda s: (images(s),), lambda s: [(B, 3)]),
        ({"image_channels": 1}, lambda s: (images(s),), lambda s: [(B, 3)]),
    ],
    "xgan_encoder": [({}, lambda s: (images(s),), lambda s: [(B, 8, s // 4, s // 4)])],
    "xgan_shared_encoder": [({"code_size": 64}, lambda s: (maps(8, s // 4),), lambda s: [(B, 64)])],
    "xgan_shared_decoder": [({"code_size": 64}, lambda s: (vectors(64),), lambda s: [(B, 32, s // 8, s // 8)])],
    "xgan_decoder": [({}, lambda s: (maps(32, s // 8),), lambda s: [(B, 3, s, s)])],
    "xgan_code_classifier": [({"code_size": 64}, lambda s: (vectors(64),), lambda s: [(B, 1)])],
    "xgan_discriminator": [({}, lambda s: (images(s),), lambda s: [(B, 1)])],
    "vgg16_features": [
        ({}, lambda s: (images(s),), lambda s: [(B, 32, s // 8, s // 8)]),
        ({"preprocessing": "caffe"}, lambda s: (images(s),), lambda s: [(B, 32, s // 8, s // 8)]),
    ],
    "vgg_features": [
        (
            {},
            lambda s: (images(s),),
            lambda s: [(B, 4 * k, s // k, s // k) for k in (1, 2, 4, 8)],
        ),
        (
            {"depth": 19, "layers": ["conv5_4", "relu1_1"], "pooling": "average", "preprocessing": "caffe"},
            lambda s: (images(s),),
            lambda s: [(B, 32, s // 16, s // 16), (B, 4, s, s)],
        ),
    ],
    "unet_generator": [  # dropout, off here, has its own test
        ({"num_downsamplings": 5, "dropout": False}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
        (
            {"num_downsamplings": 5, "norm": "instance", "dropout": False, "upsampling": "bilinear"},
            lambda s: (images(s),),
            lambda s: [(B, 3, s, s)],
        ),
        ({"num_downsamplings": 4, "dropout": False, "fine_width": 5}, lambda s: (images(s),), lambda s: [(B, 3, s, s)]),
    ],
}
SIZES = {"landmark_masks": (32,)}  # it enlarges every image to 256 pixels
NAMES = [name for name in NETWORKS.names() if NETWORKS.entry(name).module.startswith("translate.")]
RUNS = [
    pytest.param(name, case, size, id=f"{name}{number or ''}-{size}")
    for name in NAMES
    for number, case in enumerate(CASES.get(name, []))
    for size in SIZES.get(name, (32, 64))
]


def build(name: str, size: int, **arguments: Any) -> nn.Module:
    torch.manual_seed(3)
    known = {parameter.name for parameter in NETWORKS.entry(name).parameters}
    small = {key: value for key, value in {**SMALL, "image_size": size}.items() if key in known}
    network: nn.Module = NETWORKS.get(name)(**{**small, **arguments})
    return network


def outputs(network: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    if isinstance(network, PerDomain):  # the network of each domain is called by itself
        return [value for each in network for value in outputs(each, inputs)]
    found = network(*inputs)
    return [found] if isinstance(found, Tensor) else list(found)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_a_case(name: str) -> None:
    assert CASES.get(name), f"the network {name!r} has no case: say here what it takes and gives"


@pytest.mark.parametrize("name", NAMES)
def test_registration_says_whether_there_is_something_to_train(name: str) -> None:
    network = build(name, 32, **CASES[name][0][0])
    assert NETWORKS.facts(name).get("trainable", True) == any(p.requires_grad for p in network.parameters())


def test_conditions_are_label_then_code_then_zeros() -> None:
    code, domain = torch.tensor([[0.5, -1.0]]), torch.tensor([1])
    assert LabelCondition(2, 3)(code, domain).tolist() == [[0.0, 1.0, 0.0]]
    assert LabelAndCodeCondition(2, 2, 5)(code, domain).tolist() == [[0.0, 1.0, 0.5, -1.0, 0.0]]
    with pytest.raises(ValueError, match="found 1, expected at least 2"):
        LabelCondition(2, 1)
    with pytest.raises(ValueError, match="found 3, expected at least 4, for 2 domains and codes of 2"):
        LabelAndCodeCondition(2, 2, 3)


def test_concatenation_is_stargan_v1() -> None:
    ours = build("label_concatenation_generator", 32)
    theirs = build("stargan_v1_generator", 32, num_labels=Z)
    theirs.load_state_dict(ours.state_dict())
    x, style = images(32), vectors(Z)
    assert isinstance(ours, LabelConcatenationGenerator)
    assert ours.decode_features(ours.encode_image(x), style).equal(theirs(x, style))


@pytest.mark.parametrize(("name", "case", "size"), RUNS)
def test_shapes(name: str, case: Case, size: int) -> None:
    arguments, inputs, shapes = case
    with torch.no_grad():
        found = outputs(build(name, size, **arguments), inputs(size))
    assert [tuple(value.shape) for value in found] == shapes(size)
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in found)


@pytest.mark.parametrize(("name", "case", "size"), RUNS)
def test_every_parameter_gets_a_finite_gradient(name: str, case: Case, size: int) -> None:
    arguments, inputs, _ = case
    network = build(name, size, **arguments)
    learning = {key: p for key, p in network.named_parameters() if p.requires_grad}
    if not learning:
        return
    sum(value.square().sum() for value in outputs(network, inputs(size))).backward()
    without = [key for key, p in learning.items() if p.grad is None]
    assert without == []  # processes that train together wait for every gradient
    assert all(p.grad.isfinite().all() for p in learning.values() if p.grad is not None)
    assert any(p.grad.abs().max() > 0 for p in learning.values() if p.grad is not None)


SMALL_AT_FIRST = ("cut_generator", "cut_projection")
"""Networks with such small weights at first that norms in them divide by nearly nothing, so that slopes are steep."""


@pytest.mark.parametrize(("name", "case", "size"), [run for run in RUNS if run.values[2] == 32])
def test_gradient_equals_the_difference_quotient(name: str, case: Case, size: int) -> None:
    """In float64, along one random direction in all parameters."""
    arguments, inputs, _ = case
    network = build(name, size, **arguments).double()
    learning = [p for p in network.parameters() if p.requires_grad]
    if not learning:
        return
    if name in SMALL_AT_FIRST:
        torch._foreach_mul_([p.data for p in learning], 50)

    def doubled(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(doubled, value))
        if isinstance(value, int):
            return value
        return value.double() if value.is_floating_point() else value

    given = tuple(map(doubled, inputs(size)))

    def value() -> Tensor:
        return torch.stack([torch.sin(found).sum() for found in outputs(network, given)]).sum()

    gradients = torch.autograd.grad(value(), learning)
    draws = torch.Generator().manual_seed(4)
    direction = [torch.randn(p.shape, generator=draws, dtype=p.dtype) * 0.1 for p in learning]
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    step, ends = 1e-6, []
    with torch.no_grad():
        for sign in (1, -1):
            torch._foreach_add_(learning, direction, alpha=sign * step)
            ends.append(value())
            torch._foreach_sub_(learning, direction, alpha=sign * step)
    quotient = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(quotient, slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "case", "size"), RUNS)
def test_saved_and_reloaded(name: str, case: Case, size: int) -> None:
    arguments, inputs, _ = case
    network, other = build(name, size, **arguments), build(name, size, **arguments)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
        other.load_state_dict(load(save(network.state_dict())))
        for found, wanted in zip(outputs(other, inputs(size)), outputs(network, inputs(size)), strict=True):
            assert found.equal(wanted)


@pytest.mark.parametrize(("name", "case", "size"), RUNS)
def test_images_of_a_batch_do_not_see_each_other(name: str, case: Case, size: int) -> None:
    """Beside batch norms in training, which are off here."""
    arguments, inputs, _ = case
    network = build(name, size, **arguments).eval()

    def alone(value: Any) -> Any:
        if isinstance(value, int):
            return value
        return tuple(map(alone, value)) if isinstance(value, tuple) else value[2:3]

    with torch.no_grad():
        whole, single = outputs(network, inputs(size)), outputs(network, tuple(map(alone, inputs(size))))
    for found, wanted in zip(single, whole, strict=True):
        torch.testing.assert_close(found, wanted[2:3], rtol=1e-4, atol=1e-4)


def smallest_size(name: str, arguments: dict[str, Any]) -> int:
    """Return the side of the smallest square that a network takes."""
    entry = NETWORKS.entry(name)
    if "image_size" not in entry.facts:
        return 32
    known = {parameter.name for parameter in entry.parameters}
    small = {key: value for key, value in SMALL.items() if key in known}
    need = size_needed(entry, {**small, **arguments})
    return next(side for side in (4, 8, 12, 16, 24, 32) if not list(check_image_size(side, {"network": need})))


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{n}") for name in NAMES for n, case in enumerate(CASES.get(name, []))],
)
def test_the_fact_batch_norm_is_the_number_of_values_of_a_channel(name: str, case: Case) -> None:
    arguments, inputs, shapes = case
    entry, size = NETWORKS.entry(name), smallest_size(name, arguments)
    network = build(name, size, **arguments).train()
    size = max(size, getattr(network, "minimum_size", size))
    counts: list[int] = []
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.register_forward_pre_hook(lambda _, x: counts.append(x[0][:, 0].numel() // B))
    with torch.no_grad():
        outputs(network, inputs(size))
    image = shapes(size)[0][2] if name == "srresnet" else size
    small = {key: value for key, value in SMALL.items() if key in {p.name for p in entry.parameters}}
    values = values_of_a_channel(entry, {**small, **arguments}, ImageSize.of(image))
    if values is not None:
        assert values == min(counts)
    elif entry.facts.get("trainable", True) and not entry.facts.get("pretrained"):
        assert min(counts, default=2) > 1, f"{name} needs the fact batch_norm"
    else:  # it is never in training mode
        assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_construction_is_a_function_of_the_seed(name: str) -> None:
    first, second = (build(name, 32, **CASES[name][0][0]) for _ in range(2))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert a.equal(b)


# --- StarGAN v2 as published --------------------------------------------------------------------------------


def parameters_of(kind: Callable[..., nn.Module], *arguments: Any, **named: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in kind(*arguments, **named).parameters())


def test_published_numbers_of_parameters_at_256_px() -> None:
    assert parameters_of(Generator, 256) == 33_892_995
    for num_domains in (2, 3, 10):
        further = num_domains - 2
        assert parameters_of(MappingNetwork, num_domains) == 2_438_272 + 820_800 * further
        assert parameters_of(StyleEncoder, num_domains) == 20_916_928 + 32_832 * further
        assert parameters_of(Discriminator, num_domains) == 20_852_290 + 513 * further


def test_published_number_with_high_pass_less_what_is_never_read() -> None:
    widths = [64, 128, 256, 512, 512, 512]  # from full resolution down to 8 x 8
    never_read = sum(wide * narrow for narrow, wide in pairwise(widths) if narrow != wide)
    assert never_read == 172_032
    assert parameters_of(Generator, 256, w_hpf=1.0) == 43_467_395 - never_read


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_published_widths_follow_the_size(size: int) -> None:
    with torch.device("meta"):
        generator, encoder = Generator(size), StyleEncoder(2, size)
    first = 2**14 // size
    assert generator.from_rgb.out_channels == min(first, 2**14 // size)
    assert encoder.shared[0].out_channels == first
    num_downsamplings = int(math.log2(size)) - 4
    assert len(generator.encode) == len(generator.decode) == num_downsamplings + 2
    assert sum(block.downsample for block in generator.encode) == num_downsamplings


@pytest.mark.parametrize(("w_hpf", "side"), [(0.0, 16), (1.0, 8)])
def test_bottleneck_side(w_hpf: float, side: int) -> None:
    generator = Generator(64, Z, base_width=4, max_width=8, w_hpf=w_hpf)
    encoded = generator.encode_image(images(64))
    assert encoded.features.shape == (B, 8, side, side)
    assert {k: tuple(v.shape[2:]) for k, v in encoded.skips.items()} == ({64: (64, 64), 32: (32, 32)} if w_hpf else {})


@pytest.mark.parametrize("w_hpf", [0.0, 1.0])
def test_one_encoding_serves_several_styles(w_hpf: float) -> None:
    generator = Generator(32, Z, base_width=4, max_width=8, w_hpf=w_hpf)
    x, given = images(32), masks(32) if w_hpf else None
    styles = vectors(Z), -vectors(Z)
    with torch.no_grad():
        encoded = generator.encode_image(x)
        once = [generator.decode_features(encoded, style, given) for style in styles]
        twice = [generator(x, style, given) for style in styles]
    assert all(a.equal(b) for a, b in zip(once, twice, strict=True))
    assert not once[0].allclose(once[1], atol=1e-3)


def test_masks_let_the_source_through() -> None:
    generator = Generator(64, Z, base_width=4, max_width=8, w_hpf=1.0)
    x, style = images(64), vectors(Z)
    none, coarse, fine = torch.zeros(B, 1, 64, 64), (1.0, 0.0), (0.0, 1.0)
    with torch.no_grad():
        closed = generator(x, style, (none, none))
        for opened in (coarse, fine):
            found = generator(x, style, tuple(none + value for value in opened))
            assert not found.allclose(closed, atol=1e-3), opened
    with pytest.raises(ValueError, match="masks"):
        generator(x, style)


def test_masks_are_not_read_without_high_pass() -> None:
    generator = Generator(32, Z, base_width=4, max_width=8)
    with torch.no_grad():
        assert generator(images(32), vectors(Z), masks(32)).equal(generator(images(32), vectors(Z)))


@pytest.mark.parametrize("w_hpf", [1.0, 2.0, 0.5])
def test_high_pass_filter(w_hpf: float) -> None:
    high_pass = HighPass(w_hpf)
    assert list(high_pass.parameters()) == []
    kernel = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / w_hpf
    assert high_pass.filter.equal(kernel)
    impulse = torch.zeros(1, 2, 7, 7)
    impulse[0, 1, 3, 3] = 1
    found = high_pass(impulse)
    assert found[0, 0].eq(0).all()  # channels do not mix
    assert found[0, 1, 2:5, 2:5].equal(kernel)
    assert found[0, 1].sum() == 0
    assert high_pass(torch.ones(1, 3, 6, 6))[:, :, 1:-1, 1:-1].abs().max() < 1e-6


@pytest.mark.parametrize("size", [32, 64, 256])
def test_face_oval(size: int) -> None:
    coarse, fine = FaceOval()(torch.zeros(2, 3, size, size))
    for mask in (coarse, fine):
        assert mask.shape == (2, 1, size, size)
        assert ((mask >= 0) & (mask <= 1)).all()
        assert (mask[:, :, size // 2, size // 2] == 1).all()
        assert (mask[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
        assert mask.allclose(mask.flip(3), atol=1e-5)
        assert mask.allclose(mask.flip(2), atol=1e-5)
        assert mask[0].equal(mask[1])
    assert (fine <= coarse).all()
    assert 0.3 < coarse.mean() < 0.45  # pi * 0.30 * 0.38
    assert fine.mean() / coarse.mean() == pytest.approx(4 / 9, rel=0.1)


# --- StarGAN v1 as published --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_labels", "generator", "discriminator"), [(5, 8_430_528, 44_762_048), (8, 8_439_936, 44_786_624)]
)
def test_stargan_v1_published_numbers_of_parameters_at_128_px(
    num_labels: int, generator: int, discriminator: int
) -> None:
    assert parameters_of(stargan_v1.Generator, num_labels) == generator
    assert parameters_of(stargan_v1.Discriminator, 128, num_labels) == discriminator


def test_stargan_v1_is_told_the_mask_beside_the_labels_of_all_data_sets() -> None:
    assert stargan_v1.Generator(13, num_sets=2, base_width=4).main[0].in_channels == 3 + 13 + 2
    assert stargan_v1.Generator(13, num_sets=1, base_width=4).main[0].in_channels == 3 + 13


@pytest.mark.parametrize(("size", "side"), [(64, 1), (128, 2), (256, 4)])
def test_stargan_v1_class_head_spans_what_is_left(size: int, side: int) -> None:
    discriminator = stargan_v1.Discriminator(size, 5, base_width=2)
    assert discriminator.conv2.kernel_size == (side, side)
    patches, labels = discriminator(images(size))
    assert patches.shape == (B, 1, side, side)
    assert labels.shape == (B, 5)


@pytest.mark.parametrize("size", [96, 32])
def test_stargan_v1_discriminator_refuses_a_side_that_cannot_be_halved(size: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: found {size}, expected a multiple of 64"):
        stargan_v1.Discriminator(size, 5, base_width=2)


def test_stargan_v1_listens_to_every_label() -> None:
    """With zero padding a constant plane is no constant at the borders, so the normalisation cannot remove it."""
    torch.manual_seed(0)
    generator = stargan_v1.Generator(K, base_width=8, num_blocks=1)
    x, silent = images(32)[:1], torch.zeros(1, K)
    with torch.no_grad():
        found = [generator(x, silent), *(generator(x, label[None]) for label in torch.eye(K))]
    for a, b in combinations(found, 2):
        assert (a - b).abs().max() > 1e-3
    assert all((value.abs() <= 1).all() for value in found)


def test_a_mask_keeps_what_it_covers() -> None:
    torch.manual_seed(0)
    generator = stargan_v1.MaskedGenerator(K, base_width=4, num_blocks=1)
    x, label = torch.rand(B, 3, 16, 16) * 2 - 1, torch.ones(B, K)
    colours = generator.to_rgb(generator.features(x, label)).tanh()
    for parameter in generator.to_mask.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(generator(x, label), 0.5 * x + 0.5 * colours)
    generator.to_mask.bias.data.fill_(40.0)
    torch.testing.assert_close(generator(x, label), x)


def test_stargan_v1_begins_as_pytorch_does() -> None:
    """Published: uniform within 1 / sqrt(fan in), scales 1 and shifts 0."""
    torch.manual_seed(0)
    for network in (stargan_v1.Generator(5, base_width=16), stargan_v1.Discriminator(64, 5, base_width=16)):
        for layer in network.modules():
            if isinstance(layer, InstanceNorm):
                assert (layer.weight == 1).all()
                assert (layer.bias == 0).all()
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                bound = 1 / math.sqrt(layer.weight[0].numel())
                assert layer.weight.abs().max() <= bound
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


# --- parts --------------------------------------------------------------------------------------------------


def test_instance_norm_equals_torch() -> None:
    norm = InstanceNorm(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = images(32) * 3 + 1
    torch.testing.assert_close(norm(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias), rtol=1e-4, atol=1e-5)


def test_adain_scales_by_one_plus_gamma() -> None:
    adain, x, style = AdaIN(Z, 3), images(32), vectors(Z)
    gamma, beta = adain.fc(style).chunk(2, dim=1)
    wanted = (1 + gamma[:, :, None, None]) * F.instance_norm(x) + beta[:, :, None, None]
    torch.testing.assert_close(adain(x, style), wanted, rtol=1e-4, atol=1e-5)


def published_conv(conv: nn.Module, x: Tensor) -> Tensor:
    """Return the 3x3 convolution alone, without the resampling that a layer may do with it."""
    assert isinstance(conv, nn.Conv2d)
    return F.conv2d(x, conv.weight, conv.bias, padding=1)


def activated(norm: nn.Module, x: Tensor, style: Tensor | None = None) -> Tensor:
    """Return the normalisation by torch's own function, if the block has one, and leaky ReLU."""
    if isinstance(norm, InstanceNorm):
        x = F.instance_norm(x, weight=norm.weight, bias=norm.bias)
    elif isinstance(norm, AdaIN):
        gamma, beta = norm.fc(style)[:, :, None, None].chunk(2, dim=1)
        x = (1 + gamma) * F.instance_norm(x) + beta
    return F.leaky_relu(x, 0.2)


@pytest.mark.parametrize(("in_width", "out_width"), [(3, 3), (3, 5)])
@pytest.mark.parametrize("downsample", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_residual_block_equals_the_published_order(
    in_width: int, out_width: int, downsample: bool, normalize: bool
) -> None:
    """Published: the shortcut is projected first and pooled second."""
    block = ResidualBlock(in_width, out_width, normalize, downsample)
    x = images(32)
    shortcut = block.conv1x1(x)
    residual = published_conv(block.conv1, activated(block.norm1, x))
    if downsample:
        shortcut, residual = F.avg_pool2d(shortcut, 2), F.avg_pool2d(residual, 2)
    residual = block.conv2(activated(block.norm2, residual))
    torch.testing.assert_close(block(x), (shortcut + residual) / math.sqrt(2), rtol=1e-4, atol=1e-5)
    assert isinstance(block.conv1x1, nn.Identity) == (in_width == out_width)


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("upsample", [False, True])
def test_styled_block_equals_the_published_order(upsample: bool, shortcut: bool) -> None:
    """Published: the shortcut is enlarged first and projected second; there is none with high-pass skips."""
    block = StyledBlock(3, 5, Z, upsample, shortcut)
    x, style = images(32), vectors(Z)
    residual, short = activated(block.norm1, x, style), x
    if upsample:
        residual, short = (F.interpolate(v, scale_factor=2.0, mode="nearest") for v in (residual, short))
    residual = published_conv(block.conv1, residual)
    residual = block.conv2(activated(block.norm2, residual, style))
    wanted = (block.conv1x1(short) + residual) / math.sqrt(2) if shortcut else residual
    torch.testing.assert_close(block(x, style), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("upsample", [False, True])
def test_modulation_equals_weights_of_their_own_for_every_image(upsample: bool) -> None:
    """StyleGAN2, eqs. 1 and 3: weights scaled by the style and divided by their norm, and no statistics of features."""
    block = ModulatedBlock(3, 5, Z, upsample)
    x, style = images(32), vectors(Z)
    residual, short = x, x
    if upsample:
        residual, short = (F.interpolate(v, scale_factor=2.0, mode="nearest") for v in (x, x))
    for convolution, scale in ((block.conv1, 1 + block.scale1(style)), (block.conv2, 1 + block.scale2(style))):
        active = F.leaky_relu(residual, SLOPE) * math.sqrt(2 / (1 + SLOPE**2))
        weights = [convolution.weight * each[None, :, None, None] for each in scale]
        weights = [w / w.square().sum((1, 2, 3), keepdim=True).sqrt() for w in weights]
        residual = torch.cat([F.conv2d(a[None], w, padding=1) for a, w in zip(active, weights, strict=True)])
    wanted = (block.conv1x1(short) + residual) / math.sqrt(2)
    torch.testing.assert_close(block(x, style), wanted, rtol=1e-4, atol=1e-5)


def test_a_bright_spot_does_not_dim_the_rest_of_a_modulated_image() -> None:
    """What instance norm makes of a spot far away: all else gets smaller."""
    x, style = images(32), vectors(Z)
    spotted = x.clone()
    spotted[:, :, :2, :2] = 1000
    with torch.no_grad():
        for kind, stays in ((StyledBlock, False), (ModulatedBlock, True)):
            block = kind(3, 3, Z)
            assert block(x, style)[..., 16:, 16:].allclose(block(spotted, style)[..., 16:, 16:], atol=1e-4) == stays


@pytest.mark.parametrize("bias", [0.0, 1.0])
@pytest.mark.parametrize("side", [2, 7, 12])
def test_resampling_convolutions_equal_the_two_operations_twice_differentiated(side: int, bias: float) -> None:
    """In float64: values, gradients of features, weights and biases, and gradients of a penalty on them."""
    x = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    for layer in (HalvingConv2d(3, 5).double(), DoublingConv2d(3, 5).double()):
        assert set(layer.state_dict()) == {"weight", "bias"}
        nn.init.constant_(layer.bias, bias)
        learned = (x, *layer.parameters())
        if isinstance(layer, HalvingConv2d):
            wanted = F.avg_pool2d(published_conv(layer, x), 2)
        else:
            wanted = published_conv(layer, F.interpolate(x, scale_factor=2.0, mode="nearest"))
        found, first, second = [], [], []
        for y in (layer(x), wanted):
            gradients = torch.autograd.grad(y.pow(3).sum(), learned, create_graph=True)
            found.append(y)
            first.append(gradients)
            second.append(torch.autograd.grad(gradients[0].square().sum(), learned))
        torch.testing.assert_close(found[0], found[1])
        torch.testing.assert_close(first[0], first[1])
        torch.testing.assert_close(second[0], second[1])


def test_the_head_of_the_domain_answers() -> None:
    mapping = MappingNetwork(K, L, Z, hidden_width=8)
    code = vectors(L)
    found = mapping(code, DOMAIN)
    h = mapping.shared(code)
    for row, domain in enumerate(DOMAIN):
        torch.testing.assert_close(found[row], mapping.unshared[domain](h)[row])
    table = torch.arange(12).reshape(4, 3)
    assert pick_domain(table, torch.tensor([2, 0, 1, 1])).tolist() == [2, 3, 7, 10]


def test_he_normal() -> None:
    torch.manual_seed(0)
    conv, linear, norm = nn.Conv2d(64, 128, 3), nn.Linear(300, 400), InstanceNorm(4)
    nn.init.constant_(norm.weight, 7.0)
    for module in (conv, linear, norm, nn.Conv2d(3, 3, 1, bias=False)):
        he_normal(module)
    for layer, fan_in in ((conv, 64 * 9), (linear, 300)):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
        assert abs(layer.weight.mean().item()) < 0.002
        assert layer.bias is not None
        assert (layer.bias == 0).all()
    assert (norm.weight == 7).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("stargan_v2")])
def test_networks_begin_with_he_initialisation(name: str) -> None:
    layers = [layer for layer in build(name, 32).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert layers
    assert all(layer.bias is None or (layer.bias == 0).all() for layer in layers)
    scaled = torch.cat([layer.weight.flatten() * math.sqrt(layer.weight[0].numel() / 2) for layer in layers])
    assert scaled.std().item() == pytest.approx(1, rel=4 / math.sqrt(2 * len(scaled)))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norms_do_not_depend_on_the_layout(batch: int, affine: bool) -> None:
    """Values, gradients, and gradients of a penalty, of features plane by plane and channels-last."""
    draws = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(2, 5, generator=draws, dtype=torch.float64) if affine else (None, None)
    x = torch.randn(batch, 5, 6, 7, generator=draws, dtype=torch.float64)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        features = x.contiguous(memory_format=layout).requires_grad_()
        y = instance_norm(features, weight, bias)
        (first,) = torch.autograd.grad(y.pow(3).sum(), features, create_graph=True)
        found.append([y, first, *torch.autograd.grad(first.square().sum(), features)])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0][0], F.instance_norm(x, weight=weight, bias=bias))


@pytest.mark.parametrize("side", [2, 8])
def test_resampling_is_the_library_s_on_every_device(side: int) -> None:
    """What runs on a GPU, the library's pooling, and what runs on a CPU: values, gradients and their gradients."""
    x = torch.randn(
        2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    plain = {
        resampling.means_at_corners: lambda x: F.avg_pool2d(x, 2, stride=1, padding=1),
        resampling.sums_of_four: lambda x: F.avg_pool2d(x, 2, stride=1) * 4,
        resampling.halve: lambda x: F.avg_pool2d(x, 2),
        resampling.double: lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    }
    for ours, library in plain.items():
        found = []
        for device, function in (("cpu", ours), ("cuda", ours), ("cpu", library)):
            with assume_device(device):
                y = function(x)
                (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
                found.append([y, first, *torch.autograd.grad(first.pow(3).sum(), x)])
        torch.testing.assert_close(found[0], found[2])
        torch.testing.assert_close(found[1], found[2])


def test_activation_of_a_code() -> None:
    torch.manual_seed(0)
    plain = ConvEncoder(32, 4, 12)
    x = 3 * torch.randn(2, 3, 32, 32)
    for activation, function in (("relu", torch.relu), ("tanh", torch.tanh)):
        network = ConvEncoder(32, 4, 12, activation)
        network.load_state_dict(plain.state_dict())  # no parameter more
        assert network(x).equal(function(plain(x)))
