"""Official layouts: files are detected, and importing then exporting returns the same tensors."""

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from numerics.published import (
    Content,
    State,
    differences,
    golden,
    golden_state,
    save,
    stargan_v2,
    wrapped,
)
from numerics.test_unit_golden import networks_of as unit_networks
from translate.errors import UserError
from translate.export import weights
from translate.inference.translator import Translator
from translate.weights import format
from translate.weights.load import weights_of
from translate.weights.published import detect
from translate.weights.published.files import read as read_file
from translate.weights.published.layout import ImportOptions

NONE = ImportOptions()


def small_v2(w_hpf: float = 0.0, size: int = 32, domains: int = 2) -> dict[str, State]:
    return stargan_v2(size, w_hpf, domains, width=4, widest=16)


def v1(network: str, tag: str = "stargan_v1_celeba64") -> State:
    return golden_state(tag, network)


def without(state: State, *ends: str) -> State:
    return {key: tensor for key, tensor in state.items() if not key.endswith(ends)}


def with_statistics(state: State, *norms: str) -> State:
    """Return a generator with instance norms as old files have it, with running statistics."""
    found = dict(state)
    for norm in norms:
        found |= {f"{norm}.running_mean": torch.randn(4), f"{norm}.running_var": torch.rand(4)}
    return found


def cyclegan(name: str = "G_A") -> State:
    return golden_state("cyclegan_resnet9_64", name, 0.5)


def pix2pix(name: str = "G") -> State:
    return golden_state("pix2pix_unet128", name, 0.5)


CUT_NETWORKS = ("generator", "discriminator", "features")


def cut(name: str) -> State:
    """Return a network of CUT with its fixed kernels, as the official code writes it."""
    state = golden_state("cut_64", name, 0.5)
    for key, tensor in state.items():
        if key.endswith("filt"):
            line = torch.tensor([1.0, 2.0, 1.0] if tensor.shape[-1] == 3 else [1.0, 3.0, 3.0, 1.0])
            state[key] = torch.outer(line, line).expand_as(tensor).clone() / 16
    return state


def with_dropout(state: State) -> State:
    """Return a residual generator as it is with dropout, which shifts the second convolution of a block."""
    return {key.replace("conv_block.5.", "conv_block.6."): tensor for key, tensor in state.items()}


def with_batch_norm(state: State) -> State:
    """Return a residual generator as it is with batch norm: norms have tensors, convolutions before them no bias."""
    found: State = {}
    for key, tensor in state.items():
        first, _, last = key.rpartition(".")
        head, _, number = first.rpartition(".")
        if head == "model" and number == "26":  # the last convolution has no norm behind it
            found[key] = tensor
        elif last == "weight":
            found[key] = tensor
            width = tensor.shape[1] if number in ("19", "22") else tensor.shape[0]
            norm = f"{head}.{int(number) + 1}"
            found |= {f"{norm}.weight": torch.randn(width), f"{norm}.bias": torch.randn(width)}
            found |= {f"{norm}.running_mean": torch.randn(width), f"{norm}.running_var": torch.rand(width)}
            found[f"{norm}.num_batches_tracked"] = torch.tensor(3)
    return found


def pixel() -> State:
    return {
        "net.0.weight": torch.randn(4, 3, 1, 1),
        "net.0.bias": torch.randn(4),
        "net.2.weight": torch.randn(8, 4, 1, 1),
        "net.2.bias": torch.randn(8),
        "net.5.weight": torch.randn(1, 8, 1, 1),
        "net.5.bias": torch.randn(1),
    }


XGAN = ("e1", "e2", "e_shared", "d_shared", "d1", "d2", "c_dann", "disc1")


def unit(kind: str) -> dict[str, State]:
    """Return the networks of both domains in a file of 2018, "gen" or "dis"."""
    return {side: golden_state("unit_64", f"{kind}_{side}") for side in "ab"}


def small_state(tag: str, network: str) -> State:
    """Return a network of a golden layout whose widths are a sixteenth, filled with random numbers."""
    widths = {
        key: [side // 16 if side >= 16 else side for side in shape] for key, shape in golden(tag)["layout"][network]
    }
    return {key: torch.rand(shape) if shape else torch.tensor(7) for key, shape in widths.items()}


def doubling_once() -> State:
    """Return leftthomas's generator that doubles once, so that the last convolution has another number."""
    state = small_state("srgan_port2_x4", "generator")
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(("block8.1", "block8.2"))}
    return kept | {key.replace("block8.2", "block8.1"): state[key] for key in state if key.startswith("block8.2")}


