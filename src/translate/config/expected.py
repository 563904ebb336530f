"""Expected scores of an experiment: the key ``expected``, by which `table` says whether its runs reach them.

    expected:
      protocol: pytorch_fid
      seeds: [0, 1, 2]
      scores:
        - {score: "FID, horse -> zebra", checkpoint: last, at_most: 77.0}
        - {score: "FID, horse -> zebra", checkpoint: best, near: 64.5, tolerance: 2.0}

A score is a mean over tasks ("FID", "FID, latent"), or of one task ("FID, horse -> zebra"). The mean over the seeds is
compared. Scores of other protocols never are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import Phrase, Problem
from translate.files.reading import is_finite
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.selection import base_name, directions, protocol_of
from translate.registry.registry import METRICS
from translate.runs.folder import BEST, LAST

COMPARISONS = ("at_most", "at_least", "near")
KEYS = ("score", "checkpoint", *COMPARISONS, "tolerance")


@dataclass(frozen=True)
class ExpectedScore:
    """A bound of a score of one checkpoint, or a value with a tolerance."""

    score: str
    checkpoint: str  # last or best
    comparison: str  # one of COMPARISONS
    value: float
    tolerance: float  # by which the score may be beyond the bound, or on either side of the value

    def is_met(self, mean: float) -> bool:
        """Return whether a mean over seeds is within the tolerance; NaN never is."""
        if self.comparison == "at_most":
            return mean <= self.value + self.tolerance
        if self.comparison == "at_least":
            return mean >= self.value - self.tolerance
        return abs(mean - self.value) <= self.tolerance

    def __str__(self) -> str:
        """Return the expectation in signs.

        >>> print(ExpectedScore("FID", "last", "near", 16.18, 0.5), ExpectedScore("FID", "last", "at_most", 77, 0))
        16.18 ± 0.5 ≤ 77
        """
        sign = {"at_most": "\N{LESS-THAN OR EQUAL TO} ", "at_least": "\N{GREATER-THAN OR EQUAL TO} "}
        tolerance = f" \N{PLUS-MINUS SIGN} {self.tolerance:g}" if self.tolerance else ""
        return f"{sign.get(self.comparison, '')}{self.value:g}{tolerance}"


@dataclass(frozen=True)
class Expected:
    """The expected scores of an experiment, by one protocol, as means over these seeds."""

    protocol: str
    seeds: tuple[int, ...]
    scores: tuple[ExpectedScore, ...]


def read(node: Any, problems: list[Problem] | None = None) -> Expected | None:
    """Return the expectation that a node of a configuration says; None for null, and for a node with problems.

    Problems are appended to ``problems``, where it is given.
    """
    own: list[Problem] = []
    expected = _read(node, own) if isinstance(node, Mapping) else None
    if problems is not None:
        problems.extend(own)
    return None if own else expected


def _read(node: Mapping[str, Any], problems: list[Problem]) -> Expected:
    protocol, seeds, scores = node.get("protocol"), node.get("seeds") or [], node.get("scores") or []
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        problems.append(Problem("unknown protocol", key="expected.protocol", found=protocol, known=tuple(PROTOCOLS)))
    if not isinstance(seeds, list | tuple) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        problems.append(Problem("no seed is named", key="expected.seeds", expected="one or more, such as [0, 1, 2]"))
    if not isinstance(scores, list | tuple) or not scores or not all(isinstance(each, Mapping) for each in scores):
        problems.append(Problem("no score is named", key="expected.scores", expected="one or more mappings"))
        return Expected(str(protocol), (), ())
    found = [_score(each, f"expected.scores[{number}]", problems) for number, each in enumerate(scores)]
    return Expected(
        str(protocol),
        tuple(seeds) if isinstance(seeds, list | tuple) else (),
        tuple(score for score in found if score is not None),
    )


def _score(node: Mapping[str, Any], where: str, problems: list[Problem]) -> ExpectedScore | None:
    before = len(problems)
    problems += [Problem("unknown key", key=f"{where}.{key}", found=key, known=KEYS) for key in node if key not in KEYS]
    if not isinstance(node.get("score"), str):
        problems.append(Problem("the name of the score is missing", key=f"{where}.score", expected="such as FID"))
    if node.get("checkpoint") not in (LAST, BEST):
        problems.append(Problem(key=f"{where}.checkpoint", found=node.get("checkpoint"), expected=f"{LAST} or {BEST}"))
    comparisons = [key for key in COMPARISONS if key in node]
    if len(comparisons) != 1:
        words = Phrase(" and ".join(comparisons) or "neither of them")
        problems.append(Problem(key=where, found=words, expected=f"one of {', '.join(COMPARISONS)}"))
    for key in (*comparisons, "tolerance"):
        value = node.get(key, 0.0)
        if not is_finite(value) or (key == "tolerance" and value < 0):
            problems.append(Problem(key=f"{where}.{key}", found=value, expected="a number"))
    if comparisons == ["near"] and "tolerance" not in node:
        problems.append(Problem("the tolerance is missing", key=f"{where}.tolerance", expected="a number"))
    if len(problems) > before:
        return None
    (comparison,) = comparisons
    value, tolerance = float(node[comparison]), float(node.get("tolerance", 0.0))
    return ExpectedScore(node["score"], node["checkpoint"], comparison, value, tolerance)


def problems_of(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the expectation of a configuration, and with its metrics, which measure it."""
    problems: list[Problem] = []
    expected = read(values.get("expected"), problems)
    yield from problems
    metrics = values.get("metrics")
    if expected is None or not isinstance(metrics, Mapping):
        return
    names = [node.get("name") for node in metrics.values() if isinstance(node, Mapping)]
    measured = {
        score
        for name in names
        if name in METRICS.index() and protocol_of(name) == expected.protocol
        for score in directions(name)
    }
    for number, score in enumerate(expected.scores):
        where = f"expected.scores[{number}]"
        if base_name(score.score) not in measured:
            yield Problem(
                f"no metric of this run gives the score by protocol {expected.protocol}",
                key=f"{where}.score",
                found=score.score,
                fix=f"metrics={expected.protocol}, or expected=null to expect nothing",
            )
        if score.checkpoint == BEST and values.get("best") is None:
            fix = f"best='{score.score}' with evaluate_every=10000 or another interval, or expected=null"
            yield Problem("the run keeps no best checkpoint", key=f"{where}.checkpoint", found=BEST, fix=fix)
