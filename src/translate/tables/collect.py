"""What runs have measured, grouped by experiment: mean and spread over seeds, one table a protocol.

A run folder holds `metrics/<protocol>_<checkpoint>.json` (see `measuring.results`) and, of the judge that a run ends
with, metrics.json (see `evaluation.write`). Figures of two protocols never compare, hence never meet in a table.
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

from translate.config.schema import RESULT_NEUTRAL_KEYS, experiment, read_yaml
from translate.errors import UserError
from translate.evaluation import results
from translate.runs.folder import CONFIG_FILE, RunFolder, run_folders

WITHOUT = RESULT_NEUTRAL_KEYS | {"seed"}
JUDGED = "metrics.json"
LATENT = ", latent"


@dataclass(frozen=True)
class Measured:
    """What one run has measured of one checkpoint, under one protocol."""

    folder: Path
    name: str
    seed: int  # that the run was trained with
    config: Mapping[str, Any]  # what identifies the experiment, the seed left out: a flat mapping
    protocol: str
    checkpoint: str  # last, best or an iteration
    iteration: int
    networks: str  # averaged or trained
    data: str  # what tells data from other data
    figures: Mapping[str, float]
    better: Mapping[str, str]  # figure -> lower or higher, where it is known
    written: float


@dataclass(frozen=True)
class Cell:
    """A figure over the seeds of an experiment."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Return the standard deviation of a sample (divided by n - 1); None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """An experiment: its figures over its seeds, and what of it was measured."""

    name: str
    checkpoint: str
    networks: str
    iterations: tuple[int, ...]  # that the checkpoints are of, ascending
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """The rows of one protocol."""

    protocol: str
    figures: tuple[str, ...]
    better: Mapping[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    published: tuple[str, ...] = ()  # figures that the paper has
    source: str | None = None  # the paper


@dataclass(frozen=True)
class Paper:
    """Published figures by a pattern of experiments' names."""

    source: str
    protocol: str
    rows: Mapping[str, Mapping[str, float]]

    def of(self, name: str) -> Mapping[str, float]:
        """Return the figures for an experiment."""
        return next((figures for pattern, figures in self.rows.items() if fnmatchcase(name, pattern)), {})