# name -> files by name, as released
Files = Callable[[], dict[str, Content]]
PUBLISHED: dict[str, Files] = {
    "v2": lambda: {"100000_nets_ema.ckpt": small_v2()},
    "v2 without landmarks": lambda: {
        "100000_nets_ema.ckpt": {name: state for name, state in small_v2().items() if name != "fan"}
    },
    "v2 of CelebA-HQ": lambda: {"100000_nets_ema.ckpt": small_v2(1.0)},
    "v2 with its filter": lambda: {"001000_nets_ema.ckpt": with_filter(small_v2(1.0), 1.0)},
    "v2 with both files": lambda: {
        "100000_nets_ema.ckpt": small_v2(1.0),
        "100000_nets.ckpt": with_discriminator(with_filter(small_v2(1.0), 1.0)),
    },
    "v1": lambda: {"200000-G.ckpt": v1("generator"), "200000-D.ckpt": v1("discriminator")},
    "v1, the generator alone": lambda: {"200000-G.ckpt": v1("generator")},
    "v1, before PyTorch 0.4": lambda: {"200000-G.ckpt": without(v1("generator"), "num_batches_tracked")},
    "v1 of two data sets": lambda: {
        "200000-G.ckpt": v1("generator", "stargan_v1_joint64"),
        "200000-D.ckpt": v1("discriminator", "stargan_v1_joint64"),
    },
    "cyclegan": lambda: {f"latest_net_{name}.pth": cyclegan(name) for name in ("G_A", "G_B", "D_A", "D_B")},
    "cyclegan, one way": lambda: {"latest_net_G.pth": cyclegan()},
    "cyclegan, back only": lambda: {"latest_net_G_B.pth": cyclegan("G_B")},
    "cyclegan, old": lambda: {"latest_net_G.pth": with_statistics(cyclegan(), "model.2", "model.10.conv_block.2")},
    "cyclegan with dropout": lambda: {"latest_net_G.pth": with_dropout(cyclegan())},
    "cyclegan with batch norm": lambda: {"latest_net_G.pth": with_batch_norm(cyclegan())},
    "cyclegan with pixel discriminator": lambda: {"latest_net_G_A.pth": cyclegan(), "latest_net_D_A.pth": pixel()},
    "fast style": lambda: {"mosaic.pth": golden_state("fast_style_64", "transformer")},
    "fast style, before PyTorch 0.4": lambda: {
        "epoch_2_1e5_1e10.model": with_statistics(golden_state("fast_style_64", "transformer"), "in1", "res1.in1")
    },
    "unit": lambda: {f"{kind}_00100000.pt": unit(kind) for kind in ("gen", "dis")},
    "unit, with running statistics": lambda: {
        "gen_00000500.pt": {
            side: with_statistics(state, "enc.model.1.norm", "dec.model.0.model.0.model.1.norm")
            for side, state in unit("gen").items()
        }
    },
    "unit, the paper's time": lambda: {
        f"unit_{kind}_00500000.pkl": golden_state("unit_shared_64", kind, 0.7 if kind == "gen" else 1.0)
        for kind in ("gen", "dis")
    },
    "srgan": lambda: {
        "g_last.pth.tar": {name: golden_state("srgan_x4", "generator") for name in ("state_dict", "ema_state_dict")},
        "d_last.pth.tar": {"state_dict": golden_state("srgan_x4", "discriminator")},
    },
    "srgan, the EMA with its counter": lambda: {
        "g_best.pth.tar": {
            "state_dict": golden_state("srgan_x4", "generator"),
            "ema_state_dict": golden_state("srgan_x4", "generator", 0.5) | {"n_averaged": torch.tensor(3)},
        }
    },
    "srgan, another port": lambda: {
        f"net{role[0].upper()}_epoch_4_100.pth": small_state("srgan_port2_x4", role)
        for role in ("generator", "discriminator")
    },
    "srgan, another port, x2": lambda: {"netG_epoch_2_100.pth": doubling_once()},
    "xgan": lambda: {f"{name}.pth": small_state("xgan_64", name) for name in XGAN},
    "xgan with its denoiser": lambda: {
        f"{name}.pth": small_state("xgan_64", name) if name in XGAN else {"conv.weight": torch.randn(2, 2)}
        for name in (*XGAN[:6], "denoiser")
    },
    "cut": lambda: {f"latest_net_{name[0].upper()}.pth": cut(name) for name in CUT_NETWORKS},
    "cut, the generator alone": lambda: {"latest_net_G.pth": cut("generator")},
    "pix2pix": lambda: {"latest_net_G.pth": pix2pix(), "latest_net_D.pth": pix2pix("D")},
    "pix2pix, before PyTorch 0.4": lambda: {"latest_net_G.pth": without(pix2pix(), "num_batches_tracked")},
}


def with_filter(content: dict[str, State], w_hpf: float) -> dict[str, State]:
    kernel = torch.full((3, 3), -1.0)
    kernel[1, 1] = 8.0
    return {**content, "generator": {**content["generator"], "hpf.filter": kernel / w_hpf}}


def with_discriminator(content: dict[str, State]) -> dict[str, State]:
    encoder = content["style_encoder"]
    trunk = {key: tensor for key, tensor in encoder.items() if key.startswith("shared.")}
    main = {key.replace("shared.", "main."): tensor.clone() for key, tensor in trunk.items()}
    width = main["main.5.weight"].shape[0]
    main |= {"main.7.weight": torch.randn(2, width, 1, 1), "main.7.bias": torch.randn(2)}
    networks = {name: content[name] for name in ("generator", "mapping_network", "style_encoder")}
    return {**networks, "discriminator": main, "fan": content["fan"]}


