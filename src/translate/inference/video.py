"""Films of translations: frames of styles that change gradually, written one by one.

A film is written by ffmpeg as its frames come, so that its length costs no memory.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from translate.data.images import ImageError, open_rgb
from translate.errors import UserError
from translate.files.reading import is_whole_number
from translate.files.writing import atomic_path, written

EXTRA = "pip install 'translate-gan[video]'"

PALETTE = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"  # of each frame, so none is kept
FORMATS: dict[str, tuple[str, ...]] = {
    ".mp4": ("-f", "mp4", "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"),
    ".webm": ("-f", "webm", "-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-pix_fmt", "yuv420p"),
    ".gif": ("-f", "gif", "-filter_complex", PALETTE),
}
"""The arguments of ffmpeg for the suffix of a film's file."""


def check(path: Path) -> None:
    """Raise UserError if films cannot be written under this name, or not without another package."""
    if path.suffix.lower() not in FORMATS:
        raise UserError("unknown kind of film", key="output", found=path.suffix, known=tuple(FORMATS))
    if find_spec("imageio_ffmpeg") is None:
        raise UserError("the package imageio-ffmpeg is not installed", key="output", fix=EXTRA)


@contextmanager
def film(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends a frame (H, W, 3) uint8 to the film at ``path``; all frames have one size.

    An odd height or width is padded by white, since codecs need even ones. UserError for an unknown suffix, without
    the package imageio-ffmpeg, and for a film that ffmpeg refuses.
    """
    check(path)
    import imageio_ffmpeg

    writer: Any = None
    count = 0
    with written(path), atomic_path(path) as unfinished:
        unfinished.touch()  # fails here with a plain reason, and not in ffmpeg

        def append(frame: np.ndarray) -> None:
            nonlocal writer, count
            even = np.pad(frame, [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)], constant_values=255)
            if writer is None:
                writer = imageio_ffmpeg.write_frames(
                    str(unfinished),
                    (even.shape[1], even.shape[0]),
                    fps=fps,
                    codec="gif" if path.suffix.lower() == ".gif" else None,
                    macro_block_size=1,
                    quality=None,
                    ffmpeg_log_level="error",
                    output_params=list(FORMATS[path.suffix.lower()]),
                )
                writer.send(None)
            try:
                writer.send(np.ascontiguousarray(even))
            except OSError as error:  # ffmpeg has ended: it prints why
                raise _unfinished(path) from error
            count += 1

        try:
            yield append
        finally:
            if writer is not None:
                writer.close()
        if _frames_in(unfinished) < count:  # ffmpeg does not say that its last bytes were not written
            raise _unfinished(path)


def _unfinished(path: Path) -> UserError:
    return UserError("the film was not written to its end", key=str(path), fix="free space on the disk")


def _frames_in(path: Path) -> int:
    """Return the number of frames in the file of a film, 0 if it cannot be read."""
    import imageio_ffmpeg

    try:
        return int(imageio_ffmpeg.count_frames_and_secs(str(path))[0])
    except (RuntimeError, OSError, ValueError):
        return 0


def write(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write frames (H, W, 3) uint8 of one size as a film; return their number.

    The first frame is computed before anything is written.
    """
    check(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError("the film has no frames", key="output")
    count = 0
    with film(path, fps) as append:
        for frame in chain([first], frames):
            append(frame)
            count += 1
    return count


# --- frames -------------------------------------------------------------------------------------------------


def path_of_weights(num_keys: int, steps: int, loop: bool) -> Iterator[tuple[int, int, float]]:
    """Yield for each frame the numbers of two keys and the weight of the second one, in [0, 1).

    ``steps`` frames lead from a key to the next, slowly at both ends: ``w(t) = (1 - cos(pi t)) / 2``. With ``loop`` the
    last key leads to the first; otherwise the film ends with a frame of the last key.

    >>> [(a, b, round(w, 2)) for a, b, w in path_of_weights(2, 2, loop=False)]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 1, 0.0)]
    """
    for first in range(num_keys if loop and num_keys > 1 else num_keys - 1):
        for step in range(steps):
            yield first, (first + 1) % num_keys, (1 - math.cos(math.pi * step / steps)) / 2
    if not loop or num_keys == 1:
        yield num_keys - 1, num_keys - 1, 0.0


def training_frames(paths: Sequence[Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the iteration, as text, and the pixels (H, W, 3) uint8 of a run's sample grids of one kind.

    Grids of another size than the first are left out, as after a change of the number of samples.
    """
    size = None
    for path in paths:
        try:
            pixels = np.asarray(open_rgb(path))
        except ImageError as error:
            raise UserError(f"the sample grid {error.reason}", key=str(path), fix="remove the file") from error
        size = size or pixels.shape
        if pixels.shape == size:
            yield path.stem.partition("_")[0].lstrip("0") or "0", pixels


def sample_paths(folder: Path, name: str | None) -> list[Path]:
    """Return the sample grids of a kind in a folder in the order of training; UserError without any, or two kinds."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.png")):
        iteration, _, kind = path.stem.partition("_")
        if is_whole_number(iteration):
            kinds.setdefault(kind, []).append(path)
    if not kinds:
        raise UserError(f"{folder} has no sample grids", key="weights", fix="train with sample_every=N")
    if name is None and len(kinds) > 1:
        return kinds["latent"] if "latent" in kinds else next(iter(kinds.values()))
    if name is not None and name not in kinds:
        raise UserError("the run has no such sample grids", key="grid", found=name, known=tuple(kinds))
    return kinds[name] if name is not None else next(iter(kinds.values()))
