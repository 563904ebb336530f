"""Translation by StarGAN v2: with the style of a latent code, or of a reference image."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.inference.base import Translation, TranslationPath
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("stargan_v2")
class StarGANv2Translation(Translation):
    """One generator for all domains; the style comes from latent codes (B, latent_size) or from reference images."""

    roles = ("generator", "mapping", "style_encoder")
    optional_roles = ("masks",)
    style_inputs = ("code", "reference")

    def __init__(self, networks: Mapping[str, nn.Module], latent_size: int = 16) -> None:
        super().__init__(networks)
        self.latent_size = latent_size
        self._masks = MasksOfLastImages()

    def path(self, style_input: str | None, num_domains: int) -> TranslationPath:
        """Return the way with the styles of codes or of references; the former takes ``psi`` () too."""
        return LatentPath(self, num_domains) if style_input == "code" else super().path(style_input, num_domains)

    def latent_style(self, num_domains: int) -> "LatentStyle":
        """Return the way from codes to styles as a module, for export; its inputs are ``LatentStyle.inputs``."""
        return LatentStyle(self, num_domains)

    @torch.no_grad()
    def __call__(
        self,
        x: Tensor,
        target: Tensor,
        code: Tensor | None = None,
        reference: Tensor | None = None,
        psi: float = 1.0,
        style: Tensor | None = None,
        masks: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return images (B, 3, H, W) translated to domains (B,), not clamped.

        Give one of latent codes (B, L), references (B, 3, H, W) and ``style`` (B, Z), see `styles`; UserError for none
        or several. ``masks`` are those of x, see `masks_of`, where they are known already.
        """
        if style is None:
            style = self.styles(target, code, reference, psi)
        elif code is not None or reference is not None:
            raise UserError(key="style", found=Phrase("a code or reference beside it"), expected="the style alone")
        return self.networks["generator"](x, style, self.masks_of(x) if masks is None else masks)

    @torch.no_grad()
    def styles(
        self, target: Tensor, code: Tensor | None = None, reference: Tensor | None = None, psi: float = 1.0
    ) -> Tensor:
        """Return the styles (B, Z) in domains (B,) of latent codes (B, L) or of references (B, 3, H, W).

        UserError for both or neither. ``psi`` below 1 moves the styles of codes towards the domain's mean style s_mean
        (truncation: s_mean + psi * (s - s_mean)), which trades diversity for quality.
        """
        if (code is None) == (reference is None):
            found = "neither" if code is None else "both"
            raise UserError(key="code, reference", found=Phrase(found), expected="one of them")
        if code is None:
            return self.networks["style_encoder"](reference, target)
        style = self.networks["mapping"](code, target)
        return style if psi == 1.0 else torch.lerp(self.mean_style(target), style, psi)

    @torch.no_grad()
    def again(self, x: Tensor, target: Tensor, **style_inputs: Any) -> Tensor:
        """Return the same as a call. The masks of images that equal those of the call before are not computed anew."""
        if "masks" in self.networks and "masks" not in style_inputs:
            style_inputs["masks"] = self._masks(self.networks["masks"], x)
        return self(x, target, **style_inputs)

    @torch.no_grad()
    def masks_of(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the masks of images for the high-pass skips, without gradients; None if no network has that role."""
        return self.networks["masks"](x) if "masks" in self.networks else None

    @torch.no_grad()
    def mean_style(self, target: Tensor, num_codes: int = 1_000) -> Tensor:
        """Return the mean style (B, Z) of each target domain (B,), over a fixed set of latent codes."""
        draws = torch.Generator().manual_seed(0)
        codes = torch.randn(num_codes, self.latent_size, generator=draws).to(target.device)
        means = {
            int(d): self.networks["mapping"](codes, torch.full((num_codes,), int(d), device=target.device)).mean(0)
            for d in target.unique()
        }
        return torch.stack([means[int(d)] for d in target])


class MasksOfLastImages:
    """The masks of the images of the last call, so that translating them to many domains and styles needs one pass."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, tuple[Tensor, Tensor]] | None = None

    @torch.no_grad()
    def __call__(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the masks of images (B, 3, H, W) by a frozen network, without gradients."""
        if self._last is None or not _equal(self._last[0], x):
            self._last = x.clone(), network(x)
        return self._last[1]


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.device == second.device and first.dtype == second.dtype and torch.equal(first, second)


class LatentStyle(nn.Module):
    """The styles of codes with truncation: the mean style of each domain is read from a table."""

    inputs = ("code", "target", "psi")
    mean_styles: Tensor

    def __init__(self, translation: StarGANv2Translation, num_domains: int) -> None:
        super().__init__()
        self.mapping = translation.networks["mapping"]
        device = next((parameter.device for parameter in self.mapping.parameters()), torch.device("cpu"))
        self.register_buffer("mean_styles", translation.mean_style(torch.arange(num_domains, device=device)))

    def forward(self, code: Tensor, target: Tensor, psi: Tensor) -> Tensor:
        """Return the styles (B, Z) of codes (B, L) in domains (B,); ``psi`` () as in `StarGANv2Translation.styles`."""
        mean = self.mean_styles[target]
        return mean + psi * (self.mapping(code, target) - mean)


class LatentPath(TranslationPath):
    """The way with the styles of codes."""

    def __init__(self, translation: StarGANv2Translation, num_domains: int) -> None:
        super().__init__(translation, ("image", "target", "code", "psi"))
        self.style = LatentStyle(translation, num_domains)

    def forward(self, image: Tensor, target: Tensor, *style_inputs: Tensor) -> Tensor:
        """Return the translations (B, 3, H, W) for codes (B, L) and ``psi`` ()."""
        code, psi = style_inputs
        return self.translation(image, target, style=self.style(code, target, psi)).clamp(-1, 1)
