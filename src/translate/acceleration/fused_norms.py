"""Instance norms that a GPU computes with their scale, shift and activation in one pass, `trainer.fused_norms`."""

import torch
from torch import Tensor, nn

from translate.errors import UserError
from translate.networks.layers.normalization import AdaIN, InstanceNorm, PlainInstanceNorm


def use_fused_norms(network: nn.Module) -> None:
    """Change the instance norms of a network to fused ones, together with the ReLU that follows in a sequence.

    Parameters and their names do not change. UserError where Triton is not installed.
    """
    try:
        import translate.acceleration.triton_norms  # noqa: F401
    except ImportError:
        fix = "install torch for CUDA, which contains it, or set trainer.fused_norms=false"
        raise UserError("fused norms need the package triton", key="trainer.fused_norms", fix=fix) from None
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            _absorb_activations(part)
    for part in network.modules():
        # a changed class is copied with the module; a method that is set on the module would not be
        if type(part) in FUSED:
            part.__class__ = FUSED[type(part)]


def _absorb_activations(sequence: nn.Sequential) -> None:
    """Let norms compute the ReLU, or leaky ReLU, behind them; the place of it stays, so that names do."""
    for place in range(len(sequence) - 1):
        norm, activation = sequence[place], sequence[place + 1]
        if type(norm) not in (InstanceNorm, PlainInstanceNorm) or norm.slope is not None:
            continue
        if isinstance(activation, nn.ReLU | nn.LeakyReLU):
            norm.slope = float(getattr(activation, "negative_slope", 0.0))
            sequence[place + 1] = nn.Identity()


def _is_fusible(x: Tensor) -> bool:
    """Return whether the kernels take these features: channels-last, on a GPU, at most float32, not compiled."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return False  # inductor fuses the plain operations; other runtimes have no Triton
    narrow = x.dtype in (torch.float32, torch.bfloat16)
    return x.is_cuda and narrow and x.is_contiguous(memory_format=torch.channels_last)


def normalize(x: Tensor, scale: Tensor | None, shift: Tensor | None, slope: float | None) -> Tensor:
    """Return ``leaky_relu(scale (x - mean) / sqrt(variance + 1e-5) + shift, slope)`` by the kernels.

    ``x`` is (B, C, S, S) in channels-last memory; scale and shift are (C), (B, C) or None. No slope: no activation.
    """
    from translate.acceleration.triton_norms import NormalizeAndActivate

    result: Tensor = NormalizeAndActivate.apply(x, scale, shift, 1.0 if slope is None else slope)
    return result


class FusedInstanceNorm(InstanceNorm):
    """`InstanceNorm` in one pass where it can be."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S)."""
        return normalize(x, self.weight, self.bias, self.slope) if _is_fusible(x) else super().forward(x)


class FusedPlainInstanceNorm(PlainInstanceNorm):
    """`PlainInstanceNorm` in one pass where it can be."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape (B, C, S, S)."""
        return normalize(x, None, None, self.slope) if _is_fusible(x) else super().forward(x)


class FusedAdaIN(AdaIN):
    """`AdaIN` in one pass where it can be."""

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return features (B, C, S, S) restyled by codes (B, Z)."""
        if not _is_fusible(x):
            return super().forward(x, style)
        gamma, beta = self.fc(style).chunk(2, dim=1)
        return normalize(x, 1 + gamma.float(), beta, self.slope)


FUSED: dict[type[nn.Module], type[nn.Module]] = {
    InstanceNorm: FusedInstanceNorm,
    PlainInstanceNorm: FusedPlainInstanceNorm,
    AdaIN: FusedAdaIN,
}
