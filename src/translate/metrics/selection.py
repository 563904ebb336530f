"""The score that selects the best checkpoint; read from the registrations, so that a check needs no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import UserError
from translate.registry.registry import METRICS

ARROW = " -> "
"""Part of the names of tasks, which end the names of their scores."""


@dataclass(frozen=True)
class Best:
    """A score of a protocol, and its better direction."""

    protocol: str
    score: str  # "FID" (the mean over modes), "FID, latent", or of one task: "FID, horse -> zebra"
    better: str  # "lower" or "higher"

    def value(self, scores: Mapping[str, float]) -> float | None:
        """Return the value of the score, the mean over modes where none is named; None without such a score.

        Scores of single tasks, "FID, cat -> dog", are taken where they are named.
        """
        if self.score in scores:
            return scores[self.score]
        of_modes = [value for name, value in scores.items() if base_name(name) == self.score and ARROW not in name]
        return sum(of_modes) / len(of_modes) if of_modes else None

    def improves(self, new: float, old: float | None) -> bool:
        """Return whether a value is better than an older one, if there is one; NaN never is."""
        if new != new or old is None:
            return new == new
        return new < old if self.better == "lower" else new > old


def base_name(score: str) -> str:
    """Return the name of a score without its mode or unit.

    >>> base_name("FID, latent"), base_name("KID")
    ('FID', 'KID')
    """
    return score.partition(", ")[0]


def directions(metric: str) -> dict[str, str]:
    """Return the base names of the scores of a registered metric, each with its better direction."""
    return dict(METRICS.facts(metric).get("scores", {}))


def keeping_source(metrics: Iterable[str]) -> set[str]:
    """Return the base names of the scores, of some registered metrics, by which a copy of the source is best."""
    return {score for metric in metrics for score in METRICS.facts(metric).get("keeps_source", ())}


def without_bound(metrics: Iterable[str]) -> set[str]:
    """Return the base names of the scores, of some registered metrics, that those of real images do not bound."""
    return {score for metric in metrics for score in METRICS.facts(metric).get("unbounded", ())}


def protocol_of(metric: str) -> str:
    """Return the protocol of a registered metric."""
    return str(METRICS.facts(metric).get("protocol"))


def find(best: str, metrics: Mapping[str, Any]) -> Best:
    """Return the score that the key `best` names among configured metrics (label -> node); UserError without one.

    ``best`` is the name of a metric with a single score, or the name of a score, with or without its mode.
    """
    known: dict[str, list[Best]] = {}
    for node in metrics.values():
        name = node.get("name") if isinstance(node, Mapping) else None
        if not isinstance(name, str) or name not in METRICS.index():
            continue  # the check of the metrics reports it
        scores = directions(name)
        for score, better in scores.items():
            candidate = Best(protocol_of(name), score, better)
            known.setdefault(score, []).append(candidate)
            if len(scores) == 1:
                known.setdefault(name, []).append(candidate)
    if base_name(best) not in known:
        raise UserError("no metric of this run gives the score", key="best", found=best, known=known)
    candidates = known[base_name(best)]
    protocols = sorted({candidate.protocol for candidate in candidates})
    if len(protocols) > 1:
        raise UserError(
            f"{best!r} is a score of the protocols {', '.join(protocols)}", key="best", fix="name the metric instead"
        )
    chosen = candidates[0]
    return Best(chosen.protocol, best if base_name(best) == chosen.score else chosen.score, chosen.better)
