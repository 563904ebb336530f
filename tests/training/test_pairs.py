"""The table of models and data sets: what it says yes to trains an iteration, what it says no to is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import layouts
from training.test_models import CASES, NAMES
from translate.config.compose import load
from translate.data.views.base import missing_needs
from translate.errors import ConfigError
from translate.registry.registry import DATASETS, MODELS, VIEWS
from translate.training import build

TWO = "data.domains=[{},{}]"


def class_folders(root: Path) -> list[str]:
    layouts.folders(root, {"train/cat": 3, "train/dog": 3, "val/cat": 1, "val/dog": 1})
    return ["data=folder", f"data.root={root}"]


def unpaired(root: Path) -> list[str]:
    layouts.folders(root, {"trainA": 3, "trainB": 4, "testA": 1, "testB": 1})
    return ["data=horse2zebra", f"data.root={root}"]


def paired(root: Path) -> list[str]:
    layouts.side_by_side(root, {"train": 3, "val": 1})
    return ["data=facades", f"data.root={root}"]


def celeba(root: Path) -> list[str]:
    layouts.celeba(root)
    return ["data=celeba", f"data.root={root}", "data.domain_attribute=Male"]


def rafd(root: Path) -> list[str]:
    layouts.rafd(root, persons=3, angles=(90,))
    return ["data=rafd", f"data.root={root}", TWO.format("happy", "sad")]


def market1501(root: Path) -> list[str]:
    layouts.market1501(root)
    return ["data=market1501", f"data.root={root}", TWO.format("c1", "c4")]


def high_resolution(root: Path) -> list[str]:
    layouts.folders(root, {"train": 3, "val": 2}, size=(70, 80))
    return ["data=high_resolution", f"data.root={root / 'train'}", f"data.val_root={root / 'val'}"]


def images_of_a_folder(root: Path) -> list[str]:
    layouts.folders(root, {"train": 3, "val": 2})
    return ["data=images", f"data.root={root / 'train'}", f"data.val_root={root / 'val'}"]


def joint(root: Path) -> list[str]:
    layouts.celeba(root / "celeba")
    layouts.rafd(root / "rafd", persons=3, angles=(90,))
    return ["data=celeba_rafd", f"data.parts.celeba.root={root / 'celeba'}", f"data.parts.rafd.root={root / 'rafd'}"]


def huggingface(root: Path) -> list[str]:
    pytest.importorskip("datasets")
    layouts.folders(root, {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    return ["data=huggingface", f"data.path={root}"]


def critters(root: Path) -> list[str]:
    del root  # it is drawn
    return ["data=critters", "data.num_images=8", "data.num_val_images=4", TWO.format("cat", "fox")]


def critters_outlines(root: Path) -> list[str]:
    del root
    return ["data=critters_outlines", "data.num_images=8", "data.num_val_images=4"]


def emoji(root: Path) -> list[str]:
    layouts.folders(root, {f"{style}/{split}": count for style in "ab" for split, count in (("train", 3), ("val", 1))})
    return ["data=emoji", f"data.root={root}", TWO.format("a", "b")]


LAYOUTS: dict[str, Callable[[Path], list[str]]] = {
    "celeba": celeba,
    "critters": critters,
    "critters_outlines": critters_outlines,
    "emoji": emoji,
    "folder": class_folders,
    "high_resolution": high_resolution,
    "huggingface": huggingface,
    "images": images_of_a_folder,
    "joint": joint,
    "market1501": market1501,
    "paired": paired,
    "rafd": rafd,
    "unpaired": unpaired,
}
"""What writes a small data set of each kind and returns the overrides that choose it: two domains, if it has any."""

SETS = [name for name in DATASETS.names() if DATASETS.entry(name).module.startswith("translate.")]


def fits(model: str, data: str) -> bool:
    """Return what the table says."""
    return not missing_needs(VIEWS.facts(MODELS.facts(model)["batch"])["needs"], DATASETS.facts(data)["provides"])


def takes_joint(model: str) -> bool:
    """Return whether a model takes several sets of labels."""
    return not VIEWS.facts(MODELS.facts(model)["batch"]).get("one_label_set")


YES = [
    (model, data) for model in NAMES for data in SETS if fits(model, data) and (data != "joint" or takes_joint(model))
]
NO = [(model, data) for model in NAMES for data in SETS if not fits(model, data)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the library of Hugging Face writes out of the user's home."""
    try:
        import datasets
    except ModuleNotFoundError:
        return
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def small(model: str) -> list[str]:
    """Return the image size and the batch size of a model's small configuration."""
    sizes = [o for o in CASES[model].data if o.startswith(("data.image_size=", "data.batch_size="))]
    return [*sizes, "data.cache=null", "data.num_workers=0"]


