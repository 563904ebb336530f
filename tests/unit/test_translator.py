"""Translating with loaded weights: images and targets in the caller's words, and what is said of wrong ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from translate.data.images import read_image, resize
from translate.errors import UserError
from translate.inference import targets
from translate.inference.codes import draw_codes
from translate.inference.images import to_images, to_pixels
from translate.inference.stargan_v2 import StarGANv2Translation
from translate.inference.translator import Translator, load
from translate.weights.format import Weights, build

SIZE = 32
SHAPES = {"stargan_v2_generator": {"style_size": 6, "base_width": 4, "max_width": 8, "image_size": SIZE}}
SHAPES["stargan_v2_mapping"] = {"num_domains": 3, "latent_size": 5, "style_size": 6, "hidden_width": 8}
SHAPES["stargan_v2_style_encoder"] = {**SHAPES["stargan_v2_generator"], "num_domains": 3}
DOMAINS = ("cat", "dog", "wild")


@pytest.fixture(scope="module")
def translator() -> Translator:
    """Return a StarGAN v2 so small that an image takes a millisecond."""
    torch.manual_seed(0)
    networks = {name.removeprefix("stargan_v2_"): {"name": name, **shape} for name, shape in SHAPES.items()}
    tensors = {f"ema.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    arguments = {"latent_size": 5, "ema_decay": 0.9}
    return Translator(Weights(tensors, "stargan_v2", networks, SIZE, arguments, DOMAINS, data={"crop": "square"}))


def noise(count: int = 2, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1)).tanh()


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


# --- images -------------------------------------------------------------------------------------------------


def test_float_images_are_taken_as_they_are() -> None:
    x = noise()
    assert to_images(x, 8, "square").equal(x)
    assert to_images(x[0], 8, "square").equal(x[:1])
    assert to_images(x.double(), 8, "square").dtype == torch.float32


def test_everything_else_becomes_what_training_sees(tmp_path: Path) -> None:
    array = pixels(20, 28)
    Image.fromarray(array).save(tmp_path / "a.png")
    for crop in ("square", "none"):
        seen = read_image(tmp_path / "a.png", 16, crop)
        wanted = torch.from_numpy(seen).permute(2, 0, 1).float()[None] / 127.5 - 1
        path, picture = tmp_path / "a.png", Image.fromarray(array)
        for given in (path, str(path), picture, array, array[None], torch.from_numpy(array)):
            torch.testing.assert_close(to_images(given, 16, crop), wanted)
        many = to_images([path, picture, array, wanted[0]], 16, crop)
        torch.testing.assert_close(many, wanted.expand(4, -1, -1, -1))
    grey = Image.fromarray(array[:, :, 0])
    assert to_images(grey, 16, "square").shape == (1, 3, 16, 16)


def test_pixels_come_back() -> None:
    array = pixels(16, 16)
    assert np.array_equal(to_pixels(to_images(array, 16, "none"))[0].numpy(), array)
    assert np.array_equal(resize(Image.fromarray(array), 16, "none"), array)
    assert to_pixels(torch.full((1, 3, 2, 2), 7.0)).unique().tolist() == [255]


BAD_IMAGES: list[tuple[Any, str]] = [
    (3, "found int, expected a float tensor"),
    (torch.zeros(3, 4), r"found a float tensor of shape \(3, 4\)"),
    (torch.zeros(1, 4, 8, 8), r"expected \(B, 3, H, W\)"),
    (
        torch.full((1, 3, 8, 8), 255.0),
        r"found values from 255 to 255, expected \[-1, 1\]. Fix: scale the values, or give 8-bit",
    ),
    (torch.full((1, 3, 8, 8), float("nan")), r"expected \[-1, 1\]"),
    (np.zeros((8, 8, 3)), "found float64 of shape"),
    (np.zeros((8, 8), np.uint8), "found uint8 of shape"),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"found uint8 of shape \(1, 3, 8, 8\)"),
    ("no_such.png", r"no_such\.png cannot be read"),
    ([], "found no image, expected images of one size"),
    ([torch.zeros(3, 8, 8), torch.zeros(3, 4, 4)], "found 4 x 4, 8 x 8, expected images of one size"),
]


@pytest.mark.parametrize(("given", "sentence"), BAD_IMAGES, ids=[sentence for _, sentence in BAD_IMAGES])
def test_other_images_are_refused(given: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        to_images(given, 8, "square")


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["dog", 1, ["dog", "dog"], [1, "dog"], torch.tensor([1, 1])])
def test_domains_by_name_or_number(target: Any) -> None:
    assert targets.domains(target, 2, DOMAINS).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("dgo", "unknown domain 'dgo'. Did you mean 'dog'?"),
        (3, "found 3, expected 0 to 2, or a domain of cat, dog, wild"),
        (-1, "found -1, expected 0 to 2"),
        (1.0, "found"),
        (["cat"], "found 1 for 2 images"),
    ],
)
def test_other_domains_are_refused(target: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        targets.domains(torch.tensor([target] * 2) if isinstance(target, float) else target, 2, DOMAINS)
    assert sentence in str(caught.value)


HAIR = {"kind": "attributes", "names": ["black", "blond", "male"]}
FACES = {"kind": "classes", "names": ["happy", "sad"]}


@pytest.mark.parametrize(
    ("target", "sets", "wanted"),
    [
        ("sad", [FACES], [0, 1]),
        (0, [FACES], [1, 0]),
        ("male", [HAIR], [0, 0, 1]),
        (["male", "blond"], [HAIR], [0, 1, 1]),
        ({"male": True, "black": False}, [HAIR], [0, 0, 1]),
        ("sad", [HAIR, FACES], [0, 0, 0, 0, 1, 0, 1]),
        (["black", "male"], [HAIR, FACES], [1, 0, 1, 0, 0, 1, 0]),
        (torch.tensor([0.0, 1.0]), [FACES], [0, 1]),
    ],
)
def test_labels_by_name(target: Any, sets: list, wanted: list[int]) -> None:
    assert targets.labels(target, 3, sets).tolist() == [wanted] * 3


def test_labels_for_each_image() -> None:
    assert targets.labels(["sad", "happy"], 2, [FACES]).tolist() == [[0, 1], [1, 0]]
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert np.array_equal(targets.labels(rows, 2, [HAIR]), rows.numpy())


@pytest.mark.parametrize(
    ("target", "sets", "sentence"),
    [
        ("mle", [HAIR], "unknown label 'mle'. Did you mean 'male'?"),
        (["male", "sad"], [HAIR, FACES], "found labels of several data sets"),
        (2, [HAIR], "found 2, expected the name of a label"),
        (torch.zeros(2), [HAIR], "found labels of shape (2,), expected (3, 3)"),
        ([], [HAIR, FACES], "expected labels of one data set"),
    ],
)
def test_other_labels_are_refused(target: Any, sets: list, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        targets.labels(target, 3, sets)
    assert sentence in str(caught.value)


# --- translate ----------------------------------------------------------------------------------------------


def test_a_translator_says_what_it_is(translator: Translator) -> None:
    assert (translator.domains, translator.style_inputs, translator.image_size) == (
        DOMAINS,
        ("code", "reference"),
        (SIZE, SIZE),
    )
    assert translator.about.tensors == {}
    assert translator.labels == ()


def test_translations_are_images(translator: Translator) -> None:
    found = translator.translate(noise(1), "dog")
    assert found.shape == (1, 3, SIZE, SIZE)
    assert found.abs().max() <= 1
    assert translator.translate(noise(), ["cat", "wild"]).shape == (2, 3, SIZE, SIZE)
    assert translator.translate(noise(0), "cat").shape == (0, 3, SIZE, SIZE)


def test_the_seed_says_which_codes_are_drawn(translator: Translator) -> None:
    x = noise()
    default = translator.translate(x, "dog")
    assert default.equal(translator.translate(x, "dog", seed=0))
    assert not default.allclose(translator.translate(x, "dog", seed=1), atol=1e-4)
    codes = torch.from_numpy(draw_codes(1, 2, 5))
    assert translator.translate(x, "dog", code=codes).equal(translator.translate(x, "dog", seed=1))
    one = translator.translate(x, "dog", code=codes[0])
    assert one.equal(translator.translate(x, "dog", code=codes[:1].expand(2, 5)))


def test_a_reference_guides_one_or_all(translator: Translator, tmp_path: Path) -> None:
    x, reference = noise(), noise(3)[2:]
    one = translator.translate(x, "dog", reference=reference)
    assert one.equal(translator.translate(x, "dog", reference=reference.expand(2, -1, -1, -1)))
    Image.fromarray(to_pixels(reference)[0].numpy()).save(tmp_path / "r.png")
    assert translator.translate(x, "dog", reference=tmp_path / "r.png").shape == x.shape


def test_psi_ends_at_the_mean_style(translator: Translator) -> None:
    x = noise()
    ends = [translator.translate(x, "dog", seed=seed, psi=0.0) for seed in (1, 2)]
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


def test_other_sizes_are_refused_where_they_do_not_pass(translator: Translator) -> None:
    assert translator.translate(noise(2, 64), "dog").shape == (2, 3, 64, 64)  # the generator takes any multiple
    with pytest.raises(UserError, match=r"images: .*; found 20 x 20 pixels, expected 32 x 32"):
        translator.translate(noise(2), "dog", reference=noise(1, 20))


@pytest.mark.parametrize(
    ("guide", "sentence"),
    [
        ({"seed": 1, "code": torch.zeros(5)}, "found code and seed, expected one of them"),
        ({"reference": torch.zeros(3, 3, SIZE, SIZE)}, "found 3 references for 2 images"),
        ({"code": torch.zeros(4)}, r"code: found shape (4,), expected (B, 5)"),
        ({"code": torch.zeros(3, 5)}, "found 3 codes for 2 images"),
        ({"reference": torch.zeros(1, 3, SIZE, SIZE), "psi": 0.5}, "psi: it moves the styles of codes"),
    ],
)
def test_wrong_guides_are_refused(translator: Translator, guide: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        translator.translate(noise(), "dog", **guide)
    assert sentence in str(caught.value)


def test_a_model_without_guides_takes_none() -> None:
    node = {"name": "resnet_generator", "base_width": 4, "num_blocks": 1}
    tensors = {f"network.generator_ab.{key}": tensor for key, tensor in build(node).state_dict().items()}
    translator = Translator(Weights(tensors, "cyclegan", {"generator_ab": node}, 16, {}, ("a", "b")))
    assert translator.translate(noise(2, 20), "b").shape == (2, 3, 20, 20)
    with pytest.raises(UserError, match="seed: cyclegan does not take this argument; expected no style input"):
        translator.translate(noise(2, 16), "b", seed=1)
    with pytest.raises(UserError, match="these weights have no generator_ba"):
        translator.translate(noise(2, 16), "a")


def test_devices(translator: Translator) -> None:
    assert translator.to("cpu") is translator
    assert translator.device == torch.device("cpu")


def test_translations_read_networks_that_others_train() -> None:
    """What a model hands over is used as it is at the moment of the call."""
    style = nn.Linear(5, 6)

    class Mapping(nn.Module):
        def forward(self, code: Tensor, domain: Tensor) -> Tensor:
            return style(code)

    class Generator(nn.Module):
        def forward(self, x: Tensor, style: Tensor, masks: Any) -> Tensor:
            return x * style.mean()

    translation = StarGANv2Translation({"mapping": Mapping(), "generator": Generator()}, 5)
    before = translation(noise(1), torch.tensor([0]), code=torch.ones(1, 5))
    with torch.no_grad():
        style.bias.add_(1.0)
    assert not before.equal(translation(noise(1), torch.tensor([0]), code=torch.ones(1, 5)))


# --- arguments of other types, and nothing to translate -------------------------------------------------------


def test_arrays_serve_as_codes_and_styles(translator: Translator) -> None:
    codes = draw_codes(3, 2, 5)
    assert translator.translate(noise(), "cat", code=codes).equal(translator.translate(noise(), "cat", seed=3))
    style = translator.styles("cat", seed=3)
    for form in (style.numpy(), style.numpy()[0], style.double()):
        assert translator.translate(noise(), "cat", style=form).equal(translator.translate(noise(), "cat", style=style))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"seed": 1.5}, "seed: found 1.5, expected a whole number"),
        ({"seed": [1, 2]}, r"seed: found \[1, 2\], expected a whole number"),
        ({"psi": "much"}, "psi: found 'much', expected a number"),
        ({"psi": float("nan")}, "psi: found nan, expected a number"),
        ({"code": "abc"}, "code: found str, expected a tensor or an array"),
        ({"code": np.zeros((1, 2, 5))}, r"code: found shape \(1, 2, 5\), expected \(B, 5\)"),
        ({"style": np.zeros((1, 1, 6))}, r"style: found shape \(1, 1, 6\), expected \(B, Z\)"),
        ({"style": np.zeros(3)}, r"style: the networks cannot process this style; found shape \(1, 3\)"),
        ({"batch_size": 0}, "batch_size: found 0, expected at least 1"),
        ({"size": 64}, "size: unknown size 64"),
        ({"target": None}, "target: this argument is missing; expected one of cat, dog, wild"),
        ({"target": 1.0}, "target: found 1.0, expected a domain"),
        ({"target": True}, "target: found True, expected 0 to 2"),
    ],
)
def test_arguments_of_another_type_are_refused(translator: Translator, words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        translator.translate(noise(1), **{"target": "cat", **words})


def test_interpolation_leads_between_two(translator: Translator) -> None:
    with pytest.raises(UserError, match="seeds: found 3, expected two"):
        translator.interpolate(noise(1), "cat", seeds=(1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="steps: found 1, expected at least 2"):
        translator.interpolate(noise(1), "cat", seeds=(1, 2), steps=1)


@pytest.mark.parametrize("size", ["model", "original"])
def test_no_images_have_no_translations(translator: Translator, size: Any) -> None:
    assert translator.translate([], "cat", size=size) == []
    assert translator.translate(np.zeros((0, 20, 20, 3), np.uint8), "cat", size=size).shape[0] == 0
    assert translator.translate(torch.zeros(0, 3, SIZE, SIZE), "cat", size=size).shape[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"max_pixels": 0}, "max_pixels: found 0, expected at least 4096"),
        ({"batch_size": 0}, "batch_size: found 0, expected at least 1"),
        ({"resolution": "huge"}, "resolution: unknown resolution 'huge'"),
        ({"format": "bmp"}, "format: unknown format of images 'bmp'"),
        ({"steps": 1, "seed": (1, 2)}, "steps: found 1, expected at least 2"),
        ({"num_styles": 0}, "num_styles: found 0, expected at least 1"),
        ({"psi": "x"}, "psi: found 'x', expected a number"),
        ({"seed": ["a"]}, "seed: found 'a', expected a whole number"),
    ],
)
def test_apply_refuses_what_its_command_refuses(
    translator: Translator, tmp_path: Path, words: dict[str, Any], sentence: str
) -> None:
    Image.fromarray(pixels(8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=sentence):
        translator.apply(tmp_path / "a.png", tmp_path / "out", target="cat", **words)
    assert not (tmp_path / "out").exists()


def test_wrong_places_and_types_of_saved_weights(translator: Translator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dtype: unknown type of numbers 'int8'"):
        translator.save(tmp_path / "a.safetensors", dtype="int8")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"/proc/a\.safetensors: cannot be written"):
        translator.save("/proc/a.safetensors")
    with pytest.raises(UserError, match="place: found NoneType, expected a name, a path, or an address"):
        load(None)  # type: ignore[arg-type]
