"""Figures of distributions agree with independent float64 computations and with torch-fidelity on the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from translate.errors import UserError
from translate.metrics import accumulators
from translate.metrics.accumulators import FeatureStatistics, Sample, Values, merged
from translate.metrics.distributions import Kid, Prdc, frechet_distance, kernel_distance, neighbourhoods
from translate.metrics.features import (
    CleanInception,
    OfficialInception,
    PytorchFidInception,
    quantized,
    resized_clean,
    standard_inception,
)
from translate.metrics.lpips import CHANNELS, LAYOUTS, Lpips, LpipsOfficial, carried_weights, linear_weights
from translate.metrics.paired import PixelAccuracyPaired, PsnrPaired, SsimPaired
from translate.metrics.weights import read_tensors

CPU = torch.device("cpu")


def features(count: int, width: int, seed: int, shift: float = 0.0) -> Tensor:
    """Return features that are correlated, so that covariances are not diagonal."""
    draws = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=draws) / width**0.5
    return torch.randn(count, width, generator=draws) @ mix + shift


def moments(x: Tensor) -> FeatureStatistics:
    found = FeatureStatistics()
    found.add(x, np.arange(len(x)))
    return found


# --- tallies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pending", [1, 20, accumulators.PENDING])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_in_batches_and_parts_are_those_of_all(
    offset: float, pending: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accumulators, "PENDING", pending)
    x = features(101, 7, 0).double() + offset
    parts = []
    for rows in (x[:40], x[40:41], x[41:]):
        part = FeatureStatistics()
        for batch in rows.split(9):
            part.add(batch, np.arange(len(batch)))
        parts.append(part)
    found = merged([FeatureStatistics(), *parts])
    assert isinstance(found, FeatureStatistics)
    assert len(found) == 101
    np.testing.assert_allclose(found.mean.numpy(), np.mean(x.numpy(), axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance().numpy(), np.cov(x.numpy(), rowvar=False), rtol=1e-8, atol=1e-10)


def test_features_are_added_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update of a covariance costs the same for one row and for hundreds."""
    monkeypatch.setattr(accumulators, "PENDING", 20)
    found, x, joined = FeatureStatistics(), features(50, 3, 5), []
    monkeypatch.setattr(
        found, "_join", lambda count, *rest: (joined.append(count), FeatureStatistics._join(found, count, *rest))
    )
    for rows in x.clone().split(8):
        found.add(rows, np.arange(len(rows)))
        rows.zero_()  # the memory of a batch may be used again
    assert (joined, len(found)) == ([24, 24], 50)
    np.testing.assert_allclose(found.mean.numpy(), x.double().mean(0).numpy(), rtol=1e-12)
    assert (joined, len(found)) == ([24, 24, 2], 50)
    found.load_state_dict(moments(x[:9]).state_dict())
    assert len(found) == 9


def test_a_sample_is_the_same_whoever_saw_the_rows() -> None:
    x, positions = features(200, 3, 1), np.arange(200)
    whole = Sample(30)
    whole.add(x, positions)
    parts = []
    for rank in range(3):
        part = Sample(30)
        for rows in np.array_split(positions[rank::3][::-1], 4):
            part.add(x[torch.from_numpy(rows.copy())], rows)
        parts.append(part)
    found = merged(parts)
    assert isinstance(found, Sample)
    assert len(found) == 200
    assert found.positions.tolist() == whole.positions.tolist()
    assert found.rows.equal(whole.rows)
    assert found.rows.equal(x[torch.from_numpy(found.positions)])


