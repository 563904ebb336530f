"""Evaluation is sharded, resumable and cached without a change of its scores; weights are found, fetched, refused."""

import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate import signals
from translate.data.datasets.critters import Critters
from translate.data.datasets.critters_outlines import CrittersOutlines
from translate.data.module import DataModule, Shard
from translate.errors import UserError
from translate.evaluation import feature_networks, pretrained, reference_statistics
from translate.evaluation.evaluator import EvaluatedModel, Evaluator
from translate.evaluation.processes import SINGLE_PROCESS
from translate.evaluation.specs import metric_specs
from translate.evaluation.streaming import FeaturesInput, OutputsInput, StreamSettings, modes, stream
from translate.evaluation.streams import REFERENCE_BATCH, reference_rows
from translate.evaluation.tasks import translation_tasks
from translate.metrics import selection
from translate.metrics import weights as known_weights
from translate.metrics.accumulators import FeatureStatistics, Sample, Values, merged
from translate.metrics.classifier import Local
from translate.metrics.distributions import FidLocal, KidLocal
from translate.metrics.paired import PsnrPaired
from translate.metrics.weights import FILES
from translate.models.base import TranslationModel
from translate.runs import scores as scores_files

CPU = torch.device("cpu")
DOMAINS = ["bear", "cat", "rabbit"]


def data_of(view: str = "reference", labels: str | None = None, num_val: int = 42) -> DataModule:
    parts = {part: Critters(90, num_val, split=part, domains=DOMAINS) for part in ("train", "val")}
    return DataModule(**parts, image_size=32, batch_size=4, view=view, labels=labels, augment="none")


class Tinted(TranslationModel):
    """Shift the colours of the source by what style_inputs it: every translation tells its code or reference."""

    def __init__(self, style_inputs: tuple[str, ...] = ("code", "reference")) -> None:
        super().__init__({"generator": torch.nn.Linear(1, 1)}, {}, {}, {})
        self._style_inputs, self.latent_size = style_inputs, 3
        self.seen = 0

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the style inputs that the test has chosen."""
        return self._style_inputs

    def translate(
        self, x: Tensor, target: Tensor, code: Tensor | None = None, reference: Tensor | None = None, **_: Any
    ) -> Tensor:
        self.seen += len(x)
        shift = code if code is not None else torch.zeros(len(x), 3) if reference is None else reference.mean((2, 3))
        return 0.7 * x + 0.1 * shift[:, :, None, None]


class MeanColours:
    """Features: the colours of a picture in four places."""

    calls = 0

    def __call__(self, pixels: np.ndarray) -> Tensor:
        self.calls += 1
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.fixture(autouse=True)
def short_classifier_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the classifier for two batches: its quality does not matter here."""
    monkeypatch.setattr(Local.__init__, "__defaults__", (6, 2, 2e-3))


# --- tasks --------------------------------------------------------------------------------------------------


def test_routes_are_all_ordered_pairs() -> None:
    data = data_of()
    found = translation_tasks(data)
    assert {route.name for route in found} == {f"{a} -> {b}" for a in DOMAINS for b in DOMAINS if a != b}
    assert len({route.number for route in found}) == 6
    domain = data.val.domain
    assert domain is not None
    assert data.train.domain is not None
    for route in found:
        source, target = (DOMAINS.index(name) for name in route.name.split(" -> "))
        assert set(domain[route.sources]) == {source}
        assert len(route.sources) == (domain == source).sum()
        assert set(domain[route.references]) == {target}
        assert np.array_equal(route.reals, np.flatnonzero(data.train.domain == target))
        assert route.targets[:4].tolist() == [target] * 4


def test_routes_of_attributes_go_both_ways() -> None:
    data = data_of("labelled", "attributes")
    assert data.train.attributes is not None
    names = data.train.attribute_names
    found = {route.name: route for route in translation_tasks(data)}
    assert set(found) == {f"{way}" for name in names for way in (f"without {name} -> with", f"with {name} -> without")}
    table = data.label_table("val")
    for column, name in enumerate(names):
        route = found[f"without {name} -> with"]
        assert (table[route.sources, column] == 0).all()
        change = route.targets - torch.from_numpy(table[route.sources])
        assert (change[:, column] == 1).all()
        assert change.abs().sum() == len(route.sources)
        assert (data.train.attributes[route.reals, column] == 1).all()


