"""Plug-ins: importable packages that add parts and configuration without an edit of ours.

An installed package joins through the entry point group `translate.plugins`; code that is not installed joins
by `plugins=[my_lab]`. A plug-in's source is indexed without importing it (see `registry`); its folder `conf`,
if it has one, joins the configuration; its modules are imported when one of their parts is built.
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
    """Let these packages take part from now on, without importing them; UserError if one is not found."""
    for name in names:
        if name in packages():
            continue
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(key="plugins", found=name, expected="the name of a package such as my_lab")
        if locate(name) is None:
            raise UserError(
                f"the package {name!r} is not found",
                key="plugins",
                fix="install it, or work in the folder that holds it",
            )
        _activated.append(name)


def load(names: Iterable[str] = ()) -> None:
    """Activate these packages and import every plug-in."""
    activate(names)
    for package in packages():
        importlib.import_module(package)


def packages() -> tuple[str, ...]:
    """Return the names of all plug-in packages: the installed ones, then the activated ones."""
    return tuple(dict.fromkeys([*_installed(), *_activated]))


def locate(package: str) -> Path | None:
    """Return the folder of a package or the file of a module, executing none of its code; None if absent."""
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # __main__ and half-made modules have no spec
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
    found = []
    for entry in metadata.entry_points(group=GROUP):
        package = entry.value.partition(":")[0].strip()
        if locate(package) is None:
            owner = entry.dist.name if entry.dist else "unknown"
            raise UserError(
                f"the installed plug-in {entry.name!r} of the distribution {owner!r} names the package {package!r}, "
                "which does not exist",
                fix="reinstall or uninstall that distribution",
            )
        found.append(package)
    return tuple(found)
