"""The published figures again, every convolution that can be quick being so, however small."""

from types import ModuleType
from typing import Any

import pytest
import torch

from numerics import test_cyclegan_golden, test_stargan_v1_golden, test_stargan_v2_golden
from translate.acceleration import cpu_convolutions
from translate.acceleration.cpu_convolutions import use_fast_convolutions

WAYS = {
    "winograd": {"WIDE": 1, "MANY_PLACES": 1, "HEAVY": 2**62, "is_faster": lambda algorithm: True},
    "strips": {"LONG": 3, "MANY_CHANNELS": 1, "HEAVY": 2**62},
    "product": {"HEAVY": 1, "FEW_PLACES": 2**62},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(cpu_convolutions, name, value)
    for module, make in (
        (test_cyclegan_golden, "networks"),
        (test_stargan_v1_golden, "networks_of"),
        (test_stargan_v2_golden, "networks_of"),
    ):
        monkeypatch.setattr(module, make, quick(module, make))


def quick(module: ModuleType, make: str) -> Any:
    plainly = getattr(module, make)

    def made(*given: Any) -> dict[str, torch.nn.Module]:
        networks: dict[str, torch.nn.Module] = plainly(*given)
        for network in networks.values():
            use_fast_convolutions(network)
        return networks

    return made


@pytest.mark.usefixtures("way")
def test_forward_equals_published() -> None:
    test_cyclegan_golden.test_forward_equals_published()
    test_stargan_v1_golden.test_forward_equals_published("stargan_v1_joint64")
    test_stargan_v2_golden.test_forward_equals_published("stargan_v2_afhq64")


@pytest.mark.usefixtures("way")
def test_iterations_of_cyclegan_equal_published(monkeypatch: pytest.MonkeyPatch) -> None:
    test_cyclegan_golden.test_three_iterations_equal_published(monkeypatch)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("way", ["product"], indirect=True)
def test_iterations_of_stargan_v2_equal_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by Winograd: Adam's first step is a sign, so whether its weights are near depends on the rounding at hand."""
    test_stargan_v2_golden.test_three_iterations_equal_published(monkeypatch)


@pytest.mark.usefixtures("way")
def test_steps_of_stargan_v1_equal_published(monkeypatch: pytest.MonkeyPatch) -> None:
    test_stargan_v1_golden.test_six_steps_equal_published("stargan_v1_celeba64", monkeypatch)
