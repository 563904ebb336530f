"""Code that a configuration may load by name: standard packages, active plug-ins, and packages that the user trusts.

A configuration can come from somebody else: in a run folder, a checkpoint, an experiment file. It names code by import
paths (``_target_``) and by ``plugins``, and importing a module runs it. So a module is imported only if it is in a
standard package, in an active plug-in, or in a package that the command line names by ``trust=[my_lab]``. No file can
add to the trusted packages.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from translate.errors import Problem, UserError
from translate.registry import plugins

STANDARD = ("torch.optim", "pytorch_lightning.loggers", "lightning.pytorch.loggers", "translate")
"""Packages whose code needs no trust: their classes are checked to be optimizers or loggers before they are called."""

_trusted: list[str] = []

T = TypeVar("T")


def trust(names: Iterable[str]) -> None:
    """Trust packages, on behalf of the user; UserError for what cannot be the name of a package."""
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(key="trust", found=name, expected="the name of a package such as my_lab")
        if name not in _trusted:
            _trusted.append(name)


def is_trusted(path: str) -> bool:
    """Return whether the package, module or import path ``path`` may be imported.

    >>> is_trusted("torch.optim.AdamW"), is_trusted("torch.hub.load"), is_trusted("my_lab")
    (True, False, False)
    """
    return is_standard(path) or _is_in(path, (*plugins.packages(), *_trusted))


def is_standard(path: str) -> bool:
    """Return whether a path is in a standard package or an installed plug-in, which need no trust."""
    return _is_in(path, (*STANDARD, *plugins.installed()))


def _is_in(path: str, packages: Iterable[str]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def untrusted(tree: Any) -> list[str]:
    """Return the top packages of the plug-ins and import paths in a configuration that need trust, each once.

    >>> untrusted({"plugins": ["my_lab"], "logger": {"a": {"_target_": "other.loggers.Mine"}}})
    ['my_lab', 'other']
    """
    named = [name for name in tree.get("plugins") or [] if isinstance(name, str)] if isinstance(tree, Mapping) else []
    names = [name for name in (*named, *_import_paths(tree)) if not is_standard(name)]
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _import_paths(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "_target_" and isinstance(value, str):
                yield value
            else:
                yield from _import_paths(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _import_paths(value)


def problem_of(path: str, key: str) -> Problem:
    """Return the problem of a configuration that names code which nobody trusts."""
    package = path.partition(".")[0]
    return Problem(
        "this configuration would load code that is not trusted",
        key=key,
        found=path,
        fix=f"read that code, then add trust=[{package}] to the command line",
    )


def import_subclass(path: str, base: type[T], key: str) -> type[T]:
    """Return the class at an import path; UserError, below ``key``, unless it is trusted and a subclass of ``base``."""
    if not is_trusted(path):
        raise UserError.of(problem_of(path, key))
    module, _, name = path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise UserError(key=key, found=path, expected=f"a subclass of {base.__module__}.{base.__name__}")
    return cls


def activate_saved(names: Iterable[str], key: str = "plugins") -> None:
    """Activate the plug-ins that a file names; UserError for those that are neither active nor trusted."""
    names = list(names)
    for name in names:
        if not is_trusted(name):
            raise UserError.of(problem_of(name, key))
    plugins.activate(names)
