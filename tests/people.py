"""People drawn by formula before cameras of different colours, in Market-1501's layout.

    python tests/people.py FOLDER

A person has a colour of skin, hair, shirt and trousers, and a build. A pose is drawn for each image. A camera has a
background, a light, and a colour of its own.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 128, 64
SPLITS = {"bounding_box_train": 0, "bounding_box_test": 1}
SKINS = ((0.95, 0.80, 0.69), (0.80, 0.60, 0.45), (0.55, 0.37, 0.26), (0.36, 0.24, 0.18))
COLOURS = (
    (0.85, 0.15, 0.15), (0.15, 0.35, 0.80), (0.15, 0.60, 0.25), (0.95, 0.80, 0.20), (0.95, 0.95, 0.93),
    (0.12, 0.12, 0.14), (0.55, 0.25, 0.65), (0.95, 0.55, 0.15), (0.45, 0.45, 0.48), (0.30, 0.70, 0.75),
)  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """The ground and wall behind people, the gain of each channel, the contrast, and the light from one side."""

    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    gain: tuple[float, float, float]
    contrast: float
    light: float


CAMERAS = (
    Camera((0.72, 0.74, 0.70), (0.52, 0.52, 0.48), (1.00, 1.00, 1.00), 1.0, 0.0),
    Camera((0.40, 0.58, 0.32), (0.62, 0.54, 0.40), (1.08, 1.00, 0.78), 1.0, 0.15),
    Camera((0.42, 0.52, 0.66), (0.36, 0.40, 0.46), (0.72, 0.90, 1.12), 0.8, 0.0),
    Camera((0.62, 0.42, 0.34), (0.44, 0.36, 0.32), (1.12, 0.86, 0.72), 1.1, -0.2),
    Camera((0.86, 0.84, 0.80), (0.74, 0.72, 0.70), (1.05, 1.05, 1.05), 0.6, 0.1),
    Camera((0.20, 0.22, 0.26), (0.16, 0.17, 0.18), (0.62, 0.66, 0.70), 1.2, 0.25),
)


def capsule(x: np.ndarray, y: np.ndarray, a: tuple[float, float], b: tuple[float, float], radius: float) -> np.ndarray:
    """Return the coverage (H, W) of a stroke with round ends from a to b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
    return np.clip(radius + 0.5 - np.hypot(x - a[0] - along * dx, y - a[1] - along * dy), 0, 1)


def draw(person: int, camera: int, number: int) -> np.ndarray:
    """Return an image (128, 64, 3) uint8 of a person before a camera (0 to 5), with a pose of its own."""
    who, pose = np.random.default_rng([7, person]), np.random.default_rng([9, person, camera, number])
    skin = np.array(SKINS[who.integers(len(SKINS))])
    hair = np.array(COLOURS[who.integers(len(COLOURS))]) * 0.5
    shirt, trousers = (np.array(COLOURS[k]) for k in who.choice(len(COLOURS), 2, replace=False))
    build, tall = who.uniform(0.85, 1.2), who.uniform(0.92, 1.04)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    view = CAMERAS[camera]
    horizon = 84 + pose.uniform(-6, 6)
    image = np.where((y < horizon)[..., None], view.wall, view.floor)
    bands = 0.03 * np.sin((x + 40 * pose.uniform()) * (0.25 + 0.07 * camera))
    image = image + (bands * (y < horizon))[..., None]
    middle, stride, swing = 32 + pose.uniform(-4, 4), pose.uniform(-7, 7), pose.uniform(-6, 6)
    top = 12 + (1 - tall) * 90 + pose.uniform(-2, 2)
    hips, feet, shoulders = top + 58, 122.0, top + 22

    def put(coverage: np.ndarray, colour: np.ndarray) -> None:
        nonlocal image
        image = image * (1 - coverage[..., None]) + colour * coverage[..., None]

    put(0.35 * capsule(x, y, (middle - 14, feet), (middle + 14, feet), 4), np.zeros(3))
    for side in (-1, 1):
        hip, foot = (middle + side * 4 * build, hips), (middle + side * (4 + abs(stride)), feet - 2)
        put(capsule(x, y, hip, foot, 5.2 * build), trousers)
        put(capsule(x, y, foot, (foot[0] + 3 * side, feet), 3), np.array([0.1, 0.1, 0.1]))
        hand = (middle + side * (13 * build + 2) + swing * side * 0.4, hips - 2 + swing * 0.5 * side)
        put(capsule(x, y, (middle + side * 10 * build, shoulders + 2), hand, 3.4 * build), 0.9 * shirt)
        put(capsule(x, y, hand, hand, 3.2), skin)
    put(capsule(x, y, (middle, shoulders + 4), (middle, hips - 3), 10.5 * build), shirt)
    put(capsule(x, y, (middle, top + 9), (middle, top + 17), 3.6), skin)
    put(capsule(x, y, (middle, top + 6), (middle, top + 8), 7.4), hair)
    put(capsule(x, y, (middle, top + 9), (middle, top + 10), 5.6), skin)
    shade = 1 + view.light * (x / WIDTH - 0.5)
    seen = (0.5 + view.contrast * (image * shade[..., None] - 0.5)) * np.array(view.gain)
    noise = pose.normal(0, 0.012, image.shape)
    return np.rint(np.clip(seen + noise, 0, 1) * 255).astype(np.uint8)


def market1501(root: Path, persons: int = 60, each: int = 2, junk: int = 4) -> None:
    """Write so many people of each split, ``each`` images before every camera, and junk and distractors."""
    for folder, first in SPLITS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for person in range(1 + first, 2 * persons + 1, 2):
            for camera in range(len(CAMERAS)):
                for number in range(each):
                    name = f"{person:04d}_c{camera + 1}s1_{1000 * person + number:06d}_00.jpg"
                    Image.fromarray(draw(person, camera, number)).save(root / folder / name, quality=95)
        for number in range(junk):
            for person in ("-1", "0000"):
                name = f"{person}_c{number % len(CAMERAS) + 1}s1_{number:06d}_00.jpg"
                Image.fromarray(draw(9000 + number, number, number)).save(root / folder / name, quality=95)


if __name__ == "__main__":
    market1501(Path(sys.argv[1]))
