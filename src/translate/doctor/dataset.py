"""Examine a data set before training: layout, counts, damaged and repeated images, kinds and sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from translate.config.datasets import OpenDatasets
from translate.doctor import inspection, layout
from translate.doctor.counts import check_counts
from translate.doctor.image_files import SIZES, check_images, median_side, training_size
from translate.doctor.inspection import Inspection
from translate.doctor.items import items_of, items_of_scan
from translate.doctor.repeated_images import check_repeated
from translate.doctor.report import Report
from translate.doctor.scan import Scan
from translate.sizes import ImageSize


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
