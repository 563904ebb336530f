"""The parts of an update of some roles, found once: parameters to train and to freeze, and spectral norms.

A walk through the modules of a network takes as long as tens of operations, and each update needs several. Networks
have all layers before the first update: an optimizer takes its parameters then, and never others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from translate.distributed.batch_norm import is_synchronized
from translate.models.roles import owner_of, owners_of
from translate.networks.layers.spectral import has_spectral_norms


@dataclass(frozen=True)
class UpdateParts:
    """What an update of some roles, or of parts of roles such as ``encoder.2``, trains, freezes and advances."""

    named: dict[str, nn.Parameter]
    """The parameters of the roles, by role and name, also those that require no gradient."""
    others: tuple[nn.Parameter, ...]
    """The other parameters of all trained roles."""
    spectral: tuple[nn.Module, ...]
    """The networks of the roles that have spectral norms."""
    owners: tuple[str, ...]
    """The roles to which the roles and parts belong."""

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters of `named` that require gradients now."""
        return {name: p for name, p in self.named.items() if p.requires_grad}


class PartsOfUpdates:
    """Finds the parts of each update once, and again where a role has another network than before."""

    def __init__(self) -> None:
        self._networks: dict[str, nn.Module] = {}
        self._parts: dict[tuple[str, ...], UpdateParts] = {}
        self._are_synchronized: bool | None = None

    def of(self, networks: dict[str, nn.Module], roles: tuple[str, ...], trained: Sequence[str]) -> UpdateParts:
        """Return the parts of an update of ``roles``; ``networks`` has all roles, ``trained`` are the trained ones."""
        self._forget_others(networks)
        if roles not in self._parts:
            self._parts[roles] = _find(networks, roles, trained)
        return self._parts[roles]

    def are_synchronized(self, networks: dict[str, nn.Module]) -> bool:
        """Return whether a network has batch norms that use the statistics of the global batch."""
        self._forget_others(networks)
        if self._are_synchronized is None:
            self._are_synchronized = any(map(is_synchronized, networks.values()))
        return self._are_synchronized

    def _forget_others(self, networks: dict[str, nn.Module]) -> None:
        """Forget what was found in other networks."""
        if networks != self._networks:  # modules are compared by identity
            self._networks, self._are_synchronized = dict(networks), None
            self._parts.clear()


def _find(networks: Mapping[str, nn.Module], roles: tuple[str, ...], trained: Sequence[str]) -> UpdateParts:
    chosen = {role: networks[owner_of(role)].get_submodule(role.partition(".")[2]) for role in roles}
    named = {f"{role}.{name}": p for role, network in chosen.items() for name, p in network.named_parameters()}
    own = {id(p) for p in named.values()}
    others = tuple(p for role in trained for p in networks[role].parameters() if id(p) not in own)
    spectral = tuple(network for network in chosen.values() if has_spectral_norms(network))
    return UpdateParts(named, others, spectral, owners_of(roles))
