"""The built-in world: its factors are what it is asked for, and its images show them."""

import pickle
from dataclasses import fields

import numpy as np
import pytest

from translate.data.datasets.critters import DEFAULT_DOMAINS, Critters
from translate.data.synthetic import painting, sheet
from translate.data.synthetic.factors import (
    ACCESSORIES,
    ATTRIBUTES,
    CONTENT,
    EXPRESSIONS,
    PATTERNS,
    SPECIES,
    STYLE,
    Factors,
    attributes,
    draw,
)
from translate.data.synthetic.painting import outline, render
from translate.errors import UserError

NAMES = [field.name for field in fields(Factors)]


def same(a: Factors, b: Factors, *except_for: str) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in NAMES if n not in except_for)


def plain(count: int, **values: float) -> Factors:
    """Return heads without pattern and accessory."""
    return draw(3, np.arange(count)).replace(pattern=0, accessory=0, **values)


def pixel(factors: Factors, u: float, v: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of a place in head units, by the definition of the pose."""
    unit = 0.30 * size * factors.scale
    cos, sin = np.cos(factors.tilt), np.sin(factors.tilt)
    x = (0.5 + factors.x) * size + unit * (cos * u - sin * v)
    y = (0.57 + factors.y) * size + unit * (sin * u + cos * v)
    return y.astype(int), x.astype(int)


# ------------------------------------------------------------------------------------------------- factors


def test_every_factor_is_of_one_kind() -> None:
    assert sorted(("species", *CONTENT, *STYLE)) == sorted(NAMES)


def test_factors_are_a_function_of_seed_and_index() -> None:
    together = draw(7, np.array([5, 1 << 40, 0, 5]))
    assert same(together.take([1]), draw(7, np.array([1 << 40])))
    assert same(together.take([0]), together.take([3]))
    assert not same(together.take([0]), together.take([2]))
    assert not same(together, draw(8, np.array([5, 1 << 40, 0, 5])))


def test_a_given_species_changes_nothing_else() -> None:
    indices = np.arange(50)
    asked = draw(0, indices, np.full(50, 3))
    assert set(asked.species) == {3}
    assert same(asked, draw(0, indices), "species")


def test_factors_keep_their_ranges_and_use_them() -> None:
    factors = draw(0, np.arange(4000))
    assert len(factors) == 4000
    ranges = {"x": (-0.1, 0.1), "y": (-0.08, 0.08), "scale": (0.8, 1.1), "tilt": (-0.35, 0.35)}
    ranges |= {"gaze_x": (-1, 1), "gaze_y": (-1, 1), "ear_size": (0.85, 1.2)}
    for name, (low, high) in ranges.items():
        values = getattr(factors, name)
        assert values.dtype == np.float32
        assert low - 1e-6 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-6
    for name in ("background", "coat", "second", "accent", "iris"):
        colour = getattr(factors, name)
        assert colour.shape == (4000, 3)
        assert colour.min() >= 0
        assert colour.max() <= 1
    choices = {"species": SPECIES, "expression": EXPRESSIONS, "pattern": PATTERNS, "accessory": ACCESSORIES}
    for name, words in choices.items():
        counts = np.bincount(getattr(factors, name), minlength=len(words))
        assert len(counts) == len(words)
        assert counts.min() > 300
    assert set(factors.side) == {-1, 1}


def test_the_two_colours_of_a_coat_can_be_told_apart() -> None:
    factors = draw(1, np.arange(2000))
    assert np.linalg.norm(factors.coat - factors.second, axis=1).min() > 0.1


def test_take_replace_and_concatenate() -> None:
    factors = draw(0, np.arange(6))
    other = factors.replace(species=2, coat=np.array([1.0, 0.0, 0.0]))
    assert same(factors, other, "species", "coat")
    assert other.coat.dtype == np.float32
    assert np.array_equal(other.coat, np.tile(np.array([1, 0, 0], np.float32), (6, 1)))
    assert same(Factors.concatenate([factors.take([0, 1]), factors.take(slice(2, None))]), factors)


def test_attributes_follow_from_the_factors() -> None:
    factors = draw(0, np.arange(3000))
    table = attributes(factors)
    assert table.shape == (3000, len(ATTRIBUTES))
    assert table.dtype == np.uint8
    share = table.mean(axis=0)
    assert share.min() > 0.1
    assert share.max() < 0.9

    def column(name: str) -> np.ndarray:
        return table[:, ATTRIBUTES.index(name)].astype(bool)

    assert np.array_equal(column("smiling"), factors.expression == EXPRESSIONS.index("happy"))
    assert np.array_equal(column("striped"), factors.pattern == PATTERNS.index("stripes"))
    assert np.array_equal(column("glasses"), factors.accessory == ACCESSORIES.index("glasses"))
    assert factors.coat[column("dark_coat")].mean() < factors.coat[~column("dark_coat")].mean() - 0.1
    assert factors.ear_size[column("big_ears")].min() > factors.ear_size[~column("big_ears")].max()


# ------------------------------------------------------------------------------------------------ images


@pytest.mark.parametrize("paint", [render, outline])
@pytest.mark.parametrize("size", [32, 45, 128, 512])
def test_pictures_have_any_size(paint, size: int) -> None:  # type: ignore[no-untyped-def]
    factors = draw(0, np.arange(len(SPECIES)), np.arange(len(SPECIES)))
    images = paint(factors, size)
    assert images.shape == (len(SPECIES), size, size, 3)
    assert images.dtype == np.uint8
    assert all(image.std() > 20 for image in images)
    assert paint(factors.take([]), size).shape == (0, size, size, 3)


@pytest.mark.parametrize("paint", [render, outline])
@pytest.mark.parametrize("size", [32, 64])
def test_a_picture_does_not_depend_on_its_company(paint, size, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    factors = draw(0, np.arange(90))
    together = paint(factors, size)
    order = np.arange(90)[::-1]
    assert np.array_equal(paint(factors.take(order), size)[order], together)
    for i in range(0, 90, 7):
        assert np.array_equal(paint(factors.take([i]), size)[0], together[i])
    monkeypatch.setattr(painting, "_CHUNK", 5)
    monkeypatch.setattr(sheet, "_BLOCK", 3)
    assert np.array_equal(paint(factors, size), together)


def test_sizes_show_the_same_picture() -> None:
    factors = draw(2, np.arange(24))
    small = render(factors, 64).astype(float)
    large = render(factors, 192).astype(float).reshape(24, 64, 3, 64, 3, 3).mean(axis=(2, 4))
    assert np.abs(small - large).mean() < 3


def test_species_change_the_picture() -> None:
    heads = np.stack([render(plain(4, species=kind), 64) for kind in range(len(SPECIES))]).astype(float)
    for a in range(len(SPECIES)):
        for b in range(a):
            different = np.abs(heads[a] - heads[b]).max(axis=-1) > 40
            assert different.mean(axis=(1, 2)).min() > 0.04, (SPECIES[a], SPECIES[b])


@pytest.mark.parametrize(
    "name", ["expression", "gaze_x", "background", "coat", "pattern", "accessory", "ear_size", "side"]
)
def test_factors_change_the_picture(name: str) -> None:
    values = {"gaze_x": (-1, 1), "ear_size": (0.85, 1.2), "side": (-1, 1), "coat": (0.2, 0.8)}
    one, other = values.get(name, (0, 1))
    factors = plain(6).replace(pattern=1)
    changed = render(factors.replace(**{name: one}), 64) != render(factors.replace(**{name: other}), 64)
    assert changed.any(axis=-1).mean(axis=(1, 2)).min() > 0.005


def test_place_and_tilt_are_those_asked_for() -> None:
    factors = plain(6, x=-0.05)
    here, there = render(factors, 80).astype(int), render(factors.replace(x=0.05), 80).astype(int)
    assert np.abs(here[:, :, :-8] - there[:, :, 8:]).max() <= 1
    level = plain(1, x=0, tilt=0, gaze_x=0, side=1)
    mirrored = outline(level.replace(expression=0), 64)
    assert np.abs(mirrored.astype(int) - mirrored[:, :, ::-1]).max() <= 1
    turned = outline(level.replace(expression=0, tilt=0.35), 64)
    assert (np.abs(turned.astype(int) - turned[:, :, ::-1]) > 100).mean() > 0.02


@pytest.mark.parametrize("species", ["bear", "cat", "pig", "rabbit"])
def test_the_coat_can_be_measured(species: str) -> None:
    factors = plain(40, species=SPECIES.index(species))
    row, column = pixel(factors, 0.0, -0.62, 64)
    found = render(factors, 64)[np.arange(40), row, column] / 255
    assert np.abs(found - factors.coat).max() < 0.03


def test_the_background_can_be_measured() -> None:
    factors = plain(40, species=0, scale=0.8, x=0.1)
    found = render(factors, 64)[:, -1, 0] / 255
    assert np.abs(found - factors.background).max() < 0.01


def test_the_gaze_can_be_measured() -> None:
    factors = plain(20, species=0, expression=EXPRESSIONS.index("surprised"), tilt=0, coat=0.9)

    def dark(gaze: float) -> np.ndarray:
        row, column = pixel(factors, 0.40, -0.16, 128)
        images = render(factors.replace(gaze_x=gaze, gaze_y=0), 128)
        eyes = np.stack([p[r - 7 : r + 8, c - 9 : c + 10] for p, r, c in zip(images, row, column, strict=True)])
        weight = (eyes.max(axis=-1) < 90).astype(float)
        return np.asarray((weight * np.arange(19)).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)))

    assert (dark(1) - dark(-1)).min() > 2


def test_a_drawing_is_black_lines_on_white() -> None:
    images = outline(draw(0, np.arange(30)), 128)
    assert np.array_equal(images[..., 0], images[..., 1])
    assert np.array_equal(images[..., 0], images[..., 2])
    black = (images[..., 0] < 128).mean(axis=(1, 2))
    assert black.min() > 0.02
    assert black.max() < 0.35
    assert ((images < 30) | (images > 225)).mean() > 0.9


def test_a_drawing_does_not_tell_the_colours() -> None:
    one, other = draw(0, np.arange(10)), draw(1, np.arange(10))
    colours = {name: getattr(other, name) for name in ("background", "coat", "second", "accent", "iris")}
    assert np.array_equal(outline(one, 64), outline(one.replace(**colours), 64))


# ------------------------------------------------------------------------------------------------ data set


def test_the_data_set_is_balanced_and_labelled() -> None:
    data = Critters(num_images=31, split="train")
    assert data.domains == DEFAULT_DOMAINS
    assert len(data) == 30
    assert data.domain is not None
    assert data.attributes is not None
    assert np.bincount(data.domain).tolist() == [10, 10, 10]
    assert [SPECIES[kind] for kind in data.factors.species] == [data.domains[d] for d in data.domain]
    assert np.array_equal(data.attributes, attributes(data.factors))
    assert data.attribute_names == ATTRIBUTES
    assert not data.may_fail


def test_reading_one_and_many_is_the_same() -> None:
    data = Critters(num_images=30, split="train")
    many = data.read_many([4, 29, 4, 11], 64)
    assert np.array_equal(many[0], many[2])
    for row, index in enumerate([4, 29, 4, 11]):
        assert np.array_equal(data.read(index, 64), many[row])
    assert np.array_equal(many, render(data.factors.take([4, 29, 4, 11]), 64))


def test_splits_share_no_image() -> None:
    train, val = Critters(num_images=300, split="train"), Critters(num_val_images=300, split="val")
    places = [set(zip(d.factors.x.tolist(), d.factors.tilt.tolist(), strict=True)) for d in (train, val)]
    assert len(places[0]) == len(places[1]) == 300
    assert not places[0] & places[1]
    assert train.fingerprint() != val.fingerprint()


def test_an_image_does_not_depend_on_the_other_domains() -> None:
    one = Critters(num_images=5, split="train", domains=["fox"])
    two = Critters(num_images=200, split="train", domains=["pig", "fox"])
    assert two.domains == ("pig", "fox")
    assert same(one.factors, two.factors.take(np.arange(100, 105)))
    assert one.describe(3) == two.describe(103) == "critters fox 3"


def test_fingerprint_follows_what_a_picture_depends_on() -> None:
    def fingerprint(**values: object) -> str:
        return Critters(**{"num_images": 12, "split": "train"} | values).fingerprint()  # type: ignore[arg-type]

    assert fingerprint() == fingerprint(domains=list(DEFAULT_DOMAINS)) == fingerprint(num_val_images=9)
    others = [fingerprint(num_images=24), fingerprint(world_seed=1), fingerprint(domains=["cat", "dog"])]
    assert len({fingerprint(), *others}) == 4


def test_other_seeds_are_other_worlds() -> None:
    first, second = (Critters(num_images=30, world_seed=seed, split="train") for seed in (0, 1))
    assert not np.array_equal(first.factors.x, second.factors.x)


def test_a_data_set_travels_to_workers() -> None:
    data = Critters(num_images=12, split="val", num_val_images=6)
    copy = pickle.loads(pickle.dumps(data))
    assert np.array_equal(copy.read_many(range(6), 32), data.read_many(range(6), 32))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"domains": ["cat", "rabit"]}, "rabbit"),
        ({"domains": ["cat", "cat"]}, "twice"),
        ({"domains": []}, "bear, cat"),
        ({"num_images": 2}, "num_images"),
        ({"world_seed": -1}, "world_seed"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Critters(**{"split": "train"} | arguments)  # type: ignore[arg-type]


def test_attributes_can_be_chosen_and_ordered() -> None:
    every, some = Critters(60, split="train"), Critters(60, attributes=["glasses", "smiling"], split="train")
    assert every.attribute_names == ATTRIBUTES
    assert some.attribute_names == ("glasses", "smiling")
    columns = [ATTRIBUTES.index(name) for name in some.attribute_names]
    assert every.attributes is not None
    assert np.array_equal(some.attributes, every.attributes[:, columns])
    (labels,) = some.label_sets()
    assert (labels.kind, labels.names, labels.values.shape) == ("attributes", some.attribute_names, (60, 2))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["glases"], "Did you mean 'glasses'"),
        ([], "expected some of smiling"),
        (["bow", "bow"], "twice"),
    ],
)
def test_wrong_attributes_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Critters(60, attributes=names, split="train")
