"""Every adversarial loss trains every model that has a slot for one, with every penalty that the model has."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from training.test_models import CASES, train
from training.tiny import (
    Case,
    differences,
    tiny_cyclegan_scales,
    tiny_dtn,
    tiny_icgan_gan,
    tiny_stargan_v2_relativistic,
)
from translate.config.resume import resumed
from translate.data.views.unpaired import UnpairedBatch
from translate.losses.noisy_images import LARGEST_FOR_LABELS, with_noise
from translate.models import penalties
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.networks.layers.spectral import SpectralNorm
from translate.registry.registry import LOSSES, MODELS
from translate.runs import checkpoints
from translate.training import build, run

WITH_SLOT = [name for name in CASES if "adversarial" in MODELS.facts(name).get("losses", ())]
OF_ONE_MAP = ("hinge", "least_squares", "non_saturating", "probability_difference", "relativistic", "wasserstein")
OF_SEVERAL_MAPS = ("multiscale", "rising_maps")
SEVERAL_MAPS = ("combogan", "unit")  # models whose default is a loss of several maps, each with a loss of one map
NEEDS = {"dtn": ["model.networks.discriminator.num_logits=1"]}
"""Overrides with which a model takes any adversarial loss."""


def adversarial_case(name: str) -> Case:
    """Return the small configuration of a model in which it trains against a discriminator."""
    return tiny_icgan_gan if name == "icgan" else CASES[name]


def choice(name: str, loss: str) -> list[str]:
    """Return the override that gives a model a loss."""
    key = "loss" if name in SEVERAL_MAPS and loss in OF_ONE_MAP else "name"
    return [f"model.losses.adversarial.{key}={loss}", *NEEDS.get(name, [])]


def test_every_adversarial_loss_is_in_a_list() -> None:
    names = [name for name, loss in LOSSES.load().items() if hasattr(loss, "discriminator_terms")]
    ours = [name for name in names if LOSSES.entry(name).module.startswith("translate.")]
    assert set(ours) == {*OF_ONE_MAP, *OF_SEVERAL_MAPS, "ternary"}


@pytest.mark.parametrize(
    ("name", "loss"),
    [(name, loss) for name in WITH_SLOT for loss in OF_ONE_MAP]
    + [(name, loss) for name in WITH_SLOT if name not in SEVERAL_MAPS for loss in OF_SEVERAL_MAPS],
)
def test_every_loss_trains_every_model(name: str, loss: str) -> None:
    config = adversarial_case(name)("data.batch_size=2", "data.num_images=12", *choice(name, loss))
    torch.set_num_threads(1)
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    (terms,) = train(model, batch, 1)
    assert all(torch.tensor(list(terms.values())).isfinite())
    recorded = [term.rpartition("/")[2] for term in terms if term.startswith("discriminator/")]
    assert "real" in recorded
    assert {"fake", "source"} & set(recorded)


PENALTIES = ("r1", "r2", "zero_centred", "gradient_penalty")
NOISE = {
    name: [term for term in MODELS.facts(name)["terms"].get("discriminator", ()) if term.startswith("noisy")]
    for name in CASES
}
"""Terms of a model that take real images with noise, by name."""

NOISY = [name for name, terms in NOISE.items() if terms]
PENALIZED = [name for name in CASES if "r2" in MODELS.facts(name)["terms"].get("discriminator", ())]


@pytest.mark.parametrize("name", PENALIZED)
def test_every_penalty_trains_every_model_that_lists_them(name: str) -> None:
    chosen = [f"model.weights.discriminator.{term}=0.1" for term in PENALTIES]
    config = adversarial_case(name)("data.batch_size=2", "data.num_images=12", *choice(name, "relativistic"), *chosen)
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    (terms,) = train(model, batch, 1)
    recorded = {term.rpartition("/")[2] for term in terms if term.startswith("discriminator/")}
    assert set(PENALTIES) <= recorded
    for term, value in terms.items():
        assert value > 0 or term.rpartition("/")[2] not in PENALTIES, term
    assert all(p.requires_grad for role in model.trained for p in model.network(role).parameters())


def test_every_model_with_a_discriminator_of_images_has_every_penalty() -> None:
    assert set(PENALIZED) == set(WITH_SLOT)
    for name in PENALIZED:
        assert set(PENALTIES) <= set(MODELS.facts(name)["terms"]["discriminator"]), name


def test_penalties_of_the_ternary_loss_are_those_of_the_log_odds_of_real_images() -> None:
    chosen = [f"model.weights.discriminator.{term}=0.1" for term in PENALTIES]
    config = tiny_dtn("data.batch_size=2", "data.num_images=12", "trainer.precision=64-true", *chosen)
    data = build.build_data(config)
    model, batch = build.build_model(config).double(), data.augment(data.iterations()[0])
    t, s = batch.b.double(), batch.a.double()
    with torch.no_grad():
        fakes = [model.network("generator")(model.network("features")(x)) for x in (s, t)]
    discriminator = copy.deepcopy(model.network("discriminator"))

    def squares(images: torch.Tensor) -> torch.Tensor:
        images = images.clone().requires_grad_()
        p = discriminator(images).softmax(1)[:, 2]
        (gradient,) = torch.autograd.grad((p / (1 - p)).log().sum(), images)
        return gradient.square().flatten(1).sum(1)

    mixtures = [w * t + (1 - w) * fake for w, fake in zip(weights_of(model, len(t)), fakes, strict=True)]
    expected = {
        "r1": squares(t).mean() / 2,
        "r2": torch.cat([squares(fake) for fake in fakes]).mean() / 2,
        "zero_centred": torch.cat([squares(mixture) for mixture in mixtures]).mean() / 2,
        "gradient_penalty": torch.cat([(squares(mixture).sqrt() - 1).square() for mixture in mixtures]).mean(),
    }
    (terms,) = train(model, UnpairedBatch(s, t), 1)
    for term, value in expected.items():
        assert terms[f"discriminator/{term}"] == pytest.approx(value.item(), rel=1e-5), term


def weights_of(model: TranslationModel, count: int) -> list[torch.Tensor]:
    """Return the weights of the real images in the mixtures with each of two kinds of translations."""
    return [model.interpolation_weights(0, count, column) for column in (0, 1)]


@pytest.mark.parametrize("name", PENALIZED)
def test_a_penalty_without_a_weight_costs_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("computed without a weight")

    monkeypatch.setattr(penalties, "with_input_gradients", refused)
    monkeypatch.setattr(penalties, "interpolate", refused)
    monkeypatch.setattr(penalties, "with_noise", refused)
    without = [f"model.weights.discriminator.{term}=0" for term in (*PENALTIES, *NOISE.get(name, []))]
    config = adversarial_case(name)("data.batch_size=2", "data.num_images=12", *without)
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    images, terms = Penalties(model).evaluate(
        lambda *images: images, torch.ones(1, requires_grad=True), torch.ones(1), between=lambda image: image
    )
    assert not terms
    assert not any(each.requires_grad for each in images)
    (terms,) = train(model, batch, 1)
    assert not [term for term in terms if term.rpartition("/")[2] in PENALTIES]


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_real_images_with_noise_are_rejected(name: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The term is the loss of fake images, for real images with the noise of their places in the sample stream."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spoilt(images: torch.Tensor, *draws: Any) -> torch.Tensor:
        seen.append((images, with_noise(images, *draws)))
        return seen[-1][1]

    monkeypatch.setattr(penalties, "with_noise", spoilt)
    weights = [f"model.weights.discriminator.{term}={2 * (term == 'noisy')}" for term in NOISE[name]]
    choices = ["data.batch_size=2", "data.num_images=12", *choice(name, loss), *weights]
    config = CASES[name](*choices)
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    (terms,) = train(model, batch, 1)
    values = [value for term, value in terms.items() if term.startswith("discriminator/") and "/noisy" in term]
    assert len(values) == len(seen) == 2 - (name == "stargan_v1")
    assert all(value > 0 for value in values)
    assert all(not spoilt.equal(images) and float((spoilt - images).abs().max()) < 1 for images, spoilt in seen)
    (first, noisy), *others = seen
    assert all(not torch.equal(noisy - first, spoilt - images) for images, spoilt in others)  # independent draws
    again = build.build_model(config)
    seen.clear()
    train(again, batch, 1)
    assert seen[0][1].equal(noisy)


def test_labels_are_learned_in_spite_of_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[float] = []

    def spoilt(images: torch.Tensor, noise: torch.Tensor, draws: torch.Tensor, limit: float) -> torch.Tensor:
        largest.append(limit)
        return with_noise(images, noise, draws, limit)

    monkeypatch.setattr(penalties, "with_noise", spoilt)
    names = ("classification", "noisy_classification")
    weights = [f"model.weights.discriminator.{name}=1" for name in names]
    config = CASES["stargan_v1"]("data.batch_size=2", "data.num_images=12", *weights)
    data = build.build_data(config)
    (terms,) = train(build.build_model(config), data.augment(data.iterations()[0]), 1)
    clean, noisy = (terms[f"discriminator/{name}"] for name in names)
    assert noisy > 0
    assert clean != noisy
    assert largest == [LARGEST_FOR_LABELS]


@pytest.mark.parametrize("name", PENALIZED)
def test_configurations_from_before_the_penalties_are_complete(name: str) -> None:
    optional = MODELS.facts(name)["optional_terms"]["discriminator"]
    case = adversarial_case(name)
    config = case(*(f"~model.weights.discriminator.{term}" for term in optional))
    model = build.build_model(config)
    assert not set(optional) & set(model.weights["discriminator"])
    assert not any(model.is_active("discriminator", term) for term in optional)


MODERN = {"cyclegan of several scales": tiny_cyclegan_scales, "stargan_v2 with pairs": tiny_stargan_v2_relativistic}
"""Cases with spectral norms, relativistic, with R1 and R2."""


@pytest.mark.parametrize("name", MODERN)
def test_power_iterations_are_resumed_to_the_bit(name: str, tmp_path: Path) -> None:
    def train_to(folder: Path, iterations: int, *, resume: bool) -> checkpoints.Checkpoint:
        overrides = [f"iterations={iterations}"]
        config = resumed(folder, overrides) if resume else MODERN[name](*overrides)
        assert run.train(config, folder, folder if resume else None, overrides) == 0
        return checkpoints.newest(folder)

    whole = train_to(tmp_path / "whole", 4, resume=False)
    half = train_to(tmp_path / "half", 2, resume=False)
    rest = train_to(tmp_path / "half", 4, resume=True)
    assert differences(rest, whole) == []
    vectors = [key for key in whole.tensors if key.endswith("parametrizations.weight.0.u")]
    assert vectors
    assert not any(half.tensors[key].equal(whole.tensors[key]) for key in vectors if len(half.tensors[key]) > 1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_power_iterations_move_once_an_update_of_the_discriminator(
    accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_stargan_v2_relativistic(f"trainer.accumulate={accumulate}")
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    layers = [part for part in model.network("discriminator").modules() if isinstance(part, SpectralNorm)]
    calls: list[int] = []
    honest = SpectralNorm.advance

    def counted(self: SpectralNorm, weight: torch.Tensor, times: int = 1) -> None:
        calls.append(times)
        honest(self, weight, times)

    monkeypatch.setattr(SpectralNorm, "advance", counted)
    train(model, batch, 1)
    assert calls == [1] * (2 * len(layers))  # two updates of the discriminator, two of the generator
