"""What a run records of its iterations: losses, mode collapse, gradient norms, speed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from translate.doctor.report import Section, number
from translate.doctor.run.files import SPEED, Run
from translate.doctor.run.remedies import doubled, halved_rates, rounded, scaled_rate
from translate.runs import scores
from translate.training.callbacks.health import JUMP, TOO_WEAK, HealthChecks, Symptom
from translate.training.callbacks.progress import duration

PART = 10  # the first and the last tenth of the records are compared
FEW_RECORDS = 4  # below which nothing is said of a trend
EXPLODED = 20.0  # the ratio of a loss to its least mean of a tenth
FLAT = 0.05  # relative change below which a loss is flat
SLOWER = 0.6  # the speed of the last records, as a fraction of the usual one


def check_losses(run: Run, section: Section) -> None:
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
            words = ["model.gradient_clip=10", *halved_rates(run)]
            section.warning(
                f"{name} has grown from {least:.3g} to {abs(last):.3g}: training diverges", fix=" ".join(words)
            )
    kept = [name for name in losses if name.endswith(("/cycle", "/reconstruction", "/l1", "/cycle_a", "/cycle_b"))]
    for name in kept:
        if len(run.records) >= PART and trend(run.series(name)) == "rising":
            section.warning(
                f"{name} rises: translations keep less and less of their input", fix=" or ".join(doubled(run, name))
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


def check_balance(run: Run, section: Section) -> None:
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
            words = [*doubled(run, symptom.term), *scaled_rate(run, "mapping", 2.0)]
            section.problem(symptom.statement, fix=" or ".join(words))
        elif symptom.term.startswith("accuracy/"):
            role, strong = _role(run, symptom.term), run.series(symptom.term)[-1] > TOO_WEAK
            penalties = (
                doubled(run, f"{role.partition('_')[0]}/", ("r1", "r2", "zero_centred", "gradient_penalty"))
                if strong
                else []
            )
            words = [*scaled_rate(run, role, 0.5 if strong else 2.0), *penalties]
            section.warning(symptom.statement, fix=" or ".join(words))


def _role(run: Run, term: str) -> str:
    """Return the network of ``accuracy/discriminator/a``: discriminator_a if there is one, else discriminator."""
    parts = term.split("/")[1:]
    roles = run.config["model"].get("optimizers", {})
    return "_".join(parts[:2]) if "_".join(parts[:2]) in roles else parts[0]


def check_gradients(run: Run, section: Section) -> None:
    """Add the gradient norms, and findings about jumps and networks that no longer learn."""
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
                fix=f"model.gradient_clip={rounded(5 * usual)}",
            )
        if len(values) >= PART and usual > 0 and _ends(values)[1] < 1e-4 * usual:
            section.warning(f"{name} has fallen to almost nothing: these networks no longer learn")


def check_speed(run: Run, section: Section) -> None:
    """Add the speed and the time that is left."""
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
