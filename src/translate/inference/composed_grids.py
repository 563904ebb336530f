"""Grids of the translations of a trained model; many sources make several grids."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from translate.errors import UserError
from translate.inference.compositions import SourceFiles, Style, known_domains, label_names, slices, with_label
from translate.inference.grids import Grid
from translate.inference.translator import Translator

LABEL_KINDS = "labels or latent"

GRID_PIXELS = 16_000_000
"""Pixels of the images in one grid; more sources and styles make several grids."""

GRID_SIDE = 15_000
"""Pixels of a grid's longer side, without labels: WebP files have at most 16,383."""

Grids = Sequence[Callable[[], Grid]]
"""Grids that are drawn when they are called, so that one is in memory at a time."""


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
    names = label_names(translator, base, names)
    return [
        partial(_label_grid, translator, sources, base, names[some_names], some_sources)
        for some_names, some_sources in parts(translator, len(names), len(sources))
    ]


def _label_grid(
    translator: Translator, files: SourceFiles, base: Sequence[str], names: Sequence[str], rows: slice
) -> Grid:
    sources = files.read(rows)
    columns = [list(translator.translate(sources.images, with_label(translator, base, name))) for name in names]
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
