"""What `benchmarks/ablation_grid.py` asks models for."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from ablation_grid import targets

from translate.data.batches import HeldOut


def test_domains_go_round_and_attributes_are_changed() -> None:
    label = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    held_out = HeldOut(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), label, None, np.arange(2))
    classes, attributes = ({"kind": kind, "names": ["a", "b", "c"]} for kind in ("classes", "attributes"))
    assert targets(held_out, ["cat", "dog"], []) == [["dog", "cat"]]
    assert targets(held_out, ["cat", "dog"], [classes]) == [["dog", "cat"]]
    first, last = targets(held_out, [], [attributes])
    assert first.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert last.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert torch.equal(held_out.label, label)
