"""The folder of uploads and results while a server runs."""

import io
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from translate.errors import Phrase, UserError

ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(2**62),  # else statistics of all requests are computed anew at every one
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
}
"""Variables that Gradio reads while its application is built."""

FREQUENCY, AGE = 60, 3600
"""Every FREQUENCY seconds, files older than AGE seconds are removed."""

FOLDER = "GRADIO_TEMP_DIR"
"""The variable with the folder into which Gradio writes uploads. It serves no file from outside of it."""


class Files:
    """Uploads, and results: each result in a folder of its own, whose name nobody can guess."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pruned = 0.0

    def upload(self, value: Any, key: str) -> Path | None:
        """Return the path of an upload from what a client sent, {path: ...}; None for none.

        UserError for anything else, and for a path outside of the folder of uploads.
        """
        if value is None:
            return None
        path = value.get("path") if isinstance(value, Mapping) else None
        if not isinstance(path, str) or "\0" in path:
            fix = "upload the file first, then send {'path': ...} with the path in the answer"
            raise UserError(key=key, found=Phrase(type(value).__name__), expected="the path of an upload", fix=fix)
        resolved = Path(path).resolve()
        if not resolved.is_relative_to(self.folder):
            raise UserError("the file was not uploaded", key=key, fix="upload it first")
        return resolved

    def save(self, content: bytes, name: str) -> Path:
        """Write a file with a name; return its path."""
        self._prune(time.time())
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir()
        path = folder / name
        path.write_bytes(content)
        return path

    def save_image(self, image: Image.Image, name: str) -> Path:
        """Write an image as PNG; return its path."""
        content = io.BytesIO()
        image.save(content, "PNG", compress_level=1)
        return self.save(content.getvalue(), f"{name}.png")

    def _prune(self, now: float) -> None:
        """Remove what Gradio leaves: empty folders of files that it has removed, and parts of broken uploads."""
        if now < self._pruned + FREQUENCY:
            return
        self._pruned = now
        for path in self.folder.iterdir():
            try:
                unchanged = now - path.stat().st_mtime
                if path.is_dir() and unchanged > FREQUENCY:
                    path.rmdir()
                elif path.is_file() and unchanged > AGE:
                    path.unlink()
            except OSError:  # not empty, or removed meanwhile
                continue


@contextmanager
def temporary_files() -> Iterator[Files]:
    """Yield the files of a new folder, which Gradio uses too; the folder is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="translate-serve-")).resolve()
    variables = ENVIRONMENT | {FOLDER: str(folder)}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield Files(folder)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
