"""Plug-ins: importable packages that add parts and configuration to this package.

The entry point group `translate.plugins` activates an installed package, and ``plugins=[my_lab]`` activates a package
that is not installed. The source of a plug-in is indexed without importing it (see `registry`). Its folder `conf`, if
any, is added to the search path of the configuration. A module is imported when one of its parts is built.
"""

import functools
import importlib
import importlib.util
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from translate.errors import UserError

GROUP = "translate.plugins"

_activated: list[str] = []


def activate(names: Iterable[str]) -> None:
    """Add packages to the plug-ins without importing them; UserError for a package that does not exist."""
    for name in names:
        if name in packages():
            continue
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(key="plugins", found=name, expected="the name of a package such as my_lab")
        if locate(name) is None:
            raise UserError(
                f"the package {name!r} does not exist",
                key="plugins",
                fix="install the package, or change to the folder that contains it",
            )
        _activated.append(name)


def load(names: Iterable[str] = ()) -> None:
    """Activate packages and import all plug-ins."""
    activate(names)
    for package in packages():
        importlib.import_module(package)


def packages() -> tuple[str, ...]:
    """Return the names of all plug-in packages: the installed ones, then the activated ones."""
    return tuple(dict.fromkeys([*_installed(), *_activated]))


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
def _installed() -> tuple[str, ...]:
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
