"""Translate requests of a page or an HTTP client: typed values in, Pillow images out, no web framework."""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.inference.codes import draw_codes
from translate.inference.images import to_images, to_pixels
from translate.inference.translator import Translator
from translate.serving.controls import Controls, controls_of, takes_labels
from translate.serving.limits import Limits

MAX_SEED = 2**31 - 1
MAX_PSI = 2.0
MAX_STYLES = 32
"""Styles in one request."""


@dataclass(frozen=True)
class Request:
    """What one translation needs: the image, its target, and the style.

    ``target`` is a domain, the name of a class, or truth values of attributes by name. ``reference`` has precedence
    over ``seed``.
    """

    image: Path
    target: Any
    seed: int = 0
    reference: Path | None = None
    psi: float = 1.0


@dataclass(frozen=True)
class Result:
    """The input as the model saw it, its translation of the same size, and the facts that reproduce it."""

    before: Image.Image
    after: Image.Image
    name: str  # for a file, without a suffix
    facts: dict[str, Any] = field(default_factory=dict)


class Service:
    """Translates the requests of many users with one model.

    A request is a function of its own values: nothing is kept between two of them. The networks run for one request at
    a time, since a translation occupies every core.
    """

    def __init__(self, translator: Translator, limits: Limits) -> None:
        """Translate a grey image to every domain, so that weights which cannot translate are noticed here."""
        self.translator = translator
        self.limits = limits
        self._lock = threading.Lock()
        self.controls: Controls = controls_of(translator, self._targets())

    def about(self) -> dict[str, Any]:
        """Return the facts that a client needs: the model, its inputs, and the limits."""
        controls = self.controls
        return {
            "model": self.translator.about.model,
            "image_size": self.translator.image_size,
            "targets": list(controls.domains),
            "labels": [{"names": list(g.names), "attributes": g.attributes} for g in controls.label_groups],
            "style_inputs": list(self.translator.style_inputs),
            **asdict(self.limits),
        }

    def translate(self, request: Request) -> Result:
        """Return a translation; UserError for a file, a target or a number that is refused."""
        target = self.target_of(request.target)
        source = self.limits.read(request.image, "image")
        style = self._style(request)
        with self._lock:
            x = to_images(source, self.translator.image_size, self.translator.crop)
            y = self.translator.translate(x, target, **style)
        before, after = (Image.fromarray(to_pixels(each)[0].numpy()) for each in (x, y))
        shown = {key: value for key, value in style.items() if key in ("seed", "psi")}
        return Result(before, after, _name(request), {"target": request.target, **shown})

    def styles(self, image: Path, target: Any, seeds: Sequence[int], psi: float = 1.0) -> list[Image.Image]:
        """Return translations of one image with the style of each seed, equal to those of `translate`."""
        if not isinstance(seeds, list | range) or not 1 <= len(seeds) <= MAX_STYLES:
            raise UserError(
                key="seeds", found=Phrase(type(seeds).__name__), expected=f"a list of 1 to {MAX_STYLES} seeds"
            )
        target = self.target_of(target)
        codes = torch.cat([self._code(_seed(seed)) for seed in seeds])
        source = self.limits.read(image, "image")
        with self._lock:
            x = to_images(source, self.translator.image_size, self.translator.crop)
            x = x.expand(len(codes), *x.shape[1:])
            y = self.translator.translate(x, target, code=codes, psi=_psi(psi))
        return [Image.fromarray(pixels.numpy()) for pixels in to_pixels(y)]

    def target_of(self, value: Any) -> Any:
        """Return a target as the translator takes it; UserError if the model does not know it."""
        controls = self.controls
        if not controls.label_groups:
            if value not in controls.domains:
                raise UserError("unknown domain", key="target", found=value, known=controls.domains)
            return value
        names = [value] if isinstance(value, str) else list(value) if isinstance(value, list | dict) else [None]
        if not all(isinstance(name, str) for name in names):
            raise UserError(key="target", found=value, expected="a list of labels")
        group = next((g for g in controls.label_groups if set(names) <= set(g.names)), None)
        if group is None:
            known = [name for g in controls.label_groups for name in g.names]
            unknown = [name for name in names if name not in known]
            if unknown:
                raise UserError("unknown label", key="target", found=unknown[0], known=known)
            raise UserError(key="target", found=names, expected="labels of one data set")
        if group.attributes:
            return value if isinstance(value, Mapping) else {name: name in names for name in group.names}
        if len(names) != 1:
            raise UserError(key="target", found=names, expected=f"one of {', '.join(group.names)}")
        return names[0]

    def _style(self, request: Request) -> dict[str, Any]:
        """Return the keywords of the translator for the style of a request."""
        controls = self.controls
        if request.reference is not None and controls.reference:
            image = self.limits.read(request.reference, "reference")
            size, crop = self.translator.image_size, self.translator.crop
            return {"reference": to_images(image, size, crop, "reference")}
        if not controls.has_style:
            return {}
        if not controls.code:
            raise UserError("this model needs a reference image", key="reference", fix="upload one")
        return {"seed": _seed(request.seed), "psi": _psi(request.psi)}

    def _code(self, seed: int) -> Tensor:
        """Return the code (1, L) that the translator draws for one image from a seed."""
        return torch.from_numpy(draw_codes(seed, 1, self.translator.translation.latent_size))

    def _targets(self) -> list[str]:
        """Return the domains to which the networks can translate; UserError if there is none."""
        size = self.translator.image_size
        grey = torch.zeros(1, 3, size, size)
        if takes_labels(self.translator):
            return []
        style = {"reference": grey} if self.translator.style_inputs == ("reference",) else {}
        targets, errors = [], []
        for domain in self.translator.domains:
            try:
                self.translator.translate(grey, domain, **style)
            except UserError as error:
                errors.append(error)
            else:
                targets.append(domain)
        if not targets and errors:
            raise errors[0]
        return targets


def _seed(value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise UserError(key="seed", found=value, expected=f"a whole number from 0 to {MAX_SEED}")
    return int(value)


def _psi(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_PSI:
        raise UserError(key="psi", found=value, expected=f"a number from 0 to {MAX_PSI:g}")
    return float(value)


def _name(request: Request) -> str:
    """Return the name of the result: that of the upload, and the target."""
    target = request.target if isinstance(request.target, str) else "_".join(request.target)
    words = [re.sub(r"[^\w.-]+", "_", word) for word in (request.image.stem, "to", target) if word]
    return "_".join(words)[:100]
