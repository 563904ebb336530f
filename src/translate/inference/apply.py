"""Translate the files of a folder with any engine; torch is not imported.

Files are decoded and written by threads while the networks compute. The images that are in memory at once have a
bounded number of pixels. What a folder of translations holds is recorded in ``translations.jsonl``.
"""

import logging
import os
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition
from typing import Any, Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.images import ImageError
from translate.errors import Phrase, UserError
from translate.files import atomic_write
from translate.inference import image_files, tiling
from translate.inference.engine import Engine
from translate.inference.image_files import Form, ImageFile
from translate.inference.inputs import Source
from translate.inference.records import Records, same_settings
from translate.inference.variants import Variant, sha256_of

log = logging.getLogger("translate")

Resolution = Literal["auto", "model", "full"]

PIXELS_AHEAD = 24_000_000
"""Pixels of images that are decoded ahead, and of translations that wait to be written; one image may have more."""

GPU_BATCH = 16
MAX_THREADS = 8
LOG_EVERY = 15.0  # seconds between lines of progress where no bar can be drawn
SHOWN = 10
"""How many names of files a message lists."""


@dataclass(frozen=True)
class Settings:
    """How files are translated, see the words of the command ``apply``; ``weights`` is their name for the record."""

    output: Path
    resolution: Resolution = "auto"
    max_pixels: int = tiling.MAX_PIXELS
    format: str | None = None  # a suffix of `image_files.SUFFIXES`; None: as the source
    overwrite: bool = False
    batch_size: int | None = None  # images that are translated at once; None: 1 on a CPU, GPU_BATCH elsewhere
    weights: str = ""
    words: tuple[str, ...] = ()  # of the command line that would do the same, without input, output and variant


@dataclass
class Summary:
    """The outcome: new translations, the number of those that existed, and files that failed, with reasons."""

    output: Path
    translations: list[Path] = field(default_factory=list)
    existing: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Job:
    """A source, and those of its translations that are not there yet: variants and names of their files."""

    source: Source
    outputs: tuple[tuple[Variant, str], ...]


@dataclass(frozen=True)
class _Decoded:
    """A source that has been read. ``x`` is its input (3, S, S) if it is resized; then the file has no pixels."""

    job: _Job
    file: ImageFile
    form: Form
    size: tuple[int, int]
    x: np.ndarray | None
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


def apply(engine: Engine, sources: Sequence[Source], variants: Sequence[Variant], settings: Settings) -> Summary:
    """Translate every source to every variant below the folder ``settings.output``; return what was done.

    A translation has the path of its source below the folder; where there are several targets or styles, below folders
    of their names. Translations that are there already with the same settings are kept. UserError, before anything is
    written, if two translations have the same path, and for a path that is a source or was not made by `apply`.
    """
    begin = time.perf_counter()
    _check_resolution(engine, settings)
    records = Records(settings.output)
    summary = Summary(settings.output)
    jobs = _plan(engine, sources, variants, settings, records, summary)
    worker = _Worker(engine, settings, records, summary)
    try:
        with warnings.catch_warnings():  # Pillow warns of images that are large; far larger ones it refuses
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            worker.run(jobs)
    finally:
        records.close()
    summary.seconds = time.perf_counter() - begin
    return summary


def _check_resolution(engine: Engine, settings: Settings) -> None:
    if settings.resolution == "full" and engine.sizes is None:
        raise UserError(
            f"the networks of {engine.model} take images of {engine.image_size} x {engine.image_size} pixels",
            key="resolution",
            found="full",
            expected="model or auto",
        )


# --- plan ---------------------------------------------------------------------------------------------------


def _plan(
    engine: Engine,
    sources: Sequence[Source],
    variants: Sequence[Variant],
    settings: Settings,
    records: Records,
    summary: Summary,
) -> list[_Job]:
    """Return the translations to make, after a check of every path."""
    owners: dict[str, tuple[Source, Variant]] = {}
    twice, foreign, jobs = [], [], []
    for source in sources:
        outputs = []
        for variant in variants:
            name = "/".join((*map(_safe, variant.names), _renamed(source.name, settings.format)))
            first, _ = owner = owners.setdefault(name.casefold(), (source, variant))
            if owner[0] is not source or owner[1] is not variant:
                twice.append(f"{first.path} and {source.path}")
            status = _status(records, name, source, facts_of(engine, variant, settings), settings)
            if status == "foreign":
                foreign.append(name)
            if status == "new":
                outputs.append((variant, name))
            summary.existing += status == "done"
        if outputs:
            jobs.append(_Job(source, tuple(outputs)))
    if twice:
        raise UserError(
            "two images would have translations of the same name",
            key="input",
            found=Phrase(_few(list(dict.fromkeys(twice)))),
            fix="translate them into two folders",
        )
    if foreign:
        raise UserError(
            "these files are there and have other settings or another origin",
            key="output",
            found=Phrase(_few(foreign)),
            fix="overwrite=true, or another folder",
        )
    _protect_sources(sources, jobs, settings.output)
    return jobs


