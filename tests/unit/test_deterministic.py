"""Deterministic inference: no influence of the batch, of random draws or of earlier calls."""

import pytest
import torch
from torch import Tensor, nn

from translate.distributed.batch_norm import synchronize
from translate.inference.deterministic import FixedDropout, ImageNorm, deterministic
from translate.networks.pix2pix import UnetGenerator


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0)).tanh()


def trained() -> nn.Module:
    """Return a network in training mode whose running statistics are not those of an image."""
    torch.manual_seed(0)
    network = UnetGenerator(6, 4)
    for p in network.parameters():
        nn.init.normal_(p, 0.1, 0.2)
    with torch.no_grad():
        for _ in range(3):
            network(0.5 * torch.rand(4, 3, 64, 64))
    return network


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("noise", [False, True])
def test_an_image_is_translated_the_same_in_any_company(statistics: str, noise: bool) -> None:
    network, x = deterministic(trained(), statistics, noise), images()
    with torch.no_grad():
        whole = network(x)
        for order in ([1], [2, 1], [1, 1, 0]):
            torch.testing.assert_close(network(x[order]), whole[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("noise", [False, True])
def test_nothing_is_drawn_or_remembered(statistics: str, noise: bool) -> None:
    network, x = trained(), images()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        found, again = deterministic(network, statistics, noise)(x), deterministic(network, statistics, noise)(x)
    assert found.equal(again)
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
    assert network.training
    assert all(module.training for module in network.modules())
    assert not any(isinstance(module, ImageNorm | FixedDropout) for module in network.modules())


def test_statistics_of_the_image_are_training_at_batch_size_one() -> None:
    network, x = trained(), images()
    alone = deterministic(network, "image")
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        for k in range(len(x)):
            torch.testing.assert_close(alone(x[[k]]), network(x[[k]]), rtol=1e-4, atol=1e-5)


def test_running_statistics_are_those_of_eval() -> None:
    network, x = trained(), images()
    with torch.no_grad():
        found = deterministic(network, "running")(x)
        assert found.equal(network.eval()(x))
        assert not found.allclose(deterministic(network, "image")(x), atol=1e-2)


@pytest.mark.parametrize("statistics", ["image", "running"])
def test_parameters_are_shared(statistics: str) -> None:
    network = trained()
    found = deterministic(network, statistics)
    own = {id(p) for p in network.parameters()}
    assert {id(p) for p in found.parameters()} == own
    assert {id(b) for b in found.buffers()} <= {id(b) for b in network.buffers()}


def test_noise_drops_the_same_of_every_image_and_keeps_the_mean() -> None:
    layer, x = FixedDropout(0.5, seed=1), torch.ones(3, 40, 16, 16)
    found = layer(x)
    assert found[0].equal(found[1])
    assert found.unique().tolist() == [0.0, 2.0]
    assert found.mean().item() == pytest.approx(1, abs=0.05)
    assert not found.equal(FixedDropout(0.5, seed=2)(x))


def test_every_dropout_has_a_mask_of_its_own() -> None:
    found = deterministic(UnetGenerator(8, 2), "image", noise=True)
    masks = [module for module in found.modules() if isinstance(module, FixedDropout)]
    assert len(masks) == 3
    assert len({module.seed for module in masks}) == 3


def test_without_noise_dropout_is_off() -> None:
    network, x = trained(), images()
    with torch.no_grad():
        off, on = (deterministic(network, "image", noise)(x) for noise in (False, True))
        assert not off.allclose(on, atol=1e-3)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        torch.testing.assert_close(off, deterministic(network, "image", noise=True)(x))


def test_synchronized_batch_norms_are_batch_norms() -> None:
    network, x = trained(), images()
    with torch.no_grad():
        for statistics in ("image", "running"):
            wanted = deterministic(network, statistics)(x)
            synchronized = trained()
            assert synchronize(synchronized)
            found = deterministic(synchronized, statistics)(x)
            torch.testing.assert_close(found, wanted)