def put(folder: Path, files: dict[str, Content], kind: str = "zip") -> list[Path]:
    return [save(content, folder / name, kind) for name, content in files.items()]


def again(weights: format.Weights, folder: Path) -> dict[str, Content]:
    """Return the files of the official layout, by name, written from a weights file."""
    format.write(weights, folder / "ours.safetensors")
    written = detect.write(format.read(folder / "ours.safetensors"), folder / "written")
    return {path.name: torch.load(path, weights_only=True) for path in written}


@pytest.mark.parametrize("name", PUBLISHED)
def test_import_then_export_is_the_identity(name: str, tmp_path: Path) -> None:
    files = PUBLISHED[name]()
    found = again(detect.read(put(tmp_path / "in", files), NONE), tmp_path)
    assert found.keys() == files.keys()
    for file, content in files.items():
        assert differences(found[file], content) == filters_added(content)


def filters_added(content: Content) -> list[str]:
    """Return the tensor that is written beside those of a file of CelebA-HQ, since the official program needs it."""
    generator = content.get("generator", {})
    skips = not isinstance(generator, torch.Tensor) and "decode.3.conv1.weight" in generator  # a block more
    return ["generator/hpf.filter"] if skips and "hpf.filter" not in generator else []


@pytest.mark.parametrize("kind", ["legacy", "safetensors"])
@pytest.mark.parametrize("name", ["v2 of CelebA-HQ", "v1", "cyclegan"])
def test_other_kinds_of_files_hold_the_same(name: str, kind: str, tmp_path: Path) -> None:
    files = PUBLISHED[name]()
    found = again(detect.read(put(tmp_path / "in", files, kind), NONE), tmp_path)
    for file, content in files.items():
        assert differences(found[file], content) == filters_added(content)


def test_a_wrapper_s_prefix_is_stripped(tmp_path: Path) -> None:
    content = small_v2()
    (path,) = put(tmp_path / "in", {"000100_nets_ema.ckpt": wrapped(content)})
    assert differences(again(detect.read([path], NONE), tmp_path)["000100_nets_ema.ckpt"], content) == []


@pytest.mark.parametrize(("w_hpf", "count", "blocks"), [(0.0, 108, 6), (1.0, 125 - 1, 7)])
def test_the_layout_written_out_here_is_the_official_one(w_hpf: float, count: int, blocks: int) -> None:
    """At 256 px the generator has so many tensors and blocks; the filter, the 125th, is not in the released file."""
    generator = stargan_v2(256, w_hpf, 2, width=8, widest=64)["generator"]
    assert len(generator) == count
    assert len({key.split(".")[1] for key in generator if key.startswith("encode")}) == blocks


# --- what is read from shapes ---------------------------------------------------------------------------------


def read(folder: Path, files: dict[str, Content], **options: Any) -> format.Weights:
    return detect.read(put(folder, files), ImportOptions(**options))


@pytest.mark.parametrize(
    ("size", "w_hpf", "domains", "names"),
    [(32, 0.0, 2, ("female", "male")), (64, 1.0, 3, ("cat", "dog", "wild")), (32, 0.0, 4, ("d0", "d1", "d2", "d3"))],
)
def test_stargan_v2_tells_its_sizes(size: int, w_hpf: float, domains: int, names: tuple, tmp_path: Path) -> None:
    found = read(tmp_path, {"020000_nets_ema.ckpt": small_v2(w_hpf, size, domains)})
    assert (found.model, found.image_size, found.domains, found.iteration) == ("stargan_v2", size, names, 20_000)
    assert found.ema_roles == ("generator", "mapping", "style_encoder")
    assert found.arguments == {"latent_size": 16}
    assert found.networks["generator"] == {
        "name": "stargan_v2_generator",
        "image_size": size,
        "style_size": 64,
        "base_width": 4,
        "max_width": 8 if size == 32 else 16,
        "w_hpf": w_hpf,
        "num_bottleneck": 2,
    }
    assert ("masks" in found.networks) == (w_hpf > 0)


def test_the_filter_tells_w_hpf(tmp_path: Path) -> None:
    files: dict[str, Content] = {"a_nets_ema.ckpt": with_filter(small_v2(3.0), 3.0)}
    found = read(tmp_path, files)
    assert found.networks["generator"]["w_hpf"] == 3.0
    assert differences(again(found, tmp_path)["000000_nets_ema.ckpt"], files["a_nets_ema.ckpt"]) == []
    with pytest.raises(UserError, match=r"w_hpf: found 2\.0, expected 3, the file's filter"):
        read(tmp_path, files, w_hpf=2.0)


def test_w_hpf_can_be_said(tmp_path: Path) -> None:
    found = read(tmp_path, {"nets_ema.ckpt": small_v2(1.0)}, w_hpf=0.5)
    assert found.networks["generator"]["w_hpf"] == 0.5
    assert found.inference_state("generator")["hpf.filter"][1, 1].item() == 16.0


