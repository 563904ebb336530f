"""Batch norm with the statistics of the global batch, whatever the number of processes and microbatches.

For a channel, with means over all N values of the global batch (images and pixels), and g the gradient of y:

    y = w x_hat + b,   x_hat = (x - m) / sqrt(v + eps),   m = mean(x),   v = mean((x - m)^2)
    dL/dx = w / sqrt(v + eps) (g - mean(g) - x_hat mean(g x_hat))

Each shard computes its means with torch's fused operations. One collective call in each direction joins them.
Microbatches wait for each other in the forward pass, and one autograd node holds those of a process. So the losses of
all microbatches must be differentiated in one backward pass (`translate.models.base`), with all activations alive.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from translate.distributed.collectives import all_reduce_mean, gather, shard_count
from translate.distributed.microbatches import current_microbatch, rendezvous
from translate.errors import UserError

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class GlobalBatchNorm(BatchNorm):
    """A batch norm of torch that normalises by the statistics of the global batch; `synchronize` makes it of another.

    The running statistics are those of one process with the whole batch. Every process and every microbatch must call
    it equally often, with features of the same shape. In eval mode, and where there is one shard, it is torch's own.
    Gradients of gradients are refused: a gradient penalty would need those of the other shards.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.ndim > 1, input.shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features (B, C, ...) of the current shard."""
        if shard_count() == 1 or not (self.training or self.running_mean is None):
            return super().forward(x)
        return self._of_global_batch(x)

    @torch.compiler.disable
    def _of_global_batch(self, x: Tensor) -> Tensor:
        normalized: Sequence[Tensor] = rendezvous(x, self._normalize)
        return normalized[current_microbatch().index]

    def _normalize(self, microbatches: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the normalised features of all microbatches of this process; move the running statistics once."""
        mean, variance, count = global_statistics(microbatches)
        if self.training and self.track_running_stats:
            self._move_running_statistics(mean, variance, count)
        normalized: tuple[Tensor, ...] = _Normalize.apply(
            self.weight, self.bias, mean, variance, self.eps, *microbatches
        )
        return normalized

    def _move_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        fraction = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), fraction)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), fraction)


@torch.no_grad()
def global_statistics(microbatches: Sequence[Tensor]) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance (C,) of each channel over the global batch, and the number of values of a channel.

    ``microbatches`` (B, C, ...) are those of this process. All shards have the same shape, so the mean of their means
    is the mean, and the variance is the mean of their variances plus the variance of their means.
    """
    own = torch.stack([torch.stack(_mean_and_variance(x)) for x in microbatches])
    means, variances = gather(own).unbind(1)
    count = microbatches[0][:, 0].numel() * len(means)
    if count == 1:
        raise ValueError(f"batch norm needs more than one value of each channel, found {tuple(microbatches[0].shape)}")
    return means.mean(0), variances.mean(0) + means.var(0, correction=0), count


def _mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance (C,) of features (B, C, ...), in float32 or better."""
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    variance, mean = torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)
    return mean, variance


class _Normalize(torch.autograd.Function):
    """Normalise the microbatches of a process by given statistics, which depend on the inputs of all shards."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        epsilon: float,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(weight, mean, variance, *inputs)
        ctx.epsilon = epsilon
        return tuple(F.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon) for x in inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise UserError(
                "batch norm over several processes or microbatches cannot be differentiated twice",
                fix="set the weight of the gradient penalty to 0, or use a network without batch norm",
            )
        weight, mean, variance, *inputs = ctx.saved_tensors
        ones = torch.ones_like(mean) if weight is None else weight
        # with fixed statistics: w g / sqrt(v + eps), sum(g x_hat), sum(g)
        pieces = [
            torch.ops.aten.native_batch_norm_backward(
                gradient, x, ones, mean, variance, None, None, False, ctx.epsilon, [True, True, True]
            )
            for gradient, x in zip(gradients, inputs, strict=True)
        ]
        of_weight, of_bias = (torch.stack([piece[number] for piece in pieces]).sum(0) for number in (1, 2))
        of_inputs: list[Tensor | None] = [None] * len(inputs)
        if any(ctx.needs_input_grad[5:]):
            count = sum(x[:, 0].numel() for x in inputs)  # of this process
            sums = [of_weight.clone(), of_bias.clone()]
            all_reduce_mean(sums)
            scale = ones * torch.rsqrt(variance + ctx.epsilon) / -count
            # by the statistics: -w / sqrt(v + eps) (mean(g) + x_hat mean(g x_hat))
            of_inputs = [
                piece[0].add_(
                    F.batch_norm(x, mean, variance, scale * sums[0], scale * sums[1], False, 0.0, ctx.epsilon)
                )
                for piece, x in zip(pieces, inputs, strict=True)
            ]
        needs_weight, needs_bias = ctx.needs_input_grad[:2]
        return of_weight if needs_weight else None, of_bias if needs_bias else None, None, None, None, *of_inputs


def synchronize(network: nn.Module) -> bool:
    """Let the batch norms of a network use the statistics of the global batch, in place; return whether it has any.

    Parameters, buffers and their names stay. UserError for a class derived from torch's batch norms, whose own forward
    pass would be lost.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for module in norms:
        if type(module) not in (*KINDS, GlobalBatchNorm):
            raise UserError(
                f"{type(module).__name__} cannot share its statistics with other processes or microbatches",
                fix="train in one process with trainer.accumulate=1, or use torch's batch norm",
            )
        module.__class__ = GlobalBatchNorm
    return bool(norms)


def is_synchronized(network: nn.Module) -> bool:
    """Return whether a network has batch norms that use the statistics of the global batch."""
    return any(isinstance(module, GlobalBatchNorm) for module in network.modules())
