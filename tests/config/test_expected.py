"""The key `expected`: scores that an experiment's runs reach, by one protocol."""

from pathlib import Path
from typing import Any

import pytest

from translate.config import expected
from translate.config.compose import load
from translate.config.schema import experiment_key, read_yaml, to_mapping, to_yaml
from translate.errors import ConfigError, Problem

WORDS = ["data=critters", "metrics=local_features", "best=FID", "evaluate_every=10"]
SCORES = "{score: FID, checkpoint: best, at_most: 40}, {score: 'FID, latent', checkpoint: last, near: 38, tolerance: 2}"
GOOD = f"expected={{protocol: local, seeds: [0, 1], scores: [{SCORES}]}}"


def test_an_expectation_is_kept_with_the_run_and_changes_no_result(tmp_path: Path) -> None:
    config = load([*WORDS, GOOD])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    kept = expected.read(read_yaml(tmp_path / "config.yaml")["expected"])
    assert kept is not None
    assert (kept.protocol, kept.seeds) == ("local", (0, 1))
    assert [(score.score, score.checkpoint, score.value) for score in kept.scores] == [
        ("FID", "best", 40.0),
        ("FID, latent", "last", 38.0),
    ]
    assert experiment_key(to_mapping(config)) == experiment_key(to_mapping(load(WORDS)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["expected={protocol: clen, seeds: [0], scores: [{score: FID, checkpoint: last, at_most: 1}]}"], "'clean'"),
        (["expected={protocol: local, seeds: [], scores: [{score: FID, checkpoint: last, at_most: 1}]}"], "no seed"),
        (["expected={protocol: local, seeds: [0], scores: []}"], "expected.scores: no score is named"),
        (["expected={protocol: local, seeds: [0], scores: [{score: FID, checkpoint: last}]}"], "neither of them"),
        (
            ["expected={protocol: local, seeds: [0], scores: [{score: FID, checkpoint: last, near: 1}]}"],
            "expected.scores[0].tolerance: the tolerance is missing",
        ),
        (
            ["expected={protocol: local, seeds: [0], scores: [{score: FID, checkpoint: final, at_most: 1}]}"],
            "expected.scores[0].checkpoint: found 'final', expected last or best",
        ),
        (
            ["expected={protocol: local, seeds: [0], scores: [{score: FID, checkpoint: last, at_mst: 1}]}"],
            "expected.scores[0].at_mst: unknown key 'at_mst'. Did you mean 'at_most'?",
        ),
        ([GOOD.replace("local", "clean")], "no metric of this run gives the score by protocol clean"),
        ([GOOD, "best=null"], "the run keeps no best checkpoint"),
        (["expected={protocol: local, seeds: [0]}"], "expected.scores: the key is missing"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([*WORDS, *words])
    assert sentence in str(caught.value)


def test_an_expectation_with_problems_is_none() -> None:
    problems: list[Problem] = []
    node: dict[str, Any] = {"protocol": "local", "seeds": [0], "scores": [{"score": "FID"}]}
    assert expected.read(node, problems) is None
    assert problems
    assert expected.read(None) is None
