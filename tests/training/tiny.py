"""Models so small that an iteration takes a tenth of a second, on the built-in world."""

from dataclasses import dataclass
from pathlib import Path

from translate.config.compose import load
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.runs.checkpoints import Checkpoint, newest
from translate.training import run

RUN = [
    "metrics=none",
    "trainer=cpu",
    "trainer.threads=1",
    "log_every=1",
    "sample_every=null",
    "checkpoint_every=100",
]
"""Overrides of every case: nothing beside training itself."""


@dataclass(frozen=True)
class Case:
    """A small configuration of a model: overrides that make the model small, and small data that it can take."""

    model: list[str]
    data: list[str]

    def __call__(self, *overrides: str) -> RunConfig:
        """Return the checked configuration, with further overrides."""
        return self.on(self.data, *overrides)

    def on(self, data: list[str], *overrides: str) -> RunConfig:
        """Return the checked configuration of the same small model on other data."""
        return load([*self.model, *data, *RUN, *overrides])


tiny = Case(
    model=[
        "model=stargan_v2_small",
        "model.latent_size=4",
        "model.networks.generator.style_size=8",
        "model.networks.generator.base_width=4",
        "model.networks.generator.max_width=8",
        "model.networks.mapping.hidden_width=8",
        "model.networks.discriminator.base_width=4",
        "model.networks.discriminator.max_width=8",
        "model.weights.generator.diversity.iterations=8",
    ],
    data=[
        "data=critters",
        "data.image_size=32",
        "data.num_images=60",
        "data.num_val_images=30",
        "data.batch_size=4",
        "data.cache=null",
    ],
)
"""StarGAN v2; the diversity weight decays within the run, so that a resumed run that restarts it is found out."""

tiny_stargan_v1 = Case(
    model=[
        "model=stargan_v1_small",
        "model.num_critic=1",
        "model.networks.generator.base_width=6",
        "model.networks.generator.num_blocks=1",
        "model.networks.discriminator.base_width=6",
        "model.networks.discriminator.num_layers=3",
        "model.optimizers.generator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
        "model.optimizers.discriminator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
    ],
    data=[*tiny.data, "data.labels=domain"],
)
"""StarGAN v1; the rates fall within the run, so that a resumed run that restarts them is found out."""

tiny_cyclegan = Case(
    model=[
        "model=cyclegan_small",
        "model.pool_size=5",
        "model.networks.generator_ab.base_width=4",
        "model.networks.generator_ab.num_downsamplings=3",
        "model.networks.discriminator_a.base_width=4",
        "model.optimizers.generator_ab.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
        "model.optimizers.discriminator_a.lr={schedule: linear, start: 5e-4, end: 0, iterations: 8, after: 0}",
        "model.weights.discriminator.gradient_penalty=0.1",
    ],
    data=[*tiny.data, "data.domains=[cat,rabbit]"],
)
"""CycleGAN; the pools are full after two iterations, so that a resumed run that begins with empty ones is found out."""

tiny_pix2pix = Case(
    model=[
        "model=pix2pix_small",
        "model.networks.generator.base_width=4",
        "model.networks.generator.num_downsamplings=5",
        "model.networks.discriminator.base_width=4",
        "model.optimizers.generator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
    ],
    data=["data=critters_outlines", *tiny.data[1:]],
)
"""pix2pix from outlines to drawings."""

tiny_unit = Case(
    model=[
        "model=unit_small",
        "model.networks.encoder_a.base_width=4",
        "model.networks.encoder_a.num_blocks=1",
        "model.networks.decoder_a.num_blocks=1",
        "model.networks.discriminator_a.base_width=4",
        "model.optimizers.encoder_a.lr=1e-3",
        "model.optimizers.discriminator_a.lr=5e-4",
    ],
    data=[*tiny.data, "data.domains=[cat,rabbit]"],
)
"""UNIT of 2018; every iteration draws noise, six maps an image."""

tiny_combogan = Case(
    model=[
        "model=combogan_small",
        "model.pool_size=3",
        "model.networks.encoder.base_width=4",
        "model.networks.encoder.num_blocks=1",
        "model.networks.decoder.num_blocks=1",
        "model.networks.discriminator.base_width=4",
        "model.networks.discriminator.num_layers=2",
        "model.weights.generator.identity_a=0.5",
        "model.weights.generator.identity_b=0.5",
        "model.optimizers.encoder.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
        "model.optimizers.discriminator.lr={schedule: linear, start: 5e-4, end: 0, iterations: 8, after: 0}",
    ],
    data=tiny.data,
)
"""ComboGAN of three domains; the pools of the first pair are full after one iteration."""

SHARED_BLOCKS = "{name: combogan_shared_blocks, num_domains: 3, width: 16, num_blocks: 1}"
tiny_combogan_shared = Case(
    model=[
        *tiny_combogan.model,
        f"+model.networks.encoder_shared={SHARED_BLOCKS}",
        f"+model.networks.decoder_shared={SHARED_BLOCKS}",
        "+model.optimizers.encoder_shared={_target_: torch.optim.Adam, lr: 1e-3, weight_decay: 1e-2}",
        "+model.optimizers.decoder_shared={_target_: torch.optim.Adam, lr: 1e-3}",
        "model.weights.generator.forward_a=0.2",
        "model.weights.generator.forward_b=0.2",
        "model.weights.generator.latent_a={schedule: linear, start: 0, end: 1, iterations: 8}",
        "model.weights.generator.latent_b={schedule: linear, start: 0, end: 1, iterations: 8}",
    ],
    data=tiny.data,
)
"""ComboGAN with blocks that the domains share, and with all optional terms."""

