"""Models of every kind, so small that a translation takes milliseconds."""

from typing import Any

import torch

from translate.inference.torch_engine import TorchEngine
from translate.inference.translator import Translator
from translate.weights.format import Weights, build

SIZE = 32
ATTRIBUTES = ({"kind": "attributes", "names": ["dark", "young", "smiling"]},)
CLASSES = ({"kind": "classes", "names": ["angry", "happy"]},)
DOMAINS = ("cat", "dog", "wild")


def stargan_v2(domains: tuple[str, ...] = DOMAINS) -> TorchEngine:
    return TorchEngine(Translator(stargan_v2_weights(domains)))


def stargan_v2_weights(domains: tuple[str, ...] = DOMAINS) -> Weights:
    generator = {"style_size": 6, "base_width": 4, "max_width": 8, "image_size": SIZE}
    shapes = {
        "generator": generator,
        "mapping": {"num_domains": 3, "latent_size": 5, "style_size": 6, "hidden_width": 8},
        "style_encoder": {**generator, "num_domains": 3},
    }
    return random("stargan_v2", shapes, {"latent_size": 5, "ema_decay": 0.9}, domains=domains)


def stargan_v1(label_sets: tuple[dict[str, Any], ...] = ATTRIBUTES) -> TorchEngine:
    labels = sum(len(each["names"]) for each in label_sets)
    shapes = {"generator": {"num_labels": labels, "num_sets": len(label_sets), "base_width": 4, "num_blocks": 1}}
    return TorchEngine(
        Translator(random("stargan_v1", shapes, {"label_sets": list(label_sets)}, label_sets=label_sets))
    )


def cyclegan(*roles: str) -> TorchEngine:
    shapes = {role: {"base_width": 4, "num_blocks": 1} for role in roles or ("generator_ab", "generator_ba")}
    return TorchEngine(Translator(random("cyclegan", shapes, domains=("horse", "zebra"), network="resnet_generator")))


def pix2pix() -> TorchEngine:
    shapes = {"generator": {"base_width": 4, "num_downsamplings": 5}}
    return TorchEngine(Translator(random("pix2pix", shapes, domains=("outline", "drawing"), network="unet_generator")))


def fast_style() -> TorchEngine:
    shapes = {"transformer": {"base_width": 4, "num_blocks": 1}}
    return TorchEngine(Translator(random("fast_style", shapes, domains=("mosaic",))))


def srgan(scale: int = 4) -> TorchEngine:
    shapes = {"generator": {"scale": scale, "base_width": 4, "num_blocks": 1}}
    return TorchEngine(Translator(random("srgan", shapes, domains=("high_resolution",), network="srresnet")))


def random(
    name: str,
    shapes: dict[str, dict[str, Any]],
    arguments: dict[str, Any] | None = None,
    network: str | None = None,
    **facts: Any,
) -> Weights:
    """Return random weights."""
    torch.manual_seed(0)
    networks = {role: {"name": network or f"{name}_{role}", **shape} for role, shape in shapes.items()}
    tensors = {f"network.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    return Weights(tensors, name, networks, SIZE, arguments or {}, data={"crop": "square"}, **facts)
