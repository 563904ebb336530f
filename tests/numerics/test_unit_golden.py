"""UNIT against figures of both official codes: outputs in float32, three iterations in float64.

Names of the official codes. ``gen_adv_a`` is the loss of translations to a, our ``adversarial_ba``; ``gen_vgg_a``
compares the translation to a with its source b, our ``perceptual_b``. The code of 2018 computes the divergence of the
mean code, that of the paper's time of the code with its noise. In float64 all agree to rounding.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.differences import Differences, record_in_float64
from numerics.formula import draw, image, parameter
from numerics.gradients import of_first_iteration
from translate.data.views.unpaired import UnpairedBatch
from translate.inference.unit import UNITTranslation
from translate.losses.adversarial import NonSaturating
from translate.losses.adversarial_maps import Multiscale
from translate.models.unit import UNIT
from translate.networks import unit
from translate.networks.vgg import VGG16Features

FOLDER = Path(__file__).parent / "golden"
TAGS = ("unit_64", "unit_shared_64", "unit_vgg64")
GOLDEN: dict[str, dict[str, Any]] = {tag: json.loads((FOLDER / f"{tag}.json").read_text()) for tag in TAGS}
OUTPUTS = {tag: dict(np.load(FOLDER / f"{tag}.npz")) for tag in TAGS}

TODAY = {
    "encoder_a": ("gen_a", "enc."),
    "encoder_b": ("gen_b", "enc."),
    "decoder_a": ("gen_a", "dec."),
    "decoder_b": ("gen_b", "dec."),
    "discriminator_a": ("dis_a", ""),
    "discriminator_b": ("dis_b", ""),
}
PAPER = {
    "encoder_a": ("gen", "encode_A."),
    "encoder_b": ("gen", "encode_B."),
    "encoder_shared": ("gen", "enc_shared."),
    "decoder_shared": ("gen", "dec_shared."),
    "decoder_a": ("gen", "decode_A."),
    "decoder_b": ("gen", "decode_B."),
    "discriminator_a": ("dis", "model_A."),
    "discriminator_b": ("dis", "model_B."),
    "discriminator_shared": ("dis", "model_S."),
}
ROLES = {"unit_64": TODAY, "unit_shared_64": PAPER, "unit_vgg64": TODAY}
"""The official network and prefix of the parameters of each role."""

NOISE: dict[str, list[Any]] = {
    "unit_64": ["noise_dis_a", "noise_dis_b", "noise_a", "noise_b", "noise_ba", "noise_ab"],
    "unit_shared_64": [("noise_dis", 0), ("noise_dis", 1), ("noise", 0), ("noise", 1), "noise_bab", "noise_aba"],
}
NOISE["unit_vgg64"] = NOISE["unit_64"]
"""The field of every draw of an iteration; with a number, the half of a batch of both domains."""


def official_key(tag: str, role: str, key: str) -> tuple[str, str]:
    """Return the official network and name of a parameter."""
    network, prefix = ROLES[tag][role]
    return network, prefix + (key.removeprefix("model.") if tag == "unit_shared_64" else key)


def filled(tag: str, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the networks, their parameters filled by formula."""
    scale = 0.7 if tag == "unit_shared_64" else 1.0
    with torch.no_grad():
        for role, network in networks.items():
            for key, value in network.named_parameters():
                name, official = official_key(tag, role, key)
                value.copy_(parameter(tag, name, official, tuple(value.shape), scale if name == "gen" else 1.0))
    return networks


def networks_of(tag: str) -> dict[str, nn.Module]:
    if tag != "unit_shared_64":
        sizes, layers = GOLDEN[tag]["gen"], GOLDEN[tag]["dis"]
        coder = {"base_width": sizes["dim"], "num_downsamplings": sizes["n_downsample"], "num_blocks": sizes["n_res"]}
        made: dict[str, nn.Module] = {f"encoder_{side}": unit.Encoder(**coder) for side in "ab"}
        made |= {f"decoder_{side}": unit.Decoder(**coder) for side in "ab"}
        made |= {
            f"discriminator_{side}": unit.Discriminator(layers["dim"], layers["n_layer"], layers["num_scales"])
            for side in "ab"
        }
        return filled(tag, made)
    sizes, layers = (GOLDEN[tag]["hyperparameters"][name] for name in ("gen", "dis"))
    width, blocks = sizes["ch"], sizes["n_enc_res_blk"]
    made = {f"encoder_{side}": unit.PaperEncoder(width, 2, blocks) for side in "ab"}
    made |= {f"decoder_{side}": unit.PaperDecoder(width, 2, sizes["n_gen_res_blk"]) for side in "ab"}
    made |= {"encoder_shared": unit.SharedBlocks(4 * width, 1), "decoder_shared": unit.SharedBlocks(4 * width, 1)}
    made |= {f"discriminator_{side}": unit.PaperDiscriminator(layers["ch"], 2) for side in "ab"}
    made |= {"discriminator_shared": unit.SharedDiscriminator(2 * layers["ch"], layers["n_shared_layer"])}
    return filled(tag, made)


