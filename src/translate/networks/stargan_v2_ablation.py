"""Conditions in place of styles in the ablation of StarGAN v2 (Choi et al., CVPR 2020, table 1, rows B to D).

Letters: B batch, S image side, L size of a latent code, Z size of a style code. In rows B and C a condition is the
domain, in row D the domain and a latent code. It is padded with zeros to Z numbers, so rows C to F have the same
generator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks import stargan_v1
from translate.networks.layers.initialization import he_normal
from translate.networks.stargan_v2 import Encoded, downsampling_trunk
from translate.registry.registry import NETWORKS
from translate.sizes import SizeLike


@NETWORKS.register("label_condition", trainable=False)
class LabelCondition(nn.Module):
    """Encode the domain one-hot in Z numbers and ignore the style input; UserError if there are too few numbers."""

    def __init__(self, num_domains: int, style_size: int) -> None:
        super().__init__()
        if num_domains > style_size:
            raise UserError(key="style_size", found=style_size, expected=f"at least {num_domains}, one for each domain")
        self.style_size = style_size

    def forward(self, style_input: Tensor, domain: Tensor) -> Tensor:
        """Return conditions (B, Z) for domains (B,), in the type of ``style_input`` (B, ...), which is not read."""
        return F.one_hot(domain, self.style_size).to(style_input.dtype)


@NETWORKS.register("label_and_code_condition", trainable=False)
class LabelAndCodeCondition(nn.Module):
    """Concatenate the one-hot domain and a latent code; UserError if there are too few numbers."""

    def __init__(self, num_domains: int, latent_size: int, style_size: int) -> None:
        super().__init__()
        if num_domains + latent_size > style_size:
            raise UserError(
                key="style_size",
                found=style_size,
                expected=f"at least {num_domains + latent_size}, for {num_domains} domains and codes of {latent_size}",
            )
        self.num_domains = num_domains
        self.style_size = style_size

    def forward(self, code: Tensor, domain: Tensor) -> Tensor:
        """Return conditions (B, Z) for latent codes (B, L) and domains (B,)."""
        label = F.one_hot(domain, self.num_domains).to(code.dtype)
        return F.pad(torch.cat([label, code], dim=1), (0, self.style_size - self.num_domains - code.shape[1]))


@NETWORKS.register("label_and_code_encoder", image_size={"minimum": 32, "power_of_two": True})
class LabelAndCodeEncoder(nn.Module):
    """Encode an image as a latent code, by one head for all domains, and concatenate the one-hot domain.

    The trunk is that of the style encoder. UserError if domain and code need more than ``style_size`` numbers.
    """

    def __init__(
        self,
        num_domains: int,
        image_size: SizeLike = 256,
        latent_size: int = 16,
        style_size: int = 64,
        base_width: int | None = None,
        max_width: int = 512,
    ) -> None:
        super().__init__()
        layers, width = downsampling_trunk(image_size, base_width, max_width)
        self.shared = nn.Sequential(*layers)
        self.head = nn.Linear(width, latent_size)
        self.condition = LabelAndCodeCondition(num_domains, latent_size, style_size)
        self.apply(he_normal)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Return conditions (B, Z) read from images (B, 3, S, S) as members of domains (B,)."""
        return self.condition(self.head(self.shared(x).flatten(1)), domain)


@NETWORKS.register("label_concatenation_generator", image_size={"minimum": 16, "multiple_of": 4})
class LabelConcatenationGenerator(stargan_v1.Generator):
    """StarGAN v1's generator with the interface of StarGAN v2's: ``style_size`` numbers become constant planes."""

    def __init__(self, style_size: int, base_width: int = 64, num_blocks: int = 6) -> None:
        super().__init__(style_size, base_width=base_width, num_blocks=num_blocks)

    def encode_image(self, x: Tensor) -> Encoded:
        """Return the images (B, 3, S, S) themselves, since every feature depends on the condition."""
        return Encoded(x, {})

    def decode_features(self, encoded: Encoded, style: Tensor, masks: None = None) -> Tensor:
        """Return the images (B, 3, S, S) of `encode_image` translated by conditions (B, Z); there are no masks."""
        assert masks is None, "a generator without high-pass skip connections reads no masks"
        return super().forward(encoded.features, style)

    def forward(self, x: Tensor, label: Tensor, masks: None = None) -> Tensor:
        """Translate images (B, 3, S, S) by conditions (B, Z); returns (B, 3, S, S) in [-1, 1]."""
        return self.decode_features(self.encode_image(x), label, masks)
