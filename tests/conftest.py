"""What every test is given."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Take back what a run in this process does to the log: it writes to the terminal of the test that it ran in."""
    logger = logging.getLogger("translate")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    level, logger.propagate, logger.handlers = before
    logger.setLevel(level)
