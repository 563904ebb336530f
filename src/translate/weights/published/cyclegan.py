"""The official layout of CycleGAN and pix2pix: a file per network, such as `latest_net_G_A.pth`.

The options of training are stored beside an official file, not in it. Nearly all of them follow from names and shapes:
the kind and depth of a generator, its norm (a convolution has a bias before an instance norm, none before a batch
norm), and dropout in residual blocks (which shifts an index). Dropout in a U-Net leaves no trace; it is assumed unless
the user says otherwise. Old files contain running statistics of instance norms, which are never read; they are kept as
extra tensors.

The name of a file says which network it holds. G_A translates from the first domain to the second, and D_A
discriminates its translations, so D_A is our ``discriminator_b``. A generator alone, `latest_net_G.pth`, is CycleGAN's
generator from the first domain to the second if it is residual, and that of pix2pix if it is a U-Net; the option
``model`` overrides this.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import (
    STATISTICS,
    ImportOptions,
    Layout,
    TensorGroup,
    domain_names,
    numbers,
    official_name,
)

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
"""Our role of every official network, by model."""

NAMES = {
    model: {role: name for name, role in roles.items()}  # the last name of a role wins: G_A
    for model, roles in ROLES.items()
}
RESNET, UNET, PATCH, PIXEL = "resnet_generator", "unet_generator", "patch_discriminator", "pixel_discriminator"
PAIR_CHANNELS = 6  # two images, the input of the discriminator of pix2pix


class CycleGANLayout(Layout):
    """junyanz/pytorch-CycleGAN-and-pix2pix."""

    name = "junyanz/pytorch-CycleGAN-and-pix2pix"
    models = (CYCLEGAN, PIX2PIX)
    facts = ("domains", "image_size", "dropout")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds a generator or discriminator of these models."""
        return all(_architecture(file.networks.get(UNNAMED, {})) is not None for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each group."""
        nodes = {file.path: _node(file, options) for file in files}
        model = options.model or _model(nodes)
        networks: dict[str, Node] = {}
        groups = []
        for file in files:
            node = nodes[file.path]
            name = _name_in(file.path) or ("G" if node["name"] in (RESNET, UNET) else "D")
            role = ROLES[model].get(name)
            if role is None:
                raise UserError(
                    f"the name is not that of a file of {model}",
                    key=str(file.path),
                    expected=" or ".join(f"latest_net_{each}.pth" for each in ROLES[model]),
                    fix="rename the file, or name its model: model=...",
                )
            if role in networks:
                raise UserError(f"a second file of the network {role}", key=str(file.path), expected="one file of each")
            networks[role] = node
            groups.append((TensorGroup(name, role, NETWORK), file.networks[UNNAMED]))
        if not any(role.startswith("generator") for role in networks):
            raise UserError(
                "this is a discriminator", key=str(files[0].path), fix="name the generator's file too: weights=G,D"
            )
        described = Weights(
            {},
            model,
            networks,
            options.image_size or _image_size(networks),
            arguments={"statistics": "image"} | ({"noise": True} if model == PIX2PIX else {}),
            domains=domain_names(options, 2, {2: ("a", "b")}),
            data={"crop": "none"},
        )
        return described, groups

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm."""
        return node["norm"] == "instance" and key.endswith(STATISTICS)

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the batch counter of a batch norm, which old files lack."""
        return node["norm"] == "batch" and key.endswith("num_batches_tracked")

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return one file for each network of the weights."""
        groups = []
        for role, default in NAMES[weights.model].items():
            if role in weights.networks and weights.inference_state(role):
                name = official_name(weights, role, default)
                group = EMA if role in weights.ema_roles else NETWORK
                groups.append((f"latest_net_{name}.pth", TensorGroup(name, role, group)))
        return groups


def _name_in(path: Path) -> str | None:
    """Return the network that the name of a file contains, such as G_A; None without any."""
    match = re.search(r"(?:^|_)net_([GD](?:_[AB])?)\b", path.name)
    return match[1] if match else None


def _model(nodes: dict[Path, Node]) -> str:
    """Return the model of the networks, by the names of the files and by the networks' inputs."""
    names = {_name_in(path) for path in nodes}
    if any(name and "_" in name for name in names):
        return CYCLEGAN
    paired = any(node.get("in_channels") == PAIR_CHANNELS for node in nodes.values())
    return PIX2PIX if paired or any(node["name"] == UNET for node in nodes.values()) else CYCLEGAN


def _image_size(networks: dict[str, Node]) -> int:
    """Return the official image size: a U-Net's smallest features are one pixel; six residual blocks mean 128 px."""
    generator = next(node for role, node in networks.items() if role.startswith("generator"))
    if generator["name"] == UNET:
        return int(2 ** generator["num_downsamplings"])
    return 128 if generator["num_blocks"] <= 6 else 256


def _architecture(state: State) -> str | None:
    """Return the name of the network with these tensors; None for any other network."""
    if "model.model.0.weight" in state:
        return UNET
    if "net.0.weight" in state:
        return PIXEL
    if numbers(state, "model.", ".conv_block.1.weight"):
        return RESNET
    first = state.get("model.0.weight")
    return PATCH if first is not None and first.ndim == 4 else None


def _node(file: OfficialFile, options: ImportOptions) -> Node:
    """Return the node of a file's network, with arguments from names and shapes."""
    state = file.networks[UNNAMED]
    if any(key.endswith("filt") for key in state):
        raise UserError(
            key=str(file.path),
            found=Phrase("tensors named filt: a network of CUT, which blurs before it downsamples"),
            expected="a network of CycleGAN or pix2pix",
        )
    name = _architecture(state)
    first, norm = {
        RESNET: ("model.1.weight", "model.2.weight"),
        UNET: ("model.model.0.weight", "model.model.1.model.2.weight"),
        PATCH: ("model.0.weight", "model.3.weight"),
        PIXEL: ("net.0.weight", "net.3.weight"),
    }[name or PATCH]
    if first not in state:
        raise UserError(f"the file lacks the tensor {first} of a {name}", key=str(file.path))
    common = {"base_width": state[first].shape[0], "norm": "batch" if norm in state else "instance"}
    if name == RESNET:
        blocks = numbers(state, "model.", ".conv_block.1.weight")
        second = state.get(f"model.{blocks[0]}.conv_block.6.weight")  # a batch norm where there is no dropout
        dropout = second is not None and second.ndim == 4
        return {"name": name, **common, "num_blocks": len(blocks), "dropout": dropout}
    if name == UNET:
        levels = [key for key in state if re.fullmatch(r"model\.model\.1\.(model\.3\.)*model\.1\.weight", key)]
        return {"name": name, **common, "num_downsamplings": 1 + len(levels), "dropout": options.dropout is not False}
    seen = {"in_channels": state[first].shape[1]}
    if name == PIXEL:
        return {"name": name, **common, **seen}
    convolutions = [key for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim == 4]
    return {"name": name, **common, **seen, "num_layers": len(convolutions) - 2}
