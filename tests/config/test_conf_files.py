"""Every file of configuration that is shipped composes and checks, except for what the user must say."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from translate.config.command_line import parse, stages_of
from translate.config.compose import compose, load
from translate.config.experiments import HEADER, header, header_problems
from translate.config.length import NOMINAL
from translate.config.schema import experiment_key, to_mapping
from translate.config.search_path import groups, shipped
from translate.errors import ConfigError
from translate.registry.registry import METRICS
from translate.sweeps.stages import check

SHIPPED = groups()
CHOICES = [
    (group, option) for group, options in SHIPPED.items() for option in options if group not in ("recipe", "preset")
]
PAIRS = [(model, data) for model in SHIPPED.get("model", {}) for data in SHIPPED.get("data", {})]
EXPERIMENTS = list(SHIPPED["experiments"].items())


def problems(*overrides: str) -> list[str]:
    """Return the problems apart from values that the user must give or change: domains, batches for a batch norm.

    A pair of model and data that does not fit has none, since what else is said of it does not matter.
    """
    try:
        stages = stages_of(parse(overrides))
        _ = load(overrides, scan=False) if stages is None else check(stages, [*overrides], scan=False)
    except ConfigError as error:
        if any("of every image" in problem.what for problem in error.problems):
            return []
        return [
            str(problem)
            for problem in error.problems
            if not problem.what.startswith("the value is missing")
            and not problem.fix.startswith("choose them by data.domains=")
            and not problem.what.startswith("a batch norm needs")
        ]
    return []


def configured(option: str, *words: str) -> dict[str, Any]:
    """Return the configuration of an experiment as a mapping: of one with stages, that of the first."""
    overrides = [f"experiments={option}", *words]
    stages = stages_of(parse(overrides))
    return to_mapping(
        load(overrides if stages is None else [*overrides, f"stage={next(iter(stages.words))}"], scan=False)
    )


NEEDS = {"metrics=accuracy": ["model=classifier"], "metrics=super_resolution": ["model=srresnet_small"]}
"""Options that are for some models alone, and such a model."""


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=[f"{group}={option}" for group, option in CHOICES])
def test_every_option_is_good(group: str, option: str) -> None:
    assert problems(f"{group}={option}", *NEEDS.get(f"{group}={option}", [])) == []


@pytest.mark.slow  # a thousand pairs, two minutes of one core
@pytest.mark.parametrize(("model", "data"), PAIRS)
def test_every_pair_is_good(model: str, data: str) -> None:
    assert problems(f"model={model}", f"data={data}") == []


def kind_of(data: str) -> str:
    """Return the kind that a data set's file names, or the file that it begins with."""
    text = SHIPPED["data"][data].read_text(encoding="utf-8")
    if named := re.search(r"override /kind@_global_\.kind: (\w+)", text):
        return named[1]
    base = re.search(r"^defaults:\n  - (\w+)$", text, re.MULTILINE)
    return kind_of(base[1]) if base else "other"


def test_recipes_belong_to_a_model_and_a_kind_of_data() -> None:
    recipes = {f"{model}-{kind_of(data)}" for model in SHIPPED["model"] for data in SHIPPED["data"]}
    assert set(SHIPPED["recipe"]) <= recipes
    assert "other" not in {recipe.partition("-")[2] for recipe in SHIPPED["recipe"]}


def test_data_sets_of_a_kind_share_a_recipe(tmp_path: Path) -> None:
    """A data set of the user inherits the recipe of the kind that it begins with."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [unpaired]\nroot: here\n")
    (tmp_path / "data" / "plain.yaml").write_text("defaults: [huggingface]\npath: here\n")
    words = ["model=cyclegan", "data.domains=[a,b]"]
    for data, iterations in (("mine", "${epochs:200}"), ("plain", 100000)):
        tree = compose([*words, f"data={data}"], config_dir=str(tmp_path))
        assert tree is not None
        assert tree._get_node("iterations")._value() == iterations


KEYS_OF_HEADERS = ("data=", "data.", "model.", "stages.")
"""Beginnings of the words of a header's command that the configuration needs."""

SMALL = [model for model in SHIPPED["model"] if model.endswith("_small")]


