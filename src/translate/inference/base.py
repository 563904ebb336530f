"""What a translation is."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from translate.registry.registry import TRANSLATIONS


class Translation:
    """Networks by role that translate together.

    A subclass is registered under the name of the model that trains its networks, says which roles it reads, and
    defines ``__call__``. Arguments of its constructor beside ``networks`` are those of the model by the same name.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    """The networks that it reads."""

    optional_roles: ClassVar[tuple[str, ...]] = ()
    """Networks that it reads where there are any."""

    style_inputs: ClassVar[tuple[str, ...]] = ()
    """What guides it beside the target: of "code" and "reference", keywords of ``__call__``."""

    latent_size: int = 0
    """The length of a code (B, latent_size), where codes guide it."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks

    def __call__(self, x: Tensor, target: Tensor, *args: Any, **guide: Any) -> Tensor:
        """Return images (B, 3, S, S) translated to ``target``: domains (B,), or labels (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to translate: define __call__(x, target)")


def translation_of(model: str) -> type[Translation]:
    """Return the translation that is registered under a model's name; UserError if there is none."""
    found = TRANSLATIONS.get(model)
    assert isinstance(found, type), model
    assert issubclass(found, Translation), model
    return found
