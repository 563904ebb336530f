"""Write NOTICE: the licence of every library on which the package depends, read from what is installed.

    python release/notice.py

The libraries are those of `pyproject.toml`, of all extras for users, and those on which they depend in turn.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOR_DEVELOPERS = frozenset({"dev", "docs", "all"})

STATED = {
    "cuda-toolkit": ("NVIDIA Proprietary Software", "https://developer.nvidia.com/cuda-toolkit"),
    "dlib-bin": ("BSL-1.0", "https://github.com/alesanfra/dlib-wheels"),
    "face-recognition-models": ("CC0-1.0", "https://github.com/ageitgey/face_recognition_models"),
    "resvg-py": ("MIT", "https://github.com/baseplate-admin/resvg-py"),
}
"""Libraries whose metadata states no licence, or that no test installs -> licence and address, as they state them."""

UNCLEAR = frozenset({"", "UNKNOWN", "Dual License", "OSI Approved", "Freeware", "Other/Proprietary License"})
"""Texts that name no licence; the next source of the metadata is read."""

HEAD = """translate
Copyright the authors of the translate project

This product is licensed under the Apache License, Version 2.0, see LICENSE. The package contains its own code, and
weights that were trained by this project on images that its code draws. It contains no code and no weights of the
libraries below.

Libraries that `pip install translate-gan` and its extras install, with the licences that their metadata states. Each
comes with its licence in its own package. Written by release/notice.py.
"""


@dataclass(frozen=True)
class Library:
    """A library: its name, its licence and its address."""

    name: str
    licence: str
    address: str


def declared(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the libraries that pyproject.toml names, each with its extras; those for developers are left out."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in FOR_DEVELOPERS}
    found: dict[str, set[str]] = {}
    for text in [*project["dependencies"], *(text for texts in extras.values() for text in texts)]:
        requirement = Requirement(text)
        found.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return found


def closure(names: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the libraries, and those on which they depend in turn, as far as they are installed."""
    waiting, seen = [(name, frozenset(extras)) for name, extras in names.items()], set[str]()
    while waiting:
        name, extras = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += [pair for pair in _requirements(name, extras) if pair[0] not in seen]


def _requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    try:
        texts = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def library(name: str) -> Library | None:
    """Return a library by its metadata; None for one that is not installed and not in `STATED`."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return Library(name, *STATED[name]) if name in STATED else None
    licence, address = STATED.get(name, ("", ""))
    return Library(str(about["Name"]), licence_of(about) or licence, address_of(about) or address)


def licence_of(about: metadata.PackageMetadata) -> str:
    """Return the licence in metadata: the expression, else the classifiers, else the first line of the text; or ""."""
    expression = str(about.get("License-Expression") or "").strip()
    classified = [
        text.rpartition(" :: ")[2].strip()
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    text = next(iter(str(about.get("License") or "").strip().splitlines()), "")
    stated = expression, ", ".join(name for name in classified if name not in UNCLEAR), text
    return next((each for each in stated if each not in UNCLEAR), "")


def address_of(about: metadata.PackageMetadata) -> str:
    """Return the home page, the source or any other address in metadata; "" without one."""
    parts = [text.partition(",") for text in about.get_all("Project-URL") or []]
    addresses = {label.strip().lower(): address.strip() for label, _, address in parts}
    wanted = ("homepage", "home", "home-page", "source", "source code", "repository", "github", "documentation")
    found = [str(about.get("Home-page") or ""), *(addresses.get(label, "") for label in wanted), *addresses.values()]
    return next((address for address in found if re.match(r"https?://", address)), "")


def notice() -> str:
    """Return the text of NOTICE."""
    names = sorted(closure(declared()))
    libraries = {name: found for name in names if (found := library(name)) is not None}
    lines = [f"- {each.name}: {each.licence} ({each.address})" for each in libraries.values()]
    return HEAD + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "NOTICE").write_text(notice(), encoding="utf-8")
    print(ROOT / "NOTICE")
