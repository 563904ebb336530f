"""Every registered translation as ONNX, and as programs of torch: equal outputs, dynamic axes, a header."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.test_plugin import plugin as plugin
from translate.errors import UserError
from translate.export import runtimes
from translate.export.graphs import Example, Graph, graphs_of
from translate.export.program import trace
from translate.inference.base import Translation
from translate.inference.codes import draw_codes
from translate.inference.graph_engine import Run
from translate.inference.graph_header import FORMAT, parse
from translate.inference.onnx_runtime import open_onnx
from translate.inference.sizes import SizeRule
from translate.inference.torch_engine import TorchEngine
from translate.inference.torch_program import is_package, load_package, load_program, open_programs
from translate.inference.translator import Translator
from translate.networks.wing import NUM_LANDMARKS, FaceLandmarks
from translate.registry.registry import MODELS, NETWORKS, TRANSLATIONS
from translate.sizes import ImageSize
from translate.weights.format import Weights, build

Case = Callable[[str], tuple[Translator, Path]]

STARGAN_V2 = {
    "generator": {"name": "stargan_v2_generator", "style_size": 6, "base_width": 4, "max_width": 8, "image_size": 32},
    "mapping": {"name": "stargan_v2_mapping", "num_domains": 3, "latent_size": 5, "style_size": 6, "hidden_width": 8},
    "style_encoder": {
        "name": "stargan_v2_style_encoder",
        "num_domains": 3,
        "style_size": 6,
        "base_width": 4,
        "max_width": 8,
        "image_size": 32,
    },
}
MODULATED = {**STARGAN_V2, "generator": {**STARGAN_V2["generator"], "name": "stargan_v2_modulated_generator"}}
MASKED = {**STARGAN_V2, "generator": {**STARGAN_V2["generator"], "w_hpf": 1.0}, "masks": {"name": "face_oval"}}
SETS = ({"kind": "attributes", "names": ["old", "smiling"]}, {"kind": "classes", "names": ["happy", "sad"]})
STARGAN_V1 = {"name": "stargan_v1_generator", "num_labels": 4, "num_sets": 2, "base_width": 4, "num_blocks": 1}
RESNET = {"name": "resnet_generator", "base_width": 4, "num_blocks": 1, "norm": "batch", "dropout": True}
UNET = {"name": "unet_generator", "base_width": 2}
FAST_STYLE = {"name": "fast_style_transformer", "base_width": 4, "num_blocks": 1}
UNIT = {
    f"{part}_{side}": {"name": f"unit_{part}", "base_width": 4, "num_blocks": 1}
    for part in ("encoder", "decoder")
    for side in "ab"
}
UNIT_SHARED = {role: {**node, "name": node["name"].replace("unit_", "unit_paper_")} for role, node in UNIT.items()}
UNIT_SHARED |= {f"{part}_shared": {"name": "unit_shared_blocks", "width": 16} for part in ("encoder", "decoder")}
COMBOGAN = {
    role: {"name": f"combogan_{role}s", "num_domains": 3, "base_width": 4, "num_blocks": 1}
    for role in ("encoder", "decoder")
}
COMBOGAN |= {
    f"{role}_shared": {"name": "combogan_shared_blocks", "num_domains": 3, "width": 16}
    for role in ("encoder", "decoder")
}
DTN = {
    "features": {"name": "conv_encoder", "image_size": 32, "base_width": 4, "num_features": 16},
    "generator": {"name": "dtn_generator", "image_size": 32, "base_width": 4, "code_size": 16, "image_channels": 1},
}
AUTOENCODER = {
    "encoder": DTN["features"],
    "decoder": {"name": "dtn_generator", "image_size": 32, "base_width": 4, "code_size": 16},
}
RESNET_PLAIN = {**RESNET, "norm": "instance", "dropout": False}
DIAT = {"generator": {**RESNET_PLAIN, "num_blocks": 2}, "enhancer": RESNET_PLAIN}
XGAN = {f"{part}_{side}": {"name": f"xgan_{part}", "base_width": 4} for part in ("encoder", "decoder") for side in "ab"}
XGAN |= {
    f"{part}_shared": {"name": f"xgan_shared_{part}", "image_size": 32, "base_width": 4, "code_size": 64}
    for part in ("encoder", "decoder")
}

ICGAN_LABELS = ({"kind": "attributes", "names": ["smiling", "glasses"]},)
ICGAN: dict[str, dict[str, Any]] = {
    "generator": {"name": "icgan_generator", "image_size": 32, "latent_size": 6, "num_labels": 2, "base_width": 4}
}
ICGAN |= {
    role: {"name": "icgan_encoder", "image_size": 32, "num_outputs": count, "base_width": 4, "num_layers": 3}
    for role, count in (("encoder_z", 6), ("encoder_y", 2))
}


SRRESNET = {"generator": {"name": "srresnet", "scale": 2, "num_blocks": 1, "base_width": 4, "output": "plain"}}


def made(model: str, networks: dict[str, dict[str, Any]], size: int, **more: Any) -> Translator:
    """Return a translator of small random networks."""
    torch.manual_seed(0)
    tensors = {f"network.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    return Translator(Weights(tensors, model, networks, size, licence="cc0-1.0", **more))


def icgan() -> Translator:
    """Return a translator whose images differ: those of a new generator are nearly grey."""
    labels = {"label_sets": list(ICGAN_LABELS), "latent_size": 6}
    translator = made("icgan", ICGAN, 32, arguments=labels, label_sets=ICGAN_LABELS)
    for parameter in translator.translation.networks["generator"].parameters():
        if parameter.ndim > 1:
            parameter.mul_(15)
    return translator


def fast_style() -> Translator:
    """Return a translator whose images are within the range: a new network gives nearly black ones."""
    translator = made("fast_style", {"transformer": FAST_STYLE}, 16, domains=("mosaic",))
    last = translator.translation.networks["transformer"].deconv3.conv2d
    last.weight.mul_(40)
    last.bias.add_(128)
    return translator


def cut(model: str = "cut", *roles: str) -> Translator:
    """Return a translator whose images differ: those of a new generator are nearly grey."""
    node = {"name": "cut_generator", "base_width": 4, "num_blocks": 1}
    translator = made(model, dict.fromkeys(roles or ("generator",), node), 16, domains=("a", "b"))
    for generator in translator.translation.networks.values():
        generator.model[-2].weight.mul_(20)
    return translator


THREE = {"arguments": {"latent_size": 5}, "domains": ("cat", "dog", "wild"), "data": {"crop": "none"}}
CASES: dict[str, tuple[Callable[[], Translator], tuple[str, ...]]] = {
    "stargan_v2": (
        lambda: made("stargan_v2", STARGAN_V2, 32, **THREE),
        ("mapping", "translate_latent"),
    ),
    "stargan_v2_modulated": (
        lambda: made("stargan_v2", MODULATED, 32, **THREE),
        ("translate_latent",),
    ),
    "stargan_v2_masks": (
        lambda: made("stargan_v2", MASKED, 32, **THREE),
        ("masks", "generator", "style_encoder", "style_latent", "translate_reference"),
    ),
    "stargan_v1": (
        lambda: made(
            "stargan_v1", {"generator": STARGAN_V1}, 16, arguments={"label_sets": list(SETS)}, label_sets=SETS
        ),
        ("generator", "translate"),
    ),
    "stargan_v1_adain": (
        lambda: made(
            "stargan_v1",
            {"generator": {**STARGAN_V1, "name": "stargan_v1_adain_generator", "upsampling": "bilinear"}},
            16,
            arguments={"label_sets": list(SETS)},
            label_sets=SETS,
        ),
        ("translate",),
    ),
    "stargan_v1_masked": (
        lambda: made(
            "stargan_v1",
            {"generator": {**STARGAN_V1, "name": "stargan_v1_masked_generator"}},
            16,
            arguments={"label_sets": list(SETS)},
            label_sets=SETS,
        ),
        ("translate",),
    ),
    "cyclegan": (
        lambda: made("cyclegan", {"generator_ab": RESNET, "generator_ba": RESNET}, 16, domains=("a", "b")),
        ("generator_ba",),
    ),
    "cut": (lambda: cut(), ("generator",)),
    "dclgan": (lambda: cut("dclgan", "generator_ab", "generator_ba"), ("generator_ba",)),
    "pix2pix": (
        lambda: made("pix2pix", {"generator": {**UNET, "num_downsamplings": 4}}, 16, domains=("a", "b")),
        ("generator",),
    ),
    "pix2pix_dropout": (
        lambda: made(
            "pix2pix", {"generator": {**UNET, "num_downsamplings": 6, "upsampling": "nearest"}}, 64, domains=("a", "b")
        ),
        ("generator",),
    ),
    "fast_style": (lambda: fast_style(), ("transformer",)),
    "srgan": (lambda: made("srgan", SRRESNET, 16), ("generator",)),
    "srresnet": (lambda: made("srresnet", SRRESNET, 16), ("generator",)),
    "icgan": (lambda: icgan(), ("encoder_z", "translate")),
    "unit": (lambda: made("unit", UNIT, 16, domains=("a", "b")), ("encoder_a", "translate")),
    "unit_shared": (
        lambda: made("unit", UNIT_SHARED, 16, domains=("a", "b")),
        ("encoder_shared", "decoder_b", "translate"),
    ),
    "combogan": (
        lambda: made("combogan", COMBOGAN, 16, domains=("bear", "cat", "rabbit")),
        ("encoder.0", "decoder.2", "translate"),
    ),
    "diat": (lambda: made("diat", {"generator": RESNET}, 16, domains=("a", "b")), ("generator",)),
    "diat_enhancement": (lambda: made("diat_enhancement", DIAT, 16, domains=("a", "b")), ("enhancer", "translate")),
    "diat_denoiser": (
        lambda: made("diat_denoiser", {"denoiser": {"name": "diat_denoiser", "base_width": 4}}, 16),
        ("translate",),
    ),
    "dtn": (lambda: made("dtn", DTN, 32, domains=("a", "b")), ("features", "translate")),
    "autoencoder": (lambda: made("autoencoder", AUTOENCODER, 32), ("encoder", "translate")),
    "xgan": (lambda: made("xgan", XGAN, 32, domains=("a", "b")), ("encoder_a", "decoder_shared", "translate")),
    "my_lab_painter_gan": (
        lambda: made("my_lab_painter_gan", {"generator": {"name": "my_lab_painter", "num_domains": 2}}, 16),
        ("translate",),
    ),
    "my_lab_darkener": (lambda: made("my_lab_darkener", {"generator": {"name": "my_lab_shade"}}, 8), ("translate",)),
}
"""Translators of every registered model, and the graphs to export; the other graphs are those of a case beside it."""

DYNAMIC = {
    "dclgan",
    "combogan",
    "cut",
    "stargan_v1",
    "stargan_v1_adain",
    "stargan_v1_masked",
    "cyclegan",
    "diat",
    "diat_denoiser",
    "diat_enhancement",
    "fast_style",
    "pix2pix",
    "srgan",
    "srresnet",
    "unit",
    "unit_shared",
}
"""Cases with dynamic height and width."""

PATHS = {
    "stargan_v2": "translate_latent",
    "stargan_v2_modulated": "translate_latent",
    "stargan_v2_masks": "translate_reference",
    "stargan_v1": "translate",
    "stargan_v1_adain": "translate",
    "stargan_v1_masked": "translate",
    "cyclegan": "generator_ba",
    "cut": "generator",
    "dclgan": "generator_ba",
    "pix2pix": "generator",
    "pix2pix_dropout": "generator",
    "fast_style": "transformer",
    "srgan": "generator",
    "srresnet": "generator",
    "icgan": "translate",
    "combogan": "translate",
    "unit": "translate",
    "unit_shared": "translate",
    "diat": "generator",
    "diat_denoiser": "translate",
    "diat_enhancement": "translate",
    "dtn": "translate",
    "autoencoder": "translate",
    "xgan": "translate",
    "my_lab_painter_gan": "translate",
    "my_lab_darkener": "translate",
}
"""The whole way of each case."""


ONE_TARGET = {
    "srgan": 0,
    "srresnet": 0,
    "cyclegan": 0,
    "fast_style": 0,
    "cut": 1,
    "dclgan": 0,
    "pix2pix": 1,
    "dtn": 1,
    "autoencoder": 0,
    "diat": 1,
    "diat_denoiser": 0,
    "diat_enhancement": 1,
}
"""The target of the exported way of models whose way has one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture
def case(place: Path, plugin: None) -> Case:
    """Return a function that exports a case once, and returns its translator and folder."""

    def exported(name: str) -> tuple[Translator, Path]:
        make, graphs = CASES[name]
        translator, folder = make(), place / name
        if not folder.exists():
            results = list(runtimes.export(translator, runtimes.runtime("onnx"), folder, graphs))
            assert {path.name for path in folder.iterdir()} == {f"{graph}.onnx" for graph in graphs}
            assert all(result.difference <= 1e-4 for result in results)
            assert all("ONNX Runtime" in str(result) and result.file in str(result) for result in results)
        return translator, folder

    return exported


