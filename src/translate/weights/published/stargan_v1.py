"""The layout of StarGAN v1 as published: a file a network, `200000-G.ckpt` and `200000-D.ckpt`.

The generator's instance norms carry running statistics, which the published program collects and never reads, since it
translates in training mode; read in evaluation mode they break the images. They are kept as extra tensors. Of the
labels a file says only how many there are: 5 are the published attributes of CelebA, 8 the expressions of RaFD, and 15
planes (5 + 8, and a mask of 2) both jointly; anything else the user names.
"""

import re
from collections.abc import Sequence

import torch

from translate.errors import UserError
from translate.weights.format import AVERAGE, NETWORK, Node, Weights
from translate.weights.published.files import BARE, PublishedFile, State
from translate.weights.published.layout import ImportOptions, Layout, Part, constant, named, numbers

CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
IMAGE_SIZE = 128  # published, where no discriminator tells
ROLES = {"G": "generator", "D": "discriminator"}
FIRST_KERNEL = 7  # of the generator
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class StarGANv1Layout(Layout):
    """yunjey/stargan."""

    name = "yunjey/stargan"
    models = ("stargan_v1",)

    def fits(self, files: Sequence[PublishedFile]) -> bool:
        """Return whether each file holds one of the two networks."""
        return all(_which(file) is not None for file in files)

    def describe(
        self, files: Sequence[PublishedFile], wishes: ImportOptions
    ) -> tuple[Weights, list[tuple[Part, State]]]:
        """Return the weights without tensors, and whose the tensors are."""
        states: dict[str, State] = {}
        iteration = None
        for file in files:
            name = _which(file)
            assert name is not None, file.path  # `fits` has seen to it
            if name in states:
                raise UserError(f"{file.path}: the network {name} is given twice, expected one file of each")
            states[name] = file.networks[BARE]
            found = re.match(r"(\d+)-[GD]\b", file.path.name)
            iteration = int(found[1]) if found else iteration
        if "G" not in states:
            raise UserError(f"{files[0].path}: this is the discriminator; name the generator's file too: weights=G,D")
        generator = states["G"]
        first = generator["main.0.weight"]
        planes = first.shape[1] - 3
        label_sets = _label_sets(planes, states.get("D"), wishes)
        num_labels = sum(len(labels["names"]) for labels in label_sets)
        networks: dict[str, Node] = {
            "generator": {
                "name": "stargan_v1_generator",
                "num_labels": num_labels,
                "num_sets": len(label_sets),
                "base_width": first.shape[0],
                "num_blocks": len(numbers(generator, "main.", ".main.0.weight")),
            }
        }
        image_size = wishes.image_size or IMAGE_SIZE
        if "D" in states:
            networks["discriminator"], found_size = _discriminator(states["D"], num_labels)
            if wishes.image_size not in (None, found_size):
                raise UserError(f"image_size: found {wishes.image_size}, but the discriminator is for {found_size} px")
            image_size = found_size
        described = Weights(
            {},
            "stargan_v1",
            networks,
            image_size,
            arguments={"label_sets": label_sets},
            domains=tuple(label_sets[0]["names"]) if [s["kind"] for s in label_sets] == ["classes"] else (),
            label_sets=tuple(label_sets),
            iteration=iteration,
            data={"crop": "square"},
        )
        return described, [(Part(name, ROLES[name]), state) for name, state in states.items()]

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm, which nothing reads."""
        return node["name"] == "stargan_v1_generator" and key.endswith(STATISTICS)

    def filled(self, node: Node, state: State) -> State:
        """Return running statistics as they begin: the published program wants to find them, and does not read them."""
        found: State = {}
        if node["name"] != "stargan_v1_generator":
            return found
        for key in [key for key in state if key.endswith(".bias")]:  # convolutions have none
            norm = key.removesuffix("bias")
            found[f"{norm}running_mean"] = constant(state[key].shape, like=state[key])
            found[f"{norm}running_var"] = constant(state[key].shape, 1.0, like=state[key])
            found[f"{norm}num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        return found

    def parts(self, weights: Weights) -> list[tuple[str, Part]]:
        """Return a file for each network that is there."""
        return [
            (
                f"{weights.iteration or 0}-{name}.ckpt",
                Part(name, role, AVERAGE if role in weights.averaged else NETWORK),
            )
            for name, role in ROLES.items()
            if role in weights.networks and weights.learned(role)
        ]


def _which(file: PublishedFile) -> str | None:
    """Return which network a file holds, by names that no other layout has."""
    state = file.networks.get(BARE, {})
    first = state.get("main.0.weight")
    if first is None or first.ndim != 4:
        return None
    if {"conv1.weight", "conv2.weight"} <= state.keys():
        return "D"
    return "G" if first.shape[2] == FIRST_KERNEL and "main.1.weight" in state else None


def _discriminator(state: State, num_labels: int) -> tuple[Node, int]:
    """Return the discriminator and the image size, which its last kernel tells."""
    num_layers = len(numbers(state, "main.", ".weight"))
    image_size = state["conv2.weight"].shape[2] * 2**num_layers
    node = {
        "name": "stargan_v1_discriminator",
        "image_size": image_size,
        "num_labels": num_labels,
        "base_width": state["main.0.weight"].shape[0],
        "num_layers": num_layers,
    }
    return node, image_size


def _label_sets(planes: int, discriminator: State | None, wishes: ImportOptions) -> list[Node]:
    """Return the label sets, each a kind and names, of so many planes beside the image."""
    joint = planes == len(CELEBA) + len(RAFD) + 2
    if discriminator is not None:
        joint = discriminator["conv2.weight"].shape[0] == planes - 2
    if joint:
        if planes != len(CELEBA) + len(RAFD) + 2 or wishes.domains is not None or wishes.labels is not None:
            raise UserError(
                f"labels: the file joins two data sets with {planes - 2} labels together; only the published pair is "
                "known, 5 attributes of CelebA and 8 expressions of RaFD, and it takes neither domains nor labels"
            )
        return [{"kind": "attributes", "names": list(CELEBA)}, {"kind": "classes", "names": list(RAFD)}]
    if wishes.domains is None and planes not in (len(CELEBA), len(RAFD)):
        raise UserError(
            f"domains: the file has {planes} labels; name them by domains=[...], with labels=attributes or domain"
        )
    by_count = "attributes" if planes == len(CELEBA) and wishes.domains is None else "classes"
    kind = {"attributes": "attributes", "domain": "classes", None: by_count}[wishes.labels]
    return [{"kind": kind, "names": list(named(wishes, planes, {5: CELEBA, 8: RAFD}, "labels"))}]
