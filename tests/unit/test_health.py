"""Problems in training are logged once, and only when they last."""

import logging
from types import SimpleNamespace

import pytest
import torch

from translate.training.callbacks.health import PATIENCE, Health
from translate.training.callbacks.metric_logging import MetricLogging, largest_gradients


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


class Parameters(torch.nn.Module):
    """One parameter with a gradient."""

    def __init__(self, gradient: float | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.weight.grad = None if gradient is None else torch.tensor([0.0, gradient])


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [([0.0, 0.0], {"a": 10}), ([0.0, 1.0], {}), ([1.0, 0.0], {}), ([0.0, None, 0.0], {"a": 10}), ([None, None], {})],
)
def test_gradients_that_are_zero_at_two_records_are_noticed(
    gradients: list[float | None], expected: dict[str, int]
) -> None:
    metric_logging = MetricLogging(None, 10, 1)
    for number, gradient in enumerate(gradients, start=1):
        model = SimpleNamespace(trained=("a",), device="cpu", network=lambda role, value=gradient: Parameters(value))
        largest = {role: float(value) for role, value in largest_gradients(model).items()}  # type: ignore[arg-type]
        metric_logging._note_gradients(10 * number, largest)
    assert metric_logging.without_gradients() == expected


def test_a_network_without_gradients_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    metric_logging = MetricLogging(None, 1, 1)
    metric_logging._zero_since = {"mapping": 1}
    health, model = Health(metric_logging), Model()
    with caplog.at_level(logging.WARNING, logger="translate"):
        for _ in range(5):
            metric_logging.latest = dict(GOOD)
            model.iteration = metric_logging._noted = model.iteration + 1
            health.on_train_batch_end(None, model)  # type: ignore[arg-type]
    (said,) = [message.getMessage() for message in caplog.records]
    assert said.startswith("iteration 2: all gradients of mapping are 0 since iteration 1, so it does not learn. ")
