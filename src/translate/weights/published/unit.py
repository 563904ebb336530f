"""The official layouts of UNIT: the files of both domains since 2018, and those of the paper's time.

Since 2018 `gen_00100000.pt` and `dis_00100000.pt` hold a network for each domain, a and b. A generator is an encoder
and a decoder, here roles of their own. At the paper's time `<prefix>_gen_00100000.pkl` and `<prefix>_dis_00100000.pkl`
hold one network each, whose parts the domains have or share. Sizes follow from names and shapes. Older files have
running statistics of instance norms, which are never read; they are kept as extra tensors.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from translate.errors import UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, InstanceNormLayout, TensorGroup, domain_names, numbers

GENERATORS, DISCRIMINATORS = "gen", "dis"


@dataclass(frozen=True)
class Part:
    """The place of a role: kind of file, network in it, and the starts of the names of its tensors there and here."""

    kind: str
    network: str
    there: str
    here: str = ""

    @property
    def name(self) -> str:
        """Return a name of the place, such as gen.a.enc."""
        return ".".join(filter(None, (self.kind, self.network, self.there.rstrip("."))))

    def taken(self, state: State) -> State:
        """Return the tensors of the role by our names."""
        start = len(self.there)
        return {f"{self.here}{key[start:]}": tensor for key, tensor in state.items() if key.startswith(self.there)}

    def written(self, state: State) -> State:
        """Return tensors by their official names."""
        return {f"{self.there}{key.removeprefix(self.here)}": tensor for key, tensor in state.items()}


class UNITLayout(InstanceNormLayout):
    """What both layouts have in common."""

    models = ("unit",)
    facts = ("domains", "image_size")
    parts: ClassVar[Mapping[str, Part]]
    marks: ClassVar[Mapping[str, str]]
    """Kind of a file -> the name of a tensor that tells it."""
    file_name: ClassVar[str]
    image_size: ClassVar[int]
    kl: ClassVar[str]

    @abstractmethod
    def node(self, role: str, state: State) -> Node:
        """Return the node of a role, with arguments from names and shapes."""

    def kind(self, file: OfficialFile) -> str | None:
        """Return "gen" or "dis"; None for a file of another layout."""
        wanted = {part.network for part in self.parts.values()}
        if file.networks.keys() != wanted:
            return None
        states = file.networks.values()
        return next((kind for kind, key in self.marks.items() if all(key in state for state in states)), None)

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file has the networks of this layout."""
        return all(self.kind(file) is not None for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each role; UserError without generators."""
        by_kind: dict[str, OfficialFile] = {}
        for file in files:
            if (kind := self.kind(file) or "") in by_kind:
                raise UserError(f"a second {kind} file", key=str(file.path), expected="one file of each kind")
            by_kind[kind] = file
        if GENERATORS not in by_kind:
            raise UserError(
                "this is a discriminator", key=str(files[0].path), fix="name the generators' file too: weights=GEN,DIS"
            )
        groups = [
            (TensorGroup(part.name, role, NETWORK), part.taken(by_kind[part.kind].networks[part.network]))
            for role, part in self.parts.items()
            if part.kind in by_kind
        ]
        number = re.search(r"_(\d{8})\.", by_kind[GENERATORS].path.name)
        described = Weights(
            {},
            "unit",
            {str(group.role): self.node(str(group.role), state) for group, state in groups},
            options.image_size or self.image_size,
            arguments={"kl": self.kl},
            domains=domain_names(options, 2, {2: ("a", "b")}),
            iteration=int(number[1]) if number else None,
            data={"crop": "square"},
        )
        return described, groups

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return the roles of the weights, each with its file; `write` joins those of one network."""
        return [
            (
                self.file_name.format(kind=part.kind, iteration=weights.iteration or 0),
                TensorGroup(part.name, role, EMA if role in weights.ema_roles else NETWORK),
            )
            for role, part in self.parts.items()
            if role in weights.networks and weights.inference_state(role)
        ]

    def write(self, weights: Weights) -> dict[str, dict[str, State]]:
        """Return the networks of each file; weights read in this layout are written unchanged."""
        by_name = {part.name: part for part in self.parts.values()}
        files: dict[str, dict[str, State]] = {}
        for file, states in super().write(weights).items():
            networks = files.setdefault(file, {})
            for name, state in states.items():
                part = by_name[name]
                networks.setdefault(part.network, {}).update(part.written(state))
        return files


class TodayLayout(UNITLayout):
    """mingyuliutw/UNIT since 2018: a generator and a discriminator for each domain."""

    name = "mingyuliutw/UNIT"
    single_network = False
    file_name = "{kind}_{iteration:08d}.pt"
    image_size, kl = 256, "mean"
    marks: ClassVar[Mapping[str, str]] = {
        GENERATORS: "enc.model.0.conv.weight",
        DISCRIMINATORS: "cnns.0.0.conv.weight",
    }
    parts: ClassVar[Mapping[str, Part]] = {
        f"{role}_{side}": Part(kind, side, start)
        for role, kind, start in (
            ("encoder", GENERATORS, "enc."),
            ("decoder", GENERATORS, "dec."),
            ("discriminator", DISCRIMINATORS, ""),
        )
        for side in "ab"
    }

    def fits_model(self, weights: Weights) -> bool:
        """Return whether the weights are of the form without shared layers."""
        return super().fits_model(weights) and "encoder_shared" not in weights.networks

    def node(self, role: str, state: State) -> Node:
        """Return the node of a role, with arguments from names and shapes."""
        kind = role.partition("_")[0]
        if kind == "discriminator":
            arguments = {
                "base_width": int(state["cnns.0.0.conv.weight"].shape[0]),
                "num_layers": len(numbers(state, "cnns.0.", ".conv.weight")),
                "num_scales": len(numbers(state, "cnns.", ".0.conv.weight")),
            }
        elif kind == "encoder":
            halvings = len(numbers(state, "model.", ".conv.weight")) - 1
            blocks = numbers(state, f"model.{halvings + 1}.model.", ".model.0.conv.weight")
            arguments = _coder(state["model.0.conv.weight"].shape[0], halvings, len(blocks))
        else:
            doublings = len(numbers(state, "model.", ".norm.gamma"))
            blocks = numbers(state, "model.0.model.", ".model.0.conv.weight")
            arguments = _coder(state[f"model.{2 * doublings + 1}.conv.weight"].shape[1], doublings, len(blocks))
        return {"name": f"unit_{kind}", **arguments}


class PaperLayout(UNITLayout):
    """mingyuliutw/UNIT, branch version_02: networks with shared layers, `COCOResGen2` and `COCOSharedDis`."""

    name = "mingyuliutw/UNIT version_02"
    file_name = "unit_{kind}_{iteration:08d}.pkl"
    image_size, kl = 128, "sample"
    marks: ClassVar[Mapping[str, str]] = {
        GENERATORS: "encode_A.0.model.0.weight",
        DISCRIMINATORS: "model_S.0.model.0.weight",
    }
    parts: ClassVar[Mapping[str, Part]] = {
        role: Part(kind, UNNAMED, start, "model.")
        for role, kind, start in (
            ("encoder_a", GENERATORS, "encode_A."),
            ("encoder_b", GENERATORS, "encode_B."),
            ("encoder_shared", GENERATORS, "enc_shared."),
            ("decoder_shared", GENERATORS, "dec_shared."),
            ("decoder_a", GENERATORS, "decode_A."),
            ("decoder_b", GENERATORS, "decode_B."),
            ("discriminator_a", DISCRIMINATORS, "model_A."),
            ("discriminator_b", DISCRIMINATORS, "model_B."),
            ("discriminator_shared", DISCRIMINATORS, "model_S."),
        )
    }

    def fits_model(self, weights: Weights) -> bool:
        """Return whether the weights are of the form with shared layers."""
        return super().fits_model(weights) and "encoder_shared" in weights.networks

    def node(self, role: str, state: State) -> Node:
        """Return the node of a role, with arguments from names and shapes."""
        first = state["model.0.model.0.weight"]
        layers, blocks = (len(numbers(state, "model.", end)) for end in (".model.0.weight", ".model.3.weight"))
        if role in ("encoder_shared", "decoder_shared"):
            return {"name": "unit_shared_blocks", "width": int(first.shape[0]), "num_blocks": blocks}
        if role == "discriminator_shared":
            return {"name": "unit_shared_discriminator", "in_channels": int(first.shape[1]), "num_layers": layers}
        kind = role.partition("_")[0]
        if kind == "discriminator":
            arguments: Node = {"base_width": int(first.shape[0]), "num_layers": layers}
        elif kind == "encoder":
            arguments = _coder(first.shape[0], layers - blocks - 1, blocks)
        else:
            arguments = _coder(state[f"model.{layers}.weight"].shape[0], layers - blocks, blocks)
        return {"name": f"unit_paper_{kind}", **arguments}


def _coder(width: Any, num_downsamplings: int, num_blocks: int) -> Node:
    return {"base_width": int(width), "num_downsamplings": num_downsamplings, "num_blocks": num_blocks}
