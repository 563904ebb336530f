"""Faces are aligned by the similarity of their landmarks to reference landmarks."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from numerics import landmarks as plain
from translate.cli import main
from translate.data.images import ImageError
from translate.inference import faces
from translate.inference.faces import align, face_axis, mirror_padded, similarity, warp
from translate.networks.wing import FaceLandmarks


def face(centre: float = 128.0) -> Tensor:
    """Return upright landmarks (98, 2) with eyes, a mouth and an outline, in pixels of 256."""
    points = torch.zeros(98, 2, dtype=torch.float64)
    angle = torch.linspace(0, math.pi, 60, dtype=torch.float64)
    points[:60] = torch.stack([-70 * angle.cos(), 75 * angle.sin()], 1)
    for first, x, count, pupil in ((60, -30.0, 8, 96), (68, 30.0, 8, 97)):
        turn = torch.arange(count, dtype=torch.float64) / count * 2 * math.pi
        points[first : first + count] = torch.stack([x + 9 * turn.cos(), -20 + 4 * turn.sin()], 1)
        points[pupil] = torch.tensor([x, -20.0])
    points[76:96, 0] = torch.linspace(-25, 25, 20, dtype=torch.float64)
    points[82] = torch.tensor([25.0, 45.0])
    points[76:96, 1] = 45
    return points + centre


def turned(points: Tensor, degrees: float, scale: float, shift: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return points turned clockwise in the image about its origin, scaled, moved; and the transform (2, 3)."""
    angle = math.radians(degrees)
    linear = scale * torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
    )
    moved = torch.tensor(shift, dtype=torch.float64)
    return points @ linear.T + moved, torch.cat([linear, moved[:, None]], 1)


# --- geometry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (20, 0.7, (31, -8)), (-95, 1.6, (-3, 200))])
def test_similarity_undoes_a_similarity(degrees: float, scale: float, shift: tuple[float, float]) -> None:
    source, transform = turned(face(), degrees, scale, shift)
    found = similarity(source, face())
    whole = torch.cat([transform, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)])
    wanted = torch.linalg.inv(whole)[:2]
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)


def test_the_axis_of_an_upright_face_goes_to_the_right() -> None:
    axis = face_axis(face())
    torch.testing.assert_close(axis, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-9, rtol=0)
    aslant, _ = turned(face(), 30, 2.0, (5, 5))
    angle = math.degrees(math.atan2(*face_axis(aslant).flip(0).tolist()))
    assert angle == pytest.approx(30)


def test_the_scale_is_that_of_pupils_and_mouth() -> None:
    """Other landmarks change the centre alone."""
    source = face()
    source[:60] = source[:60].mean(0) + (source[:60] - source[:60].mean(0)) * 1.5
    linear = similarity(source, face())[:, :2]
    torch.testing.assert_close(linear, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-6)


# --- images ---------------------------------------------------------------------------------------------------


def smooth(size: int, column: Tensor | None = None, row: Tensor | None = None) -> Tensor:
    """Return an image (3, H, W) that is a smooth function of column and row, in [-1, 1]."""
    if column is None or row is None:
        row, column = torch.meshgrid(*(torch.arange(size, dtype=torch.float64),) * 2, indexing="ij")
    waves = [(column / 23 + row / 31).sin(), (row / 17).cos(), (column / 40 - 1).sin()]
    return torch.stack(waves).float() * 0.9


def test_warping_interpolates_a_smooth_image() -> None:
    _, transform = turned(face(), 12, 0.9, (20, -6))
    inverse = torch.linalg.inv(torch.cat([transform, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)]))
    found = warp(smooth(160), transform, 100)
    row, column = torch.meshgrid(*(torch.arange(100, dtype=torch.float64),) * 2, indexing="ij")
    x = inverse[0, 0] * column + inverse[0, 1] * row + inverse[0, 2]
    y = inverse[1, 0] * column + inverse[1, 1] * row + inverse[1, 2]
    inside = (x > 4) & (x < 155) & (y > 4) & (y < 155)
    assert inside.float().mean() > 0.5
    error = (found - smooth(160, x, y)).abs()[:, inside]
    assert error.max() < 2e-3
    outside = (x < -4) | (y < -4)
    assert outside.any()
    assert (found[:, outside] == 0).all()


def test_an_aligned_face_stays_as_it_is() -> None:
    x = smooth(256)
    torch.testing.assert_close(align(x, face(), face()), x, rtol=0, atol=1e-5)


def test_a_turned_face_comes_back() -> None:
    """What the turn has cut off is mirrored, so the middle is compared."""
    points, transform = turned(face(), 15, 0.8, (60, 10))
    photograph = warp(smooth(256) + 1, transform, 256) - 1
    found = align(photograph, points, face())
    error = (found - smooth(256)).abs()[:, 70:186, 70:186]
    assert error.max() < 0.01


