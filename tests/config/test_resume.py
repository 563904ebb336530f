"""A saved configuration is read back as it was; a run goes on with it."""

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from translate.config.check import check
from translate.config.command_line import configuration, place_of
from translate.config.compose import load
from translate.config.resume import finished, resumed, unfinished
from translate.config.schema import (
    RESULT_NEUTRAL_KEYS,
    RunConfig,
    StartConfig,
    experiment_key,
    read_yaml,
    to_mapping,
    to_yaml,
)
from translate.errors import ConfigError, UserError
from translate.runs.folder import RunFolder


def save(folder: Path, config: RunConfig, *iterations: int) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    for iteration in iterations:
        (folder / "checkpoints" / f"{iteration:06d}.safetensors").write_bytes(b"")
    return folder


def measured(folder: Path, iteration: int) -> None:
    """Leave figures as a run that ends at an iteration does."""
    (folder / "metrics").mkdir()
    (folder / "metrics" / "local_last.json").write_text(
        json.dumps({"protocol": "local", "iteration": iteration, "scores": {"domain accuracy": 0.5}})
    )


def test_round_trip(small: list[str], tmp_path: Path) -> None:
    config = load([*small, "model.optimizers.generator.lr=1e-6", "data.max_bad_fraction=1e-10"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert check(read_yaml(path)) == config


def test_values_are_set_on_top(small: list[str], tmp_path: Path) -> None:
    config = load([*small, "seed=7", "iterations=10"])
    folder = save(tmp_path / "run", config, 5, 10)
    found = resumed(folder, ["iterations=20", "data.num_workers=2", "trainer=ddp_cpu"])
    assert (found.seed, found.iterations, found.data.num_workers, found.trainer.devices) == (7, 20, 2, 2)
    assert found.resume == str(folder)
    assert experiment_key(to_mapping(found), RESULT_NEUTRAL_KEYS | {"iterations"}) == experiment_key(
        to_mapping(config), RESULT_NEUTRAL_KEYS | {"iterations"}
    )
    assert RunFolder(folder).newest_iteration() == 10
    assert configuration([f"resume={folder}", "iterations=20"]).iterations == 20


def test_groups_are_refused_all_at_once(small: list[str], tmp_path: Path) -> None:
    folder = save(tmp_path / "run", load(small), 5)
    with pytest.raises(ConfigError) as caught:
        resumed(folder, ["model=painter", "data=dots", "iteratoins=3", "seed=a"])
    assert len(caught.value.problems) == 4, caught.value.problems
    assert "model=painter: a resumed run keeps its model. Fix: set values" in str(caught.value)
    assert "iteratoins: unknown key 'iteratoins'. Did you mean 'iterations'?" in str(caught.value)


def test_folders_that_cannot_go_on(small: list[str], tmp_path: Path) -> None:
    folder = save(tmp_path / "run", load(small))
    with pytest.raises(UserError, match="holds no checkpoint"):
        resumed(folder, [])
    with pytest.raises(UserError, match=r"is a folder without config\.yaml"):
        resumed(tmp_path, [])
    with pytest.raises(UserError, match=rf"is a file; expected.*Fix: write resume={folder}"):
        resumed(folder / "config.yaml", [])
    with pytest.raises(UserError, match="is not there"):
        resumed(tmp_path / "nothing", [])


def test_auto_finds_the_newest_unfinished_run(small: list[str], tmp_path: Path) -> None:
    config = load([*small, "iterations=10"])
    runs = tmp_path / "runs"
    assert unfinished(config, runs) is None
    old = save(runs / "painter" / "a", config, 3)
    new = save(runs / "painter" / "b_sweep" / "0", load([*small, "iterations=8", "data.num_workers=3"]), 2)
    measured(save(runs / "painter" / "c", config, 5, 10), 10)  # finished
    save(runs / "painter" / "d", load([*small, "iterations=10", "seed=5"]), 3)  # another experiment
    save(runs / "painter" / "e", config)  # without a checkpoint
    for age, folder in ((200, old), (100, new)):
        for path in (folder / "checkpoints").iterdir():
            stamp = path.stat().st_mtime - age
            os.utime(path, (stamp, stamp))
    assert unfinished(config, runs) == new
    assert unfinished(load([*small, "iterations=3"]), runs) == new
    assert unfinished(load([*small, "iterations=2"]), runs) is None


def test_auto_goes_on_with_a_run_that_was_killed_before_its_figures_were_there(
    small: list[str], tmp_path: Path
) -> None:
    config = load([*small, "iterations=10"])
    folder = save(tmp_path / "a", config, 5, 10)
    assert unfinished(config, tmp_path) == folder
    assert not finished(config, folder)
    measured(folder, 5)  # by a shorter run
    assert unfinished(config, tmp_path) == folder
    assert not finished(config, folder)
    (folder / "metrics" / "local_last.json").write_text("{")
    assert unfinished(config, tmp_path) == folder
    shutil.rmtree(folder / "metrics")
    measured(folder, 10)
    assert unfinished(config, tmp_path) is None
    assert finished(config, folder)


def test_a_folder_in_which_a_run_was_killed_before_its_first_checkpoint_is_begun_again(
    small: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = load([*small, f"folder={folder}"])
    for left in (".lock", "config.yaml.unfinished"):
        (folder / left).touch()
        assert place_of(config) == (folder, None)
    save(folder, config)
    (folder / "checkpoints" / "000005.unfinished").write_bytes(b"cut short")
    assert place_of(config) == (folder, None)
    with pytest.raises(UserError, match=r"holds another experiment, its seed is 0, not 1"):
        place_of(load([*small, f"folder={folder}", "seed=1"]))
    (folder / "checkpoints" / "000005.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=rf"is not empty. Fix: name a new folder, or write resume={folder}"):
        place_of(config)
    assert place_of(load([*small, f"folder={folder}", "resume=auto"])) == (folder, folder)


@pytest.mark.parametrize("key", sorted(RESULT_NEUTRAL_KEYS))
def test_insensitive_keys_exist(small: list[str], key: str) -> None:
    node = to_mapping(load(small))
    node["start_from"] = {field.name: None for field in fields(StartConfig)}
    for part in key.split("."):
        assert part in node, f"RESULT_NEUTRAL_KEYS names {key}, which no configuration has"
        node = node[part]


def test_a_run_from_before_a_key_existed_is_the_same_experiment(tmp_path: Path) -> None:
    config = load(["model=stargan_v2_small"])
    saved = to_mapping(config)
    for node, key in ((saved["trainer"], "accumulate"), (saved["model"], "r1_every")):
        del node[key]
    saved["model"]["networks"]["generator"] = {
        key: value for key, value in saved["model"]["networks"]["generator"].items() if key != "w_hpf"
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    assert experiment_key(read_yaml(tmp_path / "config.yaml")) == experiment_key(to_mapping(config))
    assert experiment_key(read_yaml(tmp_path / "config.yaml")) != experiment_key(to_mapping(load(["model.r1_every=2"])))