@cache
def pix2pix() -> Translator:
    return CASES["pix2pix"][0]()


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def images(count: int, height: int, width: int, seed: int = 7) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_every_translation_has_a_case(plugin: None) -> None:
    assert {CASES[name][0]().about.model for name in CASES} == set(TRANSLATIONS.index())


def inputs_of(name: str, count: int, height: int, width: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the inputs of a whole way, written out by hand, and the same for `Translator.translation`."""
    x = images(count, height, width)
    inputs, words = {"image": x.numpy()}, {"x": x, "target": torch.ones(count, dtype=torch.int64)}
    if name.startswith("stargan_v2"):
        words["target"] = torch.arange(count) % 3
        words["reference" if "masks" in name else "code"] = (
            images(count, 32, 32, 8) if "masks" in name else torch.from_numpy(draw_codes(3, count, 5))
        )
        inputs |= {key: words[key].numpy() for key in ("target", "reference", "code") if key in words}
        if "masks" not in name:
            words["psi"], inputs["psi"] = 0.7, np.array(0.7, np.float32)
    elif name.startswith("stargan_v1"):
        words["target"] = torch.tensor([[0.0, 0, 0, 1, 0, 1]]).repeat(count, 1)
        inputs["target"] = words["target"].numpy()
    elif name == "icgan":
        words["target"] = torch.tensor([[float("nan"), 1.0]]).repeat(count, 1)
        inputs["target"] = words["target"].numpy()
    elif name in ("autoencoder", "cyclegan", "dclgan", "diat_denoiser", "fast_style", "srgan", "srresnet"):
        words["target"] = torch.zeros(count, dtype=torch.int64)
    elif name == "my_lab_darkener":
        words["target"] = torch.linspace(0, 0.9, count)
    elif name.startswith(("unit", "xgan")):
        words["target"] = torch.arange(count) % 2
    elif name == "combogan":
        words["target"] = torch.stack([torch.arange(count) % 3, (torch.arange(count) + 1) % 3], dim=1)
    if name.startswith(("my_lab", "unit", "xgan", "combogan")):
        inputs["target"] = words["target"].numpy()
    return inputs, words


@pytest.mark.parametrize("name", CASES)
def test_the_whole_way_equals_the_translation(case: Case, name: str) -> None:
    translator, folder = case(name)
    run, size = session(folder / f"{PATHS[name]}.onnx"), translator.image_size.height
    for count, height, width in ((1, size, size), (5, size, size), (2, size + 16, size + 32)):
        inputs, words = inputs_of(name, count, height, width)
        if height != size and name not in DYNAMIC:
            with pytest.raises(Exception, match="Got invalid dimensions"):
                run.run(None, inputs)
            continue
        expected = translator.translation(**words).clamp(-1, 1).numpy()
        (output,) = run.run(["translation"], inputs)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4)
        assert output.std() > 0.01
        assert output.shape[2:] == (translator.scale * height, translator.scale * width)


@pytest.mark.parametrize("name", sorted(DYNAMIC))
def test_the_smallest_image_that_a_rule_allows_is_translated(name: str) -> None:
    translator = CASES[name][0]()
    engine = TorchEngine(translator)
    assert engine.sizes is not None
    side = engine.sizes.up(1)
    _, words = inputs_of(name, 1, side, side)
    output = engine.translate(words["x"].numpy(), words["target"].numpy())
    assert output.shape == (1, 3, translator.scale * side, translator.scale * side)
    assert np.isfinite(output).all()


@pytest.mark.parametrize("name", CASES)
def test_files_describe_themselves(case: Case, name: str) -> None:
    translator, folder = case(name)
    about = translator.about
    for path in folder.iterdir():
        run = session(path)
        header = parse(run.get_modelmeta().custom_metadata_map, str(path))
        assert header.inputs == tuple(each.name for each in run.get_inputs())
        assert header.outputs == tuple(each.name for each in run.get_outputs())
        assert (header.graph, header.model, header.licence) == (path.stem, about.model, "cc0-1.0")
        assert (header.domains, header.label_sets) == (about.domains, about.label_sets)
        assert (header.image_size, header.crop) == (about.image_size // translator.scale, translator.crop)
        assert (header.weights_sha256, header.latent_size) == (
            TorchEngine(translator).digest,
            translator.translation.latent_size,
        )
        assert header.target == (ONE_TARGET.get(about.model) if header.whole else None)
        assert header.whole == (
            path.stem.startswith("translate")
            or about.model in ("cut", "cyclegan", "dclgan", "diat", "pix2pix", "fast_style", "srgan", "srresnet")
        )
        sides = [about.image_size] * 2
        if name in DYNAMIC:
            sides = ["height", "width"]
            alone = path.stem.startswith(("decoder", "encoder_shared"))  # their input is a code, of one size
            multiple = {
                "stargan_v1": 4,
                "stargan_v1_adain": 4,
                "stargan_v1_masked": 4,
                "cut": 4,
                "dclgan": 4,
                "cyclegan": 4,
                "fast_style": 4,
                "srgan": 1,
                "srresnet": 1,
                "pix2pix": 16,
                "combogan": 4,
                "diat": 4,
                "diat_denoiser": 1,
                "diat_enhancement": 4,
                "unit": 4,
                "unit_shared": 4,
            }[name]
            assert header.multiple == (None if alone else multiple)
            sides = [about.image_size] * 2 if alone else sides
        for tensor in (*run.get_inputs(), *run.get_outputs()):
            if tensor.name == "image" or (tensor.name == "translation" and translator.scale == 1):
                assert tensor.shape == ["batch", 3, *sides]
            assert tensor.name == "psi" or tensor.shape[0] == "batch"


def test_masks_of_landmarks_are_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From heat maps of the brightness, which are quick; docs/export.md has the difference of the whole network."""

    def heat_maps(self: FaceLandmarks, x: Tensor) -> Tensor:
        brightness = F.interpolate(x.mean(dim=1, keepdim=True) * 0.5 + 0.5, size=64)
        return brightness * torch.linspace(0.2, 1, NUM_LANDMARKS)[:, None, None] + 0 * self.l0.weight.mean()

    monkeypatch.setattr(FaceLandmarks, "heat_maps", heat_maps)
    translator = made("stargan_v2", {**MASKED, "masks": {"name": "landmark_masks"}}, 32, **THREE)
    list(runtimes.export(translator, runtimes.runtime("onnx"), tmp_path, ("translate_latent",)))
    x = torch.linspace(-1, 1, 32).expand(2, 3, 32, 32).clone()
    x[1] = x[1].flip(-1)
    assert min(mask.std() for mask in translator.translation.networks["masks"](x)) > 0.05
    inputs, words = inputs_of("stargan_v2", 2, 32, 32)
    inputs["image"], words["x"] = x.numpy(), x
    (output,) = session(tmp_path / "translate_latent.onnx").run(None, inputs)
    expected = translator.translation(**words).clamp(-1, 1)
    np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=1e-4)
    without = made("stargan_v2", {**MASKED, "masks": {"name": "face_oval"}}, 32, **THREE).translation(**words)
    assert not np.allclose(output, without.clamp(-1, 1).numpy(), atol=1e-3)


