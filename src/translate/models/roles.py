"""Roles of networks, and their parts such as ``encoder.2``, the network of domain 2."""

from collections.abc import Iterable, Mapping

from torch import nn

from translate.errors import UserError


def owner_of(role: str) -> str:
    """Return the role to which a part belongs; a role itself for a whole one.

    >>> owner_of("encoder.2"), owner_of("encoder")
    ('encoder', 'encoder')
    """
    return role.partition(".")[0]


def owners_of(roles: Iterable[str]) -> tuple[str, ...]:
    """Return the roles to which roles and parts belong, each once.

    >>> owners_of(["encoder.2", "encoder.0", "decoder"])
    ('encoder', 'decoder')
    """
    return tuple(dict.fromkeys(map(owner_of, roles)))


def check_roles_share_no_parameter(networks: Mapping[str, nn.Module]) -> None:
    """Raise UserError if a parameter is in two trained roles: their optimizers would step it twice."""
    owners: dict[int, str] = {}
    for role, network in networks.items():
        for name, parameter in network.named_parameters():
            owner = owners.setdefault(id(parameter), role)
            if owner != role:
                raise UserError(
                    f"the parameter {name} is in the trained role {owner!r} too, so two optimizers would step it",
                    key=f"networks.{role}",
                    fix="make the layers that networks share a role of their own",
                )
