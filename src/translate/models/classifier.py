"""A classifier of the domains, classes or attributes of a data set, as a model of its own.

It translates nothing. Another run freezes its networks: the encoder as f of a domain transfer network, both as the
classifier by which translations are scored. Letters: x image, y its labels (0 or 1), E encoder, C head.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.labelled import LabelledBatch
from translate.inference.grids import Grid
from translate.losses.classification import attribute_cross_entropy, class_cross_entropy
from translate.metrics.classifier import ClassifierLabels
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS

CLASSIFICATIONS = {"attributes": attribute_cross_entropy, "classes": class_cross_entropy}
NUM_SAMPLES = 8  # images of a label in a sample grid


@MODELS.register(
    "classifier",
    batch="labelled",
    predicts=True,
    networks=("encoder", "head"),
    losses=(),
    terms={"classifier": ("cross_entropy",)},
)
class Classifier(TranslationModel):
    """An encoder and a head, trained by the cross-entropy of the labels of one or several data sets.

    ``label_sets`` has the kind ("attributes" or "classes") and the names of each data set's labels. ``ema_decay``: null
    for no moving averages. With several data sets, the terms of the n-th have the variant "setn".
    """

    ema_roles = ("encoder", "head")
    double_backward_roles = ()

    encoder: nn.Module
    head: nn.Module

    def __init__(self, label_sets: Sequence[Mapping[str, Any]], **common: Any) -> None:
        super().__init__(**common)
        self.label_sets = [
            ClassifierLabels(labels["kind"], stop - len(labels["names"]), stop)
            for labels, stop in zip(label_sets, _ends(label_sets), strict=True)
        ]
        self.label_names = [name for labels in label_sets for name in labels["names"]]
        several = len(label_sets) > 1
        self.variants = [f"set{number + 1}" if several else "" for number in range(len(label_sets))]
        self.progress_terms = tuple(
            "/".join(filter(None, ("classifier", variant, "cross_entropy"))) for variant in self.variants
        )

    def step(self, batch: tuple[LabelledBatch[Tensor], ...]) -> None:
        """Do one iteration: update both networks by the sum of the losses of all data sets."""
        with self.update("encoder", "head") as minimize:
            minimize(torch.stack([self.loss(number, labelled) for number, labelled in enumerate(batch)]).sum())
        self.update_ema()

    def loss(self, number: int, batch: LabelledBatch[Tensor]) -> Tensor:
        """Return the loss of the data set ``number``: ``L = E[-sum_k y_k log p_k]`` with ``p = softmax(C(E(x)))``.

        For attributes it is the sum of binary cross-entropies, with ``p = sigmoid(C(E(x)))``.
        """
        labels, variant = self.label_sets[number], self.variants[number]
        logits = self.head(self.encoder(batch.image))[:, labels.start : labels.stop]
        own = ClassifierLabels(labels.kind, 0, labels.stop - labels.start)
        accuracy = own.correct(logits, batch.label).float().mean()
        self.record("/".join(filter(None, ("accuracy/classifier", variant))), accuracy)
        terms = {"cross_entropy": CLASSIFICATIONS[labels.kind](logits, batch.label)}
        return self.weighted("classifier", terms, variant)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of the labels of all data sets for images (B, 3, S, S) in [-1, 1]."""
        networks = self.inference_networks()
        logits: Tensor = networks["head"](networks["encoder"](x))
        return logits

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return a grid with a row for each label: images for which it is predicted."""
        logits = self.predict(held_out.image)
        predictions = torch.zeros_like(logits, dtype=torch.bool)
        for labels in self.label_sets:
            part = logits[:, labels.start : labels.stop]
            predictions[:, labels.start : labels.stop] = (
                part > 0 if labels.kind == "attributes" else part == part.amax(1, keepdim=True)
            )
        rows: list[list[Tensor | None]] = [list(held_out.image[predicted][:NUM_SAMPLES]) for predicted in predictions.T]
        width = max(map(len, rows))
        rows = [row + [None] * (width - len(row)) for row in rows]
        return {"predictions": Grid(rows, row_labels=tuple(self.label_names))}


def _ends(label_sets: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the end of the columns of each data set."""
    widths = [len(labels["names"]) for labels in label_sets]
    return [sum(widths[: number + 1]) for number in range(len(widths))]
