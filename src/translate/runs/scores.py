"""Scores files: their names, their format, and the one reader of all formats that were ever written.

A run folder holds ``metrics/<protocol>_<checkpoint>.json``, one for each protocol and checkpoint. While an evaluation
runs, ``....partial.json`` beside it holds the tasks that are done. Earlier versions also wrote ``metrics.json``.
"""

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.files.reading import is_finite, read_object, require_file
from translate.files.writing import atomic_write
from translate.metrics.protocols import FORMER_NAMES, Scores
from translate.runs.folder import LAST, RunFolder

log = logging.getLogger("translate")

PARTIAL = ".partial"
WITHOUT = "delete the file to go on without its scores"
FORMER_FILE = "metrics.json"  # of earlier versions: protocol `local` at the end of a run, with its columns
FORMER_KEYS = {"figure": "score", "figures": "scores", "routes": "tasks", "doubts": "warnings"}
FORMER_COLUMNS = {"real images": "real", "sources": "source"}
FORMER_NETWORKS = {"averaged": "ema"}


@dataclass(frozen=True)
class Request:
    """All that scores depend on: equal requests have equal scores, up to the rounding of the hardware."""

    protocol: str
    iteration: int
    networks: str  # "ema" or "trained": the networks that translate
    model: str = ""  # digest of those networks
    seed: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)  # name -> {arguments}
    weights: dict[str, str] = field(default_factory=dict)  # name of every file of weights -> SHA-256
    data: dict[str, Any] = field(default_factory=dict)  # images and fingerprint of train and val; image_size

    def same_model(self, other: "Request") -> bool:
        """Return whether the scores of both may be in one file: only the metrics and their weights may differ."""
        return replace(self, metrics={}, weights={}) == replace(other, metrics={}, weights={})

    def answers(self, other: "Request") -> bool:
        """Return whether the scores of this request include those of another one."""
        settings = ((self.metrics, other.metrics), (self.weights, other.weights))
        return self.same_model(other) and all(
            own.get(name) == value for own, wanted in settings for name, value in wanted.items()
        )


@dataclass
class Result:
    """The scores of one checkpoint by one protocol."""

    request: Request
    checkpoint: str  # "last", "best" or the iteration in six digits
    scores: Scores = field(default_factory=dict)  # "FID, latent" -> mean over all tasks
    better: dict[str, str] = field(default_factory=dict)  # score -> "lower" or "higher"
    tasks: dict[str, Scores] = field(default_factory=dict)  # "cat -> dog, latent" -> scores and numbers of images
    columns: dict[str, Scores] = field(default_factory=dict)  # scores to compare with: source, untrained, real
    marks: dict[str, dict[str, str]] = field(default_factory=dict)  # kind, see `metrics.marks` -> score -> sentence
    warnings: list[str] = field(default_factory=list)  # reasons for which scores may mislead
    environment: dict[str, Any] = field(default_factory=dict)  # command, commit, versions, hardware, time
    unstored: OSError | None = field(default=None, compare=False)  # why no file holds this result

    def require_stored(self) -> None:
        """Raise the error that prevented the result from being stored, if any."""
        if self.unstored is not None:
            raise self.unstored

    def to_tree(self) -> dict[str, Any]:
        """Return the content of a scores file: JSON values, null for a number that is not finite."""
        request = asdict(self.request)
        tree = {"protocol": request.pop("protocol"), "checkpoint": self.checkpoint, **request}
        names = ("scores", "better", "tasks", "columns", "marks", "warnings", "environment")
        return _plain({**tree, **{name: getattr(self, name) for name in names}})

    def by_task(self) -> Scores:
        """Return the scores of each task by names with the task: "FID, horse -> zebra"."""
        return {f"{name}, {task}": value for task, scores in self.tasks.items() for name, value in scores.items()}

    def joined(self, later: "Result") -> "Result":
        """Return the scores of both, which have the same model; the later ones where both have the same name."""
        request = replace(
            later.request,
            metrics={**self.request.metrics, **later.request.metrics},
            weights={**self.request.weights, **later.request.weights},
        )
        return Result(
            request,
            later.checkpoint,
            {**self.scores, **later.scores},
            {**self.better, **later.better},
            _joined(self.tasks, later.tasks),
            _joined(self.columns, later.columns),
            {
                kind: _without(self.marks.get(kind, {}), later.scores) | later.marks.get(kind, {})
                for kind in dict.fromkeys([*self.marks, *later.marks])
            },
            list(dict.fromkeys([*self.warnings, *later.warnings])),
            later.environment,
        )


