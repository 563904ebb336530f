"""The vocabulary of a step: update, descend, weighted, average, record."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from translate.distributed import microbatches
from translate.errors import UserError
from translate.inference.base import Translation
from translate.models.base import TranslationModel
from translate.models.recording import image_logits
from translate.networks.layers.per_domain import PerDomain

WEIGHTS: dict[str, dict[str, Any]] = {
    "generator": {
        "cycle": 2.0,
        "style": 0.0,
        "diversity": {"schedule": "linear", "start": 4, "end": 0, "iterations": 4},
    },
    "discriminator": {"real": 1},
}


class Model(TranslationModel):
    """Three linear maps; ``what`` is done in a step."""

    ema_roles = ("generator",)
    what: Callable[["Model", Any], None]

    def step(self, batch: Any) -> None:
        self.what(self, batch)


def make(ema_decay: float = 0.999, **arguments: Any) -> Model:
    torch.manual_seed(0)
    networks = {role: nn.Linear(3, 3) for role in ("generator", "discriminator", "fixed")}
    networks["fixed"].requires_grad_(False)
    trained = dict.fromkeys(("generator", "discriminator"), partial(torch.optim.SGD, lr=0.1))
    return Model(networks, trained, {}, WEIGHTS, ema_decay=ema_decay, **arguments)


X = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.1, -1.0]])


def loss_of(model: Model, scale: float = 1.0) -> Tensor:
    return scale * model.network("discriminator")(model.network("generator")(X)).square().sum()


def weights(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def equal(first: Iterable[Tensor], second: Iterable[Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(first, second, strict=True))


def test_networks_are_found_by_role() -> None:
    model = make()
    assert model.roles == ("generator", "discriminator", "fixed")
    assert model.trained == ("generator", "discriminator")
    assert model.network("fixed") is model.fixed
    assert model.configure_optimizers() == [model.optimizer("generator"), model.optimizer("discriminator")]
    assert model.optimizer("generator") is model.optimizer("generator")
    assert model.automatic_optimization is False


def test_a_network_in_two_trained_roles_is_refused() -> None:
    """Two optimizers would step it in one update; a network that is trained once may have a second, untrained role."""
    shared, factory = nn.Linear(3, 3), partial(torch.optim.SGD, lr=0.1)
    networks = {"generator": nn.Sequential(nn.Linear(3, 3), shared), "discriminator": nn.Sequential(shared)}
    sentence = (
        r"networks.discriminator: the parameter 0.weight is in the trained role 'generator' too.*a role of their own"
    )
    with pytest.raises(UserError, match=sentence):
        Model(networks, dict.fromkeys(networks, factory), {}, WEIGHTS)
    assert Model(networks, {"generator": factory}, {}, WEIGHTS).trained == ("generator",)


# --- update and descend -------------------------------------------------------------------------------------


def test_update_freezes_the_others_and_restores_them() -> None:
    model = make()
    with model.update("generator"):
        assert all(p.requires_grad for p in model.generator.parameters())
        assert not any(p.requires_grad for p in model.discriminator.parameters())
        assert not any(p.requires_grad for p in model.fixed.parameters())
    assert all(p.requires_grad for p in model.discriminator.parameters())
    assert not any(p.requires_grad for p in model.fixed.parameters())  # was frozen before, stays frozen


def test_update_restores_after_an_error() -> None:
    model = make()
    with pytest.raises(KeyError), model.update("generator"):
        raise KeyError
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_a_parameter_that_was_frozen_by_hand_stays_so() -> None:
    model = make()
    model.discriminator.bias.requires_grad_(False)
    with model.update("generator"):
        pass
    assert model.discriminator.weight.requires_grad
    assert not model.discriminator.bias.requires_grad


def test_descend_moves_the_named_network_alone() -> None:
    model = make()
    before = {role: weights(model.network(role)) for role in model.roles}
    with model.update("generator") as minimize:
        minimize(loss_of(model))
    assert not equal(weights(model.generator), before["generator"])
    assert equal(weights(model.discriminator), before["discriminator"])
    assert equal(weights(model.fixed), before["fixed"])
    assert all(p.grad is None for p in model.discriminator.parameters())  # not computed at all


def test_descend_is_a_gradient_step() -> None:
    model, twin = make(), make()
    gradients = torch.autograd.grad(loss_of(twin), list(twin.generator.parameters()))
    with model.update("generator") as minimize:
        minimize(loss_of(model))
    for found, start, gradient in zip(
        model.generator.parameters(), twin.generator.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(found, start - 0.1 * gradient)


def test_update_begins_without_gradients() -> None:
    model, twin = make(), make()
    for p in model.generator.parameters():
        p.grad = torch.full_like(p, 1e6)
    for m in (model, twin):
        with m.update("generator") as minimize:
            minimize(loss_of(m))
    assert equal(weights(model.generator), weights(twin.generator))


def test_several_networks_learn_together() -> None:
    model = make()
    before = {role: weights(model.network(role)) for role in model.trained}
    with model.update("generator", "discriminator") as minimize:
        minimize(loss_of(model))
    assert all(not equal(weights(model.network(role)), before[role]) for role in model.trained)
    assert "gradient_norm/generator+discriminator" in model.terms


def test_an_update_without_a_weight_is_refused() -> None:
    model = make()
    with (
        pytest.raises(UserError, match=r"no weight of the update of discriminator is above 0"),
        model.update("discriminator") as minimize,
    ):
        minimize(loss_of(model).detach())


def test_updates_in_turn_use_moved_networks() -> None:
    """A second update computes with the first one's result, and its gradients are its own."""
    model = make()
    with model.update("discriminator") as minimize:
        minimize(loss_of(model))
    after = weights(model.discriminator)
    with model.update("generator") as minimize:
        minimize(loss_of(model))
    assert equal(weights(model.discriminator), after)
    assert list(model.terms) == ["gradient_norm/discriminator", "gradient_norm/generator"]


