"""A trained network in a frozen role: its weights are those of a role of another run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from translate.errors import UserError
from translate.networks.layers.pretrained import Pretrained
from translate.registry.registry import NETWORKS


@NETWORKS.register(
    "frozen",
    trainable=False,
    pretrained="the folder of the run that trained the network, one of its checkpoints, or an exported weights file",
    of_role=True,
)
class Frozen(Pretrained):
    """Any registered network, frozen, with the weights that a run has trained in a role.

    ``weights`` is a run folder, whose newest checkpoint is taken, a checkpoint, or a weights file. ``role`` is the role
    of the network there; its moving average is taken if there is one. A configuration fills in ``sha256``, the digest
    of the file, and ``network``, the name and the arguments of the network: both are read from the file.
    """

    def __init__(
        self,
        role: str,
        weights: str | None = None,
        sha256: str | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(weights, sha256)
        if network is None:
            raise UserError(
                "the network is unknown", key="network", fix="compose the configuration, which reads it from the file"
            )
        self.role = role
        arguments = {key: value for key, value in network.items() if key != "name"}
        with torch.random.fork_rng(devices=[]):  # a file replaces these draws, so no other network may depend on them
            self.network: nn.Module = NETWORKS.get(network["name"])(**arguments)
        self.freeze()

    def forward(self, *inputs: Any, **arguments: Any) -> Any:
        """Return the output of the network for its own inputs; gradients pass through to the inputs."""
        return self.network(*inputs, **arguments)
