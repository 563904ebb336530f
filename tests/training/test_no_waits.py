"""An iteration reads nothing back from its device, and copies nothing to it that the device must be waited for.

A GPU works behind the program. What the program reads, it must wait for. Fake tensors have no numbers, so an operation
that reads one raises an error. An iteration on fake tensors therefore shows that nothing is read.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode

from training import tiny as cases
from training.tiny import Case, tiny
from translate.data.batches import RawImages
from translate.data.transforms import AUGMENTATIONS, NUM_UNIFORMS, stored_sizes
from translate.models.stargan_v2 import StarGANv2
from translate.profiling import memory

CASES = {name: case for name, case in vars(cases).items() if isinstance(case, Case)}
GPU = "trainer.accelerator=gpu"


class Waits(TorchDispatchMode):
    """Records operations that wait for a device: numbers read from it, and blocking copies from the CPU to it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and record it if it waits."""
        name, options = func.overloadpacket.__name__, kwargs or {}
        tensors = [each for each in args if isinstance(each, Tensor)]
        on_device = any(each.device.type != "cpu" for each in tensors)
        reads = name in ("_local_scalar_dense", "nonzero", "masked_select", "equal") and on_device
        target = torch.device(options.get("device") or "cpu").type
        copies = name == "_to_copy" and target != "cpu" and not on_device and not options.get("non_blocking")
        if reads or copies:
            self.found.append(name)
        return func(*args, **options)


@pytest.mark.parametrize("name", CASES)
def test_an_iteration_reads_nothing(name: str) -> None:
    assert memory.estimate(CASES[name](GPU)).peak.total > 0


@pytest.mark.parametrize("read", [lambda x: x.sum().item(), lambda x: bool(x.mean() > 0), lambda x: x.nonzero()])
def test_what_is_read_is_found(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = StarGANv2.step

    def reading(self: StarGANv2, batch: Any) -> None:
        step(self, batch)
        read(batch.image)

    monkeypatch.setattr(StarGANv2, "step", reading)
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        memory.estimate(tiny(GPU))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_waits_for_nothing(name: str) -> None:
    """From the second batch on: tables are copied to a device once."""
    stored = stored_sizes(name, 32, None)[0]
    pixels = torch.zeros(2, *stored, 3, dtype=torch.uint8, device="meta")
    raw = RawImages(pixels, torch.zeros(2, NUM_UNIFORMS, device="meta"))
    AUGMENTATIONS[name](raw, 32)
    with Waits() as waits:
        AUGMENTATIONS[name](raw, 32)
    assert waits.found == []


def test_waits_are_recorded() -> None:
    with Waits() as waits:
        torch.zeros(2).to("meta")
        torch.zeros(2).to("meta", non_blocking=True)
    assert waits.found == ["_to_copy"]
