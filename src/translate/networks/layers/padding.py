"""Padding layers that several networks share."""

import torch.nn.functional as F
from torch import Tensor, nn

from translate.networks.layers.device import without_autocast


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding in the precision of the features. (On a CPU, autocast would convert them to float32.)"""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, H, W) padded by ``padding`` on every side."""
        with without_autocast(x):
            return F.pad(x, self.padding, mode="reflect")
