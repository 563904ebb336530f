"""The official layout of fast style transfer: a file per style, such as `mosaic.pth` or `epoch_2_..._1e5_1e10.model`.

The file holds the image transformation network. Widths and the number of blocks follow from shapes. The style image is
not in it: its name is that of the file, unless the user names the domain. Files of PyTorch before 0.4 have running
statistics of instance norms, which the official program drops; they are kept as extra tensors.
"""

import re
from collections.abc import Sequence

from translate.runs.checkpoints import EMA, NETWORK
from translate.weights.format import Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, domain_names, official_name

IMAGE_SIZE = 256
FIRST, LAST = "conv1.conv2d.weight", "deconv3.conv2d.weight"
STATISTICS = re.compile(r"in\d\.(running_mean|running_var|num_batches_tracked)$")


class FastStyleLayout(Layout):
    """pytorch/examples, fast_neural_style."""

    name = "pytorch/examples fast_neural_style"
    models = ("fast_style",)
    facts = ("domains", "image_size")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether there is one file with the network."""
        return len(files) == 1 and {FIRST, LAST} <= files[0].networks.get(UNNAMED, {}).keys()

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of the network."""
        (file,) = files
        state = file.networks[UNNAMED]
        blocks = {key.partition(".")[0] for key in state if key.startswith("res")}
        node: Node = {
            "name": "fast_style_transformer",
            "base_width": state[FIRST].shape[0],
            "num_blocks": len(blocks),
        }
        described = Weights(
            {},
            "fast_style",
            {"transformer": node},
            options.image_size or IMAGE_SIZE,
            domains=domain_names(options, 1, {1: (file.path.stem,)}, "style"),
            data={"crop": "square"},
        )
        return described, [(TensorGroup(file.path.name, "transformer", NETWORK), state)]

    def optional(self, node: Node, key: str) -> bool:
        """Return whether a tensor is a running statistic of an instance norm."""
        return STATISTICS.search(key) is not None

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return one file, that which was read, or one that is named after the style."""
        name = official_name(weights, "transformer", f"{weights.domains[0] if weights.domains else 'style'}.model")
        group = EMA if "transformer" in weights.ema_roles else NETWORK
        return [(name, TensorGroup(name, "transformer", group))]
