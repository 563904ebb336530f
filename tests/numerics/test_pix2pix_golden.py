"""pix2pix against figures measured on the published implementation: forward, three iterations, gradients, weights.

They were measured with batch norm by the statistics of the batch of two, and without dropout. The published l1 is
recorded with its weight. No bias stands before a norm, so no gradient is rounding alone and all iterations agree.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from numerics.formula import fill, image, summary
from numerics.gradients import of_first_iteration
from translate.data.views.paired import PairedBatch
from translate.losses.adversarial import NonSaturating
from translate.models.pix2pix import Pix2Pix
from translate.networks.pix2pix import PatchDiscriminator, UnetGenerator

GOLDEN = json.loads((Path(__file__).parent / "golden/pix2pix_unet128.json").read_text())
OUTPUTS = np.load(Path(__file__).parent / "golden/pix2pix_unet128.npz")
PUBLISHED = {"generator": "G", "discriminator": "D"}
TERMS = {
    "D_real": "discriminator/real",
    "D_fake": "discriminator/fake",
    "G_GAN": "generator/adversarial",
    "G_L1": "generator/l1",
}
TOLERANCE = [1e-6, 1e-5, 1e-5]  # relative, of losses, by iteration


def networks() -> dict[str, torch.nn.Module]:
    found: dict[str, torch.nn.Module] = {
        "generator": UnetGenerator(7, GOLDEN["ngf"], "batch", dropout=False),
        "discriminator": PatchDiscriminator(6, GOLDEN["ndf"], norm="batch"),
    }
    for role, network in found.items():
        fill(network, GOLDEN["tag"], PUBLISHED[role], scale=0.5)
    return found


def batch_of(k: int) -> PairedBatch:
    tag, n, size = GOLDEN["tag"], GOLDEN["batch"], GOLDEN["img_size"]
    return PairedBatch(image(tag, "A", k, n, size), image(tag, "B", k, n, size))


def make_model() -> Pix2Pix:
    adam = partial(torch.optim.Adam, lr=GOLDEN["adam"]["lr"], betas=tuple(GOLDEN["adam"]["betas"]))
    return Pix2Pix(
        networks=networks(),
        optimizers=dict.fromkeys(PUBLISHED, adam),
        losses={"adversarial": NonSaturating()},
        weights={
            "discriminator": {"real": 0.5, "fake": 0.5},
            "generator": {"adversarial": 1.0, "l1": GOLDEN["lambda_L1"]},
        },
    )


def test_layout_equals_published() -> None:
    for role, network in networks().items():
        found = [[key, list(value.shape)] for key, value in network.state_dict().items()]
        assert found == GOLDEN["layout"][PUBLISHED[role]]


def test_forward_equals_published() -> None:
    with torch.no_grad():
        fake = networks()["generator"](batch_of(0).source)
    error = np.abs(fake.numpy() - OUTPUTS["fake_B"]).max() / np.abs(OUTPUTS["fake_B"]).max()
    assert error < 1e-5, error


def test_three_iterations_equal_published(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(GOLDEN["steps"]):
        model.training_step(batch_of(k), k)
        assert TERMS.keys() == wanted.keys()
        for name, figure in wanted.items():
            phase, term = TERMS[name].split("/")
            weight = model.weights["generator"]["l1"](k) if name == "G_L1" else 1.0
            found = weight * model.terms[f"{phase}/{term}"].item()
            assert found == pytest.approx(figure, rel=TOLERANCE[k]), (k, name)

    for role, published in PUBLISHED.items():
        for key, figure in GOLDEN["grad_rms_step0"][published].items():
            rms = gradients[role][key].double().square().mean().sqrt().item()
            assert rms == pytest.approx(figure, rel=2e-4), (role, key)

    rate = GOLDEN["adam"]["lr"]
    for role, published in PUBLISHED.items():
        parameters = dict(model.network(role).named_parameters())
        for key, figures in GOLDEN["weights_after"][published].items():
            mean, rms, projection = summary(parameters[key])
            assert mean == pytest.approx(figures[0], rel=1e-6, abs=0.01 * rate), (role, key)
            assert rms == pytest.approx(figures[1], rel=1e-6, abs=0.01 * rate), (role, key)
            assert projection == pytest.approx(figures[2], rel=1e-6, abs=0.1 * rate), (role, key)
