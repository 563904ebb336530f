"""Exponential moving averages (EMA) of networks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pair:
    """The parameters of an average and of the trained network, and their modules with buffers, listed once."""

    network: nn.Module
    averages: list[Tensor]
    trained: list[Tensor]
    buffered: list[tuple[nn.Module, nn.Module]]


class EMA(nn.Module):
    """Moving averages of networks by role, always in eval mode, updated in place by one fused operation.

    ``w_ema <- decay w_ema + (1 - decay) w`` for each parameter; buffers are copied. ``decay`` is 0.999 an iteration in
    StarGAN v2. An EMA network is read by role, ``ema["generator"](x, style)``, and never swapped with the trained one.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.before_update: Callable[[nn.Module], None] = lambda network: None  # a part may have to enter the device
        self.networks = nn.ModuleDict({role: copy.deepcopy(network) for role, network in networks.items()})
        self._pairs: dict[str, Pair] = {}
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
        averages: list[Tensor] = []
        trained: list[Tensor] = []
        for role, network in networks.items():
            average = self.networks.get_submodule(role)
            self.before_update(average)
            pair = self._pair(role, average, network)
            averages += pair.averages
            trained += pair.trained
            for of_average, of_network in pair.buffered:
                for name, buffer in of_average.named_buffers(recurse=False):  # a module may have others than before
                    buffer.copy_(of_network.get_buffer(name))
        if averages:
            torch._foreach_lerp_(averages, trained, 1 - self.decay)

    def _pair(self, role: str, average: nn.Module, network: nn.Module) -> Pair:
        """Return the lists of a role, which are made again if it has another network than before."""
        if role not in self._pairs or self._pairs[role].network is not network:
            modules = zip(average.modules(), network.modules(), strict=True)
            buffered = [pair for pair in modules if next(pair[0].buffers(recurse=False), None) is not None]
            self._pairs[role] = Pair(network, list(average.parameters()), list(network.parameters()), buffered)
        return self._pairs[role]