def test_every_data_set_has_a_layout() -> None:
    assert set(LAYOUTS) == set(SETS)


def test_there_is_a_model_for_every_data_set_and_one_without_pairs_for_most() -> None:
    assert {data for _, data in YES} == set(SETS)
    assert {model for model, _ in YES} == set(NAMES)
    assert len(NO) >= 1


@pytest.mark.parametrize(("model", "data"), YES, ids=[f"{model}-{data}" for model, data in YES])
def test_a_pair_trains(model: str, data: str, tmp_path: Path) -> None:
    config = CASES[model].on([*LAYOUTS[data](tmp_path), *small(model)])
    torch.set_num_threads(1)
    module = build.build_data(config)
    network = build.build_model(config)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    network.training_step(module.augment(module.iterations()[0]), 0)
    assert torch.stack(list(network.terms.values())).isfinite().all()
    assert any(not weight.equal(before[name]) for name, weight in network.named_parameters())
    assert len(module.held_out(2).image) == 2


@pytest.mark.parametrize("model", [model for model in NAMES if not takes_joint(model)])
def test_several_sets_of_labels_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"data: the model '{model}' takes one set of labels; found 2 sets"):
        CASES[model].on([*LAYOUTS["joint"](tmp_path), *small(model)])


@pytest.mark.parametrize(("model", "data"), NO, ids=[f"{model}-{data}" for model, data in NO])
def test_another_pair_is_refused_in_a_sentence_that_names_both(model: str, data: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        CASES[model].on([*LAYOUTS[data](tmp_path), *small(model)])
    (problem,) = map(str, caught.value.problems)
    missing = " and the ".join(
        missing_needs(VIEWS.facts(MODELS.facts(model)["batch"])["needs"], DATASETS.facts(data)["provides"])
    )
    assert f"the model '{model}' needs the {missing} of every image; found '{data}', which provides only" in problem
    assert "\n" not in problem


TWO_DOMAINS = [name for name in NAMES if VIEWS.facts(MODELS.facts(name)["batch"])["num_domains"][1] == 2]


@pytest.mark.parametrize("model", [name for name in TWO_DOMAINS if fits(name, "critters")])
def test_more_domains_than_two_are_refused(model: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CASES[model].on([*critters(Path()), "data.domains=[bear,cat,rabbit]", *small(model)])
    (problem,) = map(str, caught.value.problems)
    assert f"data.domains: found bear, cat, rabbit, expected 2 domains for the model '{model}'" in problem
    assert "choose them by data.domains=[bear,cat]" in problem


def test_fewer_domains_than_two_are_refused(tmp_path: Path) -> None:
    layouts.folders(tmp_path, {"train/cat": 2, "val/cat": 2})
    for model in NAMES:
        if fits(model, "folder") and VIEWS.facts(MODELS.facts(model)["batch"])["num_domains"][0] == 2:
            with pytest.raises(
                ConfigError, match=rf"data\.domains: found only 'cat', expected 2.* for the model '{model}'"
            ):
                CASES[model].on(["data=folder", f"data.root={tmp_path}", *small(model)])


def test_celeba_without_an_attribute_has_no_domains(tmp_path: Path) -> None:
    layouts.celeba(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.domains: found none, expected 2 or more for the model 'stargan_v2'"):
        load(["model=stargan_v2", "data=celeba", f"data.root={tmp_path}"])
