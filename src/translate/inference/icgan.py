"""Editing of labels by IcGAN: encode an image, change its labels, and paint it anew."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.inference.deterministic import deterministic
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("icgan")
class IcGANTranslation(Translation):
    """``G(E_z(x), y)``, where y are the labels ``sign(E_y(x))`` with some of them changed.

    ``label_sets`` has the kind and the names of the labels. A target names the labels to change; those that are not a
    number (NaN) stay as the encoder reads them.
    """

    roles = ("generator",)
    optional_roles = ("encoder_z", "encoder_y")  # of the last stage; without them nothing can be edited

    def __init__(self, networks: Mapping[str, nn.Module], label_sets: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(networks)
        self.names = [name for labels in label_sets for name in labels["names"]]
        self.kind = label_sets[0]["kind"]

    def network(self, role: str) -> nn.Module:
        """Return the network of a role with the running statistics of its batch norms."""
        return deterministic(self.networks[role], "running")

    def random_target(self, count: int, num_domains: int, draws: torch.Generator) -> Tensor:
        """Return random labels (count, K) of 0 and 1, float32."""
        return torch.randint(0, 2, (count, len(self.names)), generator=draws).float()

    @torch.no_grad()
    def labels(self, x: Tensor) -> Tensor:
        """Return the labels (B, K) of images, -1 or +1: the signs of the encoder's outputs, or the greatest class."""
        outputs = self._encoder("encoder_y")(x)
        if self.kind == "classes":
            return 2 * F.one_hot(outputs.argmax(1), len(self.names)).to(outputs.dtype) - 1
        return torch.where(outputs > 0, 1.0, -1.0).to(outputs.dtype)

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in [-1, 1] with changed labels; UserError for a target of another shape.

        ``target`` holds labels (B, K), 0 or 1, or NaN to keep one; or classes (B,) of a data set with classes.
        """
        if target.ndim == 1 and self.kind == "classes":
            target = F.one_hot(target, len(self.names))
        if target.ndim != 2 or target.shape[1] != len(self.names):
            expected = f"{len(self.names)} numbers for each image: {', '.join(self.names)}"
            raise UserError(key="target", found=Phrase(f"shape {tuple(target.shape)}"), expected=expected)
        target = target.to(x.dtype)
        labels = torch.where(target.isnan(), self.labels(x), 2 * target - 1)
        image: Tensor = self.network("generator")(self._encoder("encoder_z")(x), labels)
        return image

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return images of the codes and labels that the encoders read."""
        return self(x, x.new_full((len(x), len(self.names)), float("nan")))

    def _encoder(self, role: str) -> nn.Module:
        if role not in self.networks:
            raise UserError(f"the run has no {role} yet", key="weights", fix="train the stages of the encoders")
        return self.network(role)
