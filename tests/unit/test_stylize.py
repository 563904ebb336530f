"""Style transfer by optimization of image files: exact resume, records, sizes and colour modes, and mistakes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import translate
from translate.cli import main
from translate.data import style_images
from translate.data.synthetic.paintings import KINDS, paint
from translate.errors import UserError
from translate.inference.inputs import Source
from translate.inference.neural_style import ImageOptimization, LossWeights, StyleLoss, noise_like
from translate.inference.stylize import RELATIVE_SETTINGS, Progress, Settings
from translate.inference.stylize_files import PREVIEW, STATE, Files, Summary, stylize_files
from translate.networks.shipped_files import path_of
from translate.networks.vgg import VGGFeatures
from translate.weights.features import open_vgg

QUICK = replace(RELATIVE_SETTINGS, sizes=(24,), evaluations=(12,))


@pytest.fixture(scope="module")
def features() -> VGGFeatures:
    torch.set_num_threads(1)
    return open_vgg("critters_vgg", RELATIVE_SETTINGS.weights.layers)


@pytest.fixture
def photo(tmp_path: Path) -> Source:
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(paint("dots", 36, 48)).save(path)
    return Source(path, path.name)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(evaluation: int) -> Callable[[Source, Progress], None]:
    def observe(source: Source, progress: Progress) -> None:
        if progress.evaluation == evaluation:
            raise Killed

    return observe


def styled(features: VGGFeatures, photo: Source, output: Path, settings: Settings, **more: object) -> Summary:
    observer = more.pop("observer", lambda source, progress: None)
    files = Files(output, preview_every=4, save_every=4, **more)  # type: ignore[arg-type]
    styles = {"strokes": style_images.read("strokes", 32)}
    return stylize_files(features, [photo], styles, settings, files, observer)  # type: ignore[arg-type]


@pytest.mark.parametrize("evaluation", [5, 9, 14, 19])
@pytest.mark.parametrize(
    "settings",
    [
        replace(QUICK, sizes=(24, 32), evaluations=(8, 12)),
        replace(QUICK, sizes=(24, 0), evaluations=(8, 12), optimizer="adam"),
        replace(QUICK, evaluations=(20,), history=3, start="noise", seed=4),
    ],
    ids=["lbfgs", "adam", "short history"],
)
def test_a_killed_run_ends_with_the_same_image(
    features: VGGFeatures, photo: Source, tmp_path: Path, settings: Settings, evaluation: int
) -> None:
    styled(features, photo, tmp_path / "whole", settings)
    with pytest.raises(Killed):
        styled(features, photo, tmp_path / "killed", settings, observer=killed_at(evaluation))
    state = tmp_path / "killed" / f"photo.png{STATE}"
    assert Image.open(tmp_path / "killed" / f"photo.png{PREVIEW}").mode == "RGB"
    assert not (tmp_path / "killed" / "photo.png").exists()
    left: list[int] = []
    styled(features, photo, tmp_path / "killed", settings, observer=lambda source, p: left.append(p.evaluation))
    assert left[0] == evaluation // 4 * 4 + 1
    assert left[-1] == 20
    whole, again = ((tmp_path / name / "photo.png").read_bytes() for name in ("whole", "killed"))
    assert whole == again
    assert not state.exists()


def test_the_image_follows_the_style(features: VGGFeatures, photo: Source, tmp_path: Path) -> None:
    losses: list[float] = []
    styled(
        features,
        photo,
        tmp_path / "out",
        replace(QUICK, evaluations=(40,)),
        observer=lambda s, p: losses.append(p.loss),
    )
    assert losses[-1] < 0.3 * losses[0]
    result, source = (np.asarray(Image.open(path), np.float32) for path in (tmp_path / "out" / "photo.png", photo.path))
    assert result.shape == source.shape == (36, 48, 3)
    assert np.abs(result - source).mean() > 10
    assert (result[..., 2] - result[..., 0]).mean() > 10 + (source[..., 2] - source[..., 0]).mean()  # strokes are blue


def test_the_same_command_keeps_the_image_and_other_settings_are_refused(
    features: VGGFeatures, photo: Source, tmp_path: Path
) -> None:
    quick = replace(QUICK, evaluations=(4,))
    summary = styled(features, photo, tmp_path / "out", quick)
    assert summary.notes == ["photo.png: 48 x 36 pixels, optimized at 24 x 18 and enlarged"]
    first = (tmp_path / "out" / "photo.png").read_bytes()
    again = styled(features, photo, tmp_path / "out", quick)
    assert (again.written, again.existing) == ([], 1)
    other = replace(quick, seed=1)
    with pytest.raises(UserError, match=r"output: this file is there and has other settings .* Fix: overwrite=true"):
        styled(features, photo, tmp_path / "out", other)
    styled(features, photo, tmp_path / "out", replace(quick, keep_colours=True), overwrite=True)
    assert (tmp_path / "out" / "photo.png").read_bytes() != first
    with pytest.raises(UserError, match="written over its source"):
        styled(features, photo, photo.path.parent, quick, overwrite=True)


def test_a_state_of_other_settings_is_refused(features: VGGFeatures, photo: Source, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        styled(features, photo, tmp_path / "out", QUICK, observer=killed_at(5))
    with pytest.raises(UserError, match="the state of an image with other settings"):
        styled(features, photo, tmp_path / "out", replace(QUICK, evaluations=(13,)))
    state = tmp_path / "out" / f"photo.png{STATE}"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(UserError, match=r"not a readable state .* Fix: delete the file"):
        styled(features, photo, tmp_path / "out", QUICK)
    assert styled(features, photo, tmp_path / "out", QUICK, overwrite=True).written


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_the_form_of_the_file_is_kept(features: VGGFeatures, tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.fromarray(paint("dots", 20, 30)).convert(mode).save(path)
    styled(features, Source(path, path.name), tmp_path / "out", replace(QUICK, evaluations=(2,)))
    result = Image.open(tmp_path / "out" / path.name)
    assert (result.mode, result.size) == (mode, (30, 20))


def test_colours_of_the_content_are_kept(photo: Source) -> None:
    settings = replace(QUICK, keep_colours=True, sizes=(0,))
    image = translate.stylize(photo.path, "strokes", settings=settings)
    _, *own = (np.asarray(band, np.int16) for band in image.convert("YCbCr").split())
    _, *wanted = (np.asarray(band, np.int16) for band in Image.open(photo.path).convert("YCbCr").split())
    assert max(np.abs(a - b).mean() for a, b in zip(own, wanted, strict=True)) < 8  # clipped in RGB
    assert np.abs(np.asarray(image, np.int16) - np.asarray(Image.open(photo.path), np.int16)).mean() > 5


def test_several_styles_have_the_mean_of_their_gram_matrices(features: VGGFeatures) -> None:
    images = [torch.from_numpy(paint(kind, 32, 32)).permute(2, 0, 1)[None] / 127.5 - 1 for kind in KINDS[:2]]
    weights = RELATIVE_SETTINGS.weights
    both = StyleLoss(features, images[0], images, weights).grams
    single = [StyleLoss(features, images[0], [image], weights).grams for image in images]
    for layer, gram in both.items():
        torch.testing.assert_close(gram, (single[0][layer] + single[1][layer]) / 2)


def test_noise_is_a_function_of_the_seed() -> None:
    like = torch.zeros(1, 3, 20, 30)
    assert noise_like(like, 1).equal(noise_like(like, 1))
    assert not noise_like(like, 1).allclose(noise_like(like, 2))
    assert 0.2 < noise_like(like, 1).std() < 0.3


def test_a_loss_that_is_not_finite_ends_the_run(features: VGGFeatures) -> None:
    image = torch.zeros(1, 3, 24, 24)
    loss = StyleLoss(features, image, [image], LossWeights(scale="notebook"))
    with pytest.raises(UserError, match=r"the loss is not finite any more; found evaluation 1\. Fix: optimizer=adam"):
        ImageOptimization(loss, image + float("nan")).step()


def test_an_image_that_is_too_small_is_named(features: VGGFeatures, photo: Source, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"size: the image is too small .*; found 16 x 12 pixels, expected at least 16"):
        styled(features, photo, tmp_path / "out", replace(QUICK, sizes=(16,)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sizes": (16, 32)}, "evaluations: found 1 numbers for 2 sizes, expected one for each size"),
        ({"evaluations": (0,)}, "evaluations: found 0, expected at least 1"),
        ({"sizes": (-1,)}, "size: found -1"),
    ],
)
def test_wrong_settings(settings: dict[str, tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        replace(QUICK, **settings).check()  # type: ignore[arg-type]


# --- files of features --------------------------------------------------------------------------------------


def test_a_file_says_what_network_it_is(tmp_path: Path) -> None:
    network = open_vgg("critters_vgg", ["relu5_1"])
    assert network.sha256 == open_vgg("critters_vgg", ["relu1_1"]).sha256
    state = load_file(path_of("critters_vgg"))
    assert state["features.0.weight"].dtype == torch.float16
    assert network.features[0].weight.shape == (16, 3, 3, 3)
    deep = VGGFeatures(["relu5_4"], depth=19, base_width=4)
    named = {f"{deep.names[int(k.split('.')[1])]}.{k.split('.')[2]}": t + 0 for k, t in deep.state_dict().items()}
    save_file(named, tmp_path / "vgg_conv.safetensors")
    opened = open_vgg(str(tmp_path / "vgg_conv.safetensors"), ["relu5_4"], "average")
    assert (opened.preprocessing, opened.pooling, len(opened.names)) == ("caffe", "average", 36)
    assert opened.state_dict()["features.34.weight"].equal(deep.state_dict()["features.34.weight"])
    save_file({"layer.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"features: the file is not of VGG; found the tensors layer\.weight"):
        open_vgg(str(tmp_path / "other.safetensors"), ["relu1_1"])
    with pytest.raises(UserError, match=r"features: there is no such file; found 'vgg\.pth'\. Fix: .*critters_vgg"):
        open_vgg("vgg.pth", ["relu1_1"])


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_works_without_arguments_but_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stylize", f"output={tmp_path}", "size=[16,24]", "evaluations=3", "device=cpu"]
    assert main(words) == 0
    assert "1 images in" in capsys.readouterr().out
    assert Image.open(tmp_path / "cat_0.png").size == (192, 192)
    assert main(words) == 0
    assert "1 were there already" in capsys.readouterr().out
    assert main([*words, "scale=notebook"]) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("style=missing.jpg", "style: there is no such file; found 'missing.jpg'"),
        ("features=missing.pth", "features: there is no such file"),
        ("input=missing.jpg", "input: there is no such file"),
        ("style_layers=[relu9_1]", "unknown value 'relu9_1'"),
    ],
)
def test_mistakes_on_the_command_line(
    word: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stylize", f"output={tmp_path}", word]) == 2
    assert sentence in capsys.readouterr().err


# --- paintings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_paintings_are_functions_of_size_and_seed(kind: str) -> None:
    first = paint(kind, 40, 60)
    assert (first.shape, first.dtype) == ((40, 60, 3), np.uint8)
    assert (paint(kind, 40, 60) == first).all()
    assert (paint(kind, 40, 60, seed=1) != first).any()
    assert first.std() > 20
