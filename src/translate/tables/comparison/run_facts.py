"""The facts of a run that a comparison shows beside its scores: terms, sample grids, configuration, environment."""

import math
import statistics
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.config.schema import experiment_key, read_yaml
from translate.errors import UserError
from translate.files.reading import is_whole_number, read_object
from translate.metrics.marks import FLAWS
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.selection import base_name
from translate.runs.folder import RunFolder
from translate.runs.records import read_records
from translate.tables.collect import beside_latent, labels_of
from translate.tables.run_scores import IGNORED_KEYS, RunScores

PER_RUN_KEYS = frozenset({"seed", "name", "folder", "resume"})
"""Keys in which all runs differ, so that a list of differences leaves them out."""

SPEED = "iterations_per_second"


@dataclass(frozen=True)
class Series:
    """The values of a term by iteration."""

    iterations: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class SampleGrid:
    """A file of a sample grid, and the iteration after which it was written."""

    path: Path
    iteration: int


@dataclass(frozen=True)
class RunFacts:
    """One run of a comparison."""

    folder: Path
    name: str
    seed: int
    config: Mapping[str, Any]  # identifies the experiment, without the seed: a flat mapping
    neutral: Mapping[str, Any]  # the other keys, which do not change results
    terms: Mapping[str, Series]
    scores: Mapping[str, Series]  # "clean: FID, latent" -> its values by iteration, of networks of one kind
    grids: Mapping[str, SampleGrid]  # the newest of each name
    sources: str  # runs with equal text here draw their sample grids of the same images
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def newest_iteration(self) -> int:
        """Return the iteration of the last record or grid."""
        last = [int(series.iterations[-1]) for series in self.terms.values() if len(series.iterations)]
        return max([*last, *(grid.iteration for grid in self.grids.values())], default=0)

    @property
    def speed(self) -> float | None:
        """Return the median of the recorded iterations per second; None without any."""
        series = self.terms.get(SPEED)
        values = [] if series is None else [value for value in series.values if math.isfinite(value)]
        return statistics.median(values) if values else None


def read(folders: Iterable[Path], measured: Sequence[RunScores] = ()) -> list[RunFacts]:
    """Return the facts of runs, with what is known of their scores. UserError for a damaged file."""
    labels = labels_of(measured)
    named = [
        scores
        for protocol in dict.fromkeys(each.protocol for each in measured)
        for scores in beside_latent([each for each in measured if each.protocol == protocol], labels)[0]
    ]
    flawless = {name for name in FLAWS if not any(_values(named, name))}
    return [_facts(folder, [each for each in named if each.folder == folder], flawless) for folder in folders]


def _values(measured: Iterable[RunScores], base: str) -> Iterator[float]:
    return (value for each in measured for name, value in each.scores.items() if base_name(name) == base)


def _facts(folder: Path, measured: Sequence[RunScores], without: Collection[str]) -> RunFacts:
    """Return the facts of a run, with its scores but those with a base name in ``without``."""
    run = RunFolder(folder)
    run.check_kinds()
    config = read_yaml(run.config_file, ("seed",))
    identity = experiment_key(config, IGNORED_KEYS)
    whole = experiment_key(config, PER_RUN_KEYS)
    return RunFacts(
        folder,
        str(config.get("name")),
        int(config["seed"]),
        identity,
        {key: value for key, value in whole.items() if key not in identity},
        _terms(run),
        _scores_by_iteration(measured, without),
        _newest_grids(run),
        _sources(run, identity),
        _environment(run),
    )


def _terms(run: RunFolder) -> dict[str, Series]:
    """Return the recorded terms without scores by protocol, which have files of their own; null is not finite."""
    found: dict[str, tuple[array[float], array[float]]] = {}
    for record in read_records(run.metrics):
        for name, value in record.items():
            if name == "iteration" or name.partition("/")[0] in PROTOCOLS:
                continue
            if not (value is None or isinstance(value, int | float)):
                continue
            iterations, values = found.setdefault(name, (array("d"), array("d")))
            iterations.append(record["iteration"])
            values.append(math.nan if value is None else float(value))
    return {name: Series(*each) for name, each in found.items()}


def _scores_by_iteration(measured: Iterable[RunScores], without: Collection[str]) -> dict[str, Series]:
    """Return the scores that a run has of at least two iterations."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for scores in measured:
        for name, value in scores.scores.items():
            if base_name(name) in without:
                continue
            found.setdefault((scores.protocol, scores.networks, name), {})[scores.iteration] = value
    result: dict[str, Series] = {}
    for (protocol, _, name), values in found.items():
        of_iterations = sorted(values.items())
        if len(of_iterations) > 1 and f"{protocol}: {name}" not in result:
            iterations, numbers = zip(*of_iterations, strict=True)
            result[f"{protocol}: {name}"] = Series(iterations, numbers)
    return result


def _newest_grids(run: RunFolder) -> dict[str, SampleGrid]:
    grids: dict[str, SampleGrid] = {}
    for path in sorted(run.samples.glob("*_*.png")):
        iteration, _, name = path.stem.partition("_")
        if is_whole_number(iteration) and (name not in grids or grids[name].iteration < int(iteration)):
            grids[name] = SampleGrid(path, int(iteration))
    return grids


def _sources(run: RunFolder, identity: Mapping[str, Any]) -> str:
    """Return a text that is equal for runs with the same held-out images; unique where the run does not note them."""
    fingerprint = run.noted_data().get("val", {}).get("fingerprint")
    if fingerprint is None:
        return str(run.path)
    size, domains = identity.get("data.image_size"), identity.get("data.domains")
    return f"{fingerprint} {size} {domains}"


def _environment(run: RunFolder) -> dict[str, Any]:
    try:
        return read_object(run.path / "environment.json")
    except (UserError, OSError):  # a note alone
        return {}
