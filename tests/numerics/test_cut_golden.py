"""CUT and FastCUT against figures of the official code: outputs in float32, three iterations in float64.

The official network `features` is our role `projection`. Its names are ours, and so are those of the other networks but
for the fixed blur kernels (`filt`), which are no part of our files. The official draws of places and flips are fed in.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.differences import Differences, record_in_float64
from numerics.formula import draw, fill, image
from numerics.gradients import of_first_iteration
from translate.data.views.unpaired import UnpairedBatch
from translate.losses.adversarial import LeastSquares
from translate.losses.contrastive import patch_nce
from translate.models.cut import CUT
from translate.models.places import at_places
from translate.networks.cut import CUTDiscriminator, CUTGenerator, CUTProjection

FOLDER = Path(__file__).parent / "golden"
TAGS = ("cut_64", "fastcut_64")
GOLDEN: dict[str, dict[str, Any]] = {tag: json.loads((FOLDER / f"{tag}.json").read_text()) for tag in TAGS}
OUTPUTS = {tag: dict(np.load(FOLDER / f"{tag}.npz")) for tag in TAGS}
OFFICIAL = {"generator": "generator", "projection": "features", "discriminator": "discriminator"}
BOUNDS = {"term": 1e-11, "gradient": 1e-11, "weight": 1e-10}


def networks_of(tag: str) -> dict[str, nn.Module]:
    golden = GOLDEN[tag]
    networks: dict[str, nn.Module] = {
        "generator": CUTGenerator(golden["ngf"], golden["blocks"]),
        "discriminator": CUTDiscriminator(3, golden["ndf"], golden["d_layers"]),
        "projection": CUTProjection(golden["ngf"], golden["nce_layers"], golden["f_features"]),
    }
    for role, network in networks.items():
        fill(network, tag, OFFICIAL[role], scale=0.5 if role == "generator" else 1.0)
    return networks


def batch_of(tag: str, k: int) -> UnpairedBatch[Tensor]:
    golden = GOLDEN[tag]
    return UnpairedBatch(*(image(tag, field, k, golden["batch"], golden["img_size"]) for field in "AB"))


def official_places(tag: str, k: int, call: int, maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the places of an iteration, drawn as for the official figures."""
    ids = []
    for tap, (height, width) in zip(GOLDEN[tag]["nce_layers"], (x.shape[2:] for x in maps), strict=True):
        order = np.argsort(draw(f"{tag}/ids/{k}/{'AB'[call]}/{tap}", (height * width,)), kind="stable")
        count, first = GOLDEN[tag]["patch_ids_first4"][f"{k}/{'AB'[call]}/{tap}"]
        assert (count, first) == (height * width, order[:4].tolist())
        ids.append(torch.from_numpy(order[: GOLDEN[tag]["num_patches"]].copy()))
    return ids


def make_model(tag: str, monkeypatch: pytest.MonkeyPatch) -> CUT:
    """Return the model in float64, with the official draws and the official weights of terms."""
    golden = GOLDEN[tag]
    weight, identity = golden["lambda_NCE"], golden["nce_identity"]
    model = CUT(
        networks={role: network.double() for role, network in networks_of(tag).items()},
        optimizers=dict.fromkeys(OFFICIAL, partial(torch.optim.Adam, **golden["adam"])),
        losses={"adversarial": LeastSquares(), "contrastive": partial(patch_nce, temperature=golden["nce_T"])},
        weights={
            "generator": {
                "adversarial": golden["lambda_GAN"],
                "nce": weight / 2 if identity else weight,
                "nce_identity": weight / 2 if identity else 0.0,
            },
            "discriminator": {"real": 0.5, "fake": 0.5, "gradient_penalty": 0.0},
        },
        num_places=golden["num_patches"],
        flip_equivariance=golden["flip_equivariance"],
    )
    monkeypatch.setattr(CUT, "places", lambda self, call, maps: official_places(tag, self.iteration, call, maps))
    monkeypatch.setattr(CUT, "is_flipped", lambda self: golden["flipped"][self.iteration])
    record_in_float64(monkeypatch)
    return model


def is_rounding(role: str, key: str) -> bool:
    """Return whether a parameter is a bias before an instance norm with a gradient that is zero but for rounding.

    The biases of the tapped convolutions 4 and 8 of the generator have true gradients.
    """
    ends = {
        "generator": ("model.4.bias", "model.8.bias", "model.27.bias"),
        "discriminator": ("model.0.bias", "14.bias"),
    }
    return key.endswith("bias") and role in ends and not key.endswith(ends[role])


