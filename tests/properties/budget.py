"""How many examples a property is tried with: a few, always the same ones; or many new ones, for `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ_TIMES", "0"))
"""How many times as many examples as usual, drawn anew; 0 means the usual ones."""


def examples(count: int) -> settings:
    """Return the settings of a property that is tried with so many examples as a rule."""
    return settings(
        max_examples=count * max(TIMES, 1),
        derandomize=not TIMES,
        deadline=None,
        print_blob=bool(TIMES),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