def test_routes_of_classes_are_told_as_labels() -> None:
    found = {route.name: route for route in translation_tasks(data_of("labelled", "domain"))}
    assert len(found) == 6
    route = found["cat -> rabbit"]
    assert route.targets[:2].tolist() == [[0, 0, 1]] * 2


def paired_data() -> DataModule:
    parts = {part: CrittersOutlines(20, 6, split=part) for part in ("train", "val")}
    return DataModule(**parts, image_size=32, batch_size=4, view="paired", augment="none")


def test_a_paired_model_goes_one_way() -> None:
    (route,) = translation_tasks(paired_data())
    assert route.name == "outline -> drawing"
    assert len(route.sources) == 3


# --- style_inputs -------------------------------------------------------------------------------------------------


def drawn_in_turn(count: int, num_sources: int, num_outputs: int, seed: int) -> dict[tuple[int, int], int]:
    """Return the reference of every (source, output) as a loop over shuffled batches hands them out."""
    found, size = {}, min(32, count)
    waiting: list[np.ndarray] = []
    turn = 0
    for start in range(0, num_sources, 32):
        for number in range(num_outputs):
            if not waiting:
                order = shuffled_order(count, turn, seed)
                waiting = [order[k : k + size] for k in range(0, count - size + 1, size)]
                turn += 1
            batch = waiting.pop(0)
            for row in range(min(32, num_sources - start)):
                found[start + row, number] = int(batch[row % size])
    return found


def shuffled_order(count: int, turn: int, seed: int) -> np.ndarray:
    """Return the shuffle number ``turn``, read off the whole batches of the function under test."""
    size = min(REFERENCE_BATCH, count)
    in_a_round = count // size
    rows = [
        reference_rows(count, np.arange(REFERENCE_BATCH)[:size], turn * in_a_round + k, 10**6, seed, 0)
        for k in range(in_a_round)
    ]
    found = np.concatenate(rows)
    assert len(set(found.tolist())) == len(found)  # no reference comes twice in a round
    return found


@pytest.mark.parametrize("count", [100, 32, 7])
def test_references_come_in_shuffled_batches(count: int) -> None:
    expected = drawn_in_turn(count, 70, 10, seed=5)
    for number in range(10):
        found = reference_rows(count, np.arange(70), number, 10, 5, 0)
        assert found.tolist() == [expected[source, number] for source in range(70)]
    alone = reference_rows(count, np.array([40]), 3, 10, 5, 0)
    assert alone.tolist() == [expected[40, 3]]
    other = reference_rows(count, np.arange(70), 0, 10, 6, 0)
    assert other.tolist() != [expected[source, 0] for source in range(70)]


def test_modes_are_named() -> None:
    assert modes(("code", "reference")) == {"latent": "code", "reference": "reference"}
    assert modes(()) == {"": None}


# --- streaming ----------------------------------------------------------------------------------------------


class SpreadOfOutputs:
    """Reads how much the outputs of a source differ."""

    def read(self, outputs: list[Tensor]) -> Tensor:
        return torch.stack(outputs).std(0).mean((1, 2, 3))


