"""The relativistic loss with R1 and R2 against figures of R3GAN's own loss class, on plain networks in float64.

Names of the figures: ``adversarial`` is the value of `Relativistic`, ``relativistic`` the difference of paired logits.
R1 and R2 there have no factor; ours have 1/2, so gamma is our weight.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.formula import fill, image, summary
from translate.losses.adversarial import Relativistic
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties

TAG = "r3gan_losses"
FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / f"{TAG}.json").read_text())
ARRAYS = {name: torch.from_numpy(array) for name, array in np.load(FOLDER / f"{TAG}.npz").items()}
BATCH, SIZE = GOLDEN["batch"], GOLDEN["img_size"]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def network(name: str, scale: float) -> nn.Module:
    """Return a network of the golden layers, filled by formula."""

    def layer(kind: str, *values: Any) -> tuple[str, nn.Module]:
        plain: dict[str, Callable[..., nn.Module]] = {
            "leaky_relu": lambda slope: nn.LeakyReLU(slope),
            "tanh": nn.Tanh,
            "flatten": nn.Flatten,
        }
        if kind in plain:
            return "", plain[kind](*values)
        key, *shape = values
        return key, nn.Conv2d(*shape) if kind == "conv" else nn.Linear(*shape)

    layers = nn.Sequential()
    for number, description in enumerate(GOLDEN[name]):
        key, module = layer(*description)
        layers.add_module(key or f"plain{number}", module)
    fill(layers, TAG, name, scale)
    assert [[key, list(value.shape)] for key, value in layers.named_parameters()] == GOLDEN["layout"][name]
    return layers.double()


class PlainGAN(TranslationModel):
    """R3GAN's updates of both networks, by the parts of this project."""

    def __init__(self, gamma: float) -> None:
        adam = partial(torch.optim.Adam, lr=GOLDEN["adam"]["lr"], betas=tuple(GOLDEN["adam"]["betas"]))
        super().__init__(
            networks={"generator": network("generator", 0.5), "discriminator": network("discriminator", 1.0)},
            optimizers={"generator": adam, "discriminator": adam},
            losses={"adversarial": Relativistic()},
            weights={
                "discriminator": {"real": 1.0, "fake": 1.0, "r1": gamma, "r2": gamma},
                "generator": {"adversarial": 1.0},
            },
        )
        self.adversarial = Relativistic()
        self.penalties = Penalties(self)
        self.augment: Callable[[Tensor], Tensor] = lambda images: images

    def logits(self, images: Tensor) -> Tensor:
        return self.network("discriminator")(self.augment(images)).flatten()

    def discriminator_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        (real_logits, fake_logits), penalties = self.penalties.evaluate(
            lambda *images: [self.logits(each) for each in images], x, fake, between=self.logits
        )
        terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms)

    def generator_loss(self, y: Tensor, fake: Tensor) -> Tensor:
        term = self.adversarial.generator_term(self.logits(fake), lambda: self.logits(y))
        return self.weighted("generator", {"adversarial": term})

    def step(self, batch: dict[str, Tensor]) -> None:
        with self.update("discriminator") as minimize:
            fake = self.network("generator")(batch["z_d"])
            minimize(self.discriminator_loss(batch["x"], fake))
        with self.update("generator") as minimize:
            minimize(self.generator_loss(batch["y"], self.network("generator")(batch["z_g"])))


def batch_of(k: int) -> dict[str, Tensor]:
    return {field: image(TAG, field, k, BATCH, SIZE).double() for field in ("x", "y", "z_d", "z_g")}


def augmented(images: Tensor) -> Tensor:
    return 0.8 * images.flip(3) + 0.1


def gradients(model: PlainGAN, role: str, loss: Tensor) -> dict[str, Tensor]:
    named = dict(model.network(role).named_parameters())
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


@pytest.mark.parametrize("kind", ["plain", "augmented"])
@pytest.mark.parametrize("gamma", [0, 10])
def test_the_discriminator_s_loss_and_gradients_equal_the_official_ones(kind: str, gamma: int) -> None:
    golden, batch, model = GOLDEN["before_any_update"][f"discriminator_{kind}"], batch_of(0), PlainGAN(gamma)
    model.augment = augmented if kind == "augmented" else model.augment
    fake = model.network("generator")(batch["z_d"])
    torch.testing.assert_close(fake, ARRAYS["fake_d"], **CLOSE)
    found = gradients(model, "discriminator", model.discriminator_loss(batch["x"], fake))
    terms = {name.removeprefix("discriminator/"): value.item() for name, value in model.terms.items()}
    wanted = np.mean(golden["adversarial"])
    assert terms["real"] == pytest.approx(wanted, rel=1e-6)  # recorded in float32
    assert terms["fake"] == pytest.approx(wanted, rel=1e-6)
    if gamma:
        assert terms["r1"] == pytest.approx(np.mean(golden["R1"]) / 2, rel=1e-6)
        assert terms["r2"] == pytest.approx(np.mean(golden["R2"]) / 2, rel=1e-6)
    else:
        assert set(terms) == {"real", "fake"}
    for key, figures in golden[f"gradients_gamma_{gamma}"].items():
        assert summary(found[key]) == pytest.approx(figures, rel=1e-9, abs=1e-12), key
        if kind == "plain":
            torch.testing.assert_close(found[key], ARRAYS[f"d_gradient_gamma_{gamma}.{key}"], **CLOSE)


@pytest.mark.parametrize("kind", ["plain", "augmented"])
def test_the_generator_s_loss_and_gradients_equal_the_official_ones(kind: str) -> None:
    golden, batch, model = GOLDEN["before_any_update"][f"generator_{kind}"], batch_of(0), PlainGAN(0)
    model.augment = augmented if kind == "augmented" else model.augment
    fake = model.network("generator")(batch["z_g"])
    torch.testing.assert_close(fake, ARRAYS["fake_g"], **CLOSE)
    loss = model.generator_loss(batch["y"], fake)
    assert loss.item() == pytest.approx(np.mean(golden["adversarial"]), rel=1e-10)
    (at_fakes,) = torch.autograd.grad(loss, fake, retain_graph=True)
    torch.testing.assert_close(at_fakes, ARRAYS[f"g_gradient_at_fakes_{kind}"], **CLOSE)
    for key, gradient in gradients(model, "generator", loss).items():
        assert summary(gradient) == pytest.approx(golden["gradients"][key], rel=1e-9, abs=1e-12), key


def test_three_iterations_equal_the_official_ones() -> None:
    model = PlainGAN(0)
    for k, wanted in enumerate(GOLDEN["steps"]):
        model.weights = PlainGAN(wanted["gamma"]).weights
        model.training_step(batch_of(k), k)
        found = {name: value.item() for name, value in model.terms.items()}
        for name, figure in (("real", "D_adversarial"), ("fake", "D_adversarial")):
            assert found[f"discriminator/{name}"] == pytest.approx(wanted[figure], rel=1e-6), (k, name)
        for name in ("R1", "R2"):
            assert 2 * found[f"discriminator/{name.lower()}"] == pytest.approx(wanted[name], rel=1e-6), (k, name)
        assert found["generator/adversarial"] == pytest.approx(wanted["G_adversarial"], rel=1e-6), k
    for role in ("discriminator", "generator"):
        for key, value in model.network(role).named_parameters():
            assert summary(value) == pytest.approx(GOLDEN["weights_after"][role][key], rel=1e-7, abs=1e-9), key
