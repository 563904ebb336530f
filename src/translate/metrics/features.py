"""Networks that turn pictures into features, read from published weight files, with the preparation of each protocol.

A picture is 8-bit RGB, as a file would hold it: translations are rounded first, so that they and real images have gone
the same way.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from translate.errors import UserError
from translate.metrics.weights import read_tensors

SIDE = 299  # what Inception-v3 looks at
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Features(Protocol):
    """What turns pictures into features."""

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, D) float32 of pictures (n, H, W, 3) uint8."""
        ...


def quantized(images: Tensor) -> np.ndarray:
    """Return pictures (n, H, W, 3) uint8 of images (n, 3, H, W) in [-1, 1], clamped and rounded as files are."""
    pixels = ((images.float() + 1) / 2).clamp(0, 1).mul(255).add(0.5).floor().clamp(0, 255)
    return pixels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def resized_bilinear(picture: np.ndarray) -> np.ndarray:
    """Return (299, 299, 3) uint8: Pillow's bilinear filter, whose result is 8-bit, as the StarGAN v2 code resizes."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def resized_clean(picture: np.ndarray) -> np.ndarray:
    """Return (299, 299, 3) float32 in about [0, 255]: Pillow's bicubic on every channel in float, not rounded after.

    Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022.
    """
    channels = [
        np.asarray(Image.fromarray(picture[:, :, c].astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(channels, axis=2)


class _Inception(ABC):
    """Resize, normalise and look, ``resize`` on threads since Pillow lets others run meanwhile."""

    def __init__(
        self, network: nn.Module, resize: Callable[[np.ndarray], np.ndarray], device: torch.device, batch_size: int = 64
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.resize, self.device, self.batch_size = resize, device, batch_size
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)

    @abstractmethod
    def normalise(self, x: Tensor) -> Tensor:
        """Return what the network takes of pixels (n, 3, 299, 299) in [0, 255]."""

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, 2048) float32 of pictures (n, H, W, 3) uint8."""
        parts = []
        for start in range(0, len(pixels), self.batch_size):
            part = np.stack(list(self._threads.map(self.resize, pixels[start : start + self.batch_size])))
            x = torch.from_numpy(part).to(self.device).permute(0, 3, 1, 2).float()
            parts.append(self.network(self.normalise(x)).flatten(1).float())
        return torch.cat(parts) if parts else torch.zeros(0, 2048)


class PublishedInception(_Inception):
    """Torchvision's Inception-v3 with the preparation of the StarGAN v2 code: the features of protocol `published`.

    The last pooled layer, 2048 wide, on images normalised by the mean and deviation of ImageNet; torchvision's own
    second normalisation of images (``transform_input``) takes no part, since that code calls the layers directly.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        from torchvision.models import inception_v3

        network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        _fill(network, weights, "torchvision's Inception-v3")
        network.fc, network.AuxLogits = nn.Identity(), None  # the auxiliary head only takes part in training
        super().__init__(network, resized_bilinear, device)
        self.mean, self.std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    def normalise(self, x: Tensor) -> Tensor:
        """Return pixels normalised as ImageNet."""
        return (x / 255 - self.mean) / self.std


class CleanInception(_Inception):
    """The standard FID Inception with clean-fid's resize: the features of protocol `clean`, 2048 wide."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        super().__init__(standard_inception(weights), resized_clean, device)

    def normalise(self, x: Tensor) -> Tensor:
        """Return pixels in about [-1, 1], as the TensorFlow graph has it."""
        return (x - 128) / 128


def standard_inception(weights: Path) -> nn.Sequential:
    """Return the FID Inception up to its last pooled layer: images (n, 3, 299, 299) to (n, 2048, 1, 1).

    The layers are those of torch-fidelity, in their order; its own preparation of images, which resizes, is left out.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise UserError(
            "metrics: protocol clean needs torch-fidelity; install it by pip install 'translate-gan[metrics]'"
        ) from error
    read_tensors(weights)  # the library's reader would execute what a file tells it to; this one refuses
    try:
        extractor = FeatureExtractorInceptionV3("fid", ["2048"], feature_extractor_weights_path=str(weights))
    except RuntimeError as error:
        raise UserError(_misfit(weights, "the FID Inception", error)) from error
    layers = dict(extractor.named_children())
    del layers["fc"]
    return nn.Sequential(*layers.values())


def _fill(network: nn.Module, weights: Path, name: str) -> None:
    try:
        network.load_state_dict(read_tensors(weights))
    except RuntimeError as error:
        raise UserError(_misfit(weights, name, error)) from error


def _misfit(weights: Path, name: str, error: RuntimeError) -> str:
    lines = str(error).strip().splitlines()
    return f"{weights}: found other tensors than those of {name} ({lines[-1].strip()[:120]}); is it the right file?"
