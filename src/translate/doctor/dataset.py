"""Examine a data set before training: layout, counts, damaged and repeated images, kinds and sizes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from translate.config.compose import OpenDatasets
from translate.data.datasets.base import Dataset, ImageFiles
from translate.doctor import inspection, layout
from translate.doctor.inspection import Inspection
from translate.doctor.report import Report, Section, number, verb
from translate.doctor.scan import Scan
from translate.sizes import ImageSize

FEW, SOME = 20, 100
"""Training images of a domain below which a model learns the images by heart, and below which results are poor."""

FEW_HELD_OUT = 10  # validation images of a domain below which scores are noise
IMBALANCE = 10.0  # the ratio of the largest to the smallest domain
RARE = 0.02  # the fraction of an attribute below which a model hardly learns it
SIZES = (256, 128, 64, 32)  # at which the models are trained
LARGER = 0.75  # of a training size, that the usual image must have
TINY = 16  # pixels of the smaller side
FLAT = 2.5  # the ratio of the longer to the smaller side
TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class Items:
    """The images that are examined: names, and for each the split, the domain and how it is read."""

    names: list[str]
    folder: str  # of the names; "" if they are no files
    splits: np.ndarray  # (N,) 0 training, 1 validation
    domains: tuple[str, ...]
    domain: np.ndarray  # (N,) index into domains; -1 without one
    examine: inspection.Examine

    def __len__(self) -> int:
        return len(self.names)


def items_of(datasets: OpenDatasets, size: ImageSize) -> Items:
    """Return the images of both splits of an open data set; a file of two items is one image."""
    train, val = datasets
    if isinstance(train, ImageFiles) and isinstance(val, ImageFiles) and train.home == val.home:
        return _of_files(train, val)
    both: list[Dataset] = [train, val]
    examiners = [inspection.of_dataset(each, size) for each in both]
    count = len(train)
    return Items(
        [each.describe(index) for each in both for index in range(len(each))],
        "",
        np.repeat([0, 1], [len(each) for each in both]),
        tuple(train.domains),
        np.concatenate([_domain(each) for each in both]),
        lambda index: examiners[index >= count](index if index < count else index - count),
    )


def _of_files(train: ImageFiles, val: ImageFiles) -> Items:
    files: dict[str, tuple[int, int]] = {}
    for split, each in enumerate((train, val)):
        for name, domain in zip(each.names, _domain(each).tolist(), strict=True):
            files.setdefault(name, (split, domain if each.halves is None else -1))
    names = list(files)
    splits, domains = (np.array(column) for column in zip(*files.values(), strict=True))
    return Items(names, train.home, splits, tuple(train.domains), domains, inspection.of_files(train.home, names))


def _domain(dataset: Dataset) -> np.ndarray:
    return np.full(len(dataset), -1) if dataset.domain is None else dataset.domain


def items_of_scan(found: Scan) -> Items:
    """Return all images of a folder that cannot be opened as a data set, by split and folder where there are any."""
    splits, labels = [], []
    for name in found.images:
        parts = name.split("/")[:-1]
        split = parts[0] if parts and parts[0] in layout.SPLITS else ""
        splits.append(int(split in ("val", "test")))
        labels.append("/".join(parts[1:2] if split else parts[:1]))
    domains = sorted({label for label in labels if label})
    number_of = {name: index for index, name in enumerate(domains)}
    return Items(
        found.images,
        found.root,
        np.array(splits, np.int64),
        tuple(domains),
        np.array([number_of.get(label, -1) for label in labels], np.int64),
        inspection.of_files(found.root, found.images),
    )


# --- numbers -------------------------------------------------------------------------------------------------


def check_counts(datasets: OpenDatasets, section: Section) -> None:
    """Add the number of images in each split, domain and attribute, and findings about few and unequal ones."""
    train, val = datasets
    pairs = 2 if train.partner is not None else 1
    word = "pair" if pairs == 2 else "image"
    section.fact("training", number(len(train) // pairs, word))
    section.fact("validation", number(len(val) // pairs, word))
    if train.domain is not None and train.domains and pairs == 1:
        counts = {split: _counts(each) for split, each in zip((TRAIN, VAL), datasets, strict=True)}
        for domain, name in enumerate(train.domains):
            section.fact(f"  {name}", f"{counts[TRAIN][domain]:,} and {counts[VAL][domain]:,}")
        smallest, least = min(zip(train.domains, counts[TRAIN].tolist(), strict=True), key=lambda each: each[1])
        _check_few(section, least, f"domain {smallest!r} has {number(least, 'training image')}")
        largest = int(counts[TRAIN].max())
        if largest > IMBALANCE * max(1, least):
            section.warning(
                f"the largest domain has {largest / max(1, least):.0f} times the images of {smallest!r}",
                fix="training draws all domains equally often, so the small one repeats; add images to it",
            )
        few = [name for name, count in zip(val.domains, counts[VAL].tolist(), strict=True) if count < FEW_HELD_OUT]
        if few:
            section.warning(
                f"domains with fewer than {FEW_HELD_OUT} validation images, by which scores are noise",
                few,
                "add images to val/, or raise data.val_fraction where there is no val/",
            )
    else:
        _check_few(section, len(train) // pairs, f"there are {number(len(train) // pairs, f'training {word}')}")
    _check_attributes(train, section)


def _counts(dataset: Dataset) -> np.ndarray:
    assert dataset.domain is not None
    return np.bincount(dataset.domain, minlength=len(dataset.domains))


def _check_few(section: Section, count: int, statement: str) -> None:
    if count < FEW:
        section.problem(
            f"{statement}: a model learns these by heart and does not translate others",
            fix=f"add images, {SOME} of each at least; some hundreds are better",
        )
    elif count < SOME:
        section.warning(f"{statement}: results are poor below some {SOME}", fix="add images, or train a small model")


def _check_attributes(train: Dataset, section: Section) -> None:
    if train.attributes is None or not len(train):
        return
    shares = dict(zip(train.attribute_names, train.attributes.mean(0).tolist(), strict=True))
    section.fact("attributes", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    rare = [f"{name} ({share:.1%})" for name, share in shares.items() if min(share, 1 - share) < RARE]
    if rare:
        section.warning(
            f"attributes that fewer than {RARE:.0%} of the images have, or lack: a model hardly learns them",
            rare,
            "leave them out of data.attributes",
        )


# --- images --------------------------------------------------------------------------------------------------


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


# --- repeated images -----------------------------------------------------------------------------------------


def check_repeated(items: Items, result: Inspection, section: Section) -> None:
    """Add findings about equal and similar images: within a split, across splits and across domains."""
    equal = inspection.duplicates(result)
    alike, complete = inspection.near_duplicates(result)
    section.fact("equal files", _extent(equal))
    section.fact("similar images", _extent(alike))
    if not complete:
        section.note("not all images were compared for similarity: there are too many of the same brightness")
    for groups, word, sign in ((equal, "equal", " = "), (alike, "similar", " ~ ")):
        across = [group for group in groups if len(set(items.splits[group].tolist())) > 1]
        labels = [group for group in groups if len(set(items.domain[group].tolist()) - {-1}) > 1]
        inside = [group for group in groups if group not in across and group not in labels]
        is_equal = word == "equal"
        if across:
            (section.problem if is_equal else section.warning)(
                f"{word} images in training and validation ({number(len(across), 'group')}): scores are too good",
                _pairs(items, across, sign),
                "keep all images of a group in one split",
            )
        if labels:
            (section.problem if is_equal else section.note)(
                f"{word} images in several domains ({number(len(labels), 'group')})",
                _pairs(items, labels, sign),
                "keep each in one domain",
            )
        if inside:
            (section.warning if is_equal else section.note)(
                f"{word} images ({number(len(inside), 'group')})", _pairs(items, inside, sign), "keep one of each group"
            )


def _extent(groups: Sequence[Sequence[int]]) -> str:
    if not groups:
        return "none"
    return f"{number(sum(map(len, groups)), 'image')} in {number(len(groups), 'group')}"


def _pairs(items: Items, groups: Sequence[Sequence[int]], sign: str) -> list[str]:
    """Return a text for each group: its first two names, of different splits or domains where there are any."""
    texts = []
    for group in groups:
        first = group[0]
        other = max(
            group[1:],
            key=lambda each: (items.splits[each] != items.splits[first], items.domain[each] != items.domain[first]),
        )
        more = f" + {len(group) - 2}" if len(group) > 2 else ""
        texts.append(f"{items.names[first]}{sign}{items.names[other]}{more}")
    return texts


# --- the whole -----------------------------------------------------------------------------------------------


def median_side(result: Inspection) -> float:
    """Return the median of the images' smaller sides in pixels; 256 without any image."""
    rows = result.readable()
    return float(np.median(np.minimum(result.width[rows], result.height[rows]))) if len(rows) else 256.0


