"""The discriminator and the denoising network of DIAT (Li, Zuo, Zhang, 2016, arXiv 1610.05586).

No code was released, and the paper's layers are cited from memory. The transform network has the shape of Johnson et
al., which is `resnet_generator` with five blocks. Letters: B batch, H and W sides of an image, which may differ.
"""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.initialization import dcgan_normal
from translate.networks.layers.normalization import normalization
from translate.networks.layers.padding import ReflectionPad2d
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
MAX_WIDTH = 512


@NETWORKS.register(
    "diat_discriminator",
    image_size={"halvings": "num_layers"},
    batch_norm={"halvings": "num_layers", "when": {"norm": "batch"}},
)
class Discriminator(nn.Module):
    """Separate images with the attribute from all others by one logit, and give inner features by name.

    The ``layers`` conv1, conv2, ... are ``num_layers`` blocks: a convolution that halves the sides, a ``norm`` in all
    but the first, and a leaky ReLU. Widths double from ``base_width``, and are 512 at most. Two dense layers follow,
    ``hidden_width`` wide. The paper has six blocks at 128 px.
    """

    def __init__(
        self,
        image_size: SizeLike = 128,
        base_width: int = 64,
        num_layers: int = 6,
        hidden_width: int = 512,
        norm: Literal["batch", "instance", "none"] = "batch",
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise UserError(key="num_layers", found=num_layers, expected="at least 1")
        self.batch_independent = norm != "batch"
        self.layers = tuple(f"conv{number + 1}" for number in range(num_layers))
        width = 3
        for number, name in enumerate(self.layers):
            before, width = width, min(base_width * 2**number, MAX_WIDTH)
            has_norm = number > 0 and norm != "none"
            convolution = nn.Conv2d(before, width, 4, stride=2, padding=1, bias=not has_norm)
            norms = [normalization(norm, width)] if has_norm else []
            self.add_module(name, nn.Sequential(convolution, *norms, nn.LeakyReLU(SLOPE)))
        kernel = ImageSize.of(image_size).each(lambda side: side // 2**num_layers)
        self.head = nn.Sequential(
            nn.Conv2d(width, hidden_width, kernel), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden_width, 1, 1)
        )
        self.apply(dcgan_normal)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Return logits (B,) of images (B, 3, H, W) in [-1, 1].

        With ``layers`` return the logits and the outputs (B, C, H / 2^k, W / 2^k) of these layers.
        """
        outputs = {}
        for name in self.layers:
            x = outputs[name] = self.get_submodule(name)(x)
        logits: Tensor = self.head(x).flatten()
        return (logits, [outputs[name] for name in layers]) if layers else logits


@NETWORKS.register("diat_denoiser", image_size={"multiple_of": 1, "minimum": 2})
class Denoiser(nn.Module):
    """Denoise an image by two 3x3 convolutions with a ReLU between them, added to the image.

    The sum is a choice of this project: the convolutions give the noise, with the opposite sign.
    """

    batch_independent = True

    def __init__(self, base_width: int = 64) -> None:
        super().__init__()
        self.pad = ReflectionPad2d(1)
        self.conv1 = nn.Conv2d(3, base_width, 3)
        self.conv2 = nn.Conv2d(base_width, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the denoised images (B, 3, H, W) of images in [-1, 1]; nothing clips the range."""
        h = F.relu(self.conv1(self.pad(x)))
        return x + self.conv2(self.pad(h))
