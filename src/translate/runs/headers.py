"""The header of a checkpoint or weights file: what it says of the tensors, read without torch."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from translate.errors import UserError
from translate.files.reading import require_file

OURS = "translate "
"""The start of the format of every file that this program writes."""


@dataclass(frozen=True)
class Header:
    """The metadata of a safetensors file, and the names of its tensors."""

    metadata: dict[str, str]
    names: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Return whether this program wrote the file as a checkpoint or a weights file."""
        return self.metadata.get("format", "").startswith(OURS)


def read(path: Path) -> Header:
    """Return the header of a safetensors file; UserError for any other file, and for one that is cut short."""
    require_file(path)
    try:
        with safe_open(path, framework="np") as file:
            return Header(dict(file.metadata() or {}), tuple(file.keys()))
    except (SafetensorError, OSError) as error:
        raise UserError(f"not a readable safetensors file ({error})", key=str(path)) from error
