"""The table of `benchmarks/convolutions.py` has a row for each way of a quick convolution."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from convolutions import Layer, measure


@pytest.mark.parametrize(("kernel", "stride", "way"), [(3, 1, "Winograd"), (7, 1, "strips"), (4, 2, "product")])
def test_every_way_is_timed(kernel: int, stride: int, way: str) -> None:
    layer = Layer(batch=1, width=4, out_width=3, side=8, kernel=kernel, stride=stride)
    row = measure(layer, 1, torch.channels_last, torch.float32)
    assert row.startswith(f"| 1 x 4 to 3, 8 px, {kernel}x{kernel} |")
    assert f"| {way} |" in row
