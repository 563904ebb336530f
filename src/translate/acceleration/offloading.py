"""Keep the networks of domains that are not used in CPU memory, with their moments: device memory is independent of n.

A role with a network for each domain (`PerDomain`) has at most two of them on the device: those that ran last, which
are the two of an iteration. A network moves to the device when it is called. It leaves when a third one is called.
Weights, buffers, moving averages and the state of the optimizer move together, by copies between the device and pinned
memory that the host does not wait for. Parameters stay the same objects, so optimizers and checkpoints do not notice.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.per_domain import PerDomain

CAPACITY = 2  # domains of an iteration
CPU = torch.device("cpu")
ENTER = "enter_device"  # the attribute of an offloaded network that has it on the device
State = Callable[[nn.Parameter], MutableMapping[str, Any]]
"""Return the optimizer's entries of a parameter, {} before its first step."""


class Residents:
    """The networks of one role, of which at most ``capacity`` are on the device.

    ``moves`` counts the networks that have moved to the device.
    """

    def __init__(self, networks: PerDomain, state: State, capacity: int = CAPACITY) -> None:
        self.networks = list(networks.children())
        self.state, self.capacity = state, capacity
        self.device = CPU
        self.resident: list[int] = []  # numbers of domains, the one that ran last at the end
        self.moves = 0
        self._homes: dict[tuple[int, str], Tensor] = {}  # CPU memory of what is on the device, by object and name
        self._left: torch.cuda.Event | None = None  # when the last copy to CPU memory has ended

    def use(self, number: int) -> None:
        """Have the network of a domain on the device, and let the one that ran longest ago leave for it."""
        if number in self.resident:
            self.resident.remove(number)
        else:
            while len(self.resident) >= self.capacity:
                self._leave(self.resident.pop(0))
            self._enter(number)
        self.resident.append(number)

    def place(self, device: torch.device) -> None:
        """Let all networks leave, and enter this device from now on."""
        self.leave()
        self.device = device
        if device.type == "cuda":
            for network in self.networks:
                for tensor in _tensors(network):
                    tensor.data = tensor.data.pin_memory()

    def leave(self) -> None:
        """Let all networks leave the device, and wait until they have."""
        while self.resident:
            self._leave(self.resident.pop())
        self.wait()

    def wait(self) -> None:
        """Wait until CPU memory has all that left the device."""
        if self._left is not None:
            self._left.synchronize()

    def _enter(self, number: int) -> None:
        self.moves += 1
        for tensor in _tensors(self.networks[number]):
            self._homes[id(tensor), ""] = tensor.data
            tensor.data = self._copied(tensor.data)
            for key, value in self._moments(tensor):
                self._homes[id(tensor), key] = value
                self.state(tensor)[key] = self._copied(value)  # type: ignore[arg-type]

    def _leave(self, number: int) -> None:
        for tensor in _tensors(self.networks[number]):
            tensor.grad = None
            tensor.data = self._home(id(tensor), "", tensor.data)
            for key, value in self._moments(tensor):
                self.state(tensor)[key] = self._home(id(tensor), key, value)  # type: ignore[arg-type]
        if self.device.type == "cuda":
            self._left = torch.cuda.Event()
            self._left.record()

    def _moments(self, tensor: Tensor) -> list[tuple[str, Tensor]]:
        entries: Mapping[str, Any] = self.state(tensor) if isinstance(tensor, nn.Parameter) else {}
        return [(key, value) for key, value in entries.items() if isinstance(value, Tensor)]

    def _copied(self, home: Tensor) -> Tensor:
        """Return a copy on the device with the same strides."""
        return torch.empty_like(home, device=self.device).copy_(home, non_blocking=True)

    def _home(self, owner: int, key: str, value: Tensor) -> Tensor:
        """Return the CPU memory of a value, with the value; a moment gets its memory at the end of its first stay."""
        home = self._homes.pop((owner, key), None)
        if home is None or home.shape != value.shape:
            home = torch.empty_like(value, device=CPU, pin_memory=self.device.type == "cuda")
        return home.copy_(value, non_blocking=True)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


class Offloaded(PerDomain):
    """Networks of a role that move to the device one by one, instead of together."""

    residents: Residents

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Change the networks in CPU memory; a change of device holds for those that are called from now on."""
        self.residents.leave()
        for network in self.children():
            network._apply(lambda tensor: fn(tensor).to(CPU), recurse)
        self.residents.place(fn(torch.empty(0)).device)
        return self


def offload(networks: PerDomain, state: State = lambda parameter: {}) -> Residents:
    """Keep the networks of a role in CPU memory but those that ran last; return the record of where they are."""
    residents = Residents(networks, state)
    for number, network in enumerate(networks.children()):
        network.register_forward_pre_hook(partial(_use, residents, number))
        object.__setattr__(network, ENTER, partial(residents.use, number))
    networks.__class__ = type(f"Offloaded{type(networks).__name__}", (Offloaded, type(networks)), {})
    object.__setattr__(networks, "residents", residents)
    networks.register_state_dict_pre_hook(lambda *_: residents.wait())
    return residents


def enter(network: nn.Module) -> None:
    """Have a network on the device that is about to be used without a call, if it is offloaded."""
    getattr(network, ENTER, lambda: None)()


def _use(residents: Residents, number: int, *_: Any) -> None:
    residents.use(number)


def offload_domains(
    networks: Mapping[str, nn.Module], averages: Mapping[str, nn.Module], state: Callable[[str], State]
) -> None:
    """Offload every role with a network for each domain, and the EMA of these; UserError if there is no such role.

    ``state`` returns the state of a role's optimizer.
    """
    for role, network in per_domain(networks).items():
        offload(network, state(role))
        if isinstance(average := averages.get(role), PerDomain):
            offload(average)


def per_domain(networks: Mapping[str, nn.Module]) -> dict[str, PerDomain]:
    """Return the roles that can be offloaded, which have a network for each domain; UserError if there is no such role.

    Of each, the networks of all but `CAPACITY` domains wait in CPU memory.
    """
    roles = {role: network for role, network in networks.items() if isinstance(network, PerDomain)}
    if not roles:
        raise UserError(
            "the model has no networks for each domain, so none can leave the device", key="offload_domains"
        )
    return roles
