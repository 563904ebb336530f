"""Translate requests of a page or an HTTP client: typed values in, Pillow images out, no web framework."""

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    """The input as the model sees it, its translation, a name for a file, and the facts that reproduce it."""

    before: Image.Image
    after: Image.Image
    name: str
    facts: dict[str, Any]


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
        target = self._target(request.target)
        source = self.limits.read(request.image, "image")
        style, facts = self._style(request)
        with self._lock:
            x = self._prepared(source)
            y = self._translated(x, target, style)
        before, after = (Image.fromarray(to_pixels(each)[0].numpy()) for each in (x, y))
        return Result(before, after, _name(request), {"target": request.target, **facts})

    def styles(self, image: Path, target: Any, seeds: Any, psi: Any = 1.0) -> list[Image.Image]:
        """Return translations of one image with the style of each seed, equal to those of `translate`."""
        if not isinstance(seeds, Sequence) or isinstance(seeds, str) or not 1 <= len(seeds) <= MAX_STYLES:
            found = Phrase(f"{len(seeds)} seeds" if isinstance(seeds, Sequence) else type(seeds).__name__)
            raise UserError(key="seeds", found=found, expected=f"a list of 1 to {MAX_STYLES} seeds")
        target, psi = self._target(target), _number(psi, "psi", MAX_PSI)
        codes = torch.cat([self._code(_seed(seed, "seeds")) for seed in seeds])
        source = self.limits.read(image, "image")
        with self._lock:
            x = self._prepared(source)
            y = self.translator.translate(x.expand(len(codes), *x.shape[1:]), target, code=codes, psi=psi)
        return [Image.fromarray(pixels.numpy()) for pixels in to_pixels(y)]

    # --- networks --------------------------------------------------------------------------------------------

    def _prepared(self, image: Image.Image) -> Tensor:
        return to_images(image, self.translator.image_size, self.translator.crop)

    def _translated(self, x: Tensor, target: Any, style: "_Style | None") -> Tensor:
        """Return the translation of one image (1, 3, H, W)."""
        if style is None:
            return self.translator.translate(x, target)
        if style.second is None:
            return self.translator.translate(x, target, **style.first)
        translation, device = self.translator.translation, self.translator.device
        domain = torch.tensor([self.translator.domains.index(target)], device=device)
        pair = [
            translation.styles(domain, **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in each.items()})
            for each in (style.first, style.second)
        ]
        blended = torch.lerp(pair[0], pair[1], style.blend)
        return translation(x.to(device), domain, style=blended).float().clamp(-1, 1)

    def _targets(self) -> list[str]:
        """Return the domains to which the networks can translate; UserError if there is none."""
        size = self.translator.image_size
        grey = torch.zeros(1, 3, size, size)
        if takes_labels(self.translator):
            return []
        style: dict[str, Any] = {"reference": grey} if self.translator.style_inputs == ("reference",) else {}
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

    # --- inputs ----------------------------------------------------------------------------------------------

    def _target(self, value: Any) -> Any:
        """Return a target as the translator takes it; UserError if the model does not know it."""
        controls = self.controls
        if not controls.label_groups:
            if value not in controls.domains:
                raise UserError("unknown domain", key="target", found=value, known=controls.domains)
            return value
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
            return {name: name in names for name in group.names}
        if len(names) != 1:
            raise UserError(key="target", found=names, expected=f"one of {', '.join(group.names)}")
        return names[0]

    def _style(self, request: Request) -> "tuple[_Style | None, dict[str, Any]]":
        """Return the style of a request, and the facts that reproduce it."""
        if not self.controls.has_style:
            return None, {}
        first, facts = self._style_input(request.seed, request.reference, request.psi, "")
        blend = _number(request.blend, "blend", 1)
        if not blend or not self.controls.blend:
            return _Style(first), facts
        second, more = self._style_input(request.second_seed, request.second_reference, request.psi, "second_")
        return _Style(first, second, blend), facts | more | {"blend": blend}

    def _style_input(
        self, seed: Any, reference: Path | None, psi: Any, prefix: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the keywords of the translator for one style, and the facts that reproduce it."""
        if reference is not None and self.controls.reference:
            image = self._prepared(self.limits.read(reference, f"{prefix}reference"))
            return {"reference": image}, {f"{prefix}reference": reference.name}
        if not self.controls.code:
            raise UserError("this model needs a reference image", key=f"{prefix}reference", fix="upload one")
        seed, psi = _seed(seed, f"{prefix}seed"), _number(psi, "psi", MAX_PSI)
        return {"code": self._code(seed), "psi": psi}, {f"{prefix}seed": seed, "psi": psi}

    def _code(self, seed: int) -> Tensor:
        """Return the code (1, L) that the translator draws for one image from a seed."""
        return torch.from_numpy(draw_codes(seed, 1, self.translator.translation.latent_size))


@dataclass(frozen=True)
class _Style:
    """Keywords of the translator for a style, and for a second one to blend with."""

    first: dict[str, Any]
    second: dict[str, Any] | None = None
    blend: float = 0.0


def _seed(value: Any, key: str) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise UserError(key=key, found=value, expected=f"a whole number from 0 to {MAX_SEED}")
    return int(value)


def _number(value: Any, key: str, maximum: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise UserError(key=key, found=value, expected=f"a number from 0 to {maximum:g}")
    return float(value)


def _name(request: Request) -> str:
    """Return the name of the result: that of the upload, and the target."""
    target = [request.target] if isinstance(request.target, str) else request.target
    words = [re.sub(r"[^\w.-]+", "_", word) for word in (request.image.stem, "to", *target)]
    return "_".join(words)[:100]
