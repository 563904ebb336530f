"""The official layout of StarGAN v2: a file of networks by name, either their EMA or the trained networks.

The released files hold the EMA (`100000_nets_ema.ckpt`: generator, mapping_network, style_encoder, and the landmark
network fan); training also writes `100000_nets.ckpt`, with the discriminator. Sizes follow from shapes. With high-pass
skip connections the generator has one more block, and the masks come from fan; otherwise nothing uses fan. ``w_hpf``
itself is in a file only as the filter, which the released file of CelebA-HQ lacks: then ``w_hpf`` is 1, as in the
paper, unless the user gives it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import EXTRA, Node, Weights
from translate.weights.published.files import OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, constant, domain_names, numbers

ROLES = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "style_encoder",
    "discriminator": "discriminator",
}
"""Our role of every official network."""

NEEDED = {"generator", "mapping_network", "style_encoder"}
LANDMARKS = "fan"  # the landmark network, which the files of all data sets hold
MASKS, LANDMARK_MASKS = "masks", "landmark_masks"  # our role and name of it, with high-pass skip connections
LANDMARK_TENSOR = "l0.weight"  # of a landmark network, its last convolution
DOMAINS = {2: ("female", "male"), 3: ("cat", "dog", "wild")}
NUM_BOTTLENECK = 2
FILTER = "hpf.filter"  # of the generator
FINAL_SIDE = 4  # pixels: of the style encoder's last feature map


class StarGANv2Layout(Layout):
    """clovaai/stargan-v2."""

    name = "clovaai/stargan-v2"
    models = ("stargan_v2",)
    facts = ("domains", "image_size", "w_hpf")
    single_network = False

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds the needed networks by name."""
        return all(set(file.networks) >= NEEDED for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each group."""
        groups: list[tuple[TensorGroup, State]] = []
        iteration = None
        for file in files:
            group = NETWORK if "discriminator" in file.networks else EMA
            for name, state in file.networks.items():
                if name not in ROLES and name != LANDMARKS:
                    raise UserError("unknown network", key=str(file.path), found=name, known=[*ROLES, LANDMARKS])
                groups.append((TensorGroup(name, ROLES.get(name), group), state))
            match = re.match(r"(\d+)_nets", file.path.name)
            iteration = int(match[1]) if match else iteration
        if len({group.group for group, _ in groups}) < len(files):
            raise UserError(
                key=self.name,
                found=Phrase("two files of one kind"),
                expected="one *_nets.ckpt and one *_nets_ema.ckpt",
            )
        states = {group.name: state for group, state in groups}
        domains = domain_names(options, len(numbers(states["style_encoder"], "unshared.", ".weight")), DOMAINS)
        image_size = FINAL_SIDE * 2 ** len(numbers(states["style_encoder"], "shared.", ".conv1.weight"))
        if options.image_size not in (None, image_size):
            raise UserError(
                key="image_size",
                found=options.image_size,
                expected=f"{image_size}, the size of the file's networks",
                fix="leave image_size out",
            )
        networks = _networks(states, image_size, len(domains), options.w_hpf)
        if networks.get(MASKS, {}).get("name") == LANDMARK_MASKS:
            groups = [(replace(g, role=MASKS) if g.name == LANDMARKS else g, state) for g, state in groups]
        described = Weights(
            {},
            "stargan_v2",
            networks,
            image_size,
            arguments={"latent_size": networks["mapping"]["latent_size"]},
            domains=domains,
            iteration=iteration,
            data={"crop": "none"},  # the official code squeezes images to squares
        )
        return described, groups

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a shortcut of the decoder, which high-pass skip connections replace."""
        return node.get("w_hpf", 0) > 0 and re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key) is not None

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the filter of w_hpf, which the released file of CelebA-HQ lacks, or a counter."""
        del node
        return key == FILTER or key.endswith("num_batches_tracked")

    def required(self, key: str) -> bool:
        """Return whether a tensor is the filter of w_hpf: the official code saves it since 2021."""
        return key == FILTER

    def unused_tensors(self, node: Node, state: State) -> State:
        """Return the shortcuts that the official program loads but never reads, as zeros."""
        if not node.get("w_hpf", 0) > 0:
            return {}
        tensors = {}
        for number in numbers(state, "decode.", ".conv1.weight"):
            weight = state[f"decode.{number}.conv1.weight"]
            if weight.shape[0] != weight.shape[1]:
                tensors[f"decode.{number}.conv1x1.weight"] = constant((*weight.shape[:2], 1, 1), like=weight)
        return tensors

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return a file of the EMA, and a file of the trained networks if they include all that the layout needs."""
        present = [name for name, role in ROLES.items() if role in weights.networks]
        result: list[tuple[str, TensorGroup]] = []
        for group, ending in ((EMA, "nets_ema"), (NETWORK, "nets")):
            file = f"{weights.iteration or 0:06d}_{ending}.ckpt"
            names = [name for name in present if weights.group(group, ROLES[name])]
            if set(names) >= NEEDED:
                result += [(file, TensorGroup(name, ROLES[name], group)) for name in names]
                if weights.networks.get(MASKS, {}).get("name") == LANDMARK_MASKS:
                    own = next(g for g in (group, EMA, NETWORK) if weights.group(g, MASKS))
                    result.append((file, TensorGroup(LANDMARKS, MASKS, own)))
                elif weights.group(EXTRA, group, LANDMARKS):
                    result.append((file, TensorGroup(LANDMARKS, None, group)))
        return result


