"""Align photographs of faces as those of CelebA-HQ, by their landmarks.

An image is turned, scaled and moved so that its landmarks lie as near as possible to mean landmarks. The definition is
that of the official StarGAN v2 code, whose axis of a face is that of Karras et al. (ICLR 2018, appendix C).

Letters: B batch, S image side. Points are column and row, in pixels. A face has the 98 landmarks of WFLW.

Differences from the official code: the warped image is not rounded to 8 bits before it is interpolated, and the
interpolation uses the exact place instead of the nearest 1/32 pixel. An image without a face is refused.
"""

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from translate.console import is_interactive
from translate.data.images import Crop, ImageError, read_image
from translate.data.transforms import to_float
from translate.errors import Phrase, UserError
from translate.files.reading import require_file
from translate.files.writing import atomic_write
from translate.inference.images import to_pixels
from translate.networks.wing import IMAGE_SIDE, NUM_LANDMARKS, FaceLandmarks

LEFT_EYE, RIGHT_EYE = (*range(60, 68), 96), (*range(68, 76), 97)
"""Landmarks of the eyelids and the pupil; left and right in the image."""

LEFT_MOUTH, RIGHT_MOUTH = 76, 82  # corners
SCALED = (96, 97, LEFT_MOUTH, RIGHT_MOUTH)  # landmarks whose distances from the centre give the scale
LOBES = 4  # of the Lanczos kernel on each side
QUALITY = 95  # of JPEG and WebP files
KEY = "mean"  # of the file of mean landmarks


# --- geometry -----------------------------------------------------------------------------------------------


def face_axis(landmarks: Tensor) -> Tensor:
    """Return the direction (2,) from the left to the right of a face, of length 1; its landmarks are (98, 2).

    It is the mean of the line between the eyes and the line from the mouth to the eyes, turned by 90 degrees.
    """
    left, right = landmarks[list(LEFT_EYE)].mean(0), landmarks[list(RIGHT_EYE)].mean(0)
    up = (left + right) / 2 - (landmarks[LEFT_MOUTH] + landmarks[RIGHT_MOUTH]) / 2
    axis = right - left - torch.stack([up[1], -up[0]])
    return axis / axis.norm()


def similarity(landmarks: Tensor, reference: Tensor) -> Tensor:
    """Return the transform (2, 3) that takes the landmarks (98, 2) of a face to reference landmarks (98, 2).

    It takes mean to mean and axis to axis. The scale is the mean ratio of the distances of pupils and corners of the
    mouth from the mean.
    """
    landmarks, reference = landmarks.double(), reference.double()
    (x, y), (u, v) = face_axis(landmarks), face_axis(reference)
    cosine, sine = x * u + y * v, x * v - y * u
    centre, new_centre = landmarks.mean(0), reference.mean(0)
    scale = ((reference - new_centre).norm(dim=1) / (landmarks - centre).norm(dim=1))[list(SCALED)].mean()
    linear = scale * torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    return torch.cat([linear, (new_centre - linear @ centre)[:, None]], dim=1)


