"""Gradient accumulation: a batch in microbatches makes the updates of the whole batch."""

import pytest
import torch
from torch import Tensor

from training.test_models import CASES, COVERED
from training.tiny import (
    Case,
    tiny_combogan_shared,
    tiny_cyclegan_scales,
    tiny_icgan_gan,
    tiny_pix2pix,
    tiny_stargan_v2_relativistic,
    tiny_unit_paper,
)
from translate.errors import ConfigError, UserError
from translate.models.base import TranslationModel
from translate.training import build

FURTHER = {
    "stargan_v2": ["model.weights.discriminator.gradient_penalty=1"],
    "stargan_v1": ["model.num_critic=2"],
    "pix2pix": ["model.networks.generator.dropout=false"],  # dropout draws for each microbatch anew
}
MADE: dict[str, Case] = {
    **{name: CASES[name] for name in COVERED},
    "combogan with shared blocks": tiny_combogan_shared,
    "unit with shared layers": tiny_unit_paper,
    "icgan's GAN": tiny_icgan_gan,
    "cyclegan of several scales": tiny_cyclegan_scales,
    "stargan_v2 with pairs": tiny_stargan_v2_relativistic,
}


def after(name: str, num_microbatches: int, iterations: int = 4) -> tuple[TranslationModel, list[dict[str, float]]]:
    """Return a model after some iterations in float64, and its terms in each."""
    further = ["data.batch_size=6", "trainer.precision=64-true", *FURTHER.get(name, ())]
    # Adam turns a gradient that is rounding alone into a whole step; a large eps makes it smooth
    smooth = [f"+model.optimizers.{role}.eps=1e-2" for role in MADE[name]().model.optimizers]
    config = MADE[name](*further, *smooth, f"trainer.accumulate={num_microbatches}")
    torch.set_num_threads(1)
    data = build.build_data(config)
    model = build.build_model(config).double()
    stream, terms = data.iterations(), []
    for k in range(iterations):
        model.training_step(in_float64(data.augment(stream[k])), k)
        terms.append({term: value.item() for term, value in model.terms.items()})
    return model, terms


def in_float64(batch: object) -> object:
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, int):
        return batch
    assert isinstance(batch, tuple)
    values = [in_float64(value) for value in batch]
    return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)


@pytest.mark.parametrize("name", MADE)
def test_microbatches_make_the_updates_of_the_whole_batch(name: str) -> None:
    whole, terms = after(name, 1)
    used = [parameter for network in whole.inference_networks().values() for parameter in network.parameters()]
    assert all(parameter.dtype == torch.float32 for parameter in used)
    for num_microbatches in (2, 6):
        parts, found = after(name, num_microbatches)
        for key, tensor in whole.state_dict().items():
            torch.testing.assert_close(parts.state_dict()[key], tensor, rtol=1e-6, atol=1e-7, msg=key)
        for mine, wanted in zip(found, terms, strict=True):
            assert mine == pytest.approx(wanted, rel=1e-4, abs=1e-6)  # terms are kept in float32
        for memory, kept in whole.stateful.items():
            mine_kept = parts.stateful[memory].state_dict()
            for key, tensor in kept.state_dict().items():
                torch.testing.assert_close(mine_kept[key], tensor, rtol=1e-6, atol=1e-7)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    sentence = r"data.batch_size: the global batch is split evenly; found 4, expected a multiple of 3 .*Fix: use 3 or 6"
    with pytest.raises(ConfigError, match=sentence):
        CASES["stargan_v2"]("trainer.accumulate=3")


def test_batch_norm_with_activation_checkpointing_is_refused() -> None:
    config = tiny_pix2pix("trainer.accumulate=2", "trainer.activation_checkpointing=true")
    sentence = r"model.networks.generator: batch norm over microbatches cannot recompute its statistics"
    with pytest.raises(UserError, match=sentence):
        build.build_model(config)
