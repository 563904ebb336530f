"""Whether a network in the header of a file has the tensors of the file, found out before memory is allocated.

A file can come from anybody. Its header may describe a network of 10^9 layers, or of 10^7 channels, beside tensors of a
few bytes. The network is built without memory, on torch's device "meta", and no further than the tensors of the file
reach.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as registration

from translate.errors import Phrase, UserError

SPARE_TENSORS = 200
"""Tensors that a network may have beside those of its file: constants that are not saved."""

MODULES_PER_TENSOR = 20


class _TooLarge(Exception):
    """A network has more tensors or modules than its file can fill."""


def check(cls: Callable[..., Any], arguments: Mapping[str, Any], state: Mapping[str, Tensor], role: str) -> None:
    """Raise UserError unless a network of ``cls`` has the names and shapes of the tensors in ``state``."""
    try:
        with _at_most(len(state)), torch.device("meta"):
            own: dict[str, Tensor] = cls(**arguments).state_dict()
    except _TooLarge:
        raise UserError(
            f"the header describes a larger network than the file has tensors for the role {role!r}",
            key=f"networks.{role}",
            found=Phrase(f"more than {len(state)} tensors"),
            expected=f"{len(state)}",
        ) from None
    if missing := sorted(own.keys() - state.keys()):
        raise _misfit(role, f"{missing[0]} is missing")
    if unknown := sorted(state.keys() - own.keys()):
        raise _misfit(role, f"the network has no {unknown[0]}")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise _misfit(role, f"{name} has the shape {_shape(state[name])}, the network's has {_shape(tensor)}")
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise _misfit(role, f"{name} has the type {_type(state[name])}, the network's has {_type(tensor)}")


def check_finite(state: Mapping[str, Tensor], role: str) -> None:
    """Raise UserError for a tensor with a value that is NaN or infinite: every translation would be too."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"the weights of {role!r} are damaged: {name} has values that are not finite")


def _misfit(role: str, reason: str) -> UserError:
    return UserError(f"the weights of {role!r} do not fit its network ({reason})")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "of a number"


@contextmanager
def _at_most(num_tensors: int) -> Iterator[None]:
    """Raise _TooLarge where this thread registers more tensors or modules than a file of ``num_tensors`` can fill."""
    limits = {"tensors": num_tensors + SPARE_TENSORS, "modules": MODULES_PER_TENSOR * (num_tensors + SPARE_TENSORS)}
    counts = dict.fromkeys(limits, 0)
    thread = threading.get_ident()

    def count(kind: str) -> None:
        if threading.get_ident() == thread:
            counts[kind] += 1
            if counts[kind] > limits[kind]:
                raise _TooLarge

    handles = [
        registration.register_module_parameter_registration_hook(lambda *_: count("tensors")),
        registration.register_module_buffer_registration_hook(lambda *_: count("tensors")),
        registration.register_module_module_registration_hook(lambda *_: count("modules")),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
