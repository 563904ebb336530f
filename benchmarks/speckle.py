"""Train a small preset with one change each, and show which change removes speckle.

    python benchmarks/speckle.py MODEL FOLDER [iterations=600] [only=NAME,NAME] [grid=FILE] [OVERRIDE ...]

MODEL is a key of `TRIALS`, such as stargan_v1_small. FOLDER gets a run for each trial; a finished run is not repeated.
The table has the rows of sources and of real images, then a row for each trial. ``cycle`` is the mean deviation of
held-out images from their translations there and back, in 1/255, and ``noisy cycle`` the same with normal noise of
deviation 8 / 255 on the translations: a generator that hides the source in speckle loses it there. ``grain seen`` is
the fall of the discriminator's logits when the flat parts of real images get normal noise of deviation 10 / 255, which
is a grain of 7, as a fraction of the fall from real images to translations. Where it is near 0, the adversary does not
take grain away. ``grid`` draws a strip of held-out translations for each trial.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import pad

import translate
from translate.config.check import check
from translate.config.schema import read_yaml
from translate.data.batches import HeldOut
from translate.inference.grids import Grid
from translate.inference.translator import Translator
from translate.losses.penalties import mean_logits
from translate.metrics.grain import FLAT, deviation, eight_bits
from translate.training import build

GENERATOR, DISCRIMINATOR = "model.networks.generator", "model.networks.discriminator"
WEIGHTS = "model.weights"
BASES = {
    "stargan_v1_small": [
        "model.losses.adversarial.name=non_saturating",
        f"{DISCRIMINATOR}.spectral_norm=false",
        f"{WEIGHTS}.discriminator.gradient_penalty=1",
        f"{WEIGHTS}.discriminator.noisy_classification=0",
        f"{WEIGHTS}.generator.reconstruction=10",
        f"{WEIGHTS}.generator.classification=0.3",
        f"{GENERATOR}.name=stargan_v1_generator",
        f"{GENERATOR}.upsampling=transposed",
    ],
    "cyclegan_small": [f"{GENERATOR}_ab.fine_width=0"],
}
"""Overrides of all trials of a model whose preset was another one when they were run."""
TRIALS: dict[str, dict[str, list[str]]] = {
    "stargan_v1_small": {
        "default": [],
        "bilinear upsampling": [f"{GENERATOR}.upsampling=bilinear"],
        "nearest upsampling": [f"{GENERATOR}.upsampling=nearest"],
        "labels by AdaIN": [f"{GENERATOR}.name=stargan_v1_adain_generator"],
        "R1": [f"{WEIGHTS}.discriminator.gradient_penalty=0", f"{WEIGHTS}.discriminator.r1=1"],
        "bilinear and R1": [
            f"{GENERATOR}.upsampling=bilinear",
            f"{WEIGHTS}.discriminator.gradient_penalty=0",
            f"{WEIGHTS}.discriminator.r1=1",
        ],
        "light classification": [f"{WEIGHTS}.generator.classification=0.1"],
        "light reconstruction": [f"{WEIGHTS}.generator.reconstruction=2"],
        "EMA 0.999": ["model.ema_decay=0.999"],
        "no variation": [f"{WEIGHTS}.generator.variation=0"],
        "labels by AdaIN, variation 5": [
            f"{GENERATOR}.name=stargan_v1_adain_generator",
            f"{WEIGHTS}.generator.variation=5",
        ],
    },
    "cyclegan_small": {
        "default": [],
        "bilinear upsampling": [f"{GENERATOR}_ab.upsampling=bilinear"],
        "nearest upsampling": [f"{GENERATOR}_ab.upsampling=nearest"],
        "skip at the side": [f"{GENERATOR}_ab.fine_width=16"],
        "skip at the side, bilinear": [f"{GENERATOR}_ab.fine_width=16", f"{GENERATOR}_ab.upsampling=bilinear"],
        "R1": [f"{WEIGHTS}.discriminator.r1=10"],
        "bilinear and R1": [f"{GENERATOR}_ab.upsampling=bilinear", f"{WEIGHTS}.discriminator.r1=10"],
        "batch norm in discriminators": [f"{DISCRIMINATOR}_a.norm=batch"],
        "larger patches": [f"{DISCRIMINATOR}_a.num_layers=3"],
        "smaller patches": [f"{DISCRIMINATOR}_a.num_layers=1"],
        "no variation": [f"{WEIGHTS}.generator.variation_a=0", f"{WEIGHTS}.generator.variation_b=0"],
        "variation 2": [f"{WEIGHTS}.generator.variation_a=2", f"{WEIGHTS}.generator.variation_b=2"],
        "variation 10": [f"{WEIGHTS}.generator.variation_a=10", f"{WEIGHTS}.generator.variation_b=10"],
        "light cycles": [f"{WEIGHTS}.generator.cycle_a=2", f"{WEIGHTS}.generator.cycle_b=2"],
        "EMA 0.999": ["model.ema_decay=0.999"],
    },
}
"""The overrides of each trial."""

COMMON = ["data=critters", "trainer=cpu", "trainer.threads=1", "sample_every=null", "metrics=local"]
NUM_CYCLES, NUM_SHOWN = 48, 8
NOISE = 8 / 127.5  # the deviation of the noise on translations, of images in [-1, 1]
GRAIN = 10 / 127.5  # the deviation of the noise on flat parts of real images


def train(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Train a run unless it is finished, and return the content of its scores file."""
    scores = folder / "metrics" / "local_last.json"
    if not scores.exists():
        subprocess.run([sys.executable, "-m", "translate", *overrides, *COMMON, f"folder={folder}"], check=True)
    content: dict[str, Any] = json.loads(scores.read_text())
    return content