tiny_unit_paper = Case(
    model=[
        "model=unit_paper",
        "model.ema_decay=0.98",
        "model.networks.encoder_a.base_width=4",
        "model.networks.encoder_a.num_blocks=1",
        "model.networks.encoder_shared.width=16",
        "model.networks.decoder_a.num_blocks=1",
        "model.networks.discriminator_a.base_width=4",
        "model.networks.discriminator_shared={in_channels: 8, num_layers: 2}",
        "model.optimizers.encoder_a.lr=1e-3",
        "+model.networks.code_discriminator={name: unit_shared_discriminator, in_channels: 16, num_layers: 1}",
        "+model.optimizers.code_discriminator={_target_: torch.optim.Adam, lr: 1e-3}",
        "model.weights.code_discriminator.code=1",
        "model.weights.generator.code=0.1",
    ],
    data=[*tiny.data, "data.domains=[cat,rabbit]"],
)
"""UNIT of the paper, with shared layers and a discriminator of codes."""

tiny_classifier = Case(
    model=[
        "model=classifier",
        "model.ema_decay=0.98",
        "model.networks.encoder.base_width=4",
        "model.networks.encoder.num_features=16",
        "model.optimizers.encoder.lr={schedule: linear, start: 1e-2, end: 0, iterations: 80, after: 0}",
    ],
    data=[*tiny.data, "data.labels=domain"],
)
"""A classifier of domains."""
tiny_fast_style = Case(
    model=[
        "model=fast_style_small",
        "metrics=none",
        "model.style_size=32",
        "model.networks.transformer.base_width=4",
        "model.networks.transformer.num_blocks=1",
        "model.optimizers.transformer.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
        "model.weights.transformer.variation=1e-6",
    ],
    data=tiny.data,
)
"""Fast style transfer, with the feature network that ships."""

tiny_dtn = Case(
    model=[
        "model=dtn_small",
        "~model.networks.features.weights",
        "~model.networks.features.role",
        "++model.networks.features={name: conv_encoder, base_width: 4, num_features: 8}",
        "model.networks.generator={code_size: 8, base_width: 4, image_channels: 1}",
        "model.networks.discriminator={base_width: 4, hidden_width: 8}",
        "model.optimizers.generator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
        "model.optimizers.discriminator.lr={schedule: linear, start: 5e-4, end: 0, iterations: 8, after: 0}",
        "model.weights.generator.smoothness=0.01",
    ],
    data=["data=critters_outlines", "data.domains=[drawing,outline]", *tiny.data[1:]],
)
"""DTN from drawings to grey outlines; f has random weights."""

tiny_xgan = Case(
    model=[
        "model=xgan_small",
        "model.networks.encoder_a.base_width=4",
        "model.networks.encoder_shared.code_size=64",
        "+model.networks.discriminator_a={name: xgan_discriminator, image_size: 32, base_width: 4}",
        "model.networks.discriminator_b.base_width=4",
        "+model.networks.teacher={name: conv_encoder, image_size: 32, base_width: 4, num_features: 64}",
        "+model.optimizers.discriminator_a={_target_: torch.optim.Adam, lr: 5e-4}",
        "model.weights.generator.adversarial_ba=0.05",
        "model.weights.generator.teacher=0.1",
        "model.weights.generator.semantic_a=0.001",  # batch norms of six images magnify its rounding
        "model.weights.generator.semantic_b=0.001",
    ],
    data=[*tiny.data, "data.domains=[cat,rabbit]"],
)
"""XGAN with a discriminator in both domains and a teacher of random weights."""

tiny_srresnet = Case(
    model=[
        "model=srresnet_small",
        "model.networks.generator.num_blocks=1",
        "model.networks.generator.base_width=6",
        "model.optimizers.generator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
    ],
    data=tiny.data,
)
"""SRResNet, with the batch norms of SRGAN; the rate falls within the run."""

tiny_srgan = Case(
    model=[
        "model=srgan_small",
        "model.networks.generator.num_blocks=1",
        "model.networks.generator.base_width=6",
        "model.networks.discriminator.base_width=4",
        "model.networks.discriminator.hidden_width=8",
        "model.optimizers.generator.lr={schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}",
    ],
    data=tiny.data,
)
"""SRGAN without features of a frozen network."""

tiny_icgan_gan = Case(
    model=[
        "model=icgan",
        "model.latent_size=6",
        "model.networks.generator.base_width=4",
        "model.networks.discriminator.base_width=4",
    ],
    data=[*tiny.data, "data.labels=attributes", "data.attributes=[dark_coat,glasses]"],
)
"""The conditional GAN of IcGAN, which translates nothing."""

_ENCODER = "name: icgan_encoder, image_size: 32, base_width: 4, num_layers: 3, hidden_width: 16"
tiny_icgan = Case(
    model=[
        *tiny_icgan_gan.model[:-1],
        "~model.networks.discriminator",
        "~model.optimizers.discriminator",
        "~model.optimizers.generator",
        f"+model.networks.encoder_z={{{_ENCODER}, num_outputs: 6}}",
        f"+model.networks.encoder_y={{{_ENCODER}, num_outputs: ${{data.num_labels}}}}",
        "+model.optimizers.encoder_z={_target_: torch.optim.Adam, lr: 1e-3}",
        "+model.optimizers.encoder_y={_target_: torch.optim.Adam, lr: 1e-3}",
        "model.weights.discriminator={real: 0.0, wrong: 0.0, fake: 0.0}",
        "model.weights.generator.adversarial=0",
        "model.weights.encoder={code: 1.0, labels: 1.0}",
    ],
    data=tiny_icgan_gan.data,
)
"""Both encoders of IcGAN, for a generator with random weights."""

TINY = [*tiny.model, *tiny.data, *RUN]


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