def test_padding_is_a_mirror_that_fades_into_blur() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 200, 200, generator=generator) * 2 - 1
    padded = mirror_padded(x)
    assert padded.shape == (1, 3, 400, 400)
    assert padded[:, :, 100:300, 100:300].equal(x)
    torch.testing.assert_close(
        padded[:, :, 150, 95], F.pad(x, (100,) * 4, mode="reflect")[:, :, 150, 95], atol=0.5, rtol=0
    )
    assert padded[:, :, :, :10].std() < 0.3 * x.std()  # only blur
    assert padded.abs().max() <= 1


def test_landmarks_at_one_point_are_no_face() -> None:
    with pytest.raises(ImageError, match="shows no face"):
        align(smooth(64), torch.full((98, 2), 10.0), face() / 4)


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain.save_wing(tmp_path_factory.mktemp("wing") / "wing.ckpt", plain.state())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with photographs and the mean landmarks; every face is turned by 10 degrees and 0.9 as large."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "mean.npz", mean=face().numpy())
    points, transform = turned(face(), 10, 0.9, (35, -5))
    photograph = warp(smooth(256) + 1, transform, 256) - 1
    pixels = ((photograph + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    (tmp_path / "photos" / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "photos" / "a" / "one.png")
    Image.fromarray(pixels).save(tmp_path / "photos" / "two.JPG", format="JPEG")
    (tmp_path / "photos" / "bad.png").write_bytes(b"no image")

    def landmarks(self: FaceLandmarks, x: Tensor) -> Tensor:
        upright = bool((x.cpu() - smooth(256)).abs().mean() < 0.05) if x.shape[2] == 256 else False
        return (face() if upright else points * (x.shape[2] / 256))[None].float()

    monkeypatch.setattr(FaceLandmarks, "landmarks", landmarks)
    return tmp_path


def align_words(wing: Path, *words: str) -> list[str]:
    return ["align", "input=photos", "output=out", f"weights={wing}", "device=cpu", *words]


def test_the_command_aligns_a_folder(wing: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(align_words(wing, "mean=mean.npz")) == 1
    printed = capsys.readouterr().out
    assert "2 aligned faces in out" in printed
    assert "1 not aligned:" in printed
    assert "photos/bad.png is not an image" in printed
    assert sorted(p.relative_to(place).as_posix() for p in (place / "out").rglob("*.*")) == [
        "out/a/one.png",
        "out/two.JPG",
    ]
    found = torch.from_numpy(np.array(Image.open(place / "out" / "a" / "one.png"))).permute(2, 0, 1) / 127.5 - 1
    assert (found - smooth(256)).abs()[:, 70:186, 70:186].max() < 0.03
    before = (place / "out" / "a" / "one.png").stat().st_mtime_ns
    assert main(align_words(wing, "mean=mean.npz")) == 1
    assert "2 were there already" in capsys.readouterr().out
    assert (place / "out" / "a" / "one.png").stat().st_mtime_ns == before


def test_the_mean_of_a_folder_of_aligned_faces(wing: Path, place: Path) -> None:
    (place / "aligned").mkdir()
    pixels = ((smooth(256) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(place / "aligned" / "1.png")
    assert main(align_words(wing, "mean=aligned", "image_size=128")) == 1
    with Image.open(place / "out" / "a" / "one.png") as image:
        assert image.size == (128, 128)
        found = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    wanted = F.avg_pool2d(smooth(256)[None], 2)[0]
    assert (found - wanted).abs()[:, 35:93, 35:93].max() < 0.05


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("weights=none.ckpt", "mean=mean.npz"),
            "weights: there is no such file; found 'none.ckpt'. Fix: get wing.ckpt",
        ),
        (("mean=none.npz",), "mean: there is no file none.npz"),
        (("mean=photos/bad.png",), "mean: not a file of mean landmarks"),
        (("mean=mean.npz", "output=photos"), "is a photograph of the input. Fix: name another folder"),
        (("mean=mean.npz", "sha256=abc"), "sha256: "),
        (("mean=other.npz",), r"mean: found an array of shape (3, 2), expected a NumPy file with 'mean'"),
    ],
)
def test_mistakes_are_sentences(
    words: tuple[str, ...], message: str, wing: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(place / "other.npz", mean=np.zeros((3, 2)))
    given = dict(word.split("=") for word in (*align_words(wing)[1:], *words))
    assert main(["align", *(f"{key}={value}" for key, value in given.items())]) == 2
    assert message in capsys.readouterr().err


def test_mean_landmarks_of_no_face_are_refused(wing: Path) -> None:
    network = FaceLandmarks()
    with pytest.raises(ValueError, match="mean: the mean landmarks do not make a face"):
        faces.FaceAligner(network, torch.zeros(98, 2))
