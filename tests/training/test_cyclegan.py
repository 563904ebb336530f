"""CycleGAN: who learns when, on what, what identity weighs, what the pools remember, and what a translation takes."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.tiny import RUN, differences, tiny_cyclegan
from translate.config.compose import load
from translate.config.resume import resumed
from translate.data.views.unpaired import UnpairedBatch
from translate.distributed import collectives
from translate.distributed.collectives import gather
from translate.errors import ConfigError, UserError
from translate.models.base import TranslationModel
from translate.models.cyclegan import CycleGAN
from translate.runs import checkpoints
from translate.schedules import parse
from translate.training import build, run

ROLES = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")


def start(*overrides: str) -> tuple[CycleGAN, UnpairedBatch]:
    """Return a new model and the first batch of its data."""
    torch.set_num_threads(1)
    config = tiny_cyclegan(*overrides)
    module = build.build_data(config)
    model = build.build_model(config)
    assert isinstance(model, CycleGAN)
    return model, module.augment(module.iterations()[0])


class Shift(nn.Module):
    """Add a number: a network whose results are known."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


class Mean(nn.Module):
    """Judge an image by its mean, times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.mean((1, 2, 3))


def known(identity: float = 0.5, cycle: float = 10.0, **arguments: Any) -> CycleGAN:
    """Return a model of networks whose results can be worked out by hand; no weight moves."""
    networks = {"generator_ab": Shift(1.0), "generator_ba": Shift(-0.25)}
    networks |= {"discriminator_a": Mean(2.0), "discriminator_b": Mean(3.0)}
    weights = {"adversarial_ab": 1.0, "adversarial_ba": 1.0, "cycle_a": cycle, "cycle_b": cycle}
    weights |= {"identity_a": identity, "identity_b": identity}
    return CycleGAN(
        networks=networks,
        optimizers=dict.fromkeys(ROLES, lambda parameters: torch.optim.SGD(parameters, lr=0.0)),
        losses={"adversarial": build.LOSSES.get("least_squares")()},
        weights={"generator": weights, "discriminator": {"real": 0.5, "fake": 0.5, "gradient_penalty": 0.0}},
        **arguments,
    )


def constant(a: float, b: float) -> UnpairedBatch:
    return UnpairedBatch(torch.full((2, 3, 4, 4), a), torch.full((2, 3, 4, 4), b))


# --- the step -----------------------------------------------------------------------------------------------


def test_generators_learn_first_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = start()
    moved: list[tuple[str, ...]] = []
    minimize = TranslationModel._minimize

    def spy(self: TranslationModel, loss: Tensor, roles: tuple[str, ...]) -> None:
        before = {role: [p.detach().clone() for p in self.network(role).parameters()] for role in self.trained}
        minimize(self, loss, roles)
        moved.append(
            tuple(
                role
                for role, old in before.items()
                if any(not p.equal(o) for p, o in zip(self.network(role).parameters(), old, strict=True))
            )
        )

    monkeypatch.setattr(TranslationModel, "_minimize", spy)
    model.training_step(batch, 0)
    assert moved == [("generator_ab", "generator_ba"), ("discriminator_a", "discriminator_b")]


def test_every_term_is_of_its_domain() -> None:
    """By hand: b from a is a + 1, a from b is b - 0.25; discriminator a says 2 times the mean, b 3 times."""
    model = known(pool_size=0)
    model.training_step(constant(a=0.5, b=-0.5), 0)
    wanted = {
        "generator/adversarial_ab": (3 * 1.5 - 1) ** 2,
        "generator/adversarial_ba": (2 * -0.75 - 1) ** 2,
        "generator/cycle_a": 0.75,
        "generator/cycle_b": 0.75,
        "generator/identity_a": 0.25,  # generator_ba on a
        "generator/identity_b": 1.0,  # generator_ab on b
        "discriminator/a/real": (2 * 0.5 - 1) ** 2,
        "discriminator/a/fake": (2 * -0.75) ** 2,
        "discriminator/b/real": (3 * -0.5 - 1) ** 2,
        "discriminator/b/fake": (3 * 1.5) ** 2,
    }
    found = {name: value.item() for name, value in model.terms.items() if name in wanted}
    assert found == pytest.approx(wanted, rel=1e-5)


def test_variation_is_that_of_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripes of width 1 in a have the variation 2 from left to right and 0 downwards; a shift keeps it."""
    losses: list[float] = []
    monkeypatch.setattr(TranslationModel, "_minimize", lambda self, loss, roles: losses.append(loss.item()))
    batch = constant(0.5, -0.5)
    batch.a[..., ::2] = -1.5
    for weight in (0.0, 3.0):
        model = known(pool_size=0)
        model.weights["generator"] |= {"variation_a": parse(weight), "variation_b": parse(weight)}
        model.training_step(batch, 0)
        assert ("generator/variation_b" in model.terms) == (weight > 0)
    assert model.terms["generator/variation_a"].item() == 0.0  # of the translation of b, which is constant
    assert model.terms["generator/variation_b"].item() == pytest.approx(2.0)
    assert losses[2] - losses[0] == pytest.approx(3.0 * 2.0, rel=1e-4)


