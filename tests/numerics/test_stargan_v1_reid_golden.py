"""StarGAN v1 between cameras, on images twice as high as wide, against figures of the official networks of HHL.

The steps are taken in float64 against the golden run in float64, so rounding plays no part; outputs and the first
losses in float32 as well.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from numerics.formula import draw, fill, summary
from translate.data.views.labelled import LabelledBatch
from translate.losses.adversarial import Wasserstein
from translate.models.base import TranslationModel
from translate.models.stargan_v1 import StarGANv1
from translate.networks.stargan_v1 import Discriminator, Generator

GOLDEN = Path(__file__).parent / "golden"
TAG = "stargan_v1_reid64x32"
TERMS = {
    "discriminator/real": "D/loss_real",
    "discriminator/fake": "D/loss_fake",
    "discriminator/classification": "D/loss_cls",
    "discriminator/gradient_penalty": "D/loss_gp",
    "generator/adversarial": "G/loss_fake",
    "generator/classification": "G/loss_cls",
    "generator/reconstruction": "G/loss_rec",
}
golden: dict[str, Any] = json.loads((GOLDEN / f"{TAG}.json").read_text())
SIZE = (golden["height"], golden["width"])


def make_model() -> StarGANv1:
    networks: dict[str, torch.nn.Module] = {
        "generator": Generator(golden["c_dim"], 1, golden["conv_dim"], golden["g_repeat"]),
        "discriminator": Discriminator(SIZE, golden["c_dim"], golden["conv_dim"], golden["d_repeat"]),
    }
    for role, network in networks.items():
        fill(network, TAG, role)
    adam, lambdas = golden["adam"], golden["lambdas"]
    optimizer = partial(torch.optim.Adam, lr=adam["lr"], betas=tuple(adam["betas"]))
    both = {"classification": lambdas["cls"]}
    return StarGANv1(
        networks=networks,
        optimizers={"generator": optimizer, "discriminator": optimizer},
        losses={"adversarial": Wasserstein()},
        weights={
            "discriminator": {"real": 1.0, "fake": 1.0, "gradient_penalty": lambdas["gp"], **both},
            "generator": {"adversarial": 1.0, "reconstruction": lambdas["rec"], **both},
        },
        label_sets=[{"kind": "classes", "names": [f"c{k + 1}" for k in range(golden["c_dim"])]}],
        num_critic=golden["n_critic"],
    )


def batch_of(k: int, dtype: torch.dtype) -> LabelledBatch:
    data = golden["data"][k]
    x = torch.from_numpy(np.tanh(draw(f"{TAG}/x_real/{k}", (golden["batch"], 3, *SIZE)))).to(dtype)
    label = F.one_hot(torch.tensor(data["label"]), golden["c_dim"]).to(dtype)
    return LabelledBatch(x, label, label[data["permutation"]])


def golden_weights(k: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(np.abs(draw(f"{TAG}/alpha/{k}", (golden["batch"], 1, 1, 1))) % 1).to(dtype)


def test_the_layout_is_that_of_the_official_networks() -> None:
    model = make_model()
    for role in ("generator", "discriminator"):
        wanted = {key: tuple(shape) for key, shape in golden["layout"][role]}
        kept = {key: shape for key, shape in wanted.items() if "running" not in key and "num_batches" not in key}
        assert {key: tuple(value.shape) for key, value in model.network(role).state_dict().items()} == kept, role


def test_outputs_equal_those_of_the_official_networks() -> None:
    model, wanted = make_model(), np.load(GOLDEN / f"{TAG}.npz")
    batch = batch_of(0, torch.float32)
    with torch.no_grad():
        fake = model.generator(batch.image, batch.target)
        patches, labels = model.discriminator(batch.image)
    for name, value in {"x_fake": fake, "src_real": patches, "cls_real": labels}.items():
        assert value.shape == wanted[name].shape
        error = np.abs(value.numpy() - wanted[name]).max() / np.abs(wanted[name]).max()
        assert error < 2e-5, (name, error)


def test_the_official_numbers_of_parameters_at_256_x_128() -> None:
    with torch.device("meta"):
        networks = Generator(6), Discriminator([256, 128], 6)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [8_433_664, 44_819_392]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterations_equal_the_official_steps(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().to(dtype)
    double = dtype == torch.float64
    wanted = golden["double"] if double else golden
    gradients: dict[str, dict[str, torch.Tensor]] = {}
    minimize = TranslationModel._minimize

    def spy(self: TranslationModel, loss: torch.Tensor, roles: tuple[str, ...]) -> None:
        minimize(self, loss, roles)
        named = self.network(roles[0]).named_parameters()
        gradients.setdefault(roles[0], {key: p.grad.clone() for key, p in named if p.grad is not None})

    monkeypatch.setattr(TranslationModel, "_minimize", spy)
    greatest = 0.0
    for k, figures in enumerate(wanted["steps"][: None if double else golden["n_critic"]]):
        monkeypatch.setattr(model, "interpolation_weights", lambda number, count, column, k=k: golden_weights(k, dtype))
        model.training_step((batch_of(k, dtype),), k)
        terms = {TERMS[name]: value.item() for name, value in model.terms.items() if name in TERMS}
        assert terms.keys() == figures.keys()
        greatest = max(greatest, *(abs(terms[name] - figure) / abs(figure) for name, figure in figures.items()))
        assert terms == pytest.approx(figures, rel=1e-6 if double else 1e-4), k
    print(f"greatest relative difference of a loss, {dtype}: {greatest:.1e}")
    if not double:
        return
    for role, short in (("discriminator", "d"), ("generator", "g")):
        parameters = dict(model.network(role).named_parameters())
        assert parameters.keys() == wanted["grad_rms_step0"][short].keys() == wanted["weights_after"][role].keys()
        for key, figure in wanted["grad_rms_step0"][short].items():
            assert gradients[role][key].square().mean().sqrt().item() == pytest.approx(figure, rel=1e-6), (role, key)
        for key, figures in wanted["weights_after"][role].items():
            assert summary(parameters[key]) == pytest.approx(figures, rel=1e-6, abs=1e-9), (role, key)
