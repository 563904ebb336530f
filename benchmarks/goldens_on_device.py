"""Compare forward passes and iterations on a device with the golden numbers of the official code, in strict float32.

    python benchmarks/goldens_on_device.py cuda

The networks, inputs and numbers are those of `tests/numerics`. "outputs" is the largest error of the outputs of a
forward pass, relative to the largest output. "first" is the largest relative error of the losses of the first update,
"later" that of the losses of all iterations. From the second update on rounding is magnified: Adam's first step is the
sign of a gradient. A bound belongs to each number.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from numerics import test_cyclegan_golden as cyclegan_golden
from numerics import test_stargan_v1_golden as v1_golden
from numerics import test_stargan_v2_golden as v2_golden
from translate.models.base import TranslationModel

LATER = {"stargan_v2": 3e-1, "stargan_v1": 3e-2, "cyclegan": 3e-2}
BOUNDS = {"outputs": 1e-4, "first": 1e-3}
"""The largest errors that rounding explains on another device."""

Figures = dict[str, float]
Errors = dict[str, float]


def moved(value: Any, device: torch.device) -> Any:
    """Return a batch on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        parts = [moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def error_of(found: Tensor, wanted: np.ndarray) -> float:
    """Return the largest error, relative to the largest value."""
    return float(np.abs(found.cpu().numpy() - wanted).max() / np.abs(wanted).max())


def relative(found: Figures, wanted: Figures) -> float:
    """Return the largest relative error of numbers by name."""
    return max(abs(found[name] - value) / abs(value) for name, value in wanted.items())


def summarized(outputs: float, steps: list[tuple[Figures, Figures]], first: set[str]) -> Errors:
    """Return the errors of a model, given the losses found and wanted of each iteration and the names of the first."""
    wanted = {name: value for name, value in steps[0][1].items() if name in first}
    return {
        "outputs": outputs,
        "first": relative(steps[0][0], wanted),
        "later": max(relative(found, wanted) for found, wanted in steps),
    }


def stargan_v2(device: torch.device) -> Errors:
    """Return the errors of StarGAN v2."""
    golden = json.loads((v2_golden.GOLDEN / "stargan_v2_afhq64.json").read_text())
    numbers = np.load(v2_golden.GOLDEN / "stargan_v2_afhq64.npz")
    model = v2_golden.make_model(golden).to(device)
    batch = moved(v2_golden.batch_of(golden, 0), device)
    with torch.no_grad():
        style = model.network("mapping")(batch.code, batch.target)
        fake = model.network("generator")(batch.image, style, None)
        real = model.network("discriminator")(batch.image, batch.domain)
    outputs = max(error_of(fake, numbers["x_fake"]), error_of(real, numbers["d_real"]))
    steps: list[tuple[Figures, Figures]] = []
    for k, step in enumerate(golden["steps"]):
        model.training_step(moved(v2_golden.batch_of(golden, k), device), k)
        found, wanted = {}, {}
        for short, phase in (("d", "discriminator"), ("g", "generator")):
            for suffix, variant in (("latent", "latent"), ("ref", "reference")):
                for term in model.weights[phase]:
                    name = f"{phase}/{variant}/{term}"
                    value = model.terms[name].item()
                    found[name] = -value if term == "diversity" else value
                    wanted[name] = step[f"{short}_{suffix}"][v2_golden.TERMS.get(term, term)]
        steps.append((found, wanted))
    return summarized(outputs, steps, {name for name in steps[0][1] if name.startswith("discriminator/latent")})


def stargan_v1(device: torch.device) -> Errors:
    """Return the errors of StarGAN v1."""
    golden, numbers = v1_golden.read(v1_golden.TAGS[0]), np.load(v1_golden.GOLDEN / f"{v1_golden.TAGS[0]}.npz")
    model = v1_golden.make_model(golden).to(device)
    number, batch = moved(v1_golden.batch_of(golden, 0), device)
    with torch.no_grad():
        fake = model.network("generator")(batch.image, model.condition(number, batch.target))
        patches, _ = model.network("discriminator")(batch.image)
    outputs = max(error_of(fake, numbers["x_fake"]), error_of(patches, numbers["src_real"]))

    def interpolation_weights(*_: int) -> Tensor:
        return v1_golden.published_share(golden, model.iteration).to(device)

    model.interpolation_weights = interpolation_weights  # type: ignore[method-assign]
    steps: list[tuple[Figures, Figures]] = []
    for k, wanted in enumerate(golden["steps"]):
        model.training_step((moved(v1_golden.batch_of(golden, k)[1], device),), k)
        terms = {v1_golden.TERMS[name]: v.item() for name, v in model.terms.items() if name in v1_golden.TERMS}
        steps.append((terms, wanted))
    return summarized(outputs, steps, set(steps[0][1]))


def cyclegan(device: torch.device) -> Errors:
    """Return the errors of CycleGAN."""
    golden = cyclegan_golden.GOLDEN
    model: TranslationModel = cyclegan_golden.make_model().to(device)
    a, _ = moved(cyclegan_golden.batch_of(0), device)
    with torch.no_grad():
        outputs = error_of(model.network("generator_ab")(a), cyclegan_golden.OUTPUTS["fake_B"])
    steps: list[tuple[Figures, Figures]] = []
    for k, wanted in enumerate(golden["steps"]):
        model.training_step(moved(cyclegan_golden.batch_of(k), device), k)
        found = {
            name: model.weights["generator"][term](k) * model.terms[f"generator/{term}"].item()
            for name, term in cyclegan_golden.TERMS.items()
        }
        for side, name in (("a", "D_B"), ("b", "D_A")):
            found[name] = sum(0.5 * model.terms[f"discriminator/{side}/{term}"].item() for term in ("real", "fake"))
        steps.append((found, wanted))
    return summarized(outputs, steps, set(cyclegan_golden.TERMS))


MODELS: dict[str, Callable[[torch.device], Errors]] = {
    "stargan_v2": stargan_v2,
    "stargan_v1": stargan_v1,
    "cyclegan": cyclegan,
}


def errors(name: str, device: torch.device) -> dict[str, Any]:
    """Return the errors of a model on a device, and whether all are within their bounds."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        found = MODELS[name](device)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    bounds = {**BOUNDS, "later": LATER[name]}
    return {"errors": found, "bounds": bounds, "equal": all(found[key] <= bound for key, bound in bounds.items())}


def main() -> None:
    """Print the errors."""
    for name in MODELS:
        print(name, json.dumps(errors(name, torch.device(sys.argv[1]))))


if __name__ == "__main__":
    main()
