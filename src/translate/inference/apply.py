"""Translate the files of a folder with any engine; torch is not imported.

Files are decoded and written by threads while the networks compute. The images that are in memory at once have a
bounded number of pixels. What a folder of translations holds is recorded in ``translations.jsonl``.
"""

import logging
import os
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.flaws import KINDS, flaw_of
from translate.data.images import ImageError, explained, read_file
from translate.data.pixel_budget import PixelBudget
from translate.errors import UserError
from translate.files.writing import atomic_write, check_writable
from translate.inference import image_encoding, image_files, image_forms, tiling
from translate.inference.apply_plan import Job, facts_of, plan
from translate.inference.apply_plan import Settings as Settings
from translate.inference.engine import Engine
from translate.inference.image_files import ImageFile
from translate.inference.image_forms import Form
from translate.inference.inputs import Source
from translate.inference.records import Records
from translate.inference.variants import Variant, sha256_of

log = logging.getLogger("translate")

PIXELS_AHEAD = 24_000_000
"""Pixels of images that are decoded ahead, and of translations that wait to be written; one image may have more."""

GPU_BATCH = 16
MAX_THREADS = 8
LOG_EVERY = 15.0  # seconds between lines of progress where no bar can be drawn


@dataclass
class Summary:
    """The outcome: new translations, the number of those that existed, and files that failed, with reasons."""

    output: Path | str  # the folder, or the address
    translations: list[Path] = field(default_factory=list)
    existing: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Decoded:
    """A source that has been read. ``x`` is its input (3, H, W) if it is resized; then the file has no pixels."""

    job: Job
    file: ImageFile
    form: Form
    size: tuple[int, int]
    x: np.ndarray | None
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


def apply(engine: Engine, sources: Sequence[Source], variants: Sequence[Variant], settings: Settings) -> Summary:
    """Translate every source to every variant below the folder ``settings.output``; return what was done.

    A translation has the path of its source below the folder; where there are several targets or styles, below folders
    of their names. With ``settings.remote`` the files are copied to an address. Translations that are there already
    with the same settings are kept. UserError, before anything is written, if two translations have the same path, and
    for a path that is an input or was not made by `apply`.
    """
    begin = time.perf_counter()
    check_writable(settings.output, "output")
    records, remote = Records(settings.output), settings.remote
    jobs, existing = plan(engine, sources, variants, settings, records)
    summary = Summary(settings.output if remote is None else str(remote), existing=existing)
    if remote is not None and jobs:
        remote.begin()
    worker = _Worker(engine, settings, records, summary)
    try:
        with warnings.catch_warnings():  # Pillow warns of images that are large; far larger ones it refuses
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # and of damaged metadata
            worker.run(jobs)
    finally:
        records.close()
    if remote is not None and jobs:
        remote.finish()
    summary.seconds = time.perf_counter() - begin
    return summary


_Written = Path | tuple[Path, str]
"""A translation that was written, or the source of one that could not be, and the reason."""


