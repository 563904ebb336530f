"""Problems in training are logged once, and only when they last."""

import logging

import pytest

from translate.training.callbacks.health import PATIENCE, Health
from translate.training.callbacks.metric_logging import MetricLogging


class Model:
    iteration = 0


def warnings_of(records: list[dict[str, float]], caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings while records come one after the other."""
    metric_logging = MetricLogging(None, 1, 1)
    health, model = Health(metric_logging), Model()
    with caplog.at_level(logging.WARNING, logger="translate"):
        for record in records:
            metric_logging.latest = dict(record)
            model.iteration += 1
            for _ in range(2):  # the same record is looked at once
                health.on_train_batch_end(None, model)  # type: ignore[arg-type]
    return [message.getMessage() for message in caplog.records]


GOOD = {"accuracy/discriminator": 0.8, "generator/latent/diversity": -0.2, "gradient_norm/generator": 2.0}


def test_nothing_is_said_of_a_good_run(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of([GOOD] * 30, caplog) == []


@pytest.mark.parametrize(
    ("term", "value", "words"),
    [
        ("accuracy/discriminator", 0.999, "Lower its learning rate"),
        ("accuracy/discriminator", 0.5, "near chance"),
        ("generator/latent/diversity", -0.001, "possible mode collapse"),
    ],
)
def test_lasting_trouble_is_logged_once(term: str, value: float, words: str, caplog: pytest.LogCaptureFixture) -> None:
    bad = {**GOOD, term: value}
    assert warnings_of([GOOD] * 3 + [bad] * (PATIENCE - 1) + [GOOD] * 3, caplog) == []
    (said,) = warnings_of([GOOD] * 3 + [bad] * 15, caplog)
    assert words in said
    assert said.startswith(f"iteration {3 + PATIENCE}: ")


def test_trouble_that_comes_again_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    bad = {**GOOD, "accuracy/discriminator": 1.0}
    assert len(warnings_of(([bad] * PATIENCE + [GOOD]) * 2, caplog)) == 2


def test_a_jump_of_gradients_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    (said,) = warnings_of([GOOD] * 8 + [{**GOOD, "gradient_norm/generator": 150.0}, GOOD], caplog)
    assert "75 times its median" in said
    assert said.startswith("iteration 9: ")


def test_terms_of_some_records_only_are_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of([GOOD, {"accuracy/discriminator": 0.8}] * 20, caplog) == []
