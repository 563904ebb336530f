"""The official layout of StarGAN v1: a file per network, `200000-G.ckpt` and `200000-D.ckpt`.

The generator's instance norms have running statistics. The official program updates but never reads them, since it
translates in training mode; in evaluation mode they would break the images. They are kept as extra tensors. A file
contains the number of labels, not their names: 5 are the official attributes of CelebA, 8 the expressions of RaFD, and
15 planes (5 + 8, and a mask of 2) are both jointly. The user names any other labels, and says how many labels each of
several joint data sets has. Those with attributes come first.
"""

import re
from collections.abc import Sequence
from itertools import accumulate

import torch

from translate.data.datasets.celeba import STARGAN_V1_ATTRIBUTES
from translate.data.datasets.rafd import EXPRESSIONS
from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.sizes import ImageSize, SizeLike
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import (
    STATISTICS,
    ImportOptions,
    Layout,
    TensorGroup,
    constant,
    domain_names,
    numbers,
)

IMAGE_SIZE = 128  # official, if no discriminator determines it
ROLES = {"G": "generator", "D": "discriminator"}
FIRST_KERNEL = 7  # of the generator
OFFICIAL_PAIR = (len(STARGAN_V1_ATTRIBUTES), len(EXPRESSIONS))
"""The numbers of labels of the data sets that the paper joins."""


class StarGANv1Layout(Layout):
    """yunjey/stargan."""

    name = "yunjey/stargan"
    models = ("stargan_v1",)
    facts = ("domains", "labels", "num_attributes", "label_counts", "image_size")

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
    """Return the label sets, each a kind and names, of a generator with ``planes`` input planes beside the image.

    Beside the labels of several data sets the generator has a plane for each of them. The discriminator has none.
    """
    num_sets = _num_sets(planes, options)
    if discriminator is not None:
        of_file = max(1, planes - discriminator["conv2.weight"].shape[0])
        if options.label_counts is not None and of_file != len(options.label_counts):
            expected = f"{of_file} numbers, one for each data set of the file"
            raise UserError(key="label_counts", found=list(options.label_counts), expected=expected)
        num_sets = of_file
    joint = num_sets > 1
    if joint != (options.labels == "joint") and options.labels is not None:
        are = f"of {_in_words(num_sets)} data sets" if joint else "of one data set"
        fix = "labels=joint" if joint else "labels=attributes or labels=domain"
        raise UserError(f"the labels of the file are {are}", key="labels", found=options.labels, fix=fix)
    if joint:
        return _joint_sets(planes - num_sets, num_sets, options)
    for key in ("num_attributes", "label_counts"):
        if getattr(options, key) is not None:
            raise UserError("the labels are of one data set", key=key, fix="leave it out, or labels=joint")
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


def _num_sets(planes: int, options: ImportOptions) -> int:
    """Return the number of label sets as the user or, for the official file, the number of planes says."""
    if options.label_counts is not None and options.labels in (None, "joint"):
        return len(options.label_counts)
    if options.labels == "joint" or (options.labels is None and planes == sum(OFFICIAL_PAIR) + 2):
        return 2
    return 1


def _in_words(number: int) -> str:
    return {2: "two", 3: "three"}.get(number, str(number))


def _joint_sets(num_labels: int, num_sets: int, options: ImportOptions) -> list[Node]:
    """Return the label sets of a generator that was trained on several data sets together, attributes first."""
    official = num_labels == sum(OFFICIAL_PAIR) and num_sets == 2
    counts = _counts(num_labels, num_sets, options)
    if options.domains is None and not official:
        raise _unknown_sets("domains", num_labels, num_sets)
    what = f"labels of {_in_words(num_sets)} data sets"
    names = domain_names(options, num_labels, {sum(OFFICIAL_PAIR): (*STARGAN_V1_ATTRIBUTES, *EXPRESSIONS)}, what)
    ends = list(accumulate(counts))
    attributes = counts[0] if options.num_attributes is None else options.num_attributes
    if attributes not in ends:
        expected = f"one of {', '.join(map(str, ends))}, where a data set of label_counts ends"
        raise UserError(key="num_attributes", found=attributes, expected=expected)
    return [
        {"kind": "attributes" if end <= attributes else "classes", "names": list(names[end - count : end])}
        for end, count in zip(ends, counts, strict=True)
    ]


def _counts(num_labels: int, num_sets: int, options: ImportOptions) -> tuple[int, ...]:
    """Return the number of labels of each data set; UserError for numbers that do not fit the file."""
    if options.label_counts is not None:
        if sum(options.label_counts) != num_labels or min(options.label_counts) < 1:
            expected = f"numbers that add up to {num_labels}, the labels of the file"
            raise UserError(key="label_counts", found=list(options.label_counts), expected=expected)
        return options.label_counts
    if num_sets > 2:
        raise _unknown_sets("label_counts", num_labels, num_sets)
    first = options.num_attributes
    if first is None:
        if num_labels != sum(OFFICIAL_PAIR):
            raise _unknown_sets("domains" if options.domains is None else "num_attributes", num_labels, num_sets)
        return OFFICIAL_PAIR
    if not 0 < first < num_labels:
        raise UserError(
            key="num_attributes", found=first, expected=f"1 to {num_labels - 1}: {num_labels} labels in all"
        )
    return first, num_labels - first


def _unknown_sets(key: str, num_labels: int, num_sets: int) -> UserError:
    """Return the error of a file whose labels have neither names nor, as the official ones, known numbers."""
    counts = "label_counts=[N,...]" if num_sets > 2 else "num_attributes=N"
    return UserError(
        f"the file joins {_in_words(num_sets)} data sets with {num_labels} labels together",
        key=key,
        expected="the names of all labels, and how many each data set has; attributes come first",
        fix=f"labels=joint {counts} domains=[NAME,...]",
    )
