"""What is planned is what a run needs, and what is computed again is the same in less memory."""

import copy
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.tiny import (
    PAIR,
    RUN,
    Case,
    tiny,
    tiny_combogan,
    tiny_combogan_shared,
    tiny_cut,
    tiny_cyclegan,
    tiny_pix2pix,
    tiny_stargan_v1,
    tiny_unit,
    tiny_unit_paper,
)
from translate.acceleration import cpu_convolutions
from translate.acceleration.activation_checkpointing import (
    CheckpointedModule,
    CheckpointedSequence,
    checkpoint_activations,
)
from translate.cli import USER_MISTAKE, main
from translate.config.compose import load
from translate.config.schema import RunConfig
from translate.errors import UserError
from translate.models.base import TranslationModel
from translate.profiling import memory, memory_report
from translate.training import build

RECOMPUTED = "trainer.activation_checkpointing=true"
CASES = {
    "stargan_v2": tiny,
    "stargan_v1": tiny_stargan_v1,
    "cyclegan": tiny_cyclegan,
    "pix2pix": tiny_pix2pix,
    "cut": tiny_cut,
    "unit": tiny_unit,
    "combogan with shared blocks": tiny_combogan_shared,
    "unit with shared layers": tiny_unit_paper,
}
BATCH_NORM = Case(["model=cyclegan_small_conv"], tiny_cyclegan.data)
DROPOUT = ["data.image_size=128", "model.networks.generator.num_downsamplings=7"]
PENALTY = ["model.weights.discriminator.gradient_penalty=1.0"]


def batch_of(config: RunConfig, iteration: int = 0) -> object:
    data = build.build_data(config)
    return data.augment(data.iterations()[iteration])


def trained(config: RunConfig, iterations: int = 2) -> TranslationModel:
    model = build.build_model(config)
    for number in range(iterations):
        model.training_step(batch_of(config, number), number)
    return model


def counted(config: RunConfig) -> memory.Peak:
    """Return the peak of the real thing."""
    return memory.measure_peak(build.build_model(config), batch_of(config), config.trainer.precision)


# --- computed again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "overrides"),
    [
        *((case, []) for case in CASES.values()),
        (tiny, PENALTY),
        (tiny, ["trainer.accumulate=2"]),
        (BATCH_NORM, []),
        (tiny_pix2pix, DROPOUT),
    ],
    ids=[*CASES, "both penalties", "in parts", "batch norm", "dropout"],
)
def test_what_is_computed_again_is_the_same_to_the_bit(case: Case, overrides: list[str]) -> None:
    plain, again = trained(case(*overrides)), trained(case(*overrides, RECOMPUTED))
    assert any(isinstance(part, CheckpointedModule | CheckpointedSequence) for part in again.modules())
    assert plain.state_dict().keys() == again.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert tensor.equal(again.state_dict()[name]), name
    assert {name: value.item() for name, value in plain.terms.items()} == {
        name: value.item() for name, value in again.terms.items()
    }


def test_under_autocast_too() -> None:
    found = []
    for overrides in ([], [RECOMPUTED]):
        with torch.autocast("cpu", torch.bfloat16):
            found.append(trained(tiny(*overrides)).state_dict())
    assert all(tensor.equal(found[1][name]) for name, tensor in found[0].items())


class Walk(nn.Module):
    """Scales by a buffer that moves on at every pass, as the vector of a spectral norm does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale = self.scale + 1
        return self.conv(x).sin() * self.scale


@pytest.mark.parametrize("twice", [False, True])
def test_a_buffer_moves_on_once_and_is_computed_with_as_it_was(twice: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(Walk(), Walk())
    again = copy.deepcopy(plain)
    checkpoint_activations(again)
    assert isinstance(again[0], CheckpointedModule)
    gradients = []
    for network in (plain, again):
        x = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8).requires_grad_()
        out = network(network(x)).sum()
        if twice:
            (slope,) = torch.autograd.grad(out, x, create_graph=True)
            out = slope.square().sum() + out
        out.backward()
        gradients.append([x.grad, *(p.grad for p in network.parameters())])
        assert network[0].scale.item() == 3
    for one, other in zip(*gradients, strict=True):
        assert one.equal(other)


def test_a_copy_computes_with_its_own_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU())
    checkpoint_activations(network)
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].weight.zero_()
        other[0].bias.zero_()
    x = torch.randn(1, 3, 8, 8)
    assert not network(x).equal(other(x))
    assert other(x).std(dim=(2, 3)).max() < 1e-6


def test_a_layer_that_overwrites_its_input_stays_outside() -> None:
    """What is kept of a run of layers must be what went into it."""
    torch.manual_seed(0)
    before = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    plain = nn.Sequential(before, nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(4, 3, 3))
    again = copy.deepcopy(plain)
    checkpoint_activations(again)
    x = torch.randn(2, 3, 8, 8)
    for network in (plain, again):
        network(x).square().sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert one.grad.equal(other.grad)


class Spoiling(nn.Module):
    """Changes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.mul_(2))