def mirror_padded(x: Tensor) -> Tensor:
    """Return images (B, 3, 2 S, 2 S) around images (B, 3, S, S), mirrored, and blurred towards the border."""
    side = x.shape[2]
    margin = side // 2
    mirrored = F.pad(x, (margin,) * 4, mode="reflect")
    blurred = F.interpolate(_gaussian(F.avg_pool2d(mirrored, 2), side // 100), size=mirrored.shape[2:], mode="bilinear")
    place = torch.arange(mirrored.shape[2], device=x.device, dtype=x.dtype)
    ramp = (torch.minimum(place, place.flip(0)) / margin).clamp(0, 1)
    weight = torch.minimum(ramp[:, None], ramp[None, :]) ** 4
    return torch.lerp(blurred, mirrored, weight)


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    """Return images blurred by a Gaussian, cut off at four times ``sigma``; the border is repeated."""
    if sigma == 0:
        return x
    radius = int(4 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(x, kernel, groups=x.shape[1]), kernel.transpose(2, 3), groups=x.shape[1])


def warp(x: Tensor, transform: Tensor, size: int) -> Tensor:
    """Return the image (3, size, size) whose pixel at ``transform @ (column, row, 1)`` is that of x (3, H, W) there.

    Interpolated by the Lanczos kernel of four lobes, with weights of sum 1. Outside of x everything is 0.
    """
    linear, shift = transform[:, :2].double(), transform[:, 2].double()
    row, column = torch.meshgrid(*(torch.arange(size, dtype=torch.float64),) * 2, indexing="ij")
    places = torch.linalg.solve(linear, torch.stack([column.flatten(), row.flatten()]) - shift[:, None])
    first = places.floor().long() - LOBES + 1
    taps = torch.arange(2 * LOBES)
    distance = places[:, :, None] - (first[:, :, None] + taps)
    weights = torch.sinc(distance) * torch.sinc(distance / LOBES)
    weights = (weights / weights.sum(2, keepdim=True)).to(x)
    height, width = x.shape[1:]
    flat = x.flatten(1)
    result = torch.zeros(x.shape[0], size * size, dtype=x.dtype, device=x.device)
    for i in taps.tolist():
        rows = first[1] + i
        for j in taps.tolist():
            columns = first[0] + j
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            index = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).to(x.device)
            result += flat[:, index] * (weights[1, :, i] * weights[0, :, j] * inside.to(x))
    return result.view(-1, size, size)


def align(x: Tensor, landmarks: Tensor, reference: Tensor) -> Tensor:
    """Return an image (3, S, S) in [-1, 1] whose face has been moved from its landmarks to reference landmarks.

    Both are (98, 2), in pixels of the image. ImageError if the landmarks do not make a face.
    """
    side = x.shape[2]
    transform = similarity(landmarks.cpu() + side // 2, reference.cpu())
    if not transform.isfinite().all():
        raise ImageError("shows no face: its landmarks coincide")
    aligned = warp(mirror_padded(x[None])[0] + 1, transform, side)  # black outside
    return (aligned - 1).clamp(-1, 1)


# --- files --------------------------------------------------------------------------------------------------


def read_mean_landmarks(path: Path) -> Tensor:
    """Return the mean landmarks (98, 2) in pixels of 256 of a file as celeba_lm_mean.npz; nothing in it is executed."""
    expected = f"a NumPy file with {KEY!r}, an array of shape ({NUM_LANDMARKS}, 2)"
    require_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            mean = np.asarray(file[KEY], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"not a file of mean landmarks ({type(error).__name__})", key="mean", found=str(path), expected=expected
        ) from error
    if mean.shape != (NUM_LANDMARKS, 2) or not np.isfinite(mean).all():
        raise UserError(key="mean", found=Phrase(f"an array of shape {mean.shape}"), expected=expected)
    return torch.from_numpy(mean)


def mean_landmarks(network: FaceLandmarks, paths: Sequence[Path], device: torch.device) -> Tensor:
    """Return the mean landmarks (98, 2) in pixels of 256 of images of aligned faces; UserError if none is readable."""
    total, count = torch.zeros(NUM_LANDMARKS, 2, dtype=torch.float64), 0
    for path in paths:
        try:
            x = read_face(path, IMAGE_SIDE, "none").to(device)
        except ImageError:
            continue
        total += network.landmarks(x)[0].double().cpu()
        count += 1
    if count == 0:
        raise UserError("no image can be read", key="mean")
    return total / count


def read_face(path: Path, size: int, crop: Crop) -> Tensor:
    """Return the image of a file as a batch of one (1, 3, size, size) in [-1, 1]; ImageError if it is unreadable."""
    return to_float(torch.from_numpy(read_image(path, size, crop)[None]))


class FaceAligner:
    """Aligns faces to mean landmarks (98, 2), which are in pixels of an image of 256 x 256."""

    def __init__(self, network: FaceLandmarks, mean: Tensor, image_size: int = IMAGE_SIDE) -> None:
        self.network = network
        self.image_size = image_size
        self.reference = mean * (image_size / IMAGE_SIDE)
        if not math.isfinite(face_axis(self.reference).sum().item()):
            raise UserError("the mean landmarks do not make a face", key="mean")

    def __call__(self, x: Tensor) -> Tensor:
        """Return an image (1, 3, S, S) in [-1, 1] aligned; ImageError for an image without a face."""
        return align(x[0], self.network.landmarks(x)[0], self.reference)[None]


@dataclass
class Summary:
    """The outcome: the number of new files, of those that existed, and the files that failed, with reasons."""

    written: int = 0
    existing: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


def align_files(
    aligner: FaceAligner, files: Sequence[tuple[Path, Path]], crop: Crop = "none", overwrite: bool = False
) -> Summary:
    """Align photographs, each to a file whose suffix gives its format; ``files`` are pairs of both paths.

    ``crop`` is how a photograph becomes square, see `translate.data.images.resize`. Files that exist are kept unless
    ``overwrite``.
    """
    device = next(aligner.network.parameters()).device
    summary = Summary()
    for photograph, target in tqdm(files, unit="face", disable=not is_interactive()):
        if target.exists() and not overwrite:
            summary.existing += 1
            continue
        try:
            aligned = aligner(read_face(photograph, aligner.image_size, crop).to(device))
        except ImageError as error:
            summary.failed.append((photograph, error.reason))
            continue
        buffer = io.BytesIO()
        image = Image.fromarray(to_pixels(aligned)[0].numpy())
        image.save(buffer, Image.registered_extensions()[target.suffix.lower()], quality=QUALITY)
        atomic_write(target, buffer.getvalue())
        summary.written += 1
    return summary
