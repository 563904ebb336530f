"""Exponential moving averages (EMA) of networks."""

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """Moving averages of networks by role, always in eval mode, updated in place by one fused operation.

    ``w_ema <- decay w_ema + (1 - decay) w`` for each parameter; buffers are copied. ``decay`` is 0.999 an iteration in
    StarGAN v2. An EMA network is read by role, ``ema["generator"](x, style)``, and never swapped with the trained one.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.networks = nn.ModuleDict({role: copy.deepcopy(network) for role, network in networks.items()})
        self.requires_grad_(False)
        self.eval()

    def __getitem__(self, role: str) -> nn.Module:
        """Return the EMA network of a role."""
        return self.networks[role]

    def __contains__(self, role: str) -> bool:
        return role in self.networks

    def train(self, mode: bool = True) -> "EMA":
        """Stay in eval mode: an average is never trained."""
        return super().train(False)

    @torch.no_grad()
    def update(self, networks: dict[str, nn.Module]) -> None:
        """Move averages towards the trained networks of their roles, or of parts of roles such as ``encoder.2``."""
        averages: list[torch.Tensor] = []
        trained: list[torch.Tensor] = []
        for role, network in networks.items():
            average = self.networks.get_submodule(role)
            averages += list(average.parameters())
            trained += list(network.parameters())
            for buffer, trained_buffer in zip(average.buffers(), network.buffers(), strict=True):
                buffer.copy_(trained_buffer)
        if averages:
            torch._foreach_lerp_(averages, trained, 1 - self.decay)
