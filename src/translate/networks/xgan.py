"""The networks of XGAN (Royer et al. 2017, arXiv 1711.05139), in the form of a port.

No code of the authors was released. Layers and parameter names are those of seungminki/xgan2: a batch norm comes after
the ReLU. Letters: B batch, S image side, L length of a code, w base width. Two domains have an encoder and a decoder
each; the networks between are shared, so they are roles of their own.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn

from translate.errors import UserError
from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize, SizeLike

SLOPE = 0.2  # of every leaky ReLU
CLASSIFIER_DIVISORS = (2, 4, 8, 16, 32, 64)  # of the length of a code, the widths of a code classifier


def halving(number: int, before: int, width: int) -> OrderedDict[str, nn.Module]:
    """Return a halving 3x3 convolution, a ReLU and a batch norm, under the names of the port."""
    return OrderedDict(
        {
            f"conv{number}": nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
            f"relu{number}": nn.ReLU(inplace=True),
            f"b{number}": nn.BatchNorm2d(width),
        }
    )


def doubling(
    number: int, before: int, width: int, kernel_size: tuple[int, int] = (2, 2)
) -> OrderedDict[str, nn.Module]:
    """Return a transposed convolution, a ReLU and a batch norm, under the names of the port."""
    return OrderedDict(
        {
            f"deconv{number}": nn.ConvTranspose2d(before, width, kernel_size, stride=2, bias=False),
            f"relu{number}": nn.ReLU(inplace=True),
            f"bd{number}": nn.BatchNorm2d(width),
        }
    )


def dense(number: int, before: int, width: int) -> OrderedDict[str, nn.Module]:
    """Return a linear layer, a ReLU and a batch norm, under the names of the port."""
    return OrderedDict(
        {
            f"fc{number}": nn.Linear(before, width, bias=False),
            f"relu_fc{number}": nn.ReLU(inplace=True),
            f"bfc{number}": nn.BatchNorm1d(width),
        }
    )


@NETWORKS.register("xgan_encoder", image_size={"minimum": 16, "power_of_two": True})
class Encoder(nn.Sequential):
    """The first layers of an encoder, of one domain; `SharedEncoder` makes codes of its features."""

    def __init__(self, base_width: int = 32) -> None:
        super().__init__(halving(1, 3, base_width) | halving(2, base_width, 2 * base_width))
        self.apply(initialize)


@NETWORKS.register("xgan_shared_encoder", image_size={"minimum": 16, "power_of_two": True}, batch_norm={"values": 1})
class SharedEncoder(nn.Sequential):
    """The last layers of both encoders: from features (B, 2 w, S / 4, S / 4) to codes (B, L).

    ``dropout`` is the probability of dropout between the two dense layers, 0.3 in the port. Its draws depend on the
    number of processes.
    """

    def __init__(
        self, image_size: SizeLike = 64, base_width: int = 32, code_size: int = 1024, dropout: float = 0.0
    ) -> None:
        width, places = 8 * base_width, num_places(image_size)
        layers = halving(3, 2 * base_width, 4 * base_width) | halving(4, 4 * base_width, width)
        layers["flatten"] = nn.Flatten()
        layers |= dense(1, width * places, code_size)
        if dropout:
            layers["dropout2"] = nn.Dropout(dropout)
        super().__init__(layers | dense(2, code_size, code_size))
        self.apply(initialize)


@NETWORKS.register("xgan_shared_decoder", image_size={"minimum": 16, "power_of_two": True}, batch_norm={"divisor": 16})
class SharedDecoder(nn.Sequential):
    """The first layers of both decoders: from codes (B, L) to features (B, 8 w, S / 8, S / 8)."""

    def __init__(self, image_size: SizeLike = 64, base_width: int = 32, code_size: int = 1024) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict({"unflatten": nn.Unflatten(1, (code_size, 1, 1))})
        layers |= doubling(1, code_size, 16 * base_width, smallest(image_size))
        super().__init__(layers | doubling(2, 16 * base_width, 8 * base_width))
        self.apply(initialize)


@NETWORKS.register("xgan_decoder", image_size={"minimum": 16, "power_of_two": True})
class Decoder(nn.Sequential):
    """The last layers of a decoder, of one domain: from the features of `SharedDecoder` to images (B, 3, S, S)."""

    def __init__(self, base_width: int = 32) -> None:
        layers = doubling(3, 8 * base_width, 4 * base_width) | doubling(4, 4 * base_width, 2 * base_width)
        layers |= {"deconv5": nn.ConvTranspose2d(2 * base_width, 3, 2, stride=2), "tanh": nn.Tanh()}
        super().__init__(layers)
        self.apply(initialize)


@NETWORKS.register("xgan_code_classifier")
class CodeClassifier(nn.Sequential):
    """The domain of a code (c of the paper): seven dense layers with ReLU, each half as wide as the one before.

    Maps codes (B, L) to logits (B, 1); L is at least 64. The model reverses the gradient in front of it. ``dropout`` is
    the probability of dropout after every second layer.
    """

    def __init__(self, code_size: int = 1024, dropout: float = 0.0) -> None:
        if code_size < CLASSIFIER_DIVISORS[-1]:
            raise UserError(key="code_size", found=code_size, expected=f"at least {CLASSIFIER_DIVISORS[-1]}")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        widths = [code_size, *(code_size // divisor for divisor in CLASSIFIER_DIVISORS)]
        for number, (before, width) in enumerate(pairwise(widths), start=1):
            layers |= {f"fc{number}": nn.Linear(before, width), f"relu{number}": nn.ReLU(inplace=True)}
            if dropout and number % 2 == 0:
                layers[f"dropout{number}"] = nn.Dropout(dropout)
        super().__init__(layers | {"fc7": nn.Linear(widths[-1], 1)})
        self.batch_independent = not dropout
        self.apply(initialize)


@NETWORKS.register("xgan_discriminator", image_size={"minimum": 16, "power_of_two": True})
class Discriminator(nn.Sequential):
    """Separate real from fake by one logit (B, 1) for an image (B, 3, S, S): four halving convolutions."""

    def __init__(self, image_size: SizeLike = 64, base_width: int = 16) -> None:
        width, places = 2 * base_width, num_places(image_size)
        super().__init__(
            OrderedDict(
                {
                    "conv1": nn.Conv2d(3, base_width, 3, stride=2, padding=1),
                    "leaky1": nn.LeakyReLU(SLOPE, inplace=True),
                    "conv2": nn.Conv2d(base_width, width, 3, stride=2, padding=1, bias=False),
                    "leaky2": nn.LeakyReLU(SLOPE, inplace=True),
                    "b2": nn.BatchNorm2d(width),
                    "conv3": nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
                    "leaky3": nn.LeakyReLU(SLOPE, inplace=True),
                    "b3": nn.BatchNorm2d(width),
                    "conv4": nn.Conv2d(width, width, 3, stride=2, padding=1),
                    "leaky4": nn.LeakyReLU(SLOPE, inplace=True),
                    "flatten": nn.Flatten(),
                    "fc1": nn.Linear(width * places, 1),
                }
            )
        )
        self.apply(initialize)


def smallest(image_size: SizeLike) -> ImageSize:
    """Return the size of the smallest feature maps: a sixteenth of the image size."""
    return ImageSize.of(image_size).each(lambda side: side // 16)


def num_places(image_size: SizeLike) -> int:
    """Return the number of places of the smallest feature maps.

    >>> num_places(64)
    16
    """
    height, width = smallest(image_size)
    return height * width


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Initialise the weights of one layer as the port, for use with ``Module.apply``; biases keep torch's draws.

    He et al. 2015 for layers that a ReLU follows, Glorot and Bengio 2010 for layers with one or three outputs.
    """
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return
    outputs = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    if outputs in (1, 3):
        nn.init.xavier_normal_(module.weight)
    else:
        nn.init.kaiming_normal_(module.weight)
