"""StarGAN v1 (Choi et al., CVPR 2018, arXiv 1711.09020), with joint training on several data sets.

Letters: x image, c its labels, c_new the target labels, G generator, D_src and D_cls the discriminator's logits for
real or fake and for labels. Labels are vectors of 0 and 1. A condition holds the labels of all data sets, zero where
unknown, and with several data sets a mask of the data set whose labels are known (eq. 7).

Differences
- From the official code: instance normalisation keeps no running statistics, which would spoil translations. Both
  networks are updated for each data set in every iteration, as in the official code for two data sets; any number is
  possible. The interpolation weights of the gradient penalty are a function of the image's position in the sample
  stream, so they do not depend on the number of processes.
- From the paper: the official code lowers the learning rates a thousand times more slowly than the paper states, so
  that they are almost constant. ``variant`` selects: paper, or official_code.
- From both: ``ema_decay`` keeps an EMA of the generator; null, the default, equals both. The term ``variation`` of the
  generator, the total variation of translations, has the weight 0, and so have ``noisy`` and ``noisy_classification``
  of the discriminator, its losses on real images with noise.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import HeldOut
from translate.data.labels import changed, conditions
from translate.data.views.labelled import LabelledBatch
from translate.errors import UserError
from translate.inference.grids import Grid
from translate.inference.stargan_v1 import StarGANv1Translation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.classification import attribute_cross_entropy, class_cross_entropy
from translate.losses.noisy_images import LARGEST_FOR_LABELS
from translate.losses.reconstruction import l1
from translate.losses.regularization import mean_variation
from translate.models.base import TranslationModel
from translate.models.penalties import Penalties
from translate.networks.layers.batching import forward_together
from translate.networks.stargan_v1 import Discriminator, Generator
from translate.registry.registry import MODELS

CLASSIFICATIONS = {"attributes": attribute_cross_entropy, "classes": class_cross_entropy}
PROGRESS_TERMS = (
    ("discriminator", "real"),
    ("discriminator", "fake"),
    ("generator", "classification"),
    ("generator", "reconstruction"),
)
NUM_SAMPLES = 8  # images in a sample grid
NOISE_OF_LABELS = 1  # the column of the noise on images whose labels the discriminator learns


@MODELS.register(
    "stargan_v1",
    batch="labelled",
    networks=("generator", "discriminator"),
    losses=("adversarial",),
    terms={
        "discriminator": (
            "real",
            "fake",
            "classification",
            "r1",
            "r2",
            "zero_centred",
            "gradient_penalty",
            "noisy",
            "noisy_classification",
        ),
        "generator": ("adversarial", "classification", "reconstruction", "variation"),
    },
    optional_terms={
        "discriminator": ("r1", "r2", "zero_centred", "noisy", "noisy_classification"),
        "generator": ("variation",),
    },
)
class StarGANv1(TranslationModel):
    """One generator for all labels of one or several data sets.

    ``label_sets`` has the kind ("attributes" or "classes") and the names of each data set's labels. The generator is
    trained in every ``num_critic``-th iteration, and its moving average moves with it. ``ema_decay``: null for no
    moving average. With several data sets, the terms of the n-th have the variant "setn".
    """

    ema_roles = ("generator",)
    inference = StarGANv1Translation

    generator: Generator
    discriminator: Discriminator

    def __init__(self, label_sets: Sequence[Mapping[str, Any]], num_critic: int = 5, **common: Any) -> None:
        super().__init__(**common)
        if num_critic < 1:
            raise UserError(key="num_critic", found=num_critic, expected="at least 1")
        self.adversarial: AdversarialLoss = self.losses["adversarial"]
        self.penalties = Penalties(self)
        self.label_sets = label_sets
        self.num_critic = num_critic
        self.widths = [len(labels["names"]) for labels in label_sets]
        self.variants = [f"set{number + 1}" for number in range(len(label_sets))] if len(label_sets) > 1 else [""]
        self.progress_terms = tuple(
            "/".join(filter(None, (phase, variant, term)))
            for variant in self.variants
            for phase, term in PROGRESS_TERMS
        )

    def step(self, batch: tuple[LabelledBatch[Tensor], ...]) -> None:
        """Do one iteration: for each data set update the discriminator and, every ``num_critic``-th, the generator."""
        train_generator = (self.iteration + 1) % self.num_critic == 0
        for number, labelled in enumerate(batch):
            with self.update("discriminator") as minimize:
                minimize(self.discriminator_loss(number, labelled))
            if train_generator:
                with self.update("generator") as minimize:
                    minimize(self.generator_loss(number, labelled))
        if train_generator:
            self.update_ema()

    def step_variant(self) -> Hashable:
        """Return the penalties that are due, and whether the generator is trained."""
        return self.penalties.due(), (self.iteration + 1) % self.num_critic == 0

    def discriminator_loss(self, number: int, batch: LabelledBatch[Tensor]) -> Tensor:
        """Return the loss of the discriminator for a batch of the data set ``number`` (eqs. 2, 5 and 8).

        ``L_D = -E[D_src(x)] + E[D_src(fake)] + lambda_cls L_cls + lambda_gp E[(|grad D_src(x_hat)| - 1)^2]`` with
        ``L_cls = E[-log D_cls(c | x)]``, ``fake = G(x, c_new)`` and ``x_hat`` interpolated between x and fake. With a
        weight, ``noisy_classification`` is L_cls of x with noise.
        """
        x, variant = batch.image, self.variants[number]
        with torch.no_grad():
            fake = self.generator(x, self.condition(number, batch.target))
        (real_logits, fake_logits, label_logits), penalties = self.penalties.evaluate(
            self.logits_of, x, fake, between=lambda images: self.discriminator(images)[0], number=number
        )
        self.record_discriminator_accuracy("/".join(filter(None, ("discriminator", variant))), real_logits, fake_logits)
        terms = {
            **self.adversarial.discriminator_terms(real_logits, fake=fake_logits),
            "classification": self.classification(number, label_logits, batch.label),
            **penalties,
        }
        if self.is_active("discriminator", "noisy_classification"):
            noisy = self.penalties.noisy(x, number, NOISE_OF_LABELS, LARGEST_FOR_LABELS)
            terms["noisy_classification"] = self.classification(number, self.discriminator(noisy)[1], batch.label)
        return self.weighted("discriminator", terms, variant)

    def logits_of(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits for real or fake of real and of fake images, and the logits for labels of real images."""
        (real_logits, label_logits), (fake_logits, _) = forward_together(self.discriminator, real, fake)
        return real_logits, fake_logits, label_logits

    def generator_loss(self, number: int, batch: LabelledBatch[Tensor]) -> Tensor:
        """Return the loss of the generator for a batch of the data set ``number`` (eqs. 3, 4, 6 and 8).

        ``L_G = -E[D_src(fake)] + lambda_cls E[-log D_cls(c_new | fake)] + lambda_rec E[|x - G(fake, c)|]`` with
        ``fake = G(x, c_new)``. The variation of the translations is added if it has a weight; official: 0.
        """
        x = batch.image
        fake = self.generator(x, self.condition(number, batch.target))
        fake_logits, label_logits = self.discriminator(fake)
        reconstructed = self.generator(fake, self.condition(number, batch.label))
        terms = {
            "adversarial": self.adversarial.generator_term(fake_logits, lambda: self.discriminator(x)[0]),
            "classification": self.classification(number, label_logits, batch.target),
            "reconstruction": l1(reconstructed, x),
        }
        if self.is_active("generator", "variation"):
            terms["variation"] = mean_variation(fake)
        return self.weighted("generator", terms, self.variants[number])

    def condition(self, number: int, labels: Tensor) -> Tensor:
        """Return the generator's condition (B, K + M) for labels (B, K_p) of the data set ``number`` (eq. 7)."""
        return conditions(labels, number, self.widths)

    def classification(self, number: int, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of labels (B, K_p) of the data set ``number``, by its columns of logits (B, K)."""
        return CLASSIFICATIONS[self.label_sets[number]["kind"]](logits.split(self.widths, dim=1)[number], labels)

    # --- use after training ----------------------------------------------------------------------------------

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return two grids: cycles and translations to every label.

        `cycle`: columns of source, translation to the labels of another image of the same data set, and translation
        back. `labels`: a row for each source, which is shown at the left, with a column for each class or each changed
        attribute. Images of all data sets are translated to the labels of all. An image with unknown attributes gets
        one attribute at a time.
        """
        x, labels = held_out.image[:NUM_SAMPLES], held_out.label[:NUM_SAMPLES]
        target = labels.roll(-len(self.label_sets), dims=0)  # the data sets alternate
        translated = self.translate(x, target)
        reconstructed = self.translate(translated, labels)
        columns = []
        for number, own in enumerate(labels[:, : sum(self.widths)].split(self.widths, dim=1)):
            columns += [self.translate(x, self.condition(number, swept)) for swept in self.label_sweep(number, own)]
        return {
            "cycle": Grid(
                [list(x), list(translated), list(reconstructed)], row_labels=("source", "translation", "and back")
            ),
            "labels": Grid(
                [list(row) for row in torch.stack(columns, dim=1)],
                left=list(x),
                row_labels=held_out.domain_names[:NUM_SAMPLES],
                column_labels=[name for labels in self.label_sets for name in labels["names"]],
            ),
        }

    def label_sweep(self, number: int, own: Tensor) -> list[Tensor]:
        """Return labels (n, K_p) of the data set ``number``: every class, or ``own`` with each attribute changed."""
        labels = self.label_sets[number]
        if labels["kind"] == "attributes":
            return [changed(own, column, labels["names"]) for column in range(own.shape[1])]
        classes = torch.arange(own.shape[1], device=own.device)
        return [F.one_hot(each.expand(len(own)), own.shape[1]).to(own.dtype) for each in classes]
