"""StarGAN v1: who learns when, what is mixed, several data sets at once, and what a translation takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training.tiny import differences, tiny, tiny_stargan_v1
from translate.config.compose import load
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.data.batches import HeldOut
from translate.errors import UserError
from translate.evaluation import classifier_scores
from translate.metrics.classifier import Local
from translate.models import base
from translate.models.stargan_v1 import StarGANv1
from translate.runs import checkpoints
from translate.schedules import parse
from translate.training import build, run

JOINT = [
    "data=joint",
    "data.parts={a: {name: critters, num_images: 40, num_val_images: 20, labels: attributes}, "
    "b: {name: critters, num_images: 40, num_val_images: 20, domains: [dog, fox, pig], labels: domain}}",
    "data.image_size=32",
    "data.batch_size=4",
    "data.num_workers=0",
    "data.cache=null",
]
NUM_ATTRIBUTES, NUM_CLASSES = 12, 3
ATTRIBUTES = [*tiny.data, "data.labels=attributes", "data.attributes=[smiling,glasses,bow,scarf]"]


def start(data: list[str], *overrides: str) -> tuple[StarGANv1, Any]:
    """Return a new model and the first batch of its data."""
    torch.set_num_threads(1)
    config = tiny_stargan_v1.on(data, *overrides)
    module = build.build_data(config)
    model = build.build_model(config)
    assert isinstance(model, StarGANv1)
    return model, module.augment(module.iterations()[0])


def weights(model: StarGANv1) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.split(".")[0] for name, value in after.items() if not value.equal(before[name])}


def test_generator_learns_in_every_third_iteration_and_its_average_with_it() -> None:
    model, batch = start(tiny_stargan_v1.data, "model.num_critic=3")
    for k in range(6):
        before = weights(model)
        model.training_step(batch, k)
        learned = moved(before, weights(model))
        if k % 3 == 2:
            assert learned == {"generator", "discriminator", "ema"}
        else:
            assert learned == {"discriminator"}
        assert any(name.startswith("generator/") for name in model.terms) == (k % 3 == 2)


def test_without_an_average_the_trained_generator_translates() -> None:
    model, (batch,) = start(tiny_stargan_v1.data, "model.ema_decay=null")
    model.training_step((batch,), 0)
    assert not model.ema.networks
    assert model.translate(batch.image, batch.target).equal(model.generator(batch.image, batch.target))


def test_a_critic_learns_at_least_once() -> None:
    with pytest.raises(UserError, match=r"model\.num_critic: found 0, expected at least 1"):
        start(tiny_stargan_v1.data, "model.num_critic=0")


def test_penalty_without_weight_is_not_measured() -> None:
    model, batch = start(tiny_stargan_v1.data, "model.weights.discriminator.gradient_penalty=0")
    model.training_step(batch, 0)
    assert {"discriminator/real", "discriminator/fake", "accuracy/discriminator"} <= model.terms.keys()
    assert "discriminator/gradient_penalty" not in model.terms


def test_variation_is_that_of_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []
    monkeypatch.setattr(StarGANv1, "_minimize", lambda self, loss, roles: losses.append(loss.item()))
    for weight in (0, 3):
        model, batch = start(tiny_stargan_v1.data, "model.num_critic=1", f"model.weights.generator.variation={weight}")
        translations = model.generator(batch[0].image, model.condition(0, batch[0].target))
        model.training_step(batch, 0)
        assert ("generator/variation" in model.terms) == (weight > 0)
    right, down = (translations.detach().diff(dim=dim).abs().mean() for dim in (3, 2))
    assert model.terms["generator/variation"].item() == pytest.approx(float(right + down), rel=1e-5)
    assert losses[3] - losses[1] == pytest.approx(3 * float(right + down), rel=1e-4)


def test_what_is_mixed_does_not_depend_on_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = start(JOINT)
    model.iteration = 7
    whole = [model.interpolation_weights(number, 8) for number in range(2)]
    assert whole[0].shape == (8, 1, 1, 1)
    assert not whole[0].equal(whole[1])
    monkeypatch.setattr(base, "shard_count", lambda: 4)
    for number in range(2):
        parts = []
        for rank in range(4):
            monkeypatch.setattr(base, "shard_rank", lambda rank=rank: rank)
            parts.append(model.interpolation_weights(number, 2))
        assert torch.cat(parts).equal(whole[number])
    monkeypatch.undo()
    model.iteration = 8
    assert not model.interpolation_weights(0, 8).equal(whole[0])
    many = model.interpolation_weights(0, 4000)
    assert 0 <= many.min() < 0.01
    assert 0.99 < many.max() <= 1
    assert abs(many.mean() - 0.5) < 5 * (1 / 12 / 4000) ** 0.5


def test_published_rates_are_those_of_the_published_loop() -> None:
    """One decrement of a hundred-thousandth every thousand iterations of the second half."""
    config = load(["model=stargan_v1", "variant=official_code", *JOINT, "data.image_size=64"])
    rates = {role: parse(node["lr"]) for role, node in config.model.optimizers.items()}
    assert set(rates) == {"generator", "discriminator"}
    rate = 1e-4
    for k in range(200_000):
        if k % 1_000 == 0:
            assert all(found(k) == pytest.approx(rate, rel=1e-9) for found in rates.values()), k
        if (k + 1) % 1_000 == 0 and k + 1 > 100_000:
            rate -= 1e-4 / 100_000
    assert rate == pytest.approx(9.99e-5)
    assert rates["generator"](200_000) == pytest.approx(9.99e-5)


# --- several data sets --------------------------------------------------------------------------------------


def test_every_data_set_is_learned_in_every_iteration() -> None:
    model, batch = start(JOINT)
    before = weights(model)
    model.training_step(batch, 0)
    assert moved(before, weights(model)) == {"generator", "discriminator", "ema"}
    for variant in ("set1", "set2"):
        for phase, terms in model.weights.items():
            active = {term for term in terms if model.is_active(phase, term)}
            assert {f"{phase}/{variant}/{term}" for term in active} <= model.terms.keys()
    assert set(model.progress_terms) <= model.terms.keys()
    assert model.terms["discriminator/set1/classification"] > 4  # a sum over twelve attributes
    assert model.terms["discriminator/set2/classification"] < 3  # one of three classes


def test_only_the_own_labels_are_judged() -> None:
    model, batch = start(JOINT)
    logits = torch.randn(4, NUM_ATTRIBUTES + NUM_CLASSES, requires_grad=True)
    for number, part in enumerate(batch):
        (gradient,) = torch.autograd.grad(model.classification(number, logits, part.label), logits)
        own = [gradient[:, :NUM_ATTRIBUTES], gradient[:, NUM_ATTRIBUTES:]]
        assert (own[number] != 0).all()
        assert (own[1 - number] == 0).all()


def test_both_data_sets_are_overfitted_at_once() -> None:
    rates = [f"model.optimizers.{role}.lr={lr}" for role, lr in (("generator", 4e-3), ("discriminator", 1e-3))]
    model, batch = start(JOINT, *rates, "model.weights.generator.reconstruction=30")
    history = []
    for k in range(40):
        model.training_step(batch, k)
        history.append([model.terms[f"generator/{variant}/reconstruction"].item() for variant in ("set1", "set2")])
    first, last = np.array(history[0]), np.mean(history[-5:], axis=0)
    assert (last < 0.65 * first).all(), (first, last)


def test_images_are_translated_across_data_sets() -> None:
    model, (first, second) = start(JOINT)
    model.training_step((first, second), 0)
    found = {}
    for name, x in (("first", first.image), ("second", second.image)):
        for number, labels in enumerate((first.target, second.target)):
            found[name, number] = model.translate(x, model.condition(number, labels))
            assert found[name, number].shape == x.shape
            assert not found[name, number].requires_grad
    assert not found["first", 0].allclose(found["first", 1], atol=1e-3)
    assert not found["second", 0].allclose(found["second", 1], atol=1e-3)


def test_joined_training_goes_on_exactly(tmp_path: Path) -> None:
    """Resumed between two generator updates, with rates that fall and an average."""

    def train(folder: Path, count: int, resume: bool = False) -> checkpoints.Checkpoint:
        words = [f"iterations={count}", "model.num_critic=2", "sample_every=5"]
        config: RunConfig = resumed(folder, words[:1]) if resume else tiny_stargan_v1.on(JOINT, *words)
        assert run.train(config, folder, folder if resume else None, words) == 0
        return checkpoints.newest(folder)

    whole = train(tmp_path / "whole", 6)
    train(tmp_path / "parts", 3)
    assert differences(whole, train(tmp_path / "parts", 6, resume=True)) == []
    assert {"000005_cycle.png", "000005_labels.png"} <= {p.name for p in (tmp_path / "whole" / "samples").iterdir()}


# --- use after training -------------------------------------------------------------------------------------


def test_a_class_is_its_label() -> None:
    model, (batch,) = start(tiny_stargan_v1.data)
    kinds = torch.tensor([2, 0, 1, 2])
    assert model.translate(batch.image, kinds).equal(model.translate(batch.image, torch.eye(3)[kinds]))


@pytest.mark.parametrize(
    ("data", "target", "expected"),
    [
        (tiny_stargan_v1.data, torch.zeros(4, 5), r"shape \(4, 5\), expected 3 numbers .*: bear, cat, rabbit"),
        (ATTRIBUTES, torch.zeros(4, dtype=torch.int64), r"shape \(4,\), expected 4 numbers .*: smiling, glasses"),
        (JOINT, torch.zeros(4, 15), r"expected 17 numbers .* pig, then a mask of 2 data sets"),
    ],
)  # fmt: skip
def test_another_target_is_refused(data: list[str], target: Tensor, expected: str) -> None:
    model, batch = start(data)
    with pytest.raises(ValueError, match=expected):
        model.translate(batch[0].image, target)


@pytest.mark.parametrize(
    ("data", "num_columns"),
    [(tiny_stargan_v1.data, 3), (ATTRIBUTES, 4), (JOINT, NUM_ATTRIBUTES + NUM_CLASSES)],
    ids=["classes", "attributes", "joint"],
)
def test_sample_grids_show_every_label(data: list[str], num_columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_stargan_v1.on(data)
    model, held_out = build.build_model(config), build.build_data(config).held_out(6)
    asked: list[Tensor] = []
    translate = StarGANv1.translate

    def spy(self: StarGANv1, x: Tensor, target: Tensor) -> Tensor:
        asked.append(target)
        return translate(self, x, target)

    monkeypatch.setattr(StarGANv1, "translate", spy)
    grids = {key: grid.arranged() for key, grid in model.sample_grids(held_out).items()}
    assert grids["labels"].shape[2] == 32 + 6 + num_columns * 34 - 2
    assert grids["labels"].shape[1] == 6 * 34 - 2
    assert grids["cycle"].shape[1:] == (3 * 34 - 2, 6 * 34 - 2)
    assert len({tuple(target.flatten().tolist()) for target in asked[2:]}) == num_columns
    assert asked[1].equal(held_out.label)  # the way back
    if data is JOINT:  # images of both data sets are translated to the labels of both
        masks = torch.stack([target[:, -2:] for target in asked[2:]])
        assert masks[:NUM_ATTRIBUTES].eq(torch.tensor([1.0, 0])).all()
        assert masks[NUM_ATTRIBUTES:].eq(torch.tensor([0.0, 1])).all()
        assert asked[0][:, -2:].equal(held_out.label[:, -2:])  # the way there stays within the data set


@pytest.mark.parametrize("data", [tiny_stargan_v1.data, ATTRIBUTES, JOINT], ids=["classes", "attributes", "joint"])
def test_it_is_measured(data: list[str]) -> None:
    config = tiny_stargan_v1.on(data)
    module = build.build_data(config)
    metric = Local(num_sources=6, num_iterations=3)
    num_content = classifier_scores.fit_classifier(metric, module, torch.device("cpu"))
    models = [build.build_model(config) for _ in range(2)]
    trained, untrained = (classifier_scores.scores_of_model(metric, num_content, model, module) for model in models)
    real = classifier_scores.scores_of_real_images(metric, num_content, module, torch.device("cpu"))
    name = "domain accuracy" if data is tiny_stargan_v1.data else "label accuracy"
    assert all(0 <= scores[name] <= 1 for scores in (trained, untrained, real))
    assert trained == untrained  # nothing has been trained


def test_held_out_images_of_one_data_set_need_no_mask() -> None:
    held: HeldOut = build.build_data(tiny_stargan_v1.on(ATTRIBUTES)).held_out(4)
    assert held.label.shape == (4, 4)
