"""Choose the model, the size and the length that suit a data set and this machine, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from translate.data.datasets.base import Dataset
from translate.doctor.counts import SOME
from translate.doctor.image_files import SIZES, training_size
from translate.doctor.official.builder import quoted
from translate.doctor.report import number
from translate.sizes import ImageSize

MANY = 300
"""Images of each domain from which styles can be learned: below, a translation without styles is the safer choice."""

BIG_GPU = 10e9  # bytes; the full models need 6 to 9 GB at 256 px
CPU_SIZE = 64  # the largest that a CPU trains within hours

CPU_LENGTH = ("budget=2h",)

SQUARE = ImageSize(1, 1)


@dataclass(frozen=True)
class Data:
    """The facts of a data set that decide on the model."""

    words: tuple[str, ...]  # of the command line: data=folder data.root=...
    kind: str
    domains: tuple[str, ...]
    labels: int  # binary attributes; 0 without
    pairs: bool
    smallest: int  # images of the smallest domain, or pairs
    side: float  # the median of the smaller sides, in pixels
    shape: ImageSize = SQUARE  # whose aspect ratio images of training have


@dataclass(frozen=True)
class Advice:
    """The overrides of a run, and the reasons for them."""

    words: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def command(self) -> str:
        """Return the command line."""
        return " ".join(map(quoted, ["python", "-m", "translate", *self.words]))


def of_dataset(train: Dataset, kind: str, words: Sequence[str], side: float, shape: ImageSize) -> Data:
    """Return the facts of an open data set; ``shape`` is its configured image size."""
    pairs = train.partner is not None
    counts = [len(train)] if train.domain is None else np.bincount(train.domain, minlength=len(train.domains)).tolist()
    return Data(
        words=tuple(words),
        kind=kind,
        domains=tuple(train.domains),
        labels=0 if train.attributes is None else len(train.attribute_names),
        pairs=pairs,
        smallest=min(counts, default=0),
        side=side,
        shape=shape,
    )


def advise(data: Data, gpu_bytes: int | None) -> Advice | None:
    """Return the advice for a data set on a GPU of so many bytes, or on a CPU; None if no model can use the data."""
    model, reasons = _model(data)
    if model is None:
        return None
    small = gpu_bytes is None
    size = _size(data, small)
    plain = "[{},{}]".format(*size) if isinstance(size.plain, list) else size.plain
    words = [f"model={model}{'_small' if small else ''}", *data.words, f"data.image_size={plain}"]
    if gpu_bytes is None:
        reasons.append(
            f"{model}_small at {size} px, since this machine has no GPU: the full model would take weeks here"
        )
        reasons.append("two hours; budget=1d, or iterations=N, is another length")
        words += CPU_LENGTH
    else:
        reasons.append(f"{size} px, since the images have {data.side:.0f} px; the GPU trains the full model")
        words += _full_network(model, min(size))
        if gpu_bytes < BIG_GPU:
            words.append("trainer.activation_checkpointing=true")
            reasons.append("activation checkpointing, since the GPU has less than 10 GB")
    if data.smallest < SOME:
        reasons.append(
            f"{number(data.smallest, 'image')} are few: look at the sample grids often and stop when they get worse; "
            "keep data.augment on"
        )
    return Advice(tuple(words), tuple(reasons))


def _size(data: Data, small: bool) -> ImageSize:
    """Return the size of training; on a CPU its longer side is limited, if the shorter one stays large enough."""
    short, ratio = training_size(data.side), max(data.shape) / min(data.shape)
    if small:
        short = max(min(short, int(CPU_SIZE / ratio)), SIZES[-1])
    return data.shape.each(lambda side: round(short * side / min(data.shape)))


def _model(data: Data) -> tuple[str | None, list[str]]:
    """Return the model and the reason for it; None if the data has neither domains nor labels."""
    count = len(data.domains)
    if data.pairs:
        return "pix2pix", ["pix2pix, since the images are pairs: it learns from the partner of each image"]
    if count < 2 and data.labels:
        return "stargan_v1", [
            f"stargan_v1, since each image has {number(data.labels, 'attribute')}: it changes any of them alone. "
            "data.domain_attribute=NAME makes two domains of one attribute instead"
        ]
    if count < 2:
        return None, []
    if count == 2 and data.smallest < MANY:
        return "cyclegan", [
            f"cyclegan, since there are two unpaired domains with {number(data.smallest, 'image')} in the smaller one; "
            f"stargan_v2, which gives several translations of an image, needs some {MANY}"
        ]
    if count == 2:
        return "stargan_v2", [
            "stargan_v2, since there are two unpaired domains with enough images to learn styles: each image has many "
            "translations, by code or by reference. cyclegan gives one translation and is the other choice"
        ]
    return "stargan_v2", [f"stargan_v2, since there are {count} domains: one generator translates between all of them"]


def _full_network(model: str, size: int) -> list[str]:
    """Return the overrides by which a network of 256 px takes another size."""
    if size == 256:
        return []
    if model == "cyclegan" and size <= 128:
        return ["model.networks.generator_ab.num_blocks=6"]
    if model == "pix2pix":
        return [f"model.networks.generator.num_downsamplings={size.bit_length() - 1}"]
    if model == "stargan_v1" and size < 64:
        return [f"model.networks.discriminator.num_layers={size.bit_length() - 1}"]
    return []
