"""A network of our own."""

import torch
from torch import Tensor, nn

from translate.registry.registry import NETWORKS


@NETWORKS.register("my_lab_painter", image_size={"minimum": 8})
class Painter(nn.Module):
    """Repaint an image in the colours of a domain by a few convolutions."""

    def __init__(self, num_domains: int, width: int = 16) -> None:
        super().__init__()
        self.colour = nn.Embedding(num_domains, width)
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.inside = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in the colours of their target domains (B,)."""
        hidden = torch.relu(self.enter(x)) + self.colour(target)[:, :, None, None]
        return x + self.leave(torch.relu(self.inside(hidden)))


@NETWORKS.register("my_lab_shade", image_size={"minimum": 1})
class Shade(nn.Module):
    """Scale and shift every pixel by amounts that are affine functions of a number."""

    def __init__(self) -> None:
        super().__init__()
        self.affine = nn.Linear(1, 2)

    def forward(self, x: Tensor, darkness: Tensor) -> Tensor:
        """Return images (B, 3, S, S) changed by their darkness (B,)."""
        scale, shift = self.affine(darkness[:, None])[:, :, None, None, None].unbind(1)
        return scale * x + shift
