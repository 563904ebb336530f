"""Render a collection of vector icons in iconify's JSON as PNG files, split by name, with licence and attribution.

A collection has ``icons``, name -> {body, width, height, left, top}, sizes of the whole where an icon has none, and
``info`` with ``license`` and ``author``. Bodies come from elsewhere: one that refers to a file or an entity is refused.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.downloads.progress import Progress
from translate.downloads.unpack import ArchiveError
from translate.errors import UserError
from translate.files.reading import read_object

PIXELS = 256
"""The side of the images unless the user names another."""

DEFAULTS = {"left": 0, "top": 0, "width": 16, "height": 16}
"""Of the box of an icon, in iconify's format."""

NOTICE = "ATTRIBUTION.md"
VAL = (8, 9)
"""The last digits of SHA-256 modulo 10 of the names that are held out, in every collection alike."""

_REFERENCE = re.compile(r"<\s*(image|script|foreignObject)|<!|href\s*=\s*[\"'](?!#)|url\(\s*[\"']?(?!#)", re.IGNORECASE)


def require_renderer() -> Any:
    """Return the library that renders; UserError without it."""
    try:
        import resvg_py
    except ModuleNotFoundError as error:
        raise UserError(
            "vector icons need resvg-py", key="download", fix="pip install 'translate-gan[emoji]'"
        ) from error
    return resvg_py


def split_of(name: str) -> str:
    """Return the part of the data that an icon of this name belongs to, whatever its collection."""
    return "val" if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 in VAL else "train"


def render(collection: Path, target: Path, pixels: int = PIXELS) -> None:
    """Write train/NAME.png and val/NAME.png, squares of white background, and the notice, below ``target``.

    ArchiveError for a file of another format, or an icon with references to elsewhere.
    """
    renderer = require_renderer()
    try:
        tree = read_object(collection)
        icons, info = dict(tree["icons"]), dict(tree.get("info") or {})
        whole = {key: tree.get(key, default) for key, default in DEFAULTS.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"not a collection of icons in iconify's JSON ({type(error).__name__})") from error
    for part in ("train", "val"):
        (target / part).mkdir(parents=True)
    with Progress(f"rendering {collection.name}", len(icons)) as progress:
        for done, (name, icon) in enumerate(sorted(icons.items()), 1):
            path = target / split_of(name) / f"{_checked(name)}.png"
            try:
                content = renderer.svg_to_bytes(svg_string=_svg(name, {**whole, **icon}, pixels), background="white")
            except (ValueError, RuntimeError) as error:
                raise ArchiveError(f"the icon cannot be rendered ({error})", found=name) from error
            path.write_bytes(bytes(content))
            progress.update(done)
    (target / NOTICE).write_text(notice(tree.get("prefix", collection.stem), info, pixels), encoding="utf-8")


def notice(prefix: str, info: Mapping[str, Any], pixels: int) -> str:
    """Return the text on authors and licence that stands beside the images."""
    author, licence = info.get("author") or {}, info.get("license") or {}
    lines = [
        f"# {info.get('name', prefix)}",
        f"Drawings: {author.get('name', 'not stated')} {author.get('url', '')}".rstrip(),
        f"Licence: {licence.get('title', 'not stated')} {licence.get('url', '')}".rstrip(),
        f"Source: the collection {prefix} of iconify/icon-sets. Changes: rendered at {pixels} x {pixels} px on white.",
    ]
    return "\n\n".join(lines) + "\n"


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ArchiveError("the name of an icon is not of small letters, digits and hyphens", found=name)
    return name


def _svg(name: str, icon: Mapping[str, Any], pixels: int) -> str:
    body = str(icon["body"])
    if _REFERENCE.search(body):
        raise ArchiveError("an icon refers to something outside itself", found=name)
    box = " ".join(f"{float(icon[key]):g}" for key in ("left", "top", "width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{pixels}" height="{pixels}">{body}</svg>'
    )
