"""Style transfer by optimization for one image: sizes, starts, and states that go on to the same image to the bit.

The image is optimized at a work size, from small to large if there are several, and enlarged to its own size at the
end.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from translate.data import style_images
from translate.data.images import ImageError, read_file
from translate.data.style_images import scaled
from translate.errors import Phrase, UserError
from translate.files.reading import loads, require_file
from translate.files.writing import atomic_write
from translate.inference import image_encoding, image_files, tiling
from translate.inference.devices import chosen_device
from translate.inference.neural_style import (
    HISTORY,
    STYLE_LAYERS,
    ImageOptimization,
    LossWeights,
    OptimizerName,
    Start,
    StyleLoss,
    noise_like,
)
from translate.networks.vgg import Pooling, VGGFeatures
from translate.weights.features import open_vgg

FORMAT = "translate style 1"
DEFAULT_FEATURES = "critters_vgg"
VARIATION = 1e-5  # with the scale "relative"
STYLE_WEIGHT = 10.0  # of the style layers relative to the content, with the scale "relative"


@dataclass(frozen=True)
class Settings:
    """How an image is optimized.

    ``sizes`` are the longer sides of the stages in pixels, 0 for that of the image; no image is enlarged for it.
    ``evaluations`` are those of each stage. ``style_size`` is the longer side of the style image (None: that of the
    stage). ``keep_colours`` takes the brightness alone from the result.
    """

    sizes: tuple[int, ...] = (256,)
    evaluations: tuple[int, ...] = (300,)
    weights: LossWeights = field(default_factory=LossWeights)
    optimizer: OptimizerName = "lbfgs"
    rate: float | None = None
    history: int = HISTORY
    start: Start = "content"
    seed: int = 0
    style_size: int | None = None
    keep_colours: bool = False

    def check(self) -> None:
        """Raise UserError for settings that contradict each other."""
        if not self.sizes or len(self.sizes) != len(self.evaluations):
            found = Phrase(f"{len(self.evaluations)} numbers for {len(self.sizes)} sizes")
            raise UserError(key="evaluations", found=found, expected="one for each size")
        if min(self.evaluations) < 1:
            raise UserError(key="evaluations", found=min(self.evaluations), expected="at least 1")
        if min(self.sizes) < 0:
            raise UserError(key="size", found=min(self.sizes), expected="pixels of the longer side, or 0 for its own")


RELATIVE_SETTINGS = Settings(
    weights=LossWeights(style=dict.fromkeys(STYLE_LAYERS, STYLE_WEIGHT), variation=VARIATION, scale="relative")
)
"""Settings that serve networks of any width."""


@dataclass(frozen=True)
class Progress:
    """The state of an optimization after an evaluation: its number of all, the terms, and the image at the time."""

    evaluation: int
    total: int
    terms: Mapping[str, float]
    optimization: ImageOptimization

    @property
    def loss(self) -> float:
        """Return the sum of the terms."""
        return sum(self.terms.values())


Observer = Callable[[Progress], None]


class Stylization:
    """The stages of one image. ``content`` and each of ``styles`` are pixels (H, W, 3), 8 bits or 0 to 255."""

    def __init__(
        self, features: VGGFeatures, content: np.ndarray, styles: Sequence[np.ndarray], settings: Settings
    ) -> None:
        settings.check()
        self.features, self.content, self.styles, self.settings = features, content, styles, settings
        self.device, self.dtype = features.mean.device, next(features.parameters()).dtype
        self.stage = 0
        self.optimization = self._begin(None)

    def _begin(self, before: Tensor | None) -> ImageOptimization:
        """Return the optimization of the current stage, which starts from the result of the stage before."""
        settings, size = self.settings, self.settings.sizes[self.stage]
        content = self._image(self.content, size)
        styles = [
            self._image(style, settings.style_size or size or max(self.content.shape[:2])) for style in self.styles
        ]
        if before is not None:
            start = torch.nn.functional.interpolate(before, content.shape[2:], mode="bicubic").clamp(-1, 1)
        else:
            start = content if settings.start == "content" else noise_like(content, settings.seed)
        loss = StyleLoss(self.features, content, styles, settings.weights)
        return ImageOptimization(loss, start, settings.optimizer, settings.rate, settings.history)

    def _image(self, pixels: np.ndarray, longer: int) -> Tensor:
        """Return pixels at a size as an image (1, 3, H, W) in [-1, 1]; smaller ones keep their size."""
        height, width = pixels.shape[:2]
        if longer and longer < max(height, width):
            width, height = scaled((width, height), longer)
            pixels = tiling.reduced(pixels, [height, width])
        least = 2 ** sum(name.startswith("pool") for name in self.features.names)
        if min(height, width) < least:
            raise UserError(
                "the image is too small for these layers",
                key="size",
                found=Phrase(f"{width} x {height} pixels"),
                expected=f"at least {least} on the shorter side",
            )
        return torch.from_numpy(tiling.to_input(pixels))[None].to(self.device, self.dtype)

    @property
    def done(self) -> int:
        """Return the number of evaluations that are done, of all stages."""
        return sum(self.settings.evaluations[: self.stage]) + self.optimization.evaluations

    def run(self, observer: Observer = lambda progress: None) -> np.ndarray:
        """Do the evaluations that are left; return the pixels (H, W, 3) float32 of the content's size.

        ``observer`` is called after each evaluation.
        """
        total = sum(self.settings.evaluations)
        while True:
            while self.optimization.evaluations < self.settings.evaluations[self.stage]:
                terms = self.optimization.step()
                observer(Progress(self.done, total, terms, self.optimization))
            if self.stage + 1 == len(self.settings.sizes):
                return self._finished()
            self.stage += 1
            self.optimization = self._begin(self.optimization.image)

    def _finished(self) -> np.ndarray:
        image = self.optimization.image[0].float().cpu().numpy()
        pixels = tiling.enlarged(tiling.to_pixels(image, deep=True), *self.content.shape[:2]).clip(0, 255)
        return with_colours_of(self.content, pixels) if self.settings.keep_colours else pixels

    # --- state ------------------------------------------------------------------------------------------------

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write the state to a file; ``facts`` identify the images and settings."""
        tensors, values = self.optimization.state_dict()
        header = {"format": FORMAT, "facts": json.dumps(facts), "stage": str(self.stage), "values": json.dumps(values)}
        # tensors of an optimizer may share memory
        copies = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
        atomic_write(path, save(copies, metadata=header), durable=True)

    def restore(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Take the state in a file; UserError for a damaged file, and for one of other images or settings."""
        require_file(path)
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name).to(self.device) for name in file.keys()}  # noqa: SIM118
            same = header.get("format") == FORMAT and loads(header["facts"]) == json.loads(json.dumps(facts))
            if not same:
                raise UserError(
                    "this is the state of an image with other settings",
                    key=str(path),
                    fix="overwrite=true, or delete it",
                )
            self.stage = int(header["stage"])
            if self.stage:
                self.optimization = self._begin(tensors["pixels"] / 127.5 - 1)
            self.optimization.load_state_dict(tensors, loads(header["values"]))
        except UserError:
            raise
        except (SafetensorError, OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise UserError(f"not a readable state ({error})", key=str(path), fix="delete the file") from error


def with_colours_of(content: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, 3) float32 with the brightness Y of ``pixels`` and the colours Cb, Cr of ``content``."""
    own, other = (
        Image.fromarray(np.rint(np.broadcast_to(each, (*each.shape[:2], 3)).clip(0, 255)).astype(np.uint8)).convert(
            "YCbCr"
        )
        for each in (pixels, content)
    )
    _, blue, red = other.split()
    return np.asarray(Image.merge("YCbCr", (own.getchannel("Y"), blue, red)).convert("RGB")).astype(np.float32)


def stylize(
    image: str | os.PathLike[str] | Image.Image,
    style: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    features: str = DEFAULT_FEATURES,
    settings: Settings = RELATIVE_SETTINGS,
    pooling: Pooling = "max",
    device: str = "auto",
    observer: Observer = lambda progress: None,
) -> Image.Image:
    """Return an image in the style of another one, at its own size.

    ``image`` is a file or an image of Pillow. ``style`` is a file or the name of a painting, or several, see
    `translate.data.style_images`. ``features`` is a file of VGG16 or VGG19, or the name of one that ships. ``observer``
    is called after each evaluation of the loss.

    >>> from PIL import Image
    >>> stylize(Image.new("RGB", (40, 30)), "mosaic", settings=Settings((24,), (2,))).size
    (40, 30)
    """
    places = [style] if isinstance(style, str | os.PathLike) else list(style)
    pixels = [style_images.read(os.fspath(place), key="style") for place in places]
    network = open_vgg(features, settings.weights.layers, pooling).to(chosen_device(device))
    try:
        if isinstance(image, Image.Image):
            file = image_files.of_image(image)
        else:
            file = image_files.read(read_file(Path(image).expanduser()))
    except (ImageError, OSError) as error:
        raise UserError(f"cannot be read ({error})", key="image") from error
    result = Stylization(network, file.pixels, pixels, settings).run(observer)
    return image_encoding.to_image(np.rint(result).astype(np.uint8), file, file.form)
