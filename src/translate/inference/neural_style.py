"""Neural style transfer by optimization of an image (Gatys, Ecker, Bethge, CVPR 2016, arXiv 1508.06576).

Nothing is trained: the pixels x are the variable, and the features of a frozen VGG are the measure.

    L(x) = sum_l a_l E[(F_l(x) - F_l(c))^2] + sum_l b_l E[(G_l(x) - A_l)^2] + v TV(x)

Letters: c the content image; F_l the features of layer l, (C, M) with M places; ``G_l = F_l F_l^T / M`` the Gram matrix
of x; A_l that of the style image, or the mean of several; a_l, b_l, v weights, see `LossWeights`. Those of the official
notebook are 1 for relu4_2, and ``1000 / C^2`` for relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.

An evaluation of the loss is the unit of time. One `ImageOptimization.step` evaluates it once and moves the pixels once.
torch's L-BFGS with one inner iteration a step makes the same moves as with twenty, so a run can be saved after each.

Differences
- From the paper: means of squares instead of sums, as in the notebook, whose distance of Gram matrices is four times
  the paper's. The paper starts from noise and replaces the maximum of poolings by the average; here both are options
  (``start``, ``pooling``), and the default is the notebook's.
- From the notebook: the size of an image is that of its longer side, not the shorter. The pixels of the variable are
  red, green, blue in 0..255, not blue, green, red minus a mean, which changes no move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from translate.data.noise import normal_on
from translate.data.streams import INFERENCE_NOISE
from translate.errors import Phrase, UserError
from translate.losses.reconstruction import l2
from translate.losses.regularization import squared_variation
from translate.losses.style import gram_distance, gram_matrix
from translate.networks.vgg import VGGFeatures

CONTENT_LAYERS = ("relu4_2",)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_SCALE = 1000.0  # divided by C^2: the weight of a style layer in the notebook
RELATIVE = 1e4  # L-BFGS in float32 ignores curvature of losses that are much smaller
NOISE_DEVIATION = 32.0  # of the pixels of a start from noise, around grey

OptimizerName = Literal["lbfgs", "adam"]
Start = Literal["content", "noise"]
Scale = Literal["notebook", "relative"]

RATES: dict[OptimizerName, float] = {"lbfgs": 1.0, "adam": 10.0}
"""The default rate of each optimizer, in pixels from 0 to 255: torch's, and that of jcjohnson/neural-style."""

HISTORY = 100
"""The moves that L-BFGS remembers, torch's default."""


@dataclass(frozen=True)
class LossWeights:
    """The weights of the loss: ``content`` and ``style`` are factors of the layers, by name.

    ``scale`` "notebook" multiplies the distance of Gram matrices of a layer of width C by ``1000 / C^2``. "relative"
    divides the distances of a layer by the mean square of its target and multiplies them by `RELATIVE`, so that the
    same factors serve networks of any width and size of activations.
    """

    content: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(CONTENT_LAYERS, 1.0))
    style: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STYLE_LAYERS, 1.0))
    variation: float = 0.0
    scale: Scale = "notebook"

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the layers that the loss reads, each once."""
        return tuple(dict.fromkeys((*self.content, *self.style)))


class StyleLoss:
    """The loss of pixels for one content image and one style, by terms.

    ``content`` (1, 3, H, W) and each of ``styles`` (1, 3, h, w) are in [-1, 1]. The Gram matrices of several styles are
    averaged.
    """

    def __init__(self, features: VGGFeatures, content: Tensor, styles: Sequence[Tensor], weights: LossWeights) -> None:
        if weights.scale not in get_args(Scale):
            raise UserError("unknown scale", key="scale", found=weights.scale, known=get_args(Scale))
        self.features, self.layers, self.variation = features, weights.layers, weights.variation
        with torch.no_grad():
            self.targets = dict(zip(weights.content, features(content, tuple(weights.content)), strict=True))
            grams = [[gram_matrix(f) for f in features(style, tuple(weights.style))] for style in styles]
            means = [torch.stack(of_layer).mean(0) for of_layer in zip(*grams, strict=True)]
            self.grams = dict(zip(weights.style, means, strict=True))
        self.content_factors, self.style_factors = dict(weights.content), dict(weights.style)
        for name, gram in self.grams.items():
            notebook = weights.scale == "notebook"
            self.style_factors[name] *= STYLE_SCALE / gram.shape[1] ** 2 if notebook else relative(gram)
        for name, target in self.targets.items():
            self.content_factors[name] *= 1.0 if weights.scale == "notebook" else relative(target)

    def terms(self, image: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of an image (1, 3, H, W) in [-1, 1]: content/LAYER, style/LAYER, variation."""
        outputs = dict(zip(self.layers, self.features(image, self.layers), strict=True))
        terms = {}
        for layer, factor in self.style_factors.items():
            terms[f"style/{layer}"] = factor * gram_distance(gram_matrix(outputs[layer]), self.grams[layer])
        for layer, factor in self.content_factors.items():
            terms[f"content/{layer}"] = factor * l2(outputs[layer], self.targets[layer])
        if self.variation:
            terms["variation"] = self.variation * squared_variation((image + 1) * 127.5)
        return terms


