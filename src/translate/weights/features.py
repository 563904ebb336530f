"""Open a file of VGG's weights as a network of features, whose depth, width and preprocessing follow from the file."""

from collections.abc import Sequence

from torch import Tensor

from translate.errors import Phrase, UserError
from translate.files.writing import sha256_of
from translate.networks.shipped_files import names, path_of
from translate.networks.vgg import Pooling, Preprocessing, VGGFeatures
from translate.weights import pretrained
from translate.weights.published.files import State, read_network

FIRST = {"caffe": "conv1_1.weight", "torchvision": "features.0.weight"}
"""The first tensor of a file with either kind of names; such files have that preprocessing."""

SOURCES = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


def open_vgg(
    weights: str,
    layers: Sequence[str],
    pooling: Pooling = "max",
    preprocessing: Preprocessing | None = None,
    key: str = "features",
) -> VGGFeatures:
    """Return the network of a file of VGG16 or VGG19, with its digest as ``sha256``.

    ``preprocessing`` None is "caffe" for a file with the names of Caffe's layers, else "torchvision". UserError, with
    ``key``, for a file that is missing, damaged, or of another network.
    """
    path = path_of(weights)
    if not path.is_file():
        fix = f"name a file such as {SOURCES}, or one that ships: {', '.join(names())}"
        raise UserError("there is no such file", key=key, found=weights, fix=fix)
    try:
        state = read_network(path, VGGFeatures.file_keys)
        kind = next((kind for kind, first in FIRST.items() if first in state), None)
        if kind is None:
            found = Phrase(f"the tensors {', '.join(list(state)[:3])}")
            raise UserError("the file is not of VGG", found=found, expected=" or ".join(FIRST.values()))
        network = VGGFeatures(
            layers,
            weights=str(weights),
            sha256=sha256_of(path),
            depth=19 if _has_depth_19(state, kind) else 16,
            preprocessing=preprocessing or ("caffe" if kind == "caffe" else "torchvision"),
            pooling=pooling,
            base_width=state[FIRST[kind]].shape[0],
        )
        pretrained.load(network)
    except UserError as error:
        raise error.inside(key) from error
    return network


def _has_depth_19(state: State, kind: str) -> bool:
    """Return whether the third stage has a fourth convolution."""
    key = "conv3_4.weight" if kind == "caffe" else "features.16.weight"  # a pooling of VGG16
    return isinstance(state.get(key), Tensor)
