"""The layout of StarGAN v2 as published: a file of networks by name, of the averages or of the trained ones.

The published files hold the averages (`100000_nets_ema.ckpt`: generator, mapping_network, style_encoder, and the
landmark network fan); training also writes `100000_nets.ckpt`, with the discriminator. Sizes are read from shapes. With
high-pass skip connections the generator has one more block; ``w_hpf`` itself is in the file only as the filter, which
the published file of CelebA-HQ lacks: then it is 1, as published, unless the user says otherwise.
"""

import math
import re
from collections.abc import Sequence

from translate.errors import UserError
from translate.weights.format import AVERAGE, EXTRA, NETWORK, Node, Weights
from translate.weights.published.files import PublishedFile, State
from translate.weights.published.layout import ImportOptions, Layout, Part, constant, named, numbers

ROLES = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "style_encoder",
    "discriminator": "discriminator",
}
"""Our role of every published network."""

NEEDED = {"generator", "mapping_network", "style_encoder"}
UNUSED = "fan"  # the landmark network, which the files of all data sets hold
DOMAINS = {2: ("female", "male"), 3: ("cat", "dog", "wild")}
NUM_BOTTLENECK = 2
FINAL_SIDE = 4  # of the style encoder's features before they become a vector


class StarGANv2Layout(Layout):
    """clovaai/stargan-v2."""

    name = "clovaai/stargan-v2"
    models = ("stargan_v2",)
    bare = False

    def fits(self, files: Sequence[PublishedFile]) -> bool:
        """Return whether each file holds the networks by name."""
        return all(set(file.networks) >= NEEDED for file in files)

    def describe(
        self, files: Sequence[PublishedFile], wishes: ImportOptions
    ) -> tuple[Weights, list[tuple[Part, State]]]:
        """Return the weights without tensors, and whose the tensors are."""
        parts: list[tuple[Part, State]] = []
        iteration = None
        for file in files:
            kind = NETWORK if "discriminator" in file.networks else AVERAGE
            for name, state in file.networks.items():
                if name not in ROLES and name != UNUSED:
                    raise UserError(f"{file.path}: unknown network {name!r}, expected {', '.join(ROLES)} or {UNUSED}")
                parts.append((Part(name, ROLES.get(name), kind), state))
            found = re.match(r"(\d+)_nets", file.path.name)
            iteration = int(found[1]) if found else iteration
        if len({part.kind for part, _ in parts}) < len(files):
            raise UserError(
                f"{self.name}: found two files of one kind, expected one *_nets.ckpt and one *_nets_ema.ckpt"
            )
        states = {part.published: state for part, state in parts}
        domains = named(wishes, len(numbers(states["style_encoder"], "unshared.", ".weight")), DOMAINS)
        image_size = FINAL_SIDE * 2 ** len(numbers(states["style_encoder"], "shared.", ".conv1.weight"))
        if wishes.image_size not in (None, image_size):
            raise UserError(f"image_size: found {wishes.image_size}, but the file is for {image_size} px; leave it out")
        networks = _networks(states, image_size, len(domains), wishes.w_hpf)
        described = Weights(
            {},
            "stargan_v2",
            networks,
            image_size,
            arguments={"latent_size": networks["mapping"]["latent_size"]},
            domains=domains,
            iteration=iteration,
            data={"crop": "none"},  # published: pictures are squeezed to squares
        )
        return described, parts

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a shortcut of the decoder, which high-pass skip connections replace."""
        return node.get("w_hpf", 0) > 0 and re.fullmatch(r"decode\.\d+\.conv1x1\.weight", key) is not None

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the filter of w_hpf; the published file of CelebA-HQ does not hold it."""
        del node
        return key == "hpf.filter"

    def filled(self, node: Node, state: State) -> State:
        """Return the shortcuts that nothing reads, as zeros."""
        if not node.get("w_hpf", 0) > 0:
            return {}
        found = {}
        for number in numbers(state, "decode.", ".conv1.weight"):
            weight = state[f"decode.{number}.conv1.weight"]
            if weight.shape[0] != weight.shape[1]:
                found[f"decode.{number}.conv1x1.weight"] = constant((*weight.shape[:2], 1, 1), like=weight)
        return found

    def parts(self, weights: Weights) -> list[tuple[str, Part]]:
        """Return a file of averages, and one of trained networks where the discriminator is among them."""
        kept = {name for name, role in ROLES.items() if role in weights.networks}
        found: list[tuple[str, Part]] = []
        for kind, ending in ((AVERAGE, "nets_ema"), (NETWORK, "nets")):
            file = f"{weights.iteration or 0:06d}_{ending}.ckpt"
            names = [n for n in ROLES if n in kept and weights.part(kind, ROLES[n])]
            if set(names) >= NEEDED:
                found += [(file, Part(name, ROLES[name], kind)) for name in names]
                if weights.part(EXTRA, kind, UNUSED):
                    found.append((file, Part(UNUSED, None, kind)))
        return found


def _networks(states: dict[str, State], image_size: int, num_domains: int, wished: float | None) -> dict[str, Node]:
    """Return our networks of the published shapes."""
    generator, mapping, encoder = (states[name] for name in ("generator", "mapping_network", "style_encoder"))
    style_size = encoder["unshared.0.weight"].shape[0]
    w_hpf, num_bottleneck = _depth(generator, image_size, wished)
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
    if w_hpf > 0:
        networks["masks"] = {"name": "face_oval"}  # the published masks come from the landmark network
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


def _depth(generator: State, image_size: int, wished: float | None) -> tuple[float, int]:
    """Return w_hpf and the number of bottleneck blocks, of which only the sum of blocks is in the file."""
    blocks = len(numbers(generator, "encode.", ".conv1.weight")) - int(math.log2(image_size)) + 4
    if "hpf.filter" in generator:
        w_hpf = float(f"{8 / generator['hpf.filter'][1, 1].item():.6g}")
        if wished not in (None, w_hpf):
            raise UserError(f"w_hpf: found {wished:g}, but the file's filter is that of {w_hpf:g}; leave it out")
    elif wished is not None:
        w_hpf = wished
    else:
        w_hpf = 1.0 if blocks == NUM_BOTTLENECK + 1 else 0.0
    num_bottleneck = blocks - (w_hpf > 0)
    if num_bottleneck < 1:
        raise UserError(f"w_hpf: the generator has too few blocks for {image_size} px and w_hpf {w_hpf:g}")
    return w_hpf, num_bottleneck


def _widest(state: State, start: str) -> int:
    """Return the greatest number of channels that a block gives."""
    return max(t.shape[0] for key, t in state.items() if key.startswith(start) and key.endswith(".conv2.weight"))
