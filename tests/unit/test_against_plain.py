"""The comparison with the plain recipes knows the sides that do not answer in time, and draws equal batches."""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from against_plain import FAILED, Batches, Sides, sentence
from tables import speeds


def test_sides_that_do_not_answer_in_time_drop_out() -> None:
    with Sides("cyclegan", 32, ["library"]) as sides:
        late = sides.compare(2, ["library"], rounds=1, deadline=time.monotonic())
        assert late["dropped"] == {"library": "out of time", "plain": "out of time"}
        assert late["seconds"] == late["ratios"] == {}
        assert sentence(late, "library") == "cyclegan, 32 px, batch 2, library: out of time"
        assert speeds([late]).splitlines()[-1] == "| cyclegan, 32 px | 2 | out of time | out of time |"


def test_a_side_that_fails_leaves_the_others() -> None:
    with Sides("cyclegan", 32, ["library"]) as sides:
        sides._processes["library"].kill()
        sides._processes["library"].join()
        for _ in range(2):
            found = sides.compare(1, ["library"], rounds=1, deadline=time.monotonic())
            assert found["dropped"] == {"library": FAILED, "plain": "out of time"}
    assert sentence(found, "library") == f"cyclegan, 32 px, batch 1, library: {FAILED}"


def test_batches_drawn_before_are_those_drawn_on_demand() -> None:
    drawn, plain = (Batches(8, 2, torch.device("cpu")) for _ in range(2))
    drawn.draw("stargan_v2", range(3, 5))
    assert drawn.stargan_v2(3) is drawn.stargan_v2(3)
    for a, b in zip(drawn.stargan_v2(4), plain.stargan_v2(4), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(drawn.stargan_v2(7).image, plain.stargan_v2(7).image)
