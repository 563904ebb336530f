"""Frames of films of the translations of a trained model, or of its training; many sources make small images."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.errors import UserError
from translate.inference import video
from translate.inference.compositions import SourceFiles, Style, label_names, slices, with_label
from translate.inference.grids import Grid, captioned
from translate.inference.translator import Translator
from translate.sizes import ImageSize

MIN_FRAME_SIDE, MAX_FRAME_SIDE = 480, 4096
"""Pixels of the longer side of the images: small ones are enlarged, and many together reduced."""

IN_ONE_ROW = 8  # sources; more are arranged in several rows
ASPECT = 16 / 9  # of the frame of several rows, about


def style_frames(
    translator: Translator, sources: SourceFiles, styles: Sequence[Style], steps: int, loop: bool
) -> Iterator[np.ndarray]:
    """Yield frames in which the translations of the sources lead from style to style, see `video.path_of_weights`.

    The interpolation is linear in the space of styles; a way from one domain to another crosses between the two. A
    domain changes where the weight passes 1/2.
    """
    if not translator.style_inputs:
        raise UserError(
            f"{translator.about.model} has no styles",
            key="kind",
            expected="labels or training" if translator.takes_labels else "training",
        )
    keys = [translator.styles(style.target, **style.arguments()) for style in styles]
    for first, second, weight in video.path_of_weights(len(keys), steps, loop):
        nearest = styles[first if weight < 0.5 else second]
        style = torch.lerp(keys[first], keys[second], weight)
        yield _frame(translator, sources, nearest.target, nearest.label, style)


def label_frames(
    translator: Translator, sources: SourceFiles, base: Sequence[str], names: Sequence[str], steps: int, loop: bool
) -> Iterator[np.ndarray]:
    """Yield frames in which one label after the other fades in, between images with the labels of ``base`` alone.

    ``names`` are the labels, by default all that can be combined with those of ``base``.
    """
    shown = label_names(translator, base, names)
    start = translator.targets(list(base)) if base else None
    keys, captions = [], []
    for name in shown:
        label = translator.targets(with_label(translator, base, name))
        keys += [torch.zeros_like(label) if start is None else start, label]
        captions += [", ".join(base) or "no label", f"+ {name}" if base else name]
    for first, second, weight in video.path_of_weights(len(keys), steps, loop):
        label = torch.lerp(keys[first], keys[second], weight)
        yield _frame(translator, sources, label, captions[first if weight < 0.5 else second])


def training_frames(folder: Path, grid: str | None) -> Iterator[np.ndarray]:
    """Yield the sample grids of a run in the order of training; ``grid`` is their name, such as "latent"."""
    for iteration, pixels in video.training_frames(video.sample_paths(folder, grid)):
        yield captioned(pixels, f"iteration {int(iteration):,}")


def _frame(
    translator: Translator, sources: SourceFiles, target: Any, caption: str, style: Tensor | None = None
) -> np.ndarray:
    """Return a frame: the sources above their translations, in several rows if there are many."""
    columns = frame_columns(len(sources))
    cell = min(max(translator.image_size), MAX_FRAME_SIDE // max(columns, 2 * math.ceil(len(sources) / columns)))
    shown: list[tuple[Tensor, Tensor]] = []
    for batch in sources.batches():
        translations = translator.translate(batch.images, target, style=style)
        shown += zip(_reduced(batch.images, cell), _reduced(translations, cell), strict=True)
    rows: list[list[Tensor]] = []
    for some in slices(len(shown), columns):
        rows += [[source for source, _ in shown[some]], [translation for _, translation in shown[some]]]
    return captioned(Grid(rows[1:], top=rows[0]).pixels(MIN_FRAME_SIDE), caption)


def frame_columns(count: int) -> int:
    """Return the number of sources in a row of a frame.

    >>> [frame_columns(count) for count in (1, 8, 9, 100)]
    [1, 8, 6, 19]
    """
    return count if count <= IN_ONE_ROW else math.ceil(math.sqrt(2 * ASPECT * count))


def _reduced(images: Tensor, side: int) -> list[Tensor]:
    """Return images (B, 3, H, W) in [-1, 1], reduced so that the longer side has so many pixels."""
    size = ImageSize(*images.shape[2:])
    if max(size) <= side:
        return list(images)
    height, width = size.each(lambda each: max(1, round(each * side / max(size))))
    pixels = ((images.cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    small = [np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR)) for each in pixels]
    return [torch.from_numpy(each.astype(np.float32) / 127.5 - 1).permute(2, 0, 1) for each in small]
