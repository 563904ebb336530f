"""The plug-in example trains from outside, without an edit of ours."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from translate.config.experiments import header
from translate.data.module import DataModule, Shard
from translate.data.views.base import missing_needs
from translate.registry import plugins
from translate.registry.registry import DATASETS, MODELS, VIEWS
from translate.runs import checkpoints
from translate.runs.folder import RunFolder

PLUGIN = Path(__file__).parents[1] / "plugin_example"


Answer = tuple[subprocess.CompletedProcess[str], Path]


def run(experiment: str, place: Path) -> Answer:
    """Run the command of an experiment's header, in an empty folder; return the process and its run folder."""
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    words = shlex.split(header(PLUGIN / f"my_lab/conf/experiments/my_lab/{experiment}.yaml")["Command"])
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


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    return run("first", tmp_path_factory.mktemp("outside"))


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the plug-in take part in this process."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    before = list(plugins._activated)
    plugins.activate(["my_lab"])
    yield
    plugins._activated[:] = before


def test_it_trains_to_its_end(answer: Answer) -> None:
    done, folder = answer
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "done: " in done.stderr
    recorded = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in recorded] == [1, 2, 3, 4]
    assert {"discriminator/real", "discriminator/fake", "generator/adversarial", "generator/cycle"} <= set(recorded[0])


def test_its_checkpoints_are_like_ours(answer: Answer) -> None:
    _, folder = answer
    assert [path.stem for path in RunFolder(folder).checkpoints().values()] == ["000002", "000004"]
    last = checkpoints.newest(folder)
    assert last.domains == ("blue", "red", "yellow")
    assert last.config["model"]["networks"]["generator"]["name"] == "my_lab_painter"
    assert last.config["plugins"] == ["my_lab"]
    assert "enter.weight" in last.group("network.generator")


def test_its_weights_are_exported_and_loaded(answer: Answer) -> None:
    """By the example's own translation, in a process that does not import Lightning."""
    _, folder = answer
    code = (
        "import sys, torch, translate\n"
        "from translate.registry import plugins\n"
        "from translate.export.weights import export\n"
        "plugins.activate(['my_lab'])\n"
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
    assert told.endswith(
        "Fix: activate the plug-ins of the training run: plugins=[my_lab], "
        "in Python translate.registry.plugins.activate(['my_lab'])"
    )
    assert same == "True ('blue', 'red', 'yellow')"
    assert loaded == "False", done.stderr


def test_its_run_can_be_shown_without_the_plugin(answer: Answer) -> None:
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


def test_a_model_trains_on_its_view_and_batch_type(tmp_path: Path) -> None:
    done, folder = run("darkness", tmp_path)
    assert done.returncode == 0, done.stderr
    losses = [json.loads(line)["generator/l1"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 150
    assert losses[0] > 0.3
    assert max(losses[-10:]) < 0.1


def test_its_view_is_a_function_of_seed_and_iteration(plugin: None) -> None:
    def data(batch_size: int, seed: int = 0) -> DataModule:
        dots = [DATASETS.get("my_lab_dots")(num_images=24, split=split) for split in ("train", "val")]
        return DataModule(*dots, 16, batch_size, view="my_lab_darkness", augment="flip", seed=seed)

    def fields(batch: Any) -> list[Tensor]:
        return [*batch.image, batch.darkness]

    batches = [data(8).iterations()[k] for k in range(3)]
    assert type(batches[0]).__name__ == "DarknessBatch"
    assert batches[0].image.pixels.shape == (8, 16, 16, 3)
    assert ((batches[0].darkness >= 0) & (batches[0].darkness < 1)).all()
    halves = [fields(data(8).iterations(Shard(rank, 2))[1]) for rank in range(2)]
    assert all(torch.cat(pair).equal(whole) for *pair, whole in zip(*halves, fields(batches[1]), strict=True))
    images = torch.cat([batch.image.pixels for batch in batches]).flatten(1).unique(dim=0)
    assert len(images) == 24  # three batches of eight are one epoch
    assert not data(8, seed=1).iterations()[0].darkness.equal(batches[0].darkness)
    augmented = data(8).augment(batches[0])
    assert augmented.image.shape == (8, 3, 16, 16)
    assert augmented.darkness.equal(batches[0].darkness)


def test_its_model_fits_every_data_set(plugin: None) -> None:
    """The facts of its view, read from the source, decide what the check of a configuration refuses."""
    facts = VIEWS.facts(MODELS.facts("my_lab_darkener")["batch"])
    assert VIEWS.entry("my_lab_darkness").module == "my_lab.views"
    assert not any(missing_needs(facts["needs"], DATASETS.facts(name)["provides"]) for name in DATASETS.names())
