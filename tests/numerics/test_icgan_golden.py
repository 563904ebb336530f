"""IcGAN against figures of an independent plain writing of the author's code, in float64 throughout.

Two iterations of the conditional GAN, then two of both encoders, for which the generator is frozen as it then is.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.formula import code, draw, fill, image, summary
from numerics.gradients import Gradients, of_first_iteration
from translate.data.views.conditional import ConditionalBatch
from translate.losses.adversarial import NonSaturating
from translate.models.icgan import IcGAN, signs
from translate.networks.icgan import Discriminator, Encoder, Generator

TAG = "icgan_plain32"
FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
OUTPUTS = dict(np.load(FOLDER / f"{TAG}.npz"))
BATCH, SIZE, Z, K = (GOLDEN[key] for key in ("batch", "img_size", "nz", "ny"))
LABELS = [{"kind": "attributes", "names": [f"label {k}" for k in range(K)]}]
GAN_WEIGHTS = {"discriminator": {"real": 1.0, "wrong": 0.5, "fake": 0.5}, "generator": {"adversarial": 1.0}}
ENCODER_WEIGHTS = {"encoder": {"code": 1.0, "labels": 1.0}}
NONE = {phase: dict.fromkeys(terms, 0.0) for phase, terms in (GAN_WEIGHTS | ENCODER_WEIGHTS).items()}
WEIGHTS = {"gan": NONE | GAN_WEIGHTS, "encoders": NONE | ENCODER_WEIGHTS}


def official_key(role: str, key: str) -> str:
    """Return the official name of a tensor: the generator is a plain sequence there."""
    return key.removeprefix("model.") if role == "generator" else key


def network(role: str) -> nn.Module:
    """Return a network filled by formula, in float64."""
    encoder = partial(Encoder, SIZE, base_width=GOLDEN["encoder_filters"], num_layers=GOLDEN["encoder_layers"])
    made: nn.Module = {
        "generator": lambda: Generator(SIZE, Z, K, GOLDEN["ngf"]),
        "discriminator": lambda: Discriminator(SIZE, K, GOLDEN["ndf"]),
        "encoder_z": lambda: encoder(num_outputs=Z),
        "encoder_y": lambda: encoder(num_outputs=K, hidden_width=GOLDEN["encoder_y_fc"]),
    }[role]()
    fill(made.model if isinstance(made, Generator) else made, TAG, role)
    return made.double()


def labels(field: str, k: int) -> Tensor:
    """Return labels of 0 and 1."""
    return torch.from_numpy((draw(f"{TAG}/{field}/{k}", (BATCH, K)) > 0).astype(np.float64))


def batch_of(k: int, sampled: str = "y_fake", codes: str = "z") -> ConditionalBatch[Tensor]:
    return ConditionalBatch(
        image=image(TAG, "x", k, BATCH, SIZE).double(),
        label=labels("y", k),
        wrong_label=labels("y_wrong", k),
        sampled_label=labels(sampled, k),
        code=code(TAG, codes, k, BATCH, Z).double(),
    )


def make(networks: dict[str, nn.Module], trained: tuple[str, ...], phase: str) -> IcGAN:
    adam = GOLDEN["adam"][phase]
    factory = partial(torch.optim.Adam, lr=adam["lr"], betas=tuple(adam["betas"]))
    return IcGAN(
        LABELS,
        Z,
        networks=networks,
        optimizers=dict.fromkeys(trained, factory),
        losses={"adversarial": NonSaturating()},
        weights=WEIGHTS[phase],
    ).double()


@pytest.fixture(scope="module")
def trained() -> tuple[IcGAN, list[dict[str, float]], Gradients]:
    """Return the conditional GAN after two iterations, its terms, and the gradients of the first."""
    monkeypatch = pytest.MonkeyPatch()
    gradients = of_first_iteration(monkeypatch)
    roles = ("generator", "discriminator")
    model = make({role: network(role) for role in roles}, roles, "gan").train()
    terms = []
    for k in range(2):
        model.training_step(batch_of(k), k)
        terms.append({name: value.item() for name, value in model.terms.items()})
    monkeypatch.undo()
    return model, terms, gradients


@pytest.fixture(scope="module")
def encoded(
    trained: tuple[IcGAN, list[dict[str, float]], Gradients],
) -> tuple[IcGAN, list[dict[str, float]], Gradients]:
    """Return the encoders after two iterations on images of the trained generator."""
    monkeypatch = pytest.MonkeyPatch()
    gradients = of_first_iteration(monkeypatch)
    encoders = ("encoder_z", "encoder_y")
    networks = {"generator": trained[0].network("generator"), **{role: network(role) for role in encoders}}
    model = make(networks, encoders, "encoders").train()
    terms = []
    for k in range(2):
        model.training_step(batch_of(k, "y_encoder", "z_encoder"), k)
        terms.append({name: value.item() for name, value in model.terms.items()})
    monkeypatch.undo()
    return model, terms, gradients


def test_layout_is_official() -> None:
    for role, layout in GOLDEN["layout"].items():
        state = network(role).state_dict()
        assert {official_key(role, key): list(value.shape) for key, value in state.items()} == dict(layout)


@torch.no_grad()
def test_outputs() -> None:
    batch, networks = batch_of(0), {role: network(role).train() for role in GOLDEN["layout"]}
    fake = networks["generator"](batch.code, signs(batch.sampled_label))
    found = {
        "fake": fake,
        "d_real": torch.sigmoid(networks["discriminator"](batch.image, signs(batch.label))),
        "z_of_real": networks["encoder_z"](batch.image),
        "y_of_real": networks["encoder_y"](batch.image),
    }
    assert found.keys() == OUTPUTS.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value.reshape(OUTPUTS[name].shape).numpy(), OUTPUTS[name], atol=2e-6, rtol=2e-6)


def test_losses_of_the_conditional_gan(trained: tuple[IcGAN, list[dict[str, float]], Gradients]) -> None:
    for terms, wanted in zip(trained[1], GOLDEN["steps"], strict=True):
        real, wrong, fake = (terms[f"discriminator/{name}"] for name in ("real", "wrong", "fake"))
        found = {
            "d_real": real,
            "d_wrong_half": wrong / 2,
            "d_fake_half": fake / 2,
            "d_shown": (real + wrong / 2 + fake / 2) / 2,
            "g": terms["generator/adversarial"],
        }
        assert found == pytest.approx(wanted, rel=1e-6)


def test_losses_of_the_encoders(encoded: tuple[IcGAN, list[dict[str, float]], Gradients]) -> None:
    for terms, wanted in zip(encoded[1], GOLDEN["encoder_steps"], strict=True):
        found = {"encoder_z": terms["encoder/code"], "encoder_y": terms["encoder/labels"]}
        assert found == pytest.approx(wanted, rel=1e-6)


def test_gradients_of_the_first_updates(trained: Any, encoded: Any) -> None:
    for role, wanted in GOLDEN["grad_rms_step0"].items():
        gradients = (trained if role in ("generator", "discriminator") else encoded)[2][role]
        found = {official_key(role, key): value.square().mean().sqrt().item() for key, value in gradients.items()}
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-13), (role, key)


def test_weights_and_running_statistics_afterwards(trained: Any, encoded: Any) -> None:
    for role, wanted in GOLDEN["weights_after"].items():
        model = (trained if role in ("generator", "discriminator") else encoded)[0]
        state = {official_key(role, key): value for key, value in model.network(role).state_dict().items()}
        for key, values in wanted.items():
            without_gradient = GOLDEN["grad_rms_step0"][role].get(key, 1.0) < 1e-12
            if not without_gradient:  # Adam turns rounding into whole steps
                assert summary(state[key]) == pytest.approx(values, rel=1e-6, abs=1e-8), (role, key)