@pytest.mark.parametrize(("clip", "scale"), [(0.5, 100.0), (0.5, 1e-4), (None, 100.0)])
def test_descend_bounds_the_norm_and_records_what_it_was(clip: float | None, scale: float) -> None:
    model, twin = make(gradient_clip=clip), make()
    gradients = torch.autograd.grad(loss_of(twin, scale), list(twin.generator.parameters()))
    norm = torch.sqrt(sum(g.square().sum() for g in gradients)).item()
    with model.update("generator") as minimize:
        minimize(loss_of(model, scale))
    assert model.terms["gradient_norm/generator"].item() == pytest.approx(norm, rel=1e-5)
    factor = 1.0 if clip is None else min(1.0, clip / norm)
    for p, gradient in zip(model.generator.parameters(), gradients, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad, factor * gradient, rtol=1e-4, atol=1e-9)
    if clip is not None:
        moved = [a - b for a, b in zip(weights(model.generator), weights(twin.generator), strict=True)]
        assert torch.sqrt(sum(m.square().sum() for m in moved)) <= 0.1 * clip * (1 + 1e-4)


# --- weighted -----------------------------------------------------------------------------------------------


def terms(*values: float) -> dict[str, Tensor]:
    names = ("cycle", "style", "diversity")
    return {name: torch.tensor(value, requires_grad=True) for name, value in zip(names, values, strict=True)}


def test_weighted_sums_by_weight_and_records_without() -> None:
    model = make()
    found = model.weighted("generator", terms(3.0, 5.0, 7.0), "latent")
    assert found.item() == pytest.approx(2 * 3 + 0 * 5 + 4 * 7)
    assert {name: value.item() for name, value in model.terms.items()} == {
        "generator/latent/cycle": 3.0,
        "generator/latent/style": 5.0,
        "generator/latent/diversity": 7.0,
    }
    assert not any(value.requires_grad for value in model.terms.values())


def test_a_term_of_weight_zero_is_measured_and_no_more() -> None:
    model, given = make(), terms(3.0, float("nan"), 7.0)
    total = model.weighted("generator", given)
    assert total.item() == 34.0  # 0 * nan would be nan
    assert model.terms["generator/style"].isnan()
    total.backward()
    assert given["style"].grad is None
    assert given["cycle"].grad is not None
    assert given["cycle"].grad.item() == 2.0


def test_a_term_that_never_has_a_weight_may_be_left_out() -> None:
    model, given = make(), terms(3.0, 5.0, 7.0)
    assert [model.is_active("generator", term) for term in ("cycle", "style", "diversity")] == [True, False, True]
    del given["style"]
    assert model.weighted("generator", given).item() == 2 * 3 + 4 * 7
    assert "generator/style" not in model.terms
    model.iteration = 4  # the weight of diversity has fallen to zero: no reason not to measure it
    assert model.is_active("generator", "diversity")
    del given["diversity"]
    with pytest.raises(ValueError, match=r"weights\.generator: the terms of the step must be those that have weights"):
        model.weighted("generator", given)


