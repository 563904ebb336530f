"""The rows source, untrained and real stand beside the scores of every protocol, and are computed once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.datasets.critters_outlines import CrittersOutlines
from translate.data.module import DataModule
from translate.evaluation import feature_networks, results
from translate.evaluation.evaluator import EvaluatedModel, Evaluator
from translate.evaluation.processes import SINGLE_PROCESS
from translate.metrics.marks import BETTER_THAN_REAL, WORSE_THAN_SOURCE
from translate.models.base import TranslationModel
from translate.runs.scores import Result

CPU = torch.device("cpu")
DOMAINS = ["bear", "cat"]
ROWS = ["source", "untrained", "real"]


class Model(TranslationModel):
    """Apply a function to the sources, for all targets and style inputs alike."""

    def __init__(self, change: Any, style_inputs: tuple[str, ...] = ()) -> None:
        super().__init__({"generator": torch.nn.Linear(1, 1)}, {}, {}, {})
        self.change, self._style_inputs, self.latent_size, self.seen = change, style_inputs, 2, 0

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the style inputs that the test has chosen."""
        return self._style_inputs

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style: Any) -> Tensor:
        self.seen += len(x)
        return self.change(x)


class Colours:
    """Features: the colours of an image in four places."""

    def __call__(self, pixels: Any) -> Tensor:
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def data_of(view: str = "reference") -> DataModule:
    parts = {part: Critters(40, 24, split=part, domains=DOMAINS) for part in ("train", "val")}
    return DataModule(**parts, image_size=32, batch_size=4, view=view, labels=None, augment="none")


