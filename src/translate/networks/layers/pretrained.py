"""The base of networks that are frozen and whose weights come from a file."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class Pretrained(nn.Module):
    """A frozen network: always in eval mode, without gradients for its weights, and not written into checkpoints.

    ``weights`` is the path of the file, or the name of one that ships (`networks.shipped_files`), and ``sha256`` its
    digest in hexadecimal digits (None: any file). The constructor reads no file; `translate.weights.pretrained.load`
    does. A network without ``weights`` got them elsewhere.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("state_dict",)
    """Keys of a file that may hold the tensors; otherwise the file itself holds them by name."""

    def __init__(self, weights: str | None = None, sha256: str | None = None) -> None:
        super().__init__()
        self.weights = weights
        self.sha256 = sha256

    def freeze(self) -> None:
        """Freeze all parameters and enter eval mode; a subclass calls it at the end of its constructor."""
        self.requires_grad_(False)
        self.eval()

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a file by the names of this network; a subclass knows the names of other sources."""
        return dict(state)

    def train(self, mode: bool = True) -> "Pretrained":
        """Stay in eval mode, whatever ``mode`` is, so that batch norms keep the statistics of the file."""
        del mode
        super().train(False)
        return self
