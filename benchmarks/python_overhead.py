"""Measure the Python code of an iteration around its networks, with networks that compute next to nothing.

    python benchmarks/python_overhead.py [stargan_v2] [cyclegan]

The modules are those of the model at 256 px, with few channels. The forward pass of each network is replaced by a
product with one of its parameters, so updates, freezing, losses, moving averages and optimizers have all their Python
work and little arithmetic. The sides alternate in blocks in one process:

- `kept`: as training does it, with the lists of parameters and modules that were found once;
- `walked`: every iteration forgets these lists, so it walks through all modules again.

Printed are the medians and the ratio of the two. Compare ratios of one run only. An optimizer has one gradient a role
here; its own loop over parameters is not measured.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from translate.config.compose import load
from translate.models.base import TranslationModel
from translate.models.update_parts import PartsOfUpdates
from translate.training import build

COMMON = ("data=critters", "~recipe", "data.cache=null", "metrics=none", "trainer=cpu")
ROLES_OF_STARGAN_V2 = ("generator", "style_encoder", "discriminator")
ROLES_OF_CYCLEGAN = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
NARROW = ("base_width=4", "max_width=8")
MODELS: dict[str, tuple[str, ...]] = {
    "stargan_v2": (
        *("model=stargan_v2", "data.batch_size=1", "data.image_size=256"),
        *(f"model.networks.{role}.{width}" for role in ROLES_OF_STARGAN_V2 for width in NARROW),
        "model.networks.mapping.hidden_width=8",
    ),
    "cyclegan": (
        *("model=cyclegan", "data.batch_size=1", "data.image_size=256", "data.domains=[cat,rabbit]"),
        *(f"model.networks.{role}.base_width=4" for role in ROLES_OF_CYCLEGAN),
    ),
}
BLOCKS, BLOCK = 12, 5  # blocks of a side, and iterations of a block


def empty(model: TranslationModel) -> None:
    """Replace the forward passes of the networks of StarGAN v2 or CycleGAN by products with one parameter."""
    for role in model.roles:
        network = model.network(role)
        if role.startswith("generator"):
            network.forward = _scaled(network, lambda x, *_: x)
            network.encode_image = network.forward  # type: ignore[assignment]
            network.decode_features = _scaled(network, lambda x, style, _: x + style.mean())  # type: ignore[assignment]
        else:
            network.forward = _scaled(network, lambda x, *_: x.flatten(1).mean(1, keepdim=True))


def _scaled(network: nn.Module, output: Callable[..., Tensor]) -> Callable[..., Tensor]:
    parameter = next(network.parameters())
    return lambda *inputs: output(*inputs) * parameter.flatten()[0]


def forget(model: TranslationModel) -> None:
    """Forget the lists of parameters and modules."""
    model._parts_of_updates = PartsOfUpdates()
    model.ema._pairs.clear()


def measure(name: str, blocks: int = BLOCKS) -> dict[str, float]:
    """Return the median milliseconds of an iteration of each side."""
    config = load([*COMMON, *MODELS[name]])
    data = build.build_data(config)
    model, batch = build.build_model(config), data.augment(data.iterations()[0])
    empty(model)
    model.training_step(batch, 0)
    sides: dict[str, list[float]] = {"kept": [], "walked": []}
    for number in range(2 * blocks):
        side = ("kept", "walked")[number % 2]
        for _ in range(BLOCK):
            start = time.perf_counter()
            if side == "walked":
                forget(model)
            model.training_step(batch, 0)
            sides[side].append(1000 * (time.perf_counter() - start))
    return {side: statistics.median(times) for side, times in sides.items()}


def main(words: list[str]) -> int:
    """Measure the models and print a line for each."""
    torch.set_num_threads(1)
    for name in words or MODELS:
        found = measure(name)
        ratio = found["walked"] / found["kept"]
        print(f"{name}: kept {found['kept']:.2f} ms, walked {found['walked']:.2f} ms, ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