def vgg() -> VGG16Features:
    """Return the frozen VGG16 of the official code, filled by formula; its parameters are numbered by stage there."""
    network = VGG16Features(preprocessing="caffe")
    names = iter(key for key, _ in GOLDEN["unit_vgg64"]["layout"]["vgg"])
    for value in network.parameters():
        value.copy_(parameter("unit_vgg64", "vgg", next(names), tuple(value.shape)))
    assert next(names, None) is None
    return network


def batch_of(tag: str, k: int) -> UnpairedBatch:
    count, size = GOLDEN[tag]["batch"], GOLDEN[tag]["img_size"]
    return UnpairedBatch(*(image(tag, f"x_{side}", k, count, size).double() for side in "ab"))


def official_noise(tag: str) -> Callable[[UNIT, Tensor, int], Tensor]:
    """Return a method that takes noise from the fields of the official run."""

    def noise(model: UNIT, like: Tensor, number: int) -> Tensor:
        field = NOISE[tag][number]
        if isinstance(field, str):
            return torch.from_numpy(draw(f"{tag}/{field}/{model.iteration}", tuple(like.shape))).to(like.dtype)
        both = draw(f"{tag}/{field[0]}/{model.iteration}", (2 * len(like), *like.shape[1:]))
        return torch.from_numpy(both).chunk(2)[field[1]].to(like.dtype)

    return noise


def make_model(tag: str) -> UNIT:
    """Return the model in float64 with the official weights of terms."""
    networks = networks_of(tag)
    if tag == "unit_vgg64":
        networks["perceptual"] = vgg()
    adam = GOLDEN[tag]["adam"]
    make = partial(torch.optim.Adam, lr=adam["lr"], betas=tuple(adam["betas"]), weight_decay=adam["weight_decay"])
    if tag == "unit_shared_64":
        h = GOLDEN[tag]["hyperparameters"]
        gan, direct, kl = h["gan_w"], h["ll_direct_link_w"], h["kl_direct_link_w"]
        cycle, cycle_kl, perceptual = h["ll_cycle_link_w"], h["kl_cycle_link_w"], 0.0
    else:
        w = GOLDEN[tag]["weights"]
        gan, direct, kl = w["gan_w"], w["recon_x_w"], w["recon_kl_w"]
        cycle, cycle_kl, perceptual = w["recon_x_cyc_w"], w["recon_kl_cyc_w"], w["vgg_w"]
    weights = {"adversarial_ab": gan, "adversarial_ba": gan, "code": 0.0}
    for side in "ab":
        weights |= {f"reconstruction_{side}": direct, f"kl_{side}": kl, f"cycle_{side}": cycle}
        weights |= {f"cycle_kl_{side}": cycle_kl, f"perceptual_{side}": perceptual}
    shared = tag == "unit_shared_64"
    return UNIT(
        networks=networks,
        optimizers=dict.fromkeys((role for role in networks if role != "perceptual"), make),
        losses={"adversarial": NonSaturating() if shared else Multiscale("least_squares")},
        weights={
            "generator": weights,
            "discriminator": {"real": gan, "fake": gan},
            "code_discriminator": {"code": 0.0},
        },
        kl="sample" if shared else "mean",
    ).double()


def official_terms(tag: str, model: UNIT) -> dict[str, float]:
    """Return the terms of the last iteration by their official names."""
    own = {name: value.item() for name, value in model.terms.items()}
    g = {name.removeprefix("generator/"): value for name, value in own.items() if name.startswith("generator/")}
    d = {s: own[f"discriminator/{s}/real"] + own[f"discriminator/{s}/fake"] for s in "ab"}
    weights = model.weights["generator"]
    total = sum(weights[name](0) * value for name, value in g.items())
    if tag == "unit_shared_64":
        return {
            "dis_loss": model.weights["discriminator"]["real"](0) * (d["a"] + d["b"]),
            "gen_enc_loss": (g["kl_a"] + g["kl_b"]) / 2,
            "gen_enc_bab_loss": g["cycle_kl_b"],
            "gen_enc_aba_loss": g["cycle_kl_a"],
            "gen_ad_loss_a": g["adversarial_ba"],
            "gen_ad_loss_b": g["adversarial_ab"],
            "gen_ll_loss_a": g["reconstruction_a"],
            "gen_ll_loss_b": g["reconstruction_b"],
            "gen_ll_loss_aba": g["cycle_a"],
            "gen_ll_loss_bab": g["cycle_b"],
            "gen_total_loss": total,
        }
    return {
        "dis_a": d["a"],
        "dis_b": d["b"],
        "dis_total": d["a"] + d["b"],
        "gen_recon_x_a": g["reconstruction_a"],
        "gen_recon_x_b": g["reconstruction_b"],
        "gen_recon_kl_a": g["kl_a"],
        "gen_recon_kl_b": g["kl_b"],
        "gen_cyc_x_a": g["cycle_a"],
        "gen_cyc_x_b": g["cycle_b"],
        "gen_recon_kl_cyc_aba": g["cycle_kl_a"],
        "gen_recon_kl_cyc_bab": g["cycle_kl_b"],
        "gen_adv_a": g["adversarial_ba"],
        "gen_adv_b": g["adversarial_ab"],
        "gen_vgg_a": g.get("perceptual_b", 0.0),
        "gen_vgg_b": g.get("perceptual_a", 0.0),
        "gen_total": total,
    }


