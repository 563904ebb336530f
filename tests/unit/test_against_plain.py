"""The comparison with the plain recipes tells ratios, and what there was not enough memory for."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from against_plain import compare, sentence
from tables import table

TOO_MANY = 10**9  # images: 12 TB


def test_sides_take_turns() -> None:
    found = compare("cyclegan", 32, 1, ["library"], rounds=1)
    ((ours,), (plain,)) = (found["seconds"][side] for side in ("library", "plain"))
    assert found["ratios"] == {"library": [ours / plain]}
    assert f"ratio {ours / plain:.3f} (from" in sentence(found, "library")
    assert table([found]).startswith("| model | batch | plain, s | library |\n")


def test_what_does_not_fit_into_memory_drops_out() -> None:
    found = compare("cyclegan", 32, TOO_MANY, ["float32"], rounds=1)
    assert found["seconds"] == found["ratios"] == {}
    assert sentence(found, "float32") == f"cyclegan, 32 px, batch {TOO_MANY}, float32: out of memory"
    alone = {**found, "seconds": {"float32": [2.0]}}
    assert sentence(alone, "float32").endswith("float32: 2 s, plain: out of memory")
    assert table([found]).splitlines()[-1] == f"| cyclegan, 32 px | {TOO_MANY} | - |  |"
