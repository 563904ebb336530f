"""The base class of translations: the half of a model that is used after training."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from translate.registry.registry import TRANSLATIONS


class Translation:
    """Networks by role that translate together.

    Register a subclass under the name of the model that trains its networks, list the roles that it uses, and define
    ``__call__``. The constructor's arguments beside ``networks`` have the names of the model's arguments.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    """The networks that a translation uses."""

    optional_roles: ClassVar[tuple[str, ...]] = ()
    """Networks that a translation uses if they exist."""

    style_inputs: ClassVar[tuple[str, ...]] = ()
    """Inputs that determine the style, of "code" and "reference": keywords of ``__call__``."""

    latent_size: int = 0
    """The length L of a code (B, L); 0 without codes."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks

    def styles(self, target: Tensor, *args: Any, **style_inputs: Any) -> Tensor:
        """Return the styles (B, Z) of style inputs in domains (B,), which ``__call__`` takes as ``style``."""
        raise NotImplementedError(f"{type(self).__name__} has no styles")

    def __call__(self, x: Tensor, target: Tensor, *args: Any, **style_inputs: Any) -> Tensor:
        """Return images (B, 3, H, W) translated to ``target``: domains (B,), or labels (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(x, target)")


def translation_of(model: str) -> type[Translation]:
    """Return the translation that is registered under a model's name; UserError without one."""
    cls = TRANSLATIONS.get(model)
    assert isinstance(cls, type), model
    assert issubclass(cls, Translation), model
    return cls
