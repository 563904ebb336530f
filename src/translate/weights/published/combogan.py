"""The official layout of ComboGAN: a file per network and domain, such as `1150_net_G0.pth` and `1150_net_D0.pth`.

The number of a generator's file is its place: first the encoders of all domains, then the shared encoder if there is
one, then the decoders, last the shared decoder. Domains are in the alphabetical order of their folders: `train10` comes
before `train2`. Sizes and the number of domains follow from names and shapes. Files of early torch contain running
statistics of instance norms, which are never read; they are kept as extra tensors.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, InstanceNormLayout, TensorGroup, domain_names, numbers

ENCODER, DECODER, DISCRIMINATOR = "encoder", "decoder", "discriminator"
SHARED_ENCODER, SHARED_DECODER = "encoder_shared", "decoder_shared"
PER_DOMAIN = (ENCODER, DECODER, DISCRIMINATOR)


class ComboGANLayout(InstanceNormLayout):
    """AAnoosheh/ComboGAN."""

    name = "AAnoosheh/ComboGAN"
    models = ("combogan",)
    facts = ("domains", "image_size")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds a network of ComboGAN."""
        return all(_kind(file.networks.get(UNNAMED, {})) is not None for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each role; UserError for missing files."""
        generators = _in_order(files, "G")
        kinds = [_kind(file.networks[UNNAMED]) for file in generators]
        count = kinds.count(ENCODER)
        shared = SHARED_ENCODER in kinds  # a shared part looks alike in both places; its number says which it is
        expected = [ENCODER] * count + [SHARED_ENCODER] * shared + [DECODER] * count + [SHARED_ENCODER] * shared
        if kinds != expected or count < 2:
            raise UserError(
                "the generators of ComboGAN are encoders, then as many decoders",
                key=str(generators[0].path if generators else files[0].path),
                found=Phrase(", ".join(str(kind) for kind in kinds) or "discriminators alone"),
                fix="name the folder with the files of all networks",
            )
        states = [file.networks[UNNAMED] for file in generators]
        roles = {ENCODER: states[:count], DECODER: states[count + shared : 2 * count + shared]}
        if discriminators := [file.networks[UNNAMED] for file in _in_order(files, "D")]:
            if len(discriminators) != count:
                found = Phrase(f"{len(discriminators)} discriminators")
                raise UserError(key=str(files[0].path), found=found, expected=f"{count}, or none")
            roles[DISCRIMINATOR] = discriminators
        groups = [(TensorGroup(role, role, NETWORK), _joined(parts)) for role, parts in roles.items()]
        if shared:
            groups += [
                (TensorGroup(role, role, NETWORK), states[place])
                for role, place in ((SHARED_ENCODER, count), (SHARED_DECODER, -1))
            ]
        described = Weights(
            {},
            "combogan",
            {str(group.role): _node(str(group.role), state, count) for group, state in groups},
            options.image_size or 256,
            domains=domain_names(options, count, {}),
            data={"crop": "none"},
        )
        return described, groups

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return the roles of the weights; `write` divides them among files."""
        return [
            (role, TensorGroup(role, role, EMA if role in weights.ema_roles else NETWORK))
            for role in (ENCODER, SHARED_ENCODER, DECODER, SHARED_DECODER, DISCRIMINATOR)
            if role in weights.networks and weights.inference_state(role)
        ]

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the network of each file; weights read in this layout are written unchanged."""
        files: dict[str, dict[str, State]] = {}
        number = 0
        for role, networks in super().write(weights).items():
            state = networks[role]
            for part in _divided(state) if role in PER_DOMAIN else [state]:
                if role == DISCRIMINATOR:
                    place, letter = len(files) - number, "D"
                else:
                    place, letter, number = number, "G", number + 1
                files[f"latest_net_{letter}{place}.pth"] = {UNNAMED: part}
        return files


def _in_order(files: Sequence[OfficialFile], letter: str) -> list[OfficialFile]:
    """Return the files of generators (G) or discriminators (D) by their numbers; UserError for a missing number."""
    by_number: dict[int, OfficialFile] = {}
    for file in files:
        is_discriminator = _kind(file.networks[UNNAMED]) == DISCRIMINATOR
        if is_discriminator == (letter == "D"):
            by_number[_number_in(file.path)] = file
    if sorted(by_number) != list(range(len(by_number))):
        raise UserError(
            "files of networks are missing",
            key=str(files[0].path.parent),
            found=Phrase(", ".join(f"{letter}{number}" for number in sorted(by_number))),
            expected=f"{letter}0, {letter}1, ...",
        )
    return [by_number[number] for number in sorted(by_number)]


def _number_in(path: Path) -> int:
    """Return the number of the network that the name of a file contains: 3 of `1150_net_G3.pth`."""
    match = re.search(r"(?:^|_)net_[GD](\d+)\b", path.name)
    if match is None:
        raise UserError(
            "the name does not say which network it is", key=str(path), expected="a name such as 1150_net_G0.pth"
        )
    return int(match[1])


def _kind(state: State) -> str | None:
    """Return the role of the network with these tensors, of a shared one the encoder's; None for any other network."""
    if "model_gray.0.0.weight" in state:
        return DISCRIMINATOR
    first, slope = state.get("model.0.conv_block.1.weight"), state.get("model.0.conv_block.3.weight")
    if first is not None and first.ndim == 4 and slope is not None and slope.numel() == 1:
        return DECODER if first.shape[0] == first.shape[1] else SHARED_ENCODER
    first, slope = state.get("model.1.weight"), state.get("model.3.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == 3 and slope is not None and slope.numel() == 1:
        return ENCODER
    return None


def _node(role: str, state: State, num_domains: int) -> Node:
    """Return the node of a role, with arguments from names and shapes."""
    if role in (SHARED_ENCODER, SHARED_DECODER):
        blocks = numbers(state, "model.", ".conv_block.1.weight")
        width = int(state["model.0.conv_block.1.weight"].shape[0])
        arguments = {"width": width, "num_blocks": len(blocks)}
        return {"name": "combogan_shared_blocks", "num_domains": num_domains, **arguments}
    common = {"name": f"combogan_{role}s", "num_domains": num_domains}
    if role == DISCRIMINATOR:
        stages = numbers(state, "0.model_gray.", ".0.weight")
        return {**common, "base_width": int(state["0.model_gray.0.0.weight"].shape[0]), "num_layers": len(stages) - 1}
    blocks = numbers(state, "0.model.", ".conv_block.1.weight")
    if role == ENCODER:
        return {**common, "base_width": int(state["0.model.1.weight"].shape[0]), "num_blocks": len(blocks)}
    width = int(state[f"0.model.{len(blocks)}.weight"].shape[1]) // 2  # of the first transposed convolution
    return {**common, "base_width": width, "num_blocks": len(blocks)}


def _joined(parts: Sequence[State]) -> State:
    return {f"{number}.{key}": tensor for number, part in enumerate(parts) for key, tensor in part.items()}


def _divided(state: State) -> list[State]:
    """Return the tensors of each domain."""
    parts: dict[int, State] = {}
    for key, tensor in state.items():
        number, _, rest = key.partition(".")
        parts.setdefault(int(number), {})[rest] = tensor
    return [parts[number] for number in sorted(parts)]