def test_a_sample_is_uniform_and_small_ones_are_whole() -> None:
    sample = Sample(10_000)
    sample.add(torch.zeros(100_000, 1), np.arange(100_000))
    assert len(set(sample.positions.tolist())) == 10_000
    shares = np.bincount(sample.positions // 10_000, minlength=10) / 1000
    assert np.abs(shares - 1).max() < 0.15
    small = Sample(10)
    small.add(torch.arange(4.0)[:, None], np.arange(4))
    assert sorted(small.positions.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("make", [FeatureStatistics, lambda: Sample(5), Values])
def test_accumulators_are_kept_and_restored(make: Any) -> None:
    one, other = make(), make()
    rows = features(8, 3, 2)
    one.add(rows[:, 0] if isinstance(one, Values) else rows, np.arange(8))
    other.load_state_dict(one.state_dict())
    assert len(other) == 8
    assert all(np.array_equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


# --- FID ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "width"), [(300, 40), (20, 64)])
def test_fid_agrees_with_eigenvalues_of_the_product_and_with_torch_fidelity(count: int, width: int) -> None:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    x, y = features(count, width, 3), features(count + 7, width, 4, shift=0.3)
    found = frechet_distance(moments(x), moments(y))
    a, b = x.double().numpy(), y.double().numpy()
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    plain = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * roots
    assert found == pytest.approx(plain, rel=1e-6)
    theirs = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False)
    assert found == pytest.approx(theirs[KEY_METRIC_FID], rel=1e-4)


def test_fid_of_known_gaussians() -> None:
    deviations, shift = np.array([1.0, 2.0, 5.0]), np.array([1.0, -2.0, 0.0])
    first, second = FeatureStatistics(), FeatureStatistics()
    first.load_state_dict({"count": np.array(11), "mean": np.zeros(3), "scatter": 10 * np.eye(3)})
    second.load_state_dict({"count": np.array(11), "mean": shift, "scatter": 10 * np.diag(deviations**2)})
    assert frechet_distance(first, second) == pytest.approx((shift**2).sum() + ((deviations - 1) ** 2).sum())
    assert frechet_distance(second, second) == pytest.approx(0, abs=1e-9)


# --- KID ----------------------------------------------------------------------------------------------------


def test_kid_agrees_with_a_plain_sum_and_with_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    x, y = features(30, 16, 5), features(30, 16, 6, shift=0.2)
    found = kernel_distance(x, y)
    a, b = x.double().numpy(), y.double().numpy()

    def kernel(u: np.ndarray, v: np.ndarray) -> float:
        return float((u @ v / 16 + 1) ** 3)

    within = [sum(kernel(s[i], s[j]) for i in range(30) for j in range(30) if i != j) / (30 * 29) for s in (a, b)]
    across = sum(kernel(u, v) for u in a for v in b) / 900
    assert found == pytest.approx(sum(within) - 2 * across, rel=1e-12)
    theirs = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=30, rng_seed=0, verbose=False)
    assert found == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-4)


def test_kid_of_subsets_is_seeded_and_right_on_average() -> None:
    x, y = features(400, 8, 7), features(300, 8, 8, shift=0.4)
    metric = Kid(num_subsets=200, subset_size=100)
    fake, real = metric.accumulator(), metric.accumulator()
    fake.add(x, np.arange(400))
    real.add(y, np.arange(300))
    found, again = (metric.compute(fake, real, CPU) for _ in range(2))
    assert found == again
    assert found["KID"] == pytest.approx(kernel_distance(x, y), abs=3 * found["KID spread"] / 200**0.5)
    assert found["KID spread"] > 0


# --- precision, recall, density, coverage -------------------------------------------------------------------


def test_neighbourhoods_agree_with_plain_loops_and_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    fake, real = features(50, 4, 9), features(60, 4, 10, shift=0.5)
    found = neighbourhoods(fake, real, nearest=3)
    f, r = fake.double().numpy(), real.double().numpy()

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))

    reach_real, reach_fake = (np.sort(apart(s, s), axis=1)[:, 3] for s in (r, f))
    inside = apart(r, f) <= reach_real[:, None]
    assert found["precision"] == pytest.approx(inside.any(0).mean())
    assert found["recall"] == pytest.approx((apart(r, f) <= reach_fake[None]).any(1).mean())
    assert found["density"] == pytest.approx(inside.sum(0).mean() / 3)
    assert found["coverage"] == pytest.approx(inside.any(1).mean())
    assert 0 < found["recall"] < 1
    theirs = calculate_precision_recall_full(fake, real, neighborhood=3)
    assert (found["precision"], found["recall"]) == pytest.approx(theirs)


