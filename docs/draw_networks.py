"""Draw the networks of the models as SVG files of docs/images/networks, from the networks themselves.

    python docs/draw_networks.py

Each network is built from its configuration, at the official size, on torch's device ``meta``: it has shapes and no
numbers. A forward pass calls its layers, and each call becomes a bar: the longer the bar, the larger the sides of its
output; the darker, the more channels. A test compares the files with what `generate` returns.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate.config.compose import load
from translate.registry.registry import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "images" / "networks"

ROW, BAR, MARGIN, WIDTH, MIDDLE = 22, 14, 12, 372, 64
"""Height of a row and of a bar, margin, width of a drawing, and the column of the centres of bars, in pixels."""

TRANSPARENT = ("SkipBlock", "OutermostBlock", "ConvolutionBlock")
"""Blocks that contain the rest of the network, or one convolution. Their layers are drawn, and not the blocks."""

TIMES = " \N{MULTIPLICATION SIGN} "

HEADS = "unshared."
"""The layers of a network of which each domain has its own."""

WORDS = {"ResidualBlock": "residual block", "StyledBlock": "AdaIN block"}
"""What a block is called, by its class."""


@dataclass(frozen=True)
class Figure:
    """A network to draw: the words of its configuration, its role, and the shapes of its inputs without the batch."""

    words: tuple[str, ...]
    role: str
    inputs: dict[str, tuple[int, ...]]
    arguments: tuple[tuple[str, Any], ...] = ()  # in place of those of the configuration, which depend on the data
    part: str = ""  # the module that is drawn, of a network that has one for each domain


@dataclass(frozen=True)
class Layer:
    """A row of a drawing: what a layer does, the shape of its output, and how often it follows itself."""

    text: str
    shape: tuple[int, ...]
    times: int = 1


V2 = ("model=stargan_v2", "data=afhq", "data.root=afhq")
V1 = ("model=stargan_v1", "data=celeba", "data.root=celeba")
CYCLE = ("model=cyclegan", "data=horse2zebra", "data.root=horse2zebra")
PIX = ("model=pix2pix", "data=maps", "data.root=maps")
CUT = ("model=cut", "data=horse2zebra", "data.root=horse2zebra")
UNIT = ("model=unit", "data=unpaired", "data.root=unpaired", "data.image_size=256")
COMBO = ("model=combogan", "data=folder", "data.root=folder", "data.image_size=256")
XGAN = ("model=xgan", "data=unpaired", "data.root=unpaired", "data.image_size=64")
DTN = (
    *("model=dtn", "data=unpaired", "data.root=unpaired", "data.image_size=32"),
    *("model.networks.features.weights=critters", "model.networks.features.role=style_encoder"),  # a place for f
)
ICGAN = ("model=icgan", "data=celeba", "data.root=celeba", "data.image_size=64")
DIAT = ("model=diat_a", "data=unpaired", "data.root=unpaired", "data.image_size=128")
SR = ("model=srgan", "data=critters", "data.image_size=96", "model.networks.content.weights=critters_vgg")
STYLE = (
    *("model=fast_style", "data=critters", "data.image_size=256", "model.style_image=waves"),
    "model.networks.features.weights=critters_vgg",
)
LABELS = (("num_labels", 18),)

FIGURES = {
    "stargan_v2_generator": Figure(V2, "generator", {"x": (3, 256, 256), "style": (64,)}),
    "stargan_v2_mapping": Figure(V2, "mapping", {"code": (16,), "domain": ()}),
    "stargan_v2_style_encoder": Figure(V2, "style_encoder", {"x": (3, 256, 256), "domain": ()}),
    "stargan_v2_discriminator": Figure(V2, "discriminator", {"x": (3, 256, 256), "domain": ()}),
    "stargan_v1_generator": Figure(V1, "generator", {"x": (3, 128, 128), "label": (5,)}, (("num_labels", 5),)),
    "stargan_v1_discriminator": Figure(V1, "discriminator", {"x": (3, 128, 128)}, (("num_labels", 5),)),
    "cyclegan_generator": Figure(CYCLE, "generator_ab", {"x": (3, 256, 256)}),
    "cyclegan_discriminator": Figure(CYCLE, "discriminator_a", {"x": (3, 256, 256)}),
    "pix2pix_generator": Figure(PIX, "generator", {"x": (3, 256, 256)}),
    "pix2pix_discriminator": Figure(PIX, "discriminator", {"x": (6, 256, 256)}),
    "cut_generator": Figure(CUT, "generator", {"x": (3, 256, 256)}),
    "cut_discriminator": Figure(CUT, "discriminator", {"x": (3, 256, 256)}),
    "unit_encoder": Figure(UNIT, "encoder_a", {"x": (3, 256, 256)}),
    "unit_decoder": Figure(UNIT, "decoder_b", {"z": (256, 64, 64)}),
    "unit_discriminator": Figure(UNIT, "discriminator_b", {"x": (3, 256, 256)}),
    "combogan_encoder": Figure(COMBO, "encoder", {"x": (3, 256, 256)}, (("num_domains", 3),), "0"),
    "combogan_decoder": Figure(COMBO, "decoder", {"z": (256, 64, 64)}, (("num_domains", 3),), "0"),
    "combogan_discriminator": Figure(COMBO, "discriminator", {"x": (3, 256, 256)}, (("num_domains", 3),), "0"),
    "xgan_encoder": Figure(XGAN, "encoder_a", {"x": (3, 64, 64)}),
    "xgan_encoder_shared": Figure(XGAN, "encoder_shared", {"features": (64, 16, 16)}),
    "xgan_decoder_shared": Figure(XGAN, "decoder_shared", {"z": (1024,)}),
    "xgan_decoder": Figure(XGAN, "decoder_b", {"features": (256, 8, 8)}),
    "xgan_discriminator": Figure(XGAN, "discriminator_b", {"x": (3, 64, 64)}),
    "dtn_generator": Figure(DTN, "generator", {"code": (128,)}),
    "dtn_discriminator": Figure(DTN, "discriminator", {"x": (3, 32, 32)}),
    "icgan_generator": Figure(ICGAN, "generator", {"code": (100,), "labels": (18,)}, LABELS),
    "icgan_discriminator": Figure(
        ("model=icgan", *ICGAN), "discriminator", {"x": (3, 64, 64), "labels": (18,)}, LABELS
    ),
    "diat_generator": Figure(DIAT, "generator", {"x": (3, 128, 128)}),
    "diat_discriminator": Figure(DIAT, "discriminator", {"x": (3, 128, 128)}),
    "srgan_generator": Figure(SR, "generator", {"x": (3, 24, 24)}),
    "srgan_discriminator": Figure(SR, "discriminator", {"x": (3, 96, 96)}),
    "fast_style_transformer": Figure(STYLE, "transformer", {"x": (3, 256, 256)}),
}


@cache
def networks(words: tuple[str, ...]) -> Mapping[str, Mapping[str, Any]]:
    """Return the networks of a configuration by role: their names and arguments."""
    return load([*words], scan=False).model.networks


def build(figure: Figure) -> nn.Module:
    """Return the network of a figure on the device ``meta``."""
    node = dict(networks(figure.words)[figure.role])
    with torch.device("meta"):
        network: nn.Module = NETWORKS.get(node.pop("name"))(**{**node, **dict(figure.arguments)})
    return network.get_submodule(figure.part).eval()


def drawn_layers(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, module) of the layers that are drawn: blocks, and convolutions and linear layers outside them."""
    kind = type(module).__name__
    is_block = kind.endswith("Block") and kind not in TRANSPARENT
    if is_block or isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from drawn_layers(child, f"{name}.{child_name}" if name else child_name)


