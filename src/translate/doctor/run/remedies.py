"""Overrides to try: lower or higher learning rates and weights, by the configuration of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from translate.doctor.run.files import Run


def halved_rates(run: Run) -> list[str]:
    """Return the overrides that halve all learning rates."""
    roles = run.config["model"].get("optimizers", {})
    return [word for role in roles for word in scaled_rate(run, role, 0.5)]


def scaled_rate(run: Run, role: str, factor: float) -> list[str]:
    """Return the override of a network's learning rate; [] for a role without an optimizer."""
    optimizer = run.config["model"].get("optimizers", {}).get(role)
    if not isinstance(optimizer, Mapping) or "lr" not in optimizer:
        return []
    rate, key = optimizer["lr"], f"model.optimizers.{role}.lr"
    if isinstance(rate, Mapping):
        return [f"{key}.start={rounded(factor * float(rate['start']))}"] if "start" in rate else []
    return [f"{key}={rounded(factor * float(rate))}"]


def doubled(run: Run, term: str, names: Sequence[str] = ()) -> list[str]:
    """Return the override that doubles the weight of a term, or of the first of ``names`` that has one above 0."""
    phase, weights = term.partition("/")[0], run.config["model"].get("weights", {})
    for name in names or (term.rpartition("/")[2],):
        weight, key = weights.get(phase, {}).get(name), f"model.weights.{phase}.{name}"
        if isinstance(weight, Mapping) and "start" in weight:
            return [f"{key}.start={rounded(2 * float(weight['start']))}"]
        if isinstance(weight, int | float) and weight > 0:
            return [f"{key}={rounded(2 * float(weight))}"]
    return []


def rounded(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:.3g}"
