"""Quick convolutions against the library's: values, gradients, and gradients of a penalty."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import profile

from translate.acceleration import cpu_convolutions, winograd
from translate.acceleration.cpu_convolutions import FastConv2d, FastConvTranspose2d, use_fast_convolutions

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def tensors(layout: torch.memory_format, *shapes: tuple[int, ...]) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=draws).contiguous(memory_format=layout).requires_grad_() for shape in shapes]


def derivatives(convolve: Callable[..., Tensor], *learned: Tensor) -> list[Tensor]:
    """Return the output, the gradients of a function of it, and those of a penalty on all these gradients."""
    y = convolve(*learned)
    first = torch.autograd.grad(y.square().sum() + y.sum(), learned, create_graph=True)
    penalty = torch.stack([gradient.square().mean() for gradient in first]).sum()
    return [y, *first, *torch.autograd.grad(penalty, learned)]


def assert_near(found: list[Tensor], wanted: list[Tensor], share: float = 2e-5) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=share * b.abs().max().item())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("batch", "width", "out_width", "sides", "padding"),
    [(1, 6, 7, (12, 12), 0), (2, 8, 5, (9, 14), 1), (3, 4, 4, (8, 8), 2), (2, 5, 3, (3, 4), 0), (1, 1, 1, (1, 1), 1)],
)
def test_winograd_is_the_convolution(
    batch: int, width: int, out_width: int, sides: tuple[int, int], padding: int, layout: torch.memory_format
) -> None:
    x, weight = tensors(layout, (batch, width, *sides), (out_width, width, 3, 3))
    found = derivatives(lambda x, weight: winograd.convolve(x, weight, padding), x, weight)
    wanted = derivatives(lambda x, weight: F.conv2d(x, weight, padding=padding), x, weight)
    assert_near(found, wanted)
    assert found[0].is_contiguous(memory_format=layout)
    (g,) = tensors(layout, tuple(wanted[0].shape))
    first = torch.autograd.grad(winograd.convolve(x, weight, padding), [x, weight], g)  # not to be differentiated again
    assert_near(list(first), list(torch.autograd.grad(F.conv2d(x, weight, padding=padding), [x, weight], g)))


def test_winograd_computes_what_is_asked_for() -> None:
    """Frozen weights take no gradients, nor do features that nothing learns from."""
    x, weight = tensors(torch.channels_last, (1, 3, 6, 6), (2, 3, 3, 3))
    asked = []
    for given in ((x, weight.detach()), (x.detach(), weight)):
        y = winograd.convolve(*given, 1)
        with profile(record_shapes=True) as seen:
            y.sum().backward()
        found = [event for event in seen.events() if event.name == "aten::convolution_backward"]
        asked.append([event.input_shapes[1] for event in found])
    assert asked == [[[1, 18, 2, 6]], [[2, 18, 1, 6]]]  # of features; of weights, line by line


def test_the_points_round_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 channels a millionth of the output; with the usual points half as much again."""
    draws = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 256, 16, 16, generator=draws), torch.randn(256, 256, 3, 3, generator=draws)
    exact = F.conv2d(x.double(), weight.double(), padding=1)

    def error(y: Tensor) -> float:
        return ((y - exact).square().mean() / exact.square().mean()).sqrt().item()

    ours = error(winograd.convolve(x, weight, 1))
    usual = winograd.matrices((0.0, 1.0, -1.0, 2.0, -2.0))
    for name, matrix in zip(("INPUT", "WEIGHT", "OUTPUT"), usual, strict=True):
        monkeypatch.setattr(winograd, name, matrix)
    assert ours < 2e-6
    assert ours < 0.8 * error(winograd.convolve(x, weight, 1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(3, 1, 1), (3, 1, 0), (4, 2, 1), (4, 1, 0), (7, 1, 3), (1, 1, 0)]
)
def test_every_way_is_the_convolution(
    side: int, stride: int, padding: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = nn.Conv2d(6, 8, side, stride, padding, bias=bias)
    quick = copy.deepcopy(plain)
    use_fast_convolutions(quick)
    assert type(quick) is FastConv2d
    assert quick.state_dict().keys() == plain.state_dict().keys()
    (x,) = tensors(torch.contiguous_format, (2, 6, 9, 8))
    wanted = derivatives(lambda x, *_: plain(x), x, *plain.parameters())
    winograd_for_all = {"WIDE": 1, "MANY_PLACES": 1}
    to_strips, from_strips = ({"LONG": 1, "FEW_CHANNELS": few, "MANY_CHANNELS": 1} for few in (8, 6))
    for limits in ({}, {"HEAVY": 1}, winograd_for_all, to_strips, from_strips):
        for name, value in {**limits, "is_faster": lambda algorithm: True}.items():
            monkeypatch.setattr(cpu_convolutions, name, value)
        assert_near(derivatives(lambda x, *_: quick(x), x, *quick.parameters()), wanted)
        monkeypatch.undo()


def test_the_way_follows_from_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide layers over many places by Winograd where it pays, heavy ones as products, long ones in strips."""
    taken: list[str] = []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(cpu_convolutions, "convolve", lambda x, *_: taken.append("winograd") or x)
    monkeypatch.setattr(FastConv2d, "by_matrix_product", lambda _, x, height: taken.append("product") or x)
    monkeypatch.setattr(FastConv2d, "by_output_rows", lambda _, x: taken.append("to strips") or x)
    monkeypatch.setattr(FastConv2d, "by_input_rows", lambda _, x: taken.append("from strips") or x)

    def way(x: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> list[str]:
        with torch.device("meta"):
            conv = nn.Conv2d(*shape, padding=1, bias=False)  # type: ignore[arg-type]
        conv = conv.to_empty(device="cpu").to(dtype)
        use_fast_convolutions(conv)
        taken.clear()
        conv(x.to(dtype))
        return list(taken)

    x = torch.zeros(1, 128, 32, 32)
    assert way(x, 128, 128, 3) == ["winograd"]
    assert way(x[..., :31], 128, 128, 3) == []
    assert way(x[:, :64], 64, 128, 3) == []
    assert way(x, 128, 128, 3, 2) == []
    assert way(x, 128, 128, 3, dtype=torch.float64) == []
    assert way(x[:, :16], 16, 3, 7) == ["to strips"]
    assert way(x[:, :15], 15, 3, 7) == []
    assert way(x[:, :16], 16, 5, 7) == []
    assert way(x[:, :16], 16, 3, 5) == []
    assert way(x[:, :16], 16, 3, 7, 2) == []
    assert way(x[:, :16], 16, 3, 7, dtype=torch.float64) == []
    assert way(x[:, :3], 3, 16, 7) == []
    learning = x[:, :3].clone().requires_grad_()
    assert way(learning, 3, 16, 7) == ["from strips"]
    assert way(learning, 3, 15, 7) == []
    with torch.no_grad():
        assert way(learning, 3, 16, 7) == []
    heavy = torch.zeros(1, 1024, 4, 4)
    assert way(heavy, 1024, 512, 4) == ["product"]
    assert way(heavy[:, :512], 512, 512, 4) == []
    assert way(torch.zeros(30, 1024, 4, 4), 1024, 512, 4) == []
    assert way(heavy, 1024, 512, 4, dtype=torch.float64) == []
    with torch.autocast("cpu", torch.bfloat16):
        assert way(x, 128, 128, 3) == []
        assert way(x[:, :16], 16, 3, 7) == ["to strips"]
        assert way(heavy, 1024, 512, 4) == ["product"]
    for capability in ("AVX2", "DEFAULT"):  # where Winograd's algorithm gains nothing, or was not measured
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        assert way(x, 128, 128, 3) == []
        assert way(learning, 3, 16, 7) == []
        assert way(x[:, :16], 16, 3, 7) == ["to strips"]
        assert way(heavy, 1024, 512, 4) == ["product"]


def test_heavy_weights_are_laid_out_as_products_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_convolutions, "HEAVY", 4 * 3 * 9)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
    use_fast_convolutions(network)
    assert [part.weight.is_contiguous() for part in network] == [True, False]


@pytest.mark.parametrize(
    ("plain", "limits"),
    [
        (nn.Conv2d(6, 8, 4, 2, 1), {"HEAVY": 1}),
        (nn.Conv2d(6, 2, 7, 1, 3), {"MANY_CHANNELS": 6}),
        (nn.Conv2d(6, 8, 7, 1, 3), {"MANY_CHANNELS": 8, "FEW_CHANNELS": 6}),
        (nn.ConvTranspose2d(6, 8, 4, 2, 1), {}),
    ],
)
def test_quick_ways_follow_autocast(plain: nn.Module, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 they are near the library, and their weights, float32, get gradients in float32."""
    for name, value in limits.items():
        monkeypatch.setattr(cpu_convolutions, name, value)
    quick = copy.deepcopy(plain)
    use_fast_convolutions(quick)
    (x,) = tensors(torch.contiguous_format, (2, 6, 8, 8))
    found = []
    for layer in (quick, plain):
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        found.append([y.float(), *torch.autograd.grad(y.float().square().sum(), [x, *layer.parameters()])])
    assert all(tensor.dtype == torch.float32 for tensor in found[0])
    assert_near(found[0], found[1], share=2e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sides", [(4, 2, 1, 0), (3, 2, 1, 1), (3, 1, 0, 0)])
def test_a_quick_transposed_convolution_is_the_same(
    sides: tuple[int, ...], bias: bool, layout: torch.memory_format
) -> None:
    plain = nn.ConvTranspose2d(6, 4, *sides, bias=bias)
    quick = copy.deepcopy(plain)
    use_fast_convolutions(quick)
    assert type(quick) is FastConvTranspose2d
    (x,) = tensors(layout, (2, 6, 5, 7))
    found = derivatives(lambda x, *_: quick(x), x, *quick.parameters())
    wanted = derivatives(lambda x, *_: plain(x), x, *plain.parameters())
    assert_near(found, wanted)
    if sides[1] == 2:
        larger = [side + 1 for side in wanted[0].shape[2:]] if sides[3] == 0 else list(wanted[0].shape[2:])
        assert_near([quick(x, larger)], [plain(x, larger)])


def test_an_image_without_a_batch_is_left_to_the_library() -> None:
    conv = nn.Conv2d(2, 4, 3)
    use_fast_convolutions(conv)
    assert conv(torch.zeros(2, 5, 6)).shape == (4, 3, 4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, 3, groups=2),
        nn.Conv2d(2, 4, 3, dilation=2),
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(2, 4, (3, 1)),
        nn.Conv2d(2, 4, 3, stride=(1, 2)),
        nn.Conv2d(2, 4, 3, padding="same"),
        nn.ConvTranspose1d(2, 4, 3),
    ],
)
def test_other_layers_are_left_alone(layer: nn.Module) -> None:
    kind = type(layer)
    use_fast_convolutions(nn.Sequential(layer))
    assert type(layer) is kind
