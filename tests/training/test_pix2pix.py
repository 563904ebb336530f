"""pix2pix: the order of updates, what the discriminator sees, the direction, and what a translation depends on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.tiny import RUN, differences, tiny_pix2pix
from translate.config.compose import load
from translate.config.resume import resumed
from translate.data.module import DataModule
from translate.data.views.paired import PairedBatch
from translate.distributed.batch_norm import GlobalBatchNorm
from translate.models.base import TranslationModel
from translate.models.pix2pix import Pix2Pix
from translate.runs import checkpoints
from translate.schedules import parse
from translate.training import build, run

SIX_HALVINGS = ["data.image_size=64", "model.networks.generator.num_downsamplings=6"]
"""With dropout: five halvings have no level that is wide enough."""


def start(*overrides: str) -> tuple[Pix2Pix, PairedBatch, DataModule]:
    """Return a new model, the first batch of its data, and the data."""
    torch.set_num_threads(1)
    config = tiny_pix2pix(*overrides)
    module = build.build_data(config)
    model = build.build_model(config)
    assert isinstance(model, Pix2Pix)
    return model, module.augment(module.iterations()[0]), module


def test_discriminator_learns_first_from_the_same_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, _ = start()
    moved: list[str] = []
    calls: list[str] = []
    for role in model.roles:
        model.network(role).register_forward_hook(lambda *_, role=role: calls.append(role))
    minimize = TranslationModel._minimize

    def spy(self: TranslationModel, loss: Tensor, roles: tuple[str, ...]) -> None:
        before = {role: [p.detach().clone() for p in self.network(role).parameters()] for role in self.trained}
        minimize(self, loss, roles)
        moved.extend(
            role
            for role, old in before.items()
            if any(not p.equal(o) for p, o in zip(self.network(role).parameters(), old, strict=True))
        )

    monkeypatch.setattr(TranslationModel, "_minimize", spy)
    model.training_step(batch, 0)
    assert moved == ["discriminator", "generator"]
    assert calls == ["generator", *["discriminator"] * 3]


def test_terms_by_hand() -> None:
    class Invert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sign = nn.Parameter(torch.tensor(-1.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.sign * x

    class Compare(nn.Module):
        """Twice the mean of the source plus four times that of what stands beside it."""

        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.tensor([2.0, 4.0]))

        def forward(self, pair: Tensor) -> Tensor:
            assert pair.shape[1] == 6
            return (self.factor * pair.unflatten(1, (2, 3)).mean((2, 3, 4))).sum(1)

    model = Pix2Pix(
        networks={"generator": Invert(), "discriminator": Compare()},
        optimizers=dict.fromkeys(
            ("generator", "discriminator"), lambda parameters: torch.optim.SGD(parameters, lr=0.0)
        ),
        losses={"adversarial": build.LOSSES.get("least_squares")()},
        weights={"discriminator": {"real": 0.5, "fake": 0.5}, "generator": {"adversarial": 1.0, "l1": 100.0}},
    )
    paid: list[float] = []
    inner = model._minimize
    model._minimize = lambda loss, roles: (paid.append(loss.item()), inner(loss, roles))[1]  # type: ignore[method-assign]
    x, y = torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), 0.75)
    model.training_step(PairedBatch(x, y), 0)
    real, fake = 2 * 0.5 + 4 * 0.75, 2 * 0.5 - 4 * 0.5
    wanted = {
        "discriminator/real": (real - 1) ** 2,
        "discriminator/fake": fake**2,
        "generator/adversarial": (fake - 1) ** 2,
        "generator/l1": 1.25,
    }
    assert {name: model.terms[name].item() for name in wanted} == pytest.approx(wanted, rel=1e-5)
    assert paid == pytest.approx([0.5 * (real - 1) ** 2 + 0.5 * fake**2, (fake - 1) ** 2 + 125], rel=1e-5)


def test_domains_give_the_direction() -> None:
    _, forth, module = start()
    model, back, turned = start("data.domains=[drawing,outline]")
    assert module.domains == tuple(reversed(turned.domains)) == ("outline", "drawing")
    outlines = (forth.source, back.target)
    for lines in outlines:  # black on white
        torch.testing.assert_close(lines, lines[:, :1].expand_as(lines))
        assert lines.mean() > 0.5
    assert not back.source.allclose(back.source[:, :1].expand_as(back.source), atol=0.1)
    model.training_step(back, 0)
    assert model.terms["generator/l1"].isfinite()


def test_only_the_second_domain_is_a_target() -> None:
    model, batch, _ = start()
    with pytest.raises(ValueError, match=r"domain 1 only; found 0, 1, expected 1. Fix: for the other direction"):
        model.translate(batch.source, torch.tensor([1, 0, 1, 1]))


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("noise", ["true", "false"])
def test_a_translation_is_a_function_of_the_image(statistics: str, noise: str) -> None:
    model, batch, _ = start(*SIX_HALVINGS, f"model.statistics={statistics}", f"model.noise={noise}")
    for k in range(3):
        model.training_step(batch, k)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state, target = torch.get_rng_state(), torch.ones(4, dtype=torch.int64)
    whole = model.translate(batch.source, target)
    alone = torch.cat([model.translate(x[None], target[:1]) for x in batch.source])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)
    assert model.eval().translate(batch.source, target).equal(whole)
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_noise_and_statistics_are_read() -> None:
    found = []
    for statistics in ("image", "running"):
        for noise in ("true", "false"):
            model, batch, _ = start(*SIX_HALVINGS, f"model.statistics={statistics}", f"model.noise={noise}")
            model.training_step(batch, 0)
            found.append(model.translate(batch.source, torch.ones(4, dtype=torch.int64)))
    for number, one in enumerate(found):
        assert not any(one.equal(other) for other in found[:number])


@pytest.mark.parametrize(
    ("overrides", "warns"),
    [
        (["model.statistics=image"], True),
        (["model.statistics=running"], False),
        (["model.statistics=image", "data.batch_size=1", "model.networks.generator.norm=instance"], False),
        (["model.statistics=image", "model.networks.generator.norm=instance"], False),
    ],
    ids=["image", "running", "batch of one", "instance norm"],
)
def test_statistics_that_training_did_not_see_are_warned_of(tmp_path: Path, overrides: list[str], warns: bool) -> None:
    assert run.train(tiny_pix2pix("iterations=1", *overrides), tmp_path, None, []) == 0
    sentence = "batch norms learn from batches of 4 and translate by the statistics of one image"
    assert (sentence in (tmp_path / "log.txt").read_text()) == warns


def test_translation_at_batch_size_one_is_training_without_noise() -> None:
    """What the published code does in its tests, but for the mask of the dropout."""
    model, batch, _ = start("model.noise=false", "model.statistics=image")
    x = batch.source[:1]
    found = model.translate(x, torch.ones(1, dtype=torch.int64))
    with torch.no_grad():
        torch.testing.assert_close(found, model.generator(x), rtol=1e-4, atol=1e-5)


def test_sample_grid_shows_source_translation_and_partner() -> None:
    model, _, module = start()
    held_out = module.held_out(8)
    picture = model.sample_grids(held_out)["translation"].arranged()
    assert picture.shape == (3, 3 * 34 - 2, 4 * 34 - 2)
    assert held_out.partner is not None
    first = int((held_out.domain == 0).nonzero()[0, 0])
    rows = [picture[:, 34 * row : 34 * row + 32, :32] for row in range(3)]
    translated = model.translate(held_out.image[[first]], torch.ones(1, dtype=torch.int64))[0]
    for row, wanted in zip(rows, (held_out.image[first], translated, held_out.partner[first]), strict=True):
        torch.testing.assert_close(row, wanted.clamp(-1, 1), rtol=1e-4, atol=1e-5)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Dropout and running statistics included."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run.train(tiny_pix2pix(*SIX_HALVINGS, "iterations=5"), whole, None, []) == 0
    assert run.train(tiny_pix2pix(*SIX_HALVINGS, "iterations=2"), parts, None, []) == 0
    assert run.train(resumed(parts, ["iterations=5"]), parts, parts, []) == 0
    one, two = checkpoints.newest(whole), checkpoints.newest(parts)
    assert any("running_mean" in name for name in one.tensors)
    assert differences(one, two) == []


@pytest.mark.parametrize(
    ("dropped", "left"), [("adversarial", "l1"), ("l1", "adversarial")], ids=["l1 alone", "cgan alone"]
)
def test_ablations_take_weights_alone(dropped: str, left: str) -> None:
    """L1 alone and cGAN alone, of table 1 of the paper."""
    model, batch, _ = start(f"model.weights.generator.{dropped}=0")
    before = model.terms
    model.training_step(batch, 0)
    assert before is not model.terms
    assert {f"generator/{dropped}", f"generator/{left}"} <= model.terms.keys()
    assert all(value.isfinite() for value in model.terms.values())


def test_published_rate_of_both_networks() -> None:
    overrides = ["model=pix2pix", "data=critters_outlines", "~recipe", "data.num_images=20", "data.batch_size=1"]
    config = load([*overrides, "data.image_size=256", "iterations=${epochs:200}", *RUN])
    assert config.iterations == 200 * 10
    for node in config.model.optimizers.values():
        rate = parse(node["lr"])
        assert rate(0) == rate(100 * 10 - 1) == 2e-4
        assert rate(config.iterations - 1) == pytest.approx(1.98e-6, rel=1e-3)


# --- batch norm and several processes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides", [["trainer=ddp_cpu"], ["trainer.accumulate=2"]], ids=["processes", "microbatches"]
)
def test_batch_norm_in_several_shards_sees_the_whole_batch(overrides: list[str]) -> None:
    model, plain = build.build_model(tiny_pix2pix(*overrides)), build.build_model(tiny_pix2pix())
    for role in model.roles:
        found, wanted = (list(m.network(role).modules()) for m in (model, plain))
        norms = [m for m in found if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert norms
        assert all(isinstance(m, GlobalBatchNorm) for m in norms)
        assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in wanted)
        states = model.network(role).state_dict(), plain.network(role).state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(value.equal(states[1][key]) for key, value in states[0].items())


def test_one_process_keeps_its_batch_norms() -> None:
    model = build.build_model(tiny_pix2pix("trainer=gpu"))
    assert not any(isinstance(m, GlobalBatchNorm) for m in model.modules())
