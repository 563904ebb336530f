"""Spectral normalisation: the largest singular value, its gradients, and when its power iteration moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.spectral import SpectralNorm, advance_power_iterations, normalize_spectrally
from translate.networks.pix2pix import PatchDiscriminator


def normalised(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(6, 2, 4), nn.Flatten())
    network.append(nn.Linear(50, 1))
    normalize_spectrally(network)
    return network.double()


def weights(network: nn.Module) -> list[Tensor]:
    return [part.weight for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def test_weights_have_the_largest_singular_value_one() -> None:
    network = normalised()
    for _ in range(200):
        advance_power_iterations(network)
    assert len(weights(network)) == 3
    for weight in weights(network):
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1.0, rel=1e-6)


def test_a_new_network_is_near_it() -> None:
    for weight in weights(normalised()):
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1.0, rel=0.05)


def test_sigma_follows_the_weights_within_some_updates() -> None:
    layer = nn.Sequential(nn.Linear(8, 8))
    normalize_spectrally(layer)
    (original,) = (p for p in layer.parameters() if p.dim() == 2)
    with torch.no_grad():
        original.copy_(torch.diag(torch.tensor([9.0, 3, 1, 1, 1, 1, 1, 1])))
    for _ in range(30):
        advance_power_iterations(layer)
    assert layer[0].weight[0, 0].item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forward_passes_change_nothing(mode: str) -> None:
    network = normalised().train(mode == "train")
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(2, 3, 8, 8).double()
    assert network(x).equal(network(x))
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
    advance_power_iterations(network)
    moved = [key for key, value in network.state_dict().items() if not value.equal(before[key])]
    assert moved
    assert all(key.endswith((".u", ".v")) for key in moved)


def test_gradients_are_those_of_the_quotient_twice() -> None:
    """A penalty on the gradient with respect to the image has a gradient with respect to the weight."""
    torch.manual_seed(0)
    weight = torch.randn(4, 5)
    norm, weight = SpectralNorm(weight).double(), weight.double().requires_grad_()
    x = torch.randn(3, 5).double().requires_grad_()

    def penalty(weight: Tensor, x: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(F.softplus(x @ norm(weight).T).sum(), x, create_graph=True)
        return gradient.square().sum()

    assert torch.autograd.gradcheck(penalty, (weight, x))
    (found,) = torch.autograd.grad(norm(weight)[0, 0], weight)
    sigma = (norm.u @ weight @ norm.v).detach()
    wanted = -weight[0, 0].detach() / sigma**2 * torch.outer(norm.u, norm.v)
    wanted[0, 0] += 1 / sigma
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_sigma_keeps_its_precision_under_autocast() -> None:
    torch.manual_seed(0)
    weight = torch.randn(64, 64)
    norm = SpectralNorm(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm(weight).equal(norm(weight.clone()))
        assert norm(weight).dtype == torch.float32
        half = norm(weight)
    assert half.equal(norm(weight))


def test_copies_and_state_dicts_have_the_vectors() -> None:
    network = PatchDiscriminator(base_width=4, spectral_norm=True)
    x = torch.randn(1, 3, 32, 32)
    again = PatchDiscriminator(base_width=4, spectral_norm=True)
    assert not again(x).equal(network(x))
    again.load_state_dict(network.state_dict())
    assert again(x).equal(network(x))
    assert copy.deepcopy(network)(x).equal(network(x))
    plain = PatchDiscriminator(base_width=4)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters())