def test_a_block_that_overwrites_its_input_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Spoiling())
    checkpoint_activations(network, key="trainer.activation_checkpointing")
    sentence = (
        r"^trainer\.activation_checkpointing: .*Spoiling.* changes its input in place"
        r".*switch activation checkpointing off"
    )
    with pytest.raises(UserError, match=sentence):
        network(torch.randn(1, 3, 4, 4))


def test_compiled_networks_are_not_computed_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([RECOMPUTED, "trainer.compile=true"]) == USER_MISTAKE
    said = capsys.readouterr().err
    assert "trainer.activation_checkpointing: compiled networks cannot checkpoint activations; found true" in said
    assert "with trainer.compile=true" in said
    assert len(said.splitlines()) == 1


# --- planned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "overrides"),
    [
        *((case, [RECOMPUTED]) for case in CASES.values()),
        (tiny, []),
        (tiny, ["trainer.accumulate=2"]),
        (tiny_stargan_v1, ["model.num_critic=3"]),
    ],
    ids=[*CASES, "all kept", "in parts", "a generator that learns every third iteration"],
)
def test_what_is_planned_is_what_is_alive(case: Case, overrides: list[str]) -> None:
    config = case(*overrides)
    planned, real = memory.estimate(config), counted(config)
    assert planned.peak.kinds == real.kinds
    assert planned.peak.during == real.during
    assert real.during != memory.OUTSIDE
    assert planned.peak.kinds[memory.ACTIVATIONS] > 0


