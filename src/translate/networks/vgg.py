"""Features of VGG16 (Simonyan and Zisserman, ICLR 2015, arXiv 1409.1556), for losses on features.

Letters: B batch, S image side. Parameter names are those of torchvision, which most files have.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import NETWORKS

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # width as a multiple of the first, and convolutions
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of blue, green, red in 0..255
TORCHVISION_MEAN, TORCHVISION_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green, blue in 0..1


@NETWORKS.register(
    "vgg16_features",
    trainable=False,
    loss_only=True,
    image_size={"minimum": 16},
    pretrained="VGG16's weights as a file with torchvision's names, such as torchvision's vgg16-397923af.pth",
)
class VGG16Features(Pretrained):
    """The features relu5_3 of VGG16 without its fourth pooling, as in the perceptual loss of UNIT and MUNIT.

    ``preprocessing`` is what the file was trained with: "caffe" (blue, green, red in 0..255 minus a mean, as the
    official code of UNIT) or "torchvision" (red, green, blue in 0..1, normalised). ``base_width`` is the width of the
    first stage, 64 in VGG16. ``weights`` is the path of the file, ``sha256`` its digest, which a run notes.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        weights: str | None = None,
        sha256: str | None = None,
        preprocessing: Literal["caffe", "torchvision"] = "torchvision",
        base_width: int = 64,
    ) -> None:
        super().__init__(weights, sha256)
        if preprocessing not in ("caffe", "torchvision"):
            raise UserError(key="preprocessing", found=preprocessing, expected="'caffe' or 'torchvision'")
        self.preprocessing = preprocessing
        caffe = preprocessing == "caffe"
        mean, deviation = (CAFFE_MEAN, (1.0, 1.0, 1.0)) if caffe else (TORCHVISION_MEAN, TORCHVISION_DEVIATION)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(deviation, dtype=torch.float64)[:, None, None], persistent=False)
        with torch.random.fork_rng(devices=[]):  # a file replaces these draws, so no other network may depend on them
            self.features = nn.Sequential(*self._layers(base_width))
        self.freeze()

    def _layers(self, base_width: int) -> list[nn.Module]:
        """Return convolutions and poolings up to relu5_3, numbered as in torchvision."""
        layers: list[nn.Module] = []
        before = 3
        for number, (multiple, num_convolutions) in enumerate(STAGES):
            if number:
                layers += [nn.Identity() if number == 4 else nn.MaxPool2d(2)]
            for _ in range(num_convolutions):
                layers += [nn.Conv2d(before, multiple * base_width, 3, padding=1), nn.ReLU(inplace=True)]
                before = multiple * base_width
        return layers

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 8 base_width, S / 8, S / 8) of images (B, 3, S, S) in [-1, 1]; gradients pass through."""
        x = (x + 1) * 0.5
        if self.preprocessing == "caffe":
            x = x.flip(1) * 255
        features: Tensor = self.features((x - self.mean.to(x.dtype)) * self.scale.to(x.dtype))
        return features
