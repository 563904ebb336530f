"""Image-to-image translation with generative adversarial networks: train, measure, compare and use."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "load": "translate.inference.translator",
    "Translator": "translate.inference.translator",
    "stylize": "translate.inference.stylize",
    "train": "translate.commands.functions",
    "evaluate": "translate.commands.functions",
    "UserError": "translate.errors",
}
"""The public names, and where they are; a module is imported when one of its names is first asked for.

``__init__.pyi`` has the same names for type checkers.
"""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
