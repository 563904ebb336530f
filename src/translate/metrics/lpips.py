"""LPIPS (Zhang et al., CVPR 2018) with AlexNet, as a measure of how much the translations of one image differ."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.metrics.accumulators import Accumulator, Values
from translate.metrics.weights import read_tensors
from translate.registry.registry import METRICS

CHANNELS = (64, 192, 384, 256, 256)  # of AlexNet's five rectified stages
LAYOUTS = ("lpips_weights.{}.main.1.weight", "lin{}.model.1.weight")
"""Names of the five linear weights: in the StarGAN v2 code, and in the code of the paper."""
PUBLISHED_BATCH = 32  # sources that the StarGAN v2 code averages together


class Lpips(nn.Module):
    """Distance between images in [-1, 1]: weighted squared differences of normalised features of five stages."""

    mean: Tensor
    std: Tensor

    def __init__(self, alexnet: Path, weights: Path | None = None) -> None:
        """Read AlexNet in torchvision's layout, and the linear weights (None: those that torchmetrics carries)."""
        super().__init__()
        from torchvision.models import alexnet as build_alexnet

        network = build_alexnet(weights=None)
        try:
            network.load_state_dict(read_tensors(alexnet))
        except RuntimeError as error:
            raise UserError(f"{alexnet}: found other tensors than those of torchvision's AlexNet") from error
        self.layers = network.features[:12]  # what comes after the last rectified stage is not looked at
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the stages are kept
        for number, weight in enumerate(linear_weights(carried_weights() if weights is None else weights)):
            self.register_buffer(f"weight{number}", weight)
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return the features of five stages, each of unit length at every place, of images (n, 3, S, S)."""
        h, found = (images - self.mean) / self.std, []
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                found.append(h * (h.square().sum(1, keepdim=True) + 1e-10).rsqrt())
        return found

    def between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return distances (n,) between images whose stages are given."""
        parts = []
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            weight = self.get_buffer(f"weight{number}")
            parts.append(((a - b).square() * weight).sum(1).mean((1, 2)))
        return torch.stack(parts).sum(0)

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return distances (n,) between images (n, 3, S, S) and others."""
        return self.between(self.stages(first), self.stages(second))


def linear_weights(path: Path) -> list[Tensor]:
    """Return the five linear weights (1, C, 1, 1) in a file of either layout."""
    found = read_tensors(path)
    for layout in LAYOUTS:
        names = [layout.format(number) for number in range(len(CHANNELS))]
        if set(names) <= set(found):
            weights = [found[name].float() for name in names]
            if [tuple(weight.shape) for weight in weights] == [(1, width, 1, 1) for width in CHANNELS]:
                return weights
    raise UserError(
        f"{path}: expected five tensors {LAYOUTS[0].format('0...4')} or {LAYOUTS[1].format('0...4')} for AlexNet, of "
        f"{', '.join(map(str, CHANNELS))} numbers; found {', '.join(list(found)[:5]) or 'none'}"
    )


def carried_weights() -> Path:
    """Return the linear weights (LPIPS 0.1, AlexNet) that torchmetrics carries."""
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"


@METRICS.register(
    "lpips_published", protocol="published", reads="outputs", weights="alexnet", figures={"LPIPS": "higher"}
)
class LpipsPublished:
    """LPIPS between the ten translations of a source, as the StarGAN v2 code computes it: how diverse they are.

    The mean over all 45 pairs, of images as the network gives them (float, neither clamped nor rounded), then over
    groups of 32 sources, each counting as much, a short last one too. ``weights`` is a file of AlexNet in torchvision's
    layout (null: fetched once into the cache), ``linear`` one of the five linear weights (null: LPIPS 0.1's).
    """

    def __init__(self, weights: str | None = None, linear: str | None = None) -> None:
        self.weights, self.linear = weights, linear
        self.network: Lpips | None = None

    def prepare(self, weights: Path, device: torch.device) -> None:
        """Read the networks."""
        linear = None if self.linear is None else Path(self.linear).expanduser()
        if linear is not None and not linear.is_file():
            raise UserError(f"metrics: lpips_published.linear: there is no file {linear}")
        self.network = Lpips(weights, linear).to(device)

    def accumulator(self) -> Accumulator:
        """Return what is kept: a number for each source."""
        return Values()

    @torch.no_grad()
    def read(self, outputs: list[Tensor]) -> Tensor:
        """Return the mean distance (n,) between all pairs of a source's translations, each (n, 3, S, S)."""
        assert self.network is not None, "prepare first"
        stages = [self.network.stages(output.float()) for output in outputs]
        pairs = [self.network.between(stages[i], stages[j]) for i, j in combinations(range(len(outputs)), 2)]
        return torch.stack(pairs).mean(0)

    def figures(self, found: Accumulator) -> dict[str, float]:
        """Return the mean over groups of sources."""
        assert isinstance(found, Values)
        values = found.in_order()
        groups = [values[start : start + PUBLISHED_BATCH] for start in range(0, len(values), PUBLISHED_BATCH)]
        return {"LPIPS": float(np.mean([group.mean() for group in groups]))}

    def doubts(self, found: Accumulator) -> Iterator[str]:
        """Yield what makes the figure doubtful."""
        if len(found) < 100:
            yield f"LPIPS of {len(found)} sources: the mean of few is noisy"
