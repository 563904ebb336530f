"""Compiled networks train as they do uncompiled; what they gain is a matter of `translate benchmark`."""

import functools
from typing import Any

import pytest
import torch
from lightning_utilities.core.apply_func import apply_to_collection

from training.test_models import CASES, COVERED, start, train
from translate.acceleration import compiled_penalties
from translate.models.base import TranslationModel
from translate.training import build


@pytest.mark.parametrize("name", COVERED)
def test_compiled_networks_learn_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64: in float32 the gradients of biases before a norm are rounding alone, which Adam makes whole steps of.

    The backend is torch's own without code generation, which would take a minute a model.
    """
    called = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        called.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    compile_networks = functools.partial(torch.compile, backend=backend)
    monkeypatch.setattr(torch, "compile", lambda *function, **options: compile_networks(*function, **options))
    monkeypatch.setattr(compiled_penalties, "BACKEND", backend)
    further = ["model.weights.discriminator.gradient_penalty=1"] if name in ("stargan_v1", "stargan_v2") else []
    plain, batch = doubled(start(name, *further))
    wanted = train(plain, batch, 3)
    compiled, batch = doubled(start(name, *further))
    build.compile_model(compiled, CASES[name]("trainer.compile=true").trainer)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    found = train(compiled, batch, 3)
    for mine, terms in zip(found, wanted, strict=True):
        assert mine == pytest.approx(terms, rel=1e-6, abs=1e-9)
    # a second network of a class reuses the graphs of the first
    assert len(called) >= len({node["name"] for node in CASES[name]().model.networks.values()})
    torch._dynamo.reset()


def doubled(started: tuple[TranslationModel, Any]) -> tuple[TranslationModel, Any]:
    """Return a model and its batch in float64."""
    model, batch = started
    return model.double(), apply_to_collection(
        batch, torch.Tensor, lambda t: t.double() if t.is_floating_point() else t
    )


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
