"""Features of VGG16 and VGG19 (Simonyan and Zisserman, ICLR 2015, arXiv 1409.1556), for losses on features.

Letters: B batch, H and W sides. Parameter names are those of torchvision, which most files have. Files with the names
of Caffe's layers (``conv1_1.weight``) are read too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import NETWORKS

MULTIPLES = (1, 2, 4, 8, 8)
"""The width of each stage as a multiple of the first."""

NUM_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth of the whole network, its linear layers included -> the convolutions of each stage."""

CAFFE_MEAN = (103.939, 116.779, 123.68)  # of blue, green, red in 0..255
VGG_FACE_MEAN = (129.1863, 104.7624, 93.594)  # of red, green, blue in 0..255, of the release for MatConvNet
TORCHVISION_MEAN, TORCHVISION_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green, blue in 0..1

Preprocessing = Literal["caffe", "torchvision", "vgg_face", "none"]
Pooling = Literal["max", "average"]


def layer_names(depth: int) -> list[str]:
    """Return the names of all layers in order: conv1_1, relu1_1, ..., pool5.

    >>> layer_names(16)[:5], len(layer_names(19))
    (['conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1'], 37)
    """
    names = []
    for stage, count in enumerate(NUM_CONVOLUTIONS[depth], 1):
        names += [f"{kind}{stage}_{number}" for number in range(1, count + 1) for kind in ("conv", "relu")]
        names.append(f"pool{stage}")
    return names


class VGG(Pretrained):
    """The layers of VGG up to ``last``, numbered as in torchvision, behind the preprocessing of its training.

    ``preprocessing`` "caffe" is blue, green, red in 0..255 minus a mean; "torchvision" is red, green, blue in 0..1,
    normalised by mean and deviation; "vgg_face" is red, green, blue in 0..255 minus the mean of VGG-Face (Parkhi et
    al., BMVC 2015), of its release for MatConvNet; "none" is red, green, blue in 0..1.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        weights: str | None,
        sha256: str | None,
        preprocessing: Preprocessing,
        base_width: int,
        depth: int,
        last: str,
        pooling: Pooling = "max",
        without: Sequence[str] = (),
    ) -> None:
        """Build the layers; those of ``without`` are left out, and their numbers stay free."""
        super().__init__(weights, sha256)
        _one_of("preprocessing", preprocessing, ("caffe", "torchvision", "vgg_face", "none"))
        _one_of("pooling", pooling, ("max", "average"))
        self.preprocessing, self.pooling = preprocessing, pooling
        means = {
            "caffe": CAFFE_MEAN,
            "torchvision": TORCHVISION_MEAN,
            "vgg_face": VGG_FACE_MEAN,
            "none": (0.0, 0.0, 0.0),
        }
        mean = means[preprocessing]
        deviation = TORCHVISION_DEVIATION if preprocessing == "torchvision" else (1.0, 1.0, 1.0)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(deviation, dtype=torch.float64)[:, None, None], persistent=False)
        names = layer_names(depth)
        self.names = tuple(names[: names.index(last) + 1])
        with torch.random.fork_rng(devices=[]):  # a file replaces these draws, so no other network may depend on them
            self.features = nn.Sequential(*self._layers(base_width, pooling, without))
        self.freeze()

    def _layers(self, base_width: int, pooling: Pooling, without: Sequence[str]) -> Iterator[nn.Module]:
        before = 3
        for name in self.names:
            if name in without:
                yield nn.Identity()
            elif name.startswith("conv"):
                width = MULTIPLES[int(name[4]) - 1] * base_width
                yield nn.Conv2d(before, width, 3, padding=1)
                before = width
            elif name.startswith("relu"):
                yield nn.ReLU(inplace=True)
            else:
                yield nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)

    def preprocessed(self, x: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1] as the file's training had them."""
        x = (x + 1) * 0.5
        if self.preprocessing == "caffe":
            x = x.flip(1)
        if self.preprocessing in ("caffe", "vgg_face"):
            x = x * 255
        return (x - self.mean.to(x.dtype)) * self.scale.to(x.dtype)

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a file's tensors by the names of this network: those of Caffe's layers become torchvision's."""
        numbers = {name: number for number, name in enumerate(self.names)}
        result = {}
        for key, tensor in state.items():
            layer, _, kind = key.partition(".")
            result[f"features.{numbers[layer]}.{kind}" if layer in numbers else key] = tensor
        return result


