"""Iterations run for a capture, from tensors that are written before each, equal plain ones to the bit.

While such an iteration runs, Python reads the iteration of the first run of its kind, as in a CUDA graph. So numbers
that a step takes from elsewhere would differ. A GPU is not needed.
"""

import copy
import logging
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from training.test_models import CASES, start
from translate.acceleration.captured_updates import CapturedSteps, Tape, foreign_part, reason_against
from translate.errors import ConfigError
from translate.models.base import TranslationModel
from translate.schedules import parse
from translate.training import build

WEIGHTS = "{schedule: linear, start: 2, end: 1, iterations: 8}"
KINDS = {
    "stargan_v2": (
        1 + 1,  # with and without R1
        [
            "model.r1_every=2",
            f"model.weights.generator.cycle={WEIGHTS}",
            "model.weights.discriminator.gradient_penalty=1",
            "model.weights.discriminator.noisy=1",
        ],
    ),
    "stargan_v1": (1 + 1, ["model.num_critic=2", f"model.weights.generator.reconstruction={WEIGHTS}"]),  # with G or not
    "cyclegan": (1, ["model.pool_size=2", "model.weights.discriminator.r2=0.1", "model.weights.discriminator.noisy=1"]),
}
"""Models whose steps can be captured: the kinds of iterations, and overrides that let much depend on the iteration."""


@pytest.mark.parametrize("name", KINDS)
def test_iterations_for_a_capture_equal_plain_ones_to_the_bit(name: str) -> None:
    kinds, overrides = KINDS[name]
    plain, first = start(name, *overrides)
    captured, _ = start(name, *overrides)
    data = build.build_data(CASES[name](*overrides))
    batches = [first, *(data.augment(data.iterations()[k]) for k in range(1, 6))]
    captured.captured = CapturedSteps(captured, ("cuda", "cpu"))
    for batch in batches:
        for model in (plain, captured):
            model.training_step(batch, 0)
        assert captured.iteration == plain.iteration
        assert_equal(captured.terms, plain.terms)
    assert_equal(captured.state_dict(), plain.state_dict())
    for key, stateful in plain.stateful.items():
        assert_equal(captured.stateful[key].state_dict(), stateful.state_dict())
    assert len(captured.captured._tapes) == kinds
    assert sum(len(tape._inputs) for tape in captured.captured._tapes.values()) or name == "cyclegan"


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for key, tensor in wanted.items():
        assert torch.equal(found[key], tensor), key


def test_a_step_that_reads_the_iteration_is_found_out() -> None:
    plain, batch = start("stargan_v1")
    captured, _ = start("stargan_v1")
    captured.captured = CapturedSteps(captured, ("cuda", "cpu"))
    for model in (plain, captured):
        add_iteration_to_a_weight(model)
        for _ in range(2):
            model.training_step(batch, 0)
    assert any(not captured.state_dict()[key].equal(tensor) for key, tensor in plain.state_dict().items())


def add_iteration_to_a_weight(model: TranslationModel) -> None:
    """Let the step read the iteration beside `host_inputs`."""
    update_ema = model.update_ema
    weight = next(model.network("discriminator").parameters())

    def update(*roles: str) -> None:
        update_ema(*roles)

    loss = model.discriminator_loss  # type: ignore[operator]
    model.update_ema = update  # type: ignore[method-assign]
    model.discriminator_loss = lambda *inputs: loss(*inputs) + model.iteration * weight.sum()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stargan_v2", None),
        ("cut", "the step of CUT is not written for graphs"),
        ("dclgan", "the step of DCLGAN is not written for graphs"),  # a subclass of CycleGAN
        ("cyclegan", "SGD of discriminator_b cannot step in a graph"),
    ],
)
def test_models_that_cannot_be_captured_are_known(name: str, reason: str | None) -> None:
    model, _ = start(name)
    if name == "cyclegan":
        model._factories["discriminator_b"] = lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    assert reason_against(model, torch.device("cpu"), ("cpu",)) == reason


def test_on_a_cpu_the_switch_has_no_effect_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model, batch = start("cyclegan")
    build.compile_model(model, CASES["cyclegan"]("trainer.graphs=true").trainer)
    with caplog.at_level(logging.WARNING, logger="translate"):
        for _ in range(2):
            model.training_step(batch, 0)
    sentences = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sentences == ["trainer.graphs=true has no effect: the run is not on a CUDA device"]
    assert model.iteration == 2


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], None),
        (["trainer.accelerator=gpu"], False),
        (["trainer.accelerator=gpu", "trainer.graphs=true"], True),
        (["trainer.accelerator=gpu", "trainer.graphs=false"], None),
        (["trainer.accelerator=gpu", "trainer.compile=true"], None),
        (["trainer.accelerator=gpu", "trainer.activation_checkpointing=true"], None),
        (["trainer.graphs=true"], True),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else None,
)
def test_a_gpu_captures_where_nothing_excludes_it(overrides: list[str], expected: bool | None) -> None:
    model, _ = start("cyclegan")
    build.compile_model(model, CASES["cyclegan"](*overrides).trainer)
    assert (None if model.captured is None else model.captured.is_asked) is expected


