"""The results of a run: sample grids without content or change, and scores that were better before."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from translate.data.images import ImageError, open_rgb
from translate.doctor.report import Section
from translate.doctor.run.files import Run
from translate.doctor.run.remedies import halved_rates
from translate.errors import UserError
from translate.runs import scores

WORSE = 1.1  # the ratio of the last to the best score
SAME = 0.2 / 255  # mean difference of two sample grids that are equal to the eye
BLANK = 2.0 / 255  # standard deviation of a grid without any content
MINUS = "lower"


def check_samples(run: Run, section: Section) -> None:
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
        return np.asarray(open_rgb(path), np.float32) / 255
    except ImageError:
        return None


def _restart(run: Run) -> str:
    return " ".join(["begin again with lower rates:", *halved_rates(run)])


def check_scores(run: Run, section: Section) -> None:
    """Add the scores of the last checkpoint, and those that were better before."""
    by_score: dict[tuple[str, str], list[tuple[int, float, str]]] = {}
    try:
        scores.check(run.folder.path)
    except UserError as error:
        section.problem(str(error))
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
