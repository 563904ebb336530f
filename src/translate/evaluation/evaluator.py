"""Measure a model by the metrics of a protocol: all routes, all modes, then means."""

import hashlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation import classifier_scores, pretrained, results
from translate.evaluation.processes import Group
from translate.evaluation.reference_statistics import tallied
from translate.evaluation.results import Figures, Request, Result
from translate.evaluation.streaming import Reading, Stream, modes, stream
from translate.evaluation.tasks import Route, routes
from translate.metrics.accumulators import Accumulator
from translate.metrics.classifier import Local
from translate.metrics.features import CleanInception, Features, PublishedInception
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.selection import base
from translate.models.base import TranslationModel
from translate.registry.registry import METRICS
from translate.runs.environment import environment

log = logging.getLogger("translate")

NETWORKS: dict[str, Callable[[Path, torch.device], Features]] = {
    "inception_torchvision": PublishedInception,
    "inception_fid": CleanInception,
}
"""What reads the weights by which a protocol compares features."""


KEPT_TARGETS = 8
"""Of how many targets the real statistics stay in memory; routes come in the order of their targets."""


@dataclass(frozen=True)
class Chosen:
    """A configured metric."""

    label: str
    name: str
    metric: Any
    arguments: dict[str, Any]
    reads: str
    file: str | None  # the key of the weights that it needs

    @property
    def where(self) -> str:
        """Return the configuration's key that names its weights."""
        return f"metrics.{self.label}.weights"


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    model: TranslationModel
    checkpoint: str  # "last", "best" or the iteration, for the names of files
    folder: Path  # the run's
    untrained: Callable[[], TranslationModel] | None = None  # for a column beside the judge's figures


def choose(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Chosen]]:
    """Return the configured metrics (label -> node) by protocol; UserError for a figure that comes twice."""
    found: dict[str, list[Chosen]] = {}
    figures: set[tuple[str, str]] = set()
    for label, node in nodes.items():
        name, arguments = node["name"], {key: value for key, value in node.items() if key != "name"}
        facts = METRICS.facts(name)
        protocol = facts.get("protocol")
        if protocol not in PROTOCOLS or "reads" not in facts:
            raise UserError(
                f"metrics.{label}.name: the registration of {name!r} must say protocol=..., one of "
                f"{', '.join(PROTOCOLS)}, and reads=..."
            )
        for figure in facts.get("figures", {}):
            if (protocol, figure) in figures:
                raise UserError(f"metrics.{label}: another metric gives {figure} of protocol {protocol} already")
            figures.add((protocol, figure))
        file = facts.get("weights", PROTOCOLS[protocol].weights if facts["reads"] == "features" else None)
        metric = METRICS.get(name)(**arguments)
        found.setdefault(protocol, []).append(Chosen(label, name, metric, arguments, facts["reads"], file))
    return found


