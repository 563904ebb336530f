"""Borders that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReflectionPad2d(nn.ReflectionPad2d):
    """A reflected border, in the precision that features have: on a CPU autocast would make float32 of them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, C, H, W) with a border of ``padding`` on every side."""
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, self.padding, mode="reflect")