def _joined(before: Mapping[str, Scores], after: Mapping[str, Scores]) -> dict[str, Scores]:
    names = dict.fromkeys([*before, *after])
    return {name: {**before.get(name, {}), **after.get(name, {})} for name in names}


def _without(sentences: Mapping[str, str], scores: Mapping[str, float]) -> dict[str, str]:
    return {name: sentence for name, sentence in sentences.items() if name not in scores}


# --- files --------------------------------------------------------------------------------------------------


def path_of(folder: Path, protocol: str, checkpoint: str, seed: int = 0) -> Path:
    """Return the scores file of a run folder; a seed other than 0 is part of its name.

    >>> path_of(Path("run"), "clean", "last").as_posix(), path_of(Path("run"), "clean", "005000", 3).name
    ('run/metrics/clean_last.json', 'clean_005000_seed3.json')
    """
    return RunFolder(folder).scores / f"{protocol}_{checkpoint}{f'_seed{seed}' if seed else ''}.json"


def partial_of(path: Path) -> Path:
    """Return the partial file beside a scores file."""
    return path.with_name(f"{path.stem}{PARTIAL}.json")


def best_file(folder: Path) -> Path:
    """Return the note on the best checkpoint of a run: its score, value and iteration."""
    return RunFolder(folder).scores / "best.json"


def read_best(path: Path) -> dict[str, Any] | None:
    """Return the note on the best checkpoint, None without score, value and iteration; UserError if damaged."""
    if not os.path.lexists(path):
        return None
    fix = "delete the file: the next evaluation is the best one then"
    note = {FORMER_KEYS.get(key, key): value for key, value in read_object(path, fix).items()}
    if not {"score", "value", "iteration"} <= note.keys():
        return None
    if not all(is_finite(note.get(key)) for key in ("value", "iteration")) or not isinstance(note.get("score"), str):
        raise UserError(
            "this is no note on a checkpoint", key=str(path), expected="score, value and iteration", fix=fix
        )
    return note


