# ruff: noqa: E501 - a line a mistake
"""What is said below data.parts is checked as what stands below data, and fills in what networks need."""

from pathlib import Path

import pytest

from translate.config.compose import load
from translate.config.schema import to_mapping
from translate.errors import ConfigError

GOOD = "a: {name: critters, num_images: 12, num_val_images: 6, labels: attributes}"


def load_parts(parts: str, *overrides: str) -> dict:
    return to_mapping(load(["model=stargan_v1", "data=joint", f"data.parts={{{parts}}}", *overrides]))


def problems(parts: str, *overrides: str) -> list[str]:
    try:
        load_parts(parts, *overrides)
    except ConfigError as error:
        return list(map(str, error.problems))
    return []


def test_facts_of_all_parts_reach_the_networks() -> None:
    tree = load_parts(f"{GOOD}, b: {{name: critters, domains: [fox, dog], labels: domain}}", "variant=official_code")
    assert [labels["kind"] for labels in tree["data"]["label_sets"]] == ["attributes", "classes"]
    assert tree["data"]["label_sets"][1]["names"] == ["fox", "dog"]
    assert tree["model"]["label_sets"] == tree["data"]["label_sets"]
    assert tree["model"]["networks"]["generator"]["num_labels"] == tree["data"]["num_labels"] == 12 + 2
    assert tree["model"]["networks"]["generator"]["num_sets"] == 2
    assert tree["model"]["networks"]["discriminator"]["num_labels"] == 12 + 2
    assert tree["data"]["domains"] == []
    assert load_parts(GOOD + ", b: {name: critters}")["data"]["parts"]["b"] == {"name": "critters"}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ("", "data.parts: found none, expected two data sets or more"),
        (GOOD, "data.parts: found a, expected two data sets or more"),
        (f"{GOOD}, b: 3", "data.parts.b: found 3, expected a mapping"),
        (f"{GOOD}, b: {{}}", "data.parts.b: the key 'name' is missing. Known: "),
        (f"{GOOD}, b: {{name: critterz}}", "data.parts.b.name: unknown data set 'critterz'. Did you mean 'critters'?"),
        (f"{GOOD}, b: {{name: folder}}", "data.parts.b.root: the data set 'folder' needs this key; expected a text"),
        (f"{GOOD}, b: {{name: folder, root: ???}}", "data.parts.b.root: the value is missing; expected a text. Fix: write data.parts.b.root=..."),
        (f"{GOOD}, b: {{name: folder, root: /nowhere/at/all}}", "data.parts.b.root: there is no folder /nowhere/at/all"),
        (f"{GOOD}, b: {{name: critters, num_image: 3}}", "data.parts.b.num_image: the data set 'critters' has no argument 'num_image'. Did you mean 'num_images'?"),
        (f"{GOOD}, b: {{name: critters, num_images: few}}", "data.parts.b.num_images: found 'few', expected a whole number"),
        (f"{GOOD}, b: {{name: critters, split: val}}", "data.parts.b.split: the program gives this argument to 'critters'"),
        (f"{GOOD}, b: {{name: critters, labels: species}}", "data.parts.b.labels: found 'species', expected 'attributes' or 'domain' or null"),
        (f"{GOOD}, b: {{name: critters, domains: [fxo]}}", "data.parts.b.domains: critters has no domain 'fxo'. Did you mean 'fox'?"),
        (f"{GOOD}, b: {{name: critters, domains: fox}}", "data.parts.b.domains: found 'fox', expected a list, each a text or null"),
        (f"{GOOD}, b: {{name: critters, world_seed: ${{sed}}}}", "data.parts.b.world_seed: Interpolation key 'sed' not found"),
        (f"{GOOD}, b: {{name: joint, parts: {{{GOOD}, c: {{name: critters, num_image: 3}}}}}}", "data.parts.b.parts.c.num_image: the data set 'critters' has no argument 'num_image'"),
    ],
)  # fmt: skip
def test_mistake_in_a_part_is_one_sentence(parts: str, sentence: str) -> None:
    (problem,) = problems(parts)
    assert problem.startswith(sentence)
    assert "\n" not in problem


def test_all_mistakes_of_all_parts_come_at_once() -> None:
    found = problems("a: {name: critters, num_images: few}, b: {name: folder, crops: 3}", "seed=a")
    assert [problem.split(":")[0] for problem in sorted(found)] == [
        "data.parts.a.num_images",
        "data.parts.b.crops",
        "data.parts.b.root",
        "seed",
    ]


def test_both_splits_have_the_same_labels(tmp_path: Path) -> None:
    """A part whose validation images have other classes is found out, though joined data sets have no domains."""
    (tmp_path / "halves.py").write_text(
        "from translate.registry.registry import DATASETS\n"
        "from translate.data.datasets.critters import Critters\n"
        "@DATASETS.register('halves', provides=('domain',))\n"
        "class Halves(Critters):\n"
        '    """Other species in each split."""\n'
        "    def __init__(self, *, split: str, domains: list[str] | None = None) -> None:\n"
        "        super().__init__(12, 12, split=split, domains=['cat', 'dog'] if split == 'train' else ['cat', 'fox'])\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        from translate.registry import plugins

        patch.syspath_prepend(str(tmp_path))
        patch.setattr(plugins, "_activated", [*plugins._activated, "halves"])
        (problem,) = problems(f"{GOOD}, b: {{name: halves, labels: domain}}")
    assert problem.startswith("data: the training and the validation split must have the same labels; found ")
    assert "big_ears; cat, fox in the validation split, expected " in problem


@pytest.mark.parametrize(("size", "near"), [(96, "64 or 128"), (32, "64")])
def test_the_image_size_can_be_halved_as_often_as_a_network_has_layers(size: int, near: str) -> None:
    parts = f"{GOOD}, b: {{name: critters}}"
    (problem,) = problems(parts, f"data.image_size={size}")
    assert problem == (
        f"data.image_size: found {size}, expected a size divisible by 64 for the network discriminator. Fix: use {near}"
    )
    assert problems(parts, f"data.image_size={size}", "model.networks.discriminator.num_layers=5") == []


@pytest.mark.parametrize(("variant", "end", "every"), [("paper", 0.0, 1), ("official_code", 9.99e-5, 1000)])
def test_the_variant_chooses_how_rates_fall(variant: str, end: float, every: int) -> None:
    model = load_parts(f"{GOOD}, b: {{name: critters}}", f"variant={variant}")["model"]
    for role in ("generator", "discriminator"):
        rate = model["optimizers"][role]["lr"]
        assert (rate["end"], rate["every"], rate["iterations"], rate["after"]) == (end, every, 100_000, 100_000)