@pytest.mark.parametrize("tag", TAGS)
def test_layouts_equal_the_official_ones_without_blur_kernels(tag: str) -> None:
    for role, network in networks_of(tag).items():
        official = [entry for entry in GOLDEN[tag]["layout"][OFFICIAL[role]] if not entry[0].endswith("filt")]
        assert [[key, list(value.shape)] for key, value in network.state_dict().items()] == official
        assert sum(p.numel() for p in network.parameters()) == GOLDEN[tag]["parameters"][OFFICIAL[role]]


@pytest.mark.parametrize("tag", TAGS)
def test_outputs_equal_the_official_ones(tag: str) -> None:
    golden, networks, (x, y) = GOLDEN[tag], networks_of(tag), batch_of(tag, 0)
    generator, projection, flipped = networks["generator"], networks["projection"], golden["flipped"][0]
    with torch.no_grad():
        fake = generator(x.flip(3) if flipped else x)
        outputs = {"fake_B": fake, "d_fake": networks["discriminator"](fake), "d_real": networks["discriminator"](y)}
        outputs["idt_B"] = generator(y)
        maps = {"key": generator.encode(x, golden["nce_layers"]), "query": generator.encode(fake, golden["nce_layers"])}
        places = official_places(tag, 0, 0, maps["key"])
        for kind, features in maps.items():
            mirrored = flipped and kind == "query"
            sampled = [at_places(each, ids, mirrored) for each, ids in zip(features, places, strict=True)]
            for tap, each, vectors in zip(golden["nce_layers"], features, projection(*sampled), strict=True):
                step = max(1, each.shape[3] // 16)
                outputs[f"tap_{tap}_{kind}"] = (each.flip(3) if mirrored else each)[:, :8, ::step, ::step]
                outputs[f"f_{tap}_{kind}"] = vectors[:, :8]
    assert OUTPUTS[tag].keys() <= outputs.keys()
    for name, official in OUTPUTS[tag].items():
        error = np.abs(outputs[name].numpy() - official).max() / np.abs(official).max()
        assert error < 3e-5, (name, error)


@pytest.mark.parametrize("tag", TAGS)
def test_three_iterations_equal_the_official_ones(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(tag, monkeypatch).check(BOUNDS)


def differences_of_iterations(tag: str, monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in three iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    official, differences = GOLDEN[tag]["double"], Differences()
    model = make_model(tag, monkeypatch)
    layers: list[Tensor] = []
    contrastive = model.losses["contrastive"]
    model.losses["contrastive"] = lambda q, k: layers.append(contrastive(q, k)) or layers[-1]
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(official["steps"]):
        layers.clear()
        batch = batch_of(tag, k)
        model.training_step(UnpairedBatch(batch.a.double(), batch.b.double()), k)
        own = official_terms(model)
        count = len(GOLDEN[tag]["nce_layers"])
        own |= {f"nce_layers/{i}": value.item() for i, value in enumerate(layers[:count])}
        own |= {f"nce_layers_Y/{i}": value.item() for i, value in enumerate(layers[count:])}
        flat = {name: value for name, value in wanted.items() if isinstance(value, float)}
        for name in ("nce_layers", "nce_layers_Y"):
            flat |= {f"{name}/{i}": value for i, value in enumerate(wanted.get(name, []))}
        assert own.keys() == flat.keys()
        for name, value in flat.items():
            differences.compare("term", f"{name} of iteration {k}", own[name], value, 1e-3)
    for role in model.trained:
        for key, value in model.network(role).named_parameters():
            if is_rounding(role, key):
                continue
            rms = gradients[role][key].square().mean().sqrt().item()
            differences.compare("gradient", f"{role}.{key}", rms, official["grad_rms_step0"][OFFICIAL[role]][key], 1e-6)
            wanted_values = official["weights_after"][OFFICIAL[role]][key]
            differences.compare_summary("weight", f"{role}.{key}", value, wanted_values)
    return differences


def official_terms(model: CUT) -> dict[str, float]:
    """Return the terms of the last iteration by their official names, with lambda."""
    own = {name: value.item() for name, value in model.terms.items()}
    weights = model.weights["generator"]
    share = 2 if "generator/nce_identity" in own else 1
    terms = {
        "D_real": own["discriminator/real"],
        "D_fake": own["discriminator/fake"],
        "D": 0.5 * (own["discriminator/real"] + own["discriminator/fake"]),
        "G_GAN": own["generator/adversarial"],
        "NCE": share * weights["nce"](0) * own["generator/nce"],
        "G": sum(weights[name](0) * own[f"generator/{name}"] for name in ("adversarial", "nce")),
    }
    if share == 2:
        terms["NCE_Y"] = share * weights["nce_identity"](0) * own["generator/nce_identity"]
        terms["G"] += terms["NCE_Y"] / share
    return terms


if __name__ == "__main__":
    for name in TAGS:
        with pytest.MonkeyPatch.context() as patch:
            print(name, differences_of_iterations(name, patch))
