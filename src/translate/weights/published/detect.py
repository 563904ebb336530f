"""Which of the published layouts a file has, and writing one."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch

from translate.errors import UserError
from translate.files import atomic_write
from translate.weights.format import Weights
from translate.weights.published.cyclegan import CycleGANLayout
from translate.weights.published.files import BARE, PublishedFile
from translate.weights.published.files import read as read_file
from translate.weights.published.layout import ImportOptions, Layout
from translate.weights.published.stargan_v1 import StarGANv1Layout
from translate.weights.published.stargan_v2 import StarGANv2Layout

LAYOUTS: tuple[Layout, ...] = (StarGANv2Layout(), StarGANv1Layout(), CycleGANLayout())


def read(paths: Sequence[Path], wishes: ImportOptions) -> Weights:
    """Return the weights in published files that belong together; UserError where they have no known layout."""
    files = [read_file(path) for path in paths]
    for layout in LAYOUTS:
        if layout.fits(files):
            if wishes.model is not None and wishes.model not in layout.models:
                raise UserError(
                    f"model: found {wishes.model!r}, but {files[0].path} is of {layout.name}, expected "
                    f"{' or '.join(layout.models)}"
                )
            try:
                return layout.read(files, wishes)
            except (LookupError, ValueError) as error:  # a tensor that tells a size is missing or has another shape
                if isinstance(error, UserError):
                    raise
                raise UserError(
                    f"{', '.join(map(str, paths))}: looks like {layout.name}, but does not hold all of it ({error})"
                ) from error
    several = " or do not belong together" if len(files) > 1 else ""
    raise UserError(
        f"{', '.join(map(str, paths))}: found {_outline(files[0])}, which have no known layout{several}; known are "
        f"those of {', '.join(layout.name for layout in LAYOUTS)}"
    )


def write(weights: Weights, folder: Path) -> list[Path]:
    """Write the files of the layout in which a model's weights are published; return their paths.

    UserError for a model that has no published layout, or weights that lack what the layout needs.
    """
    layout = layout_of(weights)
    files = layout.write(weights)
    if not files:
        raise UserError(f"the weights lack networks that {layout.name} needs; export them with=all from the run")
    written = []
    for name, networks in files.items():
        content = io.BytesIO()
        torch.save(next(iter(networks.values())) if layout.bare else networks, content)
        atomic_write(folder / name, content.getvalue(), durable=True)
        written.append(folder / name)
    return written


def layout_of(weights: Weights) -> Layout:
    """Return the layout in which a model is published."""
    for layout in LAYOUTS:
        if weights.model in layout.models:
            return layout
    known = ", ".join(model for layout in LAYOUTS for model in layout.models)
    raise UserError(f"format: the model {weights.model!r} has no published layout, only {known} have; leave format out")


def _outline(file: PublishedFile) -> str:
    if BARE not in file.networks:
        return f"the networks {', '.join(list(file.networks)[:4])}"
    names = list(file.networks[BARE])
    return f"the tensors {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
