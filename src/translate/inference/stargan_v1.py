"""Translation by StarGAN v1: to attributes, or to a class."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("stargan_v1")
class StarGANv1Translation(Translation):
    """One generator for all labels; ``label_sets`` has the kind and the names of the labels of each data set."""

    roles = ("generator",)

    def __init__(self, networks: Mapping[str, nn.Module], label_sets: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(networks)
        self.label_sets = label_sets

    @property
    def width(self) -> int:
        """Return K + M, the length of a target that holds labels."""
        num_labels = sum(len(labels["names"]) for labels in self.label_sets)
        return num_labels + (len(self.label_sets) if len(self.label_sets) > 1 else 0)

    def random_target(self, count: int, num_domains: int, draws: torch.Generator) -> Tensor:
        """Return random labels (count, K + M) of 0 and 1, float32."""
        return torch.randint(0, 2, (count, self.width), generator=draws).float()

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1] translated to ``target``; UserError for a target of another shape.

        ``target`` holds classes (B,) if the model knows one data set with classes. Otherwise it holds the labels
        (B, K + M) of all data sets side by side, zero where unknown. With several data sets a mask of M numbers
        follows, 1 for the data set whose labels are known.
        """
        sets, width = self.label_sets, self.width
        num_labels = sum(len(labels["names"]) for labels in sets)
        if target.ndim == 1 and len(sets) == 1 and sets[0]["kind"] == "classes":
            target = F.one_hot(target, num_labels)
        if target.ndim != 2 or target.shape[1] != width:
            names = ", ".join(name for labels in sets for name in labels["names"])
            mask = f", then a mask of {len(sets)} data sets" if len(sets) > 1 else ""
            raise UserError(
                key="target",
                found=Phrase(f"shape {tuple(target.shape)}"),
                expected=f"{width} numbers for each image: {names}{mask}",
            )
        return self.networks["generator"](x, target.to(x.dtype))
