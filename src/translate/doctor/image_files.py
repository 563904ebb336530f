"""Examine image files: those that do not decode, their kinds and their sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from translate.doctor import layout
from translate.doctor.inspection import Inspection
from translate.doctor.items import Items
from translate.doctor.report import Section, number, verb
from translate.sizes import ImageSize

SIZES = (256, 128, 64, 32)  # at which the models are trained
LARGER = 0.75  # of a training size, that the usual image must have
TINY = 16  # pixels of the smaller side
FLAT = 2.5  # the ratio of the longer to the smaller side


def check_images(items: Items, result: Inspection, size: ImageSize, max_bad_fraction: float, section: Section) -> None:
    """Add findings about images that do not decode, their kinds and their sizes; training is at ``size`` pixels."""
    named = items.names
    _check_unreadable(items, result, max_bad_fraction, section)
    rows = result.readable()
    if not len(rows):
        return
    width, height = result.width[rows], result.height[rows]
    short = np.minimum(width, height)
    section.fact("sizes", _sizes(width, height))
    section.fact("smaller side", f"{short.min()} to {short.max()} px, median {int(np.median(short))}")
    section.fact("colour modes", _shares(result.modes))
    if any(result.formats):
        section.fact("formats", _shares(result.formats))
    tiny = rows[short < TINY]
    if len(tiny):
        section.problem(f"{number(len(tiny), 'image')} below {TINY} pixels", _named(named, tiny), "remove them")
    enlarged = rows[((height < size.height / 2) | (width < size.width / 2)) & (short >= TINY)]
    if len(enlarged):
        section.warning(
            f"{number(len(enlarged), 'image')} of less than half the training size of {size} px "
            f"{verb(len(enlarged), 'become')} blurred",
            _named(named, enlarged),
            f"train at a smaller size: data.image_size={_smaller(size, float(np.median(short)))}",
        )
    relative = height / width * (size.width / size.height)
    flat = rows[np.maximum(relative, 1 / relative) > FLAT]
    if len(flat):
        place = "a square" if size.is_square else f"{size} px"
        words = f"sides of a ratio above {FLAT:g}" if size.is_square else f"sides of a ratio {FLAT:g} times another"
        section.warning(
            f"{number(len(flat), 'image')} with {words} {verb(len(flat))} squeezed to {place}",
            _named(named, flat),
            "data.crop=square cuts the middle out instead",
        )
    _check_kinds(named, rows, result, section)


def _check_unreadable(items: Items, result: Inspection, max_bad_fraction: float, section: Section) -> None:
    if not result.errors:
        return
    fraction = len(result.errors) / len(items)
    hints = layout.wrong_suffixes(items.names, items.folder, result.errors) if items.folder else {}
    names = [f"{items.names[i]} ({hints.get(items.names[i], reason)})" for i, reason in result.errors.items()]
    statement = f"{number(len(result.errors), 'image')} ({fraction:.1%}) cannot be read"
    if fraction > max_bad_fraction:
        statement += f", more than the {max_bad_fraction:.1%} that max_bad_fraction allows"
    section.problem(statement, names, "repair or remove them")


def _check_kinds(named: Sequence[str], rows: np.ndarray, result: Inspection, section: Section) -> None:
    """Report what conversion to 8-bit RGB changes."""
    for bits, indices in sorted(result.bits.items()):
        if bits > 8:
            section.note(
                f"{number(len(indices), 'image')} of {bits} bits {verb(len(indices))} scaled to 8",
                _named(named, indices),
            )
    grey = sum(count for mode, count in result.modes.items() if mode[0] in "L1IF")
    if 0 < grey < len(rows):
        section.warning(
            f"{grey:,} of {len(rows):,} images are grey and the others coloured: grey becomes a style",
            fix="remove the grey images, unless colouring is the purpose",
        )
    if transparent := sum(count for mode, count in result.modes.items() if mode in ("RGBA", "LA", "PA", "La", "RGBa")):
        section.note(f"{number(transparent, 'image')} with transparency {verb(transparent)} composited on white")
    if cmyk := result.modes.get("CMYK", 0):
        section.note(f"{number(cmyk, 'image')} in CMYK {verb(cmyk)} converted to RGB without their colour profile")
    if result.animated:
        section.note(
            f"of {number(len(result.animated), 'animation')} the first frame is read", _named(named, result.animated)
        )
    blank = result.blank()
    if len(blank):
        section.warning(f"{number(len(blank), 'image')} of a single colour", _named(named, blank), "remove them")


def _sizes(width: np.ndarray, height: np.ndarray) -> str:
    sizes = Counter(zip(width.tolist(), height.tolist(), strict=True))
    shown = ", ".join(f"{w} x {h} ({count:,})" for (w, h), count in sizes.most_common(3))
    return f"{shown}{f' and {len(sizes) - 3:,} other sizes' if len(sizes) > 3 else ''}"


def _smaller(size: ImageSize, short: float) -> int | list[int]:
    """Return a size of the same aspect ratio for images whose smaller side has so many pixels."""
    side = training_size(short)
    return size.each(lambda each: each * side // min(size)).plain


def _shares(counter: Counter[str]) -> str:
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in counter.most_common())


def _named(names: Sequence[str], indices: Sequence[int] | np.ndarray) -> list[str]:
    return [names[int(index)] for index in indices]


def training_size(side: float) -> int:
    """Return the size at which to train on images whose smaller side is usually so many pixels.

    >>> training_size(512), training_size(100), training_size(20)
    (256, 128, 32)
    """
    return next((size for size in SIZES if side >= LARGER * size), SIZES[-1])


def median_side(result: Inspection) -> float:
    """Return the median of the images' smaller sides in pixels; 256 without any image."""
    rows = result.readable()
    return float(np.median(np.minimum(result.width[rows], result.height[rows]))) if len(rows) else 256.0