def streamed(batch_size: int, shard: Shard, guide: str) -> list[Any]:
    data, model = data_of(), Tinted()
    how = StreamSettings(num_outputs=4, batch_size=batch_size, seed=3, device=CPU)
    readings = [
        FeaturesInput(FeatureStatistics(), shared := MeanColours()),
        FeaturesInput(Sample(11), shared),
        OutputsInput(Values(), SpreadOfOutputs()),
    ]
    stream(model, data, translation_tasks(data)[1], guide, how, readings, shard)
    assert shared.calls == -(-len(range(shard.rank, 14, shard.count)) // batch_size)  # not twice for two accumulators
    return [reading.accumulator for reading in readings]


@pytest.mark.parametrize("guide", ["code", "reference"])
def test_two_shards_and_other_batches_give_the_same(guide: str) -> None:
    moments, sample, values = streamed(32, Shard(), guide)
    parts = [streamed(3, Shard(rank, 2), guide) for rank in range(2)]
    for found in ([merged(list(pair)) for pair in zip(*parts, strict=True)], streamed(5, Shard(), guide)):
        assert len(found[0]) == 14 * 4
        torch.testing.assert_close(found[0].mean, moments.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[0].covariance(), moments.covariance(), rtol=1e-9, atol=1e-12)
        assert found[1].positions.tolist() == sample.positions.tolist()
        torch.testing.assert_close(found[1].rows, sample.rows)
        np.testing.assert_allclose(found[2].in_order(), values.in_order(), rtol=1e-6)
    assert values.in_order().min() > 1e-3  # every output has a code or reference of its own


def test_routes_draw_codes_of_their_own() -> None:
    data, found = data_of(), []
    for route in (translation_tasks(data)[0], replace(translation_tasks(data)[0], number=1)):
        accumulator = FeatureStatistics()
        stream(Tinted(), data, route, "code", StreamSettings(2, 8, 0, CPU), [FeaturesInput(accumulator, MeanColours())])
        found.append(accumulator.mean)
    assert not found[0].allclose(found[1], atol=1e-4)


# --- real images --------------------------------------------------------------------------------------------


def real_accumulators(cache: Path | None, facts: dict[str, Any] | None, features: Any) -> dict[str, Any]:
    data = data_of()
    makers = {"moments": FeatureStatistics, "sample 7": partial(Sample, 7)}
    return reference_statistics.reference_statistics(
        data.train, np.arange(5, 65), 32, makers, features, facts, cache, SINGLE_PROCESS
    )


def test_real_statistics_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    features = MeanColours()
    first = real_accumulators(tmp_path, {"weights": "a"}, features)
    assert features.calls == 1
    again = real_accumulators(tmp_path, {"weights": "a"}, features)
    assert features.calls == 1
    assert again["moments"].scatter.equal(first["moments"].scatter)
    assert again["sample 7"].rows.equal(first["sample 7"].rows)
    real_accumulators(tmp_path, {"weights": "b"}, features)
    real_accumulators(None, {"weights": "a"}, features)
    real_accumulators(tmp_path, None, features)
    assert features.calls == 4
    assert len(list((tmp_path / "statistics").iterdir())) == 4


def test_damaged_statistics_are_computed_again(tmp_path: Path) -> None:
    features = MeanColours()
    first = real_accumulators(tmp_path, {}, features)
    for path in (tmp_path / "statistics").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = real_accumulators(tmp_path, {}, features)
    assert features.calls == 2
    assert again["moments"].mean.equal(first["moments"].mean)


def test_real_pictures_are_shared_out() -> None:
    dataset, items = data_of().train, np.arange(10, 31)
    parts = [list(reference_statistics.images_of(dataset, items, 16, Shard(rank, 3), 4)) for rank in range(3)]
    positions = np.concatenate([places for part in parts for _, places in part])
    assert sorted(positions.tolist()) == list(range(21))
    pixels, places = parts[1][0]
    assert places.tolist() == [1, 4, 7, 10]
    np.testing.assert_array_equal(pixels[2], dataset.read(17, 16))


# --- an evaluator -------------------------------------------------------------------------------------------

LOCAL = {
    "local": {"name": "local", "num_sources": 6, "num_iterations": 2},
    "fid": {"name": "fid_local"},
    "kid": {"name": "kid_local", "subset_size": 8, "num_subsets": 3},
    "prdc": {"name": "prdc_local", "nearest": 2},
}


def evaluator(nodes: dict[str, Any], data: DataModule | None = None, **settings: Any) -> Evaluator:
    torch.set_num_threads(1)
    return Evaluator(nodes, data or data_of(), None, CPU, SINGLE_PROCESS, **settings)


def test_figures_are_means_over_routes_with_all_that_they_need(tmp_path: Path) -> None:
    found = evaluator(LOCAL, batch_size=5).evaluate("local", EvaluatedModel(Tinted(), "last", tmp_path))
    assert found is not None
    assert {"FID, latent", "FID, reference", "KID, latent", "coverage, reference"} <= set(found.scores)
    assert "domain accuracy, latent" in found.scores
    latent = [figures["FID"] for key, figures in found.tasks.items() if key.endswith(", latent")]
    assert len(latent) == 6
    assert found.scores["FID, latent"] == pytest.approx(np.mean(latent))
    assert all(figures["translations"] == 14 for figures in found.tasks.values())
    assert found.better["FID, latent"] == "lower"
    assert found.better["domain accuracy, latent"] == "higher"
    assert any("FID of 14 images in 128 features" in warning for warning in found.warnings)
    tree = json.loads((tmp_path / "metrics" / "local_last.json").read_text())
    assert tree["protocol"] == "local"
    assert tree["networks"] == "trained"  # this model has no averages
    assert tree["metrics"]["fid_local"]["classifier"]["num_iterations"] == 2
    assert {"seed", "iteration", "data", "environment", "tasks", "warnings"} <= set(tree)
    assert {"commit", "command", "packages"} <= set(tree["environment"])


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    nodes = {"fid": LOCAL["fid"]}
    whole = evaluator(nodes).evaluate("local", EvaluatedModel(Tinted(), "last", tmp_path / "whole"))
    assert whole is not None
    model = Tinted()
    subject = EvaluatedModel(model, "last", tmp_path / "stopped")
    translate = model.translate

    def interrupted(*arguments: Any, **style_input: Any) -> Tensor:
        if model.seen == 5 * 14:
            signals.receive(signal.SIGTERM)
        return translate(*arguments, **style_input)

    model.translate = interrupted  # type: ignore[method-assign]
    with signals.handled(ends_process=False) as outcome, signals.deferred():
        evaluator(nodes).evaluate("local", subject)
    assert outcome.code == 128 + signal.SIGTERM
    model.translate = translate  # type: ignore[method-assign]
    assert model.seen == 6 * 14
    assert not (tmp_path / "stopped" / "metrics" / "local_last.json").exists()
    found = evaluator(nodes).evaluate("local", subject)
    assert model.seen == 12 * 14
    assert found is not None
    assert found.scores == pytest.approx(whole.scores)
    assert list(found.tasks) == list(whole.tasks)
    assert not scores_files.partial_of(tmp_path / "stopped" / "metrics" / "local_last.json").exists()


def test_what_is_measured_is_not_measured_again_and_another_model_is(tmp_path: Path) -> None:
    nodes, model = {"fid": LOCAL["fid"]}, Tinted()
    subject = EvaluatedModel(model, "last", tmp_path)
    first = evaluator(nodes).evaluate("local", subject)
    seen = model.seen
    again = evaluator(nodes).evaluate("local", replace(subject, checkpoint="best"))  # the same networks
    assert model.seen == seen
    assert first is not None
    assert again is not None
    assert again.scores == first.scores
    assert (tmp_path / "metrics" / "local_best.json").is_file()
    with torch.no_grad():
        next(model.generator.parameters()).add_(1)
    evaluator(nodes).evaluate("local", subject)
    assert model.seen == 2 * seen
    evaluator(nodes, seed=1).evaluate("local", subject)
    assert model.seen == 3 * seen
    assert (tmp_path / "metrics" / "local_last_seed1.json").is_file()


def test_figures_of_other_metrics_of_the_same_model_stay(tmp_path: Path) -> None:
    subject = EvaluatedModel(Tinted(("code",)), "last", tmp_path)
    evaluator({"fid": LOCAL["fid"]}).evaluate("local", subject)
    evaluator({"prdc": LOCAL["prdc"]}).evaluate("local", subject)
    tree = json.loads((tmp_path / "metrics" / "local_last.json").read_text())
    assert {"FID, latent", "recall, latent"} <= set(tree["scores"])
    assert set(tree["metrics"]) == {"fid_local", "prdc_local"}
    assert {"FID", "recall"} <= set(tree["tasks"]["cat -> bear, latent"])
    assert len(tree["tasks"]) == 6


def test_pairs_are_compared_with_what_was_wanted(tmp_path: Path) -> None:
    data, nodes = paired_data(), {"psnr": {"name": "psnr_paired"}, "ssim": {"name": "ssim_paired"}}

    class Knowing(Tinted):
        def translate(self, x: Tensor, target: Tensor, **_: Any) -> Tensor:
            assert target.tolist() == [1] * len(x)
            held = data.rows("val", translation_tasks(data)[0].sources)
            assert held.partner is not None
            rows = [int((held.image - each).abs().flatten(1).sum(1).argmin()) for each in x]
            return held.partner[rows]

    perfect = evaluator(nodes, data, batch_size=4).evaluate("paired", EvaluatedModel(Knowing(()), "last", tmp_path))
    assert perfect is not None
    assert perfect.scores == pytest.approx({"PSNR": 100, "SSIM": 1})
    worse = evaluator(nodes, data).evaluate("paired", EvaluatedModel(Tinted(()), "000001", tmp_path))
    assert worse is not None
    assert worse.scores["PSNR"] < 30
    with pytest.raises(UserError, match="paired needs pairs"):
        evaluator(nodes).evaluate("paired", EvaluatedModel(Tinted(()), "last", tmp_path))


def test_metrics_are_chosen_by_protocol_and_no_figure_comes_twice() -> None:
    found = metric_specs(LOCAL)
    assert [each.label for each in found["local"]] == list(LOCAL)
    assert isinstance(found["local"][1].metric, FidLocal)
    assert isinstance(found["local"][2].metric, KidLocal)
    assert isinstance(metric_specs({"p": {"name": "psnr_paired"}})["paired"][0].metric, PsnrPaired)
    with pytest.raises(UserError, match=r"metrics\.b: another metric gives FID of protocol local"):
        metric_specs({"a": {"name": "fid_local"}, "b": {"name": "fid_local"}})


def test_a_model_without_style_inputs_has_no_diversity(tmp_path: Path, weights_folder: Path) -> None:
    nodes = {"lpips": {"name": "lpips_official", "weights": str(weights_folder / "alexnet.pth")}}
    found = evaluator(nodes).evaluate("official", EvaluatedModel(Tinted(()), "last", tmp_path))
    assert found is not None
    assert found.scores == {}
    assert all("this model gives one" in warning for warning in found.warnings)


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with random weights of AlexNet and of torchvision's Inception."""
    from torchvision.models import alexnet, inception_v3

    place = tmp_path_factory.mktemp("weights")
    torch.save(alexnet(weights=None).state_dict(), place / "alexnet.pth")
    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), place / "inception.pth")
    return place


