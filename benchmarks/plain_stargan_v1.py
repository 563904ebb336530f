"""StarGAN v1 written down as plainly as its published recipe reads, to check and to time the fast one against.

Everything is a function of state dicts in the published layout. Nothing is shared, frozen, fused or reordered. Letters
as in ``translate.models.stargan_v1``; c is what the generator is told.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from plain_stargan_v2 import State, below, leaf, numbered
from torch import Tensor


def normalized(x: Tensor, layer: State) -> Tensor:
    """Return instance-normalised features."""
    return F.instance_norm(x, weight=layer["weight"], bias=layer["bias"])


def generate(state: State, x: Tensor, c: Tensor) -> Tensor:
    """Return translations of images x to labels c, planes beside the colours."""
    h = torch.cat([x, c[:, :, None, None].repeat(1, 1, x.shape[2], x.shape[3])], 1)
    layers = [(k, layer) for k, layer in enumerate(numbered(state, "main")) if layer]
    convolutions = [k for k, layer in layers if layer.get("weight", torch.empty(0)).ndim == 4]
    upwards = convolutions[3:-1]
    for k, layer in layers:
        if "main.0.weight" in layer:
            inner = normalized(F.conv2d(h, layer["main.0.weight"], padding=1), below(layer, "main.1"))
            h = h + normalized(F.conv2d(F.relu(inner), layer["main.3.weight"], padding=1), below(layer, "main.4"))
        elif k in upwards:
            h = F.conv_transpose2d(h, layer["weight"], stride=2, padding=1)
        elif layer["weight"].ndim == 1:
            h = F.relu(normalized(h, layer))
        elif layer["weight"].shape[2] == 7:
            h = F.conv2d(h, layer["weight"], padding=3)
        else:
            h = F.conv2d(h, layer["weight"], stride=2, padding=1)
    return torch.tanh(h)


def discriminate(state: State, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of patches and those of labels."""
    for layer in numbered(state, "main"):
        if layer:
            x = F.leaky_relu(F.conv2d(x, layer["weight"], layer["bias"], stride=2, padding=1), 0.01)
    return F.conv2d(x, state["conv1.weight"], padding=1), F.conv2d(x, state["conv2.weight"]).flatten(1)


class PlainStarGANv1:
    """The published iteration for attributes on two dictionaries of parameters, with plain Adam."""

    def __init__(self, states: Mapping[str, State], rate: float, num_critic: int) -> None:
        self.states = {role: {k: leaf(v) for k, v in state.items()} for role, state in states.items()}
        self.optimizers = {
            role: torch.optim.Adam(list(state.values()), lr=rate, betas=(0.5, 0.999))
            for role, state in self.states.items()
        }
        self.num_critic = num_critic
        self.iteration = 0

    def minimize(self, loss: Tensor, role: str) -> None:
        """Clear every gradient, compute every gradient, step one optimizer."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[role].step()

    def step(self, x: Tensor, label: Tensor, target: Tensor, share: Tensor) -> None:
        """Do one iteration; ``share`` (B, 1, 1, 1) of the real image is in what the penalty looks at."""
        generator, discriminator = self.states["generator"], self.states["discriminator"]
        real, classes = discriminate(discriminator, x)
        fake = generate(generator, x, target)
        fake_logits, _ = discriminate(discriminator, fake.detach())
        mixed = (share * x + (1 - share) * fake.detach()).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminate(discriminator, mixed)[0].sum(), mixed, create_graph=True)
        penalty = (gradient.flatten(1).pow(2).sum(1).sqrt() - 1).pow(2).mean()
        classified = F.binary_cross_entropy_with_logits(classes, label, reduction="sum") / len(x)
        self.minimize(fake_logits.mean() - real.mean() + classified + 10 * penalty, "discriminator")
        self.iteration += 1
        if self.iteration % self.num_critic:
            return
        fake = generate(generator, x, target)
        logits, classes = discriminate(discriminator, fake)
        back = generate(generator, fake, label)
        classified = F.binary_cross_entropy_with_logits(classes, target, reduction="sum") / len(x)
        self.minimize(-logits.mean() + classified + 10 * (x - back).abs().mean(), "generator")
