"""The official layout of CUT and FastCUT: a file per network, `latest_net_G.pth`, and so for D and F.

Widths and depths follow from names and shapes. An anti-aliased network has its fixed kernels in the file, as tensors
named ``filt``: [1, 2, 1] before a halving, [1, 3, 3, 1] before a doubling. Ours compute them, so the file's are kept as
extra tensors, and they are added to files of our own networks. Networks without them are CycleGAN's. CUT and FastCUT
have the same networks. The taps of F are not in its file, the widths of their features are.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, domain_names, numbers, official_name

ROLES = {"G": "generator", "D": "discriminator", "F": "projection"}
GENERATOR, DISCRIMINATOR, PROJECTION = "cut_generator", "cut_discriminator", "cut_projection"
KERNEL = "filt"
LINES = {3: (1.0, 2.0, 1.0), 4: (1.0, 3.0, 3.0, 1.0)}
OFFICIAL_TAPS = (0, 4, 8, 12, 16)


class CUTLayout(Layout):
    """taesungp/contrastive-unpaired-translation."""

    name = "taesungp/contrastive-unpaired-translation"
    models = ("cut",)
    facts = ("domains", "image_size")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds a network of CUT, and one of them is anti-aliased."""
        states = [file.networks.get(UNNAMED, {}) for file in files]
        return all(map(_kind, states)) and any(_kind(state) != PROJECTION for state in states)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each group."""
        networks: dict[str, Node] = {}
        groups = []
        for file in files:
            state = file.networks[UNNAMED]
            _check_kernels(file.path, state)
            node = _node(state)
            name = {GENERATOR: "G", DISCRIMINATOR: "D", PROJECTION: "F"}[node["name"]]
            if ROLES[name] in networks:
                raise UserError(
                    f"a second file of the network {ROLES[name]}", key=str(file.path), expected="one file of each"
                )
            networks[ROLES[name]] = node
            groups.append((TensorGroup(name, ROLES[name], NETWORK), state))
        if "generator" not in networks:
            raise UserError(
                "there is no generator", key=str(files[0].path), fix="name the generator's file too: weights=G,D,F"
            )
        blocks = networks["generator"]["num_blocks"]
        described = Weights(
            {},
            "cut",
            networks,
            options.image_size or (128 if blocks <= 6 else 256),
            domains=domain_names(options, 2, {2: ("a", "b")}),
            data={"crop": "none"},
        )
        return described, groups

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a fixed kernel."""
        del node
        return key.endswith(f".{KERNEL}")

    def unused_tensors(self, node: Node, state: State) -> State:
        """Return the fixed kernels, which the official program demands."""
        return {f"model.{number}.{KERNEL}": kernel(side, width) for number, side, width in _places(node, state)}

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return one file for each network of the weights."""
        groups = []
        for default, role in ROLES.items():
            if role in weights.networks and weights.inference_state(role):
                name = official_name(weights, role, default)
                group = EMA if role in weights.ema_roles else NETWORK
                groups.append((f"latest_net_{name}.pth", TensorGroup(name, role, group)))
        return groups


def kernel(side: int, width: int) -> Tensor:
    """Return the fixed kernel (width, 1, side, side): of side 3 before a halving, of side 4 before a doubling.

    >>> kernel(3, 2).sum().item(), kernel(4, 1).sum().item()
    (2.0, 4.0)
    """
    line = torch.tensor(LINES[side])
    return (line[:, None] * line / 16)[None, None].repeat(width, 1, 1, 1)


def _kind(state: State) -> str | None:
    """Return the name of the network with these tensors; None for a network of another layout."""
    if state and all(re.fullmatch(r"mlp_\d+\.[02]\.(weight|bias)", key) for key in state):
        return PROJECTION
    if not any(key.endswith(f".{KERNEL}") for key in state):
        return None
    return GENERATOR if numbers(state, "model.", ".conv_block.1.weight") else DISCRIMINATOR


def _node(state: State) -> Node:
    """Return the node of a network, with arguments from names and shapes."""
    kind = _kind(state)
    if kind == GENERATOR:
        blocks = numbers(state, "model.", ".conv_block.1.weight")
        return {"name": kind, "base_width": state["model.1.weight"].shape[0], "num_blocks": len(blocks)}
    if kind == DISCRIMINATOR:
        first = state["model.0.weight"]
        layers = sum(key.endswith(f".{KERNEL}") for key in state)
        return {"name": kind, "in_channels": first.shape[1], "base_width": first.shape[0], "num_layers": layers}
    heads = sorted({int(key.split(".")[0].removeprefix("mlp_")) for key in state})
    widths = [state[f"mlp_{head}.0.weight"].shape[1] for head in heads]
    return {
        "name": kind,
        "taps": list(OFFICIAL_TAPS if len(heads) == len(OFFICIAL_TAPS) else range(len(heads))),
        "num_features": state["mlp_0.2.weight"].shape[0],
        "in_channels": widths,
    }


def _places(node: Node, state: State) -> list[tuple[int, int, int]]:
    """Return (number of the layer, side, width) of every fixed kernel of one of our networks."""

    def width(number: int) -> int:
        return state[f"model.{number}.weight"].shape[0]

    if node["name"] == GENERATOR:
        up = 12 + node["num_blocks"]
        return [(7, 3, width(4)), (11, 3, width(8)), (up, 4, width(8)), (up + 4, 4, width(up + 1))]
    if node["name"] == DISCRIMINATOR:
        return [(2, 3, width(0)), *((4 * n + 2, 3, width(4 * n - 1)) for n in range(1, node["num_layers"]))]
    return []


def _check_kernels(path: Path, state: State) -> None:
    """Raise UserError for a fixed kernel other than those that our networks compute."""
    for key, tensor in state.items():
        if key.endswith(f".{KERNEL}") and not (
            tensor.shape[-1] in LINES and tensor.allclose(kernel(tensor.shape[-1], len(tensor)).to(tensor.dtype))
        ):
            raise UserError(
                f"the kernel {key} is not the official one",
                key=str(path),
                found=Phrase(str([round(value, 4) for value in tensor.flatten()[: tensor.shape[-1]].tolist()])),
                expected="the products of [1, 2, 1] or [1, 3, 3, 1], divided by 16",
            )
