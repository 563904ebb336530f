"""Scores are marked where they are better than those of real images, or worse than those of the source as it is."""

import math

import pytest

from translate.metrics import selection
from translate.metrics.marks import BETTER_THAN_REAL, SIGNS, WORSE_THAN_SOURCE, marks, sign_of

BETTER = {"FID, latent": "lower", "domain accuracy, latent": "higher", "grain": "lower"}
COLUMNS = {
    "source": {"FID, latent": 50.0, "domain accuracy, latent": 0.1, "grain": 0.2},
    "untrained": {"FID, latent": 300.0},
    "real": {"FID, latent": 5.0, "domain accuracy, latent": 0.95, "grain": 0.2},
}


def marked(name: str, value: float) -> set[str]:
    return set(marks({name: value}, COLUMNS, BETTER, {"grain"}))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FID, latent", 20.0, set()),
        ("FID, latent", 4.0, {BETTER_THAN_REAL}),
        ("FID, latent", 60.0, {WORSE_THAN_SOURCE}),
        ("FID, latent", 5.0, set()),
        ("domain accuracy, latent", 0.95, set()),
        ("domain accuracy, latent", 0.99, {BETTER_THAN_REAL}),
        ("domain accuracy, latent", 0.05, {WORSE_THAN_SOURCE}),
        ("grain", 4.0, set()),  # no translation keeps the flat places of its source as a copy does
        ("grain", 0.1, {BETTER_THAN_REAL}),
        ("domain accuracy, latent", math.nan, set()),
        ("unknown", 1.0, set()),
    ],
)
def test_a_score_is_marked_by_the_rows_beside_it(name: str, value: float, expected: set[str]) -> None:
    assert marked(name, value) == expected


def test_a_mark_says_in_words_what_it_means() -> None:
    found = marks({"domain accuracy, latent": 0.99}, COLUMNS, BETTER, ())
    sentence = found[BETTER_THAN_REAL]["domain accuracy, latent"]
    assert sentence.startswith("0.99 is better than 0.95 of real images: the classifier is fooled")
    assert sign_of("domain accuracy, latent", found) == SIGNS[BETTER_THAN_REAL]
    assert sign_of("FID, latent", found) == ""


def test_scores_by_which_a_copy_is_best_are_registered() -> None:
    names = ("grain", "ssim_source_local", "local", "fid_local")
    assert {"grain", "SSIM to the source", "content kept (R2)"} <= selection.keeping_source(names)
    assert "FID" not in selection.keeping_source(names)