@NETWORKS.register(
    "vgg16_features",
    trainable=False,
    loss_only=True,
    image_size={"minimum": 16},
    pretrained="VGG16's weights, such as https://download.pytorch.org/models/vgg16-397923af.pth",
)
class VGG16Features(VGG):
    """The features relu5_3 of VGG16 without its fourth pooling, as in the perceptual loss of UNIT and MUNIT.

    ``preprocessing`` is that of the file's training: "caffe" (blue, green, red in 0..255 minus a mean, as in the
    official code of UNIT) or "torchvision" (red, green, blue in 0..1, normalised). ``base_width`` is the width of the
    first stage, 64 in VGG16. ``weights`` is the path of the file, ``sha256`` its digest, which a run notes.
    """

    def __init__(
        self,
        weights: str | None = None,
        sha256: str | None = None,
        preprocessing: Literal["caffe", "torchvision"] = "torchvision",
        base_width: int = 64,
    ) -> None:
        super().__init__(weights, sha256, preprocessing, base_width, 16, "relu5_3", without=("pool4",))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 8 base_width, H / 8, W / 8) of images (B, 3, H, W) in [-1, 1].

        Gradients pass through.
        """
        features: Tensor = self.features(self.preprocessed(x))
        return features


@NETWORKS.register(
    "vgg_features",
    trainable=False,
    loss_only=True,
    image_size={"minimum": 16},
    pretrained="the weights of VGG16 or VGG19, such as https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
)
class VGGFeatures(VGG):
    """The outputs of several layers of VGG16 or VGG19, by name: "relu4_2", or "conv5_4" before its ReLU.

    ``layers`` are the names. ``depth`` is 16 or 19. ``pooling`` "average" replaces the maximum, as in Gatys et al.
    The other arguments are those of `VGG16Features`.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        weights: str | None = None,
        sha256: str | None = None,
        depth: Literal[16, 19] = 16,
        preprocessing: Preprocessing = "torchvision",
        pooling: Literal["max", "average"] = "max",
        base_width: int = 64,
    ) -> None:
        _one_of("depth", depth, tuple(NUM_CONVOLUTIONS))
        known = layer_names(depth)
        if not layers:
            raise UserError(key="layers", found=list(layers), expected="one layer or more")
        for name in layers:
            _one_of("layers", name, known)
        super().__init__(weights, sha256, preprocessing, base_width, depth, max(layers, key=known.index), pooling)
        self.layers = tuple(layers)
        for name, layer, after in zip(self.names, self.features, self.features[1:], strict=False):
            if name in layers and isinstance(layer, nn.Conv2d) and isinstance(after, nn.ReLU):
                after.inplace = False  # its input is an output of this network

    def forward(self, x: Tensor, layers: Sequence[str] | None = None) -> list[Tensor]:
        """Return the outputs (B, C, H / k, W / k) of ``layers`` for images (B, 3, H, W) in [-1, 1]; None: of all.

        ``layers`` are some of those of the constructor; layers behind the last of them are not computed. Gradients
        pass through.
        """
        wanted = self.layers if layers is None else tuple(layers)
        left, outputs = set(wanted), dict[str, Tensor]()
        x = self.preprocessed(x)
        for name, layer in zip(self.names, self.features, strict=True):
            x = layer(x)
            if name in left:
                outputs[name] = x
                left.remove(name)
                if not left:
                    break
        return [outputs[name] for name in wanted]


def _one_of(key: str, value: object, known: Sequence[object]) -> None:
    """Raise UserError for an unknown value of an argument."""
    if value not in known:
        raise UserError("unknown value", key=key, found=value, known=[str(each) for each in known])