# --- engines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("psi", [None, 0.3])
@pytest.mark.parametrize("style_input", ["code", "reference"])
def test_the_engine_of_a_folder_has_styles(case: Case, style_input: str, psi: float | None) -> None:
    """Styles, masks and generator are in files of their own; styles can be blended."""
    translator, folder = case("stargan_v2_masks")
    engine = open_onnx(folder)
    assert (engine.model, engine.domains, engine.crop) == ("stargan_v2", ("cat", "dog", "wild"), "none")
    assert (engine.style_inputs, engine.interpolates, engine.latent_size) == (("code", "reference"), True, 5)
    assert (list(engine.reachable), engine.sizes, engine.image_size) == ([0, 1, 2], None, (32, 32))
    assert (engine.digest, engine.label_sets, engine.on_cpu) == (TorchEngine(translator).digest, (), True)
    assert engine.runtime.startswith("onnxruntime 1.")
    x, target = images(3, 32, 32), torch.tensor([2, 0, 1])
    value = torch.from_numpy(draw_codes(1, 3, 5)) if style_input == "code" else images(3, 32, 32, 9)
    settings = {} if psi is None or style_input == "reference" else {"psi": psi}
    expected = translator.translation.styles(target, **{style_input: value}, **settings)
    styles = engine.styles(target.numpy(), **{style_input: value.numpy()}, **settings)
    np.testing.assert_allclose(styles, expected.numpy(), rtol=0, atol=1e-4)
    blended = 0.5 * (styles + styles[::-1])
    expected = translator.translation(x, target, style=torch.from_numpy(blended)).clamp(-1, 1)
    output = engine.translate(x.numpy(), target.numpy(), blended)
    np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=1e-4)