def test_neighbourhoods_know_the_same_and_another_place() -> None:
    x = features(40, 4, 11)
    same = neighbourhoods(x, x, 5)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    away = neighbourhoods(x + 100, x, 5)
    assert set(away.values()) == {0}
    collapsed = neighbourhoods(x[:1].expand(40, -1) + 1e-6 * features(40, 4, 12), x, 5)
    assert collapsed["precision"] == 1
    assert collapsed["recall"] < 0.1


def test_few_images_are_doubted_and_too_few_give_no_figure() -> None:
    metric = Prdc(nearest=5)
    fake, real = metric.accumulator(), metric.accumulator()
    fake.add(features(5, 2, 0), np.arange(5))
    real.add(features(40, 2, 0), np.arange(40))
    assert all(np.isnan(value) for value in metric.compute(fake, real, CPU).values())
    assert len(list(metric.warnings(fake, real))) == 2


# --- networks of published weights --------------------------------------------------------------------------


def random_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return random weights in the layout of a network, scaled so that features differ between images."""
    draws = torch.Generator().manual_seed(0)
    found = {}
    for name, value in network.state_dict().items():
        found[name] = value
        if value.ndim == 4:
            found[name] = torch.randn(value.shape, generator=draws) * (2 / value[0].numel()) ** 0.5
        elif name.endswith("running_mean"):
            found[name] = 0.1 * torch.randn(value.shape, generator=draws)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of random weights in the published layouts."""
    from torchvision.models import alexnet, inception_v3

    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("weights")
    torch.save(random_weights(inception_v3(weights=None, init_weights=False)), place / "torchvision.pth")
    torch.save(random_weights(alexnet(weights=None)), place / "alexnet.pth")
    torch.save(random_weights(blank_fid_inception(place)), place / "fid.pth")
    return place