def _status(
    records: Records, name: str, source: Source, facts: Mapping[str, Any], settings: Settings
) -> Literal["new", "done", "foreign"]:
    """Return whether a translation has to be made, is there, or a file of another origin is in its place."""
    path = settings.output / name
    if settings.overwrite or not path.exists():
        return "new"
    line = records.lines.get(name)
    if line is None or not same_settings(line, facts):
        return "foreign"
    try:
        status = source.path.stat()
    except OSError:  # it is reported when it is read
        return "new"
    same = line.get("source_bytes") == status.st_size and line.get("source_modified") == status.st_mtime_ns
    return "done" if same else "new"


def _protect_sources(sources: Sequence[Source], jobs: Sequence[_Job], output: Path) -> None:
    """Raise UserError if a translation would take the place of a source, under whatever name."""
    protected = {_identity(source.path) for source in sources}
    hit = [
        name
        for job in jobs
        for _, name in job.outputs
        if (output / name).exists() and _identity(output / name) in protected
    ]
    if hit:
        raise UserError(
            "translations would be written over their sources",
            key="output",
            found=Phrase(_few(hit)),
            fix="another folder",
        )


def _identity(path: Path) -> Any:
    try:
        status = path.stat()
    except OSError:
        return path.absolute()
    return (status.st_dev, status.st_ino) if status.st_ino else path.resolve()


def _renamed(name: str, suffix: str | None) -> str:
    return name if suffix is None else str(Path(name).with_suffix(f".{suffix}").as_posix())


def _safe(name: str) -> str:
    """Return a name of a target or style as the name of a folder."""
    plain = "".join(sign if sign.isalnum() or sign in "-_+. " else "_" for sign in name).strip(". ")
    return plain or "_"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def facts_of(engine: Engine, variant: Variant, settings: Settings) -> dict[str, Any]:
    """Return the facts that determine the translations of a variant."""
    full = engine.sizes is not None and settings.resolution != "model"
    return {
        **variant.facts,
        "model": engine.model,
        "weights": settings.weights,
        "weights_sha256": engine.digest,
        "resolution": "full" if full else "model",
        "max_pixels": settings.max_pixels if full else None,
        "format": settings.format,
    }


# --- work ---------------------------------------------------------------------------------------------------


_Written = Path | tuple[Path, str]
"""A translation that was written, or the source of one that could not be, and the reason."""


class _Budget:
    """A number of pixels that may be in memory; one image may have more if it is alone."""

    def __init__(self, pixels: int) -> None:
        self.free = self.pixels = pixels
        self._changed = Condition()

    def take(self, pixels: int) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_room(pixels))
            self.free -= pixels

    def has_room(self, pixels: int) -> bool:
        """Return whether there is room now."""
        return self.free >= pixels or self.free == self.pixels

    def give(self, pixels: int) -> None:
        """Return room."""
        with self._changed:
            self.free += pixels
            self._changed.notify_all()