def test_the_engine_of_one_file_translates_by_codes(case: Case) -> None:
    translator, folder = case("stargan_v2")
    engine = open_onnx(folder / "translate_latent.onnx", threads=1)
    assert (engine.style_inputs, engine.interpolates) == (("code",), False)
    assert engine.runtime.endswith("cpu, 1 threads")
    x, target, codes = images(3, 32, 32), torch.tensor([2, 0, 1]), torch.from_numpy(draw_codes(1, 3, 5))
    parts = [engine.styles(target[rows].numpy(), codes[rows].numpy(), psi=psi) for rows, psi in ROWS]
    output = engine.translate(x.numpy(), target.numpy(), np.concatenate(parts))
    for rows, psi in ROWS:
        words = {} if psi is None else {"psi": psi}
        expected = translator.translation(x[rows], target[rows], code=codes[rows], **words).clamp(-1, 1)
        np.testing.assert_allclose(output[rows], expected.numpy(), rtol=0, atol=1e-4)


ROWS = ((slice(0, 2), 0.4), (slice(2, 3), None))
"""Rows of a batch, and their psi."""


def test_the_engine_of_one_file_translates_by_references(case: Case) -> None:
    translator, folder = case("stargan_v2_masks")
    engine = open_onnx(folder / "translate_reference.onnx")
    assert engine.style_inputs == ("reference",)
    x, target, reference = images(2, 32, 32), torch.tensor([2, 0]), images(2, 32, 32, 9)
    style = engine.styles(target.numpy(), reference=reference.numpy())
    expected = translator.translation(x, target, reference=reference).clamp(-1, 1)
    output = engine.translate(x.numpy(), target.numpy(), style)
    np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=1e-4)


