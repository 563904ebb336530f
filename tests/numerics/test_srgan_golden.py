"""SRGAN against figures of two ports: outputs in float32, two iterations in float64.

Lornatang's (`srgan_x4`) updates the generator, then the discriminator. Its loss of features has no gradient; the
figures were made with one, and those of the gradient without it are compared too. leftthomas's (`srgan_port2_x4`) runs
both networks once more before the discriminator's step, which moves running statistics, so the test does so.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerics.differences import Differences
from numerics.formula import draw, image, parameter
from numerics.gradients import of_first_iteration
from translate.data.views.high_resolution import HighResolutionBatch
from translate.inference.srgan import SRGANTranslation
from translate.losses.adversarial import NonSaturating, ProbabilityDifference
from translate.models.srgan import SRGAN
from translate.networks.srgan import SRGANDiscriminator, SRResNet
from translate.networks.vgg import VGGFeatures

FOLDER = Path(__file__).parent / "golden"
TAGS = ("srgan_x4", "srgan_port2_x4")
GOLDEN: dict[str, dict[str, Any]] = {tag: json.loads((FOLDER / f"{tag}.json").read_text()) for tag in TAGS}
OUTPUTS = {tag: dict(np.load(FOLDER / f"{tag}.npz")) for tag in TAGS}
FEATURES = {"srgan_x4": ("vgg19", ""), "srgan_port2_x4": ("vgg16", "features.")}
"""Name of the network of features in the figures, and the prefix that our names have before theirs."""


def port_key(tag: str, role: str, key: str) -> str:
    """Return a port's name of a parameter or buffer."""
    if tag == "srgan_x4":
        return key
    if role == "discriminator":
        head = {"classifier.0.": "net.24.", "classifier.2.": "net.26."}
        return next((new + key.removeprefix(old) for old, new in head.items() if key.startswith(old)), "") or (
            "net." + key.removeprefix("features.")
        )
    first, _, rest = key.partition(".")
    if first == "trunk":
        number, _, layer = rest.removeprefix("").partition(".rcb.")
        name, _, last = layer.partition(".")
        return f"block{int(number) + 2}.{('conv1', 'bn1', 'prelu', 'conv2', 'bn2')[int(name)]}.{last}"
    if first == "upsampling":
        number, _, layer = rest.partition(".upsample_block.")
        return f"block8.{number}.{'conv' if layer[0] == '0' else 'prelu'}.{layer.partition('.')[2]}"
    return {"conv1": "block1", "conv2": "block7", "conv3": "block8.2"}[first] + f".{rest}"


def networks_of(tag: str) -> dict[str, nn.Module]:
    """Return the networks, their parameters filled by formula."""
    golden = GOLDEN[tag]
    if tag == "srgan_x4":
        made: dict[str, nn.Module] = {
            "generator": SRResNet(golden["scale"], golden["num_residual_blocks"], golden["channels"], "clamp"),
            "discriminator": SRGANDiscriminator(golden["img_size"], golden["d_channels"]),
            "content": VGGFeatures(("relu5_4",), depth=19),
        }
    else:
        made = {
            "generator": SRResNet(golden["scale"], 5, 64, "tanh", bias=True),
            "discriminator": SRGANDiscriminator(golden["img_size"], 64, head="pooled", bias=True),
            "content": VGGFeatures(("pool5",), depth=16, preprocessing="none"),
        }
    with torch.no_grad():
        for role, network in made.items():
            for key, value in network.named_parameters():
                value.copy_(value_of(tag, role, key, value))
    return made


def value_of(tag: str, role: str, key: str, value: Tensor) -> Tensor:
    """Return the value of a parameter by formula; the slope of a PReLU has one of its own."""
    if role == "content":
        network, prefix = FEATURES[tag]
        return parameter(tag, network, key.removeprefix(prefix), tuple(value.shape))
    name, shape = port_key(tag, role, key), official_shape(tag, role, key)
    if shape == [1] and name.endswith("weight"):
        return torch.from_numpy(0.25 + 0.05 * draw(f"{tag}/{role}/{name}", (1,)))
    scale = 0.5 if role == "generator" else 1.0
    return parameter(tag, role, name, tuple(shape), scale).reshape(value.shape)


