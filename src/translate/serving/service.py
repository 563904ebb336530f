"""Translate requests of a page or an HTTP client: typed values in, image files out, no web framework."""

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from translate.data.images import ImageError
from translate.errors import Phrase, UserError
from translate.inference import image_encoding, image_files, image_forms, original, tiling
from translate.inference.codes import draw_codes
from translate.inference.engine import Engine
from translate.inference.image_files import ImageFile
from translate.inference.targets import domains, labels, routes
from translate.inference.variants import needs_source
from translate.serving.controls import Controls, controls_of
from translate.serving.limits import Limits

MAX_SEED = 2**31 - 1
MAX_PSI = 2.0
MAX_STYLES = 32
"""Styles in one request."""

PREVIEW, THUMBNAIL = 1024, 256
"""The longer side of an image on the page, and of one in the strip, in pixels."""

SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}
"""Of files by format, where the suffix is not the format in small letters."""


@dataclass(frozen=True)
class Request:
    """The inputs of one translation.

    ``target`` is a domain, or a list of labels: the attributes that are true, or one class. A style is that of a
    reference image if there is one, else that of a seed. ``blend`` moves from the style to the second style: 0 is the
    first, 1 the second.
    """

    image: Path
    target: Any
    seed: Any = 0
    psi: Any = 1.0
    reference: Path | None = None
    second_seed: Any = 0
    second_reference: Path | None = None
    blend: Any = 0.0


@dataclass(frozen=True)
class Result:
    """A translation: its file in the form of the upload, previews of both, and the facts that reproduce it."""

    content: bytes
    name: str
    before: Image.Image
    after: Image.Image
    facts: dict[str, Any]


