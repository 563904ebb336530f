"""LPIPS (Zhang et al., CVPR 2018) with AlexNet: perceptual distance, and the diversity of translations."""

from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.metrics.accumulators import Accumulator, Values
from translate.metrics.mean import MeanMetric
from translate.metrics.protocols import Scores
from translate.metrics.weights import read_tensors
from translate.registry.registry import METRICS

CHANNELS = (64, 192, 384, 256, 256)  # of AlexNet's five rectified stages
LAYOUTS = ("lpips_weights.{}.main.1.weight", "lin{}.model.1.weight")
"""Names of the five linear weights: in the official StarGAN v2 code, and in the official LPIPS code."""
OFFICIAL_BATCH = 32  # sources that the official StarGAN v2 code averages together


class Lpips(nn.Module):
    """Distance between images in [-1, 1]: weighted squared differences of normalized features of five stages.

    ``d(x, y) = sum_l mean_hw sum_c w_lc (f_lchw(x) - f_lchw(y))^2``, ``f_l`` of unit length at every position.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, alexnet: Path, weights: Path | None = None) -> None:
        """Load AlexNet in torchvision's layout, and the linear weights (None: those in torchmetrics)."""
        super().__init__()
        from torchvision.models import alexnet as build_alexnet

        network = build_alexnet(weights=None)
        try:
            network.load_state_dict(read_tensors(alexnet))
        except RuntimeError as error:
            raise UserError(
                key=str(alexnet), found=Phrase("other tensors"), expected="torchvision's AlexNet"
            ) from error
        self.layers = network.features[:12]  # the layers after the last rectified stage are not needed
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the stages are kept
        for number, weight in enumerate(linear_weights(carried_weights() if weights is None else weights)):
            self.register_buffer(f"weight{number}", weight)
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return the features of five stages of images (n, 3, S, S), of unit length at every position."""
        h, stages = (images - self.mean) / self.std, []
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                stages.append(h * (h.square().sum(1, keepdim=True) + 1e-10).rsqrt())
        return stages

    def between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return the distances (n,) between images from their stages."""
        distances = []
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            weight = self.get_buffer(f"weight{number}")
            distances.append(((a - b).square() * weight).sum(1).mean((1, 2)))
        return torch.stack(distances).sum(0)

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distances (n,) between two batches of images (n, 3, S, S)."""
        return self.between(self.stages(first), self.stages(second))


def linear_weights(path: Path) -> list[Tensor]:
    """Return the five linear weights (1, C, 1, 1) in a file of either layout."""
    tensors = read_tensors(path)
    for layout in LAYOUTS:
        names = [layout.format(number) for number in range(len(CHANNELS))]
        if set(names) <= set(tensors):
            weights = [tensors[name].float() for name in names]
            if [tuple(weight.shape) for weight in weights] == [(1, width, 1, 1) for width in CHANNELS]:
                return weights
    raise UserError(
        key=str(path),
        found=Phrase(f"the tensors {', '.join(list(tensors)[:5]) or 'of an empty file'}"),
        expected=f"five tensors {LAYOUTS[0].format('0...4')} or {LAYOUTS[1].format('0...4')} for AlexNet, of "
        f"{', '.join(map(str, CHANNELS))} numbers",
    )


def carried_weights() -> Path:
    """Return the file of linear weights (LPIPS 0.1, AlexNet) in the package torchmetrics."""
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"


@METRICS.register("lpips_official", protocol="official", reads="outputs", weights="alexnet", scores={"LPIPS": "higher"})
class LpipsOfficial(MeanMetric):
    """LPIPS between the ten translations of a source, as the official StarGAN v2 code computes it: their diversity.

    The mean over all 45 pairs, of images as the network gives them (float, neither clamped nor rounded), then over
    groups of 32 sources. Every group counts the same, also a short last one. ``weights`` is a file of AlexNet in
    torchvision's layout (null: fetched once into the cache), ``linear`` one of the five linear weights (null: LPIPS
    0.1's).
    """

    score, enough = "LPIPS", 100

    def __init__(self, weights: str | None = None, linear: str | None = None) -> None:
        self.weights, self.linear = weights, linear
        self.network: Lpips | None = None

    def prepare(self, weights: Path, device: torch.device) -> None:
        """Load the networks."""
        linear = None if self.linear is None else Path(self.linear).expanduser()
        if linear is not None and not linear.is_file():
            raise UserError(f"there is no file {linear}", key="linear")
        self.network = Lpips(weights, linear).to(device)

    @torch.no_grad()
    def read(self, outputs: list[Tensor]) -> Tensor:
        """Return the mean distance (n,) between all pairs of a source's translations, each (n, 3, S, S)."""
        assert self.network is not None, "prepare first"
        stages = [self.network.stages(output.float()) for output in outputs]
        pairs = [self.network.between(stages[i], stages[j]) for i, j in combinations(range(len(outputs)), 2)]
        return torch.stack(pairs).mean(0)

    def compute(self, values: Accumulator) -> Scores:
        """Return the mean over groups of sources."""
        assert isinstance(values, Values)
        distances = values.in_order()
        groups = [distances[start : start + OFFICIAL_BATCH] for start in range(0, len(distances), OFFICIAL_BATCH)]
        return {self.score: float(np.mean([group.mean() for group in groups]))}
