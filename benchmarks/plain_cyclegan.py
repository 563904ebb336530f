"""CycleGAN written down as plainly as its published recipe reads, to check and to time the fast one against.

Everything is a function of state dicts in the published layout. Nothing is shared, fused or reordered. Discriminators
are frozen while generators learn, as published. Without an image pool.
"""

import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from plain_stargan_v2 import State, leaf, numbered
from torch import Tensor


def generate(state: State, x: Tensor) -> Tensor:
    """Return the translations of images x by residual blocks."""
    layers = [layer for layer in numbered(state, "model") if layer]
    plain = [layer for layer in layers if "weight" in layer]
    for layer in layers:
        if "conv_block.1.weight" in layer:
            h = F.conv2d(F.pad(x, (1,) * 4, "reflect"), layer["conv_block.1.weight"], layer["conv_block.1.bias"])
            h = F.pad(F.relu(F.instance_norm(h)), (1,) * 4, "reflect")
            place = max(int(key.split(".")[1]) for key in layer)
            h = F.conv2d(h, layer[f"conv_block.{place}.weight"], layer[f"conv_block.{place}.bias"])
            x = x + F.instance_norm(h)
            continue
        weight, bias, place = layer["weight"], layer["bias"], [other is layer for other in plain].index(True)
        if weight.shape[2] == 7:
            x = F.conv2d(F.pad(x, (3,) * 4, "reflect"), weight, bias)
        elif place < 3:
            x = F.conv2d(x, weight, bias, stride=2, padding=1)
        else:
            x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = torch.tanh(x) if place == len(plain) - 1 else F.relu(F.instance_norm(x))
    return x


def discriminate(state: State, x: Tensor) -> Tensor:
    """Return the logits of patches."""
    layers = [layer for layer in numbered(state, "model") if layer]
    for place, layer in enumerate(layers):
        stride = 2 if place < len(layers) - 2 else 1
        x = F.conv2d(x, layer["weight"], layer["bias"], stride=stride, padding=1)
        if 0 < place < len(layers) - 1:
            x = F.instance_norm(x)
        if place < len(layers) - 1:
            x = F.leaky_relu(x, 0.2)
    return x


def squares(logits: Tensor, wanted: float) -> Tensor:
    """Return the least-squares loss."""
    return F.mse_loss(logits, torch.full_like(logits, wanted))


class PlainCycleGAN:
    """The published iteration on four dictionaries of parameters, with plain Adam."""

    def __init__(self, states: Mapping[str, State], rate: float) -> None:
        self.states = {role: {k: leaf(v) for k, v in state.items()} for role, state in states.items()}
        self.generators = self.adam(rate, "generator_ab", "generator_ba")
        self.discriminators = self.adam(rate, "discriminator_a", "discriminator_b")

    def adam(self, rate: float, *roles: str) -> torch.optim.Adam:
        """Return one optimizer for several networks."""
        parameters = itertools.chain.from_iterable(self.states[role].values() for role in roles)
        return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))

    def step(self, a: Tensor, b: Tensor) -> None:
        """Do one iteration."""
        states = self.states
        judges = [*states["discriminator_a"].values(), *states["discriminator_b"].values()]
        fake_b = generate(states["generator_ab"], a)
        back_a = generate(states["generator_ba"], fake_b)
        fake_a = generate(states["generator_ba"], b)
        back_b = generate(states["generator_ab"], fake_a)
        for parameter in judges:
            parameter.requires_grad_(False)
        self.generators.zero_grad()
        identity = (generate(states["generator_ab"], b) - b).abs().mean()
        identity = identity + (generate(states["generator_ba"], a) - a).abs().mean()
        adversarial = squares(discriminate(states["discriminator_b"], fake_b), 1.0)
        adversarial = adversarial + squares(discriminate(states["discriminator_a"], fake_a), 1.0)
        cycle = (back_a - a).abs().mean() + (back_b - b).abs().mean()
        (adversarial + 10 * cycle + 5 * identity).backward()
        self.generators.step()
        for parameter in judges:
            parameter.requires_grad_(True)
        self.discriminators.zero_grad()
        for role, real, fake in (("discriminator_a", a, fake_a), ("discriminator_b", b, fake_b)):
            state = states[role]
            loss = squares(discriminate(state, real), 1.0) + squares(discriminate(state, fake.detach()), 0.0)
            (0.5 * loss).backward()
        self.discriminators.step()
