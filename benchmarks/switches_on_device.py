"""Compare what two switches for GPUs compute with what is computed without them.

    python benchmarks/switches_on_device.py cuda

`fused_norms`: the largest errors of the kernels' outputs and gradients, relative to the largest value, against torch's
operations in float64. `graphs`: models are trained for some iterations, as they are and by graphs, in strict float32
with deterministic algorithms; the largest difference of the losses of an iteration, relative to the loss, how many
tensors of the final state differ, and how many graphs were captured. The iterations are those of
`tests/training/test_captured_updates.py`. A bound belongs to each number.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products, read when the library starts

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from training.test_captured_updates import KINDS
from training.test_models import CASES, start
from translate.acceleration.captured_updates import WARM_UP, CapturedSteps
from translate.models.base import TranslationModel
from translate.training import build
from unit import interpreted_norms as norms

SHAPES = ((2, 5, 7, 9), (3, 64, 8, 8), (1, 130, 33, 40), (1, 3, 2, 3), (8, 64, 128, 128), (8, 512, 16, 16))
BOUNDS = {"float32": 5e-6, "bfloat16": 2e-2, "losses": 1e-3}
CORNER = 1e-4  # values nearer to 0 get no gradient
ITERATIONS = 4 * (WARM_UP + 1)  # the kind of iteration that comes every second time is captured, too, and replayed


def fused_norms(device: torch.device) -> dict[str, float]:
    """Return the largest error of the kernels by type."""
    from translate.acceleration.triton_norms import NormalizeAndActivate, plain

    errors = {}
    for dtype in (torch.float32, torch.bfloat16):
        found = []
        for shape in SHAPES:
            for kind in ("none", "channel", "image"):
                ours = [moved(tensor, device) for tensor in norms.inputs(shape, kind, dtype)]
                exact = norms.in_float64(ours)
                y, expected = NormalizeAndActivate.apply(*ours, norms.SLOPE), plain(*exact, norms.SLOPE)
                dy = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
                # rounding decides on which side of the activation's corner a value next to 0 lies
                dy = dy * (expected.abs() > CORNER)
                gradients = torch.autograd.grad(y, [tensor for tensor in ours if tensor is not None], dy)
                wanted = torch.autograd.grad(expected, [tensor for tensor in exact if tensor is not None], dy.double())
                pairs = zip((y, *gradients), (expected, *wanted), strict=True)
                found += [norms.greatest_error(a.double(), b) for a, b in pairs]
        errors[str(dtype).removeprefix("torch.")] = max(found)
    return errors


def moved(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    """Return a leaf on a device, in the memory order that it has."""
    return None if tensor is None else tensor.detach().to(device).requires_grad_()


def graphs(name: str, device: torch.device) -> dict[str, Any]:
    """Return how far the losses of a model by graphs are from those without, and what differs in the end."""
    overrides = KINDS[name][1]
    models, losses = [], []
    data = build.build_data(CASES[name](*overrides))
    batches = [data.augment(data.iterations()[k]) for k in range(ITERATIONS)]
    for by_graphs in (False, True):
        model: TranslationModel = start(name, *overrides)[0].to(device)
        if by_graphs:
            model.captured = CapturedSteps(model, (device.type,))
        losses.append([])
        for batch in batches:
            model.training_step(on_device(batch, device), 0)
            losses[-1].append({term: value.item() for term, value in model.terms.items()})
        models.append(model)
    captured = models[1].captured
    assert isinstance(captured, CapturedSteps)
    states = [{key: tensor.clone() for key, tensor in model.state_dict().items()} for model in models]
    return {
        "losses": max(
            abs(found[term] - value) / max(abs(value), 1e-3)
            for plain, found in zip(*losses, strict=True)
            for term, value in plain.items()
        ),
        "unlike": sum(not states[1][key].equal(tensor) for key, tensor in states[0].items()),
        "tensors": len(states[0]),
        "graphs": sum(len(tape.graphs or ()) for tape in captured._tapes.values()),
        "refused": bool(captured.is_refused),
    }


def on_device(value: Any, device: torch.device) -> Any:
    """Return a batch on a device."""
    return torch.utils._pytree.tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, value)


def errors(device: torch.device) -> dict[str, Any]:
    """Return all numbers, and whether they are within their bounds."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True)
    try:
        norms_found = fused_norms(device)
        graphs_found = {name: graphs(name, device) for name in KINDS}
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    equal = all(error <= BOUNDS[dtype] for dtype, error in norms_found.items()) and all(
        found["losses"] <= BOUNDS["losses"] and found["graphs"] and not found["refused"]
        for found in graphs_found.values()
    )
    return {"fused_norms": norms_found, "graphs": graphs_found, "bounds": BOUNDS, "equal": equal}


def main() -> None:
    """Print the errors."""
    print(json.dumps(errors(torch.device(sys.argv[1])), indent=1))


if __name__ == "__main__":
    main()
