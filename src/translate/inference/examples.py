"""Draw a few images to translate, where a user has none at hand; torch is not imported."""

import io
from pathlib import Path

from PIL import Image

from translate.data.datasets.critters import DEFAULT_DOMAINS, Critters
from translate.files.writing import atomic_write
from translate.sizes import ImageSize, SizeLike

EACH = 2  # images of a species


def draw_examples(folder: Path, size: SizeLike) -> list[Path]:
    """Draw critters of every domain as <folder>/<domain>_<number>.png, of a size; return the paths."""
    data = Critters(num_val_images=EACH * len(DEFAULT_DOMAINS), split="val")
    paths = []
    for index, pixels in enumerate(data.read_many(range(len(data)), ImageSize.of(size).plain)):
        path = folder / f"{DEFAULT_DOMAINS[index // EACH]}_{index % EACH}.png"
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        if not path.is_file() or path.read_bytes() != content.getvalue():  # an unchanged file keeps its time
            atomic_write(path, content.getvalue())
        paths.append(path)
    return paths