def is_rounding(tag: str, role: str, key: str) -> bool:
    """Return whether a parameter is a bias before an instance norm, whose gradient is zero but for rounding."""
    if not key.endswith("bias") or role.startswith("discriminator"):
        return False
    if tag == "unit_shared_64":  # residual blocks alone have norms
        return key.endswith(("model.0.bias", "model.3.bias")) and ("shared" in role or _in_block(role, key))
    return role.startswith("encoder") or key.startswith("model.0.")


def _in_block(role: str, key: str) -> bool:
    number = int(key.split(".")[1])
    return number >= 3 if role.startswith("encoder") else number < 2


@pytest.mark.parametrize("tag", TAGS)
def test_layouts_equal_the_official_ones(tag: str) -> None:
    own = sorted(
        (*official_key(tag, role, key), list(value.shape))
        for role, network in networks_of(tag).items()
        for key, value in network.state_dict().items()
    )
    layout = {name: keys for name, keys in GOLDEN[tag]["layout"].items() if name != "vgg"}
    official = [(name, key, shape) for name, keys in layout.items() for key, shape in keys]
    assert own == sorted(official)


@pytest.mark.parametrize("tag", TAGS)
def test_outputs_equal_the_official_ones(tag: str) -> None:
    networks, (a, b) = networks_of(tag), batch_of(tag, 0)
    a, b = a.float(), b.float()
    translation = UNITTranslation(networks)
    with torch.no_grad():
        code_a, code_b = translation.encode(a, "a"), translation.encode(b, "b")
        found = {f"x_a{side}": translation.decode(code_a, side) for side in "ab"}
        found |= {f"x_b{side}": translation.decode(code_b, side) for side in "ab"}
        if tag != "unit_shared_64":
            maps = networks["discriminator_a"](a)
            found |= {"h_a": code_a, "dis_a_0": maps[0], "dis_a_1": maps[1]}
            if tag == "unit_vgg64":
                found["vgg_xa"] = vgg()(a)
        else:
            shared = networks["discriminator_shared"]
            for side, x in (("a", a), ("b", b)):
                found[f"dis_{side}_0"] = shared(networks[f"discriminator_{side}"](x)).flatten()
            found["shared"] = torch.cat([code_a, code_b])
    assert OUTPUTS[tag].keys() <= found.keys()
    for name, official in OUTPUTS[tag].items():
        error = np.abs(found[name].numpy() - official).max() / np.abs(official).max()
        assert error < 2e-5, (name, error)
    ab, ba = (translation(x, torch.full((2,), target)) for x, target in ((a, 1), (b, 0)))
    assert ab.equal(found["x_ab"])
    assert ba.equal(found["x_ba"])


@pytest.mark.parametrize("tag", TAGS)
def test_three_iterations_equal_the_official_ones(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(tag, monkeypatch).check({"term": 1e-10, "gradient": 1e-9, "weight": 1e-8})


def differences_of_iterations(tag: str, monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in three iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    official, differences = GOLDEN[tag]["double"], Differences()
    model = make_model(tag)
    monkeypatch.setattr(UNIT, "normal_noise", official_noise(tag))
    record_in_float64(monkeypatch)
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(official["steps"]):
        model.training_step(batch_of(tag, k), k)
        own = official_terms(tag, model)
        assert own.keys() == wanted.keys()
        for name, value in wanted.items():
            differences.compare("term", f"{name} of iteration {k}", own[name], value, 1e-3)
    for role in model.trained:
        for key, value in model.network(role).named_parameters():
            if is_rounding(tag, role, key):
                continue
            network, name = official_key(tag, role, key)
            rms = gradients[role][key].square().mean().sqrt().item()
            differences.compare("gradient", name, rms, official["grad_rms_step0"][network][name], 1e-6)
            differences.compare_summary("weight", name, value, official["weights_after"][network][name])
    return differences
