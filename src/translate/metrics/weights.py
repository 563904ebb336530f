"""The released weight files that metrics read: their names, addresses and SHA-256.

Nothing here opens a connection. `translate.evaluation.pretrained` finds a file or fetches it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.files.reading import require_file


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights as it is released."""

    file: str
    urls: tuple[str, ...]
    sha256: str  # all digits, or the first ones, which the file name repeats
    about: str
    package: str = ""  # beside torch and torchvision, that builds the network
    extra: str = ""  # of this package, that installs the library


FILES: dict[str, WeightsFile] = {
    "inception_torchvision": WeightsFile(
        "inception_v3_google-0cc3c7bd.pth",
        ("https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",),
        "0cc3c7bd",
        "torchvision's Inception-v3, trained on ImageNet",
    ),
    "inception_fid": WeightsFile(
        "pt_inception-2015-12-05-6726825d.pth",
        (
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        ),
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "the Inception weights of the official FID code, converted from TensorFlow",
        package="torch_fidelity",
        extra="metrics",
    ),
    "alexnet": WeightsFile(
        "alexnet-owt-7be5be79.pth",
        ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
        "7be5be79",
        "torchvision's AlexNet, trained on ImageNet",
    ),
}
"""The files by the names that metrics use."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file of weights, on the CPU, without executing code; UserError for any other file."""
    require_file(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the reader
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"not a readable file of weights ({reason})", key=str(path), fix="get the file again"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(key=str(path), found=Phrase("no tensors by name"), expected="a file of weights (a state dict)")
    return content
