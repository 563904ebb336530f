"""Grids and films of the translations of a trained model.

Sources are read in batches, references one by one, so memory does not grow with their number: many sources make
several grids, or smaller images in the frames of a film.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.data.attributes import HAIR
from translate.errors import UserError
from translate.inference import video
from translate.inference.codes import draw_codes
from translate.inference.grids import Grid, captioned
from translate.inference.images import to_images
from translate.inference.inputs import domain_of
from translate.inference.translator import Translator
from translate.sizes import ImageSize

LABEL_KINDS = "labels or latent"
KINDS = "latent, reference or cycle for grids; latent, reference or training for films"

GRID_PIXELS = 16_000_000
"""Pixels of the images in one grid; more sources and styles make several grids."""

GRID_SIDE = 15_000
"""Pixels of a grid's longer side, without labels: WebP files have at most 16,383."""

MIN_FRAME_SIDE, MAX_FRAME_SIDE = 480, 4096
"""Pixels of the longer side of a film's images: small ones are enlarged, and many together reduced."""

IN_ONE_ROW = 8  # sources of a film; more are arranged in several rows
ASPECT = 16 / 9  # of the frame of several rows, about
BATCH = 16  # images that are translated at once
KEPT = 256  # sources of a film that stay in memory; of more, each frame reads all again


@dataclass(frozen=True)
class Sources:
    """Images (B, 3, H, W) in [-1, 1] with a name for each, and their domains where these are known."""

    images: Tensor
    names: Sequence[str]
    domains: Sequence[str | None]

    def needed_by(self, translator: Translator) -> list[str] | None:
        """Return the domain of each image for a model that needs it, else None; UserError where it is unknown."""
        if not translator.needs_source or (None in self.domains and len(translator.domains) == 2):
            return None
        return known_domains(self.names, self.domains, key="source")


class SourceFiles:
    """Image files at a model's size, which are read in batches; a folder with the name of a domain tells the domain."""

    def __init__(self, paths: Sequence[Path], translator: Translator) -> None:
        self.paths, self.translator = paths, translator
        self.names = [path.name for path in paths]
        self.domains = [domain_of(path, translator.domains) for path in paths]
        self._kept: list[Sources] = []

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: slice = slice(None)) -> Sources:
        """Return the images of some of the files."""
        images = to_images(list(self.paths[rows]), self.translator.image_size, self.translator.crop, "input")
        return Sources(images, self.names[rows], self.domains[rows])

    def batches(self) -> Iterator[Sources]:
        """Yield all images in batches; those of few files stay in memory."""
        if self._kept:
            yield from self._kept
            return
        for rows in slices(len(self), BATCH):
            batch = self.read(rows)
            if len(self) <= KEPT:
                self._kept.append(batch)
            yield batch


@dataclass(frozen=True)
class Style:
    """A target with a style, one row of a grid or one key frame of a film."""

    label: str
    target: Any  # of `Translator.translate`
    arguments: Callable[[], dict[str, Any]]  # return its keywords for the style; a reference is read when it is needed


