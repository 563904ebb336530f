"""The layouts of two ports of SRGAN; no code of the authors was released.

Lornatang's `g_last.pth.tar` and `d_last.pth.tar` hold the trained network, its EMA and the state of the optimizer. The
last is not kept. leftthomas's `netG_epoch_4_100.pth` holds a generator by other names; 4 is the scale, 100 the epoch.
Sizes follow from names and shapes. A generator alone may be one that squared distances have trained: model=srresnet.
"""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

from translate.errors import UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import CHECKPOINT_STATES, COUNTER, UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, numbers, official_name

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
HALVING = 16  # of the discriminator's four convolutions of stride 2
DOMAINS = ("high_resolution",)  # the only target of both models
DENSE = ("classifier.0.weight", "classifier.2.weight")


class SRGANLayout(Layout):
    """What both layouts have in common."""

    models = ("srgan", "srresnet")
    facts = ("image_size",)
    output: ClassVar[str]
    bias: ClassVar[bool]
    default_size: ClassVar[int]

    def described(self, states: dict[str, State], files: Sequence[OfficialFile], options: ImportOptions) -> Weights:
        """Return the weights without tensors; ``states`` are those of the roles by our names."""
        if GENERATOR not in states:
            raise UserError(
                "this is a discriminator", key=str(files[0].path), fix="name the generator's file too: weights=G,D"
            )
        model = options.model or "srgan"
        if model == "srresnet" and DISCRIMINATOR in states:
            raise UserError("SRResNet has no discriminator", key="model", found=model, expected="srgan")
        generator = states[GENERATOR]
        networks: dict[str, Node] = {
            GENERATOR: {
                "name": "srresnet",
                "scale": 2 ** len(numbers(generator, "upsampling.", ".upsample_block.0.weight")),
                "num_blocks": len(numbers(generator, "trunk.", ".rcb.0.weight")),
                "base_width": int(generator["conv1.0.weight"].shape[0]),
                "output": self.output,
                "bias": self.bias,
            }
        }
        size = options.image_size or self.default_size
        if DISCRIMINATOR in states:
            networks[DISCRIMINATOR] = self.discriminator(states[DISCRIMINATOR])
            size = options.image_size or networks[DISCRIMINATOR].get("image_size", size)
        return Weights({}, model, networks, size, domains=DOMAINS, data={"crop": "none"})

    def discriminator(self, state: State) -> Node:
        """Return the node of a discriminator; one with a dense head has an image size."""
        hidden_width, num_features = state[DENSE[0]].shape
        last = int(state["features.20.weight"].shape[0])
        side = math.isqrt(int(num_features) // last)
        dense = {"head": "dense", "image_size": side * HALVING} if side > 1 else {"head": "pooled"}
        width = int(state["features.0.weight"].shape[0])
        name = {"name": "srgan_discriminator", "base_width": width, "hidden_width": int(hidden_width)}
        return {**name, **dense, "bias": self.bias}

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the batch counter of a batch norm, which old files lack."""
        del node
        return key.endswith("num_batches_tracked")


class LornatangLayout(SRGANLayout):
    """Lornatang/SRGAN-PyTorch."""

    name = "Lornatang/SRGAN-PyTorch"
    single_network = False
    output, bias, default_size = "clamp", False, 96

    def fits_model(self, weights: Weights) -> bool:
        """Return whether the generator has the layers of this port."""
        return super().fits_model(weights) and not weights.networks[GENERATOR].get("bias")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds a generator or a discriminator of this port."""
        return all(self._role(file) is not None for file in files)

    def _role(self, file: OfficialFile) -> str | None:
        state = file.networks.get(CHECKPOINT_STATES[0], {})
        if "trunk.0.rcb.0.weight" in state:
            return GENERATOR
        return DISCRIMINATOR if {"features.20.weight", *DENSE} <= state.keys() else None

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each network and EMA."""
        by_role = {str(self._role(file)): file for file in files}
        described = self.described(
            {role: file.networks[CHECKPOINT_STATES[0]] for role, file in by_role.items()}, files, options
        )
        groups = [
            (TensorGroup(f"{file.path.name}/{name}", role, group), file.networks[name])
            for role, file in by_role.items()
            for name, group in zip(CHECKPOINT_STATES, (NETWORK, EMA), strict=True)
            if name in file.networks
        ]
        return described, groups

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the counter of an EMA."""
        del node
        return key == COUNTER

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return the trained network and the EMA of each file."""
        groups = []
        for role, letter in ((GENERATOR, "g"), (DISCRIMINATOR, "d")):
            file = official_name(weights, role, f"{letter}_last.pth.tar").partition("/")[0]
            for name, group in zip(CHECKPOINT_STATES, (NETWORK, EMA), strict=True):
                if weights.group(group, role):
                    groups.append((file, TensorGroup(f"{file}/{name}", role, group)))
        return groups

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the networks of each file; weights read in this layout are written unchanged."""
        written = super().write(weights)
        return {
            file: {name.partition("/")[2]: state for name, state in networks.items()}
            for file, networks in written.items()
        }


class LeftthomasLayout(SRGANLayout):
    """leftthomas/SRGAN."""

    name = "leftthomas/SRGAN"
    output, bias, default_size = "tanh", True, 88

    def fits_model(self, weights: Weights) -> bool:
        """Return whether the generator has the layers of this port."""
        return super().fits_model(weights) and bool(weights.networks[GENERATOR].get("bias"))

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds a generator or a discriminator of this port."""
        return all(_port_role(file.networks.get(UNNAMED, {})) is not None for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each network by our names."""
        states: dict[str, State] = {}
        names: dict[str, str] = {}
        for file in files:
            state = file.networks[UNNAMED]
            role = str(_port_role(state))
            num_blocks = len(numbers(state, "block", ".conv1.weight"))
            num_doublings = len(numbers(state, f"block{num_blocks + 3}.", ".conv.weight"))
            states[role] = _moved(state, dict(_layers(role, num_blocks, num_doublings)))
            names[role] = file.path.name
        for key in DENSE:  # convolutions of one pixel there
            if DISCRIMINATOR in states:
                states[DISCRIMINATOR][key] = states[DISCRIMINATOR][key].flatten(1)
        described = self.described(states, files, options)
        return described, [(TensorGroup(names[role], role, NETWORK), state) for role, state in states.items()]

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return a file for each network of the weights."""
        groups = []
        for role in (GENERATOR, DISCRIMINATOR):
            if role in weights.networks and weights.inference_state(role):
                scale = weights.networks[GENERATOR]["scale"]
                name = official_name(weights, role, f"net{role[0].upper()}_epoch_{scale}_0.pth")
                groups.append((name, TensorGroup(name, role, EMA if role in weights.ema_roles else NETWORK)))
        return groups

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the network of each file by its official names."""
        files: dict[str, dict[str, State]] = {}
        for file, networks in super().write(weights).items():
            ((_, state),) = networks.items()
            role = GENERATOR if "conv1.0.weight" in state else DISCRIMINATOR
            if role == DISCRIMINATOR:
                state = {key: t[:, :, None, None] if key in DENSE else t for key, t in state.items()}
            node = weights.networks[GENERATOR]
            layers = _layers(role, node["num_blocks"], int(math.log2(node["scale"])))
            files[file] = {UNNAMED: _moved(state, {here: there for there, here in layers})}
        return files


def _port_role(state: State) -> str | None:
    """Return the role of a network of leftthomas's port; None for any other network."""
    if {"block1.0.weight", "block2.prelu.weight"} <= state.keys():
        return GENERATOR
    return DISCRIMINATOR if {"net.20.weight", "net.24.weight", "net.26.weight"} <= state.keys() else None


def _layers(role: str, num_blocks: int, num_doublings: int) -> Iterator[tuple[str, str]]:
    """Yield the names of each layer of a network: in leftthomas's port, and here."""
    if role == DISCRIMINATOR:
        yield from ((f"net.{number}", f"features.{number}") for number in range(23))
        yield from (("net.24", "classifier.0"), ("net.26", "classifier.2"))
        return
    yield from (("block1.0", "conv1.0"), ("block1.1", "conv1.1"))
    for block in range(num_blocks):
        for number, layer in enumerate(("conv1", "bn1", "prelu", "conv2", "bn2")):
            yield f"block{block + 2}.{layer}", f"trunk.{block}.rcb.{number}"
    for number in range(2):
        yield f"block{num_blocks + 2}.{number}", f"conv2.{number}"
    last = f"block{num_blocks + 3}"
    for number in range(num_doublings):
        yield f"{last}.{number}.conv", f"upsampling.{number}.upsample_block.0"
        yield f"{last}.{number}.prelu", f"upsampling.{number}.upsample_block.2"
    yield f"{last}.{num_doublings}", "conv3"


def _moved(state: State, layers: dict[str, str]) -> State:
    """Return the tensors by the other names of their layers; unknown ones keep theirs."""
    result: State = {}
    for key, tensor in state.items():
        layer, _, last = key.rpartition(".")
        result[f"{layers.get(layer, layer)}.{last}"] = tensor
    return result
