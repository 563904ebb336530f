"""Tables of the scores of runs, grouped by experiment: mean and spread over seeds, one table for each protocol.

Scores of two protocols are not comparable, so no table holds both.
"""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from translate.config.expected import ExpectedScore
from translate.metrics.marks import FLAWS, SIGNS
from translate.metrics.selection import base_name
from translate.runs.folder import BEST, LAST
from translate.tables.reported import Paper, Reported
from translate.tables.run_scores import RunScores

LATENT = ", latent"

WEIGHTS = "model.weights."
"""The beginning of keys that an experiment's identity omits where their value is 0."""


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
class Verdict:
    """Whether the mean over seeds reaches what the experiment expects."""

    expected: ExpectedScore
    mean: float | None  # None: the run has no such score
    seeds: tuple[int, ...]  # of the mean
    wanted: tuple[int, ...]  # of the expectation

    def __str__(self) -> str:
        """Return the expectation, and met, not met or not measured, with the seeds that are missing."""
        word = "not measured" if self.mean is None else "met" if self.expected.is_met(self.mean) else "not met"
        missing = [str(seed) for seed in self.wanted if seed not in self.seeds]
        seeds = f" (without seed{'s' if len(missing) > 1 else ''} {', '.join(missing)})" if missing else ""
        return f"{self.expected}: {word}{seeds}"


@dataclass(frozen=True)
class Row:
    """An experiment: its scores over its seeds, and the checkpoints that were evaluated."""

    name: str
    checkpoint: str
    networks: str
    iterations: tuple[int, ...]  # of the checkpoints, ascending
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    reported: Mapping[str, tuple[Reported, ...]] = field(default_factory=dict)  # by papers, score by score
    expected: Mapping[str, Verdict] = field(default_factory=dict)  # of the experiment, score by score
    marks: Mapping[str, frozenset[str]] = field(default_factory=dict)  # kind -> scores that are marked for a seed


