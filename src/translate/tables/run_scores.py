"""The scores in run folders, by protocol and checkpoint."""

import glob
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate.config.expected import Expected
from translate.config.expected import read as read_expected
from translate.config.schema import RESULT_NEUTRAL_KEYS, experiment_key, read_yaml
from translate.errors import Phrase, UserError
from translate.metrics.marks import SIGNS
from translate.metrics.protocols import Scores
from translate.metrics.selection import base_name
from translate.runs import remote_runs
from translate.runs import scores as scores_files
from translate.runs.folder import BEST, CONFIG_FILE, LAST, RunFolder, run_folders
from translate.runs.scores import Result

IGNORED_KEYS = RESULT_NEUTRAL_KEYS | {"seed"}
"""Keys in which runs of one experiment may differ."""


@dataclass(frozen=True)
class RunScores:
    """The scores of one checkpoint of a run by one protocol."""

    folder: Path
    name: str
    seed: int  # of the training
    config: Mapping[str, Any]  # identifies the experiment, without the seed: a flat mapping
    protocol: str
    checkpoint: str  # last, best or an iteration
    iteration: int
    networks: str  # ema or trained
    data: str  # the fingerprints of the data
    scores: Mapping[str, float]
    better: Mapping[str, str]  # score -> lower or higher, where it is known
    written: float  # time of the file
    expected: Expected | None = None  # of the experiment
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # the rows source, untrained, real
    marks: Mapping[str, frozenset[str]] = field(default_factory=dict)  # kind -> the scores that are marked


def folders(names: Iterable[str]) -> list[Path]:
    """Return the run folders in or below folders and patterns; UserError for one without any."""
    paths: dict[Path, None] = {}
    for name in names:
        if "://" in name:
            places = [remote_runs.local(name, "table")]
        else:
            places = [Path(place) for place in sorted(glob.glob(name))] or [Path(name)]
        runs = [run.path for place in places for run in run_folders(place)]
        if not runs:
            raise UserError(
                key=name, found=Phrase(f"no run folder (a folder with {CONFIG_FILE})"), expected="runs/<name>/<time>"
            )
        paths.update(dict.fromkeys(runs))
    return list(paths)


def scores_of_run(folder: Path, of_tasks: Iterable[str] = ()) -> Iterator[RunScores]:
    """Yield the scores of a run by protocol and checkpoint, the mean over the seeds of the evaluation.

    Scores of single tasks, "FID, horse -> zebra", are read where ``of_tasks`` or the expectation of the run names them.
    The checkpoint ``best`` has the scores of its iteration, if it was not evaluated by itself.
    """
    RunFolder(folder).check_kinds()
    config = read_yaml(RunFolder(folder).config_file, ("seed",))
    expected = read_expected(config.get("expected"))
    named = {*of_tasks, *(() if expected is None else (score.score for score in expected.scores))}
    groups: dict[tuple[Any, ...], list[tuple[Result, float]]] = {}
    for path, result in _with_best(folder, list(scores_files.of_run(folder, strict=True))):
        request = result.request
        key = (request.protocol, result.checkpoint, request.iteration, request.networks)
        groups.setdefault(key, []).append((result, path.stat().st_mtime))
    for (protocol, checkpoint, iteration, networks), results in groups.items():
        values: dict[str, list[float]] = {}
        better: dict[str, str] = {}
        for result, _ in results:
            of_task = {name: value for name, value in result.by_task().items() if name in named}
            for name, value in {**result.scores, **of_task}.items():
                if math.isfinite(value):
                    values.setdefault(name, []).append(value)
            ways = {base_name(name): way for name, way in result.better.items()}
            better.update(result.better)
            better.update({name: ways[base_name(name)] for name in of_task if base_name(name) in ways})
        scores: Scores = {name: statistics.fmean(each) for name, each in values.items()}
        yield RunScores(
            folder,
            str(config.get("name")),
            int(config["seed"]),
            experiment_key(config, IGNORED_KEYS),
            protocol,
            checkpoint,
            iteration,
            networks,
            _data(folder, results[0][0]),
            scores,
            better,
            max(written for _, written in results),
            expected,
            _columns(result for result, _ in results),
            {kind: frozenset(name for result, _ in results for name in result.marks.get(kind, {})) for kind in SIGNS},
        )


def _columns(results: Iterable[Result]) -> dict[str, Scores]:
    """Return the rows beside a run, the mean over the seeds of the evaluation."""
    values: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for row, scores in result.columns.items():
            for name, value in scores.items():
                if math.isfinite(value):
                    values.setdefault(row, {}).setdefault(name, []).append(value)
    return {row: {name: statistics.fmean(each) for name, each in scores.items()} for row, scores in values.items()}


def _with_best(folder: Path, results: list[tuple[Path, Result]]) -> Iterator[tuple[Path, Result]]:
    """Yield results, and those of the best iteration as results of the checkpoint ``best`` where it has none."""
    yield from results
    note = scores_files.read_best(scores_files.best_file(folder))
    if note is None:
        return
    of_best = [(path, result) for path, result in results if result.request.iteration == note["iteration"]]
    evaluated = {result.request.protocol for _, result in of_best if result.checkpoint == BEST}
    for path, result in of_best:
        if result.checkpoint not in (LAST, BEST) and result.request.protocol not in evaluated:
            yield path, replace(result, checkpoint=BEST)


def _data(folder: Path, result: Result) -> str:
    parts = result.request.data or RunFolder(folder).noted_data()
    fingerprints = [str(part.get("fingerprint")) for part in parts.values() if isinstance(part, Mapping)]
    return " ".join(fingerprints) or "unknown"