def test_stargan_v1_tells_its_labels(tmp_path: Path) -> None:
    found = read(tmp_path, {"200000-G.ckpt": v1("generator"), "200000-D.ckpt": v1("discriminator")})
    assert (found.image_size, found.iteration, found.domains) == (64, 200_000, ())
    assert [labels["kind"] for labels in found.label_sets] == ["attributes"]
    assert found.networks["generator"]["num_labels"] == found.networks["discriminator"]["num_labels"] == 5
    named = read(tmp_path, {"G.ckpt": v1("generator")}, domains=("a", "b", "c", "d", "e"), image_size=256)
    assert (named.domains, named.image_size) == (("a", "b", "c", "d", "e"), 256)
    assert named.label_sets == ({"kind": "classes", "names": ["a", "b", "c", "d", "e"]},)
    joint = read(tmp_path, {"G.ckpt": v1("generator", "stargan_v1_joint64")})
    assert [(labels["kind"], len(labels["names"])) for labels in joint.label_sets] == [
        ("attributes", 5),
        ("classes", 8),
    ]


def joint_files(num_labels: int, num_sets: int = 2) -> dict[str, Any]:
    """Return the files of a model of several data sets with other labels than the official pair."""
    generator = {
        "name": "stargan_v1_generator",
        "num_labels": num_labels,
        "num_sets": num_sets,
        "base_width": 4,
        "num_blocks": 1,
    }
    discriminator = {
        "name": "stargan_v1_discriminator",
        "image_size": 32,
        "num_labels": num_labels,
        "base_width": 4,
        "num_layers": 4,
    }
    return {"G.ckpt": format.build(generator).state_dict(), "D.ckpt": format.build(discriminator).state_dict()}


JOINT = {"labels": "joint", "num_attributes": 2, "domains": ("male", "young", "happy", "sad", "angry")}
WRONG_JOINT: list[tuple[list[str], dict[str, Any], str]] = [
    (["G.ckpt", "D.ckpt"], {}, "domains: the file joins two data sets with 5 labels together"),
    (["G.ckpt", "D.ckpt"], {"domains": JOINT["domains"]}, "num_attributes: the file joins two data sets with 5 labels"),
    (["G.ckpt"], JOINT | {"num_attributes": 5}, "num_attributes: found 5, expected 1 to 4: 5 labels in all"),
    (["G.ckpt"], JOINT | {"domains": ("a", "b")}, "domains: found 2 names, expected 5"),
    (["G.ckpt", "D.ckpt"], JOINT | {"labels": "domain"}, "labels: the labels of the file are of two data sets"),
    (["G.ckpt"], {"num_attributes": 2, "domains": tuple("abcdefg")}, "num_attributes: the labels are of one data set"),
]


THREE = {"labels": "joint", "label_counts": (2, 3, 1), "domains": tuple("abcdef")}


@pytest.mark.parametrize("names", [["G.ckpt"], ["G.ckpt", "D.ckpt"]])
@pytest.mark.parametrize(("num_attributes", "kinds"), [(None, "acc"), (5, "aac"), (6, "aaa")])
def test_stargan_v1_joins_three_data_sets(
    tmp_path: Path, names: list[str], num_attributes: int | None, kinds: str
) -> None:
    files = joint_files(6, 3)
    weights = read(tmp_path, {name: files[name] for name in names}, **THREE, num_attributes=num_attributes)
    word = {"a": "attributes", "c": "classes"}
    assert weights.label_sets == tuple(
        {"kind": word[kind], "names": labels} for kind, labels in zip(kinds, map(list, ("ab", "cde", "f")), strict=True)
    )
    assert weights.networks["generator"]["num_sets"] == 3
    assert weights.networks["generator"]["num_labels"] == 6
    written = again(weights, tmp_path)
    for name in names:
        own = next(key for key in written if key.endswith(f"-{name}"))
        assert differences(written[own], files[name]) == []


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["G.ckpt", "D.ckpt"], {}, "label_counts: the file joins three data sets with 6 labels together"),
        (["G.ckpt", "D.ckpt"], {"label_counts": (2, 4)}, r"label_counts: found \[2, 4\], expected 3 numbers"),
        (["G.ckpt"], THREE | {"label_counts": (2, 3, 2)}, r"found \[2, 3, 2\], expected numbers that add up to 6"),
        (["G.ckpt"], THREE | {"num_attributes": 3}, "num_attributes: found 3, expected one of 2, 5, 6, where"),
        (["G.ckpt"], THREE | {"domains": None}, "domains: the file joins three data sets with 6 labels"),
        (["G.ckpt"], THREE | {"labels": "domain"}, "label_counts: the labels are of one data set"),
    ],
)
def test_mistakes_about_three_data_sets(tmp_path: Path, names: list[str], options: dict[str, Any], said: str) -> None:
    files = joint_files(6, 3)
    with pytest.raises(UserError, match=said):
        read(tmp_path, {name: files[name] for name in names}, **options)


