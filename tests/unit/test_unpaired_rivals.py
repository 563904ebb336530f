"""The benchmark of models and adversaries at equal cost: its configurations, and the rows of its table."""

import sys
from argparse import Namespace
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import unpaired_rivals as script


def arguments(out: Path, **values: object) -> Namespace:
    usual = {"pairs": None, "digits": None, "domains": ["cat", "rabbit"], "size": 32, "batch_size": 4}
    return Namespace(out=out, **(usual | values))


def test_every_model_has_a_configuration(tmp_path: Path) -> None:
    for name in script.MODELS:
        config = script.configuration(name, arguments(tmp_path), 40, 3)
        assert (config.iterations, config.seed, config.data.batch_size) == (40, 3, 4)
        assert config.model.name == name.partition("/")[0].replace("fastcut", "cut")


def test_drawings_are_unpaired_for_models_and_paired_for_metrics(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for style in ("ink", "oil"):
            (tmp_path / "drawings" / split / style).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / "drawings" / split / style / "ball.png")
    args = arguments(tmp_path, pairs=tmp_path / "drawings", domains=["ink", "oil"])
    config = script.configuration("cyclegan/hinge", args, 4, 0)
    assert (tmp_path / "pairs" / "A" / "val" / "ball.png").is_file()
    assert set(config.metrics) >= {"psnr_paired", "pixel_accuracy_paired"}
    assert config.model.losses["adversarial"]["name"] == "hinge"


def test_scores_are_those_of_the_first_direction(tmp_path: Path) -> None:
    tasks = {"cat -> rabbit": {"FID": 2.0, "translations": 9.0}, "rabbit -> cat": {"FID": 4.0, "translations": 9.0}}
    assert script.direction(tasks, arguments(tmp_path)) == {"FID": 2.0}
    assert script.direction(tasks, arguments(tmp_path, domains=["dog", "cat"])) == {"FID": 3.0}


def test_rows_have_means_and_deviations_over_seeds() -> None:
    runs = [{"trained": {"PSNR": 10.0}, "source": {"PSNR": 9.0}}, {"trained": {"PSNR": 12.0}, "source": {"PSNR": 9.0}}]
    assert list(script.rows({"cut": runs})) == [
        "| model | PSNR |",
        "| --- | --- |",
        "| cut, trained | 11 ± 1.4 |",
        "| cut, source | 9 ± 0 |",
    ]