def blank_fid_inception(place: Path) -> nn.Module:
    """Return torch-fidelity's network without its weights, which it would fetch."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    class Blank(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> Any:
            return None

    torch.save({}, place / "nothing.pth")
    return Blank("blank", ["2048"], feature_extractor_weights_path=str(place / "nothing.pth"))


def pictures(count: int, size: int, seed: int) -> np.ndarray:
    """Return smooth pictures of bright and dark places, so that a resize matters and features differ."""
    draws = np.random.default_rng(seed)
    small = draws.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC)) for p in small])


def test_published_features_are_those_of_the_layers_on_images_prepared_by_torchvision(folder: Path) -> None:
    from torchvision import transforms
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, init_weights=False, transform_input=False)
    network.load_state_dict(torch.load(folder / "torchvision.pth"))
    pooled: list[Tensor] = []
    network.eval().avgpool.register_forward_hook(lambda _, __, output: pooled.append(output.flatten(1)))
    prepare = transforms.Compose(
        [
            transforms.Resize([64, 64]),
            transforms.Resize([299, 299]),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    given = pictures(3, 64, 0)
    with torch.no_grad():
        network(torch.stack([prepare(Image.fromarray(p)) for p in given]))
    found = OfficialInception(folder / "torchvision.pth", CPU)(given)
    assert found.shape == (3, 2048)
    assert found.std(0).mean() > 1e-3
    torch.testing.assert_close(found, pooled[0], rtol=1e-4, atol=1e-5)


def test_clean_features_and_figures_are_those_of_torch_fidelity(folder: Path, tmp_path: Path) -> None:
    """At 299 px neither resizes, so its own code must give the same features and figures of the same images.

    FID is compared in 100 of the features: theirs takes a quarter of a minute for the eigenvalues of all.
    """
    import torch_fidelity
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    weights = str(folder / "fid.pth")
    sets = [pictures(6, 299, seed) for seed in (1, 2)]
    extractor = CleanInception(folder / "fid.pth", CPU)
    found = [extractor(each) for each in sets]
    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=weights)
    with torch.no_grad():
        (expected,) = theirs(torch.from_numpy(sets[0]).permute(0, 3, 1, 2).contiguous())
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)
    for number, each in enumerate(sets):
        (tmp_path / str(number)).mkdir()
        for k, picture in enumerate(each):
            Image.fromarray(picture).save(tmp_path / str(number) / f"{k}.png")
    figures = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "0"),
        input2=str(tmp_path / "1"),
        kid=True,
        kid_subsets=1,
        kid_subset_size=6,
        feature_extractor_weights_path=weights,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert kernel_distance(*found) == pytest.approx(figures["kernel_inception_distance_mean"], rel=1e-3)
    some = [each[:, :100] for each in found]
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, some), verbose=False)[KEY_METRIC_FID]
    assert frechet_distance(*map(moments, some)) == pytest.approx(fid, rel=1e-3)


def test_pytorch_fid_features_are_those_of_its_resize(folder: Path) -> None:
    """At 299 px pytorch-fid differs from clean-fid by its normalization alone; at 64 px also by its resize."""
    extractor, clean = PytorchFidInception(folder / "fid.pth", CPU), CleanInception(folder / "fid.pth", CPU)
    same = pictures(2, 299, 5)
    torch.testing.assert_close(extractor(same), clean(same), rtol=0.05, atol=0.02)
    small = pictures(2, 64, 6)
    x = torch.from_numpy(small).permute(0, 3, 1, 2).double()
    prepared = extractor.normalize(x)
    assert prepared.shape == (2, 3, 299, 299)
    place = (torch.arange(299, dtype=torch.float64) + 0.5) * 64 / 299 - 0.5  # half-pixel centres
    low = place.floor().clamp(0, 63).long()
    high, share = (low + 1).clamp(max=63), (place.clamp(0, 63) - low).clamp(0, 1)
    rows = x[:, :, low] * (1 - share)[:, None] + x[:, :, high] * share[:, None]
    expected = rows[..., low] * (1 - share) + rows[..., high] * share
    torch.testing.assert_close(prepared, 2 * expected / 255 - 1)
    with torch.no_grad():
        features = extractor.network(prepared.float()).flatten(1)
    torch.testing.assert_close(extractor(small), features)
    assert (extractor(small) - clean(small)).abs().max() > 1e-4


def test_clean_resize_is_bicubic_in_float_and_antialiased() -> None:
    picture = pictures(1, 600, 3)[0]
    found = resized_clean(picture)
    assert found.dtype == np.float32
    assert found.shape == (299, 299, 3)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(picture).permute(2, 0, 1)[None].double(), size=(299, 299), mode="bicubic", antialias=True
    )[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, expected.numpy(), atol=0.05)
    assert np.abs(found - np.rint(found)).max() > 0.3
    same = pictures(1, 299, 4)[0]
    np.testing.assert_array_equal(resized_clean(same), same)


def test_quantization_is_that_of_files() -> None:
    images = torch.tensor([-2.0, -1.0, -1 + 1.1 / 255, 0.0, 1.0, 3.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert quantized(images)[0, 0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]


def test_files_of_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for make in (lambda p: OfficialInception(p, CPU), standard_inception, Lpips):
        with pytest.raises(UserError, match=r"expected|other tensors"):
            make(carried_weights())
    (tmp_path / "cut.pth").write_bytes((folder / "alexnet.pth").read_bytes()[:5000])
    with pytest.raises(UserError, match="not a readable file of weights"):
        Lpips(tmp_path / "cut.pth")


class Mischief:
    """What a file of weights must not be able to do."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("mischief"),)


