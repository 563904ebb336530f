"""Fused norms: their kernels by Triton's interpreter and compiler, the modules that take them, and activations."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from translate.acceleration import fused_norms
from translate.networks.layers.normalization import AdaIN, InstanceNorm, PlainInstanceNorm

pytest.importorskip("triton")


def test_kernels_by_the_interpreter() -> None:
    file = Path(__file__).with_name("interpreted_norms.py")
    words = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    child = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stdout
    assert " passed" in child.stdout and "skipped" not in child.stdout


def test_only_what_follows_a_norm_is_absorbed() -> None:
    sequence = nn.Sequential(InstanceNorm(3), nn.LeakyReLU(0.1), nn.ReLU(), PlainInstanceNorm(0.5), nn.ReLU())
    fused_norms.use_fused_norms(sequence)
    assert [type(part).__name__ for part in sequence] == [
        "FusedInstanceNorm", "Identity", "ReLU", "FusedPlainInstanceNorm", "ReLU",
    ]  # fmt: skip
    assert (sequence[0].slope, sequence[3].slope) == (0.1, 0.5)


def test_slopes_on_a_cpu() -> None:
    x = torch.randn(2, 3, 4, 4)
    plain = torch.nn.functional.leaky_relu(PlainInstanceNorm()(x), 0.3)
    assert torch.equal(PlainInstanceNorm(0.3)(x), plain)
    assert torch.equal(InstanceNorm(3, 0.3)(x), torch.nn.functional.leaky_relu(InstanceNorm(3)(x), 0.3))
    styled, style = AdaIN(2, 3), torch.randn(2, 2)
    expected = torch.nn.functional.leaky_relu(styled(x, style), 0.3)
    styled.slope = 0.3
    assert torch.equal(styled(x, style), expected)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_kernels_compile_for_gpus(capability: int, dtype: str) -> None:
    """Down to machine code, by the assembler that Triton contains. This needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from translate.acceleration import triton_norms

    images = {"x", "y", "dx", "dy"}
    numbers = dict.fromkeys(("rows", "channels", "chunk", "parts", "stride"), "i32") | {"slope": "fp32"}
    constants: dict[str, Any] = {"ROWS": 64, "WIDTH": 64, "AFFINE": True}
    for kernel in (
        triton_norms._moments,
        triton_norms._normalize,
        triton_norms._gradient_sums,
        triton_norms._gradients,
    ):
        words = {
            name: "constexpr" if name in constants else f"*{dtype}" if name in images else numbers.get(name, "*fp32")
            for name in kernel.arg_names
        }
        source = ASTSource(fn=kernel, signature=words, constexprs={k: v for k, v in constants.items() if k in words})
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        assert f"sm_{capability}" in compiled.asm["ptx"] and compiled.asm["cubin"]
