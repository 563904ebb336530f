"""DIAT against a second writing of its formulas (docs/diat.md) in plain torch, in float64: there is no official code.

The reference has its own networks as functions of state dicts, its own losses and its own Adam, and shares with the
model the weights that both begin with. Two iterations of every stage are compared: terms, gradients of the last update
through Adam's moments, and weights.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from numerics.formula import draw, fill, image
from translate.data.views.images import ImageBatch
from translate.data.views.unpaired import UnpairedBatch
from translate.errors import UserError
from translate.inference.diat import DIATEnhancementTranslation, DIATTranslation
from translate.losses.adversarial import NonSaturating
from translate.models import diat
from translate.networks.cyclegan import ResnetGenerator
from translate.networks.diat import Denoiser, Discriminator
from translate.networks.vgg import VGGFeatures

TAG, SIZE, BATCH, LR, BETAS = "diat_plain16", 16, 3, 1e-3, (0.5, 0.999)
State = dict[str, Tensor]
PHI_LAYERS, D_LAYERS = {"relu1_2": 1.0, "relu2_1": 0.3}, {"conv1": 0.7, "conv2": 2.0}
WEIGHTS = {
    "discriminator": {"real": 1.0, "fake": 0.5},
    "generator": {"adversarial": 1.0, "identity": 0.8, "adaptive_identity": 0.6, "regularization": 4.0},
    "enhancer": {"adversarial": 0.9, "local": 3.0, "outside": 2.0},
    "denoiser": {"reconstruction": 1.0},
}
REGION = (0.25, 0.75, 0.5, 1.0)  # rows 4 to 11, columns 8 to 15 of 16


def network(role: str) -> nn.Module:
    """Return a small network filled by formula, in float64."""
    made: nn.Module = {
        "generator": lambda: ResnetGenerator(4, num_blocks=1),
        "enhancer": lambda: ResnetGenerator(4, num_blocks=1),
        "discriminator": lambda: Discriminator(SIZE, 4, num_layers=3, hidden_width=5, norm="none"),
        "denoiser": lambda: Denoiser(4),
        "features": lambda: VGGFeatures(layers=tuple(PHI_LAYERS), base_width=4),
    }[role]()
    fill(made, TAG, role)
    return made.double()


def images(field: str, k: int) -> Tensor:
    return image(TAG, field, k, BATCH, SIZE).double()


def adam(lr: float) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.Adam, lr=lr, betas=BETAS)


# --- the second writing -----------------------------------------------------------------------------------------


def norm(h: Tensor) -> Tensor:
    """Instance norm by its definition."""
    mean = h.mean((2, 3), keepdim=True)
    variance = ((h - mean) ** 2).mean((2, 3), keepdim=True)
    return (h - mean) / torch.sqrt(variance + 1e-5)


def mirrored(h: Tensor, width: int) -> Tensor:
    return F.pad(h, (width,) * 4, mode="reflect")


def transform(s: State, x: Tensor) -> Tensor:
    """3 convolutions, a residual block, 2 transposed convolutions, 1 convolution (Johnson et al., 2016)."""
    h = F.relu(norm(F.conv2d(mirrored(x, 3), s["model.1.weight"], s["model.1.bias"])))
    for number in (4, 7):
        h = F.conv2d(h, s[f"model.{number}.weight"], s[f"model.{number}.bias"], stride=2, padding=1)
        h = F.relu(norm(h))
    inner = F.conv2d(mirrored(h, 1), s["model.10.conv_block.1.weight"], s["model.10.conv_block.1.bias"])
    inner = mirrored(F.relu(norm(inner)), 1)
    h = h + norm(F.conv2d(inner, s["model.10.conv_block.5.weight"], s["model.10.conv_block.5.bias"]))
    for number in (11, 14):
        weight, bias = s[f"model.{number}.weight"], s[f"model.{number}.bias"]
        h = F.relu(norm(F.conv_transpose2d(h, weight, bias, stride=2, padding=1, output_padding=1)))
    return torch.tanh(F.conv2d(mirrored(h, 3), s["model.18.weight"], s["model.18.bias"]))


def discriminate(s: State, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    features = {}
    for number in (1, 2, 3):
        x = F.conv2d(x, s[f"conv{number}.0.weight"], s[f"conv{number}.0.bias"], stride=2, padding=1)
        x = features[f"conv{number}"] = torch.where(x > 0, x, 0.2 * x)
    weight = s["head.0.weight"]
    hidden = x.flatten(1) @ weight.flatten(1).T + s["head.0.bias"]
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    return (hidden @ s["head.2.weight"].flatten(1).T + s["head.2.bias"]).flatten(), features


def denoise(s: State, x: Tensor) -> Tensor:
    h = F.relu(F.conv2d(mirrored(x, 1), s["conv1.weight"], s["conv1.bias"]))
    return x + F.conv2d(mirrored(h, 1), s["conv2.weight"], s["conv2.bias"])


def vgg(s: State, x: Tensor) -> dict[str, Tensor]:
    """relu1_2 and relu2_1 behind the preprocessing of torchvision."""
    mean, deviation = (torch.tensor(v, dtype=x.dtype)[:, None, None] for v in VGG_STATISTICS)
    h = ((x + 1) / 2 - mean) / deviation
    for number in (0, 2):
        h = F.relu(F.conv2d(h, s[f"features.{number}.weight"], s[f"features.{number}.bias"], padding=1))
    deeper = F.conv2d(F.max_pool2d(h, 2), s["features.5.weight"], s["features.5.bias"], padding=1)
    return {"relu1_2": h, "relu2_1": F.relu(deeper)}


VGG_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def mean_square(difference: Tensor) -> Tensor:
    return (difference**2).sum() / math.prod(difference.shape)


def distance(f: Mapping[str, Tensor], g: Mapping[str, Tensor], layers: Mapping[str, float]) -> Tensor:
    terms = [weight * mean_square(f[name] - g[name].detach()) for name, weight in layers.items()]
    return torch.stack(terms).sum()


class PlainAdam:
    """Adam as in Kingma and Ba, algorithm 1."""

    def __init__(self, state: State) -> None:
        self.state, self.steps = state, 0
        self.m, self.v = ({key: torch.zeros_like(value) for key, value in state.items()} for _ in range(2))

    def step(self, loss: Tensor) -> None:
        self.steps += 1
        gradients = torch.autograd.grad(loss, list(self.state.values()))
        with torch.no_grad():
            for (key, value), g in zip(self.state.items(), gradients, strict=True):
                m = self.m[key] = BETAS[0] * self.m[key] + (1 - BETAS[0]) * g
                v = self.v[key] = BETAS[1] * self.v[key] + (1 - BETAS[1]) * g**2
                m_hat, v_hat = m / (1 - BETAS[0] ** self.steps), v / (1 - BETAS[1] ** self.steps)
                value -= LR * m_hat / (v_hat.sqrt() + 1e-8)


def state_of(module: nn.Module, trained: bool = True) -> State:
    return {key: p.detach().clone().requires_grad_(trained) for key, p in module.named_parameters()}


def log_sigmoid(z: Tensor) -> Tensor:
    return -torch.log1p(torch.exp(-z))


def discriminator_terms(d: State, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-E[log D(r)] and -E[log(1 - D(fake))]."""
    logits = [discriminate(d, each)[0] for each in (real, fake)]
    return {"real": -log_sigmoid(logits[0]).mean(), "fake": -log_sigmoid(-logits[1]).mean()}