def layers(network: nn.Module, inputs: dict[str, tuple[int, ...]]) -> list[Layer]:
    """Return the rows of a network in the order of its forward pass, equal neighbours joined."""
    rows: list[Layer] = []

    def record(of: str, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        layer = Layer(describe(module, arguments[0], output) + of, tuple(output.shape[1:]))
        if rows and (rows[-1].text, rows[-1].shape) == (layer.text, layer.shape):
            rows[-1] = replace(rows[-1], times=rows[-1].times + 1)
        else:
            rows.append(layer)

    for name, module in drawn_layers(network):
        if not is_further_head(name):
            module.register_forward_hook(partial(record, " of the domain" if name.startswith(HEADS) else ""))
    with torch.no_grad():
        network(*(example(name, shape) for name, shape in inputs.items()))
    return rows


def is_further_head(name: str) -> bool:
    """Return whether a layer belongs to the head of another domain than the first: all heads are alike."""
    return name.startswith(HEADS) and name.split(".")[1] != "0"


def example(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return an input for a batch of one; domains are integers."""
    return torch.zeros((1, *shape), device="meta", dtype=torch.long if name == "domain" else torch.float)


def describe(module: nn.Module, x: Tensor, output: Tensor) -> str:
    """Return what a layer does, such as "convolution 4 × 4 ↓2" for one that halves the sides."""
    kind = type(module).__name__
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        sides = TIMES.join(str(side) for side in module.kernel_size)
        words = f"{'transposed ' if isinstance(module, nn.ConvTranspose2d) else 'convolution '}{sides}"
        if module.padding == (0, 0) and not isinstance(module, nn.ConvTranspose2d):
            return words  # no halving, even where one value of two is left
    else:
        words = WORDS[kind]
    before, after = x.shape[-1], output.shape[-1]
    return words + (" ↓2" if after * 2 == before else " ↑2" if after == before * 2 else "")


def draw(title: str, network: nn.Module, inputs: dict[str, tuple[int, ...]]) -> str:
    """Return the SVG of a network: inputs, layers, and the number of its parameters."""
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    rows = [Layer(f"input {name}", shape) for name, shape in inputs.items()] + layers(network, inputs)
    height = 2 * MARGIN + ROW * (len(rows) + 1) + 4
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="#1a1a2e">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff" stroke="#c5cae9"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 12}" font-weight="bold">{escape(title)}: {millions:.3g} M parameters</text>',
    ]
    for number, layer in enumerate(rows, 1):
        lines += draw_row(layer, MARGIN + 4 + number * ROW)
    return "\n".join([*lines, "</svg>", ""])


def draw_row(layer: Layer, y: int) -> list[str]:
    """Return the bar of a layer and its text."""
    channels, side = (layer.shape[0] if layer.shape else 1), (layer.shape[-1] if len(layer.shape) == 3 else 1)
    length = 8 + 12 * math.log2(side)
    light = 88 - 6 * math.log2(channels)
    times = f"{TIMES}{layer.times}" if layer.times > 1 else ""
    shape = TIMES.join(str(number) for number in layer.shape) or "a number"
    return [
        f'<rect x="{MIDDLE - length / 2:.0f}" y="{y}" width="{length:.0f}" height="{BAR}" rx="2" '
        f'fill="hsl(231, 48%, {light:.0f}%)"/>',
        f'<text x="{2 * MIDDLE - 4}" y="{y + 11}">{escape(layer.text + times)}</text>',
        f'<text x="{WIDTH - 8}" y="{y + 11}" text-anchor="end" fill="#5c6bc0" font-size="11">{shape}</text>',
    ]


def generate() -> dict[Path, str]:
    """Return the path and the SVG of every figure."""
    return {FOLDER / f"{name}.svg": draw(figure.role, build(figure), figure.inputs) for name, figure in FIGURES.items()}


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in generate().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
