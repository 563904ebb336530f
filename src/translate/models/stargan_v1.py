"""StarGAN v1 (Choi et al., CVPR 2018, arXiv 1711.09020), with joint training on several data sets.

Letters: x image; label and target are vectors of 0 and 1; ``told`` is what the generator is told: the labels of all
data sets side by side, zero where unknown, and with several data sets the mask that says whose labels are known.

Differences
- From the published code: instance normalisation keeps no running statistics, which would break translations. With two
  data sets both networks are updated for each of them in every iteration, as published; a third is no different. What
  the gradient penalty mixes by is a function of the image's place in the sample stream, not of the number of processes.
- From the paper: the published code lets the learning rates fall a thousand times slower than the paper says, which is
  hardly at all. ``variant`` chooses: paper, or published.
- From both: an average of the generator may be kept (``ema_decay``); by default there is none, as published.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.labels import changed, conditions
from translate.data.views.labelled import LabelledBatch
from translate.errors import UserError
from translate.inference.grids import grid
from translate.inference.stargan_v1 import StarGANv1Translation
from translate.losses.adversarial import AdversarialLoss
from translate.losses.classification import attribute_cross_entropy, class_cross_entropy
from translate.losses.penalties import gradient_penalty
from translate.losses.reconstruction import l1
from translate.models.base import OptimizerFactory, TranslationModel
from translate.networks.layers.batching import forward_together
from translate.networks.stargan_v1 import Discriminator, Generator
from translate.registry.registry import MODELS

CLASSIFICATIONS = {"attributes": attribute_cross_entropy, "classes": class_cross_entropy}
HEADLINE = ("discriminator/real", "discriminator/fake", "generator/classification", "generator/reconstruction")
NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "stargan_v1",
    batch="labelled",
    networks=("generator", "discriminator"),
    losses=("adversarial",),
    terms={
        "discriminator": ("real", "fake", "classification", "gradient_penalty"),
        "generator": ("adversarial", "classification", "reconstruction"),
    },
)
class StarGANv1(TranslationModel):
    """One generator for all labels of one or several data sets.

    ``label_sets`` has the kind ("attributes" or "classes") and the names of each data set's labels. The generator
    learns in every ``num_critic``-th iteration. ``ema_decay`` is the share of an average of the generator that such
    an iteration keeps; None: there is no average. The terms of the n-th of several data sets have the variant "setn".
    """

    generator: Generator
    discriminator: Discriminator

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        losses: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]],
        label_sets: Sequence[Mapping[str, Any]],
        num_critic: int = 5,
        ema_decay: float | None = None,
        gradient_clip: float | None = None,
        seed: int = 0,
    ) -> None:
        averaged = () if ema_decay is None else ("generator",)
        super().__init__(networks, optimizers, weights, averaged, ema_decay or 0.0, gradient_clip, seed)
        if num_critic < 1:
            raise UserError(f"model.num_critic: found {num_critic}, expected at least 1")
        self.adversarial: AdversarialLoss = losses["adversarial"]
        self.label_sets = label_sets
        self.num_critic = num_critic
        self.widths = [len(labels["names"]) for labels in label_sets]
        self.variants = [f"set{number + 1}" for number in range(len(label_sets))] if len(label_sets) > 1 else [""]
        self.progress_terms = tuple(
            "/".join(filter(None, (phase, variant, term)))
            for variant in self.variants
            for phase, term in (name.split("/") for name in HEADLINE)
        )

    def step(self, batch: tuple[LabelledBatch[Tensor], ...]) -> None:
        """Do one iteration: for each data set update the discriminator and, every ``num_critic``-th, the generator."""
        generator_learns = (self.iteration + 1) % self.num_critic == 0
        for number, part in enumerate(batch):
            with self.update("discriminator") as minimize:
                minimize(self.discriminator_loss(number, part))
            if generator_learns:
                with self.update("generator") as minimize:
                    minimize(self.generator_loss(number, part))
        if generator_learns:
            self.update_ema()

    def discriminator_loss(self, number: int, batch: LabelledBatch[Tensor]) -> Tensor:
        """Return what the discriminator pays for a batch of the data set ``number`` (eqs. 2, 5 and 8)."""
        x, variant = batch.image, self.variants[number]
        with torch.no_grad():
            fake = self.generator(x, self.told(number, batch.target))
        (patches, labels), (fake_patches, _) = forward_together(self.discriminator, x, fake)
        self.record_discriminator_accuracy(
            f"discriminator/{variant}" if variant else "discriminator", patches, fake_patches
        )
        terms = {
            "real": self.adversarial.real(patches),
            "fake": self.adversarial.fake(fake_patches),
            "classification": self.classification(number, labels, batch.label),
        }
        if self.is_active("discriminator", "gradient_penalty"):
            share = self.interpolation_weights(number, len(x)).to(x.device, non_blocking=True)
            mixed = (share * x + (1 - share) * fake).requires_grad_()
            terms["gradient_penalty"] = gradient_penalty(self.discriminator(mixed)[0], mixed)
        return self.weighted("discriminator", terms, variant)

    def generator_loss(self, number: int, batch: LabelledBatch[Tensor]) -> Tensor:
        """Return what the generator pays for a batch of the data set ``number`` (eqs. 3, 4, 6 and 8)."""
        x = batch.image
        fake = self.generator(x, self.told(number, batch.target))
        patches, labels = self.discriminator(fake)
        back = self.generator(fake, self.told(number, batch.label))
        terms = {
            "adversarial": self.adversarial.generator(patches),
            "classification": self.classification(number, labels, batch.target),
            "reconstruction": l1(back, x),
        }
        return self.weighted("generator", terms, self.variants[number])

    def told(self, number: int, labels: Tensor) -> Tensor:
        """Return what the generator is told (B, K + M) of labels (B, K_p) of the data set ``number`` (eq. 7)."""
        return conditions(labels, number, self.widths)

    def classification(self, number: int, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of labels (B, K_p); of logits (B, K) those of the data set ``number`` count."""
        return CLASSIFICATIONS[self.label_sets[number]["kind"]](logits.split(self.widths, dim=1)[number], labels)

    # --- use after training ----------------------------------------------------------------------------------

    def translate(self, x: Tensor, target: Tensor) -> Tensor:
        """Translate images (B, 3, S, S) to classes (B,) or labels (B, K + M), see `StarGANv1Translation`."""
        return StarGANv1Translation(self.inference_networks(), self.label_sets)(x, target)

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Tensor]:
        """Return two pictures: cycles and translations to every label.

        `cycle`: columns of source, translation to the labels of another image (of its data set, where there are
        several), and back. `labels`: a row for each source, shown at the left, with a column for each class, or with an
        attribute changed; images of all data sets are translated to the labels of all. An image whose attributes are
        unknown gets one attribute at a time.
        """
        x, told = held_out.image[:NUM_SAMPLES], held_out.label[:NUM_SAMPLES]
        others = told.roll(-len(self.label_sets), dims=0)  # the data sets take turns
        away = self.translate(x, others)
        back = self.translate(away, told)
        columns = []
        for number, own in enumerate(told[:, : sum(self.widths)].split(self.widths, dim=1)):
            columns += [self.translate(x, self.told(number, labels)) for labels in self.label_sweep(number, own)]
        return {
            "cycle": grid([list(x), list(away), list(back)]),
            "labels": grid([list(row) for row in torch.stack(columns, dim=1)], left=list(x)),
        }

    def label_sweep(self, number: int, own: Tensor) -> list[Tensor]:
        """Return labels (n, K_p) of the data set ``number``: every class, or ``own`` with each attribute changed."""
        labels = self.label_sets[number]
        if labels["kind"] == "attributes":
            return [changed(own, column, labels["names"]) for column in range(own.shape[1])]
        kinds = torch.arange(own.shape[1], device=own.device)
        return [F.one_hot(kind.expand(len(own)), own.shape[1]).to(own.dtype) for kind in kinds]