def write(path: Path, result: Result) -> None:
    """Write a result and delete its partial file. Scores of other metrics of the same model in the file stay."""
    before = read(path)
    if before is not None and before.request.same_model(normalized(result.request)):
        result = before.joined(result)
    write_json(path, result.to_tree())
    partial_of(path).unlink(missing_ok=True)


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, with null for a number that is not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(_plain(tree), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a mapping that `write_json` has written, None without a readable file; a damaged one has a warning."""
    if not os.path.lexists(path):
        return None
    try:
        return read_object(path)
    except UserError as error:
        log.warning("%s", error)
        return None


def read(path: Path) -> Result | None:
    """Return the result in a scores file of any version, None without a readable one."""
    tree = read_json(path)
    return None if tree is None else parse(tree)


def of_run(folder: Path, strict: bool = False) -> Iterator[tuple[Path, Result]]:
    """Yield all results of a run folder with their files; partial files are left out.

    Scores in the ``metrics.json`` of earlier versions are left out where a later file has them or is of another
    iteration. With ``strict``, a file that holds no scores is a UserError.
    """
    last: dict[str, Result] = {}
    for path in sorted(RunFolder(folder).scores.glob("*.json")):
        if path.stem.endswith(PARTIAL) or path == best_file(folder):
            continue
        result = _read_strictly(path) if strict and "_" in path.stem else read(path)
        if result is not None:
            if result.checkpoint == LAST:
                last[result.request.protocol] = result
            yield path, result
    path = folder / FORMER_FILE
    former = (_read_strictly(path) if strict else read(path)) if os.path.lexists(path) else None
    if former is None:
        return
    newer = last.get(former.request.protocol)
    if newer is not None and newer.request.iteration != former.request.iteration:
        return
    known: Mapping[str, float] = {} if newer is None else newer.scores
    scores = {name: value for name, value in former.scores.items() if name not in known}
    if scores:
        yield path, replace(former, scores=scores)


def _read_strictly(path: Path) -> Result:
    result = parse(read_object(path, WITHOUT))
    if result is None:
        raise UserError("these are no scores of a run", key=str(path), fix=WITHOUT)
    return result


def check(folder: Path) -> None:
    """Raise UserError if a scores file of a run is damaged, or something else is where an evaluation writes one."""
    for path in sorted(RunFolder(folder).scores.glob("*.json")):
        require_file(path)
    for _ in of_run(folder, strict=True):
        pass
    read_best(best_file(folder))


# --- formats ------------------------------------------------------------------------------------------------


def parse(tree: Mapping[str, Any]) -> Result | None:
    """Return the result in the content of a scores file of any version; None if it is no result."""
    try:
        return _parse(tree)
    except (TypeError, ValueError, AttributeError, OverflowError):  # a value of another type
        return None


def _parse(tree: Mapping[str, Any]) -> Result | None:
    tree = {FORMER_KEYS.get(key, key): value for key, value in tree.items()}
    scores, columns = tree.get("scores"), dict(tree.get("columns") or {})
    if not isinstance(scores, Mapping) or not isinstance(tree.get("protocol"), str):
        return None
    if isinstance(scores.get("trained"), Mapping):  # metrics.json of earlier versions
        columns = {name: column for name, column in scores.items() if name != "trained"}
        scores = scores["trained"]
    protocol, networks = tree["protocol"], str(tree.get("networks", "trained"))
    request = Request(
        FORMER_NAMES.get(protocol, protocol),
        int(tree.get("iteration", 0)),
        FORMER_NETWORKS.get(networks, networks),
        str(tree.get("model", "")),
        int(tree.get("seed", 0)),
        {_renamed_metric(name): _renamed_settings(value) for name, value in (tree.get("metrics") or {}).items()},
        dict(tree.get("weights") or {}),
        dict(tree.get("data") or {}),
    )
    return Result(
        request,
        str(tree.get("checkpoint", LAST)),
        numbers(scores),
        {str(name): str(way) for name, way in (tree.get("better") or {}).items()},
        {name: numbers(values) for name, values in (tree.get("tasks") or {}).items()},
        {FORMER_COLUMNS.get(str(name), str(name)): numbers(values) for name, values in columns.items()},
        {kind: dict(sentences) for kind, sentences in (tree.get("marks") or {}).items()},
        [str(warning) for warning in tree.get("warnings") or []],
        dict(tree.get("environment") or {}),
    )


def normalized(request: Request) -> Request:
    """Return a request as it is read from a file: lists for tuples, null for numbers that are not finite."""
    return Request(**json.loads(json.dumps(_plain(asdict(request)))))


def numbers(scores: Mapping[str, Any]) -> Scores:
    """Return scores from a file, NaN for null."""
    return {name: math.nan if value is None else float(value) for name, value in scores.items()}


def _renamed_metric(name: str) -> str:
    stem, _, protocol = name.rpartition("_")
    return f"{stem}_{FORMER_NAMES[protocol]}" if protocol in FORMER_NAMES else name


OLD_SETTINGS = {"judge": "classifier"}  # old name -> name of today


def _renamed_settings(settings: Any) -> Any:
    """Return the settings of a metric, those of the classifier under its name of today."""
    return {OLD_SETTINGS.get(key, key): value for key, value in settings.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