def test_presets_belong_to_small_models() -> None:
    assert set(SHIPPED["preset"]) == {"small-files", *(f"{model}-files" for model in SMALL)}


@pytest.mark.parametrize("data", SHIPPED["data"])
@pytest.mark.parametrize("model", SMALL)
def test_small_models_train_on_files_for_a_time(model: str, data: str) -> None:
    """So that a CPU ends, and shows what it learns from the first minute on."""
    tree = compose([f"model={model}", f"data={data}"])
    assert tree is not None
    timed = (tree.iterations, tree.sample_every) == (None, "doubling") and isinstance(tree.budget, str)
    assert timed == (not data.startswith("critters"))
    if timed:
        is_upright = data == "market1501" and f"{model}-cameras" in SHIPPED["recipe"]  # people, and a model for them
        size = [64, 32] if is_upright else 64
        assert (tree.data.image_size, tree.checkpoint_every) == (size, 20)
        lengths = [lr["iterations"] for lr in rates(tree)]
        assert lengths == [NOMINAL // 2] * len(lengths) != []


def rates(tree: DictConfig) -> list[DictConfig]:
    """Return the learning-rate schedules of all roles."""
    return [node.lr for node in tree.model.optimizers.values() if isinstance(node.lr, DictConfig)]


@pytest.mark.parametrize(("option", "path"), EXPERIMENTS, ids=[option for option, _ in EXPERIMENTS])
def test_experiments_have_their_header(option: str, path: Path) -> None:
    assert header_problems(path, option) == []


@pytest.mark.parametrize(("option", "path"), EXPERIMENTS, ids=[option for option, _ in EXPERIMENTS])
def test_the_header_of_an_experiment_is_true(
    option: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Baseline, Change and Expected agree with the composed configurations where they name keys, files or scores.

    Files of frozen networks that the command names are there.
    """
    said = header(path)
    data = [w for w in shlex.split(said["Command"]) if w.startswith(KEYS_OF_HEADERS) and "," not in w]
    monkeypatch.chdir(tmp_path)
    for word in data:
        if word.startswith("model.networks.") and word.endswith((".pth", ".ckpt")):
            (tmp_path / word.partition("=")[2]).touch()
    config = configured(option, *data)
    own, baseline = experiment_key(config), said["Baseline"]
    assert (baseline.startswith("none") and said["Change"].startswith("none")) or not said["Change"].startswith("none")
    if "/" in baseline.split()[0]:
        assert baseline in dict(EXPERIMENTS), f"there is no experiment {baseline}"
        assert experiment_key(configured(baseline, *data)) != own
    for key, value in re.findall(r"([a-z_]+\.[\w.]+): \S.* -> ([\w-]+)", said["Change"]):
        if value != "as":  # "as in the paper"
            found = own.get(key, own.get(f"{key}.name"))
            assert str(found) == value, f"{key} is {found}, the header says {value}"
    scores = {score for node in config["metrics"].values() for score in METRICS.facts(node["name"])["scores"]}
    for score in re.findall(r"\b(?:FID|LPIPS|KID)\b", said["Expected"]):
        elsewhere = "metrics=official" in said["Expected"] or "paper" in said["Expected"]
        assert score in scores or elsewhere, f"{score} is not a score of this experiment's metrics"


def test_header_rule(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    lines = [f"# {key}: something" for key in HEADER]
    lines[4] = "# Command: python -m translate experiments=study/a"
    lines.insert(1, "#   in two lines")
    path.write_text("\n".join(lines) + "\nseed: 1\n")
    assert header_problems(path, "study/a") == []
    assert header(path)["Question"] == "something in two lines"
    assert "does not say experiments=study/b" in header_problems(path, "study/b")[0]
    path.write_text("\n".join(reversed(lines)))
    assert "in the order" in header_problems(path, "study/a")[0]
    path.write_text("seed: 1\n# Question: too late\n")
    assert len(header_problems(path, "study/a")) == len(HEADER)


def test_files_are_where_the_package_says() -> None:
    assert (shipped("conf") / "train.yaml").is_file()
    assert (shipped("experiments") / "__init__.py").is_file()
