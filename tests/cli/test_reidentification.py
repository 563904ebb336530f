"""docs/reidentification.md on people drawn by formula: training, evaluation, official names, the way into a learner."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from cli.test_apply_names import CYCLEGAN, weights
from people import CAMERAS, draw, market1501
from training.tiny import RUN, tiny_stargan_v1
from translate.cli import main
from translate.config.compose import load
from translate.runs import checkpoints
from translate.training import run

PAGE = Path(__file__).parents[2] / "docs" / "reidentification.md"
DOMAINS = tuple(f"c{number + 1}" for number in range(len(CAMERAS)))
PERSONS = 2
STARGAN_V1 = {"generator": {"name": "stargan_v1_generator", "num_labels": 6, "base_width": 4, "num_blocks": 1}}


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a small data set in Market-1501's layout."""
    monkeypatch.chdir(tmp_path)
    market1501(Path("market"), persons=PERSONS, each=1, junk=1)
    return Path("market")


def quoted(word: str) -> list[list[str]]:
    """Return the words of the commands of the page that begin with a word."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith(f"python -m translate {word}")]
    return [shlex.split(line)[3:] for line in lines]


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path("market", folder).glob("*.jpg"))


def test_the_same_person_and_camera_are_drawn_the_same() -> None:
    assert (draw(3, 1, 0) == draw(3, 1, 0)).all()
    assert (draw(3, 1, 0) != draw(3, 2, 0)).any()
    assert draw(3, 1, 0).shape == (128, 64, 3)


def test_the_page_translates_under_the_official_names_and_feeds_a_learner(market: Path) -> None:
    sets = ({"kind": "classes", "names": list(DOMAINS)},)
    weights(
        Path("hhl.safetensors"),
        "stargan_v1",
        STARGAN_V1,
        DOMAINS,
        label_sets=sets,
        arguments={"label_sets": list(sets)},
    )
    weights(Path("camstyle_c1_c2.safetensors"), "cyclegan", CYCLEGAN, ("c1", "c2"))
    real = [path.stem for path in (market / "bounding_box_train").glob("0*.jpg")]
    for words in quoted("apply"):
        assert main(words) == 0
    assert names_in("bounding_box_train_hhl") == sorted(f"{name}_fake_{k}.jpg" for name in real for k in range(1, 7))
    both = [
        path.stem for path in (market / "bounding_box_train").glob("*_c[12]s*.jpg")
    ]  # junk included, as in CamStyle
    camera = {name: int(re.search(r"_c(\d)s", name)[1]) for name in both}  # type: ignore[index]
    assert names_in("bounding_box_train_camstyle") == sorted(
        f"{name}_fake_{camera[name]}to{3 - camera[name]}.jpg" for name in both
    )
    for folder in ("bounding_box_train_hhl", "bounding_box_train_camstyle"):
        for path in (market / folder).glob("*.jpg"):
            assert (Image.open(path).format, Image.open(path).size) == ("JPEG", (64, 128))
    _learn(len(real))


def _learn(num_real: int) -> None:
    """Run the program of the page, and check that translations have the persons of their sources."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(compile(program, str(PAGE), "exec"), names)
    people = [item for item in names["real"] if item[1] != 0]
    assert len(people) == PERSONS * len(CAMERAS)
    assert num_real == len(names["real"])
    lines = map(json.loads, Path("market/bounding_box_train_camstyle/translations.jsonl").read_text().splitlines())
    source_of = {line["output"]: (Path(line["source"]).name, line["target"]) for line in lines}
    assert names["fake"]
    for path, person, camera in names["fake"]:
        source, target = source_of[path.name]
        assert source.startswith(f"{person:04d}_c")
        assert target == f"c{camera}"
    batch = names["batch"]()
    assert len(batch) == 128 + 46
    for number, (path, probabilities) in enumerate(batch):
        assert sum(probabilities) == pytest.approx(1)
        assert path.exists()
        assert max(probabilities) == pytest.approx(1.0 if number < 128 else 0.9 + 0.1 / len(names["label_of"]))


def test_cameras_are_learned_and_evaluated(market: Path, tmp_path: Path) -> None:
    """The recipe of `reid/hhl` on a small network: crops of 64 x 32 from 72 x 36, then the scores of protocol local."""
    size = ["data.image_size=[64,32]", "data.load_size=[72,36]", "data.augment=resize_crop_flip", "data.batch_size=4"]
    data = ["data=market1501", f"data.root={market}", "data.num_workers=0", "data.cache=cache", *size]
    words = [*tiny_stargan_v1.model, *data, *RUN, "budget=null", "iterations=2"]
    folder = tmp_path / "run"
    assert run.train(load(words), folder, None, words) == 0
    saved = checkpoints.newest(folder)
    assert saved.config["data"]["image_size"] == [64, 32]
    assert saved.domains == DOMAINS
    caches = sorted(json.loads(path.read_text())["size"] for path in Path("cache").glob("*.json"))
    assert caches == [[64, 32], [72, 36]]
    settings = ["metrics=local", "metrics.local.num_iterations=3", "metrics.local.num_sources=12"]
    assert main(["evaluate", f"run={folder}", "device=cpu", *settings]) == 0
    scores = json.loads((folder / "metrics" / "local_last.json").read_text())
    assert scores["data"]["image_size"] == [64, 32]
    assert 0 <= scores["scores"]["domain accuracy"] <= 1
