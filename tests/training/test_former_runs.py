"""A run folder that the version before this one has written is resumed to the bit."""

from pathlib import Path

import pytest
from safetensors import safe_open

from former import checkpoint_of_format_1, with_former_keys
from training.tiny import Case, differences, go_on, tiny_cyclegan, tiny_stargan_v1
from translate.inference.translator import load
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import run

CASES = {"cyclegan": (tiny_cyclegan, ["model.ema_decay=0.9"]), "stargan_v1": (tiny_stargan_v1, ["model.ema_decay=0.9"])}


@pytest.mark.parametrize("name", CASES)
def test_a_former_run_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    case, overrides = CASES[name]
    whole = trained(case, tmp_path / "whole", [*overrides, "iterations=4"])
    folder = tmp_path / "former"
    trained(case, folder, [*overrides, "iterations=2"])
    place = RunFolder(folder)
    checkpoint_of_format_1(place.checkpoint(2))
    place.config_file.write_text(with_former_keys(place.config_file.read_text()))
    assert "recompute: false" in place.config_file.read_text()
    with safe_open(place.checkpoint(2), framework="pt") as file:
        groups = {key.partition(".")[0] for key in file.keys()}  # noqa: SIM118
        assert file.metadata()["format"] == checkpoints.FORMAT_1
    assert groups == {"network", "average", "optimizer"} | ({"memory"} if name == "cyclegan" else set())
    assert load(folder).image_size == (32, 32)
    resumed = go_on(folder, "iterations=4")
    assert resumed.iteration == 4
    assert differences(resumed, whole) == []
    with safe_open(place.checkpoint(4), framework="pt") as file:
        assert file.metadata()["format"] == checkpoints.FORMAT
    assert "activation_checkpointing: false" in place.config_file.read_text()


def trained(case: Case, folder: Path, overrides: list[str]) -> checkpoints.Checkpoint:
    """Train in this process and return the last checkpoint."""
    assert run.train(case(*overrides), folder, None, overrides) == 0
    return checkpoints.newest(folder)
