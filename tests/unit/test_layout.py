"""How images lie in memory, by the processor that trains."""

from typing import Any

import pytest
import torch

from translate.config.compose import load
from translate.training import build


@pytest.mark.parametrize(
    ("accelerator", "told", "capability", "expected"),
    [
        ("cpu", None, "AVX2", False),
        ("cpu", None, "AVX512", True),
        ("cpu", True, "AVX2", True),
        ("cpu", False, "AVX512", False),
        ("gpu", None, "AVX2", True),
        ("gpu", False, "AVX2", False),
    ],
)
def test_images_lie_as_told_or_as_is_quicker(
    accelerator: str, told: bool | None, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    overrides: list[Any] = [f"trainer.accelerator={accelerator}"]
    if told is not None:
        overrides.append(f"trainer.channels_last={str(told).lower()}")
    config = load(overrides)
    assert build.uses_channels_last(config.trainer) == expected
    model = build.build_model(config)
    weight = next(p for p in model.parameters() if p.ndim == 4 and min(p.shape[1], p.shape[2]) > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last) == expected


def test_quick_convolutions_are_a_setting() -> None:
    kinds = {
        way: {type(part).__name__ for part in build.build_model(load([f"trainer.convolutions={way}"])).modules()}
        for way in ("fast", "library")
    }
    assert "FastConv2d" in kinds["fast"]
    assert "FastConv2d" not in kinds["library"]
