"""Load a trained model and translate images with it; neither Lightning nor Hydra is imported."""

import os
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from translate.data.images import CROPS, Crop
from translate.errors import UserError
from translate.inference import targets
from translate.inference.base import Translation, translation_of
from translate.inference.images import to_images
from translate.registry import plugins
from translate.registry.registry import MODELS, TRANSLATIONS
from translate.weights import format
from translate.weights.format import Weights
from translate.weights.load import weights_of


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> "Translator":
    """Load a trained model from a file of weights, a run folder (its newest checkpoint), or the Hugging Face Hub.

    On the Hub it is ``hf://owner/name``, with ``@REVISION`` behind it for one that is not the newest, and ``/FILE``
    where the file is not model.safetensors. Raises UserError for what is not there, is damaged, or is no weights.
    """
    return Translator(weights_of(path), device)


class Translator:
    """A trained model that translates images. `load` makes one.

    ``about`` tells what the file says of it (model, domains, configuration, metrics, licence), without the tensors.
    """

    def __init__(self, weights: Weights, device: str | torch.device = "cpu") -> None:
        """Build the networks; UserError for a model that is not known here, or weights that do not fit."""
        self.about = replace(weights, tensors={})
        try:
            self.translation = _translation(weights)
        except UserError as error:
            made_with = [str(name) for name in (weights.config or {}).get("plugins") or []]
            lacking = [name for name in made_with if name not in plugins.packages()]
            if not lacking:
                raise
            raise UserError(
                f"{error}. The weights were made with the plug-ins {', '.join(lacking)}, which do not take part here: "
                f"translate.registry.plugins.activate({lacking})"
            ) from error
        self.device = torch.device(device)
        self.to(device)

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains."""
        return self.about.domains

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the labels of all data sets, for a model that is guided by labels."""
        return tuple(name for each in self.about.label_sets for name in each["names"])

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return what guides a translation beside the target: of "code" and "reference"."""
        return self.translation.style_inputs

    @property
    def image_size(self) -> int:
        """Return the height and width of images, in pixels, that the networks were trained on."""
        return self.about.image_size

    def to(self, device: str | torch.device) -> "Translator":
        """Move the networks to a device; returns the same object."""
        self.device = torch.device(device)
        for network in self.translation.networks.values():
            network.to(self.device)
        return self

    @torch.no_grad()
    def translate(
        self,
        images: Any,
        target: Any,
        *,
        code: Tensor | None = None,
        seed: int | None = None,
        reference: Any = None,
        psi: float | None = None,
        batch_size: int = 16,
    ) -> Tensor:
        """Return images translated to ``target``: float (B, 3, H, W) in [-1, 1], on the translator's device.

        ``images`` and ``reference`` are a float tensor (B, 3, H, W) in [-1, 1], or 8-bit pixels, Pillow images or paths
        that are brought to the model's size (see `translate.inference.images.to_images`). ``target`` is a domain's
        name or number, or one for each image; for a model of labels see `translate.inference.targets.labels`.

        A model guided by codes takes one of ``code`` (B, L) or (L,), ``seed``, which draws a code for each image, and
        ``reference``, one image or one for each; without any, the seed is 0. ``psi`` below 1 draws code-guided styles
        towards the domain's mean. Images are translated ``batch_size`` at a time.
        """
        x = to_images(images, self.image_size, self.crop)
        count = len(x)
        goal = self._target(target, count)
        guide = self._guide(count, code, seed, reference)
        settings = {} if psi is None else {"psi": self._psi(psi, guide)}
        parts = []
        for rows in torch.arange(count).split(batch_size):
            chosen = {name: value[rows].to(self.device) for name, value in guide.items()}
            found = self._apply(x[rows].to(self.device), goal[rows].to(self.device), **chosen, **settings)
            parts.append(found.float().clamp(-1, 1))
        return torch.cat(parts) if parts else x.to(self.device)

    def _apply(self, x: Tensor, target: Tensor, **guide: Any) -> Tensor:
        """Translate one batch; UserError for images that the networks cannot take."""
        try:
            return self.translation(x, target, **guide)
        except ValueError as error:  # how a translation says what it does not do
            raise UserError(str(error)) from error
        except RuntimeError as error:
            trained = (self.image_size, self.image_size)
            sides = [tuple(t.shape[2:]) for t in (x, *guide.values()) if isinstance(t, Tensor) and t.ndim == 4]
            odd = [side for side in sides if side != trained]
            if not odd:
                raise
            raise UserError(
                f"images: {odd[0][0]} x {odd[0][1]} pixels do not pass through these networks, which were trained at "
                f"{trained[0]} x {trained[1]}"
            ) from error

    @property
    def crop(self) -> Crop:
        """Return how pictures that are not square become so: as in training, "square" where that is not known."""
        crop = self.about.data.get("crop")
        known = crop in CROPS or (isinstance(crop, int) and crop > 0)
        return cast(Crop, crop) if known else "square"

    def _target(self, target: Any, count: int) -> Tensor:
        if MODELS.facts(self.about.model)["batch"] == "labelled":
            return targets.labels(target, count, self.about.label_sets)
        return targets.domains(target, count, self.domains)

    def _guide(self, count: int, code: Tensor | None, seed: int | None, reference: Any) -> dict[str, Tensor]:
        """Return what guides each image, by keyword: codes (count, L), or references (count, 3, S, S)."""
        given = [name for name, v in (("code", code), ("seed", seed), ("reference", reference)) if v is not None]
        for name in given:
            if ("code" if name == "seed" else name) not in self.style_inputs:
                raise UserError(f"translate: {self.about.model} is not guided by {name}, by the target alone")
        if len(given) > 1:
            raise UserError(f"translate: found {' and '.join(given)}, expected one of them")
        if reference is not None:
            images = to_images(reference, self.image_size, self.crop)
            return {"reference": _for_each(images, count, "references", "images")}
        if "code" not in self.style_inputs:
            return {}
        length = self.translation.latent_size
        if code is None:
            draws = torch.Generator().manual_seed(seed or 0)
            return {"code": torch.randn(count, length, generator=draws)}
        codes = code[None] if code.ndim == 1 else code
        if codes.ndim != 2 or codes.shape[1] != length:
            raise UserError(f"code: found shape {tuple(code.shape)}, expected (B, {length})")
        return {"code": _for_each(codes.float(), count, "codes", "images")}

    def _psi(self, psi: float, guide: dict[str, Tensor]) -> float:
        if "code" not in guide:
            raise UserError("psi: it draws code-guided styles towards the mean; there is no code here")
        return float(psi)


def _for_each(given: Tensor, count: int, what: str, of: str) -> Tensor:
    if len(given) not in (1, count):
        raise UserError(f"translate: found {len(given)} {what} for {count} {of}, expected one, or one for each")
    return given.expand(count, *given.shape[1:])


def _translation(weights: Weights) -> Translation:
    """Return the translation of the weights' model, with its networks."""
    if weights.model not in TRANSLATIONS.index():
        known = ", ".join(TRANSLATIONS.names())
        raise UserError(f"no translation is registered for the model {weights.model!r}, only for {known}")
    takes = {parameter.name for parameter in TRANSLATIONS.entry(weights.model).parameters}
    arguments = {key: value for key, value in weights.arguments.items() if key in takes}
    cls = translation_of(weights.model)
    return cls(format.networks_of(weights, (*cls.roles, *cls.optional_roles)), **arguments)
