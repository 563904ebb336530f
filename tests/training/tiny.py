"""Models so small that an iteration takes a tenth of a second, on the built-in world."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from translate.config.command_line import parse, stages_of
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

RATE = "{schedule: linear, start: 1e-3, end: 0, iterations: 8, after: 0}"
LOW_RATE = "{schedule: linear, start: 5e-4, end: 0, iterations: 8, after: 0}"
"""Learning rates that fall within a run, so that a resumed run that restarts them is found out."""


@dataclass(frozen=True)
class Case:
    """A small configuration of a model: overrides that make the model small, and small data that it can take."""

    model: list[str]
    data: list[str]

    def __call__(self, *overrides: str) -> RunConfig:
        """Return the checked configuration, with further overrides."""
        return self.on(self.data, *overrides)

    def trained(self, folder: Path, *overrides: str) -> Path:
        """Train the configuration in this process; return the run folder."""
        assert run.train(self(*overrides), folder) == 0
        return folder

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

PAIR = [*tiny.data, "data.domains=[cat,rabbit]"]
"""The data of models of two domains."""

tiny_stargan_v1 = Case(
    model=[
        "model=stargan_v1_small",
        "model.num_critic=1",
        "model.networks.generator.name=stargan_v1_generator",
        "model.networks.generator.upsampling=transposed",
        "model.networks.generator.base_width=6",
        "model.networks.generator.num_blocks=1",
        "model.networks.discriminator.base_width=6",
        "model.networks.discriminator.num_layers=3",
        f"model.optimizers.generator.lr={RATE}",
        f"model.optimizers.discriminator.lr={RATE}",
    ],
    data=[*tiny.data, "data.labels=domain"],
)
"""StarGAN v1 with domains as labels."""

tiny_cyclegan = Case(
    model=[
        "model=cyclegan_small",
        "model.pool_size=5",
        "model.networks.generator_ab.base_width=4",
        "model.networks.generator_ab.fine_width=0",  # as the official code
        "model.networks.generator_ab.num_downsamplings=3",
        "model.networks.discriminator_a.base_width=4",
        f"model.optimizers.generator_ab.lr={RATE}",
        f"model.optimizers.discriminator_a.lr={LOW_RATE}",
        "model.weights.discriminator.gradient_penalty=0.1",
    ],
    data=PAIR,
)
"""CycleGAN; the pools are full after two iterations, so that a resumed run that begins with empty ones is found out."""

tiny_cut = Case(
    model=[
        "model=cut_small",
        "model.num_places=32",
        "model.flip_equivariance=true",
        "model.networks.generator.base_width=4",
        "model.networks.generator.num_blocks=1",
        "model.networks.projection={taps: [0, 4, 8, 12], num_features: 8}",
        "model.networks.discriminator.base_width=4",
        f"model.optimizers.generator.lr={RATE}",
        "model.optimizers.discriminator.lr=5e-4",
        "model.weights.discriminator.gradient_penalty=0.1",
        "model.weights.discriminator.r1=0.01",
    ],
    data=PAIR,
)
"""CUT with all terms; every iteration draws a flip and the places."""

tiny_dclgan = Case(
    model=[
        "model=dclgan_small",
        "model.pool_size=5",
        "model.num_places=32",
        "model.networks.generator_ab={base_width: 4, num_blocks: 1}",
        "model.networks.projection_a={taps: [4, 12], num_features: 8}",
        "model.networks.discriminator_a.base_width=4",
        f"model.optimizers.generator_ab.lr={RATE}",
        "model.optimizers.discriminator_a.lr=5e-4",
        "model.weights.discriminator.gradient_penalty=0.1",
    ],
    data=PAIR,
)
"""DCLGAN; the pools are full after two iterations."""

tiny_pix2pix = Case(
    model=[
        "model=pix2pix_small",
        "model.networks.generator.base_width=4",
        "model.networks.generator.num_downsamplings=5",
        "model.networks.generator.fine_width=0",  # as the official code
        "model.networks.discriminator.base_width=4",
        f"model.optimizers.generator.lr={RATE}",
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
    data=PAIR,
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
        f"model.optimizers.encoder.lr={RATE}",
        f"model.optimizers.discriminator.lr={LOW_RATE}",
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
    data=PAIR,
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
        f"model.optimizers.transformer.lr={RATE}",
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
        f"model.optimizers.generator.lr={RATE}",
        f"model.optimizers.discriminator.lr={LOW_RATE}",
        "model.weights.generator.smoothness=0.01",
    ],
    data=["data=critters_outlines", "data.domains=[drawing,outline]", *tiny.data[1:]],
)
"""DTN from drawings to grey outlines; f has random weights."""

tiny_autoencoder = Case(
    model=[
        "model=autoencoder",
        "model.ema_decay=0.98",
        "model.networks.encoder={base_width: 4, num_features: 16}",
        "model.networks.decoder.base_width=4",
        f"model.optimizers.encoder.lr={RATE}",
    ],
    data=tiny.data,
)
"""An auto-encoder of drawings."""

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
    data=PAIR,
)
"""XGAN with a discriminator in both domains and a teacher of random weights."""

tiny_srresnet = Case(
    model=[
        "model=srresnet_small",
        "model.networks.generator.num_blocks=1",
        "model.networks.generator.base_width=6",
        f"model.optimizers.generator.lr={RATE}",
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
        f"model.optimizers.generator.lr={RATE}",
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

tiny_diat = Case(
    model=[
        "model=diat_small",
        "model.networks.generator={base_width: 4, num_blocks: 1}",
        "model.networks.discriminator={base_width: 4, hidden_width: 8, norm: batch}",
        "+model.networks.denoiser={name: diat_denoiser, base_width: 4}",
        "model.identity_layers=[relu2_2,relu3_3]",
        "model.identity_layer_weights=[1.0,0.5]",
        "model.adaptive_layers=[conv2,conv3]",
        f"model.optimizers.generator.lr={RATE}",
        f"model.optimizers.discriminator.lr={RATE}",
        "model.weights.generator.adaptive_identity=1",
        "model.weights.generator.regularization=0.1",
    ],
    data=PAIR,
)
"""DIAT with all terms: both identity losses, and a denoiser of random weights."""

tiny_diat_enhancement = Case(
    model=[
        "model=diat_enhancement_small",
        "~model.networks.generator.weights",
        "~model.networks.generator.role",
        "++model.networks.generator={name: resnet_generator, base_width: 4, num_blocks: 1}",
        "model.networks.enhancer={base_width: 4, num_blocks: 1}",
        "model.networks.discriminator={base_width: 4, hidden_width: 8}",
        "model.region=[0, 0.5, 0, 1]",
        f"model.optimizers.enhancer.lr={RATE}",
        f"model.optimizers.discriminator.lr={RATE}",
        "model.weights.enhancer.outside=10",
    ],
    data=PAIR,
)
"""The enhancement of DIAT; T has random weights."""

tiny_diat_denoiser = Case(
    model=["model=diat_denoiser", "model.ema_decay=0.98", f"model.optimizers.denoiser.lr={RATE}"],
    data=tiny.data,
)
"""The denoising network of DIAT; every iteration draws noise."""

_SCALES = "{name: multiscale_patch_discriminator, num_layers: 1, num_scales: 2, norm: none, spectral_norm: true}"
tiny_cyclegan_scales = Case(
    model=[
        *tiny_cyclegan.model,
        f"++model.networks.discriminator_a={_SCALES}",
        "model.networks.discriminator_b.name=multiscale_patch_discriminator",
        "+model.networks.discriminator_b.num_scales=2",
        "++model.losses.adversarial={name: multiscale, loss: relativistic}",
        "model.weights.discriminator.r1=0.5",
        "model.weights.discriminator.r2=0.5",
    ],
    data=tiny_cyclegan.data,
)
"""CycleGAN with spectrally normalised discriminators of two scales, relativistic, with R1 and R2."""

tiny_stargan_v2_relativistic = Case(
    model=[
        *tiny.model,
        "model.networks.discriminator.spectral_norm=true",
        "model.losses.adversarial.name=relativistic",
        "model.weights.discriminator.r2=1",
    ],
    data=tiny.data,
)
"""StarGAN v2 with a spectrally normalised discriminator, relativistic, with R1 and R2."""

TINY = [*tiny.model, *tiny.data, *RUN]


def train(folder: Path, *overrides: str) -> Checkpoint:
    """Train in this process and return the last checkpoint."""
    assert run.train(tiny(*overrides), folder, None, list(overrides)) == 0
    return newest(folder)


def train_stages(words: list[str], place: Path, small: Callable[[list[str]], list[str]] = lambda words: []) -> None:
    """Train the stages of an experiment in this process, in order, each in a folder of its name below ``place``.

    ``small`` returns further words of a stage, given its words. An experiment without stages has one named "run".
    """
    stages = stages_of(parse(words))
    for stage in ["run"] if stages is None else stages.words:
        own = [*words, *([] if stages is None else [f"stage={stage}"]), f"folder={place / stage}"]
        own += small(own)
        assert run.train(load(own), place / stage, None, own) == 0


def go_on(folder: Path, *overrides: str) -> Checkpoint:
    """Resume in this process and return the last checkpoint."""
    assert run.train(resumed(folder, list(overrides)), folder, folder, list(overrides)) == 0
    return newest(folder)


def differences(first: Checkpoint, second: Checkpoint) -> list[str]:
    """Return the names of tensors that are not equal to the bit."""
    assert first.tensors.keys() == second.tensors.keys()
    return [name for name, tensor in first.tensors.items() if not tensor.equal(second.tensors[name])]
