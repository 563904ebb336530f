"""XGAN against figures of a port's networks and the paper's losses: outputs and two iterations in float64.

Names of the figures: ``rec1`` is our ``reconstruction_a``, ``dann1`` ``domain_a``, ``sem1`` ``semantic_a``, ``gan``
``adversarial_ab``. The outputs of ``c_dann`` and ``disc1`` are probabilities there, logits here.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.differences import Differences, record_in_float64
from numerics.formula import fill, image
from numerics.gradients import of_first_iteration
from translate.data.views.unpaired import UnpairedBatch
from translate.losses.adversarial import NonSaturating
from translate.losses.reconstruction import norm
from translate.models.xgan import AUTO_ENCODERS, XGAN
from translate.networks import xgan

TAG = "xgan_64"
FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
OUTPUTS = dict(np.load(FOLDER / f"{TAG}.npz"))
SIZE, BATCH = GOLDEN["img_size"], GOLDEN["batch"]
ROLES = {
    "encoder_a": "e1",
    "encoder_b": "e2",
    "encoder_shared": "e_shared",
    "decoder_shared": "d_shared",
    "decoder_a": "d1",
    "decoder_b": "d2",
    "code_classifier": "c_dann",
    "discriminator_b": "disc1",
}
TERMS = {
    "rec1": "generator/reconstruction_a",
    "rec2": "generator/reconstruction_b",
    "dann1": "generator/domain_a",
    "dann2": "generator/domain_b",
    "sem1": "generator/semantic_a",
    "sem2": "generator/semantic_b",
    "gan": "generator/adversarial_ab",
    "d_real": "discriminator/b/real",
    "d_fake": "discriminator/b/fake",
}


def networks() -> dict[str, nn.Module]:
    made: dict[str, nn.Module] = {
        "encoder_a": xgan.Encoder(),
        "encoder_b": xgan.Encoder(),
        "encoder_shared": xgan.SharedEncoder(SIZE),
        "decoder_shared": xgan.SharedDecoder(SIZE),
        "decoder_a": xgan.Decoder(),
        "decoder_b": xgan.Decoder(),
        "code_classifier": xgan.CodeClassifier(),
        "discriminator_b": xgan.Discriminator(SIZE),
    }
    for role, network in made.items():
        fill(network, TAG, ROLES[role])
    return made


def batch_of(k: int) -> UnpairedBatch[Tensor]:
    return UnpairedBatch(*(image(TAG, field, k, BATCH, SIZE).double() for field in ("x1", "x2")))


def make_model() -> XGAN:
    adam, weights = GOLDEN["adam"], GOLDEN["weights"]

    def make(name: str) -> Any:
        return partial(torch.optim.Adam, lr=adam[name]["lr"], betas=tuple(adam[name]["betas"]))

    optimizers = dict.fromkeys((*AUTO_ENCODERS, "code_classifier"), make("autoencoder_and_classifier"))
    generator = {f"reconstruction_{side}": weights["rec"] for side in "ab"}
    generator |= {f"domain_{side}": weights["dann"] for side in "ab"}
    generator |= {f"semantic_{side}": weights["sem"] for side in "ab"}
    generator |= {"adversarial_ab": weights["gan"], "adversarial_ba": 0.0, "teacher": 0.0}
    semantic = partial(norm, order=1)
    return XGAN(
        networks=networks(),
        optimizers=optimizers | {"discriminator_b": make("disc1")},
        losses={
            "adversarial": NonSaturating(),
            "reconstruction": norm,
            "semantic": semantic,
            "teacher": semantic,
        },
        weights={"discriminator": dict.fromkeys(("real", "fake"), weights["gan"]), "generator": generator},
        detach_codes=True,
    ).double()


def test_layouts_equal_those_of_the_port() -> None:
    for role, network in networks().items():
        own = {key: list(value.shape) for key, value in network.state_dict().items()}
        assert own == dict(GOLDEN["layout"][ROLES[role]]), role
        assert sum(p.numel() for p in network.parameters()) == GOLDEN["parameters"][ROLES[role]]


def test_outputs_equal_those_of_the_port() -> None:
    model, (a, b) = make_model(), batch_of(0)
    with torch.no_grad():
        trip_a, trip_b = model.travel(a, "a"), model.travel(b, "b")
        found = {
            "e1": trip_a.code,
            "rec1": trip_a.same,
            "x12": trip_a.translation,
            "e12": trip_a.code_of_translation,
            "x21": trip_b.translation,
            "c_e1": model.code_classifier(trip_a.code).sigmoid(),
            "disc_x2": model.network("discriminator_b")(b).sigmoid(),
        }
    assert found.keys() == OUTPUTS.keys()
    for name, official in OUTPUTS.items():
        error = np.abs(found[name].numpy() - official).max() / np.abs(official).max()
        assert error < 1e-6, (name, error)


def test_two_iterations_equal_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(monkeypatch).check({"term": 1e-9, "gradient": 1e-8, "weight": 1e-7, "statistics": 1e-8})


def differences_of_iterations(monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in two iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    differences = Differences()
    model, official = make_model(), GOLDEN["double"]
    record_in_float64(monkeypatch)
    gradients = of_first_iteration(monkeypatch)
    weights = model.weights["generator"]
    for k, wanted in enumerate(official["steps"]):
        model.training_step(batch_of(k), k)
        assert wanted.keys() == {*TERMS, "total"}
        for name, own in TERMS.items():
            differences.compare("term", f"{name} of iteration {k}", model.terms[own].item(), wanted[name], 1e-3)
        generator = {name: value.item() for name, value in model.terms.items() if name.startswith("generator/")}
        total = sum(weights[name.removeprefix("generator/")](0) * value for name, value in generator.items())
        differences.compare("term", f"total of iteration {k}", total, wanted["total"], 1e-3)
    for role in model.trained:
        official_name = ROLES[role]
        for key, gradient in gradients[role].items():
            rms = gradient.square().mean().sqrt().item()
            differences.compare("gradient", f"{role}.{key}", rms, official["grad_rms_step0"][official_name][key], 1e-6)
        differences.compare_state(role, model.network(role).state_dict(), official["weights_after"][official_name])
    return differences
