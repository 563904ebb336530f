"""The distribution holds every package and every data file of the source tree."""

import os
import warnings
from pathlib import Path

import pytest
from setuptools import Distribution
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parents[2]
TREES = {
    "src/translate": "translate",
    "src/hydra_plugins": "hydra_plugins",
    "conf": "translate/conf",
    "experiments": "translate/experiments",
}


@pytest.fixture(scope="module")
def distributed() -> set[str]:
    """Return the files of a wheel by their paths in it, as setuptools would copy them."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        distribution = Distribution({"script_name": "setup.py"})
        distribution.parse_config_files(["pyproject.toml"])
        command = distribution.get_command_obj("build_py")
        assert isinstance(command, build_py)
        command.ensure_finalized()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # folders of data files could be imported as packages
            outputs = command.get_outputs(include_bytecode=False)
        return {Path(os.path.relpath(path, command.build_lib)).as_posix() for path in outputs}
    finally:
        os.chdir(before)


def test_every_file_of_the_source_is_distributed(distributed: set[str]) -> None:
    files = {
        (Path(package) / path.relative_to(ROOT / tree)).as_posix()
        for tree, package in TREES.items()
        for path in (ROOT / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - distributed == set()


def test_shipped_weights_are_distributed(distributed: set[str]) -> None:
    assert {f"translate/weights/shipped/critters.{ending}" for ending in ("safetensors", "md")} <= distributed
