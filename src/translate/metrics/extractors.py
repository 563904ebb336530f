"""Features for protocol `independent`: of networks that saw neither the run's images nor their domains.

`faces` is dlib's face recogniser, `inception` a network of photographs, `gradients` a fixed formula that needs no file.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from translate.errors import UserError
from translate.metrics.features import OfficialInception
from translate.metrics.interfaces import Features

FACES_PACKAGE = "face_recognition_models"
FACES_FILES = ("dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat")
INSTALL_FACES = "pip install 'translate-gan[faces]'"


class Gradients:
    """Fixed features of contours and colours, 176 wide: no network, no file.

    Of the image at 32 px: histograms of the direction of the grey gradient, 8 bins weighted by its length, in 4x4
    cells, scaled to length 1 together; and the mean of each colour in 4x4 cells, in [0, 1].
    """

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, 176) float32 of images (n, H, W, 3) uint8."""
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, size=(32, 32), mode="area")
        grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        dx = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
        dy = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
        length, direction = torch.hypot(dx, dy), torch.atan2(dy, dx)
        bins = ((direction + torch.pi) / (2 * torch.pi) * 8).long().clamp(max=7)[:, 0]
        planes = F.one_hot(bins, 8).permute(0, 3, 1, 2) * length  # (n, 8, 32, 32)
        contours = F.adaptive_avg_pool2d(planes, 4).flatten(1)
        contours = contours / contours.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return torch.cat([contours, F.adaptive_avg_pool2d(x, 4).flatten(1)], dim=1)


class Faces:
    """The descriptors of dlib's face recogniser (a ResNet of 29 layers, trained on 3 million faces), 128 wide.

    Images are crops with one face, as CelebA is aligned: five landmarks are found in the rectangle from 22 % to 78 % of
    the width and from 28 % to 84 % of the height, at 256 px, and the face is turned and cut to 150 px by them. No
    detector takes part, so every image has features, also one without a face.
    """

    SIDE, CHIP, PADDING = 256, 150, 0.25
    RECTANGLE = (0.22, 0.28, 0.78, 0.84)  # left, top, right, bottom

    def __init__(self, folder: Path) -> None:
        try:
            import dlib
        except ModuleNotFoundError as error:
            raise UserError("the face recogniser needs dlib", key="extractor", fix=INSTALL_FACES) from error
        self.dlib: Any = dlib
        recogniser, landmarks = (str(folder / name) for name in FACES_FILES)
        self.recogniser, self.landmarks = dlib.face_recognition_model_v1(recogniser), dlib.shape_predictor(landmarks)

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Return features (n, 128) float32 of images (n, H, W, 3) uint8."""
        corners = (round(share * self.SIDE) for share in self.RECTANGLE)
        rectangle = self.dlib.rectangle(*corners)
        chips = []
        for image in pixels:
            large = np.asarray(Image.fromarray(image).resize((self.SIDE, self.SIDE), Image.Resampling.BICUBIC))
            shape = self.landmarks(large, rectangle)
            chips.append(self.dlib.get_face_chip(large, shape, self.CHIP, self.PADDING))
        descriptors = self.recogniser.compute_face_descriptor(chips) if chips else []
        return torch.tensor(np.array(descriptors, np.float32).reshape(-1, 128))


def faces_file(named: str | None, key: str) -> Path:
    """Return the file of the face recogniser; the landmarks are beside it. UserError where one is missing.

    ``named`` is the user's own file; else it is that of the package `face_recognition_models`, which is not executed.
    """
    if named is not None:
        folder = Path(named).expanduser().parent
    else:
        spec = importlib.util.find_spec(FACES_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise UserError("the weights of the face recogniser are not installed", key=key, fix=INSTALL_FACES)
        folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    for name in FACES_FILES:
        if not (folder / name).is_file():
            raise UserError(f"there is no file {folder / name}", key=key, expected=" and ".join(FACES_FILES))
    return folder / FACES_FILES[0]


EXTRACTORS: dict[str, Callable[[Path | None, torch.device], Features]] = {
    "gradients": lambda file, device: Gradients(),
    "faces": lambda file, device: Faces(_known(file).parent),
    "inception": lambda file, device: OfficialInception(_known(file), device),
}
"""Extractor -> the features, made from its file of weights on a device."""

WEIGHTS_OF = {"inception": "inception_torchvision"}
"""Extractor -> the key of its released file in `metrics.weights.FILES`."""


def _known(file: Path | None) -> Path:
    assert file is not None
    return file
