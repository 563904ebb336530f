"""What a benchmark times and counts, and how it compares."""

import time
from pathlib import Path

import pytest
import torch

from training.tiny import tiny
from translate.commands import benchmark
from translate.commands.arguments import parse
from translate.errors import UserError
from translate.profiling import compare
from translate.profiling.compare import Measurement
from translate.profiling.report import comparison
from translate.profiling.spans import BACKWARD, OPTIMIZER, OUTSIDE, REST, Spans, measured
from translate.profiling.timing import Operations
from translate.training import build


def test_time_counts_for_the_innermost_span() -> None:
    spans = Spans()
    with spans.span("outer", update="p"):
        time.sleep(0.02)
        with spans.span("inner"):
            time.sleep(0.06)
        time.sleep(0.02)
    with spans.span("alone"):
        pass
    assert set(spans.seconds) == {("p", "outer"), ("p", "inner"), (OUTSIDE, "alone")}
    assert spans.seconds["p", "inner"] >= 0.06
    assert 0.04 <= spans.seconds["p", "outer"] < 0.06 + spans.seconds["p", "inner"]


def test_watching_changes_no_number_and_leaves_no_trace() -> None:
    config = tiny()
    torch.set_num_threads(1)
    data = build.build_data(config)
    batch = data.augment(data.iterations()[0])
    plain, seen = build.build_model(config), build.build_model(config)
    plain.training_step(batch, 0)
    spans = Spans()
    with measured(seen, spans):
        seen.training_step(batch, 0)
    assert {name: value.item() for name, value in plain.terms.items()} == {
        name: value.item() for name, value in seen.terms.items()
    }
    phases = {phase for phase, _ in spans.seconds}
    assert phases == {"discriminator", "generator+mapping+style_encoder", "generator", OUTSIDE}
    parts = {part for phase, part in spans.seconds if phase == "generator"}
    assert parts == {BACKWARD, OPTIMIZER, REST, "generator", "style_encoder", "discriminator"}
    counted = dict(spans.seconds)
    seen.training_step(batch, 1)
    assert spans.seconds == counted


def test_operations_of_known_cost() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7, requires_grad=True)
    with Operations() as operations:
        (a @ b).sum().backward()
    assert operations.count == 2 * (2 * 3 * 5 * 7)  # forward, and the gradient of b
    x, w = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    forward = 2 * 2 * 4 * 8 * 8 * 3 * 9
    with Operations() as operations:
        y = torch.nn.functional.conv2d(x, w, padding=1)
    assert operations.count == forward
    with Operations() as operations:  # a penalty: the gradient of a gradient
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
    assert operations.count > 3 * forward


def test_own_words_are_taken_out(tmp_path: Path) -> None:
    words = ["model=stargan_v2", "benchmark.iterations=4", "benchmark.warmup=0", f"benchmark.json={tmp_path}/a.json"]
    arguments = parse(benchmark.COMMAND, [*words, "--compare", "benchmark.x=1", "--y"])
    assert arguments.settings == {"iterations": 4, "warmup": 0, "rounds": 3}
    assert arguments.json == tmp_path / "a.json"
    assert arguments.overrides == ("model=stargan_v2",)
    assert arguments.compare == ("benchmark.x=1", "--y")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["benchmark.iteration=4"],
            "benchmark: unknown argument 'benchmark.iteration'. Did you mean 'benchmark.iterations'?",
        ),
        (["benchmark.iterations=0"], "benchmark.iterations: found 0, expected at least 1"),
        (["benchmark.json=nowhere/a.json"], "the folder nowhere does not exist"),
        (["data=critters", "--compare"], "--compare: this argument needs words"),
        (["iterations=5"], "iterations=5: a benchmark keeps nothing"),
        (["trainer=ddp_cpu", "trainer.devices=2"], "a benchmark is of one process on one device"),
        (["--compare", "commit=no_such_commit"], "commit=no_such_commit"),
    ],
)
def test_mistakes_are_told(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        benchmark.run(parse(benchmark.COMMAND, words))
    assert sentence in str(caught.value)


def test_ratios_are_of_a_round() -> None:
    seconds = [(0, 0, 2.0), (0, 1, 1.0), (1, 1, 4.0), (1, 0, 4.0), (2, 0, 9.0)]
    measurements = [Measurement(number, side, {"s": value}) for number, side, value in seconds]
    assert compare.ratios(measurements, "s") == [0.5, 1.0]
    assert compare.median_and_spread([1.0, 5.0, 2.0]) == (2.0, 2.0)


def test_the_order_alternates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_measure", lambda side, settings: {"arguments": side.arguments})
    first, second = compare.sides(["a"], ["b", "commit=x"], {"x": Path("there")})
    assert second == compare.Side(("a", "b"), Path("there"))
    measurements = list(compare.alternate(first, second, 3, []))
    assert [(m.round, m.side) for m in measurements] == [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]
    assert all(m.results["arguments"] == (("a",), ("a", "b"))[m.side] for m in measurements)


def test_a_table_of_both_sides() -> None:
    figures = {
        "seconds_per_iteration": 2.0,
        "images_per_second": 4.0,
        "data_wait_share": 0.5,
        "peak_bytes": 2**30,
        "operations_per_iteration": 1e9,
        "share_of_machine": 0.1,
    }
    halved = {key: value / 2 for key, value in figures.items()}
    lines = comparison([Measurement(0, 0, figures), Measurement(0, 1, halved)], {"A": "this", "B": "that"}).splitlines()
    assert lines[:2] == ["A: this", "B: that"]
    assert all(line.split()[-3:] == ["0.500", "+-", "0"] for line in lines[3:9])
    assert "peak memory, GiB" in lines[6]
    assert lines[6].split()[3] == "1"
