"""Protocol independent: identity, probe and distances by features that know nothing of the run."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data.datasets.critters import Critters
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation.evaluator import EvaluatedModel, Evaluator
from translate.evaluation.processes import SINGLE_PROCESS
from translate.evaluation.specs import metric_specs
from translate.metrics import extractors
from translate.metrics.extractors import Faces, Gradients, faces_file
from translate.metrics.independent import nearer_to, relative_distance
from translate.metrics.marks import WORSE_THAN_SOURCE
from translate.models.base import TranslationModel
from translate.runs.scores import Result

CPU = torch.device("cpu")
NODES = {name: {"name": f"{name}_independent", "extractor": "gradients"} for name in ("fid", "kid", "prdc", "identity")}


class Model(TranslationModel):
    """Apply a function to the sources."""

    def __init__(self, change: Any) -> None:
        super().__init__({"generator": torch.nn.Linear(1, 1)}, {}, {}, {})
        self.change = change

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style: Any) -> Tensor:
        return self.change(x)


class Brightness:
    """Features: the mean of each colour of the left and of the right half."""

    def __call__(self, pixels: np.ndarray) -> Tensor:
        halves = torch.from_numpy(pixels).float().split(pixels.shape[2] // 2, dim=2)
        return torch.cat([half.mean((1, 2)) for half in halves], dim=1)


def scored(change: Any, folder: Path, nodes: dict[str, Any] = NODES) -> Result:
    torch.set_num_threads(1)
    parts = {part: Critters(60, 40, split=part, domains=["cat", "rabbit"]) for part in ("train", "val")}
    data = DataModule(**parts, image_size=32, batch_size=4, view="unpaired", augment="none")
    subject = EvaluatedModel(Model(change), "last", folder, lambda: Model(torch.zeros_like))
    result = Evaluator(nodes, data, None, CPU, SINGLE_PROCESS).evaluate("independent", subject)
    assert result is not None
    return result


def test_copies_keep_their_identity_and_reach_no_target(tmp_path: Path) -> None:
    copy = scored(lambda x: x, tmp_path)
    assert copy.scores["identity (gradients)"] == 0
    assert copy.scores["target probe (gradients)"] < 0.4
    real = copy.columns["real"]
    assert real["target probe (gradients)"] > 0.6
    assert 0.85 < real["identity (gradients)"] < 1.15  # other animals are strangers
    assert real["FID (gradients)"] < copy.scores["FID (gradients)"]
    assert real["coverage (gradients)"] > 0
    assert copy.columns["source"] == pytest.approx(copy.scores, abs=1e-6)
    assert copy.columns["untrained"]["identity (gradients)"] > 0.8
    assert copy.better["FID (gradients)"] == "lower"


def test_patterns_that_keep_pose_but_change_nothing_are_worse_than_the_source(tmp_path: Path) -> None:
    pattern = 0.6 * torch.sign(torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0)))
    result = scored(lambda x: (x + pattern).clamp(-1, 1), tmp_path)
    assert result.scores["identity (gradients)"] < result.columns["real"]["identity (gradients)"]
    assert not any("identity (gradients)" in sentences for sentences in result.marks.values())
    assert "FID (gradients)" in result.marks[WORSE_THAN_SOURCE]


def test_identity_and_probe_are_those_of_plain_loops() -> None:
    draws = torch.Generator().manual_seed(0)
    y, s = torch.randn(5, 3, generator=draws), torch.randn(5, 3, generator=draws)
    own = [(y[i] - s[i]).norm().item() for i in range(5)]
    strangers = [(y[i] - s[j]).norm().item() for i in range(5) for j in range(5) if i != j]
    assert relative_distance(y, s) == pytest.approx(np.mean(own) / np.mean(strangers), rel=1e-5)
    assert np.isnan(relative_distance(y[:1], s[:1]))
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert nearer_to(rows, torch.tensor([0.0]), torch.tensor([2.8])) == 0.5


def test_another_extractor_has_scores_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extractors.EXTRACTORS, "inception", lambda file, device: Brightness())
    (tmp_path / "net.pth").write_bytes(b"weights")
    named = {"extractor": "inception", "weights": str(tmp_path / "net.pth")}
    result = scored(lambda x: x, tmp_path, {"fid": {"name": "fid_independent", **named}})
    assert list(result.scores) == ["FID (inception)"]
    assert list(result.request.weights) == ["net.pth"]
    both = scored(lambda x: x, tmp_path / "both", {"one": {"name": "fid_independent", **named}, "two": NODES["fid"]})
    assert set(both.scores) == {"FID (inception)", "FID (gradients)"}


def test_gradients_see_contours_and_colours() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, :, 16:] = 255
    features = Gradients()
    upright, turned = features(image), features(image.transpose(0, 2, 1, 3).copy())
    assert upright.shape == (1, 176)
    assert upright[0, :128].norm() == pytest.approx(1)
    assert (upright - turned).norm() > 1
    red = image.copy()
    red[..., 1:] = 0
    assert (features(red) - upright)[0, :128].norm() < 1e-3 < (features(red) - upright)[0, 128:].norm()
    assert features(np.zeros((2, 32, 32, 3), np.uint8)).isfinite().all()


def test_an_unknown_extractor_is_refused() -> None:
    with pytest.raises(UserError, match=r"metrics.m.extractor: unknown extractor 'face'. Did you mean 'faces'"):
        metric_specs({"m": {"name": "fid_independent", "extractor": "face"}})


def test_a_missing_extra_is_said_before_the_evaluation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extractors, "FACES_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"(needs the library dlib|face recogniser are not installed).*\[faces\]"):
        scored(lambda x: x, tmp_path, {"fid": {"name": "fid_independent", "extractor": "faces"}})
    with pytest.raises(UserError, match="there is no file"):
        faces_file(str(tmp_path / "recogniser.dat"), "weights")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UserError, match=r"needs dlib.*translate-gan\[faces\]"):
        Faces(tmp_path)


def test_faces_are_aligned_by_landmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The calls of dlib, in their order, with a stand-in for the library."""
    calls: list[Any] = []
    dlib: Any = ModuleType("dlib")
    dlib.rectangle = lambda *corners: corners
    dlib.shape_predictor = lambda path: (
        lambda image, where: calls.append((Path(path).name, image.shape, where)) or "marks"
    )
    dlib.get_face_chip = lambda image, marks, size, padding: np.full((size, size, 3), image.mean(), np.uint8)

    class Recogniser:
        def __init__(self, path: str) -> None:
            calls.append(Path(path).name)

        def compute_face_descriptor(self, chips: list[np.ndarray]) -> list[list[float]]:
            return [[float(chip.mean())] * 128 for chip in chips]

    dlib.face_recognition_model_v1 = Recogniser
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    for name in extractors.FACES_FILES:
        (tmp_path / name).touch()
    assert faces_file(str(tmp_path / extractors.FACES_FILES[0]), "weights").parent == tmp_path
    features = Faces(tmp_path)(np.stack([np.full((64, 64, 3), value, np.uint8) for value in (10, 200)]))
    assert features.shape == (2, 128)
    assert features[:, 0].tolist() == [10, 200]
    assert calls[1] == ("shape_predictor_5_face_landmarks.dat", (256, 256, 3), (56, 72, 200, 215))
    assert Faces(tmp_path)(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 128)


def test_features_of_the_evaluator_are_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[str] = []

    def make(file: Path | None, device: torch.device) -> Gradients:
        made.append("gradients")
        return Gradients()

    monkeypatch.setitem(extractors.EXTRACTORS, "gradients", make)
    scored(lambda x: x, tmp_path)
    assert made == ["gradients"]