def test_a_term_that_is_measured_now_and_then_weighs_so_much_more() -> None:
    model, given = make(), terms(3.0, 5.0, 7.0)
    assert model.weighted("generator", given, every={"cycle": 4}).item() == 4 * 2 * 3 + 4 * 7
    assert model.terms["generator/cycle"] == 3.0
    del given["cycle"]
    assert model.weighted("generator", given, every={"cycle": 4}).item() == 4 * 7
    with pytest.raises(ValueError, match=r"weights\.generator: the terms of the step must be those that have weights"):
        model.weighted("generator", given, every={"cycle": 1})


def test_weights_follow_their_schedule() -> None:
    model = make()
    for iteration, weight in ((0, 4.0), (1, 3.0), (3, 1.0), (4, 0.0), (100, 0.0)):
        model.iteration = iteration
        assert model.weighted("generator", terms(0.0, 0.0, 1.0)).item() == weight


@pytest.mark.parametrize(
    "given", [{"cycle": 1.0}, {"cycle": 1.0, "style": 1.0, "diversity": 1.0, "identity": 1.0}, {"cylce": 1.0}]
)
def test_weights_and_terms_must_be_the_same(given: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match=r"weights\.generator: .* found weights of \['cycle', 'diversity', 'style'\] and terms"
    ):
        make().weighted("generator", {name: torch.tensor(value) for name, value in given.items()})


def test_wrong_weights_are_refused_when_the_model_is_made() -> None:
    with pytest.raises(UserError, match="linaer"):
        Model({}, {}, {}, {"generator": {"cycle": {"schedule": "linaer"}}})


# --- parts of a role ----------------------------------------------------------------------------------------


def parted(optimizer: Callable[..., Any], **arguments: Any) -> Model:
    """Return a model whose generators and discriminators have a network for each of three domains."""
    torch.manual_seed(0)
    networks = {role: PerDomain(nn.Linear(3, 3) for _ in range(3)) for role in ("generator", "discriminator")}
    return Model(networks, dict.fromkeys(networks, optimizer), {}, WEIGHTS, **arguments)


def update_parts(model: Model, *domains: int) -> None:
    with model.update(*(f"generator.{domain}" for domain in domains)) as minimize:
        loss = sum(model.discriminator[d](model.generator[d](X)).square().sum() for d in domains)
        minimize(loss)


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.Adam, lr=0.1, weight_decay=0.5),
        partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5, fused=True),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.5),
    ],
)
def test_an_update_of_parts_equals_an_optimizer_for_each_part(optimizer: Callable[..., Any]) -> None:
    """Weights, moments and counts of steps: to the bit as if each part had an optimizer that others do not know."""
    model = parted(optimizer)
    plain = copy.deepcopy(model.generator)
    optimizers = [optimizer(network.parameters()) for network in plain]
    for domains in ((0, 1), (1, 0), (0, 1), (2, 1), (0, 2)):
        update_parts(model, *domains)
        for d in domains:
            optimizers[d].zero_grad()
            model.discriminator[d](plain[d](X)).square().sum().backward()
            optimizers[d].step()
    assert equal(model.generator.parameters(), plain.parameters())
    states = model.optimizer("generator").state
    for network, own in zip(model.generator, plain, strict=True):
        number = next(k for k in range(3) if plain[k] is own)
        for p, q in zip(network.parameters(), own.parameters(), strict=True):
            for key, value in optimizers[number].state[q].items():
                assert torch.as_tensor(states[p][key]).equal(torch.as_tensor(value)), key


def test_other_parts_are_frozen_and_have_no_gradient() -> None:
    model = parted(partial(torch.optim.SGD, lr=0.1))
    update_parts(model, 0, 1)
    with model.update("generator.2", "generator.0"):
        learning = {name for name, p in model.named_parameters() if p.requires_grad}
        assert learning == {f"generator.{d}.{key}" for d in (2, 0) for key in ("weight", "bias")}
        assert all(p.grad is None for p in model.generator.parameters())  # also those of the update before
    assert all(p.requires_grad for d in (0, 1, 2) for p in model.discriminator[d].parameters())
    assert list(model.terms) == ["gradient_norm/generator"]  # a name that does not depend on the parts


def test_moving_averages_of_other_parts_stay() -> None:
    model = parted(partial(torch.optim.SGD, lr=0.1), ema_decay=0.5)
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1)
    before = weights(model.ema["generator"])
    model.update_ema("generator.2", "discriminator.0")
    changed = [not a.equal(b) for a, b in zip(weights(model.ema["generator"]), before, strict=True)]
    assert changed == [False] * 4 + [True] * 2


