"""Plug-ins: importable packages that add parts and configuration to this package.

The entry point group `translate.plugins` activates an installed package, and ``plugins=[my_lab]`` activates a package
that is not installed. The source of a plug-in is indexed without importing it (see `registry`). Its folder `conf`, if
any, is added to the search path of the configuration. A module is imported when one of its parts is built.
"""

import ast
import functools
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from translate.errors import UserError, first_line

GROUP = "translate.plugins"

_activated: list[str] = []


def activate(names: Iterable[str]) -> None:
    """Add packages to the plug-ins without importing them; UserError for a package that does not exist."""
    for name in names:
        if name in packages():
            continue
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(key="plugins", found=name, expected="the name of a package such as my_lab")
        place = locate(name)
        if place is None:
            raise UserError(
                f"the package {name!r} does not exist",
                key="plugins",
                fix="install the package, or change to the folder that contains it",
            )
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            check_syntax(path)
        _activated.append(name)


def check_syntax(path: Path) -> None:
    """Raise UserError, with file and line, for a file that is no valid Python; the file is not executed."""
    if path.suffix != ".py":
        return
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:  # the latter for null characters
        line, reason = (error.lineno, error.msg) if isinstance(error, SyntaxError) else (None, str(error))
        raise UserError(f"invalid Python syntax ({reason})", key=f"{path}:{line}" if line else str(path)) from error


def import_part(module: str) -> None:
    """Import a module that registers parts; UserError if one of a plug-in cannot be imported."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        if module.partition(".")[0] == __name__.partition(".")[0]:
            raise
        fix = "install what it imports" if isinstance(error, ModuleNotFoundError) else "correct the import"
        raise UserError(f"the plug-in cannot be imported ({first_line(error)})", key=module, fix=fix) from error


def load(names: Iterable[str] = ()) -> None:
    """Activate packages and import all plug-ins."""
    activate(names)
    for package in packages():
        importlib.import_module(package)


@contextmanager
def needed_by(config: Mapping[str, Any] | None) -> Iterator[None]:
    """Name, in a UserError of the block, the plug-ins of a saved configuration that are not active.

    They are not activated by themselves: a file of others must not decide which code runs.
    """
    try:
        yield
    except UserError as error:
        inactive = [str(name) for name in (config or {}).get("plugins") or [] if name not in packages()]
        if not inactive:
            raise
        fix = (
            f"activate the plug-ins of the training run: plugins=[{','.join(inactive)}], "
            f"in Python translate.registry.plugins.activate({inactive})"
        )
        raise UserError.of(replace(error.problem, fix=fix)) from error


def packages() -> tuple[str, ...]:
    """Return the names of all plug-in packages: the installed ones, then the activated ones."""
    return tuple(dict.fromkeys([*installed(), *_activated]))


def locate(package: str) -> Path | None:
    """Return the folder of a package or the file of a module without executing its code; None if it does not exist."""
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # __main__ and partially initialized modules have no spec
        spec = None
    if spec is None:
        return None
    roots = list(spec.submodule_search_locations or ())
    if not roots:
        return Path(spec.origin) if spec.origin and not rest else None
    for root in roots:
        folder = Path(root, *rest)
        if folder.is_dir():
            return folder
        if rest and folder.with_suffix(".py").is_file():
            return folder.with_suffix(".py")
    return None


def conf_folders() -> dict[str, Path]:
    """Return the configuration folder of each plug-in that has one: package name -> folder."""
    located = {package: locate(package) for package in packages()}
    return {package: place / "conf" for package, place in located.items() if place and (place / "conf").is_dir()}


@functools.cache
def installed() -> tuple[str, ...]:
    """Return the packages of installed plug-ins; UserError for an entry point that names no package."""
    names = []
    for entry in metadata.entry_points(group=GROUP):
        package = entry.value.partition(":")[0].strip()
        if locate(package) is None:
            owner = entry.dist.name if entry.dist else "unknown"
            raise UserError(
                f"the installed plug-in {entry.name!r} of the distribution {owner!r} names the package {package!r}, "
                "which does not exist",
                fix="reinstall or uninstall that distribution",
            )
        names.append(package)
    return tuple(names)