@pytest.mark.parametrize("names", [["G.ckpt"], ["G.ckpt", "D.ckpt"]])
def test_stargan_v1_joins_any_two_data_sets(tmp_path: Path, names: list[str]) -> None:
    files = joint_files(5)
    weights = read(tmp_path, {name: files[name] for name in names}, **JOINT)
    assert weights.label_sets == (
        {"kind": "attributes", "names": ["male", "young"]},
        {"kind": "classes", "names": ["happy", "sad", "angry"]},
    )
    assert weights.networks["generator"]["num_sets"] == 2
    translator = Translator(weights)
    x = torch.zeros(1, 3, 32, 32)
    assert not translator.translate(x, "sad").equal(translator.translate(x, {"male": 1}))
    assert differences(detect.layout_of(weights).write(weights)["0-G.ckpt"]["G"], dict(files["G.ckpt"])) == []


@pytest.mark.parametrize(("names", "options", "sentence"), WRONG_JOINT, ids=[s for _, _, s in WRONG_JOINT])
def test_wrong_facts_about_joint_labels(
    tmp_path: Path, names: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, {name: joint_files(5)[name] for name in names}, **options)
    assert str(raised.value).startswith(sentence)


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("cyclegan", "generator_ab", {"name": "resnet_generator", "num_blocks": 9, "norm": "instance", "dropout": False}),
    ("cyclegan with dropout", "generator_ab", {"dropout": True, "norm": "instance"}),
    ("cyclegan with batch norm", "generator_ab", {"dropout": False, "norm": "batch"}),
    ("cyclegan", "discriminator_b", {"name": "patch_discriminator", "in_channels": 3, "num_layers": 3}),
    ("cyclegan with pixel discriminator", "discriminator_b", {"name": "pixel_discriminator", "in_channels": 3}),
    ("pix2pix", "generator", {"name": "unet_generator", "num_downsamplings": 7, "norm": "batch", "dropout": True}),
    ("pix2pix", "discriminator", {"name": "patch_discriminator", "in_channels": 6, "norm": "batch"}),
]


@pytest.mark.parametrize(("name", "role", "wanted"), CASES, ids=[f"{name}, {role}" for name, role, _ in CASES])
def test_cyclegan_and_pix2pix_tell_their_options(name: str, role: str, wanted: dict[str, Any], tmp_path: Path) -> None:
    found = read(tmp_path, PUBLISHED[name]())
    assert found.model == name.split()[0]
    assert found.networks[role].items() >= wanted.items()
    assert found.domains == ("a", "b")


def test_cut_tells_its_options(tmp_path: Path) -> None:
    weights = read(tmp_path, PUBLISHED["cut"]())
    assert (weights.model, weights.image_size, weights.domains) == ("cut", 128, ("a", "b"))
    assert weights.networks == {
        "generator": {"name": "cut_generator", "base_width": 8, "num_blocks": 6},
        "discriminator": {"name": "cut_discriminator", "in_channels": 3, "base_width": 8, "num_layers": 3},
        "projection": {
            "name": "cut_projection",
            "taps": [0, 4, 8, 12, 16],
            "num_features": 256,
            "in_channels": [3, 16, 32, 32, 32],
        },
    }


def test_own_networks_of_cut_are_written_with_their_kernels(tmp_path: Path) -> None:
    files = PUBLISHED["cut"]()
    weights = replace(read(tmp_path, files), official=None)
    own = {key: tensor for key, tensor in weights.tensors.items() if not key.startswith("extra.")}
    written = detect.layout_of(weights).write(replace(weights, tensors=own))
    assert written.keys() == files.keys()
    for file, networks in written.items():
        assert differences(next(iter(networks.values())), dict(files[file])) == []


def test_a_kernel_that_cut_does_not_have_is_refused(tmp_path: Path) -> None:
    state = cut("generator")
    state["model.7.filt"] = torch.full_like(state["model.7.filt"], 1 / 9)
    with pytest.raises(UserError, match=r"the kernel model\.7\.filt is not the official one; found \[0\.1111"):
        read(tmp_path, {"latest_net_G.pth": state})


def test_projection_heads_alone_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the files have no known layout"):
        read(tmp_path, {"latest_net_F.pth": cut("features")})


def test_the_official_discriminator_of_a_is_that_of_the_second_domain(tmp_path: Path) -> None:
    found = read(tmp_path, PUBLISHED["cyclegan"]())
    for role, name in {"generator_ba": "G_B", "discriminator_b": "D_A", "discriminator_a": "D_B"}.items():
        assert differences(found.inference_state(role), cyclegan(name)) == []


def test_whose_a_generator_is_can_be_said(tmp_path: Path) -> None:
    assert read(tmp_path, {"latest_net_G.pth": pix2pix()}, model="cyclegan").networks.keys() == {"generator_ab"}
    assert read(tmp_path, {"latest_net_G.pth": cyclegan()}, model="pix2pix").networks.keys() == {"generator"}
    assert read(tmp_path, {"latest_net_G.pth": pix2pix()}, dropout=False).networks["generator"]["dropout"] is False


