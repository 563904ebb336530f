"""What a generator is told, and labels changed for a test."""

import pytest
import torch

from translate.data.labels import changed, conditions


@pytest.mark.parametrize("number", [0, 1, 2])
def test_labels_stand_in_their_place_before_the_mask(number: int) -> None:
    widths = (3, 1, 2)
    labels = torch.full((4, widths[number]), 0.5)
    found = conditions(labels, number, widths)
    assert found.shape == (4, 6 + 3)
    start = sum(widths[:number])
    assert found[:, start : start + widths[number]].equal(labels)
    assert found[:, 6:].equal(torch.eye(3)[number].expand(4, 3))
    assert found.sum() == labels.sum() + 4  # zero everywhere else


def test_a_single_data_set_needs_no_mask() -> None:
    labels = torch.eye(3)
    assert conditions(labels, 0, (3,)).equal(labels)


def test_of_hair_colours_one_holds() -> None:
    names = ("Black_Hair", "Blond_Hair", "Male")
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    assert changed(labels, 1, names).tolist() == [[0, 1, 1], [0, 1, 0]]
    assert changed(labels, 0, names).tolist() == [[1, 0, 1], [1, 0, 0]]
    assert changed(labels, 2, names).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert labels.tolist() == [[1, 0, 1], [0, 0, 0]]