def target_of(held_out: HeldOut, translator: Translator) -> Any:
    """Return another target for each image: the other domain, or the first or last attribute changed, in turns."""
    domains = translator.about.domains
    if translator.about.model == "stargan_v1":
        label = held_out.label.clone()
        rows = torch.arange(len(label))
        columns = torch.where(rows % 2 == 0, 0, label.shape[1] - 1)
        label[rows, columns] = 1 - label[rows, columns]
        return label
    return [domains[(int(domain) + 1) % len(domains)] for domain in held_out.domain]


def own_of(held_out: HeldOut, translator: Translator) -> Any:
    """Return the targets that translate each image back."""
    if translator.about.model == "stargan_v1":
        return held_out.label
    return [translator.about.domains[int(domain)] for domain in held_out.domain]


def cycles(held_out: HeldOut, translator: Translator) -> tuple[Tensor, float, float]:
    """Return translations, and the deviations in 1/255 of sources from those that come back, without and with noise."""
    there, back = target_of(held_out, translator), own_of(held_out, translator)
    translations = translator.translate(held_out.image, target=there)
    noise = torch.randn(translations.shape, generator=torch.Generator().manual_seed(0))
    deviations = []
    for strength in (0.0, NOISE):
        returned = translator.translate((translations + strength * noise).clamp(-1, 1), target=back)
        deviations.append(127.5 * float((returned - held_out.image).abs().mean()))
    return translations, deviations[0], deviations[1]


def logits(discriminator: Module, images: Tensor) -> Tensor:
    """Return the mean logit of each image (B,) that it is real."""
    result = discriminator(images)
    return mean_logits(result[0] if isinstance(result, tuple) else result)


@torch.no_grad()
def grain_seen(folder: Path, held_out: HeldOut, translations: Tensor) -> float:
    """Return the fall of logits by grain on real images as a fraction of that from real images to translations.

    Of two discriminators it is the mean. The one of a domain reads real images of it and the translations to it.
    """
    model = build.build_model(check(read_yaml(folder / "config.yaml")))
    weights = load_file(sorted((folder / "checkpoints").glob("*.safetensors"))[-1])
    noise = torch.randn(held_out.image.shape, generator=torch.Generator().manual_seed(0))
    flat = deviation(eight_bits(held_out.image)).amax(1, keepdim=True) < FLAT
    grainy = held_out.image + GRAIN * noise * pad(flat, (1, 1, 1, 1))
    fractions = []
    for number, role in enumerate(role for role in model.roles if role.startswith("discriminator")):
        prefix = f"network.{role}."
        discriminator = model.network(role).eval()
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        discriminator.load_state_dict(own)
        of_domain = held_out.domain == number if role != "discriminator" else torch.ones(len(noise), dtype=torch.bool)
        to_domain = ~of_domain if role != "discriminator" else of_domain
        real = logits(discriminator, held_out.image[of_domain]).mean()
        fall = real - logits(discriminator, grainy[of_domain]).mean()
        fractions.append(float(fall / (real - logits(discriminator, translations[to_domain]).mean())))
    return sum(fractions) / len(fractions)


def main() -> None:
    """Train, print the table, and draw the strips."""
    model, root, *arguments = sys.argv[1:]
    options = {"iterations": "600", "only": ",".join(TRIALS[model]), "grid": ""}
    options |= {key: value for key, _, value in (each.partition("=") for each in arguments) if key in options}
    overrides = [f"iterations={options['iterations']}"]
    overrides += [each for each in arguments if each.partition("=")[0] not in options]
    strips: dict[str, list[Tensor]] = {}
    for name in options["only"].split(","):
        folder = Path(root) / name.replace(" ", "_")
        content = train(folder, [f"model={model}", *BASES.get(model, []), *TRIALS[model][name], *overrides])
        data = build.build_data(check(read_yaml(folder / "config.yaml")))
        held_out = data.held_out(NUM_CYCLES)
        translations, cycle, noisy_cycle = cycles(held_out, translate.load(folder))
        scores = dict(content["scores"])
        if not strips:
            strips["source"] = list(held_out.image[:NUM_SHOWN])
            print("| change | " + " | ".join([*scores, "cycle ↓", "noisy cycle ↓", "grain seen"]) + " |")
            print("| --- " * (len(scores) + 4) + "|")
            for row in ("source", "real"):
                values = [f"{content['columns'][row][score]:.3f}" for score in scores]
                print(f"| {row} | " + " | ".join([*values, "-", "-", "-"]) + " |")
        strips[name] = list(translations[:NUM_SHOWN])
        values = [*(f"{value:.3f}" for value in scores.values()), f"{cycle:.1f}", f"{noisy_cycle:.1f}"]
        values.append(f"{grain_seen(folder, held_out, translations):.2f}")
        print(f"| {name} | " + " | ".join(values) + " |", flush=True)
    if options["grid"]:
        Image.fromarray(Grid.of_rows(strips).pixels()).save(options["grid"])


if __name__ == "__main__":
    main()
