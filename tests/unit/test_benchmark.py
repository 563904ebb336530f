"""What a benchmark times and counts, and how it compares."""

import json
import time
from pathlib import Path

import pytest
import torch

from training.tiny import tiny
from translate.commands import benchmark
from translate.commands.arguments import parse
from translate.errors import UserError
from translate.profiling import compare, scaling
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
        (["trainer.num_nodes=2", "trainer.devices=2"], "a benchmark is of one machine"),
        (["benchmark.devices=[2,4]"], "benchmark.devices: found [2, 4], expected 1 and larger numbers"),
        (["benchmark.devices=[1,2]", "--compare", "seed=1"], "--compare: not with benchmark.devices"),
        (["benchmark.devices=[1,3]", "trainer=cpu", "data.batch_size=8"], "expected a multiple of 3"),
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
    monkeypatch.setattr(compare, "measured", lambda side, settings: {"arguments": side.arguments})
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


# --- several devices ----------------------------------------------------------------------------------------


def test_scaling_by_known_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an iteration of 1 s and 0.25 s of communication, two devices are 80 % (weak) and 67 % (strong) efficient."""
    calls: list[tuple[int, int]] = []

    def measured(side: compare.Side, own: list[str]) -> dict[str, float]:
        words = dict(word.split("=") for word in side.arguments[-2:])
        devices, batch = int(words["trainer.devices"]), int(words["data.batch_size"])
        calls.append((devices, batch))
        assert own == ["benchmark.iterations=10", "benchmark.warmup=5"]
        return {"seconds_per_iteration": batch / devices / 4 + 0.25 * (devices > 1)}

    monkeypatch.setattr(scaling, "measured", measured)
    words = [*tiny.model, *tiny.data, "trainer=cpu", "benchmark.devices=[1,2,4]", "benchmark.rounds=2"]
    assert benchmark.run(parse(benchmark.COMMAND, [*words, f"benchmark.json={tmp_path}/a.json"])) == 0
    order = [(1, 4), (2, 8), (4, 16), (2, 4), (4, 4)]
    assert calls == [*order, *reversed(order)]
    rows = json.loads((tmp_path / "a.json").read_text())["scaling"]
    assert [row["efficiency"] for row in rows] == pytest.approx([1, 0.8, 0.8, 1, 0.5 / 0.75, 0.25 / 0.5])
    assert [row["images_per_second"] for row in rows] == pytest.approx([4, 8 / 1.25, 16 / 1.25, 4, 4 / 0.75, 4 / 0.5])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-6:][0].split() == ["weak", "1", "4", "1", "4", "100.0%"]
    assert lines[-1].split() == ["strong", "4", "4", "0.5", "8", "50.0%"]


def test_more_devices_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = tiny("trainer.accelerator=gpu")
    assert [point.devices for point in scaling.points(config, [1, 2])] == [1, 2, 2]
    with pytest.raises(UserError, match="at most 2, the GPUs of this machine"):
        scaling.points(config, [1, 4])
