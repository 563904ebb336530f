"""The rows beside the scores of a model: `source`, `untrained` and `real`, and the cache that keeps them.

`source` takes every source as its own translation. `untrained` are the networks of the same configuration and seed
before the first iteration. `real` are held-out real images of the target.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.evaluation.specs import MetricSpec
from translate.evaluation.streaming import modes
from translate.evaluation.tasks import TranslationTask
from translate.metrics.protocols import PROTOCOLS, Scores
from translate.runs.scores import Request, normalized, numbers, read_json, write_json

log = logging.getLogger("translate")

FORMAT = 2  # change it when the way in which a row is computed changes
FOLDER = "rows"


class SourceCopies:
    """Return every source as its translation."""

    latent_size = 0
    style_inputs: tuple[str, ...] = ()
    scale = 1

    def __init__(self, only_target: int | None, device: torch.device) -> None:
        self.only_target, self.device = only_target, device

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style_input: Tensor) -> Tensor:
        """Return the images (n, 3, S, S) as they are."""
        return x


class References(SourceCopies):
    """Return the references themselves: other real images of the target, one for each translation."""

    style_inputs = ("reference",)

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style_input: Tensor) -> Tensor:
        """Return the references (n, 3, S, S)."""
        return style_input["reference"]


def of_sources(specs: Sequence[MetricSpec]) -> list[MetricSpec]:
    """Return the metrics that a copy of the source has a score of: not those of several different translations."""
    return [spec for spec in specs if not spec.reads_outputs]


def of_real_images(protocol: str, specs: Sequence[MetricSpec]) -> list[MetricSpec]:
    """Return the metrics that real images have a score of by themselves, without sources.

    Where held-out images are the real side already, their distance to themselves is 0 and is no score.
    """
    return [
        spec
        for spec in specs
        if (spec.reads_features and not spec.reads_source_features and not PROTOCOLS[protocol].held_out_reals)
        or spec.scores_real_images
    ]


def of_pairs_of_images(specs: Sequence[MetricSpec]) -> tuple[list[MetricSpec], list[MetricSpec]]:
    """Return the metrics by which other real images of the target stand for translations.

    The first ones compare them with each other, and the second ones with the sources.
    """
    return [s for s in specs if s.reads_outputs], [s for s in specs if s.reads_source_features]


def real_task(task: TranslationTask) -> TranslationTask:
    """Return the task whose sources are the real validation images of the target."""
    targets = task.targets[:1].expand(len(task.references), *task.targets.shape[1:])
    return replace(task, sources=task.references, targets=targets)


def in_modes(scores: Scores, style_inputs: Sequence[str]) -> Scores:
    """Return scores that do not depend on style inputs under the names of each mode of a model, too."""
    return {
        f"{name}, {mode}" if mode else name: value
        for mode in ("", *modes(style_inputs))
        for name, value in scores.items()
    }


class RowCache:
    """Rows by all that they depend on: one file each in the folder ``rows`` of the cache, and in memory."""

    def __init__(self, cache: Path | None) -> None:
        self.folder = None if cache is None else cache / FOLDER
        self._memory: dict[str, Scores] = {}

    def key(self, request: Request, row: str, model: str, facts: Mapping[str, Any]) -> str:
        """Return the digest of all that a row depends on: the request without its model, and further ``facts``."""
        own = asdict(normalized(replace(request, iteration=0, networks="", model=model)))
        text = json.dumps({"format": FORMAT, "row": row, "facts": facts, **own}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, key: str) -> Scores | None:
        """Return the scores of a row, None where they are not known."""
        if key not in self._memory and self.folder is not None:
            tree = read_json(self.folder / f"{key}.json")
            try:
                if tree is not None:
                    self._memory[key] = numbers(tree["scores"])
            except (KeyError, TypeError, ValueError, AttributeError):
                log.warning("the row %s is damaged; it is computed again", self.folder / f"{key}.json")
        return self._memory.get(key)

    def save(self, key: str, scores: Scores) -> None:
        """Keep the scores of a row; warn about a folder that cannot be written."""
        self._memory[key] = scores
        if self.folder is not None:
            try:
                write_json(self.folder / f"{key}.json", {"scores": scores})
            except OSError as error:
                log.warning("a row of scores is not kept: %s cannot be written (%s)", self.folder, error)
