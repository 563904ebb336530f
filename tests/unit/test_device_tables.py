"""Every section of `benchmarks/tables.py`, tiny and on the CPU: its results, its report, its limit."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import goldens_on_device
import switches_on_device
import tables
from against_plain import sentence
from tables import CUDA, PLANS, Goldens, Resumed, Scaling, Section, Speed, Switches, speeds

from training.tiny import tiny
from translate.profiling.timing import Length

CPU = torch.device("cpu")
TOO_MANY = 10**9  # images: 12 TB
SMALL = (*tiny.model, *tiny.data, "trainer=cpu", "trainer.threads=1")
FACTS = {"card": "Tiny Card 1", "driver": "1.2", "torch": "2.15", "commit": "abc"}
TURNS: dict[str, Any] = {
    "model": "cyclegan",
    "size": 32,
    "batch": 2,
    "reference": "plain_tf32",
    "seconds": {"plain_tf32": [2.0, 2.0], "bf16": [0.5, 1.0]},
    "ratios": {"bf16": [0.25, 0.5]},
    "median": {"bf16": 0.375},
    "bytes": {"plain_tf32": 2**30, "bf16": 2**29},
    "dropped": {"bf16,compile": "out of time"},
}


def results_of(plan: Speed | Goldens | Switches | Resumed | Scaling) -> Any:
    """Return what a section keeps in the end, as JSON would."""
    kept: list[str] = []
    tables.measure(Section("tiny", plan, 100), CPU, lambda results: kept.append(json.dumps(results)), 1)
    return json.loads(kept[-1])


def test_speed() -> None:
    """Sides that take turns, a batch that does not fit into memory, and one that fits after it."""
    found, large, again = results_of(Speed("cyclegan", 32, dict.fromkeys((1, TOO_MANY, 2), ("library",))))
    ((ours,), (plain,)) = (found["seconds"][side] for side in ("library", "plain"))
    assert found["ratios"] == {"library": [ours / plain]}
    assert found["bytes"] == {"plain": None, "library": None}
    assert f"ratio {ours / plain:.3f} (from" in sentence(found, "library")
    assert speeds([found]).startswith("| model | batch | plain, s | library |\n")
    assert large["seconds"] == large["ratios"] == {}
    assert sentence(large, "library") == f"cyclegan, 32 px, batch {TOO_MANY}, library: out of memory"
    alone = {**large, "seconds": {"library": [2.0]}}
    assert sentence(alone, "library").endswith("library: 2 s, plain: out of memory")
    assert list(again["ratios"]) == ["library"]


def test_goldens(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results_of(Goldens(["stargan_v1"]))["stargan_v1"]
    assert found["equal"]
    assert 0 < found["errors"]["outputs"] < 1e-5
    wrong = {"outputs": 1e-6, "first": 0.01, "later": 0.01}
    monkeypatch.setitem(goldens_on_device.MODELS, "stargan_v1", lambda device: wrong)
    assert not results_of(Goldens(["stargan_v1"]))["stargan_v1"]["equal"]


def test_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU iterations run as for a capture, and the kernels of norms do not run."""
    monkeypatch.setattr(switches_on_device, "fused_norms", lambda device: {"float32": 1e-6, "bfloat16": 1e-3})
    found = results_of(Switches())
    assert not torch.are_deterministic_algorithms_enabled()
    assert not found["equal"]  # no graph was captured
    for row in found["graphs"].values():
        assert (row["losses"], row["unlike"], row["graphs"], row["refused"]) == (0.0, 0, 0, False)
        assert row["tensors"] > 50
    assert "| stargan_v1 | 0 | 0.0e+00 | 0 of " in tables.switches(found)
    assert "within bounds: NO." in tables.switches(found)
    monkeypatch.setattr(switches_on_device, "graphs", lambda name, device: {**row, "graphs": 2})
    assert results_of(Switches())["equal"]
    monkeypatch.setattr(switches_on_device, "graphs", lambda name, device: {**row, "graphs": 2, "losses": 0.01})
    assert not results_of(Switches())["equal"]


def test_resumed() -> None:
    try:
        found = results_of(Resumed(SMALL, SMALL, Length(0, 1)))
    finally:
        torch.use_deterministic_algorithms(False)
    assert (found["iteration"], found["unlike"]) == (4, [])
    assert found["tensors"] > 50
    assert found["price"] == found["deterministic=true"] / found["deterministic=false"]


