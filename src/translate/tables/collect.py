"""The scores of runs, grouped by experiment: mean and spread over seeds, one table for each protocol.

Scores of two protocols are not comparable, so no table holds both.
"""

import glob
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from translate.config.schema import RESULT_NEUTRAL_KEYS, experiment_key, read_yaml
from translate.errors import Phrase, UserError, printable
from translate.metrics.protocols import FORMER_NAMES, Scores
from translate.metrics.selection import base_name
from translate.runs import scores as scores_files
from translate.runs.folder import BEST, CONFIG_FILE, RunFolder, run_folders
from translate.runs.scores import Result

IGNORED_KEYS = RESULT_NEUTRAL_KEYS | {"seed"}
"""Keys in which runs of one experiment may differ."""

LATENT = ", latent"


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


@dataclass(frozen=True)
class Cell:
    """A score over the seeds of an experiment."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Return the standard deviation of a sample (divided by n - 1); None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """An experiment: its scores over its seeds, and the checkpoints that were evaluated."""

    name: str
    checkpoint: str
    networks: str
    iterations: tuple[int, ...]  # of the checkpoints, ascending
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    reported: Mapping[str, float] = field(default_factory=dict)  # in the paper


@dataclass(frozen=True)
class Table:
    """The rows of one protocol."""

    protocol: str
    scores: tuple[str, ...]
    better: Mapping[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    reported: tuple[str, ...] = ()  # scores that the paper reports
    source: str | None = None  # the paper


@dataclass(frozen=True)
class Paper:
    """The scores that a paper reports, by patterns of names of experiments."""

    source: str
    protocol: str
    rows: Mapping[str, Mapping[str, float]]

    def of(self, name: str) -> Mapping[str, float]:
        """Return the reported scores of an experiment."""
        return next((scores for pattern, scores in self.rows.items() if fnmatchcase(name, pattern)), {})


def read_paper(path: Path) -> Paper:
    """Return the reported scores in a YAML file with the keys source, protocol and rows; UserError for another file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = {
            str(pattern): {str(name): float(value) for name, value in scores.items()}
            for pattern, scores in tree["rows"].items()
        }
        protocol = str(tree["protocol"])
        return Paper(str(tree["source"]), FORMER_NAMES.get(protocol, protocol), rows)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", key="paper") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = printable(str(error))
        raise UserError(
            f"{path} is not a file of reported scores ({reason})",
            key="paper",
            expected="the keys source, protocol and rows, and in rows 'name of an experiment: {score: number}'",
        ) from error


# --- reading ------------------------------------------------------------------------------------------------


def folders(names: Iterable[str]) -> list[Path]:
    """Return the run folders in or below folders and patterns; UserError for one without any."""
    paths: dict[Path, None] = {}
    for name in names:
        places = [Path(place) for place in sorted(glob.glob(name))] or [Path(name)]
        runs = [run.path for place in places for run in run_folders(place)]
        if not runs:
            raise UserError(
                key=name, found=Phrase(f"no run folder (a folder with {CONFIG_FILE})"), expected="runs/<name>/<time>"
            )
        paths.update(dict.fromkeys(runs))
    return list(paths)


def scores_of_run(folder: Path) -> Iterator[RunScores]:
    """Yield the scores of a run by protocol and checkpoint, the mean over the seeds of the evaluation."""
    config = read_yaml(RunFolder(folder).config_file)
    groups: dict[tuple[Any, ...], list[tuple[Result, float]]] = {}
    for path, result in scores_files.of_run(folder):
        request = result.request
        key = (request.protocol, result.checkpoint, request.iteration, request.networks)
        groups.setdefault(key, []).append((result, path.stat().st_mtime))
    for (protocol, checkpoint, iteration, networks), results in groups.items():
        values: dict[str, list[float]] = {}
        better: dict[str, str] = {}
        for result, _ in results:
            for name, value in result.scores.items():
                if math.isfinite(value):
                    values.setdefault(name, []).append(value)
            better.update(result.better)
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
        )


def _data(folder: Path, result: Result) -> str:
    parts = result.request.data or RunFolder(folder).noted_data()
    fingerprints = [str(part.get("fingerprint")) for part in parts.values() if isinstance(part, Mapping)]
    return " ".join(fingerprints) or "unknown"


# --- grouping -----------------------------------------------------------------------------------------------


def tables(runs: Sequence[RunScores], wanted: Sequence[str] = (), paper: Paper | None = None) -> list[Table]:
    """Return a table for each protocol; ``wanted`` scores have their mode, "FID, latent", or not, "FID"."""
    labels = _labels(runs)
    return [
        _table(protocol, [run for run in runs if run.protocol == protocol], labels, wanted, paper)
        for protocol in dict.fromkeys(run.protocol for run in runs)
    ]