def test_inception_figures_are_kept_apart_by_weights(tmp_path: Path, weights_folder: Path) -> None:
    parts = {part: Critters(8, 2, split=part, domains=DOMAINS[:2]) for part in ("train", "val")}
    data = DataModule(**parts, image_size=32, batch_size=4, augment="crop_flip")
    nodes = {"kid": {"name": "kid_official", "weights": str(weights_folder / "inception.pth")}}
    model = Tinted(("code",))
    found = Evaluator(nodes, data, tmp_path, CPU, SINGLE_PROCESS).evaluate(
        "official", EvaluatedModel(model, "last", tmp_path)
    )
    assert found is not None
    assert set(found.scores) == {"KID, latent"}
    assert np.isfinite(found.scores["KID, latent"])
    assert all(route["translations"] == 10 and route["real images"] == 4 for route in found.tasks.values())
    assert len(list((tmp_path / "statistics").iterdir())) == 2  # of each target, for the whole of the training part
    assert found.request.weights == {"inception.pth": pretrained.digest_of(weights_folder / "inception.pth")}


def test_each_protocol_has_its_own_real_images_and_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two protocols share a file of weights, but neither the preprocessing nor the real images."""
    (tmp_path / "net.pth").write_bytes(CONTENT)
    weights, networks = str(tmp_path / "net.pth"), {name: MeanColours() for name in ("clean", "pytorch_fid")}
    for name, network in networks.items():
        monkeypatch.setitem(feature_networks.NETWORKS, name, lambda *_, network=network: network)
    nodes = {name: {"name": f"fid_{name}", "weights": weights} for name in networks}
    evaluating, model = evaluator(nodes), EvaluatedModel(Tinted(("code",)), "last", tmp_path)
    tasks = {}
    for name, network in networks.items():
        result = evaluating.evaluate(name, model)
        assert result is not None
        tasks[name] = result.tasks["cat -> bear, latent"]
        assert network.calls > 0
    assert (tasks["clean"]["translations"], tasks["clean"]["real images"]) == (140, 30)
    assert (tasks["pytorch_fid"]["translations"], tasks["pytorch_fid"]["real images"]) == (14, 14)
    assert tasks["pytorch_fid"]["FID"] > 0


def test_lpips_by_the_official_protocol_is_of_ten_outputs(tmp_path: Path, weights_folder: Path) -> None:
    nodes = {"lpips": {"name": "lpips_official", "weights": str(weights_folder / "alexnet.pth")}}
    data, model = data_of(num_val=6), Tinted(("code",))
    evaluating = Evaluator(nodes, data, None, CPU, SINGLE_PROCESS)
    found = evaluating.evaluate("official", EvaluatedModel(model, "last", tmp_path))
    assert found is not None
    assert model.seen == 6 * 2 * 10
    assert found.scores["LPIPS, latent"] > 0
    assert list(found.request.weights) == ["alexnet.pth"]


class Filtered(TranslationModel):
    """Change every image in a way of one's own, the same for all targets."""

    def __init__(self, change: Any) -> None:
        super().__init__({}, {}, {}, {})
        self.change = change

    def translate(self, x: torch.Tensor, target: torch.Tensor, *args: Any, **guide: Any) -> torch.Tensor:
        return self.change(x)


