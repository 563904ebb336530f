"""`grid` and `video` as a user runs them, with tiny models of every kind."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from training.tiny import tiny, tiny_cyclegan, tiny_stargan_v1
from translate.cli import USER_MISTAKE, main
from translate.config.schema import to_mapping
from translate.errors import UserError
from translate.inference import composed_grids, compositions, films, video
from translate.inference.grids import Grid
from translate.runs import checkpoints
from translate.training import build
from translate.weights import format

Out = pytest.CaptureFixture[str]
MODELS = {"v2": tiny, "v1": tiny_stargan_v1, "cyclegan": tiny_cyclegan}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the untrained weights of each model, and images in folders of their domains."""
    place = tmp_path_factory.mktemp("films")
    for name, case in MODELS.items():
        config = case()
        torch.manual_seed(0)
        model, data = build.build_model(config), build.build_data(config)
        found = checkpoints.capture(model, data.domains, to_mapping(config))
        format.write(format.of_checkpoint(found, None, []), place / f"{name}.safetensors")
    draws = np.random.default_rng(0)
    for domain in ("cat", "rabbit"):
        (place / domain).mkdir()
        for number in range(2):
            pixels = draws.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(place / domain / f"{number}.png")
    return place


@pytest.fixture(autouse=True)
def work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def frames_of(path: str) -> tuple[tuple[int, int], int]:
    """Return the size and the number of the frames of a film."""
    reader = imageio_ffmpeg.read_frames(path)
    return next(reader)["size"], sum(1 for _ in reader)


# --- grids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["weights=v2.safetensors"],
        ["weights=v2.safetensors", "reference=rabbit", "reference=cat/0.png"],
        ["weights=v2.safetensors", "kind=cycle", "target=[rabbit]", "psi=0.7"],
        ["weights=v1.safetensors"],
        ["weights=cyclegan.safetensors"],
        ["weights=cyclegan.safetensors", "kind=cycle", "target=[rabbit]"],
    ],
    ids=" ".join,
)
def test_every_model_draws_its_grids(words: list[str], capsys: Out) -> None:
    assert main(["grid", *words, "input=cat", "output=out/grid.png", "side=200"]) == 0
    with Image.open("out/grid.png") as image:
        assert f"{image.width} x {image.height} pixels" in capsys.readouterr().out
        assert max(image.size) > 200
        assert len(image.getcolors(2**24) or ()) > 100


def test_rows_and_seeds_are_those_of_the_words() -> None:
    sizes = []
    for words in (["seeds=[0]"], ["seeds=[0,5]"], ["seeds=[0,5]", "target=[cat]"]):
        assert main(["grid", "weights=v2.safetensors", "input=cat", "side=32", "output=a.png", *words]) == 0
        with Image.open("a.png") as image:
            sizes.append(image.height)
    assert sizes[0] < sizes[1]
    assert sizes[2] < sizes[1]


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (["weights=v2.safetensors", "target=[cat]", "seeds=[0,1,2]"], (3, 4)),
        (["weights=v2.safetensors", "kind=cycle", "target=[rabbit]", "seeds=[0,1]"], (2, 4)),
        (["weights=v2.safetensors", "reference=rabbit", "target=[cat]"], (2, 4)),
        (["weights=v1.safetensors"], (4, 3)),
    ],
)
def test_many_images_make_several_grids(
    words: list[str], shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Out
) -> None:
    """Their images are those of one large grid, each once, and each grid is small."""
    (tmp_path / "cat").mkdir()
    draws = np.random.default_rng(1)
    for name in "abcd":
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "cat" / f"{name}.png")
    drawn: list[Grid] = []
    pixels = Grid.pixels
    monkeypatch.setattr(Grid, "pixels", lambda grid, side: drawn.append(grid) or pixels(grid, side))
    words = [*words, f"input={tmp_path}/cat", f"output={tmp_path}/grid.png", "side=32"]
    assert main(["grid", *words]) == 0
    ((grid,), rows) = drawn, 2 if "kind=cycle" in words else 1
    assert (len(grid.rows), len(grid.rows[0])) == (shape[0] * rows, shape[1])
    whole = images_of(drawn)
    drawn.clear()
    monkeypatch.setattr(composed_grids, "GRID_PIXELS", 3 * 32 * 32)
    assert main(["grid", *words]) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == [f"{tmp_path}/grid_{number}.png" for number in range(1, len(drawn) + 1)]
    assert len(names) > 1
    assert all(Path(name).is_file() for name in names)
    assert all(len(grid.rows) * len(grid.rows[0]) <= 4 for grid in drawn)
    parts = images_of(drawn)
    assert parts.keys() == whole.keys()
    for place, images in whole.items():
        torch.testing.assert_close(parts[place], images, atol=1e-4, rtol=0)