def _table(
    protocol: str, runs: Sequence[RunScores], labels: Mapping[str, str], wanted: Sequence[str], paper: Paper | None
) -> Table:
    runs, notes = _beside_latent(runs, labels)
    groups: dict[tuple[Any, ...], dict[int, RunScores]] = {}
    for run in sorted(runs, key=lambda run: run.written):
        iteration = run.iteration if run.checkpoint != BEST else None  # the best iterations of seeds may differ
        group = groups.setdefault((labels[_key(run)], run.checkpoint, run.networks, iteration), {})
        if run.seed in group:
            notes.append(
                f"{labels[_key(run)]}, seed {run.seed}: evaluated in {group[run.seed].folder} and {run.folder}; the "
                "newer one counts"
            )
        group[run.seed] = run
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    if wanted:
        names = [name for name in names if name in wanted or base_name(name) in wanted]
    rows = [_row(key, group, names, paper) for key, group in sorted(groups.items(), key=lambda item: str(item[0]))]
    if len({run.data for run in runs}) > 1:
        notes.append("the rows are of different data: " + _by_data(runs, labels))
    reported: tuple[str, ...] = ()
    if paper is not None:
        reported = tuple(dict.fromkeys(name for row in rows for name in row.reported))
        if reported and paper.protocol != protocol:
            notes.append(
                f"the paper's scores are of protocol {paper.protocol}, this table of {protocol}: compare orders, not "
                "numbers"
            )
    better = {name: way for run in runs for name, way in run.better.items()}
    source = paper.source if paper is not None and reported else None
    return Table(protocol, tuple(names), better, tuple(rows), tuple(dict.fromkeys(notes)), reported, source)


def _beside_latent(runs: Sequence[RunScores], labels: Mapping[str, str]) -> tuple[list[RunScores], list[str]]:
    """Return the runs with the scores of models without style inputs in the columns of mode latent, and a note.

    "FID" of a model that gives one translation of an image is compared with "FID, latent" of a model with codes.
    """
    latent = {name for run in runs for name in run.scores if name.endswith(LATENT)}
    moved: dict[str, None] = {}
    result = []
    for run in runs:
        names = {name: name + LATENT for name in run.scores if name + LATENT in latent - run.scores.keys()}
        if names:
            moved[labels[_key(run)]] = None
        scores = {names.get(name, name): value for name, value in run.scores.items()}
        better = {names.get(name, name): way for name, way in run.better.items()}
        result.append(replace(run, scores=scores, better=better))
    note = f"{', '.join(moved)}: gives one translation of an image; its scores are in the columns of mode latent"
    return result, [note] if moved else []


def _row(key: tuple[Any, ...], group: Mapping[int, RunScores], names: Sequence[str], paper: Paper | None) -> Row:
    runs = [group[seed] for seed in sorted(group)]
    cells = {}
    for name in names:
        values = tuple(run.scores[name] for run in runs if name in run.scores)
        if values:
            cells[name] = Cell(values)
    iterations = tuple(sorted({run.iteration for run in runs}))
    reported = paper.of(runs[0].name) if paper is not None else {}
    return Row(key[0], key[1], key[2], iterations, tuple(sorted(group)), cells, reported)


def _key(run: RunScores) -> str:
    return f"{run.name} {json.dumps(run.config, sort_keys=True, default=str)}"


def _labels(runs: Sequence[RunScores]) -> dict[str, str]:
    """Return the label of each experiment: its name, and the keys in which experiments of that name differ."""
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for run in runs:
        by_name.setdefault(run.name, {})[_key(run)] = run.config
    labels = {}
    for name, configs in by_name.items():
        keys = {key for config in configs.values() for key in config}
        differing = sorted(key for key in keys if len({str(config.get(key)) for config in configs.values()}) > 1)
        for identity, config in configs.items():
            values = ", ".join(f"{_short(key, differing)}={config.get(key)}" for key in differing)
            labels[identity] = f"{name} ({values})" if values else name
    return labels


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the shortest end of a dotted key that no other key of these has."""
    parts = key.split(".")
    for k in range(len(parts) - 1, 0, -1):
        end = ".".join(parts[k:])
        if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
            return end
    return key


def _by_data(runs: Sequence[RunScores], labels: Mapping[str, str]) -> str:
    members: dict[str, list[str]] = {}
    for run in runs:
        members.setdefault(run.data, []).append(labels[_key(run)])
    return "; ".join(", ".join(dict.fromkeys(names)) for names in members.values())