class Evaluator:
    """Measures models on one data set: what does not depend on the model is done once.

    ``nodes`` are the configured metrics by label. ``cache`` keeps weights and real statistics (None: nothing is kept of
    the latter). ``batch_size`` sources are translated at once by each process of ``group``. Weights are found, or
    fetched, when an Evaluator is made: UserError where they cannot be.
    """

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, Any]],
        data: DataModule,
        cache: Path | None,
        device: torch.device,
        group: Group,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        self.chosen = choose(nodes)
        self.data, self.cache, self.device, self.group = data, cache, device, group
        self.batch_size, self.seed = batch_size, seed
        self.paths = {
            each.label: pretrained.find(each.file, getattr(each.metric, "weights", None), each.where, cache)
            for metrics in self.chosen.values()
            for each in metrics
            if each.file is not None
        }
        self._judge: tuple[Local, int] | None = None
        self._networks: dict[Path, Features] = {}
        self._prepared: set[str] = set()
        self._reals: dict[tuple[int, bytes], dict[str, Accumulator]] = {}

    @property
    def protocols(self) -> list[str]:
        """Return the names of the protocols, in the order of the configuration."""
        return list(self.chosen)

    def measure(self, protocol: str, subject: Subject, stop: Callable[[], bool] = lambda: False) -> Result | None:
        """Return the figures of a model by one protocol, written to its run folder; None if it was stopped.

        Routes that an earlier, stopped evaluation has done are taken from there, and so is a whole result of the same
        request.
        """
        request = self._request(protocol, subject)
        path = results.path_of(subject.folder, protocol, subject.checkpoint, self.seed)
        judged = any(each.reads == "judge" for each in self.chosen[protocol])
        beside = judged and subject.untrained is not None
        known = self.group.of_first(_known(path, request, beside) if self.group.first else None)
        if known is not None:
            log.info("%s: measured before, with the same result", path)
            found: Result | None = _as_result(known, request, subject.checkpoint)
        else:
            found = self._measure(protocol, subject, request, path, stop)
        if found is not None and self.group.first:
            results.write(path, found, known["environment"] if known else environment(self.seed))
        return found

    def _measure(
        self, protocol: str, subject: Subject, request: Request, path: Path, stop: Callable[[], bool]
    ) -> Result | None:
        result = Result(request, subject.checkpoint)
        chosen = self.chosen[protocol]
        judging = [each for each in chosen if each.reads == "judge"]
        streamed = [each for each in chosen if each.reads != "judge"]
        if streamed:
            done = self._stream(protocol, streamed, subject.model, request, path, stop)
            if done is None:
                return None
            result.routes, result.figures, result.doubts = done
            if self.group.first:
                _say_doubts(result.doubts)
        for each in judging:
            figures, result.columns = self.group.of_first(self._judged(each.metric, subject))
            result.figures = figures | result.figures
        directions = {f: better for each in chosen for f, better in METRICS.facts(each.name)["figures"].items()}
        result.better = {name: directions[base(name)] for name in result.figures if base(name) in directions}
        return result

    # --- streamed metrics -----------------------------------------------------------------------------------

    def _stream(
        self,
        protocol: str,
        chosen: Sequence[Chosen],
        model: TranslationModel,
        request: Request,
        path: Path,
        stop: Callable[[], bool],
    ) -> tuple[dict[str, Figures], Figures, list[str]] | None:
        """Return the figures of all routes and modes, their means, and doubts; None if it was stopped."""
        if protocol == "paired" and self.data.val.partner is None:
            raise UserError(f"metrics: protocol paired needs pairs, which this data set ({self.data.view}) has not")
        done, doubts = self.group.of_first(results.load_partial(path, request) if self.group.first else None)
        work = [
            (route, mode, guide)
            for route in routes(self.data)
            for mode, guide in modes(tuple(model.style_inputs)).items()
        ]
        left = [(route, mode, guide) for route, mode, guide in work if _key(route, mode) not in done]
        if done and self.group.first:
            log.info("protocol %s: %d of %d are done already", protocol, len(done), len(work))
        num_outputs = PROTOCOLS[protocol].num_outputs
        total = sum(len(route.sources) * (num_outputs if guide else 1) for route, _, guide in left)
        shown = self.group.first and is_interactive()
        with tqdm(total=total, unit="img", desc=protocol, disable=not shown, dynamic_ncols=True) as bar:
            for route, mode, guide in left:
                if any(self.group.collect(stop())):
                    return None
                key = _key(route, mode)
                figures, remarks = self._route(protocol, chosen, model, route, guide, bar.update)
                done[key] = figures
                doubts += [f"{key}: {remark}" for remark in remarks]
                if self.group.first:
                    results.save_partial(path, request, done, doubts)
                    if not shown:
                        said = ", ".join(f"{name} {value:.5g}" for name, value in figures.items())
                        log.info("protocol %s, %s (%d of %d): %s", protocol, key, len(done), len(work), said)
        found = {_key(route, mode): done[_key(route, mode)] for route, mode, _ in work}
        return found, _means([(mode, done[_key(route, mode)]) for route, mode, _ in work]), doubts

    def _route(
        self,
        protocol: str,
        chosen: Sequence[Chosen],
        model: TranslationModel,
        route: Route,
        guide: str | None,
        progress: Callable[[int], object],
    ) -> tuple[Figures, list[str]]:
        """Return the figures of one route in one mode, with the numbers of images, and what is doubtful."""
        if not len(route.sources) or not len(route.reals) or (guide == "reference" and not len(route.references)):
            return {"translations": 0.0}, ["there are no images to translate, or none to compare with"]
        num_outputs = PROTOCOLS[protocol].num_outputs if guide else 1
        fakes: dict[str, Reading] = {}
        remarks: list[str] = []
        names: dict[str, str] = {}  # label -> key of `fakes`
        for each in chosen:
            if each.reads == "outputs" and num_outputs < 2:
                remarks.append("LPIPS is of several translations of a source, and this model gives one")
                continue
            self._prepare(each)
            accumulator = each.metric.accumulator()
            shared = each.reads == "features"
            features = self._features(protocol, each) if shared else None
            names[each.label] = f"{id(features)} {accumulator.key}" if shared else each.label
            fakes.setdefault(names[each.label], Reading(each.reads, each.metric, accumulator, features))
        how = Stream(num_outputs, self.batch_size, self.seed, self.device)
        count = self.group.shard.count
        stream(
            model, self.data, route, guide, how, list(fakes.values()), self.group.shard, lambda n: progress(n * count)
        )
        # ids differ between processes, the order of readings does not
        merged = self.group.merged({str(number): each.accumulator for number, each in enumerate(fakes.values())})
        accumulators = dict(zip(fakes, merged.values(), strict=True))
        figures: Figures = {}
        for each in chosen:
            if each.label not in names:
                continue
            fake = accumulators[names[each.label]]
            if each.reads == "features":
                real = self._real(protocol, each, chosen, route)[each.metric.accumulator().key]
                figures |= each.metric.figures(fake, real, self.device)
                figures["real images"] = float(len(real))
                remarks += each.metric.doubts(fake, real)
            else:
                figures |= each.metric.figures(fake)
                remarks += each.metric.doubts(fake)
        return {**figures, "translations": float(len(route.sources) * num_outputs)}, remarks

    def _real(self, protocol: str, each: Chosen, chosen: Sequence[Chosen], route: Route) -> dict[str, Accumulator]:
        """Return the tallies of the real images that a route is compared with, for all metrics on the same features."""
        features = self._features(protocol, each)
        key = (id(features), route.reals.tobytes())
        if key not in self._reals:
            makers: dict[str, Callable[[], Accumulator]] = {}
            for other in chosen:
                if other.reads == "features" and self._features(protocol, other) is features:
                    makers.setdefault(other.metric.accumulator().key, other.metric.accumulator)
            facts = None
            if each.file is not None:
                facts = {"protocol": protocol, "weights": pretrained.digest_of(self.paths[each.label])}
            size = self.data.image_size
            while len(self._reals) >= KEPT_TARGETS:
                del self._reals[next(iter(self._reals))]
            self._reals[key] = tallied(
                self.data.train, route.reals, size, makers, features, facts, self.cache, self.group
            )
        return self._reals[key]

    def _features(self, protocol: str, each: Chosen) -> Features:
        """Return what turns pictures into the features that a metric compares."""
        if each.file is None:
            assert protocol == "local", protocol
            return self._fitted(None)[0]
        path = self.paths[each.label]
        if path not in self._networks:
            self._networks[path] = NETWORKS[each.file](path, self.device)
        return self._networks[path]

    def _prepare(self, each: Chosen) -> None:
        if each.reads in ("outputs", "sources") and each.file is not None and each.label not in self._prepared:
            each.metric.prepare(self.paths[each.label], self.device)
            self._prepared.add(each.label)

    # --- the judge ------------------------------------------------------------------------------------------

    def _judging(self, wanted: Local | None) -> Local:
        """Return the metric whose judge serves all: the configured one, or as it is by default."""
        configured = [each.metric for each in self.chosen.get("local", []) if each.reads == "judge"]
        return wanted or (configured[0] if configured else Local())

    def _fitted(self, wanted: Local | None) -> tuple[Local, int]:
        """Return a metric with its judge, trained by the first process, and the number of content factors."""
        if self._judge is None:
            metric = self._judging(wanted)
            num_content = 0
            if self.group.first:
                log.info("training a judge on this run's own images")
                num_content = classifier_scores.fit_judge(metric, self.data, self.device)
                assert metric.judge is not None
            judge, num_content = self.group.of_first(
                (metric.judge.cpu(), num_content) if metric.judge is not None else None
            )
            metric.judge = judge.to(self.device)
            self._judge = metric, num_content
        return self._judge

    def _judged(self, metric: Local, subject: Subject) -> tuple[Figures, dict[str, Figures]]:
        """Return the judge's figures of a model, and the columns of others; nothing in a further process."""
        metric, num_content = self._fitted(metric)
        if not self.group.first:
            return {}, {}
        if subject.untrained is None:
            return classifier_scores.measure(metric, num_content, subject.model, self.data), {}
        columns = classifier_scores.columns(metric, num_content, subject.model, subject.untrained(), self.data)
        return columns.pop("trained"), columns

    # --- what is asked --------------------------------------------------------------------------------------

    def _request(self, protocol: str, subject: Subject) -> Request:
        chosen, parts = self.chosen[protocol], {"train": self.data.train, "val": self.data.val}
        read = [self.paths[each.label] for each in chosen if each.file is not None]
        read += [Path(each.arguments["linear"]).expanduser() for each in chosen if each.arguments.get("linear")]
        return Request(
            protocol=protocol,
            iteration=subject.model.iteration,
            networks="averaged" if subject.model.ema.networks else "trained",
            model=_digest(subject.model),
            seed=self.seed,
            metrics={each.name: self._settings(each) for each in chosen},
            weights={path.name: pretrained.digest_of(path) for path in read},
            data={
                "image_size": self.data.image_size,
                **{k: {"images": len(part), "fingerprint": part.fingerprint()} for k, part in parts.items()},
            },
        )

    def _settings(self, each: Chosen) -> dict[str, Any]:
        """Return the arguments of a metric, and for the judge's features how the judge is trained."""
        settings = {key: value for key, value in each.arguments.items() if key not in PATHS}
        if each.reads == "features" and each.file is None:
            judge = self._judging(None)
            settings["judge"] = {"num_iterations": judge.num_iterations, "learning_rate": judge.learning_rate}
        return settings


