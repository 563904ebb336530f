"""Warnings about data that a model can train on, though most likely not well."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import numpy as np

from translate.data.datasets.base import Dataset, ImageFiles
from translate.data.images import SUFFIXES, is_file, is_hidden, is_image
from translate.errors import Phrase, Problem

FEW_IMAGES = 50
"""Training images of a domain below which a warning is due; some hundred are the usual minimum."""

MOST_COMPARED = 500  # validation files whose content is compared with training files

COMPANIONS = frozenset({"txt", "md", "json", "jsonl", "yaml", "yml", "csv", "tsv", "xml", "html", "ini", "log", "db"})
"""Kinds of files that accompany images and are not meant as such."""

SHOWN = 3  # names in a warning


def warnings(train: Dataset) -> Iterator[Problem]:
    """Yield a problem for domains with few training images, and for domains whose images are in nested folders.

    Keys are arguments of the data set.
    """
    if train.domain is None or not train.domains:
        if len(train) < FEW_IMAGES:
            yield _few(Phrase(f"{len(train)} training images"))
        return
    counts = np.bincount(train.domain, minlength=len(train.domains))
    few = [f"{count} of {name}" for name, count in zip(train.domains, counts, strict=True) if count < FEW_IMAGES]
    if few:
        yield _few(Phrase(f"training images: {_listed(few)}"))
    for domain, folders in train.nested_folders().items():
        yield Problem(
            f"all images in the folders of the domain {domain!r} count as {domain!r}",
            key="root",
            found=Phrase(f"folders {_listed(folders)}"),
            fix=f"if these are the domains, add /{domain} to the root",
        )


def of_run(train: Dataset, val: Dataset) -> Iterator[Problem]:
    """Yield the problems of the data of a run that begins."""
    yield from warnings(train)
    yield from skipped_files(train)
    yield from shared_images(train, val)


def shared_images(train: Dataset, val: Dataset) -> Iterator[Problem]:
    """Yield a problem if files of the validation images are among the training images, by their content.

    At most `MOST_COMPARED` validation files are compared, evenly spread, with the training files of the same size.
    """
    paths = files_of(val)
    chosen = paths[:: max(1, len(paths) // MOST_COMPARED)]
    wanted = _by_size(chosen)
    candidates = {size: found for size, found in _by_size(files_of(train)).items() if size in wanted}
    shared: list[tuple[str, str]] = []
    for size, found in candidates.items():
        known = {_digest(path): path for path in wanted[size]}
        shared += [(known[digest], path) for path in found if (digest := _digest(path)) in known and digest]
    pairs = dict(shared)
    if pairs:
        held_out, path = next(iter(pairs.items()))
        yield Problem(
            "validation images are among the training images, so their scores are better than those of new images",
            found=Phrase(f"{len(pairs)} of {len(chosen)} validation files, such as {held_out}, equal to {path}"),
            fix="remove them from one of the two",
        )


def skipped_files(dataset: Dataset) -> Iterator[Problem]:
    """Yield a problem if beside the images are files of kinds that a data set does not read, such as gif."""
    kinds: Counter[str] = Counter()
    for folder in {os.path.dirname(path) for path in files_of(dataset)}:
        with os.scandir(folder) as entries:
            for entry in entries:
                kind = os.path.splitext(entry.name)[1].lower().lstrip(".") or "no suffix"
                if not is_hidden(entry.name) and not is_image(entry.name) and kind not in COMPANIONS:
                    kinds[kind] += is_file(entry)
    kinds += Counter()  # without those of folders
    if kinds:
        counts = [f"{count:,} of {kind}" for kind, count in kinds.most_common()]
        yield Problem(
            "files beside the images are skipped",
            key="root",
            found=Phrase(_listed(counts)),
            expected=", ".join(sorted(SUFFIXES)),
            fix="convert them if they are images",
        )


def files_of(dataset: Dataset) -> list[str]:
    """Return the paths of a data set's image files, each once, those of its components included."""
    if isinstance(dataset, ImageFiles):
        return list(dict.fromkeys(os.path.join(dataset.home, name) for name in dataset.names))
    components: Mapping[str, Dataset] = getattr(dataset, "components", {})
    return [path for component in components.values() for path in files_of(component)]


def _by_size(paths: Iterable[str]) -> dict[int, list[str]]:
    sizes: dict[int, list[str]] = {}
    for path in paths:
        with suppress(OSError):
            sizes.setdefault(os.stat(path).st_size, []).append(path)
    return sizes


def _digest(path: str) -> str:
    """Return a digest of a file's content; "" for a file that cannot be read, which is reported elsewhere."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _few(found: Phrase) -> Problem:
    return Problem(
        "the data set is small, so the discriminator overfits early",
        found=found,
        expected=f"at least {FEW_IMAGES}, better some hundred, in each domain",
        fix="add images, or set augment=resize_crop_flip",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