def total(phase: str, terms: Mapping[str, Tensor]) -> Tensor:
    assert terms.keys() == WEIGHTS[phase].keys()
    return torch.stack([WEIGHTS[phase][name] * term for name, term in terms.items()]).sum()


def recorded(phase: str, terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {f"{phase}/{name}": term.item() for name, term in terms.items()}


# --- comparisons ------------------------------------------------------------------------------------------------


def model_of(cls: type[Any], trained: tuple[str, ...], roles: tuple[str, ...], **arguments: Any) -> Any:
    networks = {role: network(role) for role in (*trained, *roles)}
    phases = {diat.Denoiser: ("denoiser",), diat.DIAT: ("discriminator", "generator")}
    model = cls(
        networks=networks,
        optimizers=dict.fromkeys(trained, adam(LR)),
        losses={} if cls is diat.Denoiser else {"adversarial": NonSaturating()},
        weights={phase: dict(WEIGHTS[phase]) for phase in phases.get(cls, ("discriminator", "enhancer"))},
        **arguments,
    )
    return model.double().train()


def compare(model: Any, batch: Any, k: int, terms: dict[str, float], states: dict[str, State]) -> None:
    """Do an iteration of the model, and compare its terms and the weights after it."""
    model.training_step(batch, k)
    for name, wanted in terms.items():
        assert model.terms[name].item() == pytest.approx(wanted, rel=1e-6), (k, name)  # terms are kept in float32
    for role, state in states.items():
        own = dict(model.network(role).named_parameters())
        assert own.keys() == state.keys()
        for key, wanted in state.items():
            if is_bias_before_a_norm(role, key):
                continue  # its gradient is rounding alone
            torch.testing.assert_close(own[key], wanted.detach(), rtol=0, atol=1e-11, msg=lambda m, n=key: f"{n}: {m}")


def is_bias_before_a_norm(role: str, key: str) -> bool:
    return role in ("generator", "enhancer") and key.endswith("bias") and key != "model.18.bias"


def test_two_iterations_of_the_transform_equal_the_formulas() -> None:
    model = model_of(
        diat.DIAT,
        ("generator", "discriminator"),
        ("features", "denoiser"),
        identity_layers=tuple(PHI_LAYERS),
        identity_layer_weights=tuple(PHI_LAYERS.values()),
        adaptive_layers=tuple(D_LAYERS),
        adaptive_layer_weights=tuple(D_LAYERS.values()),
    )
    t, d = (state_of(network(role)) for role in ("generator", "discriminator"))
    phi, n = (state_of(network(role), trained=False) for role in ("features", "denoiser"))
    of_t, of_d = PlainAdam(t), PlainAdam(d)
    for k in range(2):
        x, r = images("x", k), images("r", k)
        y = transform(t, x)
        terms_d = discriminator_terms(d, r, y.detach())
        of_d.step(total("discriminator", terms_d))
        logits, inner = discriminate(d, y)
        terms_t = {
            "adversarial": -log_sigmoid(logits).mean(),
            "identity": distance(vgg(phi, y), vgg(phi, x), PHI_LAYERS),
            "adaptive_identity": distance(inner, discriminate(d, x)[1], D_LAYERS),
            "regularization": mean_square(y - denoise(n, y)),
        }
        of_t.step(total("generator", terms_t))
        terms = recorded("discriminator", terms_d) | recorded("generator", terms_t)
        compare(model, UnpairedBatch(x, r), k, terms, {"generator": t, "discriminator": d, "denoiser": n})


def test_two_iterations_of_the_enhancement_equal_the_formulas() -> None:
    model = model_of(diat.DIATEnhancement, ("enhancer", "discriminator"), ("generator",), region=REGION)
    t = state_of(network("generator"), trained=False)
    e, d = (state_of(network(role)) for role in ("enhancer", "discriminator"))
    of_e, of_d = PlainAdam(e), PlainAdam(d)
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[4:12, 8:16] = True
    for k in range(2):
        x, r = images("x", k), images("r", k)
        y = transform(t, x)
        z = transform(e, y)
        terms_d = discriminator_terms(d, r, z.detach())
        of_d.step(total("discriminator", terms_d))
        terms_e = {
            "adversarial": -log_sigmoid(discriminate(d, z)[0]).mean(),
            "local": mean_square((z - y)[..., inside]),
            "outside": mean_square((z - x)[..., ~inside]),
        }
        of_e.step(total("enhancer", terms_e))
        terms = recorded("discriminator", terms_d) | recorded("enhancer", terms_e)
        compare(model, UnpairedBatch(x, r), k, terms, {"generator": t, "enhancer": e, "discriminator": d})


def test_two_iterations_of_the_denoiser_equal_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.from_numpy(draw(f"{TAG}/noise", (BATCH, 3, SIZE, SIZE))).double()
    monkeypatch.setattr(diat.Denoiser, "normal_noise", lambda self, like, number: noise)
    model = model_of(diat.Denoiser, ("denoiser",), (), noise=0.3)
    n = state_of(network("denoiser"))
    of_n = PlainAdam(n)
    for k in range(2):
        x = images("x", k)
        terms = {"reconstruction": mean_square(denoise(n, x + 0.3 * noise) - x)}
        of_n.step(total("denoiser", terms))
        compare(model, ImageBatch(x), k, recorded("denoiser", terms), {"denoiser": n})


def test_noise_is_that_of_the_positions_in_the_stream() -> None:
    """Its deviation is that of the configuration, and it changes with the iteration."""
    model = model_of(diat.Denoiser, ("denoiser",), (), noise=0.3)
    seen: list[Tensor] = []
    model.network("denoiser").register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    x = images("x", 0)
    for k in range(2):
        model.training_step(ImageBatch(x), k)
    differences = [each - x for each in seen]
    assert differences[0].std().item() == pytest.approx(0.3, rel=0.05)
    assert not differences[0].allclose(differences[1])


def test_translations_are_those_of_the_networks_in_a_row() -> None:
    networks = {role: network(role).float() for role in ("generator", "enhancer")}
    x, target = images("x", 0).float(), torch.ones(BATCH, dtype=torch.int64)
    with torch.no_grad():
        y = networks["generator"](x)
        z = networks["enhancer"](y)
    torch.testing.assert_close(DIATTranslation(networks)(x, target), y)
    torch.testing.assert_close(DIATEnhancementTranslation(networks)(x, target), z)
    with pytest.raises(UserError, match="translates to domain 1 only"):
        DIATTranslation(networks)(x, 0 * target)


ADAPTIVE = {"adversarial": 1.0, "identity": 0.0, "adaptive_identity": 1.0, "regularization": 0.0}


def make(weights: Mapping[str, float], roles: tuple[str, ...] = (), **arguments: Any) -> diat.DIAT:
    trained = ("generator", "discriminator")
    return diat.DIAT(
        networks={role: network(role) for role in (*trained, *roles)},
        optimizers=dict.fromkeys(trained, adam(LR)),
        losses={"adversarial": NonSaturating()},
        weights={"discriminator": WEIGHTS["discriminator"], "generator": dict(weights)},
        **arguments,
    ).double()


def test_the_adaptive_identity_has_gradients_for_the_transform_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(ADAPTIVE | {"adversarial": 0.0}, adaptive_layers=["conv2"])
    batch = UnpairedBatch(images("x", 0), images("r", 0))
    after_d: dict[str, Tensor] = {}
    loss = diat.DIAT.generator_loss

    def spy(self: diat.DIAT, *tensors: Tensor) -> Tensor:
        after_d.update({key: p.detach().clone() for key, p in self.discriminator.named_parameters()})
        assert not any(p.requires_grad for p in self.discriminator.parameters())
        return loss(self, *tensors)

    monkeypatch.setattr(diat.DIAT, "generator_loss", spy)
    before = {key: p.detach().clone() for key, p in model.generator.named_parameters()}
    model.training_step(batch, 0)
    assert all(p.equal(after_d[key]) for key, p in model.discriminator.named_parameters())
    assert any(not p.equal(before[key]) for key, p in model.generator.named_parameters())
    assert model.terms["generator/adaptive_identity"] > 0


@pytest.mark.parametrize(
    ("change", "roles", "arguments", "sentence"),
    [
        ({}, (), {}, "adaptive_layers: the term adaptive_identity needs layers"),
        ({}, (), {"adaptive_layers": ["conv9"]}, "does not give this layer 'conv9'.*Known"),
        (
            {},
            (),
            {"adaptive_layers": ["conv1"], "adaptive_layer_weights": [1, 2]},
            "adaptive_layer_weights: .*1 numbers",
        ),
        ({"identity": 1.0}, (), {}, "weights.generator.identity: .*features belong together"),
        ({}, ("denoiser",), {"adaptive_layers": ["conv1"]}, "networks.denoiser: the term regularization"),
    ],
)
def test_terms_and_what_they_need_belong_together(
    change: dict[str, float], roles: tuple[str, ...], arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        make(ADAPTIVE | change, roles, **arguments)


@pytest.mark.parametrize(
    ("region", "outside", "sentence"),
    [
        (None, 1.0, "weights.enhancer.outside: the region is the whole image"),
        ((0.5, 0.5, 0.0, 1.0), 0.0, "region: found .*expected top, bottom, left, right"),
        ((0.0, 1.0), 0.0, "region: found .*expected top, bottom, left, right"),
    ],
)
def test_regions_that_are_none_are_refused(region: Any, outside: float, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        diat.DIATEnhancement(
            networks={role: network(role) for role in ("generator", "enhancer", "discriminator")},
            optimizers=dict.fromkeys(("enhancer", "discriminator"), adam(LR)),
            losses={"adversarial": NonSaturating()},
            weights={
                "discriminator": WEIGHTS["discriminator"],
                "enhancer": {"adversarial": 1.0, "local": 1.0, "outside": outside},
            },
            region=region,
        )
