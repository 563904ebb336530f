"""Files of frozen networks that ship with the package; torch is not imported."""

from pathlib import Path

FOLDER = Path(__file__).parent / "shipped"
SUFFIX = ".safetensors"


def names() -> list[str]:
    """Return the names by which files that ship are called.

    >>> names()
    ['critters_vgg']
    """
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def path_of(weights: str) -> Path:
    """Return the file of a frozen network: one that ships, by its name, else the path; ``./NAME`` is a path."""
    return FOLDER / f"{weights}{SUFFIX}" if weights in names() else Path(weights).expanduser()