class _Worker:
    """Decodes, translates and writes."""

    def __init__(self, engine: Engine, settings: Settings, records: Records, summary: Summary) -> None:
        self.engine, self.settings, self.records, self.summary = engine, settings, records, summary
        self.full = engine.sizes is not None and settings.resolution != "model"
        self.batch_size = settings.batch_size or (1 if engine.on_cpu else GPU_BATCH)
        self.threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
        self.ahead, self.waiting = _Budget(PIXELS_AHEAD), _Budget(PIXELS_AHEAD)
        self.writes: deque[Future[_Written]] = deque()

    def run(self, jobs: Sequence[_Job]) -> None:
        """Do all jobs."""
        with ExitStack() as stack:
            readers, self.writers = (
                ThreadPoolExecutor(self.threads, thread_name_prefix=name) for name in ("decode", "write")
            )
            for pool in (readers, self.writers):
                stack.callback(pool.shutdown, cancel_futures=True)
            progress = stack.enter_context(_Progress(len(jobs)))
            batch: list[tuple[_Decoded, Variant, str]] = []
            for job, decoded in self._decoded(jobs, readers):
                if isinstance(decoded, ImageError):
                    self.summary.failed.append((job.source.path, decoded.reason))
                    progress.update()
                    continue
                self.summary.notes.update(decoded.notes)
                if decoded.x is None:
                    self._translate_whole(decoded)
                else:
                    batch += [(decoded, variant, name) for variant, name in job.outputs]
                    while len(batch) >= self.batch_size:
                        self._translate_batch(batch[: self.batch_size])
                        del batch[: self.batch_size]
                progress.update()
            if batch:
                self._translate_batch(batch)
            while self.writes:
                self._collect()

    def _decoded(
        self, jobs: Sequence[_Job], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[_Job, "_Decoded | ImageError"]]:
        """Yield jobs in order with their images, or with the reason why there is none."""
        pending: deque[tuple[_Job, int, Future[_Decoded | ImageError]]] = deque()
        for job in jobs:
            pixels = _pixels_of(job.source.path)
            while pending and (len(pending) > 2 * self.threads or not self.ahead.has_room(pixels)):
                yield self._next(pending)
            self.ahead.take(pixels)
            pending.append((job, pixels, pool.submit(self._decode, job)))
        while pending:
            yield self._next(pending)

    def _next(self, pending: "deque[tuple[_Job, int, Future[_Decoded | ImageError]]]") -> Any:
        job, pixels, future = pending.popleft()
        try:
            return job, future.result()
        finally:
            self.ahead.give(pixels)

    def _decode(self, job: _Job) -> "_Decoded | ImageError":
        """Read a source; in a thread."""
        try:
            status = job.source.path.stat()
            content = job.source.path.read_bytes()
        except OSError as error:
            return ImageError(f"cannot be read: {error.strerror or error}")
        try:
            file = image_files.read(content)
            form = file.form if self.settings.format is None else image_files.as_format(file.form, self.settings.format)
            form, losses = image_files.fitted(form)
        except ImageError as error:
            return error
        facts = {
            "source": str(job.source.path),
            "source_sha256": sha256_of(content),
            "source_bytes": status.st_size,
            "source_modified": status.st_mtime_ns,
        }
        x, size, notes = None, file.size, (*file.notes, *losses)
        if not self.full:
            x = tiling.to_input(tiling.reduced(file.pixels, self.engine.image_size))
            file = replace(file, pixels=np.empty((0, 0, file.pixels.shape[2]), np.uint8))  # the rest is not needed
        return _Decoded(job, file, form, size, x, facts, notes)

    def _translate_batch(self, batch: Sequence[tuple[_Decoded, Variant, str]]) -> None:
        """Translate resized images and let them be written."""
        x = np.stack([decoded.x for decoded, _, _ in batch if decoded.x is not None])
        target = np.concatenate([variant.target for _, variant, _ in batch])
        styles = [variant.style for _, variant, _ in batch if variant.style is not None]
        y = self.engine.translate(x, target, np.concatenate(styles) if styles else None)
        for (decoded, variant, name), translation in zip(batch, y, strict=True):
            self._write_later(decoded, variant, name, translation.copy())

    def _translate_whole(self, decoded: _Decoded) -> None:
        """Translate an image at its own size to each of its variants."""
        rule = self.engine.sizes
        assert rule is not None
        for variant, name in decoded.job.outputs:

            def run(x: np.ndarray, variant: Variant = variant) -> np.ndarray:
                return self.engine.translate(x[None], variant.target, variant.style)[0]

            pixels = tiling.whole(run, decoded.file.pixels, rule, self.settings.max_pixels, decoded.form.bits > 8)
            self._write_later(decoded, variant, name, pixels)

    def _write_later(self, decoded: _Decoded, variant: Variant, name: str, translation: np.ndarray) -> None:
        while self.writes and self.writes[0].done():
            self._collect()
        pixels = decoded.size[0] * decoded.size[1]
        self.waiting.take(pixels)
        future = self.writers.submit(self._write, decoded, variant, name, translation)
        future.add_done_callback(lambda _: self.waiting.give(pixels))
        self.writes.append(future)

    def _collect(self) -> None:
        """Take the outcome of the oldest write into the summary."""
        written = self.writes.popleft().result()
        if isinstance(written, Path):
            self.summary.translations.append(written)
        elif written not in self.summary.failed:
            self.summary.failed.append(written)

    def _write(self, decoded: _Decoded, variant: Variant, name: str, translation: np.ndarray) -> "_Written":
        """Write a translation and its record; in a thread."""
        deep = decoded.form.bits > 8
        if decoded.x is not None:
            small = tiling.to_pixels(translation, deep=True)
            stretched = tiling.enlarged(small, *decoded.size)
            translation = stretched if deep else np.rint(stretched.clip(0, 255)).astype(np.uint8)
        path = self.settings.output / name
        try:
            content = image_files.encode(translation, decoded.file, decoded.form)
            atomic_write(path, content)
        except ImageError as error:
            return decoded.job.source.path, error.reason
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror or error}", key=str(path)) from error
        words = (*self.settings.words, f"input={decoded.job.source.path}", *variant.words)
        self.records.add(
            {
                "output": name,
                "output_sha256": sha256_of(content),
                **decoded.facts,
                "height": decoded.size[0],
                "width": decoded.size[1],
                **facts_of(self.engine, variant, self.settings),
                "batch_size": self.batch_size,
                "runtime": self.engine.runtime,
                "notes": list(decoded.notes),
                "words": list(words),
            }
        )
        return path


def _pixels_of(path: Path) -> int:
    """Return the number of pixels that a file announces; 1 for a file that is not an image, which is reported later."""
    try:
        height, width = image_files.size_of(path)
    except ImageError:
        return 1
    return height * width


class _Progress:
    """A bar in a terminal or notebook; elsewhere a line in the log from time to time."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0
        self.bar = tqdm(total=total, unit=" images", desc="translating", disable=not is_interactive())
        self.begin = self.noted = time.perf_counter()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def update(self) -> None:
        """Count a source."""
        self.count += 1
        self.bar.update()
        now = time.perf_counter()
        if self.bar.disable and now - self.noted > LOG_EVERY:
            self.noted = now
            speed = self.count / (now - self.begin)
            log.info("translated %s of %s images, %.1f a second", f"{self.count:,}", f"{self.total:,}", speed)
