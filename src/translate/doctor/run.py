"""Examine a run: state, losses, mode collapse, gradient norms, scores, speed, disk, versions; and what to try next."""

from __future__ import annotations

import re
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from translate.config.schema import read_yaml
from translate.doctor.installation import existing
from translate.doctor.report import Report, Section, number
from translate.errors import UserError, first_line
from translate.registry.registry import DATASETS
from translate.runs import environment, scores
from translate.runs.folder import LOCK_FILE, RunFolder
from translate.runs.jsonl_tail import JsonlTail
from translate.training.callbacks.health import JUMP, TOO_WEAK, HealthChecks, Symptom
from translate.training.callbacks.metric_logging import NOT_FINITE
from translate.training.callbacks.progress import duration
from translate.training.failures import resume_command

SPEED = ("iterations_per_second", "images_per_second")
PART = 10  # the first and the last tenth of the records are compared
FEW_RECORDS = 4  # below which nothing is said of a trend
EXPLODED = 20.0  # the ratio of a loss to its least mean of a tenth
FLAT = 0.05  # relative change below which a loss is flat
SLOWER = 0.6  # the speed of the last records, as a fraction of the usual one
WORSE = 1.1  # the ratio of the last to the best score
SAME = 0.2 / 255  # mean difference of two sample grids that are equal to the eye
BLANK = 2.0 / 255  # standard deviation of a grid without any content
LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ ([A-Z]+) (.*)$")
MINUS = "lower"


@dataclass(frozen=True)
class Run:
    """The files of a run, read once."""

    folder: RunFolder
    config: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]  # of terms, by iteration
    log: Sequence[tuple[str, str, str]]  # (time, level, message)

    @property
    def iterations(self) -> int:
        """Return the configured length; 0 if it is not decided yet."""
        return int(self.config.get("iterations") or 0)

    def series(self, name: str) -> list[float]:
        """Return the recorded values of a term."""
        return [float(record[name]) for record in self.records if isinstance(record.get(name), int | float)]

    def names(self) -> list[str]:
        """Return the names of all recorded terms."""
        return list(dict.fromkeys(name for record in self.records for name in record if name != "iteration"))


def read(folder: RunFolder) -> Run:
    """Read a run folder; UserError if its configuration cannot be read."""
    try:
        config = read_yaml(folder.config_file)
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise UserError(f"not a readable configuration ({first_line(error)})", key=str(folder.config_file)) from error
    records = [record for record in JsonlTail(folder.metrics).new() if SPEED[0] in record]
    return Run(folder, config, records, list(_log(folder.path / "log.txt")))