def evaluated(model: Model, untrained: Model, folder: Path, checkpoint: str = "last") -> EvaluatedModel:
    return EvaluatedModel(model, checkpoint, folder, lambda: untrained)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return metrics of protocol `clean` whose network is `Colours`."""
    monkeypatch.setitem(feature_networks.NETWORKS, "clean", lambda *_: Colours())
    (tmp_path / "net.pth").write_bytes(b"weights")
    named = {"weights": str(tmp_path / "net.pth")}
    return {"fid": {"name": "fid_clean", **named}, "prdc": {"name": "prdc_clean", "nearest": 2, **named}}


def scored(nodes: dict[str, Any], protocol: str, subject: EvaluatedModel, cache: Path | None = None) -> Result:
    torch.set_num_threads(1)
    result = Evaluator(nodes, data_of(), cache, CPU, SINGLE_PROCESS).evaluate(protocol, subject)
    assert result is not None
    return result


def test_rows_stand_beside_distances(weights: dict[str, Any], tmp_path: Path) -> None:
    dark, noise = Model(lambda x: x - 0.5, ("code", "reference")), Model(torch.zeros_like, ("code", "reference"))
    result = scored(weights, "clean", evaluated(dark, noise, tmp_path / "run"))
    assert list(result.columns) == ROWS
    fid = {row: scores["FID, latent"] for row, scores in result.columns.items()}
    assert max(fid["real"], fid["source"]) < min(fid["untrained"], result.scores["FID, latent"])
    assert fid["source"] == result.columns["source"]["FID, reference"]
    assert set(result.columns["real"]) == set(result.scores)
    assert "FID, latent" in result.marks[WORSE_THAN_SOURCE]
    copy = scored(weights, "clean", evaluated(Model(lambda x: x), noise, tmp_path / "copy"))
    assert copy.scores["FID"] == pytest.approx(fid["source"], rel=1e-6)
    assert "worse than the source as it is" in results.table(result)
    assert "worse than the source as it is" not in results.table(copy)


def test_rows_are_computed_once(weights: dict[str, Any], tmp_path: Path) -> None:
    untrained, cache = Model(torch.zeros_like), tmp_path / "cache"
    first = scored(weights, "clean", evaluated(Model(lambda x: x - 0.5), untrained, tmp_path / "a"), cache)
    seen = untrained.seen
    assert seen > 0
    second = scored(weights, "clean", evaluated(Model(lambda x: x + 0.5), untrained, tmp_path / "b"), cache)
    assert untrained.seen == seen
    assert second.columns == first.columns
    assert second.scores != first.scores
    assert len(list((cache / "rows").iterdir())) == 3


def test_an_evaluation_without_rows_gets_them_later(weights: dict[str, Any], tmp_path: Path) -> None:
    model = Model(lambda x: x - 0.5)
    assert not scored(weights, "clean", EvaluatedModel(model, "last", tmp_path / "run")).columns
    seen = model.seen
    later = scored(weights, "clean", evaluated(model, Model(torch.zeros_like), tmp_path / "run"))
    assert list(later.columns) == ROWS
    assert model.seen == seen


def test_rows_of_the_classifier_and_of_grain(tmp_path: Path) -> None:
    nodes = {
        "local": {"name": "local", "num_sources": 8, "num_iterations": 2},
        "grain": {"name": "grain", "num_sources": 4},
        "ssim": {"name": "ssim_source_local"},
    }
    black = Model(lambda x: -torch.ones_like(x), ("code",))
    result = scored(nodes, "local", evaluated(Model(lambda x: x, ("code",)), black, tmp_path))
    source, untrained, real = (result.columns[row] for row in ROWS)
    for name in (
        "domain accuracy, latent",
        "content kept (R2), latent",
        "grain, latent",
        "coverage of real images, latent",
    ):
        assert source[name] == pytest.approx(result.scores[name])
        assert name in untrained
        assert name in real
    assert untrained["black, latent"] == untrained["constant, latent"] == 1
    assert untrained["coverage of real images, latent"] < real["coverage of real images, latent"]
    assert real["black, latent"] == 0
    assert real["grain, latent"] < 0.3
    assert "SSIM to the source, latent" not in real
    assert source["SSIM to the source, latent"] == pytest.approx(1)
    assert "distance between codes, style" not in source
    flawed = scored(nodes, "local", evaluated(black, black, tmp_path / "black"))
    assert "100.0% of the translations are black" in results.table(flawed)
    assert "black, latent" in flawed.marks[WORSE_THAN_SOURCE]


def test_diversity_is_compared_with_that_of_real_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from translate.metrics.lpips import LpipsOfficial

    def spread(self: Any, outputs: list[Tensor]) -> Tensor:
        return torch.stack(outputs).std(0).mean((1, 2, 3))

    monkeypatch.setattr(LpipsOfficial, "prepare", lambda *_: None)
    monkeypatch.setattr(LpipsOfficial, "read", spread)
    (tmp_path / "net.pth").write_bytes(b"weights")
    nodes = {"lpips": {"name": "lpips_official", "weights": str(tmp_path / "net.pth")}}
    loud = Model(lambda x: x + 3 * torch.rand(1), ("code",))
    result = scored(nodes, "official", evaluated(loud, Model(torch.zeros_like, ("code",)), tmp_path))
    assert list(result.columns) == ["untrained", "real"]
    assert result.columns["untrained"]["LPIPS, latent"] == 0
    assert 0 < result.columns["real"]["LPIPS, latent"] < result.scores["LPIPS, latent"]
    assert "LPIPS, latent" in result.marks[BETTER_THAN_REAL]


def test_a_source_is_compared_with_its_partner(tmp_path: Path) -> None:
    parts = {part: CrittersOutlines(20, 6, split=part) for part in ("train", "val")}
    data = DataModule(**parts, image_size=32, batch_size=4, view="paired", augment="none")
    nodes = {"psnr": {"name": "psnr_paired"}, "grain": {"name": "grain_paired"}}
    subject = evaluated(Model(lambda x: x), Model(torch.zeros_like), tmp_path)
    result = Evaluator(nodes, data, None, CPU, SINGLE_PROCESS).evaluate("paired", subject)
    assert result is not None
    assert result.columns["source"]["PSNR"] == result.scores["PSNR"]
    assert "PSNR" not in result.columns["real"]
    assert "grain" in result.columns["real"]
