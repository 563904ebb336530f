"""The metric of protocol `classification`: the accuracy of a model that predicts labels."""

from collections.abc import Sequence

from torch import Tensor

from translate.metrics.classifier import ClassifierLabels
from translate.metrics.protocols import Scores
from translate.registry.registry import METRICS


@METRICS.register(
    "accuracy",
    protocol="classification",
    reads="predictions",
    scores={"accuracy": "higher", "cross-entropy": "lower"},
)
class Accuracy:
    """The fraction of labels of held-out images that are predicted correctly, and the mean cross-entropy.

    A class is correct if its logit is the greatest, an attribute if its logit has the right sign.
    """

    def compute(self, logits: Tensor, labels: Tensor, sets: Sequence[ClassifierLabels]) -> Scores:
        """Return the scores of logits (n, K) for labels (n, K): 0, 1, or NaN for labels of another data set."""
        accuracies, entropies = [], []
        for label_set in sets:
            known = ~labels[:, label_set.start].isnan()
            if known.any():
                accuracies.append(label_set.correct(logits[known], labels[known]).double().mean().item())
                entropies.append(label_set.loss(logits[known], labels[known]).item())
        return {
            "accuracy": sum(accuracies) / len(accuracies),
            "cross-entropy": sum(entropies) / len(entropies),
        }
