"""Joined data sets: items, labels side by side, batches of every part, and a sentence for every mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from translate.data.batches import RawImages
from translate.data.cache import open_images
from translate.data.datasets.critters import Critters
from translate.data.datasets.joint import Joint
from translate.data.module import DataModule, Shard
from translate.data.views.base import ViewInputs
from translate.data.views.labelled import LabelledBatch
from translate.errors import UserError
from translate.evaluation.classifier_labels import label_table
from translate.evaluation.tasks import classifier_tasks
from translate.registry.registry import VIEWS

FACES = {"name": "critters", "num_images": 24, "num_val_images": 12, "domains": ["bear", "cat"], "labels": "attributes"}
KINDS = {"name": "critters", "num_images": 40, "num_val_images": 20, "world_seed": 1, "labels": "domain"}
KINDS["domains"] = ["dog", "fox", "pig", "rabbit"]
PARTS: dict[str, Any] = {"faces": FACES, "kinds": KINDS}
NUM_ATTRIBUTES = 12


def joint(split: str = "train", **parts: Any) -> Joint:
    return Joint({**PARTS, **parts}, split=split)


def single(split: str = "train") -> list[Critters]:
    own = [{k: v for k, v in node.items() if k not in ("name", "labels")} for node in PARTS.values()]
    return [Critters(**arguments, split=split) for arguments in own]


def module(**changes: Any) -> DataModule:
    arguments = {"train": joint(), "val": joint("val"), "image_size": 16, "batch_size": 6, "view": "labelled"}
    return DataModule(**{**arguments, "augment": "flip", **changes})


@pytest.mark.parametrize("split", ["train", "val"])
def test_items_are_those_of_the_parts_one_after_the_other(split: str) -> None:
    found, parts = joint(split), single(split)
    assert len(found) == sum(map(len, parts)) == {"train": 64, "val": 32}[split]
    wanted = np.concatenate([part.read_many(np.arange(len(part)), 8) for part in parts])
    order = np.random.default_rng(0).permutation(len(found))
    assert np.array_equal(found.read_many(order, 8), wanted[order])
    assert all(np.array_equal(found.read(int(k), 8), wanted[k]) for k in order[:9])
    assert [found.describe(k) for k in range(len(found))] == [p.describe(k) for p in parts for k in range(len(p))]
    assert found.domains == ()
    assert found.domain is None
    assert not found.may_fail


def test_labels_are_a_set_for_each_part() -> None:
    faces, kinds = joint().label_sets()
    assert (faces.kind, kinds.kind) == ("attributes", "classes")
    assert len(faces.names) == NUM_ATTRIBUTES
    assert kinds.names == ("dog", "fox", "pig", "rabbit")
    assert faces.items.tolist() == list(range(24))
    assert kinds.items.tolist() == list(range(24, 64))
    first, second = single()
    assert first.attributes is not None
    assert np.array_equal(faces.values, first.attributes)
    assert np.array_equal(kinds.values.argmax(1), second.domain)


def test_sizes_and_words() -> None:
    found = joint()
    assert found.epoch_size() == max(part.epoch_size() for part in single()) == 12
    assert found.summary() == "64 images; faces: 24 images, bear 12, cat 12; " + (
        "kinds: 40 images, dog 10, fox 10, pig 10, rabbit 10"
    )
    assert found.fingerprint() == joint().fingerprint() == joint(faces=dict(FACES, labels=None)).fingerprint()
    others = [joint(kinds=dict(KINDS, world_seed=2)), joint("val"), Joint(dict(reversed(PARTS.items())), split="train")]
    assert len({found.fingerprint(), *(other.fingerprint() for other in others)}) == 4


def test_parts_of_parts() -> None:
    found = Joint({"both": {"name": "joint", "parts": PARTS}, "more": FACES}, split="train")
    assert len(found) == 64 + 24
    assert [labels.items[0] for labels in found.label_sets()] == [0, 24, 64]
    assert found.describe(64) == joint().describe(0)


def test_pictures_of_all_parts_are_cached(tmp_path: Path) -> None:
    cached, plain = (open_images(joint(), 8, folder=folder) for folder in (tmp_path, None))
    rows = np.array([63, 0, 24, 23])
    assert np.array_equal(cached.take(rows), plain.take(rows))


def test_a_batch_has_a_part_for_each() -> None:
    data = module()
    names = [labels.names for labels in data.label_sets("train")]
    batch = data.augment(data.iterations()[0])
    assert isinstance(batch, tuple)
    for part, own in zip(batch, names, strict=True):
        assert isinstance(part, LabelledBatch)
        assert part.image.shape == (6, 3, 16, 16)
        assert part.label.shape == part.target.shape == (6, len(own))
        assert sorted(map(tuple, part.label.tolist())) == sorted(map(tuple, part.target.tolist()))
    assert (batch[1].label.sum(1) == 1).all()


def test_images_keep_their_labels() -> None:
    data = module(augment="none")
    parts = single()
    for k in (0, 3, 11):
        for number, part in enumerate(data.iterations()[k]):
            pixels = [part_of.tobytes() for part_of in parts[number].read_many(np.arange(len(parts[number])), 16)]
            items = [pixels.index(picture.numpy().tobytes()) for picture in part.image.pixels]
            values = data.label_sets("train")[number].values
            assert np.array_equal(values[items], part.label.numpy())


def test_every_part_comes_in_epochs_of_its_own() -> None:
    data = module()
    view = VIEWS.get("labelled")(ViewInputs(data.train, np.arange(64), 6, 0, None, 0))
    for number, (first, count) in enumerate(((0, 24), (24, 40))):
        epochs = [view.draw(np.arange(k * count, (k + 1) * count))[number].image for k in range(2)]
        assert all(sorted(rows) == list(range(first, first + count)) for rows in epochs)
        assert not np.array_equal(*epochs)


def test_processes_share_the_batch_of_every_part() -> None:
    data = module()
    whole = data.iterations()[4]
    halves = [data.iterations(Shard(rank, 2))[4] for rank in range(2)]
    for number, part in enumerate(whole):
        for name in LabelledBatch._fields:
            found, wanted = (getattr(half[number], name) for half in halves), getattr(part, name)
            if isinstance(wanted, RawImages):
                for parts, value in zip(zip(*found, strict=True), wanted, strict=True):
                    assert torch.cat(parts).equal(value)
            else:
                assert torch.cat(list(found)).equal(wanted)


def test_held_out_images_are_of_all_parts_in_turn_and_say_which() -> None:
    held = module().held_out(8)
    assert held.label.shape == (8, NUM_ATTRIBUTES + 4 + 2)
    mask = held.label[:, -2:]
    assert mask.tolist() == [[1, 0], [0, 1]] * 4
    assert (held.label[1::2, :NUM_ATTRIBUTES] == 0).all()
    assert (held.label[::2, NUM_ATTRIBUTES:-2] == 0).all()
    assert held.label[1::2, NUM_ATTRIBUTES:-2].equal(torch.eye(4))  # classes take turns too


def test_every_set_of_labels_is_asked_for() -> None:
    data = module()
    tasks = classifier_tasks(data, 8)
    assert len(tasks) == NUM_ATTRIBUTES + 3
    for column, task in enumerate(tasks[:NUM_ATTRIBUTES]):
        sources = data.rows("val", task.sources)
        assert len(sources.image) == 4  # attributes of the images that have them
        assert task.targets[:, -2:].equal(torch.tensor([1.0, 0]).expand(4, 2))
        assert (task.targets != sources.label).sum(0).nonzero().flatten().tolist() == [column]
    for task in tasks[NUM_ATTRIBUTES:]:
        sources = data.rows("val", task.sources)
        assert len(sources.image) == 8  # any image may get any class
        assert task.targets[:, -2:].equal(torch.tensor([0.0, 1]).expand(8, 2))
        assert (task.targets[:, :NUM_ATTRIBUTES] == 0).all()
        assert task.expected is not None
        values = task.expected.values
        assert (values[:, NUM_ATTRIBUTES:].sum(1) == 1).all()
        own = sources.label[1::2, :-2]
        assert (values[1::2] * own).sum() == 0  # never the class that an image has
    known = ~np.isnan(label_table(data, "val"))
    assert known[:12].tolist() == [[True] * NUM_ATTRIBUTES + [False] * 4] * 12
    assert known[12:].tolist() == [[False] * NUM_ATTRIBUTES + [True] * 4] * 20


# --- mistakes -----------------------------------------------------------------------------------------------


def mistake(parts: Any = None, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        Joint(PARTS if parts is None else parts, split="train", **arguments).label_sets()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_two_data_sets_at_least() -> None:
    assert mistake({}) == "parts: found none, expected two data sets or more"
    assert mistake({"faces": FACES}) == "parts: found faces, expected two data sets or more"


def test_domains_and_labels_are_said_of_a_part() -> None:
    assert mistake(domains=["cat"]).endswith("Fix: choose by parts.faces.domains")
    with pytest.raises(UserError, match=r"labels: .* found 'domain', expected null. Fix: choose by parts.faces.labels"):
        joint().label_sets("domain")


def test_what_is_wrong_in_a_part_names_it(tmp_path: Path) -> None:
    place = tmp_path / "root"
    assert mistake({**PARTS, "x": {"name": "folder", "root": str(place)}}) == (
        f"parts.x.root: there is no folder {place}"
    )
    (place / "cat").mkdir(parents=True)
    assert mistake({**PARTS, "x": {"name": "folder", "root": str(place)}}).startswith("parts.x.root: domain 'cat'")
    (place / "cat" / "1.png").touch()
    (place / "cat" / "2.png").touch()
    assert mistake({**PARTS, "x": {"name": "folder", "root": str(place), "labels": "attributes"}}) == (
        "parts.x.labels: the data set has no such labels; found 'attributes'"
    )
    nested = {"name": "joint", "parts": {"a": FACES, "b": {"name": "folder", "root": str(tmp_path / "none")}}}
    assert mistake({**PARTS, "x": nested}).startswith("parts.x.parts.b.root: there is no folder")


def test_an_error_without_a_key_names_the_part_too(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "list_attr_celeba.txt").write_text("000001.jpg 1 -1\n")
    text = mistake({**PARTS, "x": {"name": "celeba", "root": str(tmp_path)}})
    assert text.startswith(f"parts.x: {tmp_path}")
