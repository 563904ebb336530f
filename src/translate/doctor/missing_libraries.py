"""Libraries that a command needs and that the installation lacks: one sentence with the extra that adds them.

The package itself depends on the libraries of inference; training has the extra ``train``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from translate.errors import UserError

DISTRIBUTION = "translate-gan"
TRAINING = frozenset(
    {
        *("hydra", "omegaconf", "antlr4", "pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision"),
        "greenlet",
    }
)
"""Modules of the extra ``train``."""

INFERENCE = frozenset({"torch", "numpy", "PIL", "safetensors", "filelock", "tqdm", "yaml"})
"""Modules on which the package itself depends."""


def missing(error: ModuleNotFoundError) -> UserError | None:
    """Return the sentence about a module that is not installed; None for a module that no part of the package needs."""
    module = (error.name or "").partition(".")[0]
    if module in TRAINING:
        fix = f"pip install '{DISTRIBUTION}[train]'"
        return UserError(f"{module} is not installed, a library of training", fix=fix)
    if module in INFERENCE:
        return UserError(f"{module} is not installed, a library of the package", fix=f"pip install {DISTRIBUTION}")
    return None


@contextmanager
def required() -> Iterator[None]:
    """Turn an error about a missing library of the package into a UserError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (problem := missing(error)) is None:
            raise
        raise problem from error
