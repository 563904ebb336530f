"""Load a trained model and translate images with it; neither Lightning nor Hydra is imported."""

import os
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from translate.data.images import CROPS, Crop
from translate.errors import Phrase, UserError, first_line
from translate.inference.base import Translation, translation_of
from translate.inference.codes import draw_codes
from translate.inference.images import to_images
from translate.inference.targets import domains, labels
from translate.registry import plugins
from translate.registry.registry import MODELS, TRANSLATIONS
from translate.runs.folder import LAST
from translate.weights import format
from translate.weights.format import Weights
from translate.weights.load import weights_of


def load(
    path: str | os.PathLike[str], device: str | torch.device = "cpu", checkpoint: str | int = LAST
) -> "Translator":
    """Load a trained model from a weights file, a ``checkpoint`` of a run folder, or the Hugging Face Hub.

    An address on the Hub is ``hf://owner/name``; ``@REVISION`` and ``/FILE`` follow where they are not the newest and
    model.safetensors. UserError for a missing or damaged file, and for a file that holds no weights.
    """
    return Translator(weights_of(path, checkpoint), device)


def chosen_device(device: str | torch.device) -> torch.device:
    """Return a device by name; "auto" is a GPU if there is one. UserError for a device that cannot be used here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise UserError(f"this device cannot be used here ({reason})", key="device", found=str(device)) from error
    return chosen


class Translator:
    """A trained model that translates images. `load` creates one.

    ``about`` is the header of the file (model, domains, configuration, scores, licence), without the tensors.
    """

    def __init__(self, weights: Weights, device: str | torch.device = "cpu") -> None:
        """Build the networks; UserError for an unknown model, and for weights that do not fit."""
        self.about = replace(weights, tensors={})
        try:
            self.translation = _translation(weights)
        except UserError as error:
            used = [str(name) for name in (weights.config or {}).get("plugins") or []]
            inactive = [name for name in used if name not in plugins.packages()]
            if not inactive:
                raise
            fix = f"activate the plug-ins of the training run: translate.registry.plugins.activate({inactive})"
            raise UserError.of(replace(error.problem, fix=fix)) from error
        self.to(device)

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains."""
        return self.about.domains

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the labels of all data sets, for a model with labels as targets."""
        return tuple(name for each in self.about.label_sets for name in each["names"])

    @property
    def takes_labels(self) -> bool:
        """Return whether targets are labels, as of StarGAN v1, and not domains."""
        return MODELS.facts(self.about.model)["batch"] == "labelled"

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the inputs that determine the style, of "code" and "reference"."""
        return self.translation.style_inputs

    @property
    def image_size(self) -> int:
        """Return the height and width of the training images, in pixels."""
        return self.about.image_size

    def to(self, device: str | torch.device) -> "Translator":
        """Move the networks to a device; return the same object."""
        self.device = chosen_device(device)
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
        style: Tensor | None = None,
        psi: float | None = None,
        batch_size: int = 16,
    ) -> Tensor:
        """Return images translated to ``target``: float (B, 3, H, W) in [-1, 1], on the translator's device.

        ``images`` and ``reference`` are a float tensor (B, 3, H, W) in [-1, 1], or 8-bit pixels, Pillow images or paths
        that are resized to the model's size (see `translate.inference.images.to_images`). ``target`` is a domain's
        name or number, or one for each image; for labels see `translate.inference.targets.labels`.

        A model with style inputs takes one of ``code`` (B, L) or (L,), ``seed``, which draws a code for each image, and
        ``reference``, one image or one for each, and ``style``, (B, Z) or (Z,), see `styles`; without any, the seed is
        0. ``psi`` below 1 moves the styles of codes
        towards the domain's mean style. ``batch_size`` images are translated at once.
        """
        x = to_images(images, self.image_size, self.crop)
        count = len(x)
        targets = self.targets(target, count)
        chosen_style = self._style_inputs(count, code, seed, reference, style)
        settings = {} if psi is None else {"psi": _checked_psi(psi, chosen_style)}
        translations = []
        for rows in torch.arange(count).split(batch_size):
            chosen = {name: value[rows].to(self.device) for name, value in chosen_style.items()}
            batch = self.translate_batch(x[rows].to(self.device), targets[rows].to(self.device), **chosen, **settings)
            translations.append(batch.float().clamp(-1, 1))
        return torch.cat(translations) if translations else x.to(self.device)

    @torch.no_grad()
    def styles(
        self,
        target: Any,
        *,
        code: Tensor | None = None,
        seed: int | None = None,
        reference: Any = None,
        psi: float | None = None,
        count: int = 1,
    ) -> Tensor:
        """Return styles (B, Z) in ``target``, a domain or one for each style: of codes, of a seed, or of references.

        The arguments are those of `translate`. B is the number of codes or references, or ``count`` with a seed.
        """
        if reference is not None:
            reference = to_images(reference, self.image_size, self.crop, "reference")
            count = len(reference)
        elif code is not None:
            count = 1 if code.ndim == 1 else len(code)
        inputs = self._style_inputs(count, code, seed, reference, None)
        settings = {} if psi is None else {"psi": _checked_psi(psi, inputs)}
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        return self.translation.styles(self.targets(target, count).to(self.device), **moved, **settings)

    def translate_batch(self, x: Tensor, target: Tensor, **style: Any) -> Tensor:
        """Translate one batch; UserError for images of a size that the networks cannot process."""
        try:
            return self.translation(x, target, **style)
        except RuntimeError as error:
            size = (self.image_size, self.image_size)
            sizes = [tuple(t.shape[2:]) for t in (x, *style.values()) if isinstance(t, Tensor) and t.ndim == 4]
            other = [each for each in sizes if each != size]
            if not other:
                raise
            raise UserError(
                "the networks cannot process images of this size",
                key="images",
                found=Phrase(f"{other[0][0]} x {other[0][1]} pixels"),
                expected=f"{size[0]} x {size[1]}, the size of training",
            ) from error

    @property
    def crop(self) -> Crop:
        """Return how images become squares: as in training, or "square" if that is unknown."""
        crop = self.about.data.get("crop")
        known = crop in CROPS or (isinstance(crop, int) and crop > 0)
        return cast(Crop, crop) if known else "square"

    def targets(self, target: Any, count: int = 1) -> Tensor:
        """Return the target of ``count`` images as networks take it: domains (B,) int64, or labels (B, K) float32."""
        target = target.detach().cpu() if isinstance(target, Tensor) else target
        if self.takes_labels:
            return torch.from_numpy(labels(target, count, self.about.label_sets))
        return torch.from_numpy(domains(target, count, self.domains))

    def _style_inputs(
        self, count: int, code: Tensor | None, seed: int | None, reference: Any, style: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the style input of each image, by keyword: codes (count, L), references (count, 3, H, W) or styles."""
        given = (("code", code), ("seed", seed), ("reference", reference), ("style", style))
        names = [name for name, value in given if value is not None]
        for name in names:
            if ("code" if name in ("seed", "style") else name) not in self.style_inputs:
                known = ", ".join(self.style_inputs) or "no style input, the target alone"
                raise UserError(f"{self.about.model} does not take this argument", key=name, expected=known)
        if len(names) > 1:
            raise UserError(key="translate", found=Phrase(" and ".join(names)), expected="one of them")
        if style is not None:
            return {"style": _for_each(style[None] if style.ndim == 1 else style, count, "style", "styles")}
        if reference is not None:
            images = to_images(reference, self.image_size, self.crop, "reference")
            return {"reference": _for_each(images, count, "reference", "references")}
        if "code" not in self.style_inputs:
            return {}
        length = self.translation.latent_size
        if code is None:
            return {"code": torch.from_numpy(draw_codes(seed or 0, count, length))}
        codes = code[None] if code.ndim == 1 else code
        if codes.ndim != 2 or codes.shape[1] != length:
            raise UserError(key="code", found=Phrase(f"shape {tuple(code.shape)}"), expected=f"(B, {length})")
        return {"code": _for_each(codes.float(), count, "code", "codes")}


def _checked_psi(psi: float, style: dict[str, Tensor]) -> float:
    if "code" not in style:
        raise UserError("it moves the styles of codes towards the mean style", key="psi", expected="a code or a seed")
    return float(psi)


def _for_each(values: Tensor, count: int, key: str, plural: str) -> Tensor:
    if len(values) not in (1, count):
        found = Phrase(f"{len(values)} {plural} for {count} images")
        raise UserError(key=key, found=found, expected="one, or one for each image")
    return values.expand(count, *values.shape[1:])


def _translation(weights: Weights) -> Translation:
    """Return the translation of the weights' model, with its networks."""
    if weights.model not in TRANSLATIONS.index():
        raise UserError("no translation is registered for the model", found=weights.model, known=TRANSLATIONS.names())
    parameters = {parameter.name for parameter in TRANSLATIONS.entry(weights.model).parameters}
    arguments = {key: value for key, value in weights.arguments.items() if key in parameters}
    cls = translation_of(weights.model)
    return cls(format.networks_of(weights, (*cls.roles, *cls.optional_roles)), **arguments)
