"""Every registered loss against its formula, worked out a second time in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.errors import UserError
from translate.losses.adversarial import (
    Hinge,
    LeastSquares,
    NonSaturating,
    ProbabilityDifference,
    Relativistic,
    Ternary,
    Wasserstein,
)
from translate.losses.adversarial_maps import Multiscale, RisingMaps
from translate.losses.classification import attribute_cross_entropy, class_cross_entropy
from translate.losses.contrastive import patch_nce
from translate.losses.penalties import gradient_penalty, r1, r2, squared_gradients, zero_centred
from translate.losses.perceptual import feature_mse, normalized_feature_distance
from translate.losses.reconstruction import cosine, l1, l2, masked_l2, norm, smooth_l1
from translate.losses.regularization import code_energy, mean_variation, squared_variation, total_variation
from translate.losses.style import gram_distance, gram_matrix
from translate.losses.super_resolution import mean_squared_variation, pixel_mse
from translate.registry.registry import LOSSES

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


def check_gradient_penalty() -> None:
    logits, mixed, matrix, weight, x = critic()
    gradient = ((1 - np.tanh(x @ matrix.T) ** 2) * weight) @ matrix  # (4, 18), of each image's own logit
    wanted = ((np.sqrt((gradient**2).sum(1)) - 1) ** 2).mean()
    found = gradient_penalty(logits, mixed)
    assert found.shape == ()
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def check_wasserstein() -> None:
    scores = torch.tensor(LOGITS, dtype=torch.float64).reshape(5, 1, 1, 2)
    mean = sum(LOGITS) / len(LOGITS)
    loss = Wasserstein()
    assert loss.real(scores).item() == pytest.approx(-mean, rel=1e-12)
    assert loss.fake(scores).item() == pytest.approx(mean, rel=1e-12)
    assert loss.generator(scores).item() == pytest.approx(-mean, rel=1e-12)


def check_least_squares() -> None:
    scores = torch.tensor(LOGITS, dtype=torch.float64).reshape(5, 1, 1, 2)
    to_one = sum((x - 1) ** 2 for x in LOGITS) / len(LOGITS)
    loss = LeastSquares()
    assert loss.real(scores).item() == pytest.approx(to_one, rel=1e-12)
    assert loss.fake(scores).item() == pytest.approx(sum(x**2 for x in LOGITS) / len(LOGITS), rel=1e-12)
    assert loss.generator(scores).item() == pytest.approx(to_one, rel=1e-12)


def check_attribute_cross_entropy() -> None:
    labels = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    each = [softplus(-x) if label else softplus(x) for x, label in zip(LOGITS, labels, strict=True)]
    logits, given = (torch.tensor(v, dtype=torch.float64).reshape(2, 5) for v in (LOGITS, labels))
    assert attribute_cross_entropy(logits, given).item() == pytest.approx(sum(each) / 2, rel=1e-12)
    one = attribute_cross_entropy(logits[:1], given[:1]).item()
    assert one == pytest.approx(sum(each[:5]), rel=1e-12)  # the sum over attributes, not their mean


def check_class_cross_entropy() -> None:
    draws = np.random.default_rng(2)
    logits, kinds = 5 * draws.normal(size=(6, 4)), draws.integers(0, 4, 6)
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = -np.log(share[np.arange(6), kinds]).mean()
    found = class_cross_entropy(torch.from_numpy(logits), torch.eye(4, dtype=torch.float64)[torch.from_numpy(kinds)])
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def check_multiscale() -> None:
    """Means or sums within a map, then the weighted sum over maps."""
    draws = np.random.default_rng(3)
    maps = [draws.normal(size=(2, 1, side, side)) for side in (4, 2, 1)]
    logits = [torch.from_numpy(each) for each in maps]
    for weights in (None, [1.0, 2.0, 5.0]):
        factors = weights or [1.0, 1.0, 1.0]
        loss = Multiscale("least_squares", weights)
        terms = loss.discriminator_terms(logits, fake=logits)
        assert terms["real"].item() == pytest.approx(
            sum(w * ((each - 1) ** 2).mean() for w, each in zip(factors, maps, strict=True)), rel=1e-12
        )
        assert terms["fake"].item() == pytest.approx(
            sum(w * (each**2).mean() for w, each in zip(factors, maps, strict=True)), rel=1e-12
        )
        summed = Multiscale("non_saturating", weights, reduction="sum")
        wanted = sum(
            w * np.mean([sum(softplus(-x) for x in image.flat) for image in each])
            for w, each in zip(factors, maps, strict=True)
        )
        assert summed.generator_term(logits, unread).item() == pytest.approx(wanted, rel=1e-12)
    one_map = Multiscale("wasserstein").discriminator_terms(logits[1], fake=logits[0])
    assert one_map["fake"].item() == pytest.approx(maps[0].mean(), rel=1e-12)


def check_code_energy() -> None:
    code = np.random.default_rng(4).normal(size=(2, 3, 4, 4))
    assert code_energy(torch.from_numpy(code)).item() == pytest.approx((code**2).mean(), rel=1e-12)


def check_normalized_feature_distance() -> None:
    draws = np.random.default_rng(5)
    maps = [draws.normal(size=(2, 3, 4, 5)) * scale for scale in (1.0, 30.0)]
    normalized = [
        (each - each.mean((2, 3), keepdims=True)) / np.sqrt(each.var((2, 3), keepdims=True) + 1e-5) for each in maps
    ]
    found = normalized_feature_distance(*map(torch.from_numpy, maps))
    assert found.shape == ()
    assert found.item() == pytest.approx(((normalized[0] - normalized[1]) ** 2).mean(), rel=1e-12)


def check_rising_maps() -> None:
    """Four maps: (1 L_1 + 2 L_2 + 3 L_3 + 5 L_4) / 44; two maps: (1 L_1 + 3 L_2) / 8."""
    draws = np.random.default_rng(4)
    maps = [draws.normal(size=(2, 1, side, side)) for side in (6, 4, 2, 1)]
    loss = RisingMaps()
    for count, weights, total in ((4, (1, 2, 3, 5), 44), (2, (1, 3), 8)):
        logits = [torch.from_numpy(each) for each in maps[:count]]
        sides = {**loss.discriminator_terms(logits, fake=logits), "generator": loss.generator_term(logits, unread)}
        for name, goal in (("real", 1), ("fake", 0), ("generator", 1)):
            wanted = sum(w * ((each - goal) ** 2).mean() for w, each in zip(weights, maps[:count], strict=True)) / total
            assert sides[name].item() == pytest.approx(wanted, rel=1e-12)


def check_hinge() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64).reshape(2, 5)
    loss = Hinge()
    assert loss.real(logits).item() == pytest.approx(sum(1 - x for x in LOGITS if x < 1) / 10, rel=1e-12)
    assert loss.fake(logits).item() == pytest.approx(sum(1 + x for x in LOGITS if x > -1) / 10, rel=1e-12)
    assert loss.generator(logits).item() == pytest.approx(-sum(LOGITS) / 10, rel=1e-12)


def check_relativistic() -> None:
    """Each real logit against its own fake one; the gradient of both terms together is that of the loss."""
    draws = np.random.default_rng(8)
    x, g, w = 5 * draws.normal(size=(3, 4, 1, 2, 2))
    real, fake, wrong = (torch.from_numpy(each).requires_grad_() for each in (x, g, w))
    loss = Relativistic()

    def value(higher: np.ndarray, lower: np.ndarray) -> float:
        return sum(softplus(b - a) for a, b in zip(higher.flat, lower.flat, strict=True)) / higher.size

    terms = loss.discriminator_terms(real, wrong=wrong, fake=fake)
    assert list(terms) == ["real", "wrong", "fake"]
    assert terms["fake"].item() == pytest.approx(value(x, g), rel=1e-12)
    assert terms["wrong"].item() == pytest.approx(value(x, w), rel=1e-12)
    assert terms["real"].item() == pytest.approx((value(x, g) + value(x, w)) / 2, rel=1e-12)
    found = torch.autograd.grad(terms["real"] + (terms["fake"] + terms["wrong"]) / 2, (real, fake, wrong))
    whole = (F.softplus(fake - real).mean() + F.softplus(wrong - real).mean()) / 2
    for ours, theirs in zip(found, torch.autograd.grad(whole, (real, fake, wrong)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    of_generator = loss.generator_term(fake, lambda: real * 1.0)
    assert of_generator.item() == pytest.approx(value(g, x), rel=1e-12)
    of_generator.backward()
    assert real.grad is None  # a constant, although it has a history
    assert fake.grad is not None
    with pytest.raises(UserError, match=r"equally many logits; found logits of the shapes \(2, 1\) and \(4, 1\)"):
        loss.pair(torch.zeros(2, 1), torch.zeros(4, 1))


def test_maps_are_paired_each_with_its_own() -> None:
    draws = np.random.default_rng(9)
    real, fake = ([torch.from_numpy(draws.normal(size=(2, 1, side, side))) for side in (4, 2)] for _ in range(2))
    calls = []
    loss, single = Multiscale("relativistic", [1.0, 3.0]), Relativistic()
    assert loss.paired
    assert not Multiscale("hinge").paired
    wanted = single.pair(real[0], fake[0]) + 3 * single.pair(real[1], fake[1])
    assert loss.discriminator_terms(real, fake=fake)["fake"].item() == pytest.approx(wanted.item(), rel=1e-12)
    wanted = single.pair(fake[0], real[0]) + 3 * single.pair(fake[1], real[1])
    found = loss.generator_term(fake, lambda: calls.append(1) or real)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
    assert len(calls) == 1  # one forward pass for all maps


def check_penalty(penalty: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    """D(x) = mean over patches of a_p . x + (x . x) / 2 has the gradient mean(a_p) + x."""
    draws = np.random.default_rng(10)
    x, slopes = draws.normal(size=(3, 5)), draws.normal(size=(4, 5))
    images = torch.from_numpy(x).requires_grad_()
    patches = images @ torch.from_numpy(slopes).T + images.square().sum(1, keepdim=True) / 2
    wanted = 0.5 * ((slopes.mean(0) + x) ** 2).sum(1).mean()
    assert penalty(patches.reshape(3, 1, 2, 2), images).item() == pytest.approx(wanted, rel=1e-12)


def check_r2() -> None:
    check_penalty(r2)


def check_zero_centred() -> None:
    check_penalty(zero_centred)


def test_penalties_average_over_maps_and_come_from_one_backward_pass() -> None:
    x, y = (torch.randn(2, 3, generator=torch.Generator().manual_seed(k)).double().requires_grad_() for k in (0, 1))

    def maps(images: torch.Tensor) -> list[torch.Tensor]:
        return [images.square().sum(1)[:, None, None, None].expand(2, 1, 4, 4), 3 * images.square().sum(1)[:, None]]

    both = squared_gradients([maps(x), maps(y)], [x, y])
    for images, found in zip((x, y), both, strict=True):  # D(x) = (|x|^2 + 3 |x|^2) / 2, its gradient 4 x
        assert found.item() == pytest.approx(8 * images.square().sum(1).mean().item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(both[0], x)
    torch.testing.assert_close(gradient, 8 * x.detach(), rtol=1e-12, atol=0)


def unread() -> list[torch.Tensor]:
    raise AssertionError("an unpaired loss reads no logits of real images for the generator")


def check_ternary() -> None:
    draws = np.random.default_rng(6)
    logits = 5 * draws.normal(size=(7, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = Ternary()
    exact = torch.from_numpy(logits)
    terms = loss.discriminator_terms(real=exact, source=exact, target=exact)
    for number, name in enumerate(("source", "target", "real")):
        assert terms[name].item() == pytest.approx(-np.log(probabilities[:, number]).mean(), rel=1e-12)
    found = loss.generator_term(exact, unread)
    assert found.item() == pytest.approx(-np.log(probabilities[:, 2]).mean(), rel=1e-12)
    far = torch.tensor([[0.0, 800.0, 0.0]])  # exp overflows in float32
    assert loss.real(far).item() == 800.0
    with pytest.raises(UserError, match="a logit for each of three classes; found 1"):
        loss.real(torch.zeros(2, 1))


def two_batches() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(7)
    return draws.normal(size=(4, 3, 2, 5)), draws.normal(size=(4, 3, 2, 5))


def check_l2() -> None:
    found, wanted = two_batches()
    distance = l2(torch.from_numpy(found), torch.from_numpy(wanted))
    assert distance.item() == pytest.approx(((found - wanted) ** 2).mean(), rel=1e-12)


def check_masked_l2() -> None:
    found, wanted = two_batches()
    mask = np.array([[1, 0, 0, 1, 0], [1, 0, 1, 0, 0]], np.float64)
    squares = [(found - wanted)[..., row, column] ** 2 for row, column in zip(*mask.nonzero(), strict=True)]
    pair = torch.from_numpy(found), torch.from_numpy(wanted)
    assert masked_l2(*pair, torch.from_numpy(mask)).item() == pytest.approx(np.mean(squares), rel=1e-12)
    assert masked_l2(*pair, torch.ones(2, 5)).item() == pytest.approx(((found - wanted) ** 2).mean(), rel=1e-12)


def check_smooth_l1() -> None:
    found, wanted = (3 * each for each in two_batches())
    difference = np.abs(found - wanted)
    assert (difference < 1).any()
    assert (difference > 1).any()
    values = np.where(difference < 1, difference**2 / 2, difference - 0.5)
    distance = smooth_l1(torch.from_numpy(found), torch.from_numpy(wanted))
    assert distance.item() == pytest.approx(values.mean(), rel=1e-12)


def check_cosine() -> None:
    found, wanted = two_batches()
    a, b = found.reshape(4, -1), wanted.reshape(4, -1)
    cosines = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    assert cosine(torch.from_numpy(found), torch.from_numpy(wanted)).item() == pytest.approx((1 - cosines).mean())
    assert cosine(torch.from_numpy(found), torch.from_numpy(-2 * found)).item() == pytest.approx(2)


def check_norm() -> None:
    found, wanted = two_batches()
    difference = np.abs(found - wanted).reshape(4, -1)
    pair = torch.from_numpy(found), torch.from_numpy(wanted)
    assert norm(*pair).item() == pytest.approx(np.sqrt((difference**2).sum(1)).mean(), rel=1e-12)
    assert norm(*pair, order=1).item() == pytest.approx(difference.sum(1).mean(), rel=1e-12)


def check_total_variation() -> None:
    z = two_batches()[0]
    images, euclidean, absolute = torch.from_numpy(z), 0.0, 0.0
    for image in z.reshape(12, 2, 5):
        for row in range(2):
            for column in range(5):
                right = image[row, column + 1] - image[row, column] if column < 4 else 0.0
                down = image[row + 1, column] - image[row, column] if row < 1 else 0.0
                absolute += abs(right) + abs(down)
                euclidean += math.hypot(right, down) if column < 4 and row < 1 else 0.0
    assert total_variation(images).item() == pytest.approx(euclidean / 4)
    assert total_variation(images, channels="mean").item() == pytest.approx(euclidean / 12)
    assert total_variation(images, "absolute").item() == pytest.approx(absolute / 4)
    flat = torch.zeros(1, 3, 4, 4, requires_grad=True)
    total_variation(flat).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()  # the root has no infinite slope at 0


def check_gram_distance() -> None:
    """Johnson et al., eqs. 3 and 4, and the other divisors."""
    features, style = np.random.default_rng(7).normal(size=(2, 2, 3, 4, 5))
    for divisor, d in (("places", 20), ("elements", 60), ("none", 1)):
        grams = [np.einsum("bchw,bdhw->bcd", each, each) / d for each in (features, style[:1])]
        own = [gram_matrix(torch.from_numpy(each), divisor) for each in (features, style[:1])]  # type: ignore[arg-type]
        assert gram_distance(*own).item() == pytest.approx(((grams[0] - grams[1]) ** 2).mean(), rel=1e-12)


def check_squared_variation() -> None:
    x = np.random.default_rng(8).normal(size=(2, 3, 4, 5))
    wanted = 0.0
    for image in x.reshape(6, 4, 5):
        for i in range(3):
            for j in range(4):
                wanted += ((image[i + 1, j] - image[i, j]) ** 2 + (image[i, j + 1] - image[i, j]) ** 2) / 2
    assert squared_variation(torch.from_numpy(x)).item() == pytest.approx(wanted / 2, rel=1e-12)


def check_mean_variation() -> None:
    x = np.random.default_rng(8).normal(size=(2, 3, 4, 5))
    wanted = np.abs(np.diff(x, axis=3)).mean() + np.abs(np.diff(x, axis=2)).mean()
    assert mean_variation(torch.from_numpy(x)).item() == pytest.approx(wanted, rel=1e-12)


def check_probability_difference() -> None:
    x = np.random.default_rng(6).normal(size=(3, 2))
    mean = (1 / (1 + np.exp(-x))).mean()
    loss, logits = ProbabilityDifference(), torch.from_numpy(x)
    for side, wanted in ((loss.real, 1 - mean), (loss.fake, mean), (loss.generator, 1 - mean)):
        assert side(logits).item() == pytest.approx(wanted, rel=1e-12)


def check_pixel_mse() -> None:
    one, other = np.random.default_rng(7).uniform(-1, 1, size=(2, 2, 3, 4, 5))
    wanted = (((one + 1) / 2 - (other + 1) / 2) ** 2).mean()
    assert pixel_mse(torch.from_numpy(one), torch.from_numpy(other)).item() == pytest.approx(wanted, rel=1e-12)


def check_mean_squared_variation() -> None:
    x = np.random.default_rng(8).uniform(-1, 1, size=(2, 3, 4, 5))
    down, right = (np.diff((x + 1) / 2, axis=axis) for axis in (2, 3))
    wanted = 2 * ((down**2).mean() + (right**2).mean())
    assert mean_squared_variation(torch.from_numpy(x)).item() == pytest.approx(wanted, rel=1e-12)


def check_feature_mse() -> None:
    draws = np.random.default_rng(9)
    f, g = ([draws.normal(size=shape) for shape in ((2, 3, 4, 4), (2, 5, 2, 2))] for _ in range(2))
    wanted = sum(((one - other) ** 2).mean() for one, other in zip(f, g, strict=True))
    found = feature_mse([torch.from_numpy(each) for each in f], [torch.from_numpy(each) for each in g])
    assert found.item() == pytest.approx(wanted, rel=1e-12)
    single = feature_mse(torch.from_numpy(f[0]), torch.from_numpy(g[0]))
    assert single.item() == pytest.approx(((f[0] - g[0]) ** 2).mean(), rel=1e-12)


def check_patch_nce() -> None:
    draws = np.random.default_rng(10)
    q, k = (draws.normal(size=(2, 5, 3)) for _ in range(2))
    losses = []
    for image in range(2):
        similarities = q[image] @ k[image].T
        for place in range(5):
            negatives = np.where(np.arange(5) == place, -10.0, similarities[place])
            logits = np.concatenate([[similarities[place, place]], negatives]) / 2.5
            losses.append(np.log(np.exp(logits).sum()) - logits[0])
    loss = patch_nce(torch.from_numpy(q), torch.from_numpy(k), temperature=2.5)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-12)


CASES: dict[str, Callable[[], None]] = {
    "hinge": check_hinge,
    "relativistic": check_relativistic,
    "patch_nce": check_patch_nce,
    "ternary": check_ternary,
    "l2": check_l2,
    "masked_l2": check_masked_l2,
    "cosine": check_cosine,
    "norm": check_norm,
    "total_variation": check_total_variation,
    "gram_distance": check_gram_distance,
    "mean_variation": check_mean_variation,
    "squared_variation": check_squared_variation,
    "code_energy": check_code_energy,
    "feature_mse": check_feature_mse,
    "mean_squared_variation": check_mean_squared_variation,
    "pixel_mse": check_pixel_mse,
    "probability_difference": check_probability_difference,
    "normalized_feature_distance": check_normalized_feature_distance,
    "multiscale": check_multiscale,
    "non_saturating": check_non_saturating,
    "least_squares": check_least_squares,
    "wasserstein": check_wasserstein,
    "l1": check_l1,
    "rising_maps": check_rising_maps,
    "smooth_l1": check_smooth_l1,
    "r1": check_r1,
    "r2": check_r2,
    "zero_centred": check_zero_centred,
    "gradient_penalty": check_gradient_penalty,
    "attribute_cross_entropy": check_attribute_cross_entropy,
    "class_cross_entropy": check_class_cross_entropy,
}
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


def test_gradient_penalty_sums_over_patches() -> None:
    """As in the published code of StarGAN v1, where an image has several logits."""
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = torch.stack([x.flatten(1).sum(1), 2 * x[:, 0].flatten(1).sum(1)], dim=1)
    wanted = (math.sqrt(16 * 3**2 + 16 * 1**2) - 1) ** 2  # the gradient is 3 in the first channel, 1 in the second
    assert gradient_penalty(logits.reshape(3, 1, 2, 1), x).item() == pytest.approx(wanted)


def test_gradient_penalty_can_be_descended_even_where_the_gradient_vanishes() -> None:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)

    def penalty(w: Tensor) -> Tensor:
        mixed = x.clone().requires_grad_()
        return gradient_penalty((w * torch.tanh(w * mixed)).sum(1), mixed)

    w = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(penalty(w), w)
    step = 1e-5
    quotient = (penalty(w.detach() + step) - penalty(w.detach() - step)) / (2 * step)
    assert found.item() == pytest.approx(quotient.item(), rel=1e-6)
    zero = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(penalty(zero), zero)
    assert found.isfinite()  # the norm has a kink there
    assert penalty(zero).item() == 1


def test_gradient_penalty_stays_in_single_precision_for_half_inputs() -> None:
    x = torch.full((2, 4), 0.1, dtype=torch.bfloat16, requires_grad=True)
    assert gradient_penalty((300 * x).sum(1), x).dtype == torch.float32


@pytest.mark.parametrize("side", ["real", "fake", "generator"])
def test_extreme_logits_stay_finite(side: str) -> None:
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = getattr(NonSaturating(), side)(logits)
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_sums_do_not_depend_on_how_a_batch_is_split() -> None:
    """The mean of the losses of two halves is the loss of the whole, as processes and microbatches need it."""
    logits = [torch.randn(4, 1, side, side, generator=torch.Generator().manual_seed(side)).double() for side in (4, 2)]
    loss = Multiscale("non_saturating", [1.0, 3.0], reduction="sum")

    def fake(rows: slice) -> torch.Tensor:
        part = [each[rows] for each in logits]
        return loss.discriminator_terms(part, fake=part)["fake"]

    halves = torch.stack([fake(slice(0, 2)), fake(slice(2, 4))])
    assert halves.mean().item() == pytest.approx(fake(slice(None)).item(), rel=1e-12)


def test_maps_without_their_weights_and_other_losses_are_refused() -> None:
    with pytest.raises(UserError, match="weights: a weight for each map of logits; found 2 weights, expected 3"):
        Multiscale(weights=[1.0, 2.0]).generator_term([torch.zeros(1, 1)] * 3, unread)
    for name in ("l1", "multiscale"):
        with pytest.raises(UserError, match="expected an adversarial loss of one map"):
            Multiscale(name)
    with pytest.raises(UserError, match=r"unknown loss 'least_square'\. Did you mean 'least_squares'"):
        Multiscale("least_square")
    for loss in (NonSaturating(), LeastSquares(), Wasserstein(), Hinge()):
        for side in (loss.real, loss.fake, loss.generator):
            with pytest.raises(UserError, match=r"one map of logits; found 2 maps, .* Fix: the loss 'multiscale'"):
                side([torch.zeros(1, 1)] * 2)  # type: ignore[operator]
    with pytest.raises(UserError, match="reduction: found 'max'"):
        Multiscale(reduction="max")  # type: ignore[arg-type]
