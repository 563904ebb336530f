"""The random draws of evaluation: style inputs of the translations, each a function of seed, task and position.

Streamed metrics draw by counter-based streams from `FIRST_EVALUATION_STREAM` on, two for each task. The
metric `local` has draws of its own, which do not depend on the seed of the evaluation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from translate.data.philox import integers, normal, uniform
from translate.data.streams import FIRST_EVALUATION_STREAM

CLASSIFIER_STREAM = 1000
"""The streams of the references of metric `local` begin behind this one, one for each task."""

REFERENCE_BATCH = 32  # the official StarGAN v2 code draws references in shuffled batches of this size


def latent_codes(
    seed: int, task: int, positions: np.ndarray, number: int, num_outputs: int, latent_size: int
) -> Tensor:
    """Return the codes (n, L) of translation ``number`` of the sources at some positions of a task."""
    return torch.from_numpy(
        normal(seed, FIRST_EVALUATION_STREAM + 2 * task, positions * num_outputs + number, latent_size)
    )


def reference_rows(
    count: int, positions: np.ndarray, number: int, num_outputs: int, seed: int, task: int
) -> np.ndarray:
    """Return which of ``count`` references are the style inputs of translation ``number`` at some positions (n,).

    The draw is that of the official StarGAN v2 code. Sources come in batches of 32, and every translation of a batch
    takes the next batch of shuffled references. A short last batch is dropped. After the last whole batch the
    references are shuffled again. Fewer than 32 references, with which that code fails, are one batch, whose references
    are repeated.
    """
    size = min(REFERENCE_BATCH, count)
    per_round = count // size
    batches = positions // REFERENCE_BATCH * num_outputs + number
    rounds, places = np.divmod(batches, per_round)
    rows = np.empty(len(positions), np.int64)
    for turn in np.unique(rounds):
        here = rounds == turn
        keys = uniform(seed, FIRST_EVALUATION_STREAM + 2 * task + 1, turn * count + np.arange(count), 1)[:, 0]
        order = np.argsort(keys, kind="stable")
        rows[here] = order[places[here] * size + positions[here] % REFERENCE_BATCH % size]
    return rows


def classifier_codes(task: int, count: int, latent_size: int, names: Sequence[str]) -> dict[str, Tensor]:
    """Return codes (count, L) of a task of the metric `local`, one draw after the other for each name."""
    generator = torch.Generator().manual_seed(task + 1)
    return {name: torch.randn(count, latent_size, generator=generator) for name in names}


def classifier_references(domain: Tensor, target: Tensor, task: int) -> np.ndarray:
    """Return the positions (n,) of the references of a task of the metric `local`.

    The reference of a source is one of all sources, whose domains are ``domain`` (n,), in the target domain (n,).
    """
    labels = domain.numpy()
    keys = uniform(0, CLASSIFIER_STREAM + task + 1, np.arange(len(labels)), 1)[:, 0]
    members = [np.flatnonzero(labels == d) for d in range(int(labels.max()) + 1)]
    return np.array([members[t][int(key * len(members[t]))] for t, key in zip(target.tolist(), keys, strict=True)])


def classifier_training_rows(batch: int, batch_size: int, num_images: int) -> np.ndarray:
    """Return the rows (batch_size,) of the training images in a batch of the classifier's training."""
    positions = np.arange(batch * batch_size, (batch + 1) * batch_size)
    return integers(0, 0, positions, num_images)