def _networks(
    states: dict[str, State], image_size: int, num_domains: int, w_hpf_option: float | None
) -> dict[str, Node]:
    """Return the nodes of our networks, with arguments from the shapes of an official file."""
    generator, mapping, encoder = (states[name] for name in ("generator", "mapping_network", "style_encoder"))
    style_size = encoder["unshared.0.weight"].shape[0]
    w_hpf, num_bottleneck = _depth(generator, image_size, w_hpf_option)
    networks: dict[str, Node] = {
        "generator": {
            "name": "stargan_v2_generator",
            "image_size": image_size,
            "style_size": style_size,
            "base_width": generator["from_rgb.weight"].shape[0],
            "max_width": _widest(generator, "encode."),
            "w_hpf": w_hpf,
            "num_bottleneck": num_bottleneck,
        },
        "mapping": {
            "name": "stargan_v2_mapping",
            "num_domains": num_domains,
            "latent_size": mapping["shared.0.weight"].shape[1],
            "style_size": style_size,
            "hidden_width": mapping["shared.0.weight"].shape[0],
            "num_shared": len(numbers(mapping, "shared.", ".weight")),
            "num_unshared": len(numbers(mapping, "unshared.0.", ".weight")),
        },
        "style_encoder": {
            "name": "stargan_v2_style_encoder",
            "num_domains": num_domains,
            "image_size": image_size,
            "style_size": style_size,
            "base_width": encoder["shared.0.weight"].shape[0],
            "max_width": _widest(encoder, "shared."),
        },
    }
    if w_hpf > 0:  # ovals, if the file lacks the landmark network
        has_landmarks = LANDMARK_TENSOR in states.get(LANDMARKS, {})
        networks[MASKS] = {"name": LANDMARK_MASKS if has_landmarks else "face_oval"}
    if "discriminator" in states:
        discriminator = states["discriminator"]
        networks["discriminator"] = {
            "name": "stargan_v2_discriminator",
            "num_domains": num_domains,
            "image_size": image_size,
            "base_width": discriminator["main.0.weight"].shape[0],
            "max_width": _widest(discriminator, "main."),
        }
    return networks


def _depth(generator: State, image_size: int, option: float | None) -> tuple[float, int]:
    """Return w_hpf and the number of bottleneck blocks; ``option`` is the user's w_hpf."""
    blocks = len(numbers(generator, "encode.", ".conv1.weight")) - int(math.log2(image_size)) + 4
    if FILTER in generator:
        w_hpf = float(f"{8 / generator[FILTER][1, 1].item():.6g}")
        if option not in (None, w_hpf):
            raise UserError(key="w_hpf", found=option, expected=f"{w_hpf:g}, the file's filter", fix="leave w_hpf out")
    elif option is not None:
        w_hpf = option
    else:
        w_hpf = 1.0 if blocks == NUM_BOTTLENECK + 1 else 0.0
    num_bottleneck = blocks - (w_hpf > 0)
    if num_bottleneck < 1:
        raise UserError(f"the generator has too few blocks for {image_size} px", key="w_hpf", found=w_hpf)
    return w_hpf, num_bottleneck


def _widest(state: State, start: str) -> int:
    """Return the largest number of output channels of the blocks."""
    return max(t.shape[0] for key, t in state.items() if key.startswith(start) and key.endswith(".conv2.weight"))
