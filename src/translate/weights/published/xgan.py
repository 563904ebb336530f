"""The layout of a port of XGAN: a file for each network, such as `e1.pth` and `d_shared.pth`.

The name of a file says which network it holds. Sizes follow from shapes. The port's `denoiser.pth`, which runs behind
the decoder of the second domain, is no part of the paper: its tensors are kept as extra ones.
"""

from collections.abc import Sequence

from translate.errors import Phrase, UserError
from translate.runs.checkpoints import EMA, NETWORK
from translate.sizes import ImageSize
from translate.weights.format import EXTRA, Node, Weights
from translate.weights.published.files import UNNAMED, OfficialFile, State
from translate.weights.published.layout import ImportOptions, Layout, TensorGroup, domain_names

ROLES = {
    "e1": "encoder_a",
    "e2": "encoder_b",
    "e_shared": "encoder_shared",
    "d_shared": "decoder_shared",
    "d1": "decoder_a",
    "d2": "decoder_b",
    "c_dann": "code_classifier",
    "disc1": "discriminator_b",
}
"""Our role of every network of the port."""
DENOISER = "denoiser"
HALVING = 16  # of the four convolutions of stride 2
DROPOUT = 0.3  # of the shared encoder in the port; it leaves no trace in the file


class XGANLayout(Layout):
    """seungminki/xgan2."""

    name = "seungminki/xgan2"
    models = ("xgan",)
    facts = ("domains", "dropout")

    def fits(self, files: Sequence[OfficialFile]) -> bool:
        """Return whether the names are those of the port, and the shared networks look like its own."""
        states = {file.path.stem: file.networks.get(UNNAMED, {}) for file in files}
        marks = {"e_shared": "bfc1.weight", "d_shared": "bd1.weight"}
        shared = any(mark in states.get(name, {}) for name, mark in marks.items())
        return shared and states.keys() <= {*ROLES, DENOISER}

    def describe(
        self, files: Sequence[OfficialFile], options: ImportOptions
    ) -> tuple[Weights, list[tuple[TensorGroup, State]]]:
        """Return the weights without tensors, and the tensors of each network; UserError for a missing auto-encoder."""
        states = {file.path.stem: file.networks[UNNAMED] for file in files}
        if missing := [name for name in list(ROLES)[:6] if name not in states]:
            raise UserError(
                "files of the auto-encoders are missing",
                key=str(files[0].path.parent),
                found=Phrase(", ".join(states)),
                expected=f"{', '.join(f'{name}.pth' for name in missing)} too",
                fix="name the folder of all files",
            )
        dropout = 0.0 if options.dropout is False else DROPOUT
        groups = [
            (TensorGroup(name, ROLES.get(name), NETWORK), state)
            for name, state in states.items()
            if name in ROLES or name == DENOISER
        ]
        size = ImageSize(*(HALVING * int(side) for side in states["d_shared"]["deconv1.weight"].shape[2:]))
        described = Weights(
            {},
            "xgan",
            {ROLES[name]: _node(ROLES[name], state, size, dropout) for name, state in states.items() if name in ROLES},
            size.plain,
            domains=domain_names(options, 2, {2: ("a", "b")}),
            data={"crop": "square"},
        )
        return described, groups

    def derived(self, node: Node, key: str) -> bool:
        """Return whether a tensor is the batch counter of a batch norm, which old files lack."""
        del node
        return key.endswith("num_batches_tracked")

    def tensor_groups(self, weights: Weights) -> list[tuple[str, TensorGroup]]:
        """Return a file for each network of the weights, and for the denoiser if they have one."""
        groups = [
            (f"{name}.pth", TensorGroup(name, role, EMA if role in weights.ema_roles else NETWORK))
            for name, role in ROLES.items()
            if role in weights.networks and weights.inference_state(role)
        ]
        if weights.group(EXTRA, NETWORK, DENOISER):
            groups.append((f"{DENOISER}.pth", TensorGroup(DENOISER, None, NETWORK)))
        return groups


def _node(role: str, state: State, size: ImageSize, dropout: float) -> Node:
    """Return the node of a role, with arguments from shapes."""
    kind = "code_classifier" if role == "code_classifier" else role.removesuffix("_a").removesuffix("_b")
    if kind == "code_classifier":
        return {"name": "xgan_code_classifier", "code_size": int(state["fc1.weight"].shape[1]), "dropout": 0.0}
    if kind == "encoder":
        return {"name": "xgan_encoder", "base_width": int(state["conv1.weight"].shape[0])}
    if kind == "decoder":
        return {"name": "xgan_decoder", "base_width": int(state["deconv4.weight"].shape[1]) // 2}
    if kind == "discriminator":
        width = int(state["conv1.weight"].shape[0])
        return {"name": "xgan_discriminator", "image_size": size.plain, "base_width": width}
    if kind == "encoder_shared":
        width, code_size = int(state["conv4.weight"].shape[0]) // 8, int(state["fc2.weight"].shape[0])
        sizes = {"image_size": size.plain, "base_width": width, "code_size": code_size}
        return {"name": "xgan_shared_encoder", **sizes, "dropout": dropout}
    code_size, widest = state["deconv1.weight"].shape[:2]
    sizes = {"image_size": size.plain, "base_width": int(widest) // 16, "code_size": int(code_size)}
    return {"name": "xgan_shared_decoder", **sizes}