def test_reading_weights_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Mischief()}, tmp_path / "bad.pth")
    for read in (read_tensors, standard_inception):
        with pytest.raises(UserError, match="not a readable file"):
            read(tmp_path / "bad.pth")
    assert not (tmp_path / "mischief").exists()


# --- LPIPS --------------------------------------------------------------------------------------------------


def test_lpips_agrees_with_torchmetrics_on_the_same_weights(folder: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    network = Lpips(folder / "alexnet.pth")
    theirs = _LPIPS(pretrained=True, net="alex", pnet_rand=True).eval()
    alexnet = torch.load(folder / "alexnet.pth")
    for name, tensor in theirs.net.named_parameters():  # their slices keep the numbers of torchvision's layers
        tensor.data.copy_(alexnet[f"features.{name.partition('.')[2]}"])
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.rand(3, 3, 64, 64, generator=draws) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        expected = theirs(x, y).flatten()
    found = network(x, y)
    assert expected.min() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert network(x, x).abs().max() == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_weights_of_both_layouts_are_read(layout: str, tmp_path: Path) -> None:
    draws = [torch.rand(1, width, 1, 1) for width in CHANNELS]
    torch.save({layout.format(k): weight for k, weight in enumerate(draws)}, tmp_path / "linear.pth")
    found = linear_weights(tmp_path / "linear.pth")
    assert all(a.equal(b) for a, b in zip(found, draws, strict=True))


def test_lpips_is_the_mean_over_all_pairs_of_outputs(folder: Path) -> None:
    metric = LpipsOfficial()
    metric.prepare(folder / "alexnet.pth", CPU)
    assert metric.network is not None
    draws = torch.Generator().manual_seed(1)
    outputs = [torch.rand(2, 3, 64, 64, generator=draws) * 3 - 1.5 for _ in range(4)]  # neither clamped nor rounded
    pairs = [metric.network(outputs[i], outputs[j]) for i in range(4) for j in range(i)]
    assert len(pairs) == 6
    torch.testing.assert_close(metric.read(outputs), torch.stack(pairs).mean(0))


def test_lpips_counts_a_short_last_group_as_much() -> None:
    metric = LpipsOfficial()
    accumulator = metric.accumulator()
    values = torch.cat([torch.full((32,), 0.2), torch.full((8,), 0.6)])
    order = np.random.default_rng(0).permutation(40)
    accumulator.add(values[torch.from_numpy(order)], order)
    assert metric.compute(accumulator)["LPIPS"] == pytest.approx(0.4)


# --- pairs --------------------------------------------------------------------------------------------------


def test_psnr_and_ssim_of_known_pairs() -> None:
    wanted = torch.from_numpy(pictures(2, 32, 5)).permute(0, 3, 1, 2).float().clamp(20, 230)
    worse = wanted + torch.tensor([10.0, 1.0]).view(2, 1, 1, 1)
    found = PsnrPaired().read(worse, wanted)
    torch.testing.assert_close(found, torch.tensor([20 * np.log10(25.5), 20 * np.log10(255.0)]).float())
    assert PsnrPaired().read(wanted, wanted).tolist() == [100, 100]
    similar = SsimPaired().read(torch.stack([wanted[0], wanted[1].flip(1)]), wanted)
    assert similar[0] == pytest.approx(1, abs=1e-5)
    assert similar[1] < 0.9


def test_pixel_accuracy_needs_all_channels() -> None:
    wanted = torch.full((1, 3, 2, 2), 100.0)
    image = wanted + torch.tensor([16.0, -16.0, 17.0, 0.0]).view(2, 2)
    image[0, 2, 1, 1] = 140.0  # one channel alone is wrong
    assert PixelAccuracyPaired().read(image, wanted).tolist() == [0.5]
    assert PixelAccuracyPaired(tolerance=17).read(image, wanted).tolist() == [0.75]