def read_paper(path: Path) -> Paper:
    """Return the published figures in a YAML file with the keys source, protocol and rows; UserError if it is not."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = {
            str(pattern): {str(name): float(value) for name, value in figures.items()}
            for pattern, figures in tree["rows"].items()
        }
        return Paper(str(tree["source"]), str(tree["protocol"]), rows)
    except OSError as error:
        raise UserError(f"paper: {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"paper: {path} is not as expected ({error}); it has the keys source, protocol and rows, and rows are "
            "'name of an experiment: {figure: number}'"
        ) from error


# --- reading ------------------------------------------------------------------------------------------------


def folders(named: Iterable[str]) -> list[Path]:
    """Return the run folders in or below folders and patterns; UserError for one without any."""
    found: dict[Path, None] = {}
    for name in named:
        places = [Path(place) for place in sorted(glob.glob(name))] or [Path(name)]
        below = [run for place in places for run in (each.path for each in run_folders(place))]
        if not below:
            raise UserError(f"table: {name} holds no run folder, none with {CONFIG_FILE}; expected runs/<name>/<time>")
        found.update(dict.fromkeys(below))
    return list(found)


def measured(folder: Path) -> Iterator[Measured]:
    """Yield what a run has measured, by protocol, checkpoint and the seed of the measurement."""
    config = read_yaml(RunFolder(folder).config_file)
    found: dict[tuple[Any, ...], list[tuple[dict[str, Any], float]]] = {}
    for path in [*sorted(RunFolder(folder).scores.glob("*.json")), folder / JUDGED]:
        tree = _tree(path)
        if tree is not None:
            key = (tree["protocol"], str(tree.get("checkpoint", "last")), tree["iteration"], tree["networks"])
            found.setdefault(key, []).append((tree, path.stat().st_mtime))
    for (protocol, checkpoint, iteration, networks), trees in found.items():
        figures: dict[str, list[float]] = {}
        better: dict[str, str] = {}
        for tree, _ in trees:
            judged = (
                "trained" in tree["figures"]
            )  # metrics.json, where an untrained model and real images stand beside it
            for name, value in (tree["figures"]["trained"] if judged else tree["figures"]).items():
                if judged and name in figures:  # measured again since
                    continue
                if isinstance(value, int | float) and math.isfinite(value):
                    figures.setdefault(name, []).append(float(value))
            better.update(tree.get("better", {}))
        yield Measured(
            folder,
            str(config.get("name")),
            int(config["seed"]),
            experiment(config, WITHOUT),
            protocol,
            checkpoint,
            int(iteration),
            networks,
            _data(folder, trees[0][0]),
            {name: statistics.fmean(values) for name, values in figures.items()},  # over seeds of the measurement
            better,
            max(written for _, written in trees),
        )


def _tree(path: Path) -> dict[str, Any] | None:
    """Return a file of figures; None for what is none, such as half an evaluation."""
    if path.stem.endswith(results.PARTIAL):
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) and isinstance(tree.get("figures"), dict) else None


def _data(folder: Path, tree: Mapping[str, Any]) -> str:
    found = tree.get("data")
    if found is None and (folder / "data.json").is_file():
        found = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    if not isinstance(found, Mapping):
        return "unknown"
    return " ".join(str(part.get("fingerprint")) for part in found.values() if isinstance(part, Mapping))


# --- grouping -----------------------------------------------------------------------------------------------


def tables(found: Sequence[Measured], wanted: Sequence[str] = (), paper: Paper | None = None) -> list[Table]:
    """Return a table for each protocol; `wanted` figures are named with mode, "FID, latent", or without, "FID"."""
    labels = _labels(found)
    return [
        _table(protocol, [each for each in found if each.protocol == protocol], labels, wanted, paper)
        for protocol in dict.fromkeys(each.protocol for each in found)
    ]


def _table(
    protocol: str, found: Sequence[Measured], labels: Mapping[str, str], wanted: Sequence[str], paper: Paper | None
) -> Table:
    found, notes = _beside_latent(found, labels)
    groups: dict[tuple[Any, ...], dict[int, Measured]] = {}
    for each in sorted(found, key=lambda each: each.written):
        moving = each.iteration if each.checkpoint != "best" else None  # the best of each seed may be of another one
        group = groups.setdefault((labels[_key(each)], each.checkpoint, each.networks, moving), {})
        if each.seed in group:
            notes.append(
                f"{labels[_key(each)]}, seed {each.seed}: measured in {group[each.seed].folder} and {each.folder}; the "
                "newer one counts"
            )
        group[each.seed] = each
    names = list(dict.fromkeys(name for each in found for name in each.figures))
    if wanted:
        names = [name for name in names if name in wanted or name.partition(", ")[0] in wanted]
    rows = [_row(key, group, names, paper) for key, group in sorted(groups.items(), key=lambda item: str(item[0]))]
    if len({each.data for each in found}) > 1:
        notes.append("the rows are of different data: " + _by_data(found, labels))
    published: tuple[str, ...] = ()
    if paper is not None:
        published = tuple(dict.fromkeys(name for row in rows for name in row.published))
        if published and paper.protocol != protocol:
            notes.append(
                f"the paper's figures are of protocol {paper.protocol}, this table of {protocol}: orders may be "
                "compared, numbers not"
            )
    better = {name: way for each in found for name, way in each.better.items()}
    source = paper.source if paper is not None and published else None
    return Table(protocol, tuple(names), better, tuple(rows), tuple(dict.fromkeys(notes)), published, source)


def _beside_latent(found: Sequence[Measured], labels: Mapping[str, str]) -> tuple[list[Measured], list[str]]:
    """Return measurements in which figures of models without guides stand beside latent-guided ones, and a note.

    "FID" of a model that translates an image in one way is compared with "FID, latent" of one that is guided by codes.
    """
    guided = {name for each in found for name in each.figures if name.endswith(LATENT)}
    moved: dict[str, None] = {}
    result = []
    for each in found:
        names = {name: name + LATENT for name in each.figures if name + LATENT in guided - each.figures.keys()}
        if names:
            moved[labels[_key(each)]] = None
        figures = {names.get(name, name): value for name, value in each.figures.items()}
        better = {names.get(name, name): way for name, way in each.better.items()}
        result.append(replace(each, figures=figures, better=better))
    told = f"{', '.join(moved)}: translates an image in one way; its figures stand under those that codes guide"
    return result, [told] if moved else []


def _row(key: tuple[Any, ...], group: Mapping[int, Measured], names: Sequence[str], paper: Paper | None) -> Row:
    runs = [group[seed] for seed in sorted(group)]
    cells = {}
    for name in names:
        values = tuple(run.figures[name] for run in runs if name in run.figures)
        if values:
            cells[name] = Cell(values)
    iterations = tuple(sorted({run.iteration for run in runs}))
    published = paper.of(runs[0].name) if paper is not None else {}
    return Row(key[0], key[1], key[2], iterations, tuple(sorted(group)), cells, published)


def _key(each: Measured) -> str:
    return f"{each.name} {json.dumps(each.config, sort_keys=True, default=str)}"


def _labels(found: Sequence[Measured]) -> dict[str, str]:
    """Return what each experiment is called: its name, with the keys that tell it from others of that name."""
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for each in found:
        by_name.setdefault(each.name, {})[_key(each)] = each.config
    labels = {}
    for name, configs in by_name.items():
        keys = {key for config in configs.values() for key in config}
        differing = sorted(key for key in keys if len({str(config.get(key)) for config in configs.values()}) > 1)
        for identity, config in configs.items():
            told = ", ".join(f"{_short(key, differing)}={config.get(key)}" for key in differing)
            labels[identity] = f"{name} ({told})" if told else name
    return labels


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the shortest end of a dotted key that no other key of these has."""
    parts = key.split(".")
    for k in range(len(parts) - 1, 0, -1):
        end = ".".join(parts[k:])
        if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
            return end
    return key


def _by_data(found: Sequence[Measured], labels: Mapping[str, str]) -> str:
    members: dict[str, list[str]] = {}
    for each in found:
        members.setdefault(each.data, []).append(labels[_key(each)])
    return "; ".join(", ".join(dict.fromkeys(names)) for names in members.values())