def images_of(grids: list[Grid]) -> dict[tuple[str, str], Tensor]:
    """Return the images of grids by their labels, those of one pair of labels one above the other."""
    images: dict[tuple[str, str], list[Tensor]] = {}
    for grid in grids:
        for row, row_images in zip(grid.row_labels, grid.rows, strict=True):
            for column, image in zip(grid.column_labels, row_images, strict=True):
                assert image is not None
                images.setdefault((row, column), []).append(image)
    return {labels: torch.stack(each) for labels, each in images.items()}


def test_the_number_of_columns_can_be_chosen(tmp_path: Path, capsys: Out) -> None:
    words = ["weights=v2.safetensors", "target=[cat]", "seeds=[0]", f"output={tmp_path}/a.png", "side=32"]
    assert main(["grid", *words, "input=cat", "input=rabbit", "columns=3"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_1.png", "a_2.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["input=cat", "weights=v2.safetensors", "kind=labels"], "stargan_v2 translates to domains"),
        (["input=cat", "weights=v2.safetensors", "kind=reference"], "reference: this argument is missing"),
        (["input=cat", "weights=v2.safetensors", "target=[dog]"], "target: unknown domain 'dog'"),
        (["input=cat", "weights=cyclegan.safetensors", "reference=cat"], "styles of cyclegan are not of this kind"),
        (["input=nowhere", "weights=v2.safetensors"], "input: there is no such file or folder; found 'nowhere'"),
        (["input=*.txt", "weights=v2.safetensors"], "input: no image matches the pattern"),
        (["input=cat", "weights=v2.safetensors", "output=a.svg"], "output: unknown kind of image"),
        (["input=cat", "weights=v2.safetensors", "kind=cycle", "source=dog"], "source: unknown domain 'dog'"),
        (["input=cat", "weights=v2.safetensors", "reference=rabbit", "target=[cat,bear]"], "expected one"),
        (["input=cat", "weights=v2.safetensors", "reference=rabbit", "psi=0.5"], "psi: "),
        (["input=cat", "weights=v2.safetensors", "reference=rabbit", "seeds=[1]"], "seeds: "),
        (["input=cat", "weights=v2.safetensors", "reference=rabbit", "kind=latent"], "reference: "),
        (["input=cat", "weights=v2.safetensors", "attributes=[cat]"], "attributes: the kind latent has targets alone"),
        (["input=cat", "weights=v2.safetensors", "source=cat"], "source: grids of the kind latent have no way back"),
        (["input=cat", "weights=cyclegan.safetensors", "seeds=[1]"], "seeds: cyclegan has no styles of codes"),
        (["input=cat", "weights=cyclegan.safetensors", "psi=0.5"], "psi: cyclegan has no styles of codes"),
        (["input=cat", "weights=v1.safetensors", "seeds=[1]"], "seeds: the styles of the kind labels are not"),
        (["input=cat", "weights=v1.safetensors", "columns=2"], "columns: grids of the kind labels have"),
        (["input=cat", "weights=v1.safetensors", "target=[dog]"], "target: unknown domain 'dog'"),
        (["input=cat", "weights=v2.safetensors", "output=/proc/grid.png"], "/proc cannot be written"),
    ],
)
def test_mistakes_get_a_sentence(words: list[str], message: str, capsys: Out) -> None:
    assert main(["grid", *words]) == USER_MISTAKE
    assert message in capsys.readouterr().err


def test_target_chooses_the_labels(capsys: Out) -> None:
    widths = []
    for words in ([], ["target=[rabbit]"]):
        assert main(["grid", "weights=v1.safetensors", "input=cat", "output=a.png", "side=32", *words]) == 0
        with Image.open("a.png") as image:
            widths.append(image.width)
    assert widths[1] < widths[0]


def test_weights_of_one_direction_draw_it(folder: Path, tmp_path: Path, capsys: Out) -> None:
    weights = format.read(folder / "cyclegan.safetensors")
    networks = {"generator_ab": weights.networks["generator_ab"]}
    tensors = {name: tensor for name, tensor in weights.tensors.items() if ".generator_ab." in name}
    format.write(replace(weights, networks=networks, tensors=tensors), tmp_path / "one.safetensors")
    assert main(["grid", f"weights={tmp_path}/one.safetensors", "input=cat", f"output={tmp_path}/a.png"]) == 0
    assert (
        main(["grid", f"weights={tmp_path}/one.safetensors", "input=cat", "kind=cycle", "source=cat"]) == USER_MISTAKE
    )
    assert "these weights have no generator_ba" in capsys.readouterr().err


def test_an_image_of_unknown_domain_needs_the_word_source(tmp_path: Path, capsys: Out) -> None:
    Image.new("RGB", (40, 40), "orange").save(tmp_path / "a.png")
    words = ["grid", "weights=cyclegan.safetensors", f"input={tmp_path}/a.png", "kind=cycle", "target=[rabbit]"]
    assert main(words) == USER_MISTAKE
    assert "source: the domain of a.png is unknown" in capsys.readouterr().err
    assert main([*words, "source=cat"]) == 0