def test_scaling_needs_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert results_of(Scaling(SMALL)) == {"devices": 1}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(tables.scaling, "measured", lambda side, own: {"seconds_per_iteration": 1.0})
    rows = results_of(Scaling(SMALL))["scaling"]
    assert [(row["mode"], row["devices"]) for row in rows] == [("weak", 1), ("weak", 2), ("strong", 1), ("strong", 2)]


def test_the_report(tmp_path: Path) -> None:
    errors = {"errors": {"outputs": 1e-6, "first": 2e-6, "later": 0.1}, "equal": False}
    row = {"mode": "weak", "devices": 1, "batch_size": 8, "seconds": 1.0, "images_per_second": 8.0, "efficiency": 1.0}
    resumed = {"tensors": 9, "unlike": ["a"], "price": 1.25}
    contents = {
        "cyclegan": [TURNS],
        "goldens": {"stargan_v1": errors},
        "resumed": resumed,
        "scaling": {"devices": 2, "scaling": [row]},
    }
    sections: dict[str, Any] = {name: {"results": r, "seconds": 3.0, "problem": None} for name, r in contents.items()}
    sections["stargan_v2"] = {"results": None, "seconds": 9.0, "problem": "its process ended with exit code 1"}
    tables.write({**FACTS, "sections": sections}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"tiny_card_1.{kind}" for kind in ("json", "md", "png")}
    text = (tmp_path / "tiny_card_1.md").read_text()
    assert text.startswith("Tiny Card 1, torch 2.15, commit abc, driver 1.2.")
    assert "| cyclegan, 32 px | 2 | 2 | 0.375 | out of time |" in text
    assert "| cyclegan, 32 px | 2 | bf16 | 2.667 | 0.50 |" in text
    assert "| stargan_v1 | 1.0e-06 | 2.0e-06 | 1.0e-01 | NO |" in text
    assert "8 of 9 tensors of a resumed run are equal to the bit. `trainer.deterministic=true` takes 1.250" in text
    assert "weak           1      8" in text
    assert "Section stargan_v2: its process ended with exit code 1." in text
    assert "cyclegan 3 s" in text


@pytest.mark.parametrize(("body", "problem"), [("sys.exit(3)", "exit code 3"), ("time.sleep(60)", "killed 1 s after")])
def test_a_section_that_fails_or_hangs_keeps_what_it_has(
    body: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys, time\nopen(sys.argv[2] + '/results.json', 'w').write('[1]')\n{body}\n")
    monkeypatch.setattr(tables, "__file__", str(script))
    monkeypatch.setattr(tables, "GRACE", 1.0)
    began = time.monotonic()
    section = Section("goldens", Goldens(), 1.0)
    found = tables.in_process(section, "cpu", 1)
    assert found["results"] == [1]
    assert problem in found["problem"]
    assert found["seconds"] <= time.monotonic() - began


def test_the_driver_is_that_of_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    done = subprocess.CompletedProcess([], 0, stdout="570.1\n570.1\n")
    monkeypatch.setattr(tables.subprocess, "run", lambda *_, **__: done)
    assert tables.card_of("cuda") == ("NVIDIA H100 80GB HBM3", "570.1")
    assert tables.card_of("cpu") == ("cpu", None)


def test_a_limit_counts_from_the_start_of_the_process() -> None:
    assert tables.limited(Section("goldens", Goldens(), 40.0), 5.0).limit == 5.0
    assert tables.limited(Section("goldens", Goldens(), 4.0), 5.0).limit == 4.0
    assert tables.limited(Section("goldens", Goldens(), 4.0), None).limit == 4.0
    kept: list[Any] = []
    tables.measure(Section("goldens", Goldens(), 5.0), CPU, kept.append, 1, time.monotonic() - 6)
    assert kept == []


def test_a_gpu_is_measured_within_ten_minutes() -> None:
    limits = [section.limit for section in PLANS["cuda"] if section.name != "scaling"]
    assert sum((limit or 1e9) + tables.GRACE for limit in limits) < 600
    for section in PLANS["cuda"][:3]:
        assert isinstance(section.plan, Speed)
        assert section.plan.reference == "plain_tf32"
        assert {side for side in next(iter(section.plan.batches.values())) if side in CUDA} == set(CUDA)
