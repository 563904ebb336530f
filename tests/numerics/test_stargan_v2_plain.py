"""The fast step against the recipe written plainly, in float64, where rounding cannot hide a mistake."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from translate.data.views.reference import ReferenceBatch
from translate.losses.adversarial import NonSaturating
from translate.models.stargan_v2 import StarGANv2
from translate.networks.stargan_v2 import Discriminator, Generator, MappingNetwork, StyleEncoder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from plain_stargan_v2 import PlainStarGANv2

SIZE, DOMAINS, BATCH = 32, 3, 3
RATES = {"generator": 1e-3, "mapping": 1e-4, "style_encoder": 1e-3, "discriminator": 1e-3}


def make_model() -> StarGANv2:
    torch.manual_seed(0)
    networks = {
        "generator": Generator(SIZE, 8, base_width=4, max_width=6),
        "mapping": MappingNetwork(DOMAINS, 5, 8, hidden_width=12),
        "style_encoder": StyleEncoder(DOMAINS, SIZE, 8, base_width=4, max_width=6),
        "discriminator": Discriminator(DOMAINS, SIZE, base_width=4, max_width=6),
    }
    adam = partial(torch.optim.Adam, betas=(0.0, 0.99), weight_decay=1e-4, fused=True)
    model = StarGANv2(
        networks=networks,
        optimizers={role: partial(adam, lr=rate) for role, rate in RATES.items()},
        losses={"adversarial": NonSaturating()},
        weights={
            "discriminator": {"real": 1.0, "fake": 1.0, "r1": 1.0},
            "generator": {"adversarial": 1.0, "style": 1.0, "diversity": 2.0, "cycle": 1.0},
        },
        latent_size=5,
        ema_decay=0.9,
    )
    return model.double()


def make_batch(k: int) -> ReferenceBatch:
    draws = torch.Generator().manual_seed(k)

    def image() -> torch.Tensor:
        return torch.randn(BATCH, 3, SIZE, SIZE, generator=draws, dtype=torch.float64).tanh()

    def code() -> torch.Tensor:
        return torch.randn(BATCH, 5, generator=draws, dtype=torch.float64)

    def domain() -> torch.Tensor:
        return torch.randint(DOMAINS, (BATCH,), generator=draws)

    return ReferenceBatch(image(), domain(), domain(), image(), image(), code(), code())


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_three_iterations_equal_the_plain_recipe(memory: torch.memory_format) -> None:
    model = make_model()
    plain = PlainStarGANv2(
        {role: dict(model.network(role).named_parameters()) for role in model.roles}, RATES, diversity=2.0, decay=0.9
    )
    model = model.to(memory_format=memory)
    for k in range(3):
        b = make_batch(k)
        model.training_step(b, k)
        plain.step(b.image, b.domain, b.target, (b.code, b.code2), (b.reference, b.reference2))
    found = {f"{r}.{k}": v for r in model.roles for k, v in model.network(r).named_parameters()}
    wanted = {f"{r}.{k}": v for r, state in plain.states.items() for k, v in state.items()}
    found |= {f"average.{r}.{k}": v for r in plain.averages for k, v in model.ema[r].named_parameters()}
    wanted |= {f"average.{r}.{k}": v for r, state in plain.averages.items() for k, v in state.items()}
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        # a bias before an instance norm has no gradient but rounding, of which Adam makes steps; it changes no output
        noise = "generator" in name and name.endswith("bias") and ("conv" in name or "from_rgb" in name)
        tolerance = 1e-3 if noise else 1e-9
        torch.testing.assert_close(value, wanted[name], rtol=1e-7, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