@pytest.mark.parametrize("protocol", ["local", "official"])
def test_likeness_to_the_source(protocol: str, tmp_path: Path, weights_folder: Path) -> None:
    nodes: dict[str, Any] = {
        "local": {"s": {"name": "ssim_source_local"}},
        "official": {"s": {"name": "lpips_source_official", "weights": str(weights_folder / "alexnet.pth")}},
    }[protocol]
    name, kept = {"local": ("SSIM to the source", 1.0), "official": ("LPIPS to the source", 0.0)}[protocol]
    grey = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    changes = {
        "same": lambda x: x,
        "grey": lambda x: (x * grey).sum(1, keepdim=True).expand_as(x),
        "mirrored": lambda x: x.flip(3),
        "shuffled": lambda x: x.flatten(2)[:, :, torch.randperm(x[0, 0].numel())].view_as(x),
    }
    found = {}
    evaluating = Evaluator(nodes, data_of(num_val=6), None, CPU, SINGLE_PROCESS)
    for number, (way, change) in enumerate(changes.items()):
        model = Filtered(change)
        model.iteration = number  # or the second is taken for the first, which has the same weights, none
        result = evaluating.evaluate(protocol, EvaluatedModel(model, "last", tmp_path / way))
        assert result is not None
        assert list(result.scores) == [name]
        found[way] = abs(result.scores[name] - kept)
    assert found["same"] == pytest.approx(0, abs=1e-4)
    assert found["same"] < found["mirrored"] < found["shuffled"]
    if protocol == "local":  # colours do not count
        assert found["grey"] == pytest.approx(0, abs=1e-4)
    else:
        assert found["grey"] > 1e-3


