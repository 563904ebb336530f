"""ComboGAN against numbers of the official code: outputs in float32, two iterations in float64.

Names of the official code. ``adversarial_A`` and ``cycle_A`` belong to the pass that starts at A, here
``adversarial_ab`` and ``cycle_a``. ``D_judging_B`` is the loss of the discriminator of B. A prediction of both towers
is one map there, the towers above each other; here it has a channel for each.
"""

import json
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
from translate.data.views.domain_pair import DomainPairBatch
from translate.inference.combogan import ComboGANTranslation
from translate.losses.adversarial_maps import RisingMaps
from translate.models.combogan import ComboGAN
from translate.networks import combogan
from translate.schedules import parse

FOLDER = Path(__file__).parent / "golden"
TAGS = ("combogan_3x64", "combogan_shared64")
GOLDEN: dict[str, dict[str, Any]] = {tag: json.loads((FOLDER / f"{tag}.json").read_text()) for tag in TAGS}
OUTPUTS = {tag: dict(np.load(FOLDER / f"{tag}.npz")) for tag in TAGS}
SHARED = {"encoder_shared": "shared_encoder", "decoder_shared": "shared_decoder"}


def official_name(role: str, key: str) -> tuple[str, str]:
    """Return the official network and name of a parameter of a role."""
    if role in SHARED:
        return SHARED[role], key
    domain, _, rest = key.partition(".")
    return f"{role}_{domain}", rest