def test_microbatches_that_update_different_parts_are_refused() -> None:
    model = parted(partial(torch.optim.SGD, lr=0.1))
    model.num_microbatches = 2

    def what(self: Model, batch: Tensor) -> None:
        with self.update(f"generator.{int(batch[0, 0] > 0)}") as minimize:
            minimize(self.generator(X).sum())

    model.what = what
    with pytest.raises(AssertionError, match="the microbatches update different networks"):
        model.training_step(torch.tensor([[1.0], [-1.0]]), 0)


# --- record, average, training_step -------------------------------------------------------------------------


def test_record_keeps_every_value_of_a_name() -> None:
    model = make()
    for value in (1.0, 2.0, 3.0):
        model.record("a/b", torch.tensor(value, dtype=torch.float64, requires_grad=True))
    model.record("c", torch.tensor(4))
    assert {name: value.item() for name, value in model.terms.items()} == {"a/b": 1, "a/b#2": 2, "a/b#3": 3, "c": 4}
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in model.terms.values())


def test_average_moves_towards_the_trained_networks() -> None:
    model = make(ema_decay=0.75)
    before = weights(model.ema["generator"])
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1)
    model.update_ema()
    for found, start in zip(weights(model.ema["generator"]), before, strict=True):
        torch.testing.assert_close(found, start + 0.25)
    assert "discriminator" not in model.ema


def test_training_step_counts_iterations_and_forgets_old_terms() -> None:
    model = make()
    seen: list[int] = []

    def what(self: Model, batch: Any) -> None:
        seen.append(self.iteration)
        self.record("x", torch.tensor(float(batch)))

    model.what = lambda m, batch: what(m, batch)
    for k in range(3):
        model.training_step(10 * k, 99)  # Lightning's own count is of no account
    assert seen == [0, 1, 2]
    assert model.iteration == 3
    assert {name: value.item() for name, value in model.terms.items()} == {"x": 20.0}


def test_draws_inside_a_step_are_keyed_by_seed_and_iteration() -> None:
    def draws(seed: int, first: int, count: int) -> list[float]:
        model, found = make(seed=seed), []
        model.what = lambda m, batch: found.append(torch.rand(()).item())
        model.iteration = first
        for _ in range(count):
            torch.rand(7)  # what happened before does not matter
            model.training_step(None, 0)
        return found

    whole = draws(0, 0, 4)
    assert draws(0, 2, 2) == whole[2:]
    assert len(set(whole + draws(1, 0, 4))) == 8


def test_an_observer_sees_the_phases_of_an_iteration() -> None:
    model, seen = make(), []

    @contextmanager
    def observe(phase: str, roles: tuple[str, ...]) -> Iterator[None]:
        seen.append(f"begin {phase} {'+'.join(roles)}")
        yield
        seen.append(f"end {phase}")

    def what(self: Model, batch: Any) -> None:
        with self.update("generator", "fixed") as minimize:
            minimize(loss_of(self))
        self.update_ema()

    model.what, model.observer = what, observe
    model.training_step(None, 0)
    assert seen == [
        "begin step generator+discriminator",
        *("begin update generator", "begin minimize generator", "begin optimizer generator"),
        *("end optimizer", "end minimize", "end update"),
        *("begin update_ema generator", "end update_ema"),
        "end step",
    ]


def test_a_model_without_step_or_samples_says_so() -> None:
    bare = TranslationModel({"generator": nn.Linear(1, 1)}, {}, {}, {})
    with pytest.raises(
        NotImplementedError, match=r"TranslationModel defines no iteration: write a method step\(batch\)"
    ):
        bare.training_step(None, 0)
    assert bare.iteration == 0
    with pytest.raises(NotImplementedError, match="sample_every=null"):
        bare.sample_grids(None)
    with pytest.raises(NotImplementedError, match="TranslationModel defines no translation: set inference"):
        bare.translate(X, X)
    assert bare.style_inputs == ()


def test_a_model_without_ema_roles_refuses_a_decay() -> None:
    with pytest.raises(UserError, match=r"ema_decay: this model keeps no moving averages; found 0\.9, expected null"):
        TranslationModel({}, {}, {}, {}, ema_decay=0.9)


class Scale(Translation):
    """Multiply by a number that is an argument of the model."""

    style_inputs = ("code",)

    def __init__(self, networks: Mapping[str, nn.Module], factor: float = 1.0) -> None:
        super().__init__(networks)
        self.factor = factor

    def __call__(self, x: Tensor, target: Tensor, code: Tensor | None = None) -> Tensor:
        assert code is not None
        return self.factor * self.networks["generator"](x) + target + code


