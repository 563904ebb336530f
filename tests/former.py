"""Files of earlier versions, written from those of this one: other words for groups of tensors, keys and values."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from translate.runs import checkpoints

GROUPS = {"ema": "average", "state": "memory"}
KEYS = {
    "ema_decay": "average_decay",
    "num_downsamplings": "num_halvings",
    "max_bad_fraction": "bad_images",
    "activation_checkpointing": "recompute",
    "hang_timeout": "hung_after",
}


def checkpoint_of_format_1(path: Path) -> None:
    """Rewrite a checkpoint in format 1."""
    with safe_open(path, framework="pt") as file:
        header = {key: text for key, text in file.metadata().items() if key != checkpoints.CHECKSUMS}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    former = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        former[f"{GROUPS.get(group, group)}.{rest}"] = tensor
    header["format"] = "translate checkpoint 1"
    header["config"] = with_former_keys(header["config"])
    header[checkpoints.CHECKSUMS] = json.dumps(checkpoints.checksums(former, header))
    save_file(former, path, metadata=header)


def with_former_keys(text: str) -> str:
    """Return a configuration, as YAML or JSON, with the keys and values of the version before this one."""
    for key, former in KEYS.items():
        text = text.replace(key, former)
    return text.replace("convolutions: fast", "convolutions: quick").replace(
        '"convolutions": "fast"', '"convolutions": "quick"'
    )
