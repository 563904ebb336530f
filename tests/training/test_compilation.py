"""Compiled networks train as they do uncompiled; what they gain is a matter of `translate benchmark`."""

import functools

import pytest
import torch

from training.test_models import CASES, COVERED, start, train
from translate import build


@pytest.mark.parametrize("name", COVERED)
def test_compiled_networks_learn_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend is torch's own without code generation, which would take a minute a model."""
    called = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        called.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    further = ["model.weights.discriminator.gradient_penalty=1"] if name in ("stargan_v1", "stargan_v2") else []
    plain, batch = start(name, *further)
    wanted = train(plain, batch, 3)
    compiled, batch = start(name, *further)
    build.compile_model(compiled, CASES[name]("trainer.compile=true").trainer)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    found = train(compiled, batch, 3)
    for mine, terms in zip(found, wanted, strict=True):
        assert mine == pytest.approx(terms, rel=1e-3, abs=1e-4)
    assert len(called) >= len(CASES[name]().model.networks)
    torch._dynamo.reset()


def test_r1_may_be_lazy() -> None:
    lazy, batch = start("stargan_v2", "model.r1_every=2")
    measured = ["discriminator/latent/r1" in terms for terms in train(lazy, batch, 4)]
    assert measured == [True, False, True, False]
    always, batch = start("stargan_v2", "model.weights.discriminator.r1=2")
    once, batch = start("stargan_v2", "model.r1_every=2")
    for model in (always, once):
        model.training_step(batch, 0)
    for name, tensor in always.state_dict().items():
        assert once.state_dict()[name].equal(tensor), name