@dataclass(frozen=True)
class Table:
    """The rows of one protocol."""

    protocol: str
    scores: tuple[str, ...]
    better: Mapping[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    reported: tuple[str, ...] = ()  # scores that the paper reports
    sources: tuple[str, ...] = ()  # of the reported scores; a cell names them by number if there are several
    expected: tuple[str, ...] = ()  # scores that experiments expect
    beside: tuple[Row, ...] = ()  # the rows source, untrained and real


class OfExperiment(Protocol):
    """What belongs to an experiment: its name, and the configuration that identifies it."""

    @property
    def name(self) -> str:
        """Return the name of the experiment."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the configuration without the seed, a flat mapping."""


def tables(
    runs: Sequence[RunScores],
    wanted: Sequence[str] = (),
    paper: Paper | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[Table]:
    """Return a table for each protocol; ``wanted`` scores have their mode, "FID, latent", or not, "FID".

    ``labels`` names the experiments, see `labels_of`; by default they are those of the runs.
    """
    labels = labels_of(runs) if labels is None else labels
    return [
        _table(protocol, [run for run in runs if run.protocol == protocol], labels, wanted, paper)
        for protocol in dict.fromkeys(run.protocol for run in runs)
    ]


def _table(
    protocol: str, runs: Sequence[RunScores], labels: Mapping[str, str], wanted: Sequence[str], paper: Paper | None
) -> Table:
    runs, notes = beside_latent(runs, labels)
    groups: dict[tuple[Any, ...], dict[int, RunScores]] = {}
    for run in sorted(runs, key=lambda run: run.written):
        iteration = run.iteration if run.checkpoint != BEST else None  # the best iterations of seeds may differ
        group = groups.setdefault((labels[identity(run)], run.checkpoint, run.networks, iteration), {})
        if run.seed in group:
            places = f"{group[run.seed].folder} and {run.folder}"
            notes.append(f"{labels[identity(run)]}, seed {run.seed}: evaluated in {places}; the newer one counts")
        group[run.seed] = run
    names = _names(runs, wanted)
    rows = [_row(protocol, key, group, names, paper) for key, group in sorted(groups.items(), key=_order)]
    if len({run.data for run in runs}) > 1:
        notes.append("the rows are of different data: " + _by_data(runs, labels))
    shown = [score for row in rows for scores in row.reported.values() for score in scores]
    for source, theirs in dict.fromkeys((each.source, each.protocol) for each in shown if each.protocol != protocol):
        notes.append(
            f"the scores of {source} are of protocol {theirs}, this table is of {protocol}: compare orders, not numbers"
        )
    if paper is not None:
        notes += _left_out(runs, protocol, paper)
    notes += _other_expectations(runs, protocol)
    better = {name: way for run in runs for name, way in run.better.items()}
    return Table(
        protocol,
        tuple(names),
        better,
        tuple(rows),
        tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys(name for row in rows for name in row.reported)),
        tuple(dict.fromkeys(each.source for each in shown)),
        tuple(dict.fromkeys(name for row in rows for name in row.expected)),
        tuple(_beside(runs, names, labels)),
    )


def _names(runs: Sequence[RunScores], wanted: Sequence[str]) -> list[str]:
    """Return the scores of a table: the wanted ones; without any, all but fractions of flawed images that are 0."""
    names = dict.fromkeys(name for run in runs for name in run.scores)
    if wanted:
        return [name for name in names if name in wanted or base_name(name) in wanted]
    values = {name: [run.scores[name] for run in runs if name in run.scores] for name in names}
    return [name for name in names if base_name(name) not in FLAWS or any(values[name])]


def _beside(runs: Sequence[RunScores], names: Sequence[str], labels: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows source, untrained and real of each data; a value that all runs share is one value."""
    by_data: dict[str, list[RunScores]] = {}
    for run in runs:
        by_data.setdefault(run.data, []).append(run)
    for row in dict.fromkeys(row for run in runs for row in run.columns):
        for members in by_data.values():
            cells = {}
            for name in names:
                values = [run.columns[row][name] for run in members if name in run.columns.get(row, {})]
                if values:
                    cells[name] = Cell(tuple(dict.fromkeys(values)))
            of = ", ".join(dict.fromkeys(labels[identity(run)] for run in members))
            if cells:
                yield Row(f"{row} (of {of})" if len(by_data) > 1 else row, "-", "-", (), (), cells)


def _order(group: tuple[tuple[Any, ...], Any]) -> tuple[str, int, str]:
    """Return the place of a row: by experiment, then last, best, and iterations."""
    label, checkpoint, *rest = group[0]
    return label, {LAST: 0, BEST: 1}.get(checkpoint, 2), str((checkpoint, *rest))


def _left_out(runs: Sequence[RunScores], protocol: str, paper: Paper) -> Iterator[str]:
    """Yield a note on reported scores of other protocols, with which nothing here is compared."""
    for name in dict.fromkeys(run.name for run in runs):
        for report in paper.left_out(name, protocol):
            yield (
                f"{report.source} reports scores of {name} by protocol {report.protocol}, this table is of {protocol}: "
                "they are left out, since scores of two protocols are not comparable"
            )


def _other_expectations(runs: Sequence[RunScores], protocol: str) -> Iterator[str]:
    """Yield a note on expected scores of other protocols, with which nothing here is compared."""
    for run in runs:
        if run.expected is not None and run.expected.protocol != protocol:
            yield f"the scores that {run.name} expects are of protocol {run.expected.protocol}: not compared here"


def beside_latent(runs: Sequence[RunScores], labels: Mapping[str, str]) -> tuple[list[RunScores], list[str]]:
    """Return the runs with the scores of models without style inputs in the columns of mode latent, and a note.

    "FID" of a model that gives one translation of an image is compared with "FID, latent" of a model with codes.
    """
    latent = {name for run in runs for name in run.scores if name.endswith(LATENT)}
    moved: dict[str, None] = {}
    result = []
    for run in runs:
        names = {name: name + LATENT for name in run.scores if name + LATENT in latent - run.scores.keys()}
        if names:
            moved[labels[identity(run)]] = None
        scores = {names.get(name, name): value for name, value in run.scores.items()}
        better = {names.get(name, name): way for name, way in run.better.items()}
        columns = {
            row: {names.get(name, name): value for name, value in each.items()} for row, each in run.columns.items()
        }
        marks = {kind: frozenset(names.get(name, name) for name in each) for kind, each in run.marks.items()}
        result.append(replace(run, scores=scores, better=better, columns=columns, marks=marks))
    note = f"{', '.join(moved)}: gives one translation of an image; its scores are in the columns of mode latent"
    return result, [note] if moved else []


def _row(
    protocol: str, key: tuple[Any, ...], group: Mapping[int, RunScores], names: Sequence[str], paper: Paper | None
) -> Row:
    runs = [group[seed] for seed in sorted(group)]
    cells = {}
    for name in names:
        values = tuple(run.scores[name] for run in runs if name in run.scores)
        if values:
            cells[name] = Cell(values)
    iterations = tuple(sorted({run.iteration for run in runs}))
    reported = paper.of(runs[0].name, protocol, key[1]) if paper is not None else {}
    verdicts = {}
    expected = runs[0].expected
    for score in expected.scores if expected is not None and expected.protocol == protocol else ():
        if score.checkpoint == key[1] and expected is not None:
            mean = cells[score.score].mean if score.score in cells else None
            verdicts[score.score] = Verdict(score, mean, tuple(sorted(group)), expected.seeds)
    marks = {kind: frozenset(name for run in runs for name in run.marks.get(kind, ())) for kind in SIGNS}
    return Row(key[0], key[1], key[2], iterations, tuple(sorted(group)), cells, reported, verdicts, marks)


def identity(run: OfExperiment) -> str:
    """Return a text that is equal for runs of one experiment."""
    return f"{run.name} {json.dumps(run.config, sort_keys=True, default=str)}"


def labels_of(runs: Iterable[OfExperiment]) -> dict[str, str]:
    """Return the label of each experiment by its identity: its name, and the keys in which namesakes differ."""
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for run in runs:
        by_name.setdefault(run.name, {})[identity(run)] = run.config
    labels = {}
    for name, configs in by_name.items():
        keys = {key for config in configs.values() for key in config}
        differing = sorted(key for key in keys if len({str(config.get(key)) for config in configs.values()}) > 1)
        for experiment, config in configs.items():
            values = ", ".join(f"{_short(key, differing)}={value_of(config, key)}" for key in differing)
            labels[experiment] = f"{name} ({values})" if values else name
    return labels


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key of a flat configuration; 0 for a weight that it omits, None for another key."""
    return config.get(key, 0 if key.startswith(WEIGHTS) else None)


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
        members.setdefault(run.data, []).append(labels[identity(run)])
    return "; ".join(", ".join(dict.fromkeys(names)) for names in members.values())
