"""A client that speaks to a server as curl does."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

SECONDS = 60


class Failed(Exception):
    """An answer with an error: its status, 0 for an error of a queued request, and its sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(f"{status}: {sentence}")
        self.status, self.sentence = status, sentence


class Client:
    """Uploads, calls named endpoints, and fetches results."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=SECONDS, trust_env=False)

    def upload(self, content: bytes, name: str = "image.png") -> dict[str, Any]:
        """Upload a file; return what a request says instead of it."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        if answer.status_code != 200:
            raise Failed(answer.status_code, answer.text)
        return {"path": answer.json()[0]}

    def call(self, endpoint: str, **values: Any) -> Any:
        """Return the results of a named endpoint."""
        answer = self.http.post(f"/gradio_api/call/v2/{endpoint}", json=values)
        if answer.status_code != 200:
            raise Failed(answer.status_code, answer.json()["detail"])
        with self.http.stream("GET", f"/gradio_api/call/v2/{endpoint}/{answer.json()['event_id']}") as stream:
            lines = [line for line in stream.iter_lines() if line]
        event, data = lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))
        if event != "complete":
            raise Failed(0, str((data or {}).get("error")))
        return data

    def content(self, file: dict[str, Any]) -> bytes:
        """Return the content of a file in a result."""
        answer = self.http.get(f"/gradio_api/file={file['path']}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def image(self, file: dict[str, Any]) -> np.ndarray:
        """Return the pixels (H, W, 3) of a file in a result."""
        return np.asarray(Image.open(io.BytesIO(self.content(file))).convert("RGB"))


def pixels(seed: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Return noise (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def write(path: Path, array: np.ndarray) -> Path:
    """Write an image file; return its path."""
    Image.fromarray(array).save(path)
    return path