def relative(target: Tensor) -> float:
    """Return the factor by which distances from a target become relative to its mean square."""
    return RELATIVE / max(target.square().mean().item(), torch.finfo(target.dtype).tiny)


class ImageOptimization:
    """Pixels that are moved to minimize a loss, with a state that can be saved and restored to the bit.

    ``start`` (1, 3, H, W) is in [-1, 1]; the variable is ``pixels`` in 0..255, on which the rate depends.
    """

    def __init__(
        self,
        loss: StyleLoss,
        start: Tensor,
        optimizer: OptimizerName = "lbfgs",
        rate: float | None = None,
        history: int = HISTORY,
    ) -> None:
        if optimizer not in RATES:
            raise UserError("unknown optimizer", key="optimizer", found=optimizer, known=tuple(RATES))
        self.loss = loss
        self.pixels = ((start.detach() + 1) * 127.5).contiguous().requires_grad_()
        rate = RATES[optimizer] if rate is None else rate
        self.optimizer: torch.optim.Optimizer
        if optimizer == "lbfgs":
            # the tolerances of torch would end a step before its move
            self.optimizer = torch.optim.LBFGS(
                [self.pixels], lr=rate, max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0
            )
        else:
            self.optimizer = torch.optim.Adam([self.pixels], lr=rate)
        self.evaluations = 0

    @property
    def image(self) -> Tensor:
        """Return the image (1, 3, H, W), clipped to [-1, 1]."""
        return (self.pixels.detach() / 127.5 - 1).clamp(-1, 1)

    def step(self) -> dict[str, float]:
        """Evaluate the loss, move the pixels, and return the terms before the move.

        UserError if the loss is not finite; the pixels are useless then.
        """
        terms: dict[str, Tensor] = {}

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            terms.update(self.loss.terms(self.pixels / 127.5 - 1))
            total = torch.stack(list(terms.values())).sum()
            total.backward()
            return total

        self.optimizer.step(closure)  # type: ignore[arg-type]  # torch takes a tensor
        self.evaluations += 1
        values = {name: value.item() for name, value in terms.items()}
        if not all(abs(value) < float("inf") for value in values.values()):
            raise UserError(
                "the loss is not finite any more",
                key="evaluations",
                found=Phrase(f"evaluation {self.evaluations}"),
                fix="optimizer=adam, or smaller weights of style and content",
            )
        return values

    # --- state ------------------------------------------------------------------------------------------------

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors by name and as values for JSON, which name the tensors in their places."""
        tensors: dict[str, Tensor] = {"pixels": self.pixels.detach()}
        state = self.optimizer.state_dict()["state"].get(0, {})
        # the scratch memory of L-BFGS is written before it is read
        values = _packed({k: [None] * len(v) if k == "al" else v for k, v in state.items()}, "optimizer", tensors)
        return tensors, {"evaluations": self.evaluations, "optimizer": values}

    def load_state_dict(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take a state that `state_dict` has returned."""
        with torch.no_grad():
            self.pixels.copy_(tensors["pixels"])
        state = _unpacked(values["optimizer"], tensors)
        before = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**before, "state": {0: state} if state else {}})
        self.evaluations = values["evaluations"]


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Put the tensors of nested mappings and lists into ``tensors``; return the value with their names instead."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"mapping": {key: _packed(each, f"{name}.{key}", tensors) for key, each in value.items()}}
    if isinstance(value, list | tuple):
        return [_packed(each, f"{name}.{number}", tensors) for number, each in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a value that `_packed` has returned, with copies of its tensors: rounding may depend on their place."""
    if isinstance(value, Mapping) and "tensor" in value:
        return tensors[value["tensor"]].clone()
    if isinstance(value, Mapping):
        return {key: _unpacked(each, tensors) for key, each in value["mapping"].items()}
    return [_unpacked(each, tensors) for each in value] if isinstance(value, list) else value


def noise_like(content: Tensor, seed: int) -> Tensor:
    """Return a start from noise of the shape of an image (1, 3, H, W): normal around grey, a function of the seed."""
    noise = normal_on(torch.device("cpu"), seed, INFERENCE_NOISE, torch.arange(1).numpy(), content[0].numel())
    return (noise.view(content.shape).to(content) * (NOISE_DEVIATION / 127.5)).clamp(-1, 1)
