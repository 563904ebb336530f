"""Compiled penalties are those of torch's plain double backward, and their gradients reach the weights.

Torch has lost such gradients without an error. `release/tested.py` runs this file for each set of versions.
"""

import logging

import pytest
import torch
from torch import Tensor, nn

from translate.acceleration import compiled_penalties
from translate.acceleration.compile import compile_networks
from translate.acceleration.compiled_penalties import CompiledInputGradients
from translate.losses.penalties import (
    distance_of_norm,
    squared_norm,
    total_of_means,
    total_of_sums,
    with_input_gradients,
)
from translate.networks.layers.gradient_reversal import reverse_gradient
from translate.networks.stargan_v2 import Discriminator


@pytest.fixture(params=["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(compiled_penalties, "BACKEND", request.param)
    torch._dynamo.reset()
    return str(request.param)


def small_discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(image_size=16, num_domains=2, base_width=2, max_width=4)


def penalties_and_gradients(network: nn.Module, method: object) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return R1 and R2, or the penalties between, and the gradients by weights of them and of logits, in float64."""
    draws = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, 2, 3, 16, 16, generator=draws, dtype=torch.float64).unbind()
    domain, target = torch.tensor([0, 1]), torch.tensor([1, 1])

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return network(x, domain), network(y, target)

    network.zero_grad()
    assert callable(method)
    (real_logits, fake_logits), ((of_real, of_fake),) = method(function, [real, fake], [0, 1], [total_of_means])
    _, ((first,), (second,)) = method(
        lambda x: (network(x, target),), [real.lerp(fake, 0.5)], [0], [total_of_means, total_of_sums]
    )
    found = [squared_norm(of_real), squared_norm(of_fake), squared_norm(first), distance_of_norm(second)]
    (sum(found, real_logits.square().mean() + fake_logits.mean())).backward()
    return found, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_the_gradient_of_a_compiled_penalty_is_that_of_the_plain_one(backend: str) -> None:
    network = small_discriminator().double()
    wanted, gradients = penalties_and_gradients(network, with_input_gradients)
    if backend == "aot_eager":  # compiled networks inside
        compile_networks([network], [network])
    method = CompiledInputGradients()
    found, compiled = penalties_and_gradients(network, method)
    assert not method.is_refused
    torch.testing.assert_close(found, wanted)
    assert compiled.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(compiled[name], gradient, msg=name)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_of_a_penalty_alone_reaches_the_weights(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_penalties, "BACKEND", "aot_eager")
    network = small_discriminator()
    method = CompiledInputGradients() if compiled else with_input_gradients
    x, domain = torch.ones(1, 3, 16, 16), torch.tensor([1])
    _, ((gradient,),) = method(lambda images: (network(images, domain),), [x], [0], [total_of_means])
    squared_norm(gradient).backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.count_nonzero()}
    assert reached == {name for name, _ in network.named_parameters() if name.endswith("weight")}


class Reversing(nn.Linear):
    """A network with a custom gradient, which torch compiles without the second derivative."""

    def forward(self, x: Tensor) -> Tensor:
        return reverse_gradient(super().forward(x.flatten(1)).square(), 1.0)


class Printing(nn.Linear):
    """A network that torch cannot compile as a whole."""

    def forward(self, x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return super().forward(x.flatten(1)).square()


@pytest.mark.parametrize("kind", [Reversing, Printing])
def test_a_network_that_torch_cannot_compile_has_plain_penalties_after_a_warning(
    kind: type[nn.Linear], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_penalties, "BACKEND", "aot_eager")
    network, x = kind(3, 1), torch.ones(2, 3)
    method = CompiledInputGradients()
    with caplog.at_level(logging.WARNING, logger="translate"):
        for _ in range(2):
            _, ((gradient,),) = method(lambda images: (network(images),), [x], [0], [total_of_means])
    assert [record.getMessage().startswith("gradient penalties run uncompiled") for record in caplog.records] == [True]
    squared_norm(gradient).backward()
    compiled = network.weight.grad
    network.zero_grad()
    _, ((gradient,),) = with_input_gradients(lambda images: (network(images),), [x], [0], [total_of_means])
    squared_norm(gradient).backward()
    assert compiled is not None
    assert network.weight.grad is not None
    assert compiled.count_nonzero()
    assert compiled.equal(network.weight.grad)
