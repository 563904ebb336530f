"""Exponential moving averages of networks."""

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """Moving averages of named networks, always in eval mode, updated in place by one fused operation.

    ``decay`` is the share of the old average that an update keeps (StarGAN v2: 0.999 an iteration). Parameters are
    averaged; buffers are copied. An averaged network is read by role, ``averaged["generator"](x, style)``, and is
    never swapped with the trained one.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.networks = nn.ModuleDict({role: copy.deepcopy(network) for role, network in networks.items()})
        self.requires_grad_(False)
        self.eval()

    def __getitem__(self, role: str) -> nn.Module:
        """Return the averaged network of a role."""
        return self.networks[role]

    def __contains__(self, role: str) -> bool:
        return role in self.networks

    def train(self, mode: bool = True) -> "EMA":
        """Stay in eval mode whatever is asked: an average is never trained."""
        return super().train(False)

    @torch.no_grad()
    def update(self, networks: dict[str, nn.Module]) -> None:
        """Move every average towards its network by ``1 - decay``."""
        averages: list[torch.Tensor] = []
        currents: list[torch.Tensor] = []
        for role, average in self.networks.items():
            averages += list(average.parameters())
            currents += list(networks[role].parameters())
            for kept, current in zip(average.buffers(), networks[role].buffers(), strict=True):
                kept.copy_(current)
        if averages:
            torch._foreach_lerp_(averages, currents, 1 - self.decay)