Grids = Sequence[Callable[[], Grid]]
"""Grids that are drawn when they are called, so that one is in memory at a time."""


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` elements that cover ``count`` ones.

    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start, end in pairwise((*range(0, count, size), count)):
        yield slice(start, end)


# --- styles -------------------------------------------------------------------------------------------------


def styles_of_seeds(
    translator: Translator, targets: Sequence[str], seeds: Sequence[int], psi: float | None
) -> list[Style]:
    """Return a style for each target and seed; the same code serves all images. Models without codes have no seeds."""
    if "code" not in translator.style_inputs:
        return [Style(target, target, dict) for target in targets]
    length = translator.translation.latent_size
    truncation = {} if psi is None else {"psi": psi}

    def arguments_of(seed: int) -> Callable[[], dict[str, Any]]:
        return lambda: {"code": torch.from_numpy(draw_codes(seed, 1, length)), **truncation}

    return [Style(f"{target}, seed {seed}", target, arguments_of(seed)) for target in targets for seed in seeds]


def styles_of_references(translator: Translator, paths: Sequence[Path], target: str | None) -> list[Style]:
    """Return the style of each reference image in ``target``, or in the domain that its folder names."""
    require(translator, "reference")

    def arguments_of(path: Path) -> Callable[[], dict[str, Any]]:
        size, crop = translator.image_size, translator.crop
        return lambda: {"reference": to_images([path], size, crop, "reference")}

    domains = known_domains([path.name for path in paths], [domain_of(p, translator.domains) for p in paths], target)
    return [
        Style(f"{domain}, {path.name}", domain, arguments_of(path)) for path, domain in zip(paths, domains, strict=True)
    ]


def known_domains(
    names: Sequence[str], domains: Sequence[str | None], default: str | None = None, key: str = "target"
) -> list[str]:
    """Return ``default``, or the domain of each image; UserError, with ``key``, where it is unknown."""
    known = []
    for name, own in zip(names, domains, strict=True):
        domain = default or own
        if domain is None:
            raise UserError(
                f"the domain of {name} is unknown", key=key, expected=f"{key}=DOMAIN, or a folder of that name"
            )
        known.append(domain)
    return known


def require(translator: Translator, style_input: str) -> None:
    """Raise UserError if a model does not take a style input."""
    if style_input not in translator.style_inputs:
        expected = ", ".join(translator.style_inputs) or "no style input, the target alone"
        raise UserError(
            f"the styles of {translator.about.model} are not of this kind", key=style_input, expected=expected
        )


# --- grids --------------------------------------------------------------------------------------------------


def style_grids(
    translator: Translator, sources: SourceFiles, styles: Sequence[Style], columns: int | None = None
) -> Grids:
    """Return grids with a column for each source and a row for each style; a reference is shown at the left.

    A grid has at most ``columns`` sources, by default as many as fit, see `parts`.
    """
    return [
        partial(_style_grid, translator, sources, styles[some_styles], some_sources)
        for some_sources, some_styles in parts(translator, len(sources), len(styles), columns)
    ]


def _style_grid(translator: Translator, files: SourceFiles, styles: Sequence[Style], columns: slice) -> Grid:
    sources = files.read(columns)
    rows, left = [], []
    for style in styles:
        arguments = style.arguments()
        reference = arguments.get("reference")
        left.append(None if reference is None else reference[0])
        own = sources.needed_by(translator)
        rows.append(list(translator.translate(sources.images, style.target, source=own, **arguments)))
    return Grid(
        rows=rows,
        top=list(sources.images),
        left=left if any(image is not None for image in left) else (),
        row_labels=[style.label for style in styles],
        column_labels=sources.names,
    )


def label_grids(translator: Translator, sources: SourceFiles, base: Sequence[str], names: Sequence[str] = ()) -> Grids:
    """Return grids with a row for each source and a column for each label, in addition to the labels of ``base``.

    ``names`` are the labels, by default all that can be combined with those of ``base``.
    """
    names = _label_names(translator, base, names)
    return [
        partial(_label_grid, translator, sources, base, names[some_names], some_sources)
        for some_names, some_sources in parts(translator, len(names), len(sources))
    ]


def _label_grid(
    translator: Translator, files: SourceFiles, base: Sequence[str], names: Sequence[str], rows: slice
) -> Grid:
    sources = files.read(rows)
    columns = [list(translator.translate(sources.images, _with_label(translator, base, name))) for name in names]
    return Grid(
        rows=[list(row) for row in zip(*columns, strict=True)],
        left=list(sources.images),
        row_labels=sources.names,
        column_labels=[f"+ {name}" if base else name for name in names],
    )


def cycle_grids(
    translator: Translator,
    sources: SourceFiles,
    styles: Sequence[Style],
    source: str | None,
    columns: int | None = None,
) -> Grids:
    """Return grids with a column for each source: for each style the translation and the way back.

    The way back has the style of the source itself if the model takes references. ``source`` is the sources' domain.
    """
    if not translator.domains:
        raise UserError(
            f"{translator.about.model} translates to labels", key="kind", found="cycle", expected=LABEL_KINDS
        )
    own = known_domains(sources.names, sources.domains, source, "source")
    if unknown := [domain for domain in own if domain not in translator.domains]:
        raise UserError("unknown domain", key="source", found=unknown[0], known=translator.domains)
    return [
        partial(_cycle_grid, translator, sources, styles[some_styles], some_sources, own[some_sources])
        for some_sources, some_styles in parts(translator, len(sources), len(styles), columns, row_images=2)
    ]


def _cycle_grid(
    translator: Translator, files: SourceFiles, styles: Sequence[Style], columns: slice, own: Sequence[str]
) -> Grid:
    sources = files.read(columns)
    back: dict[str, Any] = {"reference": sources.images} if "reference" in translator.style_inputs else {}
    rows, labels = [], []
    for style in styles:
        there: dict[str, Any] = {"source": own} if translator.needs_source else {}
        translations = translator.translate(sources.images, style.target, **there, **style.arguments())
        if translator.needs_source:
            back = {"source": style.target}
        rows += [list(translations), list(translator.translate(translations, own, **back))]
        labels += [style.label, "and back"]
    return Grid(rows, top=list(sources.images), row_labels=labels, column_labels=sources.names)


def parts(
    translator: Translator, num_columns: int, num_rows: int, columns: int | None = None, row_images: int = 1
) -> Iterator[tuple[slice, slice]]:
    """Yield the columns and rows of each grid, of which none exceeds `GRID_PIXELS` and `GRID_SIDE`.

    A row has the height of ``row_images`` images.
    """
    size = translator.image_size.each(lambda side: translator.scale * side)
    most_rows, most_columns = size.each(lambda side: max(1, GRID_SIDE // side - 1))
    images = max(1, GRID_PIXELS // size.area)
    width = min(num_columns, most_columns, columns or most_columns, max(1, images // row_images))
    height = max(1, min(most_rows, images // width) // row_images)
    for some_columns in slices(num_columns, width):
        for some_rows in slices(num_rows, height):
            yield some_columns, some_rows


def all_targets(translator: Translator) -> Sequence[str]:
    """Return the names of all targets: the domains to which the networks translate, or the labels."""
    if translator.takes_labels:
        return translator.labels
    domains = translator.domains
    return [domains[number] for number in translator.translation.reachable(len(domains))]


def _label_names(translator: Translator, base: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the labels of a grid or film; UserError for a model without labels, and for unknown labels."""
    if not translator.takes_labels:
        raise UserError(f"{translator.about.model} translates to domains", key="kind", found="labels", expected=KINDS)
    if base:
        try:
            translator.targets(list(base))
        except UserError as error:
            raise UserError.of(replace(error.problem, key="attributes")) from error
    own = [each["names"] for each in translator.about.label_sets if not base or set(base) <= set(each["names"])]
    return names or [name for each in own for name in each]


def _with_label(translator: Translator, base: Sequence[str], name: str) -> Any:
    """Return a target with the labels of ``base`` and another one; a hair colour takes the place of another."""
    if all(labels["kind"] == "classes" for labels in translator.about.label_sets):
        return name
    return [*(each for each in base if each != name and not (each in HAIR and name in HAIR)), name]


# --- films --------------------------------------------------------------------------------------------------


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
    shown = _label_names(translator, base, names)
    start = translator.targets(list(base)) if base else None
    keys, captions = [], []
    for name in shown:
        label = translator.targets(_with_label(translator, base, name))
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