def examine(
    report: Report,
    found: Scan | None,
    kind: str,
    datasets: OpenDatasets | None,
    size: ImageSize | None,
    max_bad_fraction: float = 0.01,
    mistakes: Sequence[str] = (),
) -> Inspection | None:
    """Add all sections about the data to a report; return the facts of its images.

    ``found`` are the files of its folder, None for a data set without one. ``datasets`` are open, or None with the
    ``mistakes`` that prevented it. Training is at
    ``size`` pixels; None: at the size that suits the images. The result is None for images that are drawn on demand.
    """
    section = report.section("Layout")
    if found is not None:
        layout.check(found, kind, section)
    else:
        section.fact("read as", f"data={kind}")
    for mistake in mistakes:
        section.problem(f"training refuses this data: {mistake}")
    if datasets is not None:
        check_counts(datasets, report.section("Images of each domain"))
    if datasets is not None and not datasets.train.may_fail:
        section.note("the images are drawn on demand: there are no files to examine")
        return None
    if datasets is not None:
        items = items_of(datasets, size or ImageSize.of(SIZES[0]))
    elif found is not None:
        items = items_of_scan(found)
    else:
        return None
    if not len(items):
        return None
    result = inspection.inspect(len(items), items.examine)
    check_images(
        items,
        result,
        size or ImageSize.of(training_size(median_side(result))),
        max_bad_fraction,
        report.section("Image files"),
    )
    check_repeated(items, result, report.section("Repeated images"))
    return result


def folder_of(arguments: dict[str, object]) -> str | None:
    """Return the absolute folder of a data set by its arguments; None without one."""
    root = arguments.get("root")
    return os.path.abspath(os.path.expanduser(root)) if isinstance(root, str) else None