class _Worker:
    """Decodes, translates and writes."""

    def __init__(self, engine: Engine, settings: Settings, records: Records, summary: Summary) -> None:
        self.engine, self.settings, self.records, self.summary = engine, settings, records, summary
        self.full = engine.sizes is not None and settings.resolution != "model"
        self.batch_size = settings.batch_size or (1 if engine.on_cpu else GPU_BATCH)
        self.threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
        self.ahead, self.waiting = PixelBudget(PIXELS_AHEAD), PixelBudget(PIXELS_AHEAD)
        self.writes: deque[Future[_Written]] = deque()
        self.lock = threading.Lock()  # of the notes of the summary

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs."""
        with ExitStack() as stack:
            readers, self.writers = (
                ThreadPoolExecutor(self.threads, thread_name_prefix=name) for name in ("decode", "write")
            )
            for pool in (readers, self.writers):
                stack.callback(pool.shutdown, cancel_futures=True)
            if self.settings.remote is not None:
                stack.enter_context(self.settings.remote.hurrying())
            progress = stack.enter_context(_Progress(len(jobs)))
            batch: list[tuple[_Decoded, Variant, str]] = []
            for job, decoded in self._decoded(jobs, readers):
                if isinstance(decoded, ImageError):
                    self.summary.failed.append((job.source.path, decoded.reason))
                    progress.update()
                    continue
                with self.lock:
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

    def _decoded(self, jobs: Sequence[Job], pool: ThreadPoolExecutor) -> Iterator[tuple[Job, "_Decoded | ImageError"]]:
        """Yield jobs in order with their images, or with the reason why an image is missing."""
        pending: deque[tuple[Job, int, Future[_Decoded | ImageError]]] = deque()
        for job in jobs:
            pixels = _pixels_of(job.source.path)
            while pending and (len(pending) > 2 * self.threads or not self.ahead.has_room(pixels)):
                yield self._next(pending)
            self.ahead.take(pixels)
            pending.append((job, pixels, pool.submit(self._decode, job)))
        while pending:
            yield self._next(pending)

    def _next(self, pending: "deque[tuple[Job, int, Future[_Decoded | ImageError]]]") -> Any:
        job, pixels, future = pending.popleft()
        try:
            return job, future.result()
        finally:
            self.ahead.give(pixels)

    def _decode(self, job: Job) -> "_Decoded | ImageError":
        """Read a source; in a thread."""
        try:
            with explained(job.source.path):
                status = job.source.path.stat()
            content = read_file(job.source.path)
            file = image_files.read(content)
            form = file.form if self.settings.format is None else image_forms.as_format(file.form, self.settings.format)
            form, losses = image_forms.fitted(form)
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

            deep, scale = decoded.form.bits > 8, self.engine.scale
            pixels = tiling.whole(run, decoded.file.pixels, rule, self.settings.max_pixels, deep, scale)
            self._write_later(decoded, variant, name, pixels)

    def _write_later(self, decoded: _Decoded, variant: Variant, name: str, translation: np.ndarray) -> None:
        while self.writes and self.writes[0].done():
            self._collect()
        pixels = decoded.size[0] * decoded.size[1] * self.engine.scale**2
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

    def _note_flaw(self, decoded: _Decoded, translation: np.ndarray, deep: bool) -> None:
        """Count a translation that is black, of one colour or saturated though its source is not; in a thread."""
        kind = flaw_of(translation / 257 if deep else translation)
        if not kind:
            return
        x = decoded.x
        bright = 257 if decoded.file.pixels.dtype == np.uint16 else 1
        source = decoded.file.pixels / bright if x is None else (x.transpose(1, 2, 0) + 1) * 127.5
        if flaw_of(source[..., :3]) != kind:
            with self.lock:
                self.summary.notes[f"the translation is {KINDS[kind]}, and its source is not"] += 1

    def _write(self, decoded: _Decoded, variant: Variant, name: str, translation: np.ndarray) -> "_Written":
        """Write a translation and its record; in a thread."""
        deep = decoded.form.bits > 8
        if decoded.x is not None:
            small = tiling.to_pixels(translation, deep=True)
            stretched = tiling.enlarged(small, *(self.engine.scale * side for side in decoded.size))
            translation = stretched if deep else np.rint(stretched.clip(0, 255)).astype(np.uint8)
        self._note_flaw(decoded, translation, deep)
        path = self.settings.output / name
        try:
            source = image_files.enlarged(decoded.file, self.engine.scale)
            content = image_encoding.encode(translation, source, decoded.form)
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
                **({} if decoded.job.domain is None else {"source_domain": decoded.job.domain}),
                "height": decoded.size[0],
                "width": decoded.size[1],
                **facts_of(self.engine, variant, self.settings),
                "batch_size": self.batch_size,
                "runtime": self.engine.runtime,
                "notes": list(decoded.notes),
                "words": list(words),
            }
        )
        if self.settings.remote is None:
            return path
        self.settings.remote.add(name, len(content))
        return Path(name)


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
