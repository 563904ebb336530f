"""Style transfer by optimization for image files: states and previews of unfinished images, records of finished ones.

The state of an unfinished image is saved beside its place, so that the same call goes on where it stopped and ends with
the same image to the bit.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from translate.data.images import ImageError, read_file
from translate.data.style_images import scaled
from translate.errors import UserError
from translate.files.writing import atomic_write, beside
from translate.inference import grids, image_encoding, image_files, image_forms
from translate.inference.inputs import Source
from translate.inference.records import Records
from translate.inference.stylize import Progress, Settings, Stylization
from translate.networks.vgg import VGGFeatures

log = logging.getLogger("translate")

STATE, PREVIEW = ".state.safetensors", ".preview.png"
"""The suffixes, behind the name of an image, of the state and the preview of an unfinished one."""


@dataclass(frozen=True)
class Files:
    """Where images and previews are written, and how often.

    ``preview_every`` and ``save_every`` count evaluations; 0: never.
    """

    output: Path
    overwrite: bool = False
    preview_every: int = 50
    save_every: int = 50


@dataclass
class Summary:
    """The outcome: new images, the number of those that existed, failed files with reasons, notes, and seconds."""

    written: list[Path] = field(default_factory=list)
    existing: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def stylize_files(
    features: VGGFeatures,
    sources: Sequence[Source],
    styles: Mapping[str, np.ndarray],
    settings: Settings,
    files: Files,
    observer: Callable[[Source, Progress], None] = lambda source, progress: None,
) -> Summary:
    """Optimize each source to the style of the images ``styles``, by name; write each with the name of its source.

    An image with the same settings that is there already is kept. UserError, before anything is written, for a path
    that another image has, and for a source in the place of its own output.
    """
    settings.check()
    begin, records, summary = time.perf_counter(), Records(files.output), Summary()
    style_facts = {name: hashlib.sha256(pixels.tobytes()).hexdigest() for name, pixels in styles.items()}
    common = {"styles": style_facts, "features_sha256": features.sha256, **_plain(settings, features)}
    plan = []
    for source in sources:
        place = files.output / source.name
        line = records.lines.get(source.name)
        if place.exists() and os.path.realpath(place) == os.path.realpath(source.path):
            raise UserError("the image would be written over its source", key="output", found=str(place))
        if place.exists() and not files.overwrite:
            if line is None or line.get("facts") != json.loads(json.dumps(common)):
                raise UserError(
                    "this file is there and has other settings or another origin",
                    key="output",
                    found=str(place),
                    fix="overwrite=true, or another folder",
                )
            if line.get("source_sha256") == _digest_of(source.path):
                summary.existing += 1
                continue
        plan.append((source, place))
    for source, place in plan:
        _stylize_file(features, source, place, styles, settings, files, common, records, summary, observer)
    records.close()
    summary.seconds = time.perf_counter() - begin
    return summary


def _stylize_file(
    features: VGGFeatures,
    source: Source,
    place: Path,
    styles: Mapping[str, np.ndarray],
    settings: Settings,
    files: Files,
    common: Mapping[str, Any],
    records: Records,
    summary: Summary,
    observer: Callable[[Source, Progress], None],
) -> None:
    """Optimize one source from its saved state, or from the start, and write the image and its record."""
    try:
        content = read_file(source.path)
        image = image_files.read(content)
        form, losses = image_forms.fitted(image.form)
    except (ImageError, OSError) as error:
        summary.failed.append((source.path, error.reason if isinstance(error, ImageError) else str(error)))
        return
    facts = {**common, "source_sha256": hashlib.sha256(content).hexdigest()}
    stylization = Stylization(features, image.pixels, list(styles.values()), settings)
    state, preview = (beside(place, suffix) for suffix in (STATE, PREVIEW))
    if files.overwrite:
        state.unlink(missing_ok=True)
    if state.exists():
        stylization.restore(state, facts)
        log.info("%s goes on after %d evaluations", source.path, stylization.done)
    notes = [*image.notes, *losses, *size_notes(image.size, settings)]

    def observe(progress: Progress) -> None:
        if files.save_every and progress.evaluation % files.save_every == 0:
            stylization.save(state, facts)
        if files.preview_every and progress.evaluation % files.preview_every == 0:
            grids.save(grids.to_bytes(progress.optimization.image[0].float().cpu()).numpy(), preview)
        observer(source, progress)

    pixels = stylization.run(observe)
    deep = form.bits > 8
    encoded = image_encoding.encode(pixels if deep else np.rint(pixels).astype(np.uint8), image, form)
    atomic_write(place, encoded)
    records.add(
        {
            "output": source.name,
            "output_sha256": hashlib.sha256(encoded).hexdigest(),
            "source": str(source.path),
            "source_sha256": facts["source_sha256"],
            "facts": common,
            "notes": notes,
        }
    )
    for path in (state, preview):
        path.unlink(missing_ok=True)
    summary.written.append(place)
    summary.notes += [f"{source.path.name}: {note}" for note in notes]


def size_notes(size: tuple[int, int], settings: Settings) -> list[str]:
    """Return a note if an image (height, width) is larger than its last stage.

    >>> size_notes((3000, 4000), Settings())
    ['4000 x 3000 pixels, optimized at 256 x 192 and enlarged']
    """
    height, width = size
    longer = settings.sizes[-1]
    if not longer or longer >= max(size):
        return []
    small = scaled((width, height), longer)
    return [f"{width} x {height} pixels, optimized at {small[0]} x {small[1]} and enlarged"]


def _plain(settings: Settings, features: VGGFeatures) -> dict[str, Any]:
    """Return settings that determine an image as values for JSON."""
    tree = asdict(settings)
    tree["sizes"], tree["evaluations"] = list(settings.sizes), list(settings.evaluations)
    return {**tree, "pooling": features.pooling, "preprocessing": features.preprocessing}


def _digest_of(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except ImageError:  # it is reported when it is read
        return None