def test_the_engine_of_one_direction(case: Case) -> None:
    translator, folder = case("cyclegan")
    engine = open_onnx(folder)
    assert (list(engine.reachable), engine.style_inputs, engine.sizes) == ([0], (), SizeRule(4, 8))
    x, target = images(2, 20, 28), np.zeros(2, np.int64)
    expected = translator.translation(x, torch.zeros(2, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(engine.translate(x.numpy(), target), expected, rtol=0, atol=1e-4)


def test_the_engine_of_labels(case: Case) -> None:
    translator, folder = case("stargan_v1")
    engine = open_onnx(folder)
    assert (engine.label_sets, engine.style_inputs, engine.sizes) == (SETS, (), SizeRule(4, 16))
    x, target = images(2, 16, 24), torch.tensor([[0.0, 1, 0, 0, 1, 0]]).repeat(2, 1)
    expected = translator.translation(x, target).numpy()
    np.testing.assert_allclose(engine.translate(x.numpy(), target.numpy()), expected, rtol=0, atol=1e-4)


def test_onnx_files_run_without_torch(case: Case) -> None:
    _, folder = case("stargan_v2_masks")
    code = (
        "import sys, numpy as np\n"
        "from translate.inference.codes import draw_codes\n"
        "from translate.inference.onnx_runtime import open_onnx\n"
        f"engine = open_onnx({str(folder)!r})\n"
        "target = np.array([1])\n"
        "style = engine.styles(target, draw_codes(0, 1, 5))\n"
        "print(engine.translate(np.zeros((1, 3, 32, 32), np.float32), target, style).shape)\n"
        "print([name for name in ('torch', 'onnx', 'hydra', 'safetensors') if name in sys.modules])\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.split("\n") == ["(1, 3, 32, 32)", "[]", ""], answer.stderr


def test_files_that_do_not_translate_are_refused(case: Case, tmp_path: Path) -> None:
    _, folder = case("stargan_v2_masks")
    with pytest.raises(UserError, match=r"networks do not translate alone; found generator, .* Fix: weights=.*masks"):
        open_onnx(folder / "generator.onnx")
    with pytest.raises(UserError, match="the folder holds no ONNX files"):
        open_onnx(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        open_onnx(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"no protobuf")
    with pytest.raises(UserError, match="ONNX Runtime cannot read the file"):
        open_onnx(tmp_path / "a.onnx")
    for name in ("stargan_v1/translate", "pix2pix/generator"):
        shutil.copy(case(name.split("/")[0])[1] / f"{name.split('/')[1]}.onnx", tmp_path)
    (tmp_path / "a.onnx").unlink()
    model = onnx.load(tmp_path / "translate.onnx")
    next(each for each in model.metadata_props if each.key == "weights_sha256").value = '"other"'
    onnx.save(model, tmp_path / "translate.onnx")
    with pytest.raises(UserError, match=r"generator.onnx and translate.onnx were exported from different weights"):
        open_onnx(tmp_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "translate.onnx")
    with pytest.raises(UserError, match="not a graph that was exported by this package; found no format name"):
        open_onnx(tmp_path / "translate.onnx")


# --- what is refused ----------------------------------------------------------------------------------------


def shifted(by: float) -> runtimes.Runtime:
    """Return ONNX Runtime whose outputs are larger by a number."""
    onnx_runtime = runtimes.runtime("onnx")

    def load(path: Path, graph: Graph) -> Run:
        run = onnx_runtime.load(path, graph)
        return lambda inputs: [output + np.float32(by) for output in run(inputs)]

    return replace(onnx_runtime, load=load)


def test_a_graph_that_differs_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'generator' differs from the translation in 'translation', .* batch 1"):
        list(runtimes.export(pix2pix(), shifted(2e-4), tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("by", "accepted"), [(5e-5, True), (2e-4, False)])
def test_rounding_is_measured_against_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float, accepted: bool
) -> None:
    """A file may be beyond the tolerance if torch in float32 is as far from the result in float64."""
    monkeypatch.setattr(runtimes, "TOLERANCE", 1e-6)
    (graph,) = graphs_of(pix2pix())

    def rounded(*shape: int) -> Example:
        example = graph.example(*shape)
        return replace(example, outputs={name: value - 3e-5 for name, value in example.outputs.items()})

    monkeypatch.setattr(runtimes, "graphs_of", lambda translator: [replace(graph, example=rounded)])
    if accepted:
        (result,) = runtimes.export(pix2pix(), shifted(by), tmp_path)
        assert result.difference == pytest.approx(8e-5, rel=0.1)
    else:
        with pytest.raises(UserError, match="differs from the translation"):
            list(runtimes.export(pix2pix(), shifted(by), tmp_path))


class Counting(nn.Module):
    """A network whose operations depend on the number of images."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[row : row + 1] * row for row in range(len(x))])


class CountingTranslation(Translation):
    roles = ("generator",)

    def __call__(self, x: Tensor, target: Tensor, *args: Any, **style_inputs: Any) -> Tensor:
        return self.networks["generator"](x) * target[:, None, None, None]


def test_a_network_that_fixes_the_batch_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts = {"batch": "unpaired"}
    for registry, cls, own in (
        (NETWORKS, Counting, {}),
        (TRANSLATIONS, CountingTranslation, {}),
        (MODELS, object, facts),
    ):
        monkeypatch.setattr(registry, "_objects", dict(registry._objects))
        monkeypatch.setattr(registry, "_facts", dict(registry._facts))
        registry.register("counting", **own)(cls)
    translator = made("counting", {"generator": {"name": "counting"}}, 16, domains=("a", "b"))
    with pytest.raises(UserError, match=r"'generator' cannot be traced by torch.export .*\. Fix: write the network so"):
        list(runtimes.export(translator, runtimes.runtime("onnx"), tmp_path / "new", ()))
    assert list(tmp_path.iterdir()) == []


def test_wrong_choices_of_graphs() -> None:
    translator = CASES["stargan_v2"][0]()
    runtime = runtimes.runtime("onnx")
    with pytest.raises(UserError, match=r"graphs: unknown graph 'encoder'.* Known: generator, mapping"):
        next(runtimes.export(translator, runtime, Path("x"), ["encoder"]))
    with pytest.raises(
        UserError, match=r"to: found one file for 2 graphs.* Fix: to=FOLDER, or graphs=translate_latent"
    ):
        next(runtimes.export(translator, runtime, Path("x.onnx")))
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "found 'other', expected 'translate graph 1'"),
        ({"domains": "["}, "the 'domains' of its header is missing or damaged"),
        ({"image_size": '"32"'}, "the 'image_size' of its header has a wrong type"),
        ({"label_sets": '[{"kind": "words"}]'}, "its header does not describe a graph"),
    ],
)
def test_damaged_headers_are_refused(change: dict[str, str], sentence: str) -> None:
    translator = CASES["pix2pix"][0]()
    header = runtimes._header(translator, graphs_of(translator)[0], "ab")
    metadata = header.metadata()
    assert metadata["format"] == FORMAT
    assert parse(metadata, "a.onnx") == header
    with pytest.raises(UserError, match=sentence):
        parse(metadata | change, "a.onnx")


# --- programs of torch --------------------------------------------------------------------------------------


def test_a_program_of_torch(tmp_path: Path) -> None:
    """At the size of training, where the innermost features have one pixel, and at another."""
    runtime = runtimes.runtime("torch_export")
    (result,) = runtimes.export(pix2pix(), runtime, tmp_path / "a.pt2", ())
    assert result.file == "a.pt2"
    assert not is_package(tmp_path / "a.pt2")
    with pytest.raises(UserError, match=r"holds a program of torch, which can run code .* Fix: trust=true"):
        open_programs(tmp_path / "a.pt2")
    engine = open_programs(tmp_path, trust=True)
    assert (engine.model, list(engine.reachable), engine.sizes) == ("pix2pix", [1], SizeRule(16, 16))
    call, header = load_program(tmp_path / "a.pt2")
    assert (header.model, header.target, header.multiple) == ("pix2pix", 1, 16)
    for sides in ((16, 16), (32, 48)):
        x = images(2, *sides)
        expected = pix2pix().translation(x, torch.ones(2, dtype=torch.int64))
        torch.testing.assert_close(call(x)[0], expected, rtol=0, atol=1e-4)
        output = engine.translate(x.numpy(), np.ones(2, np.int64))
        np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=1e-4)


@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor wants a C++ compiler")
def test_a_compiled_package(tmp_path: Path) -> None:
    translator = CASES["stargan_v2"][0]()
    (result,) = runtimes.export(translator, runtimes.runtime("aot"), tmp_path, ["mapping"])
    assert result.difference <= 1e-4
    assert is_package(tmp_path / "mapping.pt2")
    with pytest.raises(UserError, match=r"holds native code of AOTInductor\. Fix: trust=true"):
        open_programs(tmp_path / "mapping.pt2")
    call, header = load_package(tmp_path / "mapping.pt2")
    assert (header.graph, header.model) == ("mapping", "stargan_v2")
    code, target = torch.from_numpy(draw_codes(1, 4, 5)), torch.tensor([0, 1, 2, 1])
    expected = translator.translation.networks["mapping"](code, target)
    torch.testing.assert_close(call(code, target)[0], expected, rtol=0, atol=1e-4)


def test_a_program_is_traced_without_the_shortcuts_of_a_cpu() -> None:
    (graph,) = graphs_of(pix2pix())
    operations = {str(node.target) for node in trace(graph, ImageSize.of(16)).graph.nodes}
    assert "aten.group_norm.default" in operations
    assert not any("batch_norm" in operation for operation in operations)
