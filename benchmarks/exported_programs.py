"""Export every model of the papers at its official size, and print differences and latencies as a table.

    python benchmarks/exported_programs.py                        # ONNX
    python benchmarks/exported_programs.py torch_export aot

The weights are random, which changes neither time nor size; differences of trained networks are of the same order. One
thread computes.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from translate.export import runtimes
from translate.inference.translator import Translator
from translate.weights.format import Weights, build

FIVE = {"kind": "attributes", "names": ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]}
MODELS: dict[str, tuple[dict[str, dict[str, Any]], int, dict[str, Any]]] = {
    "stargan_v2": (
        {
            "generator": {"name": "stargan_v2_generator"},
            "mapping": {"name": "stargan_v2_mapping", "num_domains": 3},
            "style_encoder": {"name": "stargan_v2_style_encoder", "num_domains": 3},
        },
        256,
        {"arguments": {"latent_size": 16}, "domains": ("cat", "dog", "wild")},
    ),
    "stargan_v1": (
        {"generator": {"name": "stargan_v1_generator", "num_labels": 5}},
        128,
        {"arguments": {"label_sets": [FIVE]}, "label_sets": (FIVE,)},
    ),
    "cyclegan": ({"generator_ab": {"name": "resnet_generator"}}, 256, {"domains": ("horse", "zebra")}),
    "pix2pix": ({"generator": {"name": "unet_generator"}}, 256, {"domains": ("label", "photo")}),
}
"""The networks of inference with their official sizes, which are the defaults, the image size, and further facts."""

GRAPHS = {"stargan_v2": ("generator", "mapping", "style_encoder", "translate_latent"), "stargan_v1": ("translate",)}
"""The graphs to export, where not all."""


def translator_of(model: str) -> Translator:
    """Return a translator with random weights."""
    networks, size, facts = MODELS[model]
    torch.manual_seed(0)
    tensors = {f"network.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    return Translator(Weights(tensors, model, networks, size, **facts))


def main() -> None:
    """Print the table, a row for each graph."""
    torch.set_num_threads(1)
    print("| model | graph | runtime | MB | difference | torch, ms | runtime, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model, (_, size, _) in MODELS.items():
        translator = translator_of(model)
        for runtime in map(runtimes.runtime, sys.argv[1:] or ["onnx"]):
            with tempfile.TemporaryDirectory() as folder:
                for row in runtimes.export(translator, runtime, Path(folder), GRAPHS.get(model, ())):
                    times = f"{row.torch_seconds * 1e3:,.1f} | {row.runtime_seconds * 1e3:,.1f}"
                    place = f"{model}, {size} px | `{row.file}` | {row.runtime} | {row.bytes / 1e6:,.1f}"
                    print(f"| {place} | {row.difference:.1e} | {times} |", flush=True)


if __name__ == "__main__":
    main()
