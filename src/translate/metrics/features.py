"""Networks that compute features of images, with the pretrained weights and the preprocessing of each protocol.

Images are 8-bit RGB, as in a file. Translations are rounded first, so that they and real images are treated alike.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.metrics.weights import read_tensors

SIDE = 299  # pixels, the input of Inception-v3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def quantized(images: Tensor) -> np.ndarray:
    """Return pixels (n, H, W, 3) uint8 of images (n, 3, H, W) in [-1, 1], clamped and rounded as in a file."""
    pixels = ((images.float() + 1) / 2).clamp(0, 1).mul(255).add(0.5).floor().clamp(0, 255)
    return pixels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def resized_bilinear(image: np.ndarray) -> np.ndarray:
    """Return (299, 299, 3) uint8 by Pillow's bilinear filter, as the official StarGAN v2 code resizes."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def resized_clean(image: np.ndarray) -> np.ndarray:
    """Return (299, 299, 3) float32 in about [0, 255] by Pillow's bicubic filter on every channel in float, not rounded.

    Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022.
    """
    channels = [
        np.asarray(Image.fromarray(image[:, :, c].astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(channels, axis=2)


class _Inception(ABC):
    """Resize on threads (Pillow releases the interpreter lock), normalize, and compute features."""

    def __init__(
        self, network: nn.Module, resize: Callable[[np.ndarray], np.ndarray], device: torch.device, batch_size: int = 64
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.resize, self.device, self.batch_size = resize, device, batch_size
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)

    @abstractmethod
    def normalize(self, x: Tensor) -> Tensor:
        """Return the network's input (n, 3, 299, 299) of resized pixels in [0, 255]."""

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, 2048) float32 of images (n, H, W, 3) uint8."""
        outputs = []
        for start in range(0, len(pixels), self.batch_size):
            batch = np.stack(list(self._threads.map(self.resize, pixels[start : start + self.batch_size])))
            x = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).float()
            outputs.append(self.network(self.normalize(x)).flatten(1).float())
        return torch.cat(outputs) if outputs else torch.zeros(0, 2048)


class OfficialInception(_Inception):
    """Torchvision's Inception-v3 with the preprocessing of the official StarGAN v2 code: the protocol `official`.

    The features are the last pooled layer, 2048 wide, of images normalized by the mean and deviation of ImageNet.
    Torchvision's own second normalization (``transform_input``) is off, since that code calls the layers directly.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        from torchvision.models import inception_v3

        network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        _load(network, weights, "torchvision's Inception-v3")
        network.fc, network.AuxLogits = nn.Identity(), None  # the auxiliary head only takes part in training
        super().__init__(network, resized_bilinear, device)
        self.mean, self.std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    def normalize(self, x: Tensor) -> Tensor:
        """Return pixels normalized by the mean and deviation of ImageNet."""
        return (x / 255 - self.mean) / self.std


class CleanInception(_Inception):
    """The standard FID Inception with clean-fid's resize: the features of protocol `clean`, 2048 wide."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        super().__init__(standard_inception(weights), resized_clean, device)

    def normalize(self, x: Tensor) -> Tensor:
        """Return pixels in about [-1, 1], as in the TensorFlow graph."""
        return (x - 128) / 128


class PytorchFidInception(_Inception):
    """The standard FID Inception with pytorch-fid's resize: the features of protocol `pytorch_fid`, 2048 wide.

    That program resizes the float images by torch's bilinear interpolation, without antialiasing and with corners not
    aligned, and maps [0, 255] to [-1, 1].
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        super().__init__(standard_inception(weights), lambda image: image, device)

    def normalize(self, x: Tensor) -> Tensor:
        """Return images in [-1, 1] of 299 x 299 pixels."""
        resized = F.interpolate(x / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return 2 * resized - 1


def standard_inception(weights: Path) -> nn.Sequential:
    """Return the FID Inception up to its last pooled layer: images (n, 3, 299, 299) to (n, 2048, 1, 1).

    The layers are those of torch-fidelity, in their order. Its own preprocessing, which resizes, is left out.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise UserError(
            "protocols clean and pytorch_fid need torch-fidelity",
            key="metrics",
            fix="pip install 'translate-gan[metrics]'",
        ) from error
    read_tensors(weights)  # refuses files with code, which the library's own reader would execute
    try:
        extractor = FeatureExtractorInceptionV3("fid", ["2048"], feature_extractor_weights_path=str(weights))
    except RuntimeError as error:
        raise _other_tensors(weights, "the FID Inception", error) from error
    layers = dict(extractor.named_children())
    del layers["fc"]
    return nn.Sequential(*layers.values())


def _load(network: nn.Module, weights: Path, name: str) -> None:
    try:
        network.load_state_dict(read_tensors(weights))
    except RuntimeError as error:
        raise _other_tensors(weights, name, error) from error


def _other_tensors(weights: Path, name: str, error: RuntimeError) -> UserError:
    reason = str(error).strip().splitlines()[-1].strip()[:120]
    return UserError(
        key=str(weights), found=Phrase(f"other tensors ({reason})"), expected=name, fix="name another file of weights"
    )
