"""The layout of CycleGAN and pix2pix as published: a file a network, such as `latest_net_G_A.pth`.

What the options of training were stands beside the published file, not in it; nearly all of them show in names and
shapes: the kind of generator and its depth, the norm (instance norms come with biases of convolutions, batch norms
without), dropout in residual blocks (which shifts an index). Dropout in a U-Net leaves no trace; it was on unless the
user says otherwise. Old files carry running statistics of instance norms, which nothing reads; they are kept as extra
tensors.

Which network a file holds is in its name. G_A translates from the first domain to the second, and D_A judges its
results, so it is our ``discriminator_b``. A generator alone, `latest_net_G.pth`, is CycleGAN's from the first domain to
the second if it is residual, and that of pix2pix if it is a U-Net; the user may say otherwise by ``model``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from translate.errors import UserError
from translate.weights.format import AVERAGE, NETWORK, Node, Weights
from translate.weights.published.files import BARE, PublishedFile, State
from translate.weights.published.layout import ImportOptions, Layout, Part, named, numbers, published_name

CYCLEGAN, PIX2PIX = "cyclegan", "pix2pix"
ROLES = {
    CYCLEGAN: {
        "G": "generator_ab",  # of the one-way files
        "G_A": "generator_ab",
        "G_B": "generator_ba",
        "D_A": "discriminator_b",
        "D_B": "discriminator_a",
    },
    PIX2PIX: {"G": "generator", "D": "discriminator"},
}
"""Our role of every published network, by model."""

NAMES = {
    model: {role: name for name, role in roles.items()}  # the last name of a role: G_A
    for model, roles in ROLES.items()
}
RESNET, UNET, PATCH, PIXEL = "resnet_generator", "unet_generator", "patch_discriminator", "pixel_discriminator"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
PAIR = 6  # channels of two images, which the discriminator of pix2pix sees


class CycleGANLayout(Layout):
    """junyanz/pytorch-CycleGAN-and-pix2pix."""

    name = "junyanz/pytorch-CycleGAN-and-pix2pix"
    models = (CYCLEGAN, PIX2PIX)

    def fits(self, files: Sequence[PublishedFile]) -> bool:
        """Return whether each file holds a generator or discriminator of these models."""
        return all(_architecture(file.networks.get(BARE, {})) is not None for file in files)

    def describe(
        self, files: Sequence[PublishedFile], wishes: ImportOptions
    ) -> tuple[Weights, list[tuple[Part, State]]]:
        """Return the weights without tensors, and whose the tensors are."""
        nodes = {file.path: _node(file, wishes) for file in files}
        model = wishes.model or _model(nodes)
        networks: dict[str, Node] = {}
        parts = []
        for file in files:
            node = nodes[file.path]
            name = _named_in(file.path) or ("G" if node["name"] in (RESNET, UNET) else "D")
            role = ROLES[model].get(name)
            if role is None:
                known = ", ".join(f"latest_net_{each}.pth" for each in ROLES[model])
                raise UserError(
                    f"{file.path}: this is no file of {model}, expected the names {known}; or say model=..."
                )
            if role in networks:
                raise UserError(f"{file.path}: the network {role} is given twice, expected one file of each")
            networks[role] = node
            parts.append((Part(name, role), file.networks[BARE]))
        if not any(role.startswith("generator") for role in networks):
            raise UserError(f"{files[0].path}: this is a discriminator; name the generator's file too: weights=G,D")
        described = Weights(
            {},
            model,
            networks,
            wishes.image_size or _image_size(networks),
            arguments={"statistics": "image"} | ({"noise": True} if model == PIX2PIX else {}),
            domains=named(wishes, 2, {2: ("a", "b")}),
            data={"crop": "none"},
        )
        return described, parts

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm."""
        return node["norm"] == "instance" and key.endswith(STATISTICS)

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor counts the batches of a batch norm, which old files do not."""
        return node["norm"] == "batch" and key.endswith("num_batches_tracked")

    def parts(self, weights: Weights) -> list[tuple[str, Part]]:
        """Return a file for each network that is there."""
        found = []
        for role, default in NAMES[weights.model].items():
            if role in weights.networks and weights.learned(role):
                name = published_name(weights, role, default)
                kind = AVERAGE if role in weights.averaged else NETWORK
                found.append((f"latest_net_{name}.pth", Part(name, role, kind)))
        return found


def _named_in(path: Path) -> str | None:
    found = re.search(r"(?:^|_)net_([GD](?:_[AB])?)\b", path.name)
    return found[1] if found else None


def _model(nodes: dict[Path, Node]) -> str:
    """Return whose networks these are, by the names of the files and by what the networks see."""
    names = {_named_in(path) for path in nodes}
    if any(name and "_" in name for name in names):
        return CYCLEGAN
    paired = any(node.get("in_channels") == PAIR for node in nodes.values())
    return PIX2PIX if paired or any(node["name"] == UNET for node in nodes.values()) else CYCLEGAN


def _image_size(networks: dict[str, Node]) -> int:
    """Return the published size: that at which a U-Net's smallest features are one pixel; 128 px for six blocks."""
    generator = next(node for role, node in networks.items() if role.startswith("generator"))
    if generator["name"] == UNET:
        return int(2 ** generator["num_downsamplings"])
    return 128 if generator["num_blocks"] <= 6 else 256


def _architecture(state: State) -> str | None:
    """Return the name of the network that has such tensors, None for any other."""
    if "model.model.0.weight" in state:
        return UNET
    if "net.0.weight" in state:
        return PIXEL
    if numbers(state, "model.", ".conv_block.1.weight"):
        return RESNET
    first = state.get("model.0.weight")
    return PATCH if first is not None and first.ndim == 4 else None


def _node(file: PublishedFile, wishes: ImportOptions) -> Node:
    """Return our network of a file, with arguments from names and shapes."""
    state = file.networks[BARE]
    if any(key.endswith("filt") for key in state):
        raise UserError(
            f"{file.path}: found tensors named filt: a network of CUT, which blurs before it halves, expected one of "
            "CycleGAN or pix2pix, which does not"
        )
    name = _architecture(state)
    first, norm = {
        RESNET: ("model.1.weight", "model.2.weight"),
        UNET: ("model.model.0.weight", "model.model.1.model.2.weight"),
        PATCH: ("model.0.weight", "model.3.weight"),
        PIXEL: ("net.0.weight", "net.3.weight"),
    }[name or PATCH]
    if first not in state:
        raise UserError(f"{file.path}: lacks the tensor {first}, expected that of a {name}")
    common = {"base_width": state[first].shape[0], "norm": "batch" if norm in state else "instance"}
    if name == RESNET:
        blocks = numbers(state, "model.", ".conv_block.1.weight")
        second = state.get(f"model.{blocks[0]}.conv_block.6.weight")  # a batch norm where there is no dropout
        dropout = second is not None and second.ndim == 4
        return {"name": name, **common, "num_blocks": len(blocks), "dropout": dropout}
    if name == UNET:
        levels = [key for key in state if re.fullmatch(r"model\.model\.1\.(model\.3\.)*model\.1\.weight", key)]
        return {"name": name, **common, "num_downsamplings": 1 + len(levels), "dropout": wishes.dropout is not False}
    seen = {"in_channels": state[first].shape[1]}
    if name == PIXEL:
        return {"name": name, **common, **seen}
    convolutions = [key for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim == 4]
    return {"name": name, **common, **seen, "num_layers": len(convolutions) - 2}