def official_shape(tag: str, role: str, key: str) -> list[int]:
    return dict(GOLDEN[tag]["layout"][role])[port_key(tag, role, key)]


def images(tag: str, field: str, k: int) -> Tensor:
    """Return the images of a field in [-1, 1], in float64; the figures have them in [0, 1]."""
    size = GOLDEN[tag]["img_size"] // (GOLDEN[tag]["scale"] if field == "low" else 1)
    return image(tag, field, k, GOLDEN[tag]["batch"], size).double()


def make_model(tag: str) -> SRGAN:
    """Return the model in float64 with the port's weights of terms."""
    golden, weights = GOLDEN[tag], GOLDEN[tag]["weights"]
    make = partial(torch.optim.Adam, lr=golden["adam"]["lr"], betas=tuple(golden["adam"]["betas"]))
    first = tag == "srgan_x4"
    return SRGAN(
        networks=networks_of(tag),
        optimizers={"generator": make, "discriminator": make},
        losses={"adversarial": NonSaturating() if first else ProbabilityDifference()},
        weights={
            "generator": {
                "pixel": weights["pixel" if first else "image"],
                "content": weights["content" if first else "perception"],
                "adversarial": weights["adversarial"],
                "variation": weights.get("tv", 0.0),
            },
            "discriminator": {"real": 1.0, "fake": 1.0},
        },
    ).double()


def port_terms(tag: str, model: SRGAN) -> dict[str, float]:
    """Return the terms of the last iteration by the port's names."""
    own = {name: value.item() for name, value in model.terms.items()}
    pixel, content, adversarial = (own[f"generator/{name}"] for name in ("pixel", "content", "adversarial"))
    real, fake = own["discriminator/real"], own["discriminator/fake"]
    if tag == "srgan_x4":
        return {"pixel": pixel, "content": content, "adversarial": adversarial, "d_real": real, "d_fake": fake}
    weights = model.weights["generator"]
    total = sum(weights[name](0) * own[f"generator/{name}"] for name in weights)
    return {
        "image": pixel,
        "perception": content,
        "adversarial": adversarial,
        "tv": own["generator/variation"],
        "generator": total,
        "discriminator": real + fake,
        "d_real": 1 - real,
    }


@pytest.mark.parametrize("tag", TAGS)
def test_layouts_equal_those_of_the_ports(tag: str) -> None:
    for role, network in networks_of(tag).items():
        if role == "content":
            continue
        own = {port_key(tag, role, key): value.numel() for key, value in network.state_dict().items()}
        assert own == {key: int(np.prod(shape)) for key, shape in GOLDEN[tag]["layout"][role]}
        if tag == "srgan_x4":
            shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
            assert shapes == dict(GOLDEN[tag]["layout"][role])


@pytest.mark.parametrize("tag", TAGS)
def test_outputs_equal_those_of_the_ports(tag: str) -> None:
    for name, (error, _) in differences_of_outputs(tag).items():
        assert error < 2e-5, (name, error)


def differences_of_outputs(tag: str) -> dict[str, tuple[float, str]]:
    """Return the greatest difference of each output in float32, relative to its greatest value."""
    networks = networks_of(tag)
    low, high = images(tag, "low", 0).float(), images(tag, "high", 0).float()
    generator, discriminator = networks["generator"], networks["discriminator"]
    to_unit = lambda image: (image + 1) / 2  # noqa: E731
    with torch.no_grad():
        features = networks["content"](high)[0]
        outputs = {"vgg_high": features}
        if tag == "srgan_x4":
            outputs["sr_eval"] = to_unit(SRGANTranslation({"generator": generator})(low))
            outputs["d_real_eval"] = discriminator.eval()(high)
        generator.train()
        discriminator.train()
        outputs["sr_train"] = to_unit(generator(low))
        outputs["d_real_train"] = discriminator(high)
    if tag == "srgan_port2_x4":
        outputs["d_real_train"] = outputs["d_real_train"].sigmoid().flatten()
    assert outputs.keys() == OUTPUTS[tag].keys()
    return {
        name: (float(np.abs(outputs[name].numpy() - wanted).max() / np.abs(wanted).max()), name)
        for name, wanted in OUTPUTS[tag].items()
    }


