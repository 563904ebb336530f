"""Every registered loss against its formula, worked out a second time in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.losses.adversarial import NonSaturating
from translate.losses.penalties import r1
from translate.losses.reconstruction import l1
from translate.registry import LOSSES

LOGITS = [-80.0, -21.0, -3.0, -0.5, 0.0, 1e-3, 0.7, 4.0, 19.0, 60.0]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def check_non_saturating() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64).reshape(2, 5)
    loss = NonSaturating()
    against = sum(softplus(-x) for x in LOGITS) / len(LOGITS)
    for_it = sum(softplus(x) for x in LOGITS) / len(LOGITS)
    assert loss.real(logits).item() == pytest.approx(against, rel=1e-9)
    assert loss.generator(logits).item() == pytest.approx(against, rel=1e-9)
    assert loss.fake(logits).item() == pytest.approx(for_it, rel=1e-9)
    for x in LOGITS:  # d softplus(x) / dx is the logistic function: no saturation where the discriminator is sure
        one = torch.tensor([x], dtype=torch.float64, requires_grad=True)
        loss.generator(one).backward()
        assert one.grad is not None
        assert one.grad.item() == pytest.approx(-1 / (1 + math.exp(x)), rel=1e-6, abs=1e-8)


def check_l1() -> None:
    draws = np.random.default_rng(0)
    found, wanted = draws.normal(size=(2, 3, 4, 5)), draws.normal(size=(2, 3, 4, 5))
    distance = l1(torch.from_numpy(found), torch.from_numpy(wanted))
    assert distance.shape == ()
    pairs = zip(found.flat, wanted.flat, strict=True)
    assert distance.item() == pytest.approx(sum(abs(a - b) for a, b in pairs) / 120, rel=1e-12)


def critic() -> tuple[Tensor, Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Return logits sum_j w_j tanh(A x)_j of a batch x, and x, A, w and x as arrays."""
    draws = np.random.default_rng(1)
    x, matrix, weight = draws.normal(size=(4, 2, 3, 3)), draws.normal(size=(7, 18)), draws.normal(size=7)
    real = torch.from_numpy(x).requires_grad_()
    logits = torch.tanh(real.flatten(1) @ torch.from_numpy(matrix).T) @ torch.from_numpy(weight)
    return logits, real, matrix, weight, x.reshape(4, 18)


def check_r1() -> None:
    logits, real, matrix, weight, x = critic()
    slope = (1 - np.tanh(x @ matrix.T) ** 2) * weight  # (4, 7)
    gradient = slope @ matrix  # (4, 18), of each image's own logit
    wanted = 0.5 * (gradient**2).sum(1).mean()
    found = r1(logits, real)
    assert found.shape == ()
    assert found.item() == pytest.approx(wanted, rel=1e-6)


CASES: dict[str, Callable[[], None]] = {"non_saturating": check_non_saturating, "l1": check_l1, "r1": check_r1}
NAMES = [name for name in LOSSES.names() if LOSSES.entry(name).module.startswith("translate.")]


@pytest.mark.parametrize("name", NAMES)
def test_loss_equals_its_formula(name: str) -> None:
    assert name in CASES, f"the loss {name!r} has no case: derive it here a second time"
    CASES[name]()


def test_no_case_is_left_over() -> None:
    assert set(CASES) <= set(NAMES)


def test_r1_in_double_precision() -> None:
    logits, real, matrix, weight, x = critic()
    gradient = ((1 - np.tanh(x @ matrix.T) ** 2) * weight) @ matrix
    found = r1(logits, real)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(0.5 * (gradient**2).sum(1).mean(), rel=1e-12)


def test_r1_can_be_descended() -> None:
    """The gradient of the penalty with respect to a weight equals its difference quotient."""
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)

    def penalty(w: Tensor) -> Tensor:
        real = x.clone().requires_grad_()
        return r1((w * torch.tanh(w * real)).sum(1), real)

    w = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(penalty(w), w)
    step = 1e-4
    quotient = (penalty(w.detach() + step) - penalty(w.detach() - step)) / (2 * step)
    assert found.item() == pytest.approx(quotient.item(), rel=1e-3)


def test_r1_is_zero_for_a_constant_critic_and_grows_with_the_square() -> None:
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert r1(0 * x.flatten(1).sum(1), x).item() == 0
    assert r1(x.flatten(1).sum(1), x).item() == pytest.approx(0.5 * 32)
    assert r1(3 * x.flatten(1).sum(1), x).item() == pytest.approx(9 * 0.5 * 32)


def test_r1_stays_in_single_precision_for_half_inputs() -> None:
    x = torch.full((2, 4), 0.1, dtype=torch.bfloat16, requires_grad=True)
    assert r1((300 * x).sum(1), x).dtype == torch.float32


@pytest.mark.parametrize("side", ["real", "fake", "generator"])
def test_extreme_logits_stay_finite(side: str) -> None:
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = getattr(NonSaturating(), side)(logits)
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
