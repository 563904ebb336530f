"""Grids and films of the translations of a trained model.

Every function takes `Sources`, images with names, and returns a labelled `Grid` or yields frames (H, W, 3) uint8.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.errors import UserError
from translate.inference import video
from translate.inference.codes import draw_codes
from translate.inference.grids import Grid, captioned
from translate.inference.images import to_images
from translate.inference.inputs import domain_of
from translate.inference.translator import Translator

KINDS = "latent, reference or cycle for grids; latent, reference or training for films"

MIN_FRAME_SIDE = 480  # pixels of the longer side of a film's images


@dataclass(frozen=True)
class Sources:
    """Images (B, 3, H, W) in [-1, 1] with a name for each, and their domains where these are known."""

    images: Tensor
    names: Sequence[str]
    domains: Sequence[str | None]

    @staticmethod
    def read(paths: Sequence[Path], translator: Translator, key: str = "input") -> "Sources":
        """Return the images of files at the model's size; a folder that has the name of a domain tells the domain."""
        images = to_images(list(paths), translator.image_size, translator.crop, key)
        return Sources(images, [path.name for path in paths], [domain_of(path, translator.domains) for path in paths])

    def require_domains(self, key: str, default: str | None = None) -> list[str]:
        """Return the domain of each image, or ``default``; UserError, with ``key``, where it is unknown."""
        domains = [default or domain for domain in self.domains]
        for name, domain in zip(self.names, domains, strict=True):
            if domain is None:
                raise UserError(
                    f"the domain of {name} is unknown", key=key, expected=f"{key}=DOMAIN, or a folder of that name"
                )
        return [domain for domain in domains if domain is not None]


@dataclass(frozen=True)
class Style:
    """A target with a style, one row of a grid or one key frame of a film."""

    label: str
    target: Any  # of `Translator.translate`
    arguments: dict[str, Any]  # its keywords for the style


# --- styles -------------------------------------------------------------------------------------------------


def styles_of_seeds(
    translator: Translator, targets: Sequence[str], seeds: Sequence[int], psi: float | None
) -> list[Style]:
    """Return a style for each target and seed; the same code serves all images. Models without codes have no seeds."""
    if "code" not in translator.style_inputs:
        return [Style(target, target, {}) for target in targets]
    length = translator.translation.latent_size
    codes = {seed: torch.from_numpy(draw_codes(seed, 1, length)) for seed in seeds}
    truncation = {} if psi is None else {"psi": psi}
    return [
        Style(f"{target}, seed {seed}", target, {"code": code, **truncation})
        for target in targets
        for seed, code in codes.items()
    ]


def styles_of_references(translator: Translator, references: Sources, target: str | None) -> list[Style]:
    """Return the style of each reference image in ``target``, or in the reference's own domain."""
    require(translator, "reference")
    return [
        Style(f"{domain}, {name}", domain, {"reference": image[None]})
        for image, name, domain in zip(
            references.images, references.names, references.require_domains("target", target), strict=True
        )
    ]


def require(translator: Translator, style_input: str) -> None:
    """Raise UserError if a model does not take a style input."""
    if style_input not in translator.style_inputs:
        expected = ", ".join(translator.style_inputs) or "no style input, the target alone"
        raise UserError(
            f"the styles of {translator.about.model} are not of this kind", key=style_input, expected=expected
        )


# --- grids --------------------------------------------------------------------------------------------------


def style_grid(translator: Translator, sources: Sources, styles: Sequence[Style]) -> Grid:
    """Return a grid with a column for each source and a row for each style; a reference is shown at the left."""
    references = [style.arguments.get("reference") for style in styles]
    return Grid(
        rows=[list(translator.translate(sources.images, style.target, **style.arguments)) for style in styles],
        top=list(sources.images),
        left=[None if each is None else each[0] for each in references]
        if any(e is not None for e in references)
        else (),
        row_labels=[style.label for style in styles],
        column_labels=sources.names,
    )