@pytest.mark.parametrize("tag", TAGS)
def test_two_iterations_equal_those_of_the_ports(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {"term": 1e-7, "gradient": 1e-9, "weight": 1e-8}  # terms are recorded in float32
    differences_of_iterations(tag, monkeypatch).check(bounds)


def differences_of_iterations(tag: str, monkeypatch: pytest.MonkeyPatch) -> Differences:
    """Return the greatest difference, relative, of each kind in two iterations in float64, and where it is.

    Differences of small numbers are relative to a thousandth (terms) or a hundredth (mean, rms, projection of weights).
    """
    golden, differences = GOLDEN[tag]["double"], Differences()
    model = make_model(tag)
    gradients = of_first_iteration(monkeypatch)
    monkeypatch.setattr(SRGAN, "reduced", lambda self, x: images(tag, "low", self.iteration))
    after: list[float] = []
    discriminator_loss = SRGAN.discriminator_loss

    def with_further_pass(self: SRGAN, x: Tensor, y: Tensor) -> Tensor:
        loss = discriminator_loss(self, x, y)
        with torch.no_grad():
            after.append(self.discriminator(self.generator(self.reduced(x))).sigmoid().mean().item())
        return loss

    if tag == "srgan_port2_x4":
        monkeypatch.setattr(SRGAN, "discriminator_loss", with_further_pass)
    for k, wanted in enumerate(golden["steps"]):
        model.training_step(HighResolutionBatch(images(tag, "high", k)), k)
        own = port_terms(tag, model)
        if after:
            own["d_fake_after"] = after[k]
        assert own.keys() == wanted.keys()
        for name, value in wanted.items():
            differences.compare("term", name, own[name], value, 1e-3)
    for role in ("generator", "discriminator"):
        for key, gradient in gradients[role].items():
            name = port_key(tag, role, key)
            if not precedes_norm(tag, name):
                rms = gradient.square().mean().sqrt().item()
                differences.compare("gradient", f"{role}.{name}", rms, golden["grad_rms_step0"][role][name], 1e-9)
        for key, tensor in model.network(role).state_dict().items():
            name = port_key(tag, role, key)
            if name in golden["weights_after"][role] and not takes_a_bias(tag, name):
                after = golden["weights_after"][role][name]
                differences.compare_summary("weight", f"{role}.{name}", tensor, after)
    return differences


def precedes_norm(tag: str, name: str) -> bool:
    """Return whether a parameter is a bias before a batch norm, whose gradient is zero but for rounding."""
    if tag == "srgan_x4" or not name.endswith("bias"):
        return False
    first, *rest = name.split(".")
    if first == "net":
        return rest[0] in ("2", "5", "8", "11", "14", "17", "20")
    return (rest[0].startswith("conv") and first != "block8") or name == "block7.0.bias"


def takes_a_bias(tag: str, name: str) -> bool:
    """Return whether a tensor is such a bias, or a mean that it moves: Adam's steps by rounding are whole ones."""
    return precedes_norm(tag, name) or (tag == "srgan_port2_x4" and name.endswith("running_mean"))


def test_without_the_gradient_of_features_it_is_the_ports_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = "srgan_x4"
    model, gradients = make_model(tag), of_first_iteration(monkeypatch)
    distance = SRGAN.feature_distance
    monkeypatch.setattr(SRGAN, "reduced", lambda self, x: images(tag, "low", 0))
    monkeypatch.setattr(SRGAN, "feature_distance", lambda self, x, y: distance(self, x, y).detach())
    model.training_step(HighResolutionBatch(images(tag, "high", 0)), 0)
    for key, wanted in GOLDEN[tag]["double"]["grad_rms_step0"]["generator_published_port"].items():
        assert gradients["generator"][key].square().mean().sqrt().item() == pytest.approx(wanted, rel=1e-7), key


def test_numbers_of_parameters_are_those_of_the_ports() -> None:
    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert [count(SRResNet(scale)) for scale in (2, 4, 8)] == [1_399_637, 1_547_350, 1_695_063]
    assert [count(SRResNet(scale, 5, bias=True)) for scale in (4, 8)] == [734_219, 881_932]
    assert count(SRGANDiscriminator()) == 23_563_649
    assert count(SRGANDiscriminator(head="pooled", bias=True)) == 5_215_425
