"""The built-in world in pairs: outline and drawing of the same head, whatever the order and the company."""

import time
from typing import Any

import numpy as np
import pytest

from translate.data.datasets.critters import Critters
from translate.data.datasets.critters_outlines import CrittersOutlines
from translate.data.synthetic.factors import SPECIES
from translate.data.synthetic.painting import outline, render
from translate.errors import UserError
from translate.registry.registry import DATASETS


def made(num_images: int = 12, num_val_images: int = 6, split: str = "train", **arguments: Any) -> CrittersOutlines:
    return CrittersOutlines(num_images, num_val_images, split=split, **arguments)


def error(**arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        made(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_registered_with_what_it_gives() -> None:
    assert DATASETS.get("critters_outlines") is CrittersOutlines
    assert tuple(DATASETS.facts("critters_outlines")["provides"]) == ("domain", "partner")


def test_items_are_pairs_of_the_same_head() -> None:
    found = made()
    assert len(found) == 12
    assert found.domains == ("outline", "drawing")
    assert found.domain.tolist() == [0, 1] * 6
    assert found.partner.tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    assert not found.may_fail
    images = found.read_many(np.arange(12), 32)
    assert np.array_equal(images[::2], outline(found.factors.take(np.arange(0, 12, 2)), 32))
    assert np.array_equal(images[1::2], render(found.factors.take(np.arange(1, 12, 2)), 32))
    for name, values in vars(found.factors).items():
        assert np.array_equal(values[::2], values[1::2]), name


def test_outlines_are_lines_that_a_child_could_colour_in() -> None:
    images = made(120).read_many(np.arange(0, 120, 2), 128).astype(float)
    assert (images.max(axis=3) == images.min(axis=3)).all()  # grey
    assert (images > 250).mean() > 0.7  # mostly empty
    assert 0.05 < (images < 64).mean() < 0.25  # with lines
    assert ((images > 64) & (images < 192)).mean() < 0.08  # sharp


def test_the_lines_are_where_the_drawing_changes() -> None:
    found = made(120)
    drawn = found.read_many(np.arange(1, 120, 2), 64).astype(float)
    lines = found.read_many(np.arange(0, 120, 2), 64)[..., 0] < 128
    steps = np.abs(np.diff(drawn, axis=1))[:, :, :-1].sum(3) + np.abs(np.diff(drawn, axis=2))[:, :-1].sum(3)
    assert steps[lines[:, :-1, :-1]].mean() > 4 * steps[~lines[:, :-1, :-1]].mean()


def test_domains_turns_the_direction() -> None:
    there, back = made(), made(domains=["drawing", "outline"])
    assert back.domains == ("drawing", "outline")
    assert back.domain.tolist() == there.domain.tolist()
    assert np.array_equal(back.read(0, 16), there.read(1, 16))
    assert np.array_equal(back.read(1, 16), there.read(0, 16))
    assert back.describe(0) == there.describe(1) == "critters drawing of bear 0"
    assert back.fingerprint() != there.fingerprint()


def test_drawings_are_those_of_critters() -> None:
    pairs, critters = made(24, world_seed=3), Critters(12, 6, world_seed=3, split="train")
    known = {critters.read(index, 16).tobytes(): critters.describe(index) for index in range(len(critters))}
    for index in range(1, len(pairs), 2):
        same = known[pairs.read(index, 16).tobytes()]
        assert pairs.describe(index) == same.replace("critters", "critters drawing of")


def test_species_take_turns() -> None:
    found = made(20, species=["fox", "cat"])
    assert [SPECIES[kind] for kind in found.factors.species[::2]] == ["fox", "cat"] * 5
    assert {SPECIES[kind] for kind in made(8, species=["pig"]).factors.species} == {"pig"}
    assert {SPECIES[kind] for kind in made().factors.species} == {"bear", "cat", "rabbit"}
    few, many = made(8), made(80)
    assert np.array_equal(few.read_many(np.arange(8), 16), many.read_many(np.arange(8), 16))


def test_one_by_one_is_many_at_once() -> None:
    found = made()
    items = [7, 0, 7, 2, 5]
    together = found.read_many(items, 24)
    assert all(np.array_equal(image, found.read(item, 24)) for image, item in zip(together, items, strict=True))


def test_parts_and_seeds_give_other_heads() -> None:
    def heads(**arguments: Any) -> set[bytes]:
        found = made(12, 12, **arguments)
        return {image.tobytes() for image in found.read_many(np.arange(12), 16)}

    assert not heads() & heads(split="val")
    assert not heads() & heads(world_seed=1)
    assert made(split="val").describe(0) == "critters outline of bear 0 of val"


def test_factors_are_content_and_style() -> None:
    found = made(60)
    assert found.content.shape == (60, 4)
    assert np.array_equal(found.content[::2], found.content[1::2])
    assert np.array_equal(found.style[1::2], found.factors.coat[1::2])
    assert (found.style[::2] == 1).all()  # paper


def test_the_fingerprint_follows_what_was_asked_for() -> None:
    asked: list[dict[str, Any]] = [
        {}, {"num_images": 14}, {"world_seed": 1}, {"species": ["cat"]}, {"species": ["bear", "cat"]}, {"split": "val"},
    ]  # fmt: skip
    assert len({made(**arguments).fingerprint() for arguments in asked}) == len(asked)
    assert made(num_val_images=8).fingerprint() == made().fingerprint()


def test_what_is_wrong_is_named() -> None:
    assert "species: critters has no species 'foxx'. Did you mean 'fox'" in error(species=["foxx"])
    assert "species: a species occurs twice" in error(species=["fox", "fox"])
    assert "species: found []" in error(species=[])
    assert "domains: critters_outlines has no domain 'drawings'" in error(domains=["drawings"])
    assert "found ['outline'], expected both outline and drawing" in error(domains=["outline"])
    assert "num_images: found 1" in error(num_images=1)
    assert "num_val_images: found 0" in error(num_val_images=0, split="val")
    assert "world_seed" in error(world_seed=-1)


def test_hundreds_a_second() -> None:
    found = made(512)
    found.read_many(np.arange(64), 64)
    begin = time.process_time()
    found.read_many(np.arange(512), 64)
    assert time.process_time() - begin < 512 / 200
