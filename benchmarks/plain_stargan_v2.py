"""StarGAN v2 written down as plainly as its published recipe reads, to check and to time the fast one against.

Everything is a function of state dicts in the published layout. Nothing is shared, frozen, fused or reordered:
every pass computes all that it can, as a reader of the recipe would write it. Letters as in
``translate.models.stargan_v2``.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def below(state: State, prefix: str) -> dict[str, Tensor]:
    """Return the entries of a state dict below a prefix."""
    return {k.removeprefix(prefix + "."): v for k, v in state.items() if k.startswith(prefix + ".")}


def numbered(state: State, prefix: str) -> list[dict[str, Tensor]]:
    """Return the entries below prefix.0, prefix.1, ... in order."""
    inside = below(state, prefix)
    count = 1 + max(int(k.split(".")[0]) for k in inside)
    return [below(inside, str(i)) for i in range(count)]


def leaf(value: Tensor) -> Tensor:
    """Return a copy that learns, in the plain memory layout whatever that of the original is."""
    return value.detach().clone(memory_format=torch.contiguous_format).requires_grad_()


def conv(x: Tensor, state: State, name: str, padding: int = 0) -> Tensor:
    """Return a convolution by the weights of a name."""
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=padding)


def residual_block(x: Tensor, state: State, halve: bool) -> Tensor:
    """Return a pre-activation residual block; it normalises if it has the weights for it."""
    h = x
    for name in ("1", "2"):
        if f"norm{name}.weight" in state:
            h = F.instance_norm(h, weight=state[f"norm{name}.weight"], bias=state[f"norm{name}.bias"])
        h = conv(F.leaky_relu(h, 0.2), state, f"conv{name}", padding=1)
        if name == "1" and halve:
            h = F.avg_pool2d(h, 2)
    if "conv1x1.weight" in state:
        x = conv(x, state, "conv1x1")
    if halve:
        x = F.avg_pool2d(x, 2)
    return (x + h) / math.sqrt(2)


def styled_block(x: Tensor, s: Tensor, state: State, double: bool) -> Tensor:
    """Return a residual block with adaptive instance normalisation."""
    h = x
    for name in ("1", "2"):
        gamma, beta = F.linear(s, state[f"norm{name}.fc.weight"], state[f"norm{name}.fc.bias"]).chunk(2, 1)
        h = (1 + gamma[:, :, None, None]) * F.instance_norm(h) + beta[:, :, None, None]
        h = F.leaky_relu(h, 0.2)
        if name == "1" and double:
            h = F.interpolate(h, scale_factor=2.0)
        h = conv(h, state, f"conv{name}", padding=1)
    if double:
        x = F.interpolate(x, scale_factor=2.0)
    if "conv1x1.weight" in state:
        x = conv(x, state, "conv1x1")
    return (x + h) / math.sqrt(2)


def generate(state: State, x: Tensor, s: Tensor) -> Tensor:
    """Return translations of images x into styles s (w_hpf = 0)."""
    encode, decode = numbered(state, "encode"), numbered(state, "decode")
    halvings = int(math.log2(x.shape[2])) - 4
    x = conv(x, state, "from_rgb", padding=1)
    for i, block in enumerate(encode):
        x = residual_block(x, block, halve=i < halvings)
    for i, block in enumerate(decode):
        x = styled_block(x, s, block, double=i >= len(decode) - halvings)
    x = F.instance_norm(x, weight=state["to_rgb.0.weight"], bias=state["to_rgb.0.bias"])
    return conv(F.leaky_relu(x, 0.2), state, "to_rgb.2")


def dense(x: Tensor, state: State, prefix: str) -> Tensor:
    """Return a stack of linear layers with ReLU between them (layers have even numbers)."""
    layers = below(state, prefix)
    for i in sorted({int(k.split(".")[0]) for k in layers}):
        x = F.linear(F.relu(x) if i else x, layers[f"{i}.weight"], layers[f"{i}.bias"])
    return x


def map_code(state: State, z: Tensor, y: Tensor) -> Tensor:
    """Return styles of latent codes z for domains y."""
    h = F.relu(dense(z, state, "shared"))
    heads = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("unshared"))
    every = torch.stack([dense(h, state, f"unshared.{d}") for d in range(heads)], 1)
    return every[range(len(y)), y]


def downsample(state: State, prefix: str, x: Tensor) -> Tensor:
    """Return features (B, C, 1, 1) by halving blocks and a convolution over what is left."""
    layers = numbered(state, prefix)
    x = F.conv2d(x, layers[0]["weight"], layers[0]["bias"], padding=1)
    for block in layers[1:]:
        if "conv1.weight" in block:
            x = residual_block(x, block, halve=True)
    final = next(block for block in layers[2:] if "weight" in block)
    return F.leaky_relu(F.conv2d(F.leaky_relu(x, 0.2), final["weight"], final["bias"]), 0.2)


def encode_style(state: State, x: Tensor, y: Tensor) -> Tensor:
    """Return the styles of images x as members of domains y."""
    h = downsample(state, "shared", x).flatten(1)
    every = torch.stack([F.linear(h, head["weight"], head["bias"]) for head in numbered(state, "unshared")], 1)
    return every[range(len(y)), y]


def discriminate(state: State, x: Tensor, y: Tensor) -> Tensor:
    """Return the logits that images x are real members of domains y."""
    head = numbered(state, "main")[-1]
    return F.conv2d(downsample(state, "main", x), head["weight"], head["bias"]).flatten(1)[range(len(y)), y]


class PlainStarGANv2:
    """The published iteration on four dictionaries of parameters, with plain Adam and averages."""

    def __init__(self, states: Mapping[str, State], rates: Mapping[str, float], diversity: float, decay: float) -> None:
        self.states = {role: {k: leaf(v) for k, v in state.items()} for role, state in states.items()}
        self.averages = {
            role: {k: v.detach().clone() for k, v in self.states[role].items()}
            for role in ("generator", "mapping", "style_encoder")
        }
        self.optimizers = {
            role: torch.optim.Adam(list(state.values()), lr=rates[role], betas=(0.0, 0.99), weight_decay=1e-4)
            for role, state in self.states.items()
        }
        self.diversity, self.decay = diversity, decay

    def minimize(self, loss: Tensor, *roles: str) -> None:
        """Clear every gradient, compute every gradient, step the optimizers of the roles."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for role in roles:
            self.optimizers[role].step()

    def styles(self, guide: Tensor, y: Tensor) -> Tensor:
        """Return styles of guides: codes by the mapping network, images by the style encoder."""
        if guide.ndim == 2:
            return map_code(self.states["mapping"], guide, y)
        return encode_style(self.states["style_encoder"], guide, y)

    def discriminator_loss(self, x: Tensor, y: Tensor, y_new: Tensor, guide: Tensor) -> Tensor:
        """Return the loss of the discriminator with R1."""
        state = self.states["discriminator"]
        x = x.detach().clone().requires_grad_()
        real = discriminate(state, x, y)
        (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        with torch.no_grad():
            fake = generate(self.states["generator"], x, self.styles(guide, y_new))
        logits = discriminate(state, fake, y_new)
        ones, zeros = torch.ones_like(real), torch.zeros_like(real)
        loss = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(logits, zeros)
        return loss + 0.5 * gradient.pow(2).flatten(1).sum(1).mean()

    def generator_loss(self, x: Tensor, y: Tensor, y_new: Tensor, guide: Tensor, guide2: Tensor) -> Tensor:
        """Return the loss of the generator."""
        state = self.states["generator"]
        style = self.styles(guide, y_new)
        fake = generate(state, x, style)
        logits = discriminate(self.states["discriminator"], fake, y_new)
        adversarial = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        style_loss = (encode_style(self.states["style_encoder"], fake, y_new) - style).abs().mean()
        other = generate(state, x, self.styles(guide2, y_new)).detach()
        back = generate(state, fake, encode_style(self.states["style_encoder"], x, y))
        return adversarial + style_loss - self.diversity * (fake - other).abs().mean() + (back - x).abs().mean()

    def step(
        self, x: Tensor, y: Tensor, y_new: Tensor, codes: tuple[Tensor, Tensor], references: tuple[Tensor, Tensor]
    ) -> None:
        """Do one iteration."""
        self.minimize(self.discriminator_loss(x, y, y_new, codes[0]), "discriminator")
        self.minimize(self.discriminator_loss(x, y, y_new, references[0]), "discriminator")
        self.minimize(self.generator_loss(x, y, y_new, *codes), "generator", "mapping", "style_encoder")
        self.minimize(self.generator_loss(x, y, y_new, *references), "generator")
        for role, average in self.averages.items():
            for key, value in average.items():
                value.copy_(self.decay * value + (1 - self.decay) * self.states[role][key].detach())
