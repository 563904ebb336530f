"""Marks of scores that deserve a second look: better than real images, or worse than the source as it is.

A score beside those of real images and of the source says what it is worth. A small classifier accepts images in which
people see nothing of the target, so a score above that of real images is a reason for doubt, not for joy.
"""

import math
from collections.abc import Collection, Mapping

from translate.metrics.protocols import Scores
from translate.metrics.selection import base_name

SOURCE, UNTRAINED, REAL = "source", "untrained", "real"
"""The rows beside a model: the source taken as its translation, the networks before training, and real images."""

SOURCE_BICUBIC = "source, bicubic"
"""The row of sources of low resolution, which a bicubic filter enlarges."""

BETTER_THAN_REAL, WORSE_THAN_SOURCE = "better than real images", "worse than the source"
"""The kinds of marks."""

SIGNS = {BETTER_THAN_REAL: "\N{DAGGER}", WORSE_THAN_SOURCE: "\N{DOUBLE DAGGER}"}
"""Kind of mark -> the sign behind a score in tables."""

MEANINGS = {
    BETTER_THAN_REAL: "better than real images: the network behind the score is fooled, or the images are few",
    WORSE_THAN_SOURCE: "worse than the source as it is: doing nothing is better",
}
"""Kind of mark -> the sentence below a table."""

FLAWS = ("constant", "black", "saturated")
"""The scores that count outputs that are no image, each the fraction of all outputs."""

Marks = dict[str, dict[str, str]]
"""Kind of mark -> score -> a sentence."""

_CLASSIFIER = "the classifier is fooled, or has few images; look at the translations"
REASONS = {
    "domain accuracy": _CLASSIFIER,
    "label accuracy": _CLASSIFIER,
    "class accuracy": _CLASSIFIER,
    "target probe": "the probe is fooled, or has few images; look at the translations",
    "content kept (R2)": "the classifier reads the content of translations more easily than that of real images",
    "style followed (R2)": "the classifier reads the style of translations more easily than that of real images",
    "distance between codes": "translations differ more than real images do; look for artefacts and extreme colours",
    "LPIPS": "translations differ more than real images do; look for artefacts and extreme colours",
    "grain": "translations are smoother than real images; look for blur",
    "speckle": "translations are smoother than real images; look for blur",
}
"""Base name of a score -> what a value better than that of real images may mean."""

OTHER_REASON = "the features do not see the difference; look at the translations"


def marks(
    scores: Scores,
    columns: Mapping[str, Scores],
    better: Mapping[str, str],
    keeping: Collection[str],
    unbounded: Collection[str] = (),
) -> Marks:
    """Return the marks of scores, by the rows of real images and of the source.

    ``better`` has the direction of each score. ``keeping`` are the base names of scores by which a copy of the source
    is best, and which therefore may be worse than it. ``unbounded`` are those that real images do not bound, such as
    the distance to the source, which is large for other real images.
    """
    result: Marks = {}
    source = columns.get(SOURCE) or columns.get(SOURCE_BICUBIC) or {}
    real = columns.get(REAL) or {}
    for name, value in scores.items():
        way = better.get(name)
        if way is None:
            continue
        if name in real and base_name(name) not in unbounded and _exceeds(value, real[name], way):
            reason = REASONS.get(base_name(name), OTHER_REASON)
            sentence = f"{value:.4g} is better than {real[name]:.4g} of real images: {reason}"
            result.setdefault(BETTER_THAN_REAL, {})[name] = sentence
        if name in source and base_name(name) not in keeping and _exceeds(source[name], value, way):
            sentence = f"{value:.4g} is worse than {source[name]:.4g} of the source as it is: doing nothing is better"
            result.setdefault(WORSE_THAN_SOURCE, {})[name] = sentence
    return result


def _exceeds(one: float, other: float, way: str) -> bool:
    """Return whether a value is better than another one by more than rounding; never for NaN."""
    if math.isnan(one) or math.isnan(other) or math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9):
        return False
    return one < other if way == "lower" else one > other


def sign_of(name: str, marked: Mapping[str, Collection[str]]) -> str:
    """Return the signs of a score: none, one, or both."""
    return "".join(sign for kind, sign in SIGNS.items() if name in marked.get(kind, ()))
