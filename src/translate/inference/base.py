"""The base class of translations: the half of a model that is used after training."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from translate.errors import Phrase, UserError
from translate.networks.layers.per_domain import PerDomain
from translate.registry.registry import TRANSLATIONS


class Translation:
    """Networks by role that translate together.

    Register a subclass under the name of the model that trains its networks, list the roles that it uses, and define
    ``__call__``. The constructor's arguments beside ``networks`` have the names of the model's arguments. A translation
    that is registered with ``needs_source=True`` takes routes (B, 2) as targets: the domain of an image and the target.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    """The networks that a translation uses."""

    optional_roles: ClassVar[tuple[str, ...]] = ()
    """Networks that a translation uses if they exist."""

    style_inputs: ClassVar[tuple[str, ...]] = ()
    """Inputs that determine the style, of "code" and "reference": keywords of ``__call__``."""

    fixed_targets: ClassVar[Mapping[str, int]] = {}
    """Roles of networks that translate on their own, images alone being their input, and their target domains."""

    only_target: ClassVar[int | None] = None
    """The only domain to which the networks translate, if there is but one; then the target is no input of `path`."""

    role_targets: ClassVar[Mapping[str, int]] = {}
    """Roles that a translation does not use for all images of a batch alike, and a target domain at which it does."""

    latent_size: int = 0
    """The length L of a code (B, L); 0 without codes."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks

    @property
    def scale(self) -> int:
        """Return by how much height and width of a translation exceed those of its source: 1 for equal sizes."""
        return 1

    def example_target(self, role: str) -> int | tuple[int, int] | None:
        """Return a target at which a translation uses the network of a role; None if it does at every target."""
        return self.fixed_targets.get(role, self.role_targets.get(role))

    def reachable(self, num_domains: int) -> tuple[int, ...]:
        """Return the domains to which these networks translate, by number: released weights may have one direction."""
        if self.only_target is not None:
            return (self.only_target,)
        if self.fixed_targets:
            return tuple(sorted(domain for role, domain in self.fixed_targets.items() if role in self.networks))
        return tuple(range(num_domains))

    def styles(self, target: Tensor, *args: Any, **style_inputs: Any) -> Tensor:
        """Return the styles (B, Z) of style inputs in domains (B,), which ``__call__`` takes as ``style``."""
        raise NotImplementedError(f"{type(self).__name__} has no styles")

    def network(self, role: str) -> nn.Module:
        """Return the network of a role as it translates: in eval mode, its output for an image depends on it alone."""
        return self.networks[role]

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks that a translation calls, by role; in a role with a network for each domain, by both.

        The name of such a part is ``role.number``, as of a part that a model updates.
        """
        return {
            name: network
            for role, owner in self.networks.items()
            for name, network in (
                [(f"{role}.{number}", each) for number, each in owner.named_children()]
                if isinstance(owner, PerDomain)
                else [(role, owner)]
            )
        }

    def again(self, x: Tensor, target: Tensor, **style_inputs: Any) -> Tensor:
        """Return the same as a call. What the call before has computed of equal images may be used once more."""
        return self(x, target, **style_inputs)

    def random_target(self, count: int, num_domains: int, draws: torch.Generator) -> Tensor:
        """Return random targets for ``count`` images, as examples of an input: domains (count,)."""
        if self.only_target is not None:
            return torch.full((count,), self.only_target)
        return torch.randint(0, num_domains, (count,), generator=draws)

    def path(self, style_input: str | None, num_domains: int) -> "TranslationPath":
        """Return the whole way from images to translations as a module, for export to other runtimes."""
        if self.only_target is not None:
            return OneWayPath(self, ("image",))
        return TranslationPath(self, ("image", "target") if style_input is None else ("image", "target", style_input))

    def forward(self, x: Tensor) -> Tensor:
        """Return images (B, 3, H, W) translated to `only_target`, if there is one."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(x)")

    def require_only_target(self, target: Tensor) -> None:
        """Raise UserError for a target (B,) other than `only_target`."""
        wrong: Tensor = target.ne(self.only_target)  # type: ignore[arg-type]
        if wrong.any():
            raise UserError(
                f"this model translates to domain {self.only_target} only",
                key="target",
                found=Phrase(", ".join(map(str, sorted(set(target.tolist()))))),
                expected=str(self.only_target),
                fix="for the other direction train with the domains in the other order",
            )

    def latent_style(self, num_domains: int) -> nn.Module | None:
        """Return the way from codes to styles as a module with ``inputs``, for export; None without such styles."""
        return None

    def __call__(self, x: Tensor, target: Tensor, *args: Any, **style_inputs: Any) -> Tensor:
        """Return images (B, 3, H, W) translated to ``target``: domains (B,), or labels (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(x, target)")


class TranslationPath(nn.Module):
    """The way from images to translations in [-1, 1], as a module with positional ``inputs``.

    The inputs are the images, the targets and keywords of the translation, by the names that an exported file has.
    """

    def __init__(self, translation: Translation, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.inputs = inputs
        self.translation = translation
        self.networks = nn.ModuleDict(translation.networks)  # so that an exporter sees the parameters

    def forward(self, image: Tensor, target: Tensor, *style_inputs: Tensor) -> Tensor:
        """Return the translations (B, 3, H, W)."""
        keywords = dict(zip(self.inputs[2:], style_inputs, strict=True))
        return self.translation(image, target, **keywords).clamp(-1, 1)


class OneWayPath(TranslationPath):
    """The way of a translation to one domain: from images alone."""

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """Return the translations (B, 3, H, W)."""
        return self.translation.forward(image).clamp(-1, 1)


def translation_of(model: str) -> type[Translation]:
    """Return the translation that is registered under a model's name; UserError without one."""
    cls = TRANSLATIONS.get(model)
    assert isinstance(cls, type), model
    assert issubclass(cls, Translation), model
    return cls
