"""The fast steps of StarGAN v1 and CycleGAN against their recipes written plainly, in float64."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from translate.data.views.labelled import LabelledBatch
from translate.data.views.unpaired import UnpairedBatch
from translate.losses.adversarial import LeastSquares, Wasserstein
from translate.models.base import TranslationModel
from translate.models.cyclegan import CycleGAN
from translate.models.stargan_v1 import StarGANv1
from translate.networks import cyclegan, stargan_v1
from translate.networks.pix2pix import PatchDiscriminator

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from plain_cyclegan import PlainCycleGAN
from plain_stargan_v1 import PlainStarGANv1

RATE = 1e-3
SIDES = ("a", "b")


def image(k: int, number: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(10 * k + number)
    return torch.randn(3, 3, 32, 32, generator=draws, dtype=torch.float64).tanh()


def states(model: TranslationModel) -> dict[str, dict[str, torch.Tensor]]:
    return {role: dict(model.network(role).named_parameters()) for role in model.roles}


def compare(model: TranslationModel, plain: dict[str, dict[str, torch.Tensor]]) -> None:
    for role, parameters in states(model).items():
        assert parameters.keys() == plain[role].keys()
        for key, value in parameters.items():
            # a bias before an instance norm has no gradient but rounding, of which Adam makes steps
            noise = model.__class__ is CycleGAN and key.endswith("bias")
            wanted = plain[role][key]
            torch.testing.assert_close(value, wanted, rtol=1e-7, atol=3e-3 if noise else 1e-9, msg=f"{role}.{key}")


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_stargan_v1(memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=RATE, betas=(0.5, 0.999), fused=True)
    model = StarGANv1(
        networks={
            "generator": stargan_v1.Generator(4, base_width=4, num_blocks=2),
            "discriminator": stargan_v1.Discriminator(32, 4, base_width=4, num_layers=3),
        },
        optimizers={"generator": adam, "discriminator": adam},
        losses={"adversarial": Wasserstein()},
        weights={
            "discriminator": {"real": 1.0, "fake": 1.0, "classification": 1.0, "gradient_penalty": 10.0},
            "generator": {"adversarial": 1.0, "classification": 1.0, "reconstruction": 10.0},
        },
        label_sets=[{"kind": "attributes", "names": list("wxyz")}],
        num_critic=2,
    ).double()
    plain = PlainStarGANv1(states(model), RATE, num_critic=2)
    model = model.to(memory_format=memory)
    for k in range(4):
        labels = (torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(k)) > 0.5).double()
        share = model.interpolation_weights(0, 3).double()
        plain.step(image(k, 0), labels[0], labels[1], share)
        model.training_step((LabelledBatch(image(k, 0), labels[0], labels[1]),), k)
    compare(model, plain.states)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_cyclegan(memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    networks: dict[str, torch.nn.Module] = {
        f"generator_{way}": cyclegan.ResnetGenerator(4, num_blocks=2) for way in ("ab", "ba")
    }
    networks |= {f"discriminator_{side}": PatchDiscriminator(base_width=4, num_layers=2) for side in SIDES}
    adam = partial(torch.optim.Adam, lr=RATE, betas=(0.5, 0.999), fused=True)
    model = CycleGAN(
        networks=networks,
        optimizers=dict.fromkeys(networks, adam),
        losses={"adversarial": LeastSquares()},
        weights={
            "generator": {
                **{f"adversarial_{way}": 1.0 for way in ("ab", "ba")},
                **{f"cycle_{side}": 10.0 for side in SIDES},
                **{f"identity_{side}": 0.5 for side in SIDES},
            },
            "discriminator": {"real": 0.5, "fake": 0.5, "gradient_penalty": 0.0},
        },
        pool_size=0,
    ).double()
    plain = PlainCycleGAN(states(model), RATE)
    model = model.to(memory_format=memory)
    for k in range(3):
        plain.step(image(k, 0), image(k, 1))
        model.training_step(UnpairedBatch(image(k, 0), image(k, 1)), k)
    compare(model, plain.states)
