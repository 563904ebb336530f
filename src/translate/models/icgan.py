"""IcGAN (Perarnau et al., NIPS 2016 workshop, arXiv 1611.06355): an invertible conditional GAN.

Letters: x image, y its labels, -1 or +1, y_wrong other labels, y' sampled labels, z a standard normal code, G
generator, D discriminator, E_z and E_y encoders. An image is edited by G(E_z(x), y), where y are the labels E_y(x) with
some of them changed.

The networks of the configuration say which stage a run is. Stages follow each other (docs/icgan.md):
1. ``model=icgan``: G and D are trained, as a conditional GAN.
2. The same with learning rates of 0: the running statistics of G settle, without which generated images in eval mode
   differ from those of training. The data set of the encoders is what this G paints.
3. ``model=icgan_encoder_z``: E_z learns z from generated images; G is frozen.
4. ``model=icgan_encoder_y``: E_y learns y from real images; G and E_z are frozen. This run has all that editing takes.

Differences
- From the official code: stage 2 writes no images. An image G(z, y') of stage 3 is painted when it is needed, and z and
  y' are a function of its position in the sample stream, so every image is new. Wrong labels are drawn once, from the
  images with other labels, which is what drawing again until they differ gives. Adam adds epsilon after the correction
  of its bias.
- From both: ``ema_decay`` keeps an EMA of each trained network; null, the default, equals both.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.labels import changed
from translate.data.philox import normal
from translate.data.streams import INFERENCE_CODES
from translate.data.views.conditional import ConditionalBatch
from translate.errors import UserError
from translate.inference.deterministic import deterministic
from translate.inference.grids import Grid
from translate.inference.icgan import IcGANTranslation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.reconstruction import l2
from translate.models.base import TranslationModel
from translate.models.penalties import TERMS, Penalties
from translate.registry.registry import MODELS

ENCODERS = ("encoder_z", "encoder_y")
NUM_SAMPLES = 8  # images in a sample grid
NUM_CODES = 6  # codes in the grid of generated images


@MODELS.register(
    "icgan",
    batch="conditional",
    edits_labels=True,
    networks=("generator",),
    optional_networks=("discriminator", "encoder_z", "encoder_y"),
    trained=(),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "wrong", "fake", "r1", "r2", "zero_centred", "gradient_penalty"),
        "generator": ("adversarial",),
        "encoder": ("code", "labels"),
    },
    optional_terms={"discriminator": ("r1", "r2", "zero_centred", "gradient_penalty")},
)
class IcGAN(TranslationModel):
    """A conditional GAN, or encoders of codes and labels for one that is trained.

    ``label_sets`` has the kind ("attributes" or "classes") and the names of the labels of one data set.
    ``latent_size`` is the length of a code. ``ema_decay``: null for no moving averages.
    """

    ema_roles = ("generator", "encoder_z", "encoder_y")
    inference = IcGANTranslation

    generator: nn.Module

    def __init__(self, label_sets: Sequence[Mapping[str, Any]], latent_size: int = 100, **common: Any) -> None:
        super().__init__(**common)
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.label_sets, self.latent_size = label_sets, latent_size
        self.encoders = tuple(role for role in ENCODERS if role in self.trained)
        self._check_stage()
        terms = {"generator": "generator/adversarial", "encoder_z": "encoder/code", "encoder_y": "encoder/labels"}
        self.progress_terms = tuple(term for role, term in terms.items() if role in self.trained)

    def step(self, batch: ConditionalBatch[Tensor]) -> None:
        """Do one iteration: update D, then G with the same images; or update the encoders.

        For a paired loss the labels of a generated image are those of the real image that it is compared with.
        """
        if "discriminator" in self.trained:
            labels = signs(batch.label if self.adversarial.paired else batch.sampled_label)
            fake = self.generator(batch.code, labels)
            with self.update("discriminator") as minimize:
                minimize(self.discriminator_loss(batch, fake, labels))
            with self.update("generator") as minimize:
                minimize(self.generator_loss(batch, fake, labels))
        if self.encoders:
            with self.update(*self.encoders) as minimize:
                minimize(self.encoder_loss(batch))
        self.update_ema()

    def discriminator_loss(self, batch: ConditionalBatch[Tensor], fake: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the discriminator for real images, and for images ``fake = G(z, y')``.

        ``L_D = E[-log D(x, y)] + E[-log(1 - D(x, y_wrong))] / 2 + E[-log(1 - D(fake, y'))] / 2``. Gradient penalties,
        which neither paper nor official code has, differentiate by images, not by labels. A mixture of x and fake has
        the labels y of the real image.
        """
        discriminator = self.network("discriminator")
        own, wrong = signs(batch.label), signs(batch.wrong_label)

        def logits_of(x: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            real_logits, wrong_logits = discriminator(x, own), discriminator(batch.image, wrong)
            return real_logits, discriminator(fake, labels), wrong_logits

        (real_logits, fake_logits, wrong_logits), penalties = self.penalties.evaluate(
            logits_of, batch.image, fake, between=partial(discriminator, labels=own)
        )
        self.record_discriminator_accuracy("discriminator", real_logits, fake_logits)
        self.record_discriminator_accuracy("discriminator/wrong", real_logits, wrong_logits)
        terms = self.adversarial.discriminator_terms(real_logits, wrong=wrong_logits, fake=fake_logits) | penalties
        return self.weighted("discriminator", terms)

    def generator_loss(self, batch: ConditionalBatch[Tensor], fake: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the generator, ``L_G = E[-log D(fake, y')]``."""
        discriminator = self.network("discriminator")
        real = partial(discriminator, batch.image, signs(batch.label))
        adversarial = self.adversarial.generator_term(discriminator(fake, labels), real)
        return self.weighted("generator", {"adversarial": adversarial})

    def encoder_loss(self, batch: ConditionalBatch[Tensor]) -> Tensor:
        """Return the loss of the encoders, ``L_E = E[(E_z(G(z, y')) - z)^2] + E[(E_y(x) - y)^2]``, or one of both."""
        terms = {}
        if "encoder_z" in self.encoders:
            with torch.no_grad():
                generated = self.generator(batch.code, signs(batch.sampled_label))  # frozen, in eval mode
            terms["code"] = l2(self.network("encoder_z")(generated), batch.code)
        if "encoder_y" in self.encoders:
            terms["labels"] = l2(self.network("encoder_y")(batch.image), signs(batch.label))
        return self.weighted("encoder", terms)

    def _check_stage(self) -> None:
        """Raise UserError for networks that make no stage."""
        gan = {role for role in ("generator", "discriminator") if role in self.trained}
        if len(gan) == 1:
            raise UserError(
                "the generator and the discriminator are trained together",
                key="networks",
                found=sorted(gan),
                expected="both, or a frozen generator without discriminator",
            )
        if bool(gan) == bool(self.encoders):
            raise UserError(
                "a run trains the conditional GAN, or encoders",
                key="networks",
                found=list(self.trained),
                expected="one of the two",
            )
        owners = {
            "discriminator.real": "discriminator",
            "discriminator.wrong": "discriminator",
            "discriminator.fake": "discriminator",
            "generator.adversarial": "generator",
            "encoder.code": "encoder_z",
            "encoder.labels": "encoder_y",
        }
        penalties = [f"discriminator.{term}" for term in TERMS if self.is_active("discriminator", term)]
        owners |= dict.fromkeys(penalties, "discriminator")
        for term, role in owners.items():
            if self.is_active(*term.split(".")) != (role in self.trained):
                fix = f"set 0, or train networks.{role}" if role not in self.trained else "set a weight"
                raise UserError(f"the term belongs to the training of {role}", key=f"weights.{term}", fix=fix)

    # --- use after training ----------------------------------------------------------------------------------

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid of the stage: generated images, reconstructions of codes, or edited images.

        `generated`: a column for the labels of each held-out image, which is above it, and a row for each code.
        `codes`: generated images, and what E_z and G make of them. `edits`: a row for each held-out image, which is at
        the left, with its reconstruction, and a column for each class or changed attribute.
        """
        networks = self.inference_networks()
        if set(ENCODERS) <= set(self.roles):
            return {"edits": self._edits(IcGANTranslation(networks, self.label_sets), held_out)}
        x, labels = held_out.image[:NUM_SAMPLES], signs(held_out.label[:NUM_SAMPLES])
        generator = deterministic(networks["generator"], "running")
        if "encoder_z" in self.roles:
            generated = generator(self._codes(len(x)).to(x), labels)
            again = generator(deterministic(networks["encoder_z"], "running")(generated), labels)
            return {"codes": Grid([list(generated), list(again)], row_labels=("generated", "encoded"))}
        rows = [generator(code.to(x).expand(len(x), -1), labels) for code in self._codes(NUM_CODES)]
        grid = Grid(
            [list(row) for row in rows],
            top=list(x),
            row_labels=[f"code {number + 1}" for number in range(NUM_CODES)],
            column_labels=held_out.domain_names[:NUM_SAMPLES],
        )
        return {"generated": grid}

    def _codes(self, count: int) -> Tensor:
        """Return the codes (count, Z) of sample grids, the same at every call."""
        return torch.from_numpy(normal(0, INFERENCE_CODES, torch.arange(count).numpy(), self.latent_size))

    def _edits(self, translation: IcGANTranslation, held_out: HeldOut) -> Grid:
        x = held_out.image[:NUM_SAMPLES]
        own = (translation.labels(x) + 1) / 2
        (labels,) = self.label_sets
        if labels["kind"] == "attributes":
            targets = [changed(own, column, labels["names"]) for column in range(own.shape[1])]
        else:
            targets = list(torch.eye(own.shape[1], device=x.device).repeat_interleave(len(x), 0).split(len(x)))
        columns = [translation.reconstruct(x), *(translation(x, target) for target in targets)]
        return Grid(
            [list(row) for row in torch.stack(columns, dim=1)],
            left=list(x),
            row_labels=held_out.domain_names[:NUM_SAMPLES],
            column_labels=["reconstruction", *labels["names"]],
        )


def signs(labels: Tensor) -> Tensor:
    """Return labels of 0 and 1 as -1 and +1.

    >>> signs(torch.tensor([0.0, 1.0])).tolist()
    [-1.0, 1.0]
    """
    return 2 * labels - 1
