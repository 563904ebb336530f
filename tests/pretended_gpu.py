"""Tensors that claim to be on a GPU, while their numbers are on the CPU: a machine without a GPU finds mixed devices.

Within `Pretending`, tensors that are asked for on "cuda:0" are `Pretended`. An operation on tensors of both devices
raises `MixedDevices`, as a GPU would. Numbers are those of the CPU, with gradients. Modes are of one thread, so what
other threads do is not seen.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
COPIES = ("aten::_to_copy", "aten::copy_")  # from one device to the other
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_")  # with indices that may be on the CPU
FUSED = ("aten::_fused_adam_", "aten::_fused_adamw_", "aten::_fused_sgd_")  # with numbers that must be on the GPU too


class MixedDevices(RuntimeError):
    """An operation has tensors of both devices."""


class Pretended(Tensor):
    """A tensor of the CPU that claims to be on the GPU. To torch's own code it is on the device "meta"."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Pretended":
        """Claim the shape, the strides and the type of a tensor."""
        made: Pretended = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device="meta"
        )
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Return the device that the tensor claims."""
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """Return the same in another way."""
        return True

    def new_tensor(self, data: Any, **options: Any) -> Tensor:  # type: ignore[override]
        """Return a tensor of numbers on the GPU."""
        return Pretended(self.inner.new_tensor(data, **options))

    def tolist(self) -> Any:
        """Return the numbers."""
        return self.inner.tolist()

    def numpy(self, **_: Any) -> Any:  # type: ignore[override]
        """Refuse, as for a tensor of a GPU."""
        raise MixedDevices("a tensor of the GPU has no array")

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Pretended({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, inputs: Any = (), named: Any = None) -> Any:
        """Run an operation on the CPU."""
        return _run(function, inputs, named or {})


class Pretending(TorchDispatchMode):
    """Make tensors that are asked for on the GPU, of numbers or of tensors of the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE  # so that torch looks for no driver

    def __torch_dispatch__(self, function: Any, types: Any, inputs: Any = (), named: Any = None) -> Any:
        """Run an operation on the CPU."""
        return _run(function, inputs, named or {})


def _run(function: Any, inputs: Any, named: dict[str, Any]) -> Any:
    """Run an operation on the CPU; its results claim the device on which they would be."""
    name = function._schema.name
    tensors = [leaf for leaf in tree_leaves((inputs, named)) if isinstance(leaf, Tensor)]
    pretended = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    if pretended and name not in COPIES:
        together = inputs[::2] if name in INDEXING else (inputs, named)
        for tensor in tree_leaves(together):
            on_cpu = isinstance(tensor, Tensor) and not isinstance(tensor, Pretended)
            if on_cpu and (tensor.dim() or name in FUSED):  # a number of no dimension goes with the others
                raise MixedDevices(f"{name} has tensors of the GPU, and one of the CPU: {tuple(tensor.shape)}")
    on_gpu = bool(pretended)
    if (asked := named.get("device")) is not None:
        on_gpu = torch.device(asked).type in (GPU.type, "meta")
        named = {**named, "device": torch.device("cpu")}
    elif name == "aten::copy_":
        on_gpu = isinstance(inputs[0], Pretended)
    outputs = function(*_inner(inputs), **_inner(named))
    known = {id(tensor.inner): tensor for tensor in pretended}  # an operation in place returns its own tensor

    def claimed(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not on_gpu:
            return leaf
        return known[id(leaf)] if id(leaf) in known else Pretended(leaf)

    return tree_map(claimed, outputs)


def _inner(values: Any) -> Any:
    return tree_map(lambda leaf: leaf.inner if isinstance(leaf, Pretended) else leaf, values)


def moved(values: Any) -> Any:
    """Return a structure whose tensors claim to be on the GPU."""
    return tree_map(lambda leaf: Pretended(leaf.detach()) if isinstance(leaf, Tensor) else leaf, values)


def move_module(module: nn.Module) -> dict[nn.Parameter, nn.Parameter]:
    """Let the parameters and buffers of a module claim to be on the GPU; return the new parameters by the old ones."""
    known: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                if parameter not in known:
                    known[parameter] = nn.Parameter(Pretended(parameter.detach()), parameter.requires_grad)
                part._parameters[name] = known[parameter]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = Pretended(buffer)
    if hasattr(module, "_device"):
        module._device = GPU  # of Lightning's modules
    return known
