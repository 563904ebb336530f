"""Pictures are the same from a cache, from one that was damaged and made anew, and read on demand."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from properties.budget import examples
from properties.worlds import Numbers, domains, items_of
from translate.data.cache import cache_key, open_images
from translate.errors import UserError


@st.composite
def worlds(draw: st.DrawFn) -> Numbers:
    domain = draw(domains(1, 3))
    return Numbers(domain, bad=draw(st.frozensets(st.integers(0, len(domain) - 1), max_size=5)))


sides = st.integers(1, 5)
shares = st.floats(0, 1) | st.just(1.0)


def opened(dataset: Numbers, size: int, folder: Path | None, share: float = 1.0) -> tuple[list[int], Any] | str:
    """Return (items, their images), or the sentence with which the data set is refused."""
    try:
        images = open_images(dataset, size, folder, max_bad_fraction=share, num_threads=2, progress=False)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return str(error)
    found = images.take(np.arange(len(images)))
    assert found.shape == (len(images), size, size, 3)
    assert (items_of(found) == images.indices).all()
    assert [name for name, _ in images.bad] == [dataset.describe(item) for item in sorted(dataset.bad)]
    return images.indices.tolist(), found.tobytes()


@examples(50)
@given(worlds(), sides, shares)
def test_a_cache_holds_what_is_read_on_demand(dataset, size, share) -> None:
    wanted = opened(dataset, size, None, share)
    with TemporaryDirectory() as folder:
        assert opened(dataset, size, Path(folder), share) == wanted  # built
        assert opened(dataset, size, Path(folder), share) == wanted  # opened
    refused = len(dataset.bad) > share * len(dataset) or len(set(dataset.domain)) > len(
        set(np.delete(dataset.domain, sorted(dataset.bad)))
    )
    assert isinstance(wanted, str) == refused


@examples(50)
@given(worlds(), sides, st.data())
def test_rows_may_be_taken_in_any_order(dataset, size, data) -> None:
    with TemporaryDirectory() as folder:
        if isinstance(opened(dataset, size, Path(folder)), str):
            return
        images = open_images(dataset, size, Path(folder), max_bad_fraction=1.0, progress=False)
        rows = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), max_size=20)), np.int64)
        assert (items_of(images.take(rows)) == images.indices[rows]).all()


@examples(60)
@given(worlds(), worlds(), sides, sides)
def test_keys_are_equal_for_equal_pictures_only(first, second, size, other) -> None:
    same = first.fingerprint() == second.fingerprint() and size == other
    assert (cache_key(first, size) == cache_key(second, other)) == same


# A list of bad items that is shorter than the true one cannot be told from the truth; nothing writes one.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("layout", "size", "items", "bad")


@st.composite
def damages(draw: st.DrawFn) -> Any:
    """Draw what befalls the two files of a cache: a function of the file of images."""
    kind = draw(st.sampled_from(["no images", "cut", "longer", "no notes", "bytes", "text", "value", "key", "items"]))
    share, junk, value = draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(max_size=40)), draw(values)
    key = draw(st.sampled_from(KEYS))
    items = draw(st.lists(st.tuples(values, values) | values, min_size=6, max_size=9))

    def befall(path: Path) -> None:
        notes = path.with_suffix(".json")
        match kind:
            case "no images":
                path.unlink()
            case "cut":
                path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
            case "longer":
                path.write_bytes(path.read_bytes() + b"x")
            case "no notes":
                notes.unlink()
            case "bytes":
                notes.write_bytes(junk)
            case "text":
                notes.write_bytes(notes.read_bytes()[: int(share * notes.stat().st_size)])
            case "value":
                notes.write_text(json.dumps(value))
            case "key":
                known = json.loads(notes.read_text())
                notes.write_text(json.dumps({name: known[name] for name in KEYS if name != key}))
            case "items":
                notes.write_text(json.dumps(json.loads(notes.read_text()) | {"bad": items}))

    return befall


@examples(120)
@given(worlds(), sides, damages())
def test_a_damaged_cache_is_made_anew(dataset, size, befall) -> None:
    with TemporaryDirectory() as folder:
        wanted = opened(dataset, size, Path(folder))
        (path,) = [*Path(folder).glob("*.u8")] or [None]
        if path is None:  # the data set was refused
            assert isinstance(wanted, str)
            return
        content = path.read_bytes()
        befall(path)
        assert opened(dataset, size, Path(folder)) == wanted
        assert path.read_bytes() == content


@examples(20)
@given(st.integers(100, 20_000))
def test_notes_of_any_depth_are_damage(depth) -> None:
    dataset = Numbers(np.arange(6) % 2)
    with TemporaryDirectory() as folder:
        wanted = opened(dataset, 2, Path(folder))
        (notes,) = Path(folder).glob("*.json")
        notes.write_text("[" * depth + "]" * depth)
        assert opened(dataset, 2, Path(folder)) == wanted
