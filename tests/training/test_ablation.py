"""The rows of the StarGAN v2 ablation are what they say: what each reads, what each learns, and how they differ."""

from pathlib import Path

import pytest
import torch

from training.tiny import RUN, tiny, train
from translate.config.compose import load
from translate.config.schema import RunConfig
from translate.models.stargan_v2 import StarGANv2
from translate.runs.checkpoints import Checkpoint, newest
from translate.training import build
from translate.training.run import train as run

ROWS = "abcdef"
SIZES = {
    "a": ["model.networks.generator.base_width=6", "model.networks.generator.num_blocks=1"],
    "b": ["model.networks.generator.base_width=6", "model.networks.generator.num_blocks=1"],
    **{row: ["model.networks.generator.base_width=4", "model.networks.generator.max_width=8"] for row in "cdef"},
}


def row(letter: str, *overrides: str) -> RunConfig:
    """Return the configuration of a row, with networks and data made small."""
    sizes = [*SIZES[letter], "model.networks.discriminator.base_width=4"]
    return load([f"experiments=stargan_v2/ablation/{letter}", *sizes, *tiny.data[1:], *RUN, *overrides])


def started(letter: str) -> tuple[StarGANv2, torch.Tensor]:
    """Return the model of a row after two iterations, and two images."""
    config = row(letter)
    torch.set_num_threads(1)
    data = build.build_data(config)
    model = build.build_model(config)
    for k, batch in zip(range(2), data.iterations(), strict=False):
        model.training_step(data.augment(batch), k)
        assert all(value.isfinite() for value in model.terms.values()), model.terms
    return model, data.held_out(2).image


@pytest.mark.parametrize("letter", ROWS)
def test_a_row_trains_and_is_saved(letter: str, tmp_path: Path) -> None:
    assert run(row(letter, "iterations=2"), tmp_path / "run", None, []) == 0
    found: Checkpoint = newest(tmp_path / "run")
    assert found.iteration == 2


@pytest.mark.parametrize(("letter", "read"), [("b", set()), ("c", set()), ("d", {"code", "reference"})])
def test_what_a_translation_depends_on(letter: str, read: set[str]) -> None:
    model, x = started(letter)
    target = torch.tensor([1, 2])
    codes, references = torch.randn(2, 2, model.latent_size), torch.randn(2, 2, *x.shape[1:])
    by_codes = [model.translate(x, target, code=code) for code in codes]
    by_references = [model.translate(x, target, reference=reference) for reference in references]
    assert by_codes[0].equal(by_codes[1]) == ("code" not in read)
    assert by_references[0].equal(by_references[1]) == ("reference" not in read)
    assert not by_codes[0].equal(model.translate(x, target.flip(0), code=codes[0]))


def test_what_a_row_measures() -> None:
    terms = {letter: {name.rpartition("/")[2] for name in started(letter)[0].terms} for letter in "bc"}
    assert {"gradient_penalty"} == terms["b"] - terms["c"]
    assert {"r1"} == terms["c"] - terms["b"]


def test_roles_without_parameters_are_passed_over() -> None:
    model, _ = started("c")
    assert model.trained == ("generator", "discriminator")
    assert {role for role in model.roles if role not in model.trained} == {"mapping", "style_encoder"}
    assert started("d")[0].trained == ("generator", "style_encoder", "discriminator")


def test_neighbours_differ_by_what_the_row_says() -> None:
    trees = {letter: row(letter).model for letter in "cdef"}
    for first, second in ("cd", "de", "ef"):
        one, other = trees[first], trees[second]
        assert one.networks["generator"] == other.networks["generator"]
        assert one.networks["discriminator"] == other.networks["discriminator"]
        assert one.optimizers["generator"] == other.optimizers["generator"]
        assert one.optimizers["discriminator"] == other.optimizers["discriminator"]
        assert one.losses == other.losses
        assert one.weights["discriminator"] == other.weights["discriminator"]
        weights = {
            term
            for term in one.weights["generator"]
            if one.weights["generator"][term] != other.weights["generator"][term]
        }
        assert weights == {"cd": {"style"}, "de": set(), "ef": {"diversity"}}[first + second]
        assert one.arguments == other.arguments
    assert trees["e"].networks == trees["f"].networks


def test_the_gradient_penalty_is_drawn_by_place() -> None:
    model, _ = started("b")
    shares = [model.interpolation_weights(number, 8) for number in (0, 1)]
    assert not shares[0].equal(shares[1])
    assert shares[0].equal(model.interpolation_weights(0, 8))


def test_penalties_are_left_out_by_weight_alone(tmp_path: Path) -> None:
    found = train(tmp_path / "run", "iterations=1", "model.weights.discriminator.r1=0")
    assert found.iteration == 1
    recorded = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "r1" not in recorded
    assert "discriminator/latent/real" in recorded
