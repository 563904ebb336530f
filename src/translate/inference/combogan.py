"""Translation by ComboGAN: the encoder of the source's domain, then the decoder of the target's."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.inference.base import Translation, TranslationPath
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("combogan", needs_source=True)
class ComboGANTranslation(Translation):
    """An encoder and a decoder for each domain, and the blocks that all domains share, if there are any.

    A target is a route (B, 2): the domain of each image and the domain to translate it to. The code of an image does
    not depend on the target, so an image is encoded once and decoded for many domains.
    """

    roles = ("encoder", "decoder")
    optional_roles = ("encoder_shared", "decoder_shared")

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__(networks)
        self.count = len(list(networks["decoder"].children()))
        shared = [networks.get(role) for role in self.optional_roles]
        self.coders: dict[str, nn.Module] = {}
        for domain in range(self.count):
            encoder, decoder = (networks[role].get_submodule(str(domain)) for role in self.roles)
            self.coders[f"encoder.{domain}"] = WholeEncoder(encoder, shared[0], domain)
            self.coders[f"decoder.{domain}"] = WholeDecoder(decoder, shared[1], domain)
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # images, their domains, their codes

    def encode(self, x: Tensor, domain: int) -> Tensor:
        """Return codes (B, C, s, s) of images (B, 3, H, W) of a domain."""
        code: Tensor = self.coders[f"encoder.{domain}"](x)
        return code

    def decode(self, code: Tensor, domain: int) -> Tensor:
        """Return images (B, 3, H, W) in a domain of codes (B, C, s, s)."""
        images: Tensor = self.coders[f"decoder.{domain}"](code)
        return images

    @torch.no_grad()
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated along routes (B, 2) of domains, source and target."""
        self._check(target)
        return self._decoded(self._encoded(x, target[:, 0]), target[:, 1]).to(x.dtype)

    @torch.no_grad()
    def again(self, x: Tensor, target: Tensor, **style_inputs: Tensor) -> Tensor:
        """Return the same as a call; images that are equal, in a row or to those of the call before, have one code."""
        self._check(target)
        source = target[:, 0]
        new = torch.ones(len(x), dtype=torch.bool, device=x.device)
        new[1:] = (x[1:] != x[:-1]).flatten(1).any(1) | (source[1:] != source[:-1])
        images, domains = x[new], source[new]
        if self._last is None or not _equal(self._last[0], images) or not _equal(self._last[1], domains):
            self._last = images.clone(), domains.clone(), self._encoded(images, domains)
        codes = self._last[2][new.cumsum(0) - 1]
        return self._decoded(codes, target[:, 1]).to(x.dtype)

    @torch.no_grad()
    def to_every_domain(self, x: Tensor, domain: int) -> Tensor:
        """Return images (B, 3, H, W) of one domain in every domain, (n, B, 3, H, W); each is encoded once."""
        code = self.encode(x, domain)
        return torch.stack([self.decode(code, target) for target in range(self.count)]).to(x.dtype)

    def _encoded(self, x: Tensor, source: Tensor) -> Tensor:
        return _by_domain(x, source, self.encode)

    def _decoded(self, codes: Tensor, target: Tensor) -> Tensor:
        return _by_domain(codes, target, self.decode)

    def _check(self, target: Tensor) -> None:
        if target.ndim != 2 or target.shape[1] != 2:
            raise UserError(
                key="target",
                found=Phrase(f"shape {tuple(target.shape)}"),
                expected="two domains for each image, its own and the target",
            )

    def parts(self) -> dict[str, nn.Module]:
        """Return the whole encoder and decoder of each domain, such as "encoder.2", with the shared blocks."""
        return self.coders

    def example_target(self, role: str) -> tuple[int, int]:
        """Return a route on which a translation uses the network of one domain, such as "encoder.2"."""
        owner, _, number = role.partition(".")
        domain = int(number)
        other = (domain + 1) % self.count
        return (other, domain) if owner.startswith("decoder") else (domain, other)

    def random_target(self, count: int, num_domains: int, draws: torch.Generator) -> Tensor:
        """Return random routes (count, 2) between different domains."""
        source = torch.randint(0, self.count, (count,), generator=draws)
        step = torch.randint(1, self.count, (count,), generator=draws)
        return torch.stack([source, (source + step) % self.count], dim=1)

    def path(self, style_input: str | None, num_domains: int) -> TranslationPath:
        """Return the whole way as a module that encodes by and decodes to every domain, and selects by the route."""
        return AllDomains(self, ("image", "target"))


def _by_domain(x: Tensor, domain: Tensor, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Return the results of a function of the rows (B, ...) of each domain (B,), in the order of the rows."""
    domains = domain.unique().tolist()
    if len(domains) == 1:
        return function(x, domains[0])
    parts = [(domain == each, function(x[domain == each], each)) for each in domains]
    result = parts[0][1].new_empty(len(x), *parts[0][1].shape[1:])
    for own, values in parts:
        result[own] = values
    return result


class WholeEncoder(nn.Module):
    """The encoder of a domain and the blocks that all encoders share, if there are any."""

    def __init__(self, encoder: nn.Module, shared: nn.Module | None, domain: int) -> None:
        super().__init__()
        self.encoder, self.shared, self.domain = encoder, shared, domain

    def forward(self, x: Tensor) -> Tensor:
        """Return codes (B, C, s, s) of images (B, 3, H, W)."""
        code: Tensor = self.encoder(x)
        return code if self.shared is None else self.shared(code, self.domain)


class WholeDecoder(nn.Module):
    """The blocks that all decoders share, if there are any, and the decoder of a domain."""

    def __init__(self, decoder: nn.Module, shared: nn.Module | None, domain: int) -> None:
        super().__init__()
        self.decoder, self.shared, self.domain = decoder, shared, domain

    def forward(self, code: Tensor) -> Tensor:
        """Return images (B, 3, H, W) of codes (B, C, s, s)."""
        images: Tensor = self.decoder(code if self.shared is None else self.shared(code, self.domain))
        return images


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.device == second.device and torch.equal(first, second)


class AllDomains(TranslationPath):
    """Encode as every domain, decode to every domain, and select by the route, without steps that depend on values."""

    translation: ComboGANTranslation

    def forward(self, image: Tensor, target: Tensor, *style_inputs: Tensor) -> Tensor:
        """Return the translations (B, 3, H, W) along routes (B, 2)."""
        domains = range(self.translation.count)
        code = _selected([self.translation.encode(image, domain) for domain in domains], target[:, 0])
        translations = [self.translation.decode(code, domain) for domain in domains]
        return _selected(translations, target[:, 1]).clamp(-1, 1)


def _selected(values: list[Tensor], domain: Tensor) -> Tensor:
    """Return of each image (B,) the entry of its domain, from one tensor (B, ...) a domain."""
    result = values[0]
    for number, value in enumerate(values[1:], 1):
        result = torch.where((domain == number)[:, None, None, None], value, result)
    return result
