"""DTN against figures of a port: outputs in float32, two iterations in float64.

Names of the port: ``gang_source`` and ``gang_target`` are our adversarial terms, ``const`` constancy, ``tid`` identity.
The target domain is grey: one channel there, three equal channels here.
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
from numerics.formula import draw, image, parameter
from numerics.gradients import of_first_iteration
from translate.data.views.unpaired import UnpairedBatch
from translate.inference.dtn import DTNTranslation
from translate.losses.adversarial import Ternary
from translate.losses.reconstruction import l2
from translate.losses.regularization import total_variation
from translate.models.dtn import DTN
from translate.networks import dtn
from translate.networks.classifier import ConvEncoder

TAG = "dtn_digits32"
FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
OUTPUTS = dict(np.load(FOLDER / f"{TAG}.npz"))
SIZE, BATCH = GOLDEN["img_size"], GOLDEN["batch"]
ROLES = {"features": "f", "generator": "g", "discriminator": "d"}
TERMS = {
    "d_source": "discriminator/source",
    "d_target": "discriminator/target",
    "d_real": "discriminator/real",
    "gang_source": "generator/adversarial_source",
    "gang_target": "generator/adversarial_target",
    "const": "generator/constancy",
    "tid": "generator/identity",
}


def networks() -> dict[str, nn.Module]:
    made = {
        "features": ConvEncoder(SIZE, base_width=64),
        "generator": dtn.Generator(SIZE, image_channels=1),
        "discriminator": dtn.Discriminator(SIZE, image_channels=1),
    }
    with torch.no_grad():
        for role, network in made.items():
            for key, value in network.named_parameters():
                value.copy_(parameter(TAG, ROLES[role], name_in_port(role, key), tuple(value.shape)))
    return made


def name_in_port(role: str, key: str) -> str:
    return key.replace("model.", "classify.") if role == "features" else key


def batch_of(k: int) -> UnpairedBatch[Tensor]:
    t = torch.from_numpy(np.tanh(draw(f"{TAG}/t/{k}", (BATCH, 1, SIZE, SIZE)))).expand(-1, 3, -1, -1)
    return UnpairedBatch(image(TAG, "s", k, BATCH, SIZE).double(), t.double())


def make_model() -> DTN:
    adam, weights = GOLDEN["adam"], GOLDEN["weights"]
    make = partial(torch.optim.Adam, lr=adam["lr"], betas=tuple(adam["betas"]), weight_decay=adam["weight_decay"])
    return DTN(
        networks=networks(),
        optimizers={"generator": make, "discriminator": make},
        losses={"adversarial": Ternary(), "constancy": l2, "identity": l2, "smoothness": total_variation},
        weights={
            "discriminator": {"source": 1.0, "target": 1.0, "real": 1.0},
            "generator": {
                "adversarial_source": weights["gang"],
                "adversarial_target": weights["gang"],
                "constancy": weights["const"],
                "identity": weights["tid"],
                "smoothness": weights["tv"],
            },
        },
    ).double()


def test_layouts_equal_those_of_the_port() -> None:
    for role, network in networks().items():
        own = {name_in_port(role, key): list(value.shape) for key, value in network.state_dict().items()}
        assert own == dict(GOLDEN["layout"][ROLES[role]]), role
        assert sum(p.numel() for p in network.parameters()) == GOLDEN["parameters"][ROLES[role]]


def test_outputs_equal_those_of_the_port() -> None:
    made, (s, t) = networks(), batch_of(0)
    with torch.no_grad():
        code_s, code_t = made["features"](s.float()), made["features"](t.float())
        found = {"f_s": code_s, "f_t": code_t, "g_f_s": made["generator"](code_s)[:, :1]}
        found["d_t"] = made["discriminator"](t.float())
    assert found.keys() == OUTPUTS.keys()
    for name, official in OUTPUTS.items():
        error = np.abs(found[name].numpy().reshape(official.shape) - official).max() / np.abs(official).max()
        assert error < 5e-5, (name, error)


def test_total_variation_equals_the_figure() -> None:
    """The weight of the port's digits is 0, so the term is measured on the translations of iteration 0."""
    made, (s, _) = {role: network.double() for role, network in networks().items()}, batch_of(0)
    with torch.no_grad():
        images = made["generator"](made["features"](s))
    wanted = GOLDEN["double"]["steps"][0]["tv_unused"]
    assert total_variation(images[:, :1]).item() == pytest.approx(wanted, rel=1e-9)
    assert total_variation(images, channels="mean").item() == pytest.approx(wanted, rel=1e-9)
    assert total_variation(images).item() == pytest.approx(3 * wanted, rel=1e-9)


def test_a_translation_is_g_of_f_by_running_statistics() -> None:
    made, (s, _) = networks(), batch_of(0)
    translations = DTNTranslation(made)(s.float(), torch.ones(BATCH, dtype=torch.int64))
    with torch.no_grad():
        wanted = made["generator"].eval()(made["features"](s.float()))
    torch.testing.assert_close(translations, wanted)
    assert translations[:, 0].equal(translations[:, 2])


def test_two_iterations_equal_those_of_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(monkeypatch).check({"term": 1e-10, "gradient": 1e-9, "weight": 1e-8, "statistics": 1e-9})


def differences_of_iterations(monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in two iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    differences = Differences()
    model, official = make_model(), GOLDEN["double"]
    record_in_float64(monkeypatch)
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(official["steps"]):
        model.training_step(batch_of(k), k)
        assert wanted.keys() == {*TERMS, "tv_unused"}
        for name, own in TERMS.items():
            differences.compare("term", f"{name} of iteration {k}", model.terms[own].item(), wanted[name], 1e-3)
    for role in model.trained:
        network = model.network(role)
        for key, gradient in gradients[role].items():
            least = 1e-6  # biases before a batch norm have gradients that are rounding
            rms = gradient.square().mean().sqrt().item()
            differences.compare("gradient", key, rms, official["grad_rms_step0"][ROLES[role]][key], least)
        differences.compare_state(role, network.state_dict(), official["weights_after"][ROLES[role]])
    return differences
