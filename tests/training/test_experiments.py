"""Every experiment file runs for two iterations at tiny widths, by the command of its header; of stages all, in order.

Those of the ladder have tests of their own, `test_ladder`. Networks that are given by files are small ones, filled by
chance. Metrics are left out: their protocols have tests of their own.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import layouts
from training.test_ladder import LADDER
from training.tiny import RUN, train_stages
from translate.config.compose import compose
from translate.config.experiments import header
from translate.config.schema import read_yaml
from translate.config.search_path import groups
from translate.networks.vgg import VGGFeatures
from translate.registry.registry import NETWORKS
from translate.runs.checkpoints import newest

pytestmark = pytest.mark.slow

EXPERIMENTS = {name: path for name, path in groups()["experiments"].items() if not name.startswith("ladder/")}
WIDTHS = {"base_width": 4, "max_width": 8, "hidden_width": 8}
"""Arguments of networks that make them small."""

SIZES = {"reid/hhl": "[128,64]", "reid/hhl_small": "[64,32]", "reid/camstyle_small": "[64,32]"}
LOAD_SIZES = {"reid/hhl": "[144,72]"}
"""Of images, where it is not 64."""

FURTHER = {
    "cyclegan/digits": ["data.domains=[female,male]"],
    "combogan/shared": [f"model.networks.{part}.width=16" for part in ("encoder_shared", "decoder_shared")],
    "unit/code_discriminator": ["model.networks.code_discriminator.in_channels=16"],
    "unit/paper": [
        "model.networks.encoder_shared.width=16",
        "model.networks.decoder_shared.width=16",
        "model.networks.discriminator_shared.in_channels=8",
        "model.networks.discriminator_shared.num_layers=2",
    ],
}
"""Words that make networks fit to the small ones before them."""

OF_FACES = [*read_yaml(EXPERIMENTS["icgan/celeba"])["data"]["attributes"], "No_Beard", "Young"]
"""The attributes of CelebA that experiments read."""

VGG = {"vgg16-397923af.pth": 16, "vgg19-dcbb9e9d.pth": 19, "vgg_face_dag.pth": 16}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small data set in each layout, by the name of the data set, and files of VGG."""
    place, size = tmp_path_factory.mktemp("sets"), (40, 40)
    layouts.celeba(place / "celeba", rows=40, names=OF_FACES)
    layouts.market1501(place / "market1501", each=4)
    for data in ("unpaired", "paired"):
        layouts.folders(place / data, dict.fromkeys(("trainA", "trainB", "testA", "testB"), 4), size)
    for number in range(12):
        for part in ("images", "high_resolution"):
            layouts.picture(place / part / f"{number:03d}.png", number, (128, 128))
        for domain in ("female", "male"):
            layouts.picture(place / "folder" / domain / f"{number % 3}_{number:03d}.png", number, size)
    for domain in ("cat", "dog", "wild"):
        layouts.folders(place / "afhq", {f"{part}/{domain}": 4 for part in ("train", "val")}, size)
    for style in ("fluent", "noto", "openmoji", "twemoji"):
        layouts.folders(place / "emoji", {f"{style}/{part}": 4 for part in ("train", "val")}, size)
    draws = np.random.default_rng(0)
    for path in sorted((*place.rglob("*.png"), *place.rglob("*.jpg"))):  # instance norms magnify flat images
        with Image.open(path) as image:
            pixels = draws.integers(0, 256, (image.height, image.width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    for file, depth in VGG.items():
        torch.manual_seed(0)
        network = VGGFeatures(["relu5_4" if depth == 19 else "relu5_3"], depth=depth, base_width=2)  # type: ignore[arg-type]
        torch.save(network.state_dict(), place / file)
    return place


def words_of(option: str) -> list[str]:
    """Return the words of the command in an experiment's header, of several runs those of the first."""
    words = [word for word in shlex.split(header(EXPERIMENTS[option])["Command"])[3:] if word != "-m"]
    return [re.sub(r"(=\[[^\]]*\]|=[^,\[]*),.*", r"\1", word) for word in words]


def small_words(option: str, words: Sequence[str], sets: Path) -> list[str]:
    """Return words that give the run of other words small data and small networks."""
    tree = OmegaConf.to_container(compose(words), resolve=False)
    assert isinstance(tree, dict)
    data, networks = tree["data"], tree["model"]["networks"]
    small = ["iterations=2", "data.batch_size=2", "data.cache=null", "data.num_workers=0"]
    small.append(f"data.image_size={SIZES.get(option, '64')}")
    small += [f"data.load_size={LOAD_SIZES[option]}"] if option in LOAD_SIZES else []
    if "root" in data:
        root = sets / ("afhq" if data["domains"] == ["cat", "dog", "wild"] else data["name"])
        small += [f"data.{key}={root}" for key in ("root", "val_root") if key in data]
    else:
        small += ["data.num_images=24", "data.num_val_images=12"]
    for role, node in networks.items():
        entry = NETWORKS.entry(node["name"])
        if entry.facts.get("pretrained"):
            small += [f"model.networks.{role}.base_width=2"] if node.get("weights") in VGG else []
        else:
            known = {parameter.name for parameter in entry.parameters}
            small += [f"++model.networks.{role}.{key}={width}" for key, width in WIDTHS.items() if key in known]
    return [*small, *FURTHER.get(option, [])]


@pytest.mark.parametrize("option", EXPERIMENTS)
def test_an_experiment_runs(option: str, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sets)  # the files of VGG are beside the data
    torch.set_num_threads(1)
    words = [word for word in words_of(option) if not re.search(r"data\.(val_)?root=", word)]
    train_stages([*words, *RUN], tmp_path, lambda words: small_words(option, words, sets))
    for folder in tmp_path.iterdir():
        assert newest(folder).iteration == 2


def test_the_ladder_has_tests_of_its_own() -> None:
    assert set(groups()["experiments"]) == {*EXPERIMENTS, *LADDER}