def test_a_model_translates_by_its_inference_class() -> None:
    model = make()
    type(model).inference, model.factor = Scale, 2.0
    try:
        assert model.style_inputs == ("code",)
        expected = 2.0 * model.ema["generator"](X) + 1 + X
        torch.testing.assert_close(model.translate(X, torch.tensor(1.0), code=X), expected)
    finally:
        type(model).inference = None


# --- noise --------------------------------------------------------------------------------------------------


def test_noise_is_a_function_of_seed_iteration_place_and_number() -> None:
    model = make(seed=3)
    like = torch.zeros(4, 2, 3, 5)
    first = model.normal_noise(like, 0)
    assert first.shape == like.shape
    assert model.normal_noise(like, 0).equal(first)
    others = [model.normal_noise(like, 1), make(seed=4).normal_noise(like, 0), first.flip(0)]
    model.iteration = 1
    others.append(model.normal_noise(like, 0))
    assert all(not other.isclose(first, atol=1e-3).all() for other in others)
    model.iteration = 2  # twice as many images in half as many iterations: the same places in the stream
    whole = make(seed=3)
    whole.iteration = 1
    assert whole.normal_noise(torch.zeros(8, 2, 3, 5), 0)[:4].equal(model.normal_noise(like, 0))
    assert model.normal_noise(like.double(), 0).dtype == torch.float64


def test_noise_of_microbatches_is_that_of_the_batch() -> None:
    model, parts = make(), []
    whole = model.normal_noise(torch.zeros(6, 2, 2), 5)
    microbatches.run_microbatches(
        lambda batch: parts.append(model.normal_noise(batch, 5)), list(torch.zeros(6, 2, 2).chunk(3))
    )
    assert torch.cat(parts).equal(whole)


def test_accuracy_of_several_maps_is_of_their_mean() -> None:
    """The mean over each map, then over maps: a large map does not outweigh a small one."""
    maps = [torch.tensor([[0.0, 2.0], [4.0, 4.0]]), torch.tensor([[[5.0]], [[-6.0]]])]
    assert image_logits(maps).tolist() == [3.0, -1.0]
    assert image_logits(maps[0]).tolist() == [1.0, 4.0]
    assert image_logits(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]

    def step(model: Model, batch: Any) -> None:
        model.record_discriminator_accuracy("maps", maps, [each - 2.0 for each in maps])

    model = make()
    model.what = step
    model.training_step(None, 0)
    assert model.terms["accuracy/maps"].item() == 0.75  # 3 > 1, 3 > -3, -1 > -3, but not -1 > 1


# --- mixed precision -----------------------------------------------------------------------------------------


def two_updates(model: Model, outputs: list[Tensor]) -> None:
    """Update the discriminator twice on equal inputs, and note its outputs before each update and after both."""
    for _ in range(2):
        with model.update("discriminator") as minimize:
            output = model.network("discriminator")(X)
            outputs.append(output.detach().clone())
            minimize(output.square().sum())
    outputs.append(model.network("discriminator")(X).detach().clone())


def assert_each_update_sees_new_weights(outputs: list[Tensor]) -> None:
    """Equal to a plain loop that casts weights by hand, to the bit; weights from before would repeat an output."""
    assert len(outputs) == 3
    assert all(output.dtype == torch.bfloat16 for output in outputs)
    layer = copy.deepcopy(make().network("discriminator"))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for output in outputs:
        expected = nn.functional.linear(X.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16())
        assert output.equal(expected)
        optimizer.zero_grad()
        expected.square().sum().backward()
        optimizer.step()


def test_updates_see_new_weights_though_autocast_keeps_casts() -> None:
    """As in Lightning 2.5.0, whose autocast keeps cast weights over a whole training step."""
    outputs: list[Tensor] = []
    model = make()
    model.what = lambda model, batch: two_updates(model, outputs)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=True):
        model.training_step(None, 0)
        assert torch.is_autocast_cache_enabled(), "as it was before the step"
    assert_each_update_sees_new_weights(outputs)


def test_updates_see_new_weights_under_the_installed_lightning() -> None:
    outputs: list[Tensor] = []
    model = make()
    model.what = lambda model, batch: two_updates(model, outputs)
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, torch.utils.data.DataLoader([0]))
    assert_each_update_sees_new_weights(outputs)
