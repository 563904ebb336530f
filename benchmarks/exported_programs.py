"""Export every model of the papers at its official size, and print differences and latencies as a table.

    python benchmarks/exported_programs.py                        # ONNX
    python benchmarks/exported_programs.py torch_export aot --models cyclegan pix2pix

The weights are random, which changes neither time nor size; differences of trained networks are of the same order. One
thread computes.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from translate.export import runtimes
from translate.inference.translator import Translator
from translate.weights.format import Weights, build

STARGAN_V2: dict[str, dict[str, Any]] = {
    "generator": {"name": "stargan_v2_generator"},
    "mapping": {"name": "stargan_v2_mapping", "num_domains": 3},
    "style_encoder": {"name": "stargan_v2_style_encoder", "num_domains": 3},
}
MASKED = {
    **STARGAN_V2,
    "generator": {"name": "stargan_v2_generator", "w_hpf": 1.0},
    "masks": {"name": "landmark_masks"},
}
UNIT: dict[str, dict[str, Any]] = {
    f"{part}_{side}": {"name": f"unit_{part}"} for part in ("encoder", "decoder") for side in "ab"
}
COMBOGAN: dict[str, dict[str, Any]] = {
    role: {"name": f"combogan_{role}s", "num_domains": 3} for role in ("encoder", "decoder")
}
DTN: dict[str, dict[str, Any]] = {"features": {"name": "conv_encoder"}, "generator": {"name": "dtn_generator"}}
AUTOENCODER: dict[str, dict[str, Any]] = {"encoder": {"name": "conv_encoder"}, "decoder": {"name": "dtn_generator"}}
XGAN: dict[str, dict[str, Any]] = {
    f"{part}_{side}": {"name": f"xgan_{part}"} for part in ("encoder", "decoder") for side in "ab"
}
XGAN |= {f"{part}_shared": {"name": f"xgan_shared_{part}"} for part in ("encoder", "decoder")}
EIGHTEEN = {"kind": "attributes", "names": [f"label_{number}" for number in range(18)]}
ICGAN: dict[str, dict[str, Any]] = {
    "generator": {"name": "icgan_generator", "latent_size": 100, "num_labels": 18},
    "encoder_z": {"name": "icgan_encoder", "num_outputs": 100},
    "encoder_y": {"name": "icgan_encoder", "num_outputs": 18, "hidden_width": 512},
}
ANIMALS: dict[str, Any] = {"arguments": {"latent_size": 16}, "domains": ("cat", "dog", "wild")}
FIVE = {"kind": "attributes", "names": ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]}
MODELS: dict[str, tuple[str, dict[str, dict[str, Any]], int, dict[str, Any]]] = {
    "stargan_v2": ("stargan_v2", STARGAN_V2, 256, ANIMALS),
    "stargan_v2, landmark_masks": ("stargan_v2", MASKED, 256, ANIMALS),
    "stargan_v1": (
        "stargan_v1",
        {"generator": {"name": "stargan_v1_generator", "num_labels": 5}},
        128,
        {"arguments": {"label_sets": [FIVE]}, "label_sets": (FIVE,)},
    ),
    "cut": ("cut", {"generator": {"name": "cut_generator"}}, 256, {"domains": ("horse", "zebra")}),
    "dclgan": ("dclgan", {"generator_ab": {"name": "cut_generator"}}, 256, {"domains": ("horse", "zebra")}),
    "cyclegan": ("cyclegan", {"generator_ab": {"name": "resnet_generator"}}, 256, {"domains": ("horse", "zebra")}),
    "pix2pix": ("pix2pix", {"generator": {"name": "unet_generator"}}, 256, {"domains": ("label", "photo")}),
    "unit": ("unit", UNIT, 256, {"domains": ("cat", "dog")}),
    "combogan": ("combogan", COMBOGAN, 256, {"domains": ("cat", "dog", "wild")}),
    "diat": ("diat", {"generator": {"name": "resnet_generator", "num_blocks": 5}}, 128, {"domains": ("no", "yes")}),
    "dtn": ("dtn", DTN, 32, {"domains": ("svhn", "mnist")}),
    "autoencoder": ("autoencoder", AUTOENCODER, 32, {}),
    "xgan": ("xgan", XGAN, 64, {"domains": ("cartoon", "face")}),
    "icgan": (
        "icgan",
        ICGAN,
        64,
        {"arguments": {"label_sets": [EIGHTEEN], "latent_size": 100}, "label_sets": (EIGHTEEN,)},
    ),
    "srresnet": ("srresnet", {"generator": {"name": "srresnet"}}, 256, {}),
    "fast_style": ("fast_style", {"transformer": {"name": "fast_style_transformer"}}, 256, {"domains": ("mosaic",)}),
}
"""The networks of inference with their official sizes, which are the defaults, the image size, and further facts."""

GRAPHS = {
    "stargan_v2": ("generator", "mapping", "style_encoder", "translate_latent"),
    "stargan_v2, landmark_masks": ("masks", "translate_latent"),
    "stargan_v1": ("translate",),
    "unit": ("translate",),
    "combogan": ("translate",),
    "dtn": ("translate",),
    "autoencoder": ("translate",),
    "xgan": ("translate",),
    "icgan": ("translate",),
}
"""The graphs to export, where not all."""


def translator_of(name: str) -> Translator:
    """Return a translator with random weights."""
    model, networks, size, facts = MODELS[name]
    torch.manual_seed(0)
    tensors = {f"network.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    return Translator(Weights(tensors, model, networks, size, **facts))


def main() -> None:
    """Print the table, a row for each graph."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runtimes", nargs="*", default=["onnx"], help="onnx, torch_export, aot")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    asked = parser.parse_args()
    print("| model | graph | runtime | MB | difference | torch, ms | runtime, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model in asked.models:
        translator = translator_of(model)
        for runtime in map(runtimes.runtime, asked.runtimes):
            with tempfile.TemporaryDirectory() as folder:
                for row in runtimes.export(translator, runtime, Path(folder), GRAPHS.get(model, ())):
                    times = f"{row.torch_seconds * 1e3:,.1f} | {row.runtime_seconds * 1e3:,.1f}"
                    place = (
                        f"{model}, {translator.image_size} px | `{row.file}` | {row.runtime} | {row.bytes / 1e6:,.1f}"
                    )
                    print(f"| {place} | {row.difference:.1e} | {times} |", flush=True)


if __name__ == "__main__":
    main()