# --- best ---------------------------------------------------------------------------------------------------


def test_best_is_a_figure_with_a_direction() -> None:
    found = selection.find("FID", LOCAL)
    assert (found.protocol, found.better) == ("local", "lower")
    assert found.value({"FID, latent": 3.0, "FID, reference": 5.0, "KID, latent": 9.0}) == 4
    assert found.value({"KID, latent": 9.0}) is None
    assert selection.find("FID, latent", LOCAL).value({"FID, latent": 3.0, "FID, reference": 5.0}) == 3
    assert selection.find("kid_local", LOCAL).score == "KID"
    assert found.improves(3, None)
    assert found.improves(3, 4)
    assert not found.improves(float("nan"), 4)
    assert selection.find("recall, latent", LOCAL).improves(0.3, 0.2)


def test_best_that_nothing_gives_is_refused() -> None:
    with pytest.raises(UserError, match="no metric of this run gives the score"):
        selection.find("FIDD", {"local": LOCAL["local"]})
    both = {"a": {"name": "fid_local"}, "b": {"name": "fid_clean"}}
    with pytest.raises(UserError, match=r"protocols clean, local\. Fix: name the metric"):
        selection.find("FID", both)
    assert selection.find("fid_clean", both).protocol == "clean"


# --- files --------------------------------------------------------------------------------------------------