@pytest.mark.parametrize(
    ("case", "limits"),
    [
        (tiny, {"WIDE": 1, "MANY_PLACES": 1, "HEAVY": 2**62}),
        (tiny_stargan_v1, {"LONG": 3, "FEW_CHANNELS": 4, "MANY_CHANNELS": 1, "HEAVY": 2**62}),
        (tiny, {"HEAVY": 1, "FEW_PLACES": 2**62}),
    ],
    ids=["winograd", "strips", "product"],
)
def test_what_quick_convolutions_keep_is_planned(
    case: Case, limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "trainer.channels_last=true"
    library = memory.estimate(case(last, "trainer.convolutions=library")).peak
    for name, value in {**limits, "is_faster": lambda algorithm: True}.items():
        monkeypatch.setattr(cpu_convolutions, name, value)
    planned = memory.estimate(case(last)).peak
    assert planned == counted(case(last))
    assert planned.total > library.total


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip", "resize_crop_flip"])
def test_planned_images_lie_as_those_of_a_run(augment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[tuple[int, ...]]] = []

    def look(model: TranslationModel, batch: Any, *_: Any) -> memory.Peak:
        seen.append([tensor.stride() for tensor in batch if tensor.ndim == 4])
        return memory.Peak(memory.OUTSIDE, Counter())

    monkeypatch.setattr(memory, "measure_peak", look)
    config = tiny(f"data.augment={augment}")
    memory.estimate(config)
    counted(config)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("peak_of", [counted, lambda config: memory.estimate(config).peak], ids=["counted", "planned"])
def test_computing_again_saves_a_quarter_at_least(peak_of: Callable[[RunConfig], memory.Peak]) -> None:
    size = ["data.image_size=64", "model.networks.generator.base_width=8", "model.networks.discriminator.base_width=8"]
    kept, again = peak_of(tiny(*size)).total, peak_of(tiny(*size, RECOMPUTED)).total
    assert again < 0.75 * kept


def test_kinds_are_what_they_are_called() -> None:
    config = tiny()
    model, kinds = build.build_model(config), memory.estimate(config).peak.kinds
    weights = sum(p.numel() * 4 for role in model.trained for p in model.network(role).parameters())
    averages = sum(t.numel() * 4 for t in (*model.ema.parameters(), *model.ema.buffers()))
    count = len([p for role in model.trained for p in model.network(role).parameters()])
    buffers = sum(b.numel() * 4 for role in model.trained for b in model.network(role).buffers())
    assert kinds[memory.PARAMETERS] == weights + buffers
    assert kinds[memory.EMA] == averages
    assert kinds[memory.OPTIMIZERS] == 2 * weights + 4 * count  # Adam: two moments, and the number of steps


def test_a_storage_counts_once_until_it_is_gone() -> None:
    with memory.MemoryTracker() as tracker:
        first = torch.zeros(100)
        view = first.view(10, 10)[2:]
        del first
        assert tracker.alive.total() == 400
        second = view + 1
        assert tracker.alive.total() == 400 + 320
        del view
        assert tracker.alive.total() == 320
        tracker.label([second], memory.GRADIENTS)
    assert tracker.peak.total == 720
    assert tracker.alive == {memory.GRADIENTS: 320, memory.ACTIVATIONS: 0}


def test_processes_share_the_batch_and_send_gradients() -> None:
    alone, both = memory.estimate(tiny()), memory.estimate(tiny("trainer.devices=2"))
    assert (alone.batch_size, both.batch_size, both.num_processes) == (4, 2, 2)
    assert both.peak.kinds[memory.BATCH] < 0.51 * alone.peak.kinds[memory.BATCH]
    assert both.peak.kinds[memory.PARAMETERS] == alone.peak.kinds[memory.PARAMETERS]


def test_domains_that_wait_in_cpu_memory_do_not_count() -> None:
    three = ["trainer.accelerator=gpu", "data.domains=[bear,cat,rabbit]", "model.ema_decay=0.9"]
    two = ["trainer.accelerator=gpu", "data.domains=[bear,cat]", "model.ema_decay=0.9"]
    offloaded = memory.estimate(tiny_combogan(*three, "trainer.offload_domains=true"))
    whole, pair = (memory.estimate(tiny_combogan(*words)) for words in (three, two))
    per_domain = (memory.PARAMETERS, memory.GRADIENTS, memory.OPTIMIZERS, memory.EMA, memory.ACTIVATIONS)
    assert [offloaded.peak.kinds[kind] for kind in per_domain] == [pair.peak.kinds[kind] for kind in per_domain]
    assert offloaded.peak.kinds[memory.OPTIMIZERS] * 3 == whole.peak.kinds[memory.OPTIMIZERS] * 2
    assert offloaded.parameters == whole.parameters


def test_only_networks_of_domains_are_offloaded() -> None:
    with pytest.raises(UserError, match=r"trainer\.offload_domains: the model has no networks for each domain"):
        memory.estimate(tiny_cyclegan("trainer.accelerator=gpu", "trainer.offload_domains=true"))


def test_a_gpu_keeps_normalised_features_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its autocast does, a CPU's does not; the machine at hand does not matter."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpu, gpu = (
        memory.estimate(tiny("trainer.precision=bf16-mixed", f"trainer.accelerator={name}")) for name in ("cpu", "gpu")
    )
    assert not cpu.on_gpu
    assert gpu.on_gpu
    assert gpu.peak.kinds[memory.ACTIVATIONS] > 1.2 * cpu.peak.kinds[memory.ACTIVATIONS]
    assert gpu.needed > 1.1 * gpu.peak.total
    x = torch.randn(1, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.group_norm(x, 4).dtype == torch.bfloat16  # the rule is taken back


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--memory", *tiny.model, *tiny.data, "trainer=gpu", "metrics=none"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("stargan_v2, 32 px, batches of 4, 32-true, on a GPU\n")
    assert "at the peak, in the update of generator, mapping, style_encoder" in said
    assert all(f"\n  {kind} " in said for kind in memory.KINDS if kind != memory.POOLS)
    assert "\nneeded, " in said
    assert "\n8 GB: fits as it is (" in said


def test_the_memory_of_a_run_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [*tiny.model, *tiny.data, "metrics=none"]
    assert main(["show", *words]) == 0
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    assert main(["show", "--memory", *words]) == 0
    wanted = capsys.readouterr().out
    assert main(["show", "--memory", f"run={tmp_path}"]) == 0
    assert capsys.readouterr().out == wanted


def test_a_tpu_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--memory", *tiny.model, *tiny.data, "trainer.accelerator=tpu"]) == USER_MISTAKE
    assert "trainer.accelerator: found 'tpu', expected cpu or gpu" in capsys.readouterr().err


# --- settings that fit --------------------------------------------------------------------------------------

PAPERS = {
    "stargan_v2": ["data=critters", "data.domains=[cat,fox,rabbit]", "data.image_size=256", "data.batch_size=8"],
    "stargan_v1": ["data=critters", "data.image_size=128", "data.batch_size=16"],
    "cyclegan": ["data=critters", "data.domains=[cat,fox]", "data.image_size=256", "data.batch_size=1"],
    "pix2pix": ["data=critters_outlines", "data.image_size=256", "data.batch_size=1"],
}
"""Sizes of the papers, on the built-in data, as many domains as AFHQ has."""


@functools.cache
def fits_of(model: str) -> tuple[memory.MemoryEstimate, list[memory_report.Fit]]:
    """Return the estimate for a paper's configuration on a GPU, and the settings with which it fits each card."""
    small = ["~recipe", "data.num_images=60", "data.num_val_images=30", "data.cache=null", "trainer=gpu"]
    config = load([f"model={model}", *PAPERS[model], *small])
    unchanged = memory.estimate(config)
    return unchanged, memory_report.fits(config, unchanged)


@pytest.mark.parametrize("model", PAPERS)
@pytest.mark.parametrize("size", memory_report.CARDS)
def test_sizes_of_the_papers_fit(model: str, size: int) -> None:
    unchanged, fits = fits_of(model)
    assert [fit.card for fit in fits] == list(memory_report.CARDS)
    fit = next(fit for fit in fits if fit.card == size)
    assert fit.needed < size * 1e9
    if (model, size) == ("stargan_v2", 8):  # activation checkpointing costs time, so it must be needed
        assert fit.overrides == (RECOMPUTED,)
        assert unchanged.needed > size * 1e9
    else:
        assert fit.overrides == ()
        assert fit.needed == unchanged.needed


def test_microbatches_come_last_and_a_card_may_be_too_small() -> None:
    config = tiny("trainer=gpu", "data.image_size=64", "data.batch_size=4")
    plain = memory.estimate(config)
    checkpointed = memory.estimate(replace(config, trainer=replace(config.trainer, activation_checkpointing=True)))
    assert checkpointed.needed < plain.needed
    cards = [needed / 1e9 for needed in (checkpointed.needed - 1, checkpointed.needed, plain.needed)]
    (smallest, second, large) = memory_report.fits(config, plain, cards)
    assert large.overrides == ()
    assert second.overrides == (RECOMPUTED,)
    assert smallest.overrides is not None
    assert smallest.overrides[0] == RECOMPUTED
    assert smallest.overrides[1].startswith("trainer.accumulate=")
    assert smallest.needed < checkpointed.needed
    (hopeless,) = memory_report.fits(config, plain, [0.001])
    assert hopeless.overrides is None
    assert hopeless.needed > 1e6


def test_batch_norm_over_microbatches_is_not_tried_with_activation_checkpointing() -> None:
    config = BATCH_NORM("trainer=gpu", "data.batch_size=4")
    assert {fit.overrides for fit in memory_report.fits(config, memory.estimate(config), [0.001, 1000])} == {None, ()}


@pytest.mark.filterwarnings("error:.*non-meta parameter")
def test_a_frozen_network_with_a_file_is_estimated_in_silence() -> None:
    config = load(["model=diat_small", *PAIR, *RUN])
    assert memory.estimate(config).parameters["features"] > 0