def test_graphs_that_nobody_asked_for_are_refused_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    model, batch = start("cyclegan")
    model.captured = CapturedSteps(model, is_asked=False)
    with caplog.at_level(logging.WARNING, logger="translate"):
        model.training_step(batch, 0)
        model.captured._refuse("torch cannot capture an iteration (reason)")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "trainer.graphs=null has no effect: torch cannot capture an iteration (reason)"
    ]


class Counting(torch.nn.Conv2d):
    """A layer of a plug-in."""


def test_parts_of_other_packages_are_not_captured_unasked() -> None:
    for name in KINDS:
        assert foreign_part(start(name)[0]) is None
    model, batch = start("cyclegan")
    model.losses["adversarial"] = start
    assert foreign_part(model) == "start"
    model, batch = start("cyclegan")
    model.add_module("plug", Counting(1, 1, 1))
    assert foreign_part(model) == "Counting"
    for is_asked in (False, True):
        model.captured = CapturedSteps(model, ("cuda", "cpu"), is_asked)
        model.training_step(batch, 0)
        assert model.captured.is_refused is not is_asked


@pytest.mark.parametrize("other", ["offload_domains", "activation_checkpointing"])
def test_graphs_exclude_what_needs_the_host(other: str) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.{other}: CUDA graphs .*found true, with trainer\.graphs=true"):
        CASES["combogan"]("trainer.graphs=true", f"trainer.{other}=true")


class Recording(TorchDispatchMode):
    """In place of a CUDA graph on a CPU: the operations of a capture, with the tensors that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, inputs: Any = (), named: Any = None) -> Any:
        outputs = function(*inputs, **(named or {}))
        self.operations.append((function, inputs, named or {}, outputs))
        return outputs

    @torch.no_grad()
    def replay(self) -> None:
        for function, inputs, named, outputs in self.operations:
            again = tree_leaves(function(*inputs, **named))
            for old, new in zip(tree_leaves(outputs), again, strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():  # neither a view nor in place
                    old.copy_(new)


@pytest.mark.parametrize("name", KINDS)
def test_a_replay_of_recorded_operations_equals_plain_iterations_to_the_bit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations run during this capture, so the state of before is put back afterwards."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", lambda recording, **_: recording)
    (plain, batch), (captured, _) = (start(name, *KINDS[name][1]) for _ in range(2))
    for model in (plain, captured):
        model.lr_schedules = {role: parse({"schedule": "constant", "value": 1e-3}) for role in model.trained}
    for _ in range(2):
        for model in (plain, captured):
            model.training_step(batch, 0)
    steps = CapturedSteps(captured, ("cpu",))
    for _ in range(2 * KINDS[name][0]):
        plain.training_step(batch, 0)
        captured.captured = steps
        captured.training_step(batch, 0)
    before = copy.deepcopy(state_of(captured))
    for tape in steps._tapes.values():
        captured._recorded, captured._scores = [{}], [{}]  # as at the beginning of an iteration
        tape.capture(None)
        for kept, tensor in zip(before, state_of(captured), strict=True):
            tensor.copy_(kept)
    captured.iteration = plain.iteration
    monkeypatch.setattr(Tape, "run", Tape.replay)
    for _ in range(2):
        for model in (plain, captured):
            model.training_step(batch, 0)
        assert_equal(captured.terms, plain.terms)
    assert_equal(captured.state_dict(), plain.state_dict())


def test_after_a_capture_that_fails_iterations_run_as_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    streams: list[str] = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "before")
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: nullcontext())
    model, batch = start("stargan_v1")
    steps = CapturedSteps(model, ("cpu",))
    model.captured = steps
    model.training_step(batch, 0)
    (tape,) = steps._tapes.values()

    def waits(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(model, "discriminator_loss", waits)
    tape.refresh(tape.leaves)
    with caplog.at_level(logging.WARNING, logger="translate"):
        assert not steps._capture(tape)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "trainer.graphs=true has no effect: torch cannot capture an iteration "
        "(operation not permitted when stream is capturing)"
    ]
    assert streams == ["before"]
    assert not any(model.records())
    assert model.iteration == 1
    monkeypatch.undo()
    model.training_step(batch, 0)
    assert model.iteration == 2
    assert model.terms


def state_of(model: TranslationModel) -> list[Tensor]:
    """Return the tensors of networks, moving averages and optimizers."""
    moments = [model.optimizer(role).state.values() for role in model.trained]
    return [t.detach() for t in model.state_dict().values()] + [
        entry for states in moments for state in states for entry in state.values() if isinstance(entry, Tensor)
    ]