CONTENT = b"weights " * 1000


class Server(ThreadingHTTPServer):
    """Serves a folder and counts what is asked for."""

    asked: list[str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server of a folder on this machine."""
    place = tmp_path / "served"
    place.mkdir()
    (place / "net.pth").write_bytes(CONTENT)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(place))

        def log_message(self, *_: Any) -> None:
            assert isinstance(self.server, Server)
            self.server.asked.append(self.path)

    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, server: Server, sha256: str) -> None:
    url = f"http://127.0.0.1:{server.server_port}/net.pth"
    file = known_weights.WeightsFile("net.pth", (url,), sha256, "a network")
    monkeypatch.setitem(known_weights.FILES, "alexnet", file)


@pytest.mark.parametrize("digits", [8, 64])
def test_weights_are_fetched_once(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, digits: int) -> None:
    publish(monkeypatch, server, hashlib.sha256(CONTENT).hexdigest()[:digits])
    path = pretrained.find("alexnet", None, "metrics.lpips.weights", tmp_path / "cache")
    assert path == tmp_path / "cache" / "weights" / "net.pth"
    assert path.read_bytes() == CONTENT
    assert pretrained.find("alexnet", None, "metrics.lpips.weights", tmp_path / "cache") == path
    assert len(server.asked) == 1


def test_other_content_is_not_taken_for_the_weights(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digits in ("0" * 8, "0" * 64):
        publish(monkeypatch, server, digits)
        with pytest.raises(UserError, match=r"could not be fetched from .*net\.pth"):
            pretrained.find("alexnet", None, "metrics.lpips.weights", tmp_path / "cache")
        assert not (tmp_path / "cache" / "weights" / "net.pth").exists()
    (tmp_path / "cache" / "weights" / "net.pth").write_bytes(b"placed by hand")
    with pytest.raises(UserError, match="found the SHA-256"):
        pretrained.find("alexnet", None, "metrics.lpips.weights", tmp_path / "cache")


def test_without_weights_one_sentence_says_what_to_do(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, server, "0" * 64)
    (tmp_path / "served" / "net.pth").unlink()
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    (folder / FILES["inception_fid"].file).write_bytes(b"here")
    with pytest.raises(UserError) as caught:
        evaluator_at({"lpips": {"name": "lpips_official"}}, tmp_path / "cache")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("metrics.lpips.weights: net.pth (a network) is missing")
    assert str(folder / "net.pth") in said
    assert "metrics.lpips.weights=FILE" in said
    without = "independent, local, paired, super_resolution, clean, pytorch_fid"
    assert said.endswith(f"a protocol that needs no further file: {without}")


def evaluator_at(nodes: dict[str, Any], cache: Path) -> Evaluator:
    return Evaluator(nodes, data_of(), cache, CPU, SINGLE_PROCESS)


def test_weights_named_by_path_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    found = evaluator_at({"l": {"name": "lpips_official", "weights": str(tmp_path / "mine.pth")}}, tmp_path)
    assert found.paths == {"l": tmp_path / "mine.pth"}
    with pytest.raises(UserError, match=r"metrics\.l\.weights: there is no file .*none\.pth"):
        evaluator_at({"l": {"name": "lpips_official", "weights": str(tmp_path / "none.pth")}}, tmp_path)