PATHS = ("weights", "linear")
"""Arguments of metrics that are paths: a request tells what lies there instead."""


def _digest(model: TranslationModel) -> str:
    """Return a digest of the networks that translate, the same on every device."""
    digest = hashlib.sha256()
    for role, network in sorted(model.inference_networks().items()):
        for name, tensor in network.state_dict().items():
            digest.update(f"{role}.{name}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _key(route: Route, mode: str) -> str:
    return f"{route.name}, {mode}" if mode else route.name


def _known(path: Path, request: Request, with_columns: bool) -> dict[str, Any] | None:
    """Return a result that holds what is asked for, in the file of this name or in another of the folder."""
    beside = sorted(path.parent.glob(f"{request.protocol}_*.json")) if path.parent.is_dir() else []
    for place in [path, *beside]:
        tree = None if place.stem.endswith(results.PARTIAL) else results.read(place)
        if tree is not None and results.same_request(tree, request) and (tree["columns"] or not with_columns):
            return tree
    return None


def _as_result(tree: Mapping[str, Any], request: Request, checkpoint: str) -> Result:
    def numbers(figures: Mapping[str, Any]) -> Figures:
        return {name: math.nan if value is None else float(value) for name, value in figures.items()}

    return Result(
        request,
        checkpoint,
        numbers(tree["figures"]),
        dict(tree["better"]),
        {name: numbers(figures) for name, figures in tree["routes"].items()},
        list(tree["doubts"]),
        {name: numbers(figures) for name, figures in tree["columns"].items()},
    )


NUMBERS = ("translations", "real images", "KID spread")
"""Entries of a route that are not figures to be averaged."""


def _means(found: Sequence[tuple[str, Figures]]) -> Figures:
    """Return the plain mean of each figure over routes, for each mode, as the StarGAN v2 paper averages."""
    values: dict[str, list[float]] = {}
    for mode, figures in found:
        for name, value in figures.items():
            if name not in NUMBERS:
                values.setdefault(f"{name}, {mode}" if mode else name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}


def _say_doubts(doubts: Sequence[str]) -> None:
    """Warn of what is doubtful: once for each kind, with the number of routes that it is true of."""
    kinds: dict[str, list[str]] = {}
    for doubt in doubts:
        kinds.setdefault(doubt.partition(": ")[2].partition(" ")[0], []).append(doubt)
    for same in kinds.values():
        log.warning("%s%s", same[0], f" (and {len(same) - 1} more)" if len(same) > 1 else "")