@pytest.mark.parametrize(("scale", "factor"), [("cycle", 10.0), ("alone", 1.0)])
def test_identity_weights_multiply_those_of_the_cycle_or_nothing(
    scale: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid: list[float] = []
    monkeypatch.setattr(TranslationModel, "_minimize", lambda self, loss, roles: paid.append(loss.item()))
    for identity in (0.5, 0.0):
        known(identity, identity_scale=scale).training_step(constant(0.5, -0.5), 0)
    with_identity, without = paid[0], paid[2]
    assert with_identity - without == pytest.approx(0.5 * factor * (0.25 + 1.0), rel=1e-4)


def test_identity_weights_follow_a_cycle_that_changes() -> None:
    model = known()
    assert model.weights["generator"]["identity_a"](0) == 5.0
    config = tiny_cyclegan(
        "model.weights.generator.cycle_b={schedule: linear, start: 10, end: 0, iterations: 4}",
    )
    weights = build.build_model(config).weights["generator"]
    assert [weights["identity_b"](k) for k in (0, 2, 4)] == [5.0, 2.5, 0.0]
    assert weights["identity_a"](4) == 5.0


def test_what_has_no_weight_and_is_dear_is_not_computed() -> None:
    names = [f"model.weights.generator.identity_{side}=0" for side in "ab"]
    model, batch = start(*names, "model.weights.discriminator.gradient_penalty=0")
    images: Counter[str] = Counter()
    for role in ROLES:
        model.network(role).register_forward_hook(lambda _, given, __, role=role: images.update({role: len(given[0])}))
    model.training_step(batch, 0)
    assert not any("identity" in term or "penalty" in term for term in model.terms)
    assert {role: count / len(batch.a) for role, count in images.items()} == {
        "generator_ab": 2,  # there, and back in the other cycle
        "generator_ba": 2,
        "discriminator_a": 3,  # for the generator, on real ones, on fakes
        "discriminator_b": 3,
    }


@pytest.mark.parametrize(
    "kept",
    [
        {"cycle_a", "cycle_b"},
        {"adversarial_ab", "adversarial_ba"},
        {"adversarial_ab", "adversarial_ba", "cycle_a"},
        {"adversarial_ab", "adversarial_ba", "cycle_b"},
    ],
    ids=["cycle", "gan", "forward", "backward"],
)
def test_ablations_take_weights_alone(kept: set[str]) -> None:
    """Cycle alone, GAN alone, GAN and forward or backward cycle, of table 4 of the paper."""
    terms = {f"{kind}_{side}" for kind in ("cycle", "identity") for side in "ab"} | {"adversarial_ab", "adversarial_ba"}
    model, batch = start(*[f"model.weights.generator.{term}=0" for term in sorted(terms - kept)])
    model.training_step(batch, 0)
    recorded = {name.removeprefix("generator/") for name in model.terms if name.startswith("generator/")}
    variation = {"variation_a", "variation_b"}  # of the small preset
    assert recorded == (terms - {"identity_a", "identity_b"}) | variation  # what is cheap is measured
    assert all(value.isfinite() for value in model.terms.values())


def test_gradient_penalty_is_that_of_points_between() -> None:
    """A discriminator whose gradient is known: 3 / 48 for each of 48 pixels, wherever it is taken."""
    model = known(pool_size=0)
    model.weights["discriminator"]["gradient_penalty"] = parse(10.0)
    model.training_step(constant(0.5, -0.5), 0)
    for side, factor in (("a", 2.0), ("b", 3.0)):
        norm = factor / 48**0.5
        found = model.terms[f"discriminator/{side}/gradient_penalty"].item()
        assert found == pytest.approx((norm - 1) ** 2, rel=1e-4)


def test_wasserstein_with_penalty_trains() -> None:
    model, batch = start("model.losses.adversarial.name=wasserstein", "model.weights.discriminator.gradient_penalty=10")
    for k in range(3):
        model.training_step(batch, k)
    assert all(value.isfinite() for value in model.terms.values())
    assert model.terms["discriminator/a/gradient_penalty"] > 0


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.identity_scale=cylce", "model.identity_scale: found 'cylce', expected 'cycle' or 'alone'"),
        ("model.statistics=batch", "model.statistics: found 'batch', expected 'image' or 'running'"),
        ("model.networks.discriminator_b.norm=no", "discriminator_b.norm: found 'no', expected 'instance' or 'batch'"),
    ],
)
def test_misspelt_choices_are_found_before_anything_is_built(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_cyclegan(override)
    assert sentence in str(caught.value)


def test_published_rate_of_every_network() -> None:
    config = load(
        [
            "model=cyclegan",
            "~recipe",
            *tiny_cyclegan.data,
            "data.num_images=20",
            "data.batch_size=1",
            "iterations=${epochs:200}",
        ]
    )
    assert config.iterations == 200 * 10
    for role in ROLES:
        rate = parse(config.model.optimizers[role]["lr"])
        assert rate(0) == rate(100 * 10 - 1) == 2e-4
        assert rate(100 * 10) == pytest.approx(2e-4 * 100 / 101)
        assert rate(config.iterations - 1) == pytest.approx(1.98e-6, rel=1e-3)


# --- the pools ----------------------------------------------------------------------------------------------


def test_discriminators_are_shown_what_the_pools_give(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = start("model.pool_size=4")
    shown: dict[str, Tensor] = {}
    loss = CycleGAN.discriminator_loss

    def spy(self: CycleGAN, side: str, real: Tensor, fake: Tensor) -> Tensor:
        shown[side] = fake
        return loss(self, side, real, fake)

    monkeypatch.setattr(CycleGAN, "discriminator_loss", spy)
    old = 0
    for k in range(6):
        with torch.no_grad():
            fakes = {"b": model.generator_ab(batch.a), "a": model.generator_ba(batch.b)}
            kept = {side: torch.stack([*pool.images]) if pool.images else None for side, pool in model.pools.items()}
        model.training_step(batch, k)
        for side, fake in fakes.items():
            for row in range(len(fake)):
                now = shown[side][row].allclose(fake[row], atol=1e-5)
                before = kept[side] is not None and any(shown[side][row].equal(image) for image in kept[side])
                assert now or before or k > 0  # or one that came earlier in the same batch
                old += before
        if k == 0:
            assert all(shown[side].allclose(fakes[side], atol=1e-5) for side in "ab")
    assert old > 5  # 40 images were shown to full pools


def test_pools_of_several_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def model() -> CycleGAN:
        return known(pool_size=6, seed=3)

    whole, parts = model(), [model() for _ in range(2)]
    draws = torch.Generator().manual_seed(0)
    for k in range(12):
        fakes = torch.randn(4, 3, 4, 4, generator=draws)
        for one in (whole, *parts):
            one.iteration = k
        wanted = whole.query_pool("a", fakes)
        monkeypatch.setattr(collectives, "shard_count", lambda: 2)
        monkeypatch.setattr(collectives, "gather", lambda mine, fakes=fakes: fakes)
        found = []
        for rank, one in enumerate(parts):
            monkeypatch.setattr(collectives, "shard_rank", lambda rank=rank: rank)
            found.append(one.query_pool("a", fakes[2 * rank : 2 * rank + 2]))
        monkeypatch.undo()
        assert torch.cat(found).equal(wanted)
        for one in parts:
            assert torch.stack(one.pools["a"].images).equal(torch.stack(whole.pools["a"].images))


def test_draws_are_a_function_of_the_position_in_the_stream() -> None:
    model = known(seed=1)
    model.iteration = 6
    whole, mixed = model.pool_draws("a", 4), model.interpolation_weights(0, 4).flatten().tolist()
    assert whole.shape == (4, 2)
    model.iteration = 12  # the same positions in batches of half the size
    assert (model.pool_draws("a", 2) == whole[:2]).all()
    assert not (model.pool_draws("b", 2) == whole[:2]).any()
    assert not (known(seed=2).pool_draws("a", 2) == whole[:2]).any()
    assert model.interpolation_weights(0, 2).flatten().tolist() == mixed[:2]
    assert not set(model.interpolation_weights(0, 2, column=1).flatten().tolist()) & set(mixed)
    assert not set(mixed) & set(whole.flatten().tolist())


def test_pool_draws_are_below_one_to_the_last_bit() -> None:
    """In float32 one in some thirty million would be 1, which is no slot of a pool."""
    assert known().pool_draws("a", 2).dtype == np.float64


def test_a_pool_has_no_negative_size() -> None:
    with pytest.raises(UserError, match=r"pool_size: found -1, expected at least 0, which is no pool"):
        known(pool_size=-1)


def test_alone_gather_is_nothing() -> None:
    x = torch.ones(2, requires_grad=True) * 1
    assert gather(x).equal(x)
    assert not gather(x).requires_grad


@pytest.mark.parametrize("interrupted", [1, 4])
def test_resumed_run_equals_an_uninterrupted_one_pools_included(tmp_path: Path, interrupted: int) -> None:
    """At iteration 1 the pools are half full, at 4 they have exchanged."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run.train(tiny_cyclegan("iterations=7"), whole, None, []) == 0
    assert run.train(tiny_cyclegan(f"iterations={interrupted}"), parts, None, []) == 0
    kept = checkpoints.newest(parts)
    assert len(kept.tensors["state.pool_a.images"]) == min(4 * interrupted, 5)
    assert run.train(resumed(parts, ["iterations=7"]), parts, parts, []) == 0
    assert differences(checkpoints.newest(whole), checkpoints.newest(parts)) == []


def test_a_run_whose_rates_have_fallen_says_so(tmp_path: Path) -> None:
    fallen = [f"model.optimizers.{role}.lr.iterations=2" for role in ("generator_ab", "discriminator_a")]
    assert run.train(tiny_cyclegan("iterations=2", *fallen), tmp_path, None, []) == 0
    assert "no longer learning" not in (tmp_path / "log.txt").read_text()
    assert run.train(resumed(tmp_path, ["iterations=3"]), tmp_path, tmp_path, []) == 0
    roles = "generator_ab, generator_ba, discriminator_a, discriminator_b"
    sentence = f"no longer learning: {roles}, whose learning rates are 0 from iteration 2 on"
    assert f"{sentence}; set model.optimizers.generator_ab.lr" in (tmp_path / "log.txt").read_text()


# --- use after training -------------------------------------------------------------------------------------


def test_target_chooses_the_generator() -> None:
    model, (a, b) = start()
    x, target = torch.cat([a, b]), torch.tensor([1, 0, 0, 1, 1, 0, 1, 0])
    found = model.translate(x, target)
    assert not found.requires_grad
    with torch.no_grad():
        to_a, to_b = model.generator_ba(x), model.generator_ab(x)
    for row, domain in enumerate(target):
        torch.testing.assert_close(found[row], (to_b if domain else to_a)[row], rtol=1e-4, atol=1e-5)
    for domain in (0, 1):
        assert model.translate(x, torch.full((8,), domain)).isfinite().all()


@pytest.mark.parametrize("statistics", ["image", "running"])
def test_small_networks_translate_by_the_chosen_statistics(statistics: str) -> None:
    data = [*tiny_cyclegan.data, f"model.statistics={statistics}"]
    config = load(["model=cyclegan_small_conv", "model.networks.generator_ab.base_width=4", *data, *RUN])
    module, model = build.build_data(config), build.build_model(config)
    batch = module.augment(module.iterations()[0])
    for k in range(2):
        model.training_step(batch, k)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    target = torch.ones(4, dtype=torch.int64)
    whole = model.translate(batch.a, target)
    torch.testing.assert_close(model.translate(batch.a[1:2], target[:1]), whole[1:2], rtol=1e-4, atol=1e-5)
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        by_running = model.generator_ab.eval()(batch.a)
    assert whole.allclose(by_running, atol=1e-6) == (statistics == "running")


def test_sample_grids_have_four_rows_of_a_domain_each() -> None:
    model = known()
    module = build.build_data(tiny_cyclegan())
    held_out = module.held_out(6)
    for name, domain, first, second in (("a_to_b", 0, 1.0, -0.25), ("b_to_a", 1, -0.25, 1.0)):
        picture = model.sample_grids(held_out)[name].arranged()
        x = held_out.image[held_out.domain == domain]
        assert picture.shape == (3, 4 * 34 - 2, 3 * 34 - 2)
        rows = [picture[:, 34 * row : 34 * row + 32, :32] for row in range(4)]
        wanted = [x[0], x[0] + first, x[0] + first + second, x[0] + second]
        assert all(row.allclose(image.clamp(-1, 1), atol=1e-5) for row, image in zip(rows, wanted, strict=True))