class Service:
    """Translates the requests of many users with one model.

    A request is a function of its own values: nothing is kept between two of them. The networks run for one request at
    a time, since a translation occupies every core.
    """

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self.engine = engine
        self.limits = limits
        self.controls: Controls = controls_of(engine)
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Return the facts that a client needs: the model, its inputs, and the limits."""
        controls = self.controls
        return {
            "model": self.engine.model,
            "weights_sha256": self.engine.digest,
            "image_size": self.engine.image_size.plain,
            "scale": self.engine.scale,
            "targets": list(controls.domains),
            "labels": [{"names": list(g.names), "attributes": g.attributes} for g in controls.label_groups],
            "style_inputs": list(self.engine.style_inputs),
            **asdict(self.limits),
        }

    def translate(self, request: Request) -> Result:
        """Return a translation; UserError for a file, a target or a number that is refused."""
        target = self._target(request.target)
        style_inputs = self._style_inputs(request)
        file = self.limits.read(request.image, "image")
        self._require_size(file)
        try:
            form, losses = image_forms.fitted(file.form)
        except ImageError as error:
            raise UserError(f"this file {error.reason}", key="image") from error
        with self._lock:
            style = self._style(style_inputs, target)
            pixels = original.at_size(self.engine, file.pixels, target, style, form.bits > 8)
        facts = {"target": request.target, **style_inputs.facts, "weights_sha256": self.engine.digest}
        return Result(
            image_encoding.encode(pixels, image_files.enlarged(file, self.engine.scale), form),
            _name(request) + SUFFIXES.get(form.format, f".{form.format.lower()}"),
            _preview(file.pixels, PREVIEW),
            _preview(pixels, PREVIEW),
            facts | {"notes": [*file.notes, *losses]},
        )

    def styles(self, image: Path, target: Any, seeds: Any, psi: Any = 1.0) -> list[Image.Image]:
        """Return small translations of one image with the style of each seed."""
        if not isinstance(seeds, Sequence) or isinstance(seeds, str) or not 1 <= len(seeds) <= MAX_STYLES:
            found = Phrase(f"{len(seeds)} seeds" if isinstance(seeds, Sequence) else type(seeds).__name__)
            raise UserError(key="seeds", found=found, expected=f"a list of 1 to {MAX_STYLES} seeds")
        target = self._target(target)
        inputs = [self._style_input(seed, None, psi, "") for seed in seeds]
        file = self.limits.read(image, "image")
        height, width = file.size
        scale = min(1, THUMBNAIL / max(height, width))
        x = tiling.to_input(tiling.reduced(file.pixels, self.engine.image_size))
        result = []
        for keywords, _ in inputs:
            with self._lock:
                y = self.engine.translate(x[None], target, self.engine.styles(target, **keywords))[0]
            pixels = tiling.enlarged(tiling.to_pixels(y, deep=True), *(max(1, round(s * scale)) for s in file.size))
            result.append(_preview(pixels, THUMBNAIL))
        return result

    # --- networks --------------------------------------------------------------------------------------------

    def _style(self, inputs: "_StyleInputs", target: np.ndarray) -> np.ndarray | None:
        """Return the style (1, ...) of a request; None for a model without styles."""
        if inputs.first is None:
            return None
        first = self.engine.styles(target, **inputs.first)
        if inputs.second is None:
            return first
        second = self.engine.styles(target, **inputs.second)
        return first + np.float32(inputs.blend) * (second - first)

    def _require_size(self, file: ImageFile) -> None:
        """Raise UserError for an image whose translation is larger than an image may be."""
        height, width, scale = *file.pixels.shape[:2], self.engine.scale
        most = self.limits.max_pixels // scale**2
        if height * width > most:
            found = Phrase(f"{width} x {height} pixels, to be enlarged {scale} times")
            raise UserError(key="image", found=found, expected=f"at most {most:,} pixels")

    # --- inputs ----------------------------------------------------------------------------------------------

    def _target(self, value: Any) -> np.ndarray:
        """Return a target as the engine takes it; UserError if the model does not know it."""
        controls = self.controls
        if not controls.label_groups:
            if value not in controls.domains:
                raise UserError("unknown domain", key="target", found=value, known=controls.domains)
            if needs_source(self.engine):
                source, target = controls.routes.get(value, (None, value))
                return routes(target, source, 1, self.engine.domains)
            return domains(value, 1, self.engine.domains)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(key="target", found=value, expected="a list of labels")
        known = [name for group in controls.label_groups for name in group.names]
        for name in names:
            if name not in known:
                raise UserError("unknown label", key="target", found=name, known=known)
        group = next((each for each in controls.label_groups if set(names) <= set(each.names)), None)
        if group is None:
            raise UserError(key="target", found=names, expected="labels of one data set")
        if group.attributes:
            return labels({name: name in names for name in group.names}, 1, self.engine.label_sets)
        if len(names) != 1:
            raise UserError(key="target", found=names, expected=f"one of {', '.join(group.names)}")
        return labels(names[0], 1, self.engine.label_sets)

    def _style_inputs(self, request: Request) -> "_StyleInputs":
        """Return the styles of a request, and the facts that reproduce them."""
        if not self.controls.has_style:
            return _StyleInputs()
        first, facts = self._style_input(request.seed, request.reference, request.psi, "")
        blend = _number(request.blend, "blend", 1)
        if not blend or not self.controls.blend:
            return _StyleInputs(first, facts=facts)
        second, more = self._style_input(request.second_seed, request.second_reference, request.psi, "second_")
        return _StyleInputs(first, second, blend, facts | more | {"blend": blend})

    def _style_input(
        self, seed: Any, reference: Path | None, psi: Any, prefix: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the keywords of the engine for one style, and the facts that reproduce it."""
        if reference is not None and self.controls.reference:
            pixels = self.limits.read_reference(
                reference, f"{prefix}reference", self.engine.image_size, self.engine.crop
            )
            return {"reference": tiling.to_input(pixels)[None]}, {f"{prefix}reference": reference.name}
        if not self.controls.code:
            key = f"{prefix}{'reference' if self.controls.reference else 'seed'}"
            raise UserError("this model takes no random style", key=key, fix="upload a reference image")
        seed, psi = _seed(seed, f"{prefix}seed"), _number(psi, "psi", MAX_PSI)
        code = draw_codes(seed, 1, self.engine.latent_size)
        return {"code": code, "psi": psi}, {f"{prefix}seed": seed, "psi": psi}


@dataclass(frozen=True)
class _StyleInputs:
    """Keywords of the engine for a style, and for a second one to blend with; none for a model without styles."""

    first: dict[str, Any] | None = None
    second: dict[str, Any] | None = None
    blend: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


def _seed(value: Any, key: str) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise UserError(key=key, found=value, expected=f"a whole number from 0 to {MAX_SEED}")
    return int(value)


def _number(value: Any, key: str, maximum: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise UserError(key=key, found=value, expected=f"a number from 0 to {maximum:g}")
    return float(value)


def _preview(pixels: np.ndarray, side: int) -> Image.Image:
    """Return 8-bit pixels, or float32 from 0 to 255, as an image whose longer side has at most ``side`` pixels."""
    eight = pixels if pixels.dtype == np.uint8 else np.rint(pixels.clip(0, 255)).astype(np.uint8)
    image = Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return image


def _name(request: Request) -> str:
    """Return the name of the result: that of the upload, and the target."""
    target = [request.target] if isinstance(request.target, str) else request.target
    words = [re.sub(r"[^\w.-]+", "_", word) for word in (request.image.stem, "to", *target)]
    return "_".join(words)[:100]