def filled(tag: str, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the networks, their parameters filled by formula."""
    with torch.no_grad():
        for role, network in networks.items():
            for key, value in network.named_parameters():
                name, official = official_name(role, key)
                if tuple(value.shape) == (1,) and key.endswith("weight"):  # a slope
                    value.copy_(torch.from_numpy(0.25 + 0.05 * draw(f"{tag}/{name}/{official}", (1,))))
                else:
                    scale = 1.0 if role == "discriminator" else 0.5
                    value.copy_(parameter(tag, name, official, tuple(value.shape), scale))
    return networks


def networks_of(tag: str) -> dict[str, nn.Module]:
    facts = GOLDEN[tag]
    count, shared = facts["num_domains"], facts["shared_blocks"]
    first = (facts["blocks"] // 2) - shared // 2
    last = facts["blocks"] - shared - first
    networks: dict[str, nn.Module] = {
        "encoder": combogan.Encoders(count, facts["ngf"], first),
        "decoder": combogan.Decoders(count, facts["ngf"], last),
        "discriminator": combogan.Discriminators(count, facts["ndf"], facts["d_layers"]),
    }
    if shared:
        networks |= {role: combogan.SharedBlocks(count, 4 * facts["ngf"], shared // 2) for role in SHARED}
    return filled(tag, networks)


def batch_of(tag: str, k: int) -> DomainPairBatch[Tensor]:
    count, size = GOLDEN[tag]["batch"], GOLDEN[tag]["img_size"]
    a, b = (image(tag, side, k, count, size).double() for side in "AB")
    return DomainPairBatch(a, b, *GOLDEN[tag]["pairs"][k])


def make_model(tag: str) -> ComboGAN:
    """Return the model in float64 with the official weights of terms."""
    facts, networks = GOLDEN[tag], networks_of(tag)
    make = partial(torch.optim.Adam, lr=facts["adam"]["lr"], betas=tuple(facts["adam"]["betas"]))
    weights = {"adversarial_ab": 1.0, "adversarial_ba": 1.0}
    for term, weight in facts["lambdas"].items():
        weights |= {f"{term}_{side}": weight for side in "ab"}
    model = ComboGAN(
        networks=networks,
        optimizers=dict.fromkeys(networks, make),
        losses={"adversarial": RisingMaps("least_squares")},
        weights={"generator": weights, "discriminator": {"real": 0.5, "fake": 0.5}},
        pool_size=facts["pool_size"],
    ).double()
    for discriminator in model.discriminator:  # constants that the official run in float64 did not round to float32
        discriminator.blur = combogan.blur_kernel().expand(3, 1, -1, -1)
        discriminator.luminance = torch.tensor(combogan.LUMINANCE, dtype=torch.float64).view(1, 3, 1, 1)
    return model


def official_terms(model: ComboGAN) -> dict[str, float]:
    """Return the terms of the last iteration by their official names."""
    own = {name: value.item() for name, value in model.terms.items()}
    terms = {"adversarial_A": own["generator/adversarial_ab"], "adversarial_B": own["generator/adversarial_ba"]}
    for side in "ab":
        terms[f"D_judging_{side.upper()}"] = (own[f"discriminator/{side}/real"] + own[f"discriminator/{side}/fake"]) / 2
    for name in ("cycle", "identity", "forward", "latent"):
        terms |= {f"{name}_{s.upper()}": own[f"generator/{name}_{s}"] for s in "ab" if f"generator/{name}_{s}" in own}
    return terms


def is_rounding(role: str, key: str) -> bool:
    """Return whether a parameter is a bias before an instance norm, whose gradient is zero but for rounding."""
    if not key.endswith("bias"):
        return False
    if role != "discriminator":
        return not (role == "decoder" and key.split(".")[-2] in LAST_CONVOLUTION)
    return key.endswith((".1.0.bias", ".2.0.bias", ".3.0.bias"))


LAST_CONVOLUTION = {"9", "10"}
"""The number of the decoder's last convolution, whose bias no norm follows."""


@pytest.mark.parametrize("tag", TAGS)
def test_layouts_equal_the_official_ones(tag: str) -> None:
    own = sorted(
        (*official_name(role, key), list(value.shape))
        for role, network in networks_of(tag).items()
        for key, value in network.state_dict().items()
    )
    official = [(name, key, shape) for name, keys in GOLDEN[tag]["layout"].items() for key, shape in keys]
    assert own == sorted(official)


def test_blur_equals_the_official_one() -> None:
    for tag in TAGS:
        assert np.abs(combogan.blur_kernel().numpy() - np.array(GOLDEN[tag]["blur_kernel"])).max() < 1e-15


def test_full_size_has_the_official_number_of_parameters() -> None:
    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert count(combogan.Encoders(1)) == 5_099_143
    assert count(combogan.Decoders(1)) == 6_565_770
    assert count(combogan.Discriminators(1)) == 13_931_410
    assert count(combogan.SharedBlocks(3)) == 1_193_985


@pytest.mark.parametrize("tag", TAGS)
def test_outputs_equal_the_official_ones(tag: str) -> None:
    networks, batch = networks_of(tag), batch_of(tag, 0)
    a, (first, second) = batch.a.float(), GOLDEN[tag]["pairs"][0]
    translation = ComboGANTranslation(networks)
    with torch.no_grad():
        code = translation.encode(a, first)
        fake = translation.decode(code, second)
        outputs = {
            "encoded": code,
            "fake_B": fake,
            "rec_A": translation.decode(translation.encode(fake, second), first),
            "autoencoded_A": translation.decode(code, first),
        }
        for number, maps in enumerate(networks["discriminator"].get_submodule(str(first))(a)):
            outputs[f"d_real_{number}"] = maps.flatten(1, 2)
    assert OUTPUTS[tag].keys() == outputs.keys()
    for name, official in OUTPUTS[tag].items():
        error = np.abs(outputs[name].numpy() - official).max() / np.abs(official).max()
        assert error < 2e-5, (name, error)
    route = torch.tensor([[first, second]] * len(a))
    assert translation(a, route).equal(fake)


@pytest.mark.parametrize("tag", TAGS)
def test_two_iterations_equal_the_official_ones(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    differences_of_iterations(tag, monkeypatch).check({"term": 1e-12, "gradient": 1e-11, "weight": 1e-10})


def differences_of_iterations(tag: str, monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in two iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    official, differences = GOLDEN[tag]["double"], Differences()
    model = make_model(tag)
    record_in_float64(monkeypatch)
    gradients = of_first_iteration(monkeypatch)
    for k, wanted in enumerate(official["steps"]):
        model.training_step(batch_of(tag, k), k)
        for name, value in official_terms(model).items():
            differences.compare("term", f"{name} of iteration {k}", value, wanted[name], 1e-3)
    for role in model.trained:
        for key, value in model.network(role).named_parameters():
            if is_rounding(role, key):
                continue
            network, name = official_name(role, key)
            place = f"{role}.{key.split('.')[0]}" if role not in SHARED else role
            if network in official["grad_rms_step0"]:
                gradient = gradients[place][key.split(".", 1)[1] if role not in SHARED else key]
                rms = gradient.square().mean().sqrt().item()
                differences.compare(
                    "gradient", f"{network} {name}", rms, official["grad_rms_step0"][network][name], 1e-6
                )
            else:
                assert place not in gradients
            differences.compare_summary("weight", f"{network} {name}", value, official["weights_after"][network][name])
    return differences


def test_the_third_domain_of_an_iteration_is_not_touched() -> None:
    model = make_model("combogan_3x64")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.training_step(batch_of("combogan_3x64", 0), 0)
    for role in ("encoder", "decoder", "discriminator"):
        own = {key for key in before if key.startswith(f"{role}.")}
        moved = {key.split(".")[1] for key in own if not model.state_dict()[key].equal(before[key])}
        assert moved == {"0", "1"}
        states = model.optimizer(role).state
        assert not any(p in states for p in model.network(f"{role}.2").parameters())


def test_official_schedules() -> None:
    """The rate is full up to epoch niter + 1, counted from 1; the last epoch has 1 / niter_decay of it."""
    epoch, constant, falling = 7, 10, 10
    rate = parse(
        {
            "schedule": "linear",
            "start": 2e-4,
            "end": 0.0,
            "iterations": falling * epoch,
            "after": constant * epoch,
            "every": epoch,
        }
    )
    rates = [rate(number * epoch) / 2e-4 for number in range(constant + falling)]
    assert rates[:11] == [1.0] * 11
    assert rates[11] == pytest.approx(0.9) and rates[-1] == pytest.approx(0.1)
    latent = parse({"schedule": "linear", "start": 0.0, "end": 1.0, "iterations": 20 * epoch, "every": epoch})
    assert latent(5 * epoch) == GOLDEN["combogan_shared64"]["lambdas"]["latent"]
