"""Padding layers that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding in the precision of the features. (On a CPU, autocast would convert them to float32.)"""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, H, W) padded by ``padding`` on every side."""
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, self.padding, mode="reflect")
