"""Published files that are brought in translate as the published implementations do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from numerics.formula import code, image
from numerics.published import GOLDEN, golden, golden_stargan_v2, golden_state, save
from translate.errors import UserError
from translate.inference.translator import Translator, load
from translate.weights import format
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions


def brought_in(folder: Path, *files: Path, **wishes: Any) -> Translator:
    """Return what `import` and `load` make of published files, in the memory layout of the published program.

    In channels-last memory, which `load` chooses for its speed, group norms round ten times more coarsely on a CPU.
    """
    format.write(detect.read(files, ImportOptions(**wishes)), folder / "ours.safetensors")
    translator = load(folder / "ours.safetensors")
    for network in translator.translation.networks.values():
        network.to(memory_format=torch.contiguous_format)
    return translator


def check(found: Tensor, tag: str, name: str) -> None:
    """Compare with the published output, of which what lies outside [-1, 1] is cut."""
    wanted = np.load(GOLDEN / f"{tag}.npz")[name]
    error = np.abs(found.numpy() - wanted.clip(-1, 1)).max() / np.abs(wanted).max()
    assert error < 1e-5, (name, error)


def test_stargan_v2(tmp_path: Path) -> None:
    tag = "stargan_v2_afhq64"
    told = golden(tag)
    path = save(golden_stargan_v2(tag), tmp_path / "100000_nets_ema.ckpt")
    translator = brought_in(tmp_path, path)
    assert translator.domains == ("cat", "dog", "wild")
    assert translator.about.iteration == 100_000
    n, size = told["batch"], told["img_size"]
    x, z = image(tag, "x_real", 0, n, size), code(tag, "z_trg", 0, n, told["latent_dim"])
    check(translator.translate(x, torch.tensor(told["y_trg"]), code=z), tag, "x_fake")


def test_stargan_v2_with_high_pass(tmp_path: Path) -> None:
    """The published masks come from a network that is not here, so styles and shapes are compared, not images."""
    tag = "stargan_v2_hpf128"
    told = golden(tag)
    translator = brought_in(tmp_path, save(golden_stargan_v2(tag), tmp_path / "nets_ema.ckpt"))
    networks = translator.translation.networks
    n, size, target = told["batch"], told["img_size"], torch.tensor(told["y_trg"])
    wanted = np.load(GOLDEN / f"{tag}.npz")
    styles = {
        "s_latent": networks["mapping"](code(tag, "z_trg", 0, n, told["latent_dim"]), target),
        "s_ref": networks["style_encoder"](image(tag, "x_ref", 0, n, size), target),
    }
    for name, style in styles.items():
        assert np.abs(style.numpy() - wanted[name]).max() / np.abs(wanted[name]).max() < 1e-5
    assert translator.about.networks["generator"]["w_hpf"] == told["w_hpf"]
    assert translator.about.networks["masks"] == {"name": "face_oval"}
    x = image(tag, "x_real", 0, n, size)
    assert translator.translate(x, "male", reference=x).shape == x.shape


def test_stargan_v1_of_attributes(tmp_path: Path) -> None:
    tag = "stargan_v1_celeba64"
    told = golden(tag)
    files = [
        save(golden_state(tag, name), tmp_path / f"200000-{short}.ckpt")
        for short, name in (("G", "generator"), ("D", "discriminator"))
    ]
    translator = brought_in(tmp_path, *files)
    assert translator.about.image_size == told["img_size"]
    assert translator.labels == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    data = told["data"][0]
    target = torch.tensor(data["label"])[data["permutation"]]
    x = image(tag, "x_real", 0, told["batch"], told["img_size"])
    check(translator.translate(x, target), tag, "x_fake")
    names = [name for name, holds in zip(translator.labels, target[0].tolist(), strict=True) if holds]
    torch.testing.assert_close(translator.translate(x[:1], names), translator.translate(x, target)[:1])


def test_stargan_v1_of_two_data_sets(tmp_path: Path) -> None:
    tag = "stargan_v1_joint64"
    told = golden(tag)
    files = [save(golden_state(tag, f"{name}"), tmp_path / f"{name}.ckpt") for name in ("generator", "discriminator")]
    translator = brought_in(tmp_path, *files)
    assert len(translator.labels) == 13
    data = told["data"][0]
    label = torch.tensor(data["label"])[data["permutation"]]
    target = torch.cat([label, torch.zeros(len(label), 8), torch.tensor([[1.0, 0.0]]).expand(len(label), 2)], dim=1)
    x = image(tag, "x_real", 0, told["batch"], told["img_size"])
    check(translator.translate(x, target), tag, "x_fake")
    happy = torch.zeros(15)
    happy[[5 + 4, 13 + 1]] = 1
    torch.testing.assert_close(translator.translate(x, "happy"), translator.translate(x, happy))


@pytest.mark.parametrize("one_way", [True, False])
def test_cyclegan(tmp_path: Path, one_way: bool) -> None:
    tag = "cyclegan_resnet9_64"
    told = golden(tag)
    names = {"G": "G_A"} if one_way else {name: name for name in told["layout"]}
    files = [save(golden_state(tag, name, 0.5), tmp_path / f"latest_net_{as_}.pth") for as_, name in names.items()]
    translator = brought_in(tmp_path, *files, domains=("horse", "zebra"))
    x = image(tag, "A", 0, told["batch"], told["img_size"])
    check(translator.translate(x, "zebra"), tag, "fake_B")
    if one_way:
        with pytest.raises(UserError, match="these weights have no generator_ba"):
            translator.translate(x, "horse")


def test_pix2pix(tmp_path: Path) -> None:
    """The published pass is that of training, by the statistics of a batch of two; ours takes each image by itself."""
    tag = "pix2pix_unet128"
    told = golden(tag)
    path = save(golden_state(tag, "G", 0.5), tmp_path / "latest_net_G.pth")
    translator = brought_in(tmp_path, path, dropout=False)
    assert (translator.about.model, translator.about.image_size) == ("pix2pix", told["img_size"])
    x = image(tag, "A", 0, told["batch"], told["img_size"])
    check(translator.translation.networks["generator"].train()(x).detach(), tag, "fake_B")
    found = translator.translate(x, "b")
    torch.testing.assert_close(found[:1], translator.translate(x[:1], "b"))
    with pytest.raises(UserError, match="translates to domain 1 only"):
        translator.translate(x, "a")
