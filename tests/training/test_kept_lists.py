"""Lists of parameters that a model keeps between iterations are those that it would find again."""

import pytest

from training.test_models import start
from translate.models.update_parts import PartsOfUpdates


@pytest.mark.parametrize("name", ["stargan_v2", "combogan"])
def test_an_iteration_that_forgets_its_lists_is_equal_to_the_bit(name: str) -> None:
    kept, batch = start(name)
    forgetful, _ = start(name)
    for _ in range(3):
        forgetful._parts_of_updates = PartsOfUpdates()
        forgetful.ema._pairs.clear()
        for model in (kept, forgetful):
            model.training_step(batch, 0)
    for key, tensor in kept.state_dict().items():
        assert tensor.equal(forgetful.state_dict()[key]), key
    assert kept._parts_of_updates._parts
