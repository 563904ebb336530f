"""Fast style transfer (Johnson, Alahi, Fei-Fei, ECCV 2016, arXiv 1603.08155), as in pytorch/examples.

Letters: x image, y = T(x) its translation by the image transformation network T (role ``transformer``), s the style
image, F_l the features of layer l of a frozen VGG16 (role ``features``), ``G_l = F_l F_l^T / (C_l H_l W_l)`` their Gram
matrix. The style is the only domain, named after its file. The Gram matrices of s are computed once.

Differences
- From pytorch/examples: images are drawn in epochs in an order of their own; the official loader does not shuffle. The
  style image keeps its ratio of sides where ``style_size`` is set; there it becomes a square. Sizes that are not
  divisible by 4 give translations of their own size; there they come back larger. The features of x are computed up to
  the last content layer only.
- From the paper and its official code in Lua: there content is compared in relu3_3, residual blocks have no padding,
  the output is 150 tanh, and the weights are 1 (content), 5 (style) and 1e-6 (variation). ``content_layers`` and the
  weights can be set so; the network is that of pytorch/examples.
- The variation is a term with its value. In the code in Lua it is a gradient, and the printed loss leaves it out. Its
  mean over images is taken; there it is a sum, so a weight here is the batch size times the weight there.
- From both: ``ema_decay`` keeps an EMA of the network; null, the default, equals both.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translate.data import style_images
from translate.data.batches import HeldOut
from translate.data.transforms import to_float
from translate.data.views.images import ImageBatch
from translate.errors import UserError
from translate.inference.fast_style import FastStyleTranslation
from translate.inference.grids import Grid
from translate.losses.reconstruction import l2
from translate.losses.regularization import squared_variation
from translate.losses.style import gram_distance, gram_matrix
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS

HALF_RANGE = 127.5  # the variation is that of pixels in 0..255
NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "fast_style",
    batch="images",
    networks=("transformer", "features"),
    losses=(),
    terms={"transformer": ("content", "style", "variation")},
    image_files=("style_image",),
)
class FastStyle(TranslationModel):
    """A network that translates every image to the style of one image.

    ``style_image`` is a file, or the name of a painting that is drawn by program, see
    `translate.data.synthetic.paintings`; ``style_size`` its longer side in pixels (null: its own). ``content_layers``
    and ``style_layers`` are layers of the role ``features``. ``ema_decay``: null for no moving average.
    """

    progress_terms = ("transformer/content", "transformer/style")
    ema_roles = ("transformer",)
    double_backward_roles = ()
    inference = FastStyleTranslation

    transformer: nn.Module
    features: nn.Module

    def __init__(
        self,
        style_image: str,
        style_size: int | None = None,
        content_layers: Sequence[str] = ("relu2_2",),
        style_layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.target_domains = (style_images.name_of(style_image),)
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        known: tuple[str, ...] = tuple(self.features.layers)  # type: ignore[arg-type]
        for key, layers in (("content_layers", content_layers), ("style_layers", style_layers)):
            for layer in layers:
                if layer not in known:
                    raise UserError(
                        "the network features does not return this layer", key=key, found=layer, known=known
                    )
        self.style = StyleImage(style_images.read(style_image, style_size))
        self.stateful["style"] = self.style
        self._grams: dict[str, Tensor] = {}

    def step(self, batch: ImageBatch[Tensor]) -> None:
        """Do one iteration: one update of the network."""
        x = batch.image
        with self.update("transformer") as minimize:
            minimize(self.transformer_loss(x, self.transformer(x)))
        self.update_ema()

    def transformer_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the network (eqs. 2 to 5), with the weights of its terms.

        ``L = 1e5 sum_l E[(F_l(y) - F_l(x))^2] + 1e10 sum_l E[(G_l(y) - G_l(s))^2] + v TV(y)``
        """
        layers = tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))
        features = dict(zip(layers, self.features(y, layers), strict=True))
        with torch.no_grad():
            content = dict(zip(self.content_layers, self.features(x, self.content_layers), strict=True))
        grams = self.style_grams(x)
        distances = [gram_distance(gram_matrix(features[name], "elements"), grams[name]) for name in self.style_layers]
        terms = {
            "content": torch.stack([l2(features[name], target) for name, target in content.items()]).sum(),
            "style": torch.stack(distances).sum(),
        }
        if self.is_active("transformer", "variation"):
            terms["variation"] = squared_variation(y * HALF_RANGE)
        return self.weighted("transformer", terms)

    @torch.no_grad()
    def style_grams(self, like: Tensor) -> Mapping[str, Tensor]:
        """Return the Gram matrices (1, C, C) of the style image by layer, of the device and dtype of ``like``."""
        known = next(iter(self._grams.values()), None)
        if known is None or (known.device, known.dtype) != (like.device, like.dtype):
            outputs = self.features(self.style.image.to(like), self.style_layers)
            self._grams = {
                layer: gram_matrix(output, "elements") for layer, output in zip(self.style_layers, outputs, strict=True)
            }
        return self._grams

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of sources and of translations, with the style image at the left."""
        x = held_out.image[:NUM_SAMPLES]
        y = self.translate(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        style = torch.nn.functional.interpolate(self.style.image, x.shape[2:], mode="bilinear", antialias=True)[0]
        rows = [list(x), list(y)]
        return {"style": Grid(rows, left=[style, None], row_labels=("source", f"style {self.target_domains[0]}"))}


class StyleImage:
    """The style image (1, 3, H, W) in [-1, 1]. A checkpoint holds its digest, so that no other one takes its place."""

    def __init__(self, pixels: Any) -> None:
        self.image = to_float(torch.from_numpy(pixels.copy())[None])
        self._digest = torch.frombuffer(bytearray(hashlib.sha256(pixels.tobytes()).digest()), dtype=torch.uint8)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the SHA-256 of the pixels."""
        return {"sha256": self._digest}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raise UserError if the state is that of another image."""
        if not state["sha256"].equal(self._digest):
            raise UserError(
                "the style image is not the one that the run began with",
                key="model.style_image",
                fix="give the first image, or start another run",
            )
