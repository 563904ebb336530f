"""Detect the official layout of files, and write weights in an official layout."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch

from translate.errors import Phrase, UserError
from translate.files.writing import atomic_write
from translate.weights.format import Weights
from translate.weights.published.combogan import ComboGANLayout
from translate.weights.published.cut import CUTLayout
from translate.weights.published.cyclegan import CycleGANLayout
from translate.weights.published.fast_style import FastStyleLayout
from translate.weights.published.files import UNNAMED, OfficialFile
from translate.weights.published.files import read as read_file
from translate.weights.published.layout import ImportOptions, Layout
from translate.weights.published.srgan import LeftthomasLayout, LornatangLayout
from translate.weights.published.stargan_v1 import StarGANv1Layout
from translate.weights.published.stargan_v2 import StarGANv2Layout
from translate.weights.published.unit import PaperLayout, TodayLayout
from translate.weights.published.xgan import XGANLayout

LAYOUTS: tuple[Layout, ...] = (
    StarGANv2Layout(),
    StarGANv1Layout(),
    ComboGANLayout(),  # whose encoders look like generators of CycleGAN
    CUTLayout(),  # whose networks have a filter beside CycleGAN's tensors
    CycleGANLayout(),
    FastStyleLayout(),
    TodayLayout(),
    PaperLayout(),
    LornatangLayout(),
    LeftthomasLayout(),
    XGANLayout(),
)


def read(paths: Sequence[Path], options: ImportOptions) -> Weights:
    """Return the weights in official files that belong together; UserError if no layout fits them."""
    files = [read_file(path) for path in paths]
    place = ", ".join(map(str, paths))
    layout = next((layout for layout in LAYOUTS if layout.fits(files)), None)
    if layout is None:
        several = ", or do not belong together" if len(files) > 1 else ""
        layouts = ", ".join(layout.name for layout in LAYOUTS)
        raise UserError(
            f"the files have no known layout{several}",
            key=place,
            found=Phrase(_outline(files[0])),
            expected=f"the layout of {layouts}",
        )
    if options.model is not None and options.model not in layout.models:
        raise UserError(
            f"{files[0].path} has the layout of {layout.name}",
            key="model",
            found=options.model,
            expected=" or ".join(layout.models),
        )
    for name, value in vars(options).items():
        if value is not None and name not in (*layout.facts, "model", "licence"):
            known = ", ".join(layout.facts)
            raise UserError(
                f"files of {layout.name} do not need this fact", key=name, found=value, expected=f"only {known}"
            )
    try:
        return layout.read(files, options)
    except (LookupError, ValueError) as error:  # a tensor that determines a size is missing or has another shape
        if isinstance(error, UserError):
            raise
        raise UserError(f"looks like {layout.name}, but does not hold all of it ({error})", key=place) from error


def write(weights: Weights, folder: Path) -> list[Path]:
    """Write the official files of a model's weights; return their paths.

    UserError for a model without an official layout, and for weights that lack networks of the layout or have others.
    """
    layout = layout_of(weights)
    files = layout.write(weights)
    if not files:
        raise UserError(f"the weights lack networks that {layout.name} needs", fix="export with=all from the run")
    contents = {
        name: {UNNAMED: next(iter(networks.values()))} if layout.single_network else networks
        for name, networks in files.items()
    }
    if not layout.fits([OfficialFile(folder / name, networks) for name, networks in contents.items()]):
        raise UserError(
            f"networks that {layout.name} does not have",
            key="format",
            found=Phrase(", ".join(node["name"] for node in weights.networks.values())),
            fix="leave format out",
        )
    written = []
    for name, networks in contents.items():
        content = io.BytesIO()
        torch.save(networks[UNNAMED] if layout.single_network else networks, content)
        atomic_write(folder / name, content.getvalue(), durable=True)
        written.append(folder / name)
    return written


def layout_of(weights: Weights) -> Layout:
    """Return the official layout of weights: that of the files they come from, else that of their model."""
    origin = (weights.official or {}).get("layout")
    for layout in sorted(LAYOUTS, key=lambda layout: layout.name != origin):
        if layout.fits_model(weights):
            return layout
    raise UserError(
        f"the model {weights.model!r} has no official layout",
        key="format",
        expected=f"a model of {', '.join(dict.fromkeys(model for layout in LAYOUTS for model in layout.models))}",
        fix="leave format out",
    )


def _outline(file: OfficialFile) -> str:
    if UNNAMED not in file.networks:
        return f"the networks {', '.join(list(file.networks)[:4])}"
    names = list(file.networks[UNNAMED])
    return f"the tensors {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
