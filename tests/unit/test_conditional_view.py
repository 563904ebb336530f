"""The view of IcGAN: wrong labels differ, and labels are drawn as often as images have them."""

import numpy as np
import pytest

from properties.worlds import Numbers
from translate.data.views.base import ViewInputs
from translate.data.views.conditional import ConditionalView
from translate.errors import UserError


def view_of(dataset: Numbers, labels: str = "attributes") -> ConditionalView:
    return ConditionalView(ViewInputs(dataset, np.arange(len(dataset)), 4, 3, labels, 0))


def test_wrong_labels_differ_and_are_those_of_all_others_alike() -> None:
    """Classes 0, 1 and 2 have 1, 2 and 3 images: beside class 2, class 1 is drawn twice as often as class 0."""
    view = view_of(Numbers(np.array([0, 1, 1, 2, 2, 2])), "domain")
    batch = view.draw(np.arange(60_000))
    own, wrong = batch.label.argmax(1), batch.wrong_label.argmax(1)
    assert (own != wrong).all()
    of_class_2 = np.bincount(wrong[own == 2], minlength=3) / (own == 2).sum()
    assert of_class_2 == pytest.approx([1 / 3, 2 / 3, 0], abs=0.02)
    assert np.bincount(batch.sampled_label.argmax(1)) / 60_000 == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=0.02)


def test_draws_are_a_function_of_the_position() -> None:
    view = view_of(Numbers(np.arange(20) % 3, num_attributes=3))
    whole, part = view.draw(np.arange(100)), view.draw(np.arange(40, 60))
    for of_whole, of_part in zip(whole, part, strict=True):
        assert np.array_equal(of_whole[40:60], of_part)
    assert whole.code.shape == (100, 3)
    assert not np.array_equal(whole.label, whole.sampled_label)


def test_equal_labels_everywhere_are_refused() -> None:
    dataset = Numbers(np.zeros(5, np.int64), num_attributes=2)
    dataset.attributes[:] = 1
    with pytest.raises(UserError, match="all images have the same labels"):
        view_of(dataset)
