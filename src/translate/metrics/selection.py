"""Which figure says that a model is the best so far; read from the registrations, so that a check needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import UserError, among
from translate.registry.registry import METRICS


@dataclass(frozen=True)
class Best:
    """A figure of a protocol, and which way is better."""

    protocol: str
    figure: str  # "FID" (the mean over modes) or "FID, latent"
    better: str  # "lower" or "higher"

    def value(self, figures: Mapping[str, float]) -> float | None:
        """Return the figure's value, the mean over modes where none is named; None where it is not there."""
        if self.figure in figures:
            return figures[self.figure]
        of_modes = [value for name, value in figures.items() if base(name) == self.figure]
        return sum(of_modes) / len(of_modes) if of_modes else None

    def beats(self, new: float, old: float | None) -> bool:
        """Tell whether a value is better than another one; what is not a number never is."""
        if new != new or old is None:
            return new == new
        return new < old if self.better == "lower" else new > old


def base(figure: str) -> str:
    """Return a figure's name without the mode or unit behind it.

    >>> base("FID, latent"), base("KID")
    ('FID', 'KID')
    """
    return figure.partition(", ")[0]


def find(named: str, metrics: Mapping[str, Any]) -> Best:
    """Return the figure that the key `best` names among configured metrics (label -> node); UserError for none.

    It is a metric's name, where that has a single figure, or a figure's, with its mode or without.
    """
    known: dict[str, list[Best]] = {}
    for node in metrics.values():
        name = node.get("name") if isinstance(node, Mapping) else None
        if not isinstance(name, str) or name not in METRICS.index():
            continue  # said by the check of metrics
        facts = METRICS.facts(name)
        figures = facts.get("figures", {})
        for figure, better in figures.items():
            found = Best(str(facts.get("protocol")), figure, better)
            known.setdefault(figure, []).append(found)
            if len(figures) == 1:
                known.setdefault(name, []).append(found)
    if base(named) not in known:
        raise UserError(f"best: found {named!r}, which no metric of this run gives{among(named, known)}")
    candidates = known[base(named)]
    if len({each.protocol for each in candidates}) > 1:
        protocols = ", ".join(sorted(each.protocol for each in candidates))
        raise UserError(f"best: {named!r} is a figure of the protocols {protocols}; name the metric instead")
    chosen = candidates[0]
    return Best(chosen.protocol, named if base(named) == chosen.figure else chosen.figure, chosen.better)
