"""A small classifier in two networks: an encoder of images and a linear head.

Letters: B batch, S image side; sides may differ. They are two networks so that another run can freeze the encoder
alone, as the function f of a domain transfer network.
"""

from typing import Literal

from torch import Tensor, nn

from translate.networks.layers.initialization import he_normal
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

NUM_DOWNSAMPLINGS = 3
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@NETWORKS.register("conv_encoder", image_size={"minimum": 16, "multiple_of": 8})
class ConvEncoder(nn.Module):
    """Encode an image by three strided convolutions, and one whose kernel covers the rest, without norms.

    The widths are 1, 2 and 4 times ``base_width``. ``image_size`` is the size of the images, ``num_features`` the
    length of the code. ``activation`` of the code: none, as in a port of DTN; "relu", so that the code has nothing that
    a `LinearHead` does not read; or "tanh", so that its scale does not follow the contrast of the image.
    """

    def __init__(
        self,
        image_size: SizeLike = 32,
        base_width: int = 32,
        num_features: int = 128,
        activation: Literal["none", "relu", "tanh"] = "none",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width, next_width = 3, base_width
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [nn.Conv2d(width, next_width, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
            width, next_width = next_width, 2 * next_width
        kernel = ImageSize.of(image_size).each(lambda side: side // 2**NUM_DOWNSAMPLINGS)
        layers.append(nn.Conv2d(width, num_features, kernel))
        if activation != "none":
            layers.append(ACTIVATIONS[activation]())
        self.model = nn.Sequential(*layers)
        self.apply(he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes (B, num_features) of images (B, 3, S, S) in [-1, 1]."""
        return self.model(x).flatten(1)


@NETWORKS.register("linear_head")
class LinearHead(nn.Module):
    """Predict labels from the code of an image by a ReLU and a linear layer."""

    def __init__(self, num_features: int = 128, num_labels: int = 2) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.ReLU(), nn.Linear(num_features, num_labels))
        self.apply(he_normal)

    def forward(self, code: Tensor) -> Tensor:
        """Return logits (B, num_labels) of codes (B, num_features), or (B, num_features, 1, 1)."""
        return self.model(code.flatten(1))
