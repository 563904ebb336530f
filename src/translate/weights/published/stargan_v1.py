"""The official layout of StarGAN v1: a file per network, `200000-G.ckpt` and `200000-D.ckpt`.

The generator's instance norms have running statistics. The official program updates but never reads them, since it
translates in training mode; in evaluation mode they would break the images. They are kept as extra tensors. A file
contains the number of labels, not their names: 5 are the official attributes of CelebA, 8 the expressions of RaFD, and
15 planes (5 + 8, and a mask of 2) are both jointly. The user names any other labels, and says how many joint ones are
attributes, which come first.
"""

import re
from collections.abc import Sequence

import torch

from translate.data.datasets.celeba import STARGAN_V1_ATTRIBUTES
from translate.data.datasets.rafd import EXPRESSIONS
from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.sizes import ImageSize, SizeLike
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, constant, domain_names, numbers

IMAGE_SIZE = 128  # official, if no discriminator determines it
ROLES = {"G": "generator", "D": "discriminator"}
FIRST_KERNEL = 7  # of the generator
JOINT = "labels of two data sets"
OFFICIAL_PAIR = (len(STARGAN_V1_ATTRIBUTES), len(EXPRESSIONS))
"""The numbers of labels of the data sets that the paper joins."""

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class StarGANv1Layout(Layout):
    """yunjey/stargan."""

    name = "yunjey/stargan"
    models = ("stargan_v1",)
    facts = ("domains", "labels", "num_attributes", "image_size")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether each file holds one of the two networks."""
        return all(_which(file) is not None for file in files)

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each group."""
        states: dict[str, State] = {}
        iteration = None
        for file in files:
            name = _which(file)
            assert name is not None, file.path  # `fits` has checked it
            if name in states:
                raise UserError(f"a second file of the network {name}", key=str(file.path), expected="one file of each")
            states[name] = file.networks[UNNAMED]
            match = re.match(r"(\d+)-[GD]\b", file.path.name)
            iteration = int(match[1]) if match else iteration
        if "G" not in states:
            raise UserError(
                "this is the discriminator", key=str(files[0].path), fix="name the generator's file too: weights=G,D"
            )
        generator = states["G"]
        first = generator["main.0.weight"]
        planes = first.shape[1] - 3
        label_sets = _label_sets(planes, states.get("D"), options)
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
        image_size: SizeLike = options.image_size or IMAGE_SIZE
        if "D" in states:
            networks["discriminator"], image_size = _discriminator(states["D"], num_labels)
            if options.image_size not in (None, image_size):
                raise UserError(
                    key="image_size",
                    found=options.image_size,
                    expected=f"{image_size}, the size of the discriminator",
                    fix="leave image_size out",
                )
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
        return described, [(TensorGroup(name, ROLES[name], NETWORK), state) for name, state in states.items()]

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm, which is never read."""
        return node["name"] == "stargan_v1_generator" and key.endswith(STATISTICS)

    def unused_tensors(self, node: Node, state: State) -> State:
        """Return initial running statistics: the official program loads them, and never reads them."""
        tensors: State = {}
        if node["name"] != "stargan_v1_generator":
            return tensors
        for key in [key for key in state if key.endswith(".bias")]:  # convolutions have none
            norm = key.removesuffix("bias")
            tensors[f"{norm}running_mean"] = constant(state[key].shape, like=state[key])
            tensors[f"{norm}running_var"] = constant(state[key].shape, 1.0, like=state[key])
            tensors[f"{norm}num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        return tensors

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return one file for each network of the weights."""
        return [
            (
                f"{weights.iteration or 0}-{name}.ckpt",
                TensorGroup(name, role, EMA if role in weights.ema_roles else NETWORK),
            )
            for name, role in ROLES.items()
            if role in weights.networks and weights.inference_state(role)
        ]


def _which(file: OfficialFile) -> str | None:
    """Return the network of a file, G or D, by names that no other layout has; None for any other file."""
    state = file.networks.get(UNNAMED, {})
    first = state.get("main.0.weight")
    if first is None or first.ndim != 4:
        return None
    if {"conv1.weight", "conv2.weight"} <= state.keys():
        return "D"
    return "G" if first.shape[2] == FIRST_KERNEL and "main.1.weight" in state else None


def _discriminator(state: State, num_labels: int) -> tuple[Node, SizeLike]:
    """Return the node of the discriminator and the image size, which follows from its last kernel."""
    num_layers = len(numbers(state, "main.", ".weight"))
    image_size = ImageSize(*state["conv2.weight"].shape[2:]).each(lambda side: side * 2**num_layers).plain
    node = {
        "name": "stargan_v1_discriminator",
        "image_size": image_size,
        "num_labels": num_labels,
        "base_width": state["main.0.weight"].shape[0],
        "num_layers": num_layers,
    }
    return node, image_size


def _label_sets(planes: int, discriminator: State | None, options: ImportOptions) -> list[Node]:
    """Return the label sets, each a kind and names, of a generator with ``planes`` input planes beside the image."""
    joint = options.labels == "joint" or (options.labels is None and planes == sum(OFFICIAL_PAIR) + 2)
    if discriminator is not None:
        joint = discriminator["conv2.weight"].shape[0] == planes - 2
    if joint != (options.labels == "joint") and options.labels is not None:
        are = "of two data sets" if joint else "of one data set"
        fix = "labels=joint" if joint else "labels=attributes or labels=domain"
        raise UserError(f"the labels of the file are {are}", key="labels", found=options.labels, fix=fix)
    if joint:
        return _joint_sets(planes - 2, options)
    if options.num_attributes is not None:
        raise UserError("the labels are of one data set", key="num_attributes", fix="leave it out, or labels=joint")
    if options.domains is None and planes not in OFFICIAL_PAIR:
        raise UserError(
            key="domains",
            found=Phrase(f"a file with {planes} labels and no names"),
            expected="a name for each label",
            fix="domains=[NAME,...] with labels=attributes, labels=domain or labels=joint",
        )
    by_count = "attributes" if planes == len(STARGAN_V1_ATTRIBUTES) and options.domains is None else "classes"
    kind = {"attributes": "attributes", "domain": "classes", None: by_count}[options.labels]
    return [
        {
            "kind": kind,
            "names": list(domain_names(options, planes, {5: STARGAN_V1_ATTRIBUTES, 8: EXPRESSIONS}, "labels")),
        }
    ]


def _joint_sets(num_labels: int, options: ImportOptions) -> list[Node]:
    """Return attributes, and the classes of another data set, of a generator that was trained on both together."""
    official = num_labels == sum(OFFICIAL_PAIR)
    if not official and (options.domains is None or options.num_attributes is None):
        missing = "num_attributes" if options.domains is not None else "domains"
        raise UserError(
            f"the file joins two data sets with {num_labels} labels together",
            key=missing,
            expected="the names of all labels, and how many of them are attributes; they come first",
            fix="labels=joint num_attributes=N domains=[NAME,...]",
        )
    names = domain_names(options, num_labels, {sum(OFFICIAL_PAIR): (*STARGAN_V1_ATTRIBUTES, *EXPRESSIONS)}, JOINT)
    count = OFFICIAL_PAIR[0] if options.num_attributes is None else options.num_attributes
    if not 0 < count < num_labels:
        raise UserError(
            key="num_attributes", found=count, expected=f"1 to {num_labels - 1}: {num_labels} labels in all"
        )
    return [
        {"kind": "attributes", "names": list(names[:count])},
        {"kind": "classes", "names": list(names[count:])},
    ]
