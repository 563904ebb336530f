"""The kernels of fused norms under Triton's interpreter; `test_fused_norms` runs this file in a process of its own.

Triton decides when it is imported whether it interprets.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.acceleration import fused_norms
from translate.acceleration import triton_norms as kernels
from translate.networks.cyclegan import ResnetGenerator
from translate.networks.stargan_v1 import Generator as GeneratorV1
from translate.networks.stargan_v2 import Generator as GeneratorV2

SLOPE = 0.2


def inputs(shape: tuple[int, ...], kind: str, dtype: torch.dtype = torch.float32) -> list[Tensor | None]:
    """Return features, a scale and a shift: none, one a channel, or one a channel of each image."""
    draws = torch.Generator().manual_seed(sum(shape))
    x = 3 * torch.randn(shape, generator=draws) + 5
    x = x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    size = {"channel": shape[1:2], "image": shape[:2]}.get(kind)
    if size is None:
        return [x, None, None]
    scale, shift = 1 + torch.randn(size, generator=draws), torch.randn(size, generator=draws)
    return [x, scale.requires_grad_(), shift.requires_grad_()]


def in_float64(tensors: list[Tensor | None]) -> list[Tensor | None]:
    return [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in tensors]


def greatest_error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach() - expected.detach()).abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("kind", ["none", "channel", "image"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (3, 64, 8, 8), (1, 130, 33, 40), (1, 3, 2, 3)], ids=str)
def test_results_and_gradients(shape: tuple[int, ...], kind: str) -> None:
    single, double = inputs(shape, kind), in_float64(inputs(shape, kind))
    y, expected = kernels.NormalizeAndActivate.apply(*single, SLOPE), kernels.plain(*double, SLOPE)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert greatest_error(y, expected) < 1e-6
    dy = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(y, [tensor for tensor in single if tensor is not None], dy)
    wanted = torch.autograd.grad(expected, [tensor for tensor in double if tensor is not None], dy.double())
    assert all(greatest_error(a, b) < 2e-6 for a, b in zip(found, wanted, strict=True))


def test_bfloat16_has_statistics_in_float32() -> None:
    single = inputs((1, 64, 16, 16), "channel", torch.bfloat16)
    y, expected = kernels.NormalizeAndActivate.apply(*single, SLOPE), kernels.plain(*in_float64(single), SLOPE)
    assert y.dtype == torch.bfloat16
    assert greatest_error(y, expected.to(torch.bfloat16).double()) < 0.008  # one unit in the last place
    assert single[0] is not None and single[1] is not None
    of_x, of_scale = torch.autograd.grad(y.float().square().sum(), [single[0], single[1]])
    assert (of_x.dtype, of_scale.dtype) == (torch.bfloat16, torch.float32)


def test_a_gradient_penalty_is_differentiated() -> None:
    """The weights' gradients of a squared gradient with respect to the features, as in R1."""

    def penalty(tensors: list[Any], norm: Any) -> tuple[Tensor, ...]:
        x, scale, shift = tensors
        (gradient,) = torch.autograd.grad(norm(x, scale, shift, SLOPE).square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [x, scale])

    single = inputs((2, 6, 5, 4), "channel")
    found = penalty(single, kernels.NormalizeAndActivate.apply)
    expected = penalty(in_float64(single), kernels.plain)
    assert all(greatest_error(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("network", "extra", "norms", "absorbed"),
    [
        (GeneratorV1(num_labels=3, base_width=8, num_blocks=1), torch.ones(1, 3), 7, 6),
        (GeneratorV2(32, style_size=4, base_width=8, max_width=16), torch.ones(1, 4), 13, 1),
        (ResnetGenerator(base_width=8, num_blocks=1), None, 7, 6),
    ],
    ids=["stargan_v1", "stargan_v2", "cyclegan"],
)
def test_networks_are_equal(
    network: nn.Module,
    extra: Tensor | None,
    norms: int,
    absorbed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    x = x.contiguous(memory_format=torch.channels_last)
    words = [x] if extra is None else [x, extra]
    network.to(memory_format=torch.channels_last)
    expected, names = network(*words), list(network.state_dict())
    fused_norms.use_fused_norms(network)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network(*words), expected)  # on a CPU, by torch's own operations
    fused = [part for part in network.modules() if type(part) in fused_norms.FUSED.values()]
    assert len(fused) == norms
    assert sum(isinstance(part, nn.Identity) for part in network.modules()) >= absorbed
    calls = []
    monkeypatch.setattr(fused_norms, "_is_fusible", lambda x: calls.append(x) or True)
    torch.testing.assert_close(network(*words), expected, rtol=1e-4, atol=1e-5)
    assert len(calls) == norms
