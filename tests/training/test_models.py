"""Every registered model trains an iteration, overfits a fixed batch, and keeps to what its registration says."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training.tiny import (
    Case,
    tiny,
    tiny_autoencoder,
    tiny_classifier,
    tiny_combogan,
    tiny_cut,
    tiny_cyclegan,
    tiny_dclgan,
    tiny_diat,
    tiny_diat_denoiser,
    tiny_diat_enhancement,
    tiny_dtn,
    tiny_fast_style,
    tiny_icgan,
    tiny_pix2pix,
    tiny_srgan,
    tiny_srresnet,
    tiny_stargan_v1,
    tiny_unit,
    tiny_xgan,
)
from translate.errors import ConfigError
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS, VIEWS
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build

CASES: dict[str, Case] = {
    "autoencoder": tiny_autoencoder,
    "classifier": tiny_classifier,
    "combogan": tiny_combogan,
    "cut": tiny_cut,
    "cyclegan": tiny_cyclegan,
    "dclgan": tiny_dclgan,
    "diat": tiny_diat,
    "diat_denoiser": tiny_diat_denoiser,
    "diat_enhancement": tiny_diat_enhancement,
    "dtn": tiny_dtn,
    "fast_style": tiny_fast_style,
    "icgan": tiny_icgan,
    "pix2pix": tiny_pix2pix,
    "srgan": tiny_srgan,
    "srresnet": tiny_srresnet,
    "stargan_v1": tiny_stargan_v1,
    "stargan_v2": tiny,
    "unit": tiny_unit,
    "xgan": tiny_xgan,
}
"""A small configuration of every model; `Case.on` puts the same small model on other data."""

OVERFITS = {
    "autoencoder": "reconstruction",
    "classifier": "cross_entropy",
    "combogan": "cycle",
    "cut": "nce",
    "cyclegan": "cycle",
    "dclgan": "nce",
    "diat": "identity",
    "diat_denoiser": "reconstruction",
    "diat_enhancement": "outside",
    "dtn": "identity",
    "fast_style": "style",
    "icgan": "labels",
    "pix2pix": "l1",
    "srgan": "pixel",
    "srresnet": "pixel",
    "stargan_v1": "reconstruction",
    "stargan_v2": "cycle",
    "unit": "reconstruction",
    "xgan": "reconstruction",
}
"""The term that says how well each model reproduces the images of a batch."""

HURRY = {
    "autoencoder": ["model.optimizers.encoder.lr=1e-2", "model.networks.decoder.base_width=16"],
    "combogan": ["model.optimizers.encoder.lr=1e-2", "model.networks.encoder.base_width=8"],
    "cut": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=8"],
    "dclgan": ["model.optimizers.generator_ab.lr=1e-2", "model.networks.generator_ab.base_width=8"],
    "cyclegan": ["model.optimizers.generator_ab.lr=1e-2", "model.networks.generator_ab.base_width=8"],
    "diat": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=8"],
    "diat_denoiser": ["model.optimizers.denoiser.lr=3e-3"],
    "diat_enhancement": ["model.optimizers.enhancer.lr=1e-2", "model.networks.enhancer.base_width=8"],
    "icgan": ["model.optimizers.encoder_y.lr=1e-2"],
    "dtn": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=16"],
    "fast_style": ["model.optimizers.transformer.lr=1e-2", "model.networks.transformer.base_width=8"],
    "pix2pix": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=16"],
    "srgan": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=16"],
    "srresnet": ["model.optimizers.generator.lr=1e-2", "model.networks.generator.base_width=16"],
    "stargan_v1": [
        "model.optimizers.generator.lr=4e-3",
        "model.optimizers.discriminator.lr=1e-3",
        "model.weights.generator.reconstruction=30",
    ],
    "stargan_v2": ["model.optimizers.generator.lr=4e-3", "model.weights.generator.cycle=10"],
    "unit": ["model.optimizers.encoder_a.lr=1e-2", "model.networks.encoder_a.base_width=8"],
    "xgan": ["model.optimizers.encoder_a.lr=1e-2", "model.networks.encoder_a.base_width=8"],
}
"""Overrides with which a model overfits a batch soon."""

TRANSLATING = [name for name in CASES if not MODELS.facts(name).get("predicts")]
"""The models that translate images."""

NAMES = [name for name in MODELS.names() if MODELS.entry(name).module.startswith("translate.")]
COVERED = [name for name in NAMES if name in CASES]


def start(name: str, *overrides: str) -> tuple[TranslationModel, Any]:
    """Return a new model and the first batch of its data."""
    config = CASES[name](*overrides)
    torch.set_num_threads(1)
    data = build.build_data(config)
    return build.build_model(config), data.augment(data.iterations()[0])


def train(model: TranslationModel, batch: Any, count: int) -> list[dict[str, float]]:
    """Return the terms of `count` iterations on one batch."""
    history = []
    for k in range(count):
        model.training_step(batch, k)
        history.append({term: value.item() for term, value in model.terms.items()})
    return history


@pytest.mark.parametrize("name", COVERED)
def test_one_image_trains_or_is_refused_before(name: str) -> None:
    try:
        model, batch = start(name, "data.batch_size=1")
    except ConfigError as error:
        assert "a batch norm needs more than one value of each channel" in str(error)
        assert any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in start(name)[0].modules())
        return
    (terms,) = train(model, batch, 1)
    assert all(math.isfinite(value) for value in terms.values())


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_case(name: str) -> None:
    assert name in CASES, f"the model {name!r} has no case: give it a small configuration here"


def test_every_batch_type_is_covered() -> None:
    assert {MODELS.facts(name)["batch"] for name in NAMES} == set(VIEWS.names())


@pytest.mark.parametrize("name", COVERED)
def test_one_iteration_moves_every_trained_network_and_its_average(name: str) -> None:
    model, batch = start(name)
    before = weights(model)
    (terms,) = train(model, batch, 1)
    assert model.iteration == 1
    assert all(torch.tensor(list(terms.values())).isfinite())
    after = weights(model)
    for role in model.trained:
        assert any(not after[key].equal(before[key]) for key in after if key.startswith(f"{role}.")), role
    for role in model.ema.networks:
        start_of = f"ema.networks.{role}."
        assert any(not after[key].equal(before[key]) for key in after if key.startswith(start_of)), role
    for role in set(model.roles) - set(model.trained):
        assert all(after[key].equal(before[key]) for key in after if key.startswith(f"{role}.")), role
    assert all(p.requires_grad for role in model.trained for p in model.network(role).parameters())


@pytest.mark.parametrize("name", COVERED)
def test_registration_says_what_is_there(name: str) -> None:
    model, batch = start(name)
    facts = MODELS.facts(name)
    assert set(facts["networks"]) <= set(model.roles)
    assert set(model.roles) <= {*facts["networks"], *facts.get("optional_networks", ())}
    assert {phase: set(terms) for phase, terms in model.weights.items()} == {
        phase: set(terms) for phase, terms in facts["terms"].items()
    }
    (terms,) = train(model, batch, 1)
    for phase, names in facts["terms"].items():
        recorded = {term.split("/")[-1].split("#")[0] for term in terms if term.startswith(f"{phase}/")}
        assert {term for term in names if model.is_active(phase, term)} <= recorded <= set(names)
    assert set(model.progress_terms) <= set(terms)


@pytest.mark.parametrize("name", COVERED)
def test_iterations_are_repeatable(name: str) -> None:
    histories, ends = [], []
    for _ in range(2):
        model, batch = start(name)
        histories.append(train(model, batch, 3))
        ends.append(weights(model))
        torch.rand(3)
    assert histories[0] == histories[1]
    assert all(value.equal(ends[1][key]) for key, value in ends[0].items())


@pytest.mark.parametrize("name", COVERED)
def test_kept_model_goes_on_the_same(name: str, tmp_path: Path) -> None:
    model, batch = start(name)
    train(model, batch, 2)
    checkpoints.write(checkpoints.capture(model, (), {}), RunFolder(tmp_path).checkpoint(2))
    other, _ = start(name, "seed=1")
    other.seed = model.seed
    checkpoints.restore(other, checkpoints.newest(tmp_path))
    assert train(model, batch, 2) == train(other, batch, 2)
    ends = weights(model), weights(other)
    assert all(value.equal(ends[1][key]) for key, value in ends[0].items())


OVERFIT = 40  # iterations


@pytest.mark.parametrize("name", COVERED)
def test_one_batch_is_overfitted(name: str) -> None:
    """The way there and back reproduces the images of a fixed batch ever better."""
    model, batch = start(name, *HURRY.get(name, []))
    history = train(model, batch, OVERFIT)
    terms = [term for term in history[0] if term.split("/")[-1].startswith(OVERFITS[name])]
    assert terms
    for term in terms:
        values = [row[term] for row in history]
        assert sum(values[-5:]) / 5 < 0.5 * values[0], (term, values[0], values[-5:])
    assert all(torch.tensor([list(row.values()) for row in history]).isfinite().flatten())


@pytest.mark.parametrize("name", COVERED)
def test_sample_grids_are_pictures(name: str) -> None:
    config = CASES[name]()
    data, model = build.build_data(config), build.build_model(config)
    held_out = data.held_out(6)
    state = torch.get_rng_state()
    grids, again = (model.sample_grids(held_out) for _ in range(2))
    assert torch.get_rng_state().equal(state)
    assert grids
    for key, grid in grids.items():
        picture = grid.arranged()
        assert picture.ndim == 3
        assert picture.shape[0] == 3
        assert picture.isfinite().all()
        assert (picture.abs() <= 1).all()
        assert picture.equal(again[key].arranged())
        assert grid.row_labels
        labelled = grid.pixels()
        assert labelled.dtype == np.uint8
        assert max(labelled.shape) > 900  # the labels come on top


# --- StarGAN v2 ---------------------------------------------------------------------------------------------


def test_stargan_v2_translates_by_code_or_by_reference() -> None:
    model, batch = start("stargan_v2")
    x, target = batch.image, batch.target
    by_code = model.translate(x, target, code=batch.code)
    by_reference = model.translate(x, target, reference=batch.reference)
    assert by_code.shape == by_reference.shape == x.shape
    assert not by_code.requires_grad
    assert not by_code.allclose(model.translate(x, target, code=batch.code2), atol=1e-4)
    for style_inputs in ({}, {"code": batch.code, "reference": batch.reference}):
        with pytest.raises(ValueError, match=r"code, reference: found (both|neither), expected one of them"):
            model.translate(x, target, **style_inputs)


def test_stargan_v2_truncation_ends_at_the_mean_style() -> None:
    model, batch = start("stargan_v2")
    x, target = batch.image, batch.target
    ends = [model.translate(x, target, code=code, psi=0.0) for code in (batch.code, batch.code2)]
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)
    whole = model.translate(x, target, code=batch.code)
    torch.testing.assert_close(model.translate(x, target, code=batch.code, psi=1.0), whole)
    half = model.translate(x, target, code=batch.code, psi=0.5)
    assert (half - ends[0]).abs().mean() < (whole - ends[0]).abs().mean()


def test_stargan_v2_second_generator_update_moves_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = start("stargan_v2")
    moved: list[tuple[str, ...]] = []
    minimize = TranslationModel._minimize

    def spy(self: TranslationModel, loss: Tensor, roles: tuple[str, ...]) -> None:
        before = {role: weights(self.network(role)) for role in self.trained}
        minimize(self, loss, roles)
        after = {role: weights(self.network(role)) for role in self.trained}
        moved.append(tuple(r for r in after if any(not v.equal(before[r][k]) for k, v in after[r].items())))

    monkeypatch.setattr(TranslationModel, "_minimize", spy)
    model.training_step(batch, 0)
    assert moved == [
        ("discriminator",),
        ("discriminator",),
        ("generator", "mapping", "style_encoder"),
        ("generator",),
    ]


def test_stargan_v2_with_masks_trains() -> None:
    overrides = ["model.networks.generator.w_hpf=1", "+model.networks.masks={name: face_oval}"]
    model, batch = start("stargan_v2", *overrides)
    (terms,) = train(model, batch, 1)
    assert all(torch.tensor(list(terms.values())).isfinite())
    assert "masks" not in model.trained
    kept = checkpoints.capture(model, (), {})
    checkpoints.restore(start("stargan_v2", *overrides)[0], kept)
