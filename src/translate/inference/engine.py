"""What applies a model to arrays: torch, ONNX Runtime, or any other engine. Torch is not imported here."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from translate.data.images import Crop
from translate.inference.sizes import SizeRule
from translate.sizes import ImageSize


class Engine(Protocol):
    """A model that translates arrays.

    Images are float32 (B, 3, H, W) in [-1, 1]. A target is (B,) int64, domains; (B, K) float32, labels; or (B, 2)
    int64, routes: the domain of an image and the target. A style is an array (B, ...) that `styles` returned; only its
    engine knows its meaning.
    """

    @property
    def model(self) -> str:
        """Return the name of the model, such as "stargan_v2"."""
        ...

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the weights."""
        ...

    @property
    def runtime(self) -> str:
        """Return what computes, for records: library, version, device, number of threads."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Return whether a CPU computes, where one image at a time gives the same bits whatever else is translated."""
        ...

    @property
    def domains(self) -> Sequence[str]:
        """Return the names of the domains."""
        ...

    @property
    def reachable(self) -> Sequence[int]:
        """Return the domains to which the networks can translate, by number."""
        ...

    @property
    def label_sets(self) -> Sequence[Mapping[str, Any]]:
        """Return the kind and names of the labels of each data set; empty for a model with domains as targets."""
        ...

    @property
    def style_inputs(self) -> Sequence[str]:
        """Return the inputs that determine the style, of "code" and "reference"."""
        ...

    @property
    def interpolates(self) -> bool:
        """Return whether weighted means of styles are styles."""
        ...

    @property
    def latent_size(self) -> int:
        """Return the length of a code; 0 without codes."""
        ...

    @property
    def image_size(self) -> ImageSize:
        """Return the height and width of training, in pixels."""
        ...

    @property
    def scale(self) -> int:
        """Return by how much height and width of translations exceed those of their sources; 1 for equal sizes."""
        ...

    @property
    def crop(self) -> Crop:
        """Return how images got the size of training."""
        ...

    @property
    def sizes(self) -> SizeRule | None:
        """Return the heights and widths that the networks take; None: `image_size` alone."""
        ...

    def styles(
        self,
        target: np.ndarray,
        code: np.ndarray | None = None,
        reference: np.ndarray | None = None,
        psi: float | None = None,
    ) -> np.ndarray:
        """Return the styles of codes (B, L) or of references (B, 3, H, W) in domains (B,)."""
        ...

    def translate(self, x: np.ndarray, target: np.ndarray, style: np.ndarray | None = None) -> np.ndarray:
        """Return images translated to a target, with a style where the model has style inputs; clipped to [-1, 1]."""
        ...