def _log(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        if match := LOG_LINE.match(line):
            yield match[1], match[2], match[3]


def examine(folder: RunFolder) -> Report:
    """Return the report on a run."""
    run = read(folder)
    report = Report(str(folder))
    _state(run, report)
    if run.records:
        _losses(run, report.section("Losses"))
        _balance(run, report.section("Balance and collapse"))
        _gradients(run, report.section("Gradient norms"))
        _speed(run, report.section("Speed"))
    _samples(run, report.section("Samples"))
    _scores(run, report.section("Scores"))
    _disk(run, report.section("Disk"))
    _versions(run, report.section("Versions"))
    _data(run, report.section("Data"))
    return report


# --- state ---------------------------------------------------------------------------------------------------


def _state(run: Run, report: Report) -> None:
    section = report.section("State")
    newest = run.folder.newest_iteration()
    recorded = int(run.records[-1]["iteration"]) if run.records else 0
    section.fact("model", f"{run.config['model']['name']} on {run.config['data']['name']}")
    section.fact("last checkpoint", "none" if newest is None else f"iteration {newest:,} of {run.iterations:,}")
    section.fact("last record", f"iteration {recorded:,}")
    if run.log:
        section.fact("last message", f"{run.log[-1][0]} {run.log[-1][2]}")
    errors = [message for _, level, message in run.log if level == "ERROR"]
    resume = resume_command(run.folder)
    if is_running(run.folder):
        section.fact("state", "running")
    elif newest is not None and newest >= run.iterations > 0:
        section.fact("state", "finished")
        report.command = f"python -m translate export run={run.folder}"
        report.reasons = ["the run is finished: export its weights, or train longer by resume=... iterations=N"]
    elif errors and run.log[-1][1] == "ERROR":
        section.fact("state", "failed")
        if NOT_FINITE in errors[-1]:
            words = [*_halved_rates(run), "model.gradient_clip=1"]
            section.problem(errors[-1], fix=f"{resume} {' '.join(words)}" if newest else " ".join(words))
        else:
            section.problem(errors[-1])
    else:
        section.fact("state", "stopped before its end")
        if newest is None:
            section.problem("the run has no checkpoint", fix="give its command again, with a smaller checkpoint_every")
        else:
            section.warning(
                f"the run stopped at iteration {max(newest, recorded):,} of {run.iterations:,}",
                fix=f"continue: {resume}",
            )
            report.command, report.reasons = resume, ["the run is not finished"]
    repeated = list(dict.fromkeys(message for _, level, message in run.log if level == "WARNING"))
    if repeated:
        section.note(f"{number(len(repeated), 'warning')} in log.txt", repeated[-3:])


def is_running(folder: RunFolder) -> bool:
    """Return whether a process on this machine trains in a run folder now."""
    path = folder.path / LOCK_FILE
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder without permission to write
        return False


# --- terms ---------------------------------------------------------------------------------------------------


def _losses(run: Run, section: Section) -> None:
    """Add the level and the trend of every loss."""
    section.fact("records", f"{len(run.records):,}, first to last tenth")
    losses = [
        name for name in run.names() if not name.startswith(("accuracy/", "gradient_norm/", *SPEED)) and " " not in name
    ]
    protocols = {result.request.protocol for _, result in scores.of_run(run.folder.path)}
    for name in losses:
        values = run.series(name)
        if name.partition("/")[0] in protocols or not values:
            continue
        first, last = _ends(values)
        section.fact(name, f"{first:.4g} to {last:.4g}{_and_trend(values)}")
        least = min(np.convolve(np.abs(values), np.ones(count := max(1, len(values) // PART)) / count, "valid"))
        if len(values) >= FEW_RECORDS and abs(last) > max(EXPLODED * least, 1.0):
            words = ["model.gradient_clip=10", *_halved_rates(run)]
            section.warning(
                f"{name} has grown from {least:.3g} to {abs(last):.3g}: training diverges", fix=" ".join(words)
            )
    kept = [name for name in losses if name.endswith(("/cycle", "/reconstruction", "/l1", "/cycle_a", "/cycle_b"))]
    for name in kept:
        if len(run.records) >= PART and trend(run.series(name)) == "rising":
            section.warning(
                f"{name} rises: translations keep less and less of their input", fix=" or ".join(_doubled(run, name))
            )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    count = max(1, len(values) // PART)
    return statistics.fmean(values[:count]), statistics.fmean(values[-count:])


def _and_trend(values: Sequence[float]) -> str:
    return f", {trend(values)}" if len(values) >= FEW_RECORDS else ""


def trend(values: Sequence[float]) -> str:
    """Return "falling", "rising" or "flat" for the second half of a series, against its spread.

    >>> trend([4, 3, 2.5, 2, 1.5, 1.2, 1, 0.8]), trend([1.0] * 8)
    ('falling', 'flat')
    """
    half = np.asarray(values[len(values) // 2 :], np.float64)
    if len(half) < 3:
        return "flat"
    x = np.linspace(-0.5, 0.5, len(half))
    slope = float((x * (half - half.mean())).sum() / (x * x).sum())
    rest = half - half.mean() - slope * x
    error = float(np.sqrt((rest**2).sum() / max(1, len(half) - 2) / (x * x).sum()))
    scale = max(abs(float(half.mean())), 1e-12)
    if abs(slope) < FLAT * scale or abs(slope) < 2 * error:
        return "flat"
    return "falling" if slope < 0 else "rising"


def _balance(run: Run, section: Section) -> None:
    """Add the discriminators' accuracy and the diversity, with the warnings that training gives (`Health`)."""
    for name in run.names():
        if name.startswith("accuracy/") or name.endswith("/diversity"):
            section.fact(name, f"{_ends(run.series(name))[1]:.4g}")
    checks, active = HealthChecks(), list[Symptom]()
    for record in run.records:
        values = {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
        active = list(checks.check(values))
    for symptom in active:
        if symptom.term.endswith("/diversity"):
            words = [*_doubled(run, symptom.term), *_scaled_rate(run, "mapping", 2.0)]
            section.problem(symptom.statement, fix=" or ".join(words))
        elif symptom.term.startswith("accuracy/"):
            role, strong = _role(run, symptom.term), run.series(symptom.term)[-1] > TOO_WEAK
            penalties = _doubled(run, f"{role.partition('_')[0]}/", ("r1", "gradient_penalty")) if strong else []
            words = [*_scaled_rate(run, role, 0.5 if strong else 2.0), *penalties]
            section.warning(symptom.statement, fix=" or ".join(words))


def _role(run: Run, term: str) -> str:
    """Return the network of ``accuracy/discriminator/a``: discriminator_a if there is one, else discriminator."""
    parts = term.split("/")[1:]
    roles = run.config["model"].get("optimizers", {})
    return "_".join(parts[:2]) if "_".join(parts[:2]) in roles else parts[0]


def _gradients(run: Run, section: Section) -> None:
    for name in run.names():
        values = run.series(name)
        if not name.startswith("gradient_norm/") or not values:
            continue
        usual, largest = statistics.median(values), max(values)
        section.fact(name.partition("/")[2], f"median {usual:.3g}, largest {largest:.3g}{_and_trend(values)}")
        if (
            len(values) >= FEW_RECORDS
            and usual > 0
            and largest > JUMP * usual
            and not run.config["model"].get("gradient_clip")
        ):
            where = next(r["iteration"] for r in run.records if r.get(name) == largest)
            section.warning(
                f"{name} reached {largest / usual:.0f} times its median at iteration {where:,}",
                fix=f"model.gradient_clip={_rounded(5 * usual)}",
            )
        if len(values) >= PART and usual > 0 and _ends(values)[1] < 1e-4 * usual:
            section.warning(f"{name} has fallen to almost nothing: these networks no longer learn")


def _speed(run: Run, section: Section) -> None:
    values = run.series(SPEED[0])
    usual, last = statistics.median(values), statistics.median(values[-3:])
    section.fact("iterations a second", f"{usual:.3g} (median), {last:.3g} now")
    section.fact("images a second", f"{statistics.median(run.series(SPEED[1])):.3g}")
    left = run.iterations - int(run.records[-1]["iteration"])
    if left > 0 and last > 0:
        section.fact("left", f"{number(left, 'iteration')}, {duration(left / last)} at this speed")
    if len(values) >= PART and last < SLOWER * usual:
        section.warning(
            f"the run has become slower: {last / usual:.0%} of its usual speed",
            fix="look for other programs on this machine; data.num_workers=4 if the GPU waits for data",
        )


# --- results -------------------------------------------------------------------------------------------------


def _samples(run: Run, section: Section) -> None:
    """Add what the newest sample grids show: no content, or no change since the grids before."""
    grids: dict[str, list[Path]] = {}
    for path in sorted(run.folder.samples.glob("*.png")):
        grids.setdefault(path.stem.partition("_")[2], []).append(path)
    if not grids:
        section.note("there are no sample grids", fix="sample_every=N writes them")
        return
    for name, paths in grids.items():
        last = _pixels(paths[-1])
        if last is None:
            section.warning(f"{paths[-1].name} cannot be read")
            continue
        change = ""
        before = _pixels(paths[-2]) if len(paths) > 1 else None
        if before is not None and before.shape == last.shape:
            difference = float(np.abs(last - before).mean())
            change = f", changed by {difference:.1%} since {paths[-2].stem.partition('_')[0]}"
            if difference < SAME and paths[-2].stem != paths[-1].stem:
                section.warning(f"the grid {name!r} has not changed since the one before: the networks no longer learn")
        section.fact(name, f"{paths[-1].name}{change}")
        if float(last.std()) < BLANK:
            section.problem(f"{paths[-1].name} has a single colour: the generator has collapsed", fix=_restart(run))


def _pixels(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.float32) / 255
    except OSError:
        return None


def _restart(run: Run) -> str:
    return " ".join(["begin again with lower rates:", *_halved_rates(run)])


def _scores(run: Run, section: Section) -> None:
    """Add the scores of the last checkpoint, and those that were better before."""
    by_score: dict[tuple[str, str], list[tuple[int, float, str]]] = {}
    for _, result in scores.of_run(run.folder.path):
        for name, value in result.scores.items():
            better = result.better.get(name, "")
            by_score.setdefault((result.request.protocol, name), []).append((result.request.iteration, value, better))
        for text in result.warnings:
            section.note(f"{result.request.protocol}: {text}")
    for (protocol, name), values in by_score.items():
        values.sort()
        iteration, last, better = values[-1]
        section.fact(f"{protocol}: {name}", f"{last:.5g} at iteration {iteration:,}")
        finite = [(value, at) for at, value, _ in values if value == value]
        if len(finite) > 1 and better:
            best, at = min(finite) if better == MINUS else max(finite)
            worse = last > WORSE * best if better == MINUS else best > WORSE * last
            if worse and best > 0:
                section.warning(
                    f"{protocol}: {name} was {best:.5g} at iteration {at:,} and is {last:.5g}",
                    fix=f"best='{name}' keeps the best checkpoint; use checkpoint={at} if it is still there",
                )
    if not by_score:
        section.note("there are no scores", fix=f"python -m translate evaluate run={run.folder}")


def _disk(run: Run, section: Section) -> None:
    sizes = [path.stat().st_size for path in (run.folder.path / "checkpoints").glob("*") if path.is_file()]
    free = shutil.disk_usage(existing(run.folder.path)).free
    section.fact("checkpoints", f"{number(len(sizes), 'file')}, {sum(sizes) / 1e9:.2f} GB")
    section.fact("free", f"{free / 1e9:.1f} GB")
    if sizes and free < 2 * max(sizes):
        section.problem(
            f"the disk has room for less than two further checkpoints of {max(sizes) / 1e9:.2f} GB",
            fix="free space, or resume with keep_checkpoints=1",
        )


def _versions(run: Run, section: Section) -> None:
    """Compare the versions of the run with those of now."""
    noted = scores.read_json(run.folder.path / "environment.json")
    if noted is None:
        section.note("there is no environment.json: the versions of the run are not known")
        return
    section.fact("then", f"translate {noted.get('translate')}, python {noted.get('python')}, {noted.get('time')}")
    section.fact("command", " ".join(noted.get("command") or []))
    packages = noted.get("packages") or {}
    changed = [
        f"{name} {before}, now {now or 'missing'}"
        for name, before in packages.items()
        if (now := environment.version(name)) != before
    ]
    if changed:
        section.note(
            "versions differ from those of the run: a resumed run need not equal an uninterrupted one", changed
        )
    commit = environment.commit()
    if noted.get("commit") and commit and noted["commit"] != commit:
        section.note(f"the code is commit {commit[:10]} now and was {noted['commit'][:10]}")


def _data(run: Run, section: Section) -> None:
    """Open the data again and compare it with the note of the run."""
    node = dict(run.config["data"])
    try:
        parameters = [p.name for p in DATASETS.entry(node["name"]).parameters]
        arguments = {key: node[key] for key in parameters if key in node and key not in ("split", "domains")}
        make = DATASETS.get(node["name"])
        splits = {split: make(**arguments, split=split, domains=node.get("domains")) for split in ("train", "val")}
    except UserError as error:
        section.warning(f"the data cannot be opened: {error}")
        return
    section.fact("images", f"{len(splits['train']):,} for training, {len(splits['val']):,} for validation")
    for change in run.folder.data_changes(splits):
        section.warning(change, fix="put the images back before the run is resumed")


# --- what to try ---------------------------------------------------------------------------------------------


def _halved_rates(run: Run) -> list[str]:
    roles = run.config["model"].get("optimizers", {})
    return [word for role in roles for word in _scaled_rate(run, role, 0.5)]


def _scaled_rate(run: Run, role: str, factor: float) -> list[str]:
    """Return the override of a network's learning rate; [] for a role without an optimizer."""
    optimizer = run.config["model"].get("optimizers", {}).get(role)
    if not isinstance(optimizer, Mapping) or "lr" not in optimizer:
        return []
    rate, key = optimizer["lr"], f"model.optimizers.{role}.lr"
    if isinstance(rate, Mapping):
        return [f"{key}.start={_rounded(factor * float(rate['start']))}"] if "start" in rate else []
    return [f"{key}={_rounded(factor * float(rate))}"]


def _doubled(run: Run, term: str, names: Sequence[str] = ()) -> list[str]:
    """Return the override that doubles the weight of a term, or of the first of ``names`` that has one above 0."""
    phase, weights = term.partition("/")[0], run.config["model"].get("weights", {})
    for name in names or (term.rpartition("/")[2],):
        weight, key = weights.get(phase, {}).get(name), f"model.weights.{phase}.{name}"
        if isinstance(weight, Mapping) and "start" in weight:
            return [f"{key}.start={_rounded(2 * float(weight['start']))}"]
        if isinstance(weight, int | float) and weight > 0:
            return [f"{key}={_rounded(2 * float(weight))}"]
    return []


def _rounded(value: float) -> str:
    return f"{value:.3g}"