def label_grid(translator: Translator, sources: Sources, base: Sequence[str]) -> Grid:
    """Return a grid with a row for each source and a column for each label, in addition to the labels of ``base``."""
    names = _label_names(translator)
    columns = [list(translator.translate(sources.images, _with_label(translator, base, name))) for name in names]
    return Grid(
        rows=[list(row) for row in zip(*columns, strict=True)],
        left=list(sources.images),
        row_labels=sources.names,
        column_labels=[f"+ {name}" if base else name for name in names],
    )


def cycle_grid(translator: Translator, sources: Sources, styles: Sequence[Style], source: str | None) -> Grid:
    """Return a grid with a column for each source: for each style the translation and the way back.

    The way back has the style of the source itself if the model takes references. ``source`` is the sources' domain.
    """
    own = sources.require_domains("source", source)
    if unknown := [domain for domain in own if domain not in translator.domains]:
        raise UserError("unknown domain", key="source", found=unknown[0], known=translator.domains)
    back: dict[str, Any] = {"reference": sources.images} if "reference" in translator.style_inputs else {}
    rows, labels = [], []
    for style in styles:
        translations = translator.translate(sources.images, style.target, **style.arguments)
        rows += [list(translations), list(translator.translate(translations, own, **back))]
        labels += [style.label, "and back"]
    return Grid(rows, top=list(sources.images), row_labels=labels, column_labels=sources.names)


def _label_names(translator: Translator) -> tuple[str, ...]:
    if not translator.takes_labels:
        raise UserError(f"{translator.about.model} translates to domains", key="kind", found="labels", expected=KINDS)
    return translator.labels


def _with_label(translator: Translator, base: Sequence[str], name: str) -> Any:
    classes = all(labels["kind"] == "classes" for labels in translator.about.label_sets)
    return name if classes else list(dict.fromkeys([*base, name]))


# --- films --------------------------------------------------------------------------------------------------


def style_frames(
    translator: Translator, sources: Sources, styles: Sequence[Style], steps: int, loop: bool
) -> Iterator[np.ndarray]:
    """Yield frames in which the translations of the sources lead from style to style, see `video.path_of_weights`.

    The interpolation is linear in the space of styles; a way from one domain to another crosses between the two. A
    domain changes where the weight passes 1/2.
    """
    if not translator.style_inputs:
        raise UserError(f"{translator.about.model} has no styles", key="kind", expected="labels or training")
    keys = [translator.styles(style.target, **style.arguments) for style in styles]
    for first, second, weight in video.path_of_weights(len(keys), steps, loop):
        nearest = styles[first if weight < 0.5 else second]
        style = torch.lerp(keys[first], keys[second], weight)
        yield _frame(sources, translator.translate(sources.images, nearest.target, style=style), nearest.label)


def label_frames(
    translator: Translator, sources: Sources, base: Sequence[str], steps: int, loop: bool
) -> Iterator[np.ndarray]:
    """Yield frames in which one label after the other fades in, between images with the labels of ``base`` alone."""
    start = translator.targets(list(base)) if base else None
    keys, names = [], []
    for name in _label_names(translator):
        label = translator.targets(_with_label(translator, base, name))
        keys += [torch.zeros_like(label) if start is None else start, label]
        names += [", ".join(base) or "no label", f"+ {name}" if base else name]
    for first, second, weight in video.path_of_weights(len(keys), steps, loop):
        label = torch.lerp(keys[first], keys[second], weight)
        caption = names[first if weight < 0.5 else second]
        yield _frame(sources, translator.translate(sources.images, label), caption)


def training_frames(folder: Path, grid: str | None) -> Iterator[np.ndarray]:
    """Yield the sample grids of a run in the order of training; ``grid`` is their name, such as "latent"."""
    for iteration, pixels in video.training_frames(video.sample_paths(folder, grid)):
        yield captioned(pixels, f"iteration {int(iteration):,}")


def _frame(sources: Sources, translations: Tensor, caption: str) -> np.ndarray:
    grid = Grid([list(translations)], top=list(sources.images))
    return captioned(grid.pixels(MIN_FRAME_SIDE), caption)