# --- films --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", video.FORMATS)
def test_a_film_of_every_format_has_its_frames(suffix: str, capsys: Out) -> None:
    words = ["input=cat", "seeds=[0,1]", "target=[cat]", "steps=3", "fps=6", f"output=film{suffix}"]
    assert main(["video", "weights=v2.safetensors", *words]) == 0
    assert f"film{suffix}: 6 frames, 1.0 s" in capsys.readouterr().out
    (width, height), count = frames_of(f"film{suffix}")
    assert count == 6
    assert width % 2 == height % 2 == 0


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["weights=v2.safetensors", "reference=rabbit", "loop=false"], 4 * 1 + 1),
        (["weights=v1.safetensors"], 4 * 2 * 3),  # there and back for three classes
    ],
)
def test_films_of_references_and_labels(words: list[str], count: int) -> None:
    assert main(["video", *words, "input=cat/0.png", "steps=4", "output=film.mp4"]) == 0
    assert frames_of("film.mp4")[1] == count


def test_films_of_many_sources_have_several_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether sources are kept in memory or read for every frame; frames have a largest side."""
    for number in range(11):
        Image.new("RGB", (32, 32), (20 * number, 0, 0)).save(tmp_path / f"{number:02d}.png")
    words = ["weights=v2.safetensors", f"input={tmp_path}", "target=[cat]", "seeds=[0,1]", "steps=1", "loop=false"]
    results = []
    for kept, largest in ((256, 4096), (5, 4096), (256, 64)):
        monkeypatch.setattr(compositions, "KEPT", kept)
        monkeypatch.setattr(films, "MAX_FRAME_SIDE", largest)
        with monkeypatch.context() as patch:
            frames: list[np.ndarray] = []
            patch.setattr(video, "write", lambda path, made, fps, frames=frames: frames.extend(made) or len(frames))
            assert main(["video", *words]) == 0
        results.append(frames)
    whole, again, small = results
    assert len(whole) == 2
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))
    columns = films.frame_columns(11)
    assert columns == 7
    scale = -(-480 // (columns * 34 - 2))
    assert whole[0].shape[1] == scale * (columns * 34 - 2)
    assert not np.array_equal(small[0], whole[0])
    assert np.array_equal(whole[0][: 32 * scale, : 32 * scale], np.zeros((32 * scale, 32 * scale, 3)))  # the first


def test_a_film_of_training_shows_the_sample_grids_in_order(folder: Path, capsys: Out) -> None:
    run = folder / "run"
    (run / "samples").mkdir(parents=True)
    (run / "config.yaml").write_text("{}")
    for iteration in (2, 10, 100):
        Image.new("RGB", (64, 32), (iteration, 0, 0)).save(run / "samples" / f"{iteration:06d}_latent.png")
        Image.new("RGB", (32, 32), "red").save(run / "samples" / f"{iteration:06d}_cycle.png")
    assert main(["video", f"weights={run}", "output=training.gif"]) == 0
    assert "3 frames, 0.8 s" in capsys.readouterr().out
    assert main(["video", f"weights={run}", "output=training.gif", "grid=nothing"]) == USER_MISTAKE
    assert "grid: the run has no such sample grids 'nothing'" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_length_of_a_film(tmp_path: Path) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    peaks = []
    for count in (20, 400):
        tracemalloc.start()
        video.write(tmp_path / "film.mp4", (frame + k % 7 for k in range(count)), fps=24)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * frame.nbytes


def test_a_film_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), video.film(path, 24) as append:
        append(np.zeros((32, 32, 3), np.uint8))
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="the film has no frames"):
        video.write(path, [], 24)
    with pytest.raises(UserError, match="unknown kind of film"):
        video.write(tmp_path / "a.avi", [], 24)


def test_without_words_drawn_images_are_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grid", "seeds=[0]"]) == 0
    assert main(["video", "seeds=[0,1]", "target=[cat]", "steps=2"]) == 0
    assert "video.mp4: 4 frames" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "video.mp4"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["weights=cyclegan.safetensors", "input=cat"], "cyclegan has no styles"),
        (["weights=v2.safetensors", "input=cat", "kind=training"], "the film of a run has no sources"),
        (["weights=v2.safetensors", "kind=latent"], "input: this argument is missing"),
        (["weights=v2.safetensors"], "input: this argument is missing"),
        (["weights=v2.safetensors", "kind=training"], "weights: "),
        (["weights=v2.safetensors", "input=cat", "grid=latent"], "grid: it belongs to the film of a run"),
        (["weights=v2.safetensors", "input=cat", "reference=cat", "seeds=[1]"], "seeds: "),
        (["weights=v2.safetensors", "input=cat", "output=/proc/a.mp4"], "/proc cannot be written"),
    ],
)
def test_mistakes_in_films_get_a_sentence(words: list[str], message: str, capsys: Out) -> None:
    assert main(["video", *words]) == USER_MISTAKE
    assert message in capsys.readouterr().err
    assert not Path("video.mp4").exists()
