"""The plug-in example trains from outside, without an edit of ours."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from translate.config.experiments import header
from translate.runs import checkpoints
from translate.runs.folder import RunFolder

PLUGIN = Path(__file__).parents[1] / "plugin_example"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    place = tmp_path_factory.mktemp("outside")
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    words = shlex.split(header(PLUGIN / "my_lab/conf/experiments/my_lab/first.yaml")["Command"])
    assert words[:3] == ["python", "-m", "translate"]
    further = ["metrics=none", "trainer.threads=1", f"folder={place / 'run'}"]
    done = subprocess.run(
        [sys.executable, *words[1:], *further],
        cwd=place,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, place / "run"


def test_it_trains_to_its_end(answer: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = answer
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "done: " in done.stderr
    recorded = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in recorded] == [1, 2, 3, 4]
    assert {"discriminator/real", "discriminator/fake", "generator/adversarial", "generator/cycle"} <= set(recorded[0])


def test_its_checkpoints_are_like_ours(answer: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = answer
    assert [path.stem for path in RunFolder(folder).checkpoints().values()] == ["000002", "000004"]
    last = checkpoints.newest(folder)
    assert last.domains == ("blue", "red", "yellow")
    assert last.config["model"]["networks"]["generator"]["name"] == "my_lab_painter"
    assert last.config["plugins"] == ["my_lab"]
    assert "enter.weight" in last.part("network.generator")


def test_its_weights_are_exported_and_loaded(answer: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """By the example's own translation, in a process that does not import Lightning."""
    _, folder = answer
    code = (
        "import sys, torch, translate\n"
        "from translate.registry import plugins\n"
        "from translate.export.weights import export\n"
        f"export(__import__('pathlib').Path({str(folder)!r}), {str(folder / 'w.safetensors')!r})\n"
        "plugins._activated.clear()\n"
        "try:\n"
        f"    translate.load({str(folder / 'w.safetensors')!r})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
        "plugins.activate(['my_lab'])\n"
        f"found = [translate.load(p) for p in ({str(folder / 'w.safetensors')!r}, {str(folder)!r})]\n"
        "x = torch.zeros(1, 3, 16, 16)\n"
        "print(found[0].translate(x, 'red').equal(found[1].translate(x, 'red')), found[0].domains)\n"
        "print('pytorch_lightning' in sys.modules)\n"
    )
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told, same, loaded = done.stdout.splitlines() or [done.stderr] * 3
    assert told.startswith("unknown network 'my_lab_painter'")
    assert told.endswith("which do not take part here: translate.registry.plugins.activate(['my_lab'])")
    assert same == "True ('blue', 'red', 'yellow')"
    assert loaded == "False", done.stderr


def test_its_run_can_be_shown_without_the_plugin(answer: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = answer
    shown = subprocess.run(
        [sys.executable, "-m", "translate", "show", f"run={folder}"],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == (folder / "config.yaml").read_text()
