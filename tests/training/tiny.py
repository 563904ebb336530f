"""A StarGAN v2 so small that an iteration takes a tenth of a second, on the built-in world."""

from pathlib import Path

from translate import run
from translate.checkpoints import Checkpoint, newest
from translate.config.compose import load
from translate.config.resume import resumed
from translate.config.schema import RunConfig

TINY = [
    "model=stargan_v2_small",
    "data=critters",
    "data.image_size=32",
    "data.num_images=60",
    "data.num_val_images=30",
    "data.batch_size=4",
    "data.cache=null",
    "metrics=none",
    "trainer=cpu",
    "trainer.threads=1",
    "log_every=1",
    "sample_every=null",
    "checkpoint_every=100",
    "model.latent_size=4",
    "model.networks.generator.style_size=8",
    "model.networks.generator.base_width=4",
    "model.networks.generator.max_width=8",
    "model.networks.mapping.hidden_width=8",
    "model.networks.discriminator.base_width=4",
    "model.networks.discriminator.max_width=8",
    "model.weights.generator.diversity.iterations=8",
]
"""Overrides; the diversity weight decays within the run, so that a resumed run that restarts it is found out."""


def tiny(*overrides: str) -> RunConfig:
    """Return the checked configuration, with further overrides."""
    return load([*TINY, *overrides])


def train(folder: Path, *overrides: str) -> Checkpoint:
    """Train in this process and return the last checkpoint."""
    assert run.train(tiny(*overrides), folder, None, list(overrides)) == 0
    return newest(folder)


def go_on(folder: Path, *overrides: str) -> Checkpoint:
    """Resume in this process and return the last checkpoint."""
    assert run.train(resumed(folder, list(overrides)), folder, folder, list(overrides)) == 0
    return newest(folder)


def differences(first: Checkpoint, second: Checkpoint) -> list[str]:
    """Return the names of tensors that are not equal to the bit."""
    assert first.tensors.keys() == second.tensors.keys()
    return [name for name, tensor in first.tensors.items() if not tensor.equal(second.tensors[name])]