# --- what our own weights become ------------------------------------------------------------------------------


def test_unused_tensors_that_the_official_programs_load_are_filled_in(tmp_path: Path) -> None:
    """Without extra tensors, the tensors that they load and never read are written with initial values."""
    for name, fills in (("v2 of CelebA-HQ", "conv1x1.weight"), ("v1, the generator alone", "running_var")):
        files = PUBLISHED[name]()
        stripped = weights.inference_weights(detect.read(put(tmp_path / name, files), NONE))
        assert stripped.group("extra") == {}
        found = again(stripped, tmp_path)
        (file,) = files
        wanted = files[file]
        missing = {f"fan/{key}" for key in wanted.get("fan", {})}
        missing |= {"generator/hpf.filter"} if "generator" in wanted else set()
        differing = set(differences(found[file], wanted)) - missing
        assert differing
        assert all(fills in key or key.endswith(("running_mean", "num_batches_tracked")) for key in differing)
        assert not any(key.endswith(("fc.weight", "conv1.weight", "main.0.weight")) for key in differing)


@pytest.mark.parametrize(
    ("official", "role", "change"),
    [
        ("v1, the generator alone", "generator", {"name": "stargan_v1_adain_generator"}),
        ("v1, the generator alone", "generator", {"name": "stargan_v1_masked_generator"}),
        (
            "cyclegan, one way",
            "generator_ab",
            {"name": "unet_generator", "num_downsamplings": 5, "base_width": 4, "fine_width": 4},
        ),
    ],
)
def test_networks_that_the_official_code_lacks_are_not_written(
    official: str, role: str, change: dict[str, Any], tmp_path: Path
) -> None:
    published = weights.inference_weights(detect.read(put(tmp_path, PUBLISHED[official]()), NONE))
    node = change if role == "generator_ab" else {**published.networks[role], **change}
    tensors = {f"network.{role}.{key}": value for key, value in format.build(node).state_dict().items()}
    ours = replace(published, networks={role: node}, tensors=tensors, official=None)
    with pytest.raises(UserError, match=f"format: networks that [a-zA-Z0-9/-]* does not have; found {node['name']}"):
        detect.write(ours, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_generators_are_written_under_the_names_they_came_by(tmp_path: Path) -> None:
    assert again(read(tmp_path, {"latest_net_G.pth": cyclegan()}), tmp_path).keys() == {"latest_net_G.pth"}
    assert again(read(tmp_path, {"5_net_G_A.pth": cyclegan()}), tmp_path).keys() == {"latest_net_G_A.pth"}


# --- what is refused, each in one sentence --------------------------------------------------------------------


class Hostile:
    """What runs a command when a pickle of it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_hostile_pickle_is_not_executed(kind: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "100000_nets_ema.ckpt"
    content = {**small_v2(), "extra": Hostile(f"touch {mark}")}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content["extra"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(UserError, match="holds more than tensors") as caught:
        detect.read([path], NONE)
    assert not mark.exists()
    assert len(str(caught.value).splitlines()) == 1
    assert "weights_only" not in str(caught.value)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "a module": (lambda: nn.Linear(2, 2), "holds more than tensors"),
    "a list": (lambda: [torch.ones(1)], "found list, expected tensors by name"),
    "nothing": (dict, "holds no tensors"),
    "a training state": (lambda: {"epoch": 3, "model": {"a": torch.ones(1)}}, "found {'epoch': int, 'model': dict}"),
    "another network": (lambda: {"layer.weight": torch.ones(1)}, "no known layout; found the tensors layer.weight"),
    "other networks": (lambda: {"net_G": {"a": torch.ones(1)}}, "no known layout; found the networks net_G"),
    "a network too many": (lambda: {**small_v2(), "classifier": {"a": torch.ones(1)}}, "unknown network 'classifier'"),
    "a tensor too many": (
        lambda: {**small_v2(), "generator": {**small_v2()["generator"], "encode.0.conv9.weight": torch.ones(2)}},
        "stargan_v2_generator has no tensor for generator.encode.0.conv9.weight (2)",
    ),
    "a shortcut that is read": (
        lambda: {**small_v2(), "generator": {**small_v2()["generator"], "decode.0.conv1x1.weight": torch.ones(2)}},
        "has no tensor for generator.decode.0.conv1x1.weight (2)",
    ),
    "a tensor too few": (
        lambda: {**small_v2(), "generator": without(small_v2()["generator"], "decode.0.conv1.bias")},
        "generator lacks the tensor decode.0.conv1.bias (8)",
    ),
    "a tensor that tells a size too few": (
        lambda: {**small_v2(), "generator": without(small_v2()["generator"], "from_rgb.weight")},
        "looks like clovaai/stargan-v2, but does not hold all of it",
    ),
    "another shape": (
        lambda: {**small_v2(), "generator": {**small_v2()["generator"], "to_rgb.0.bias": torch.ones(3)}},
        "the tensor generator.to_rgb.0.bias does not fit; found 3, expected 4",
    ),
    "a blurring network": (lambda: {**cyclegan(), "model.7.filt": torch.ones(3, 3)}, "the kernel model.7.filt is not"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_placed_is_refused(name: str, tmp_path: Path) -> None:
    content, sentence = BAD[name]
    torch.save(content(), tmp_path / "x.ckpt")
    with pytest.raises(UserError) as caught:
        detect.read([tmp_path / "x.ckpt"], NONE)
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


WRONG: dict[str, tuple[dict[str, Content], dict[str, Any], str]] = {
    "names": (
        {"nets_ema.ckpt": small_v2()},
        {"domains": ("a", "b", "c")},
        "domains: found 3 names, expected 2: the file",
    ),
    "size": ({"nets_ema.ckpt": small_v2()}, {"image_size": 64}, "image_size: found 64, expected 32, the size"),
    "model": (
        {"nets_ema.ckpt": small_v2()},
        {"model": "cyclegan"},
        "clovaai/stargan-v2; found 'cyclegan', expected stargan_v2",
    ),
    "v2 labels": (
        {"nets_ema.ckpt": small_v2()},
        {"labels": "domain"},
        "labels: files of clovaai/stargan-v2 do not need",
    ),
    "v1 w_hpf": ({"G.ckpt": v1("generator")}, {"w_hpf": 1.0}, "w_hpf: files of yunjey/stargan do not need this fact"),
    "cyclegan labels": (
        {"latest_net_G_A.pth": cyclegan("G_A")},
        {"num_attributes": 3},
        "do not need this fact; found 3, expected only domains, image_size, dropout",
    ),
    "twice": ({"a.ckpt": small_v2(), "b.ckpt": small_v2()}, {}, "two files of one kind"),
    "mixed": ({"a.ckpt": small_v2(), "b.ckpt": v1("generator")}, {}, "or do not belong together"),
    "v1 discriminator": ({"D.ckpt": v1("discriminator")}, {}, "name the generator's file too"),
    "v1 twice": ({"a.ckpt": v1("generator"), "b.ckpt": v1("generator")}, {}, "a second file of the network G"),
    "joint names": ({"G.ckpt": v1("generator", "stargan_v1_joint64")}, {"domains": tuple("abc")}, "two data sets"),
    "cyclegan discriminator": ({"latest_net_D_A.pth": cyclegan("D_A")}, {}, "name the generator's file too"),
    "pix2pix name": (
        {"latest_net_G_A.pth": pix2pix()},
        {"model": "pix2pix"},
        "of pix2pix; expected latest_net_G.pth or",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    files, options, sentence = WRONG[name]
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, files, **options)


def test_fast_style_tells_its_sizes_and_its_style(tmp_path: Path) -> None:
    state = golden_state("fast_style_64", "transformer")
    found = read(tmp_path, {"mosaic.model": without(state, *(k for k in state if k.startswith("res5")))})
    assert found.networks == {"transformer": {"name": "fast_style_transformer", "base_width": 32, "num_blocks": 4}}
    assert (found.model, found.domains, found.image_size) == ("fast_style", ("mosaic",), 256)
    named = read(tmp_path, {"mosaic.model": state}, domains=("glass",), image_size=64)
    assert (named.domains, named.image_size) == (("glass",), 64)


def test_unit_tells_its_sizes(tmp_path: Path) -> None:
    found = read(tmp_path, {"gen_00100000.pt": unit("gen"), "dis_00100000.pt": unit("dis")})
    assert (found.model, found.iteration, found.image_size, found.domains) == ("unit", 100_000, 256, ("a", "b"))
    coder = {"base_width": 8, "num_downsamplings": 2, "num_blocks": 2}
    assert found.networks["encoder_b"] == {"name": "unit_encoder", **coder}
    assert found.networks["decoder_a"] == {"name": "unit_decoder", **coder}
    sizes = {"base_width": 8, "num_layers": 3, "num_scales": 2}
    assert found.networks["discriminator_a"] == {"name": "unit_discriminator", **sizes}
    with pytest.raises(UserError, match="this is a discriminator"):
        read(tmp_path, {"dis_00100000.pt": unit("dis")})


@pytest.mark.parametrize(("tag", "form"), [("unit_64", "unit"), ("unit_shared_64", "unit, the paper's time")])
def test_unit_s_networks_are_those_of_the_golden_run(tag: str, form: str, tmp_path: Path) -> None:
    found = detect.read(put(tmp_path, PUBLISHED[form]()), NONE)
    for role, network in unit_networks(tag).items():
        state = found.group("network", role)
        assert state.keys() == network.state_dict().keys()
        assert all(state[key].equal(tensor) for key, tensor in network.state_dict().items()), role


def test_a_folder_of_two_iterations_gives_the_newer_one(tmp_path: Path) -> None:
    for number in (1000, 2000):
        put(tmp_path, {f"gen_0000{number}.pt": unit("gen"), f"dis_0000{number}.pt": unit("dis")})
    torch.save({"gen": {}}, tmp_path / "optimizer.pt")
    assert weights_of(tmp_path).iteration == 2000
    assert weights_of(tmp_path, 1000).iteration == 1000


def test_srgan_tells_its_sizes(tmp_path: Path) -> None:
    found = detect.read(put(tmp_path, PUBLISHED["srgan"]()), NONE)
    assert (found.model, found.image_size, found.ema_roles) == ("srgan", 96, ("generator",))
    generator = {"scale": 4, "num_blocks": 3, "base_width": 16, "output": "clamp", "bias": False}
    assert found.networks["generator"] == {"name": "srresnet", **generator}
    dense = {"head": "dense", "image_size": 96, "base_width": 8, "hidden_width": 1024, "bias": False}
    assert found.networks["discriminator"] == {"name": "srgan_discriminator", **dense}
    (translation,) = Translator(found).translate(torch.zeros(1, 3, 8, 8))
    assert translation.shape == (3, 32, 32)
    with pytest.raises(UserError, match="SRResNet has no discriminator"):
        detect.read(put(tmp_path, PUBLISHED["srgan"]()), ImportOptions(model="srresnet"))


def test_a_whole_checkpoint_of_srgan_is_read(tmp_path: Path) -> None:
    """It has counts and the state of an optimizer too, and names with the prefixes of compiling and of an EMA."""
    state = golden_state("srgan_x4", "generator")
    content: Any = {
        "epoch": 3,
        "psnr": 20.5,
        "state_dict": {f"_orig_mod.{key}": tensor for key, tensor in state.items()},
        "ema_state_dict": {f"module._orig_mod.{key}": tensor for key, tensor in state.items()}
        | {"n_averaged": torch.tensor(2)},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
    }
    torch.save(content, tmp_path / "g_last.pth.tar")
    written = again(detect.read([tmp_path / "g_last.pth.tar"], NONE), tmp_path)["g_last.pth.tar"]
    assert differences(written["state_dict"], state) == []
    assert written["ema_state_dict"].keys() == state.keys() | {"n_averaged"}


def test_the_other_port_of_srgan_tells_its_sizes(tmp_path: Path) -> None:
    found = detect.read(put(tmp_path, PUBLISHED["srgan, another port"]()), NONE)
    generator = {"scale": 4, "num_blocks": 5, "base_width": 4, "output": "tanh", "bias": True}
    assert found.networks["generator"] == {"name": "srresnet", **generator}
    assert found.networks["discriminator"]["head"] == "pooled"
    twice = detect.read(put(tmp_path, PUBLISHED["srgan, another port, x2"]()), ImportOptions(model="srresnet"))
    assert (twice.model, twice.networks["generator"]["scale"]) == ("srresnet", 2)


def test_xgan_tells_its_sizes(tmp_path: Path) -> None:
    found = detect.read(put(tmp_path, PUBLISHED["xgan"]()), NONE)
    assert (found.model, found.image_size, found.domains) == ("xgan", 64, ("a", "b"))
    sizes = {"image_size": 64, "base_width": 2, "code_size": 64}
    assert found.networks["encoder_shared"] == {"name": "xgan_shared_encoder", **sizes, "dropout": 0.3}
    assert found.networks["decoder_shared"] == {"name": "xgan_shared_decoder", **sizes}
    assert found.networks["decoder_b"] == {"name": "xgan_decoder", "base_width": 2}
    assert found.networks["discriminator_b"] == {"name": "xgan_discriminator", "image_size": 64, "base_width": 1}
    (translation,) = Translator(found).translate(torch.zeros(1, 3, 64, 64), "b")
    assert translation.shape == (3, 64, 64)
    files = PUBLISHED["xgan"]()
    del files["d2.pth"]
    with pytest.raises(UserError, match=r"files of the auto-encoders are missing; found .*, expected d2.pth too"):
        detect.read(put(tmp_path / "less", files), NONE)


def test_unknown_numbers_of_labels_want_names(tmp_path: Path) -> None:
    generator = v1("generator")
    generator["main.0.weight"] = torch.randn(16, 3 + 3, 7, 7)
    with pytest.raises(UserError, match="a file with 3 labels and no names, expected a name for each"):
        read(tmp_path, {"G.ckpt": generator})
    found = read(tmp_path, {"G.ckpt": generator}, domains=("x", "y", "z"), labels="attributes")
    assert found.label_sets == ({"kind": "attributes", "names": ["x", "y", "z"]},)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short"])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    for name in ("x.ckpt", "x.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="not a readable"):
            read_file(tmp_path / name)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    for kind in ("zip", "legacy", "safetensors"):
        (path,) = put(tmp_path / kind, {"200000-G.ckpt": v1("generator")}, kind)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match="not a readable") as caught:
            read_file(path)
        assert len(str(caught.value).splitlines()) == 1


def test_golden_layouts_are_covered() -> None:
    assert len(golden("stargan_v1_celeba64")["layout"]["generator"]) == len(v1("generator"))
