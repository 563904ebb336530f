"""Class folders and CelebA: items, labels, splits, and a sentence for everything that can be wrong."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from translate.data.datasets.base import Dataset
from translate.data.datasets.celeba import CelebA, domain_names, read_table
from translate.data.datasets.folder import Folder
from translate.data.images import ImageError
from translate.errors import UserError
from translate.registry.registry import DATASETS


def picture(path, value=0, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value % 256, value // 256, 7)).save(path)


def class_folders(root, counts):
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(root / name / f"{index:03d}.png", 100 * number + index)


def names(dataset):
    return [dataset.describe(index) for index in range(len(dataset))]


def test_reading_data_sets_needs_no_torch():
    code = "import sys, translate.data.datasets, translate.data.cache; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_both_are_registered_with_what_they_give():
    assert DATASETS.get("folder") is Folder and DATASETS.get("celeba") is CelebA
    assert tuple(DATASETS.facts("folder")["provides"]) == ("domain",)
    assert tuple(DATASETS.facts("celeba")["provides"]) == ("domain", "attributes")


def test_read_many_is_read_one_by_one():
    class Counted(Dataset):
        def __len__(self):
            return 5

        def read(self, index, size):
            return np.full((size, size, 3), index, np.uint8)

    found = Counted().read_many(np.array([3, 0, 3]), 4)
    assert found.shape == (3, 4, 4, 3) and found.dtype == np.uint8
    assert found[:, 0, 0, 0].tolist() == [3, 0, 3]


# Class folders


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_train_and_val_folders(held_out, tmp_path):
    class_folders(tmp_path / "train", {"dog": 3, "cat": 2})
    class_folders(tmp_path / held_out, {"dog": 1, "cat": 2})
    picture(tmp_path / "train" / "cat" / "more" / "Z.PNG", 77)
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "README.md").write_text("x")
    train, val = Folder(str(tmp_path), split="train"), Folder(str(tmp_path), split="val")
    assert train.domains == val.domains == ("cat", "dog")
    assert train.domain.tolist() == [0, 0, 0, 1, 1, 1] and train.domain.dtype == np.int64
    assert val.domain.tolist() == [0, 0, 1]
    assert [os.path.relpath(name, tmp_path) for name in names(train)] == [
        "train/cat/000.png", "train/cat/001.png", "train/cat/more/Z.PNG",
        "train/dog/000.png", "train/dog/001.png", "train/dog/002.png",
    ]  # fmt: skip
    assert train.read(2, 4)[0, 0].tolist() == [77, 0, 7] and train.read(3, 4).shape == (4, 4, 3)
    assert train.attributes is None and train.attribute_names == ()
    assert train.summary() == "6 images, cat 3, dog 3"


def test_val_goes_before_test(tmp_path):
    for part, count in (("train", 2), ("val", 3), ("test", 4)):
        class_folders(tmp_path / part, {"a": count, "b": count})
    assert len(Folder(str(tmp_path), split="val")) == 6


def test_domains_picks_and_orders(tmp_path):
    class_folders(tmp_path / "train", {"cat": 1, "dog": 2, "wild": 3})
    class_folders(tmp_path / "val", {"cat": 1, "dog": 1})  # wild is not wanted, so nobody misses it here
    found = Folder(str(tmp_path), split="train", domains=["dog", "cat"])
    assert found.domains == ("dog", "cat") and found.domain.tolist() == [0, 0, 1]


def test_a_single_domain_is_left_to_the_check_of_the_model(tmp_path):
    class_folders(tmp_path, {"cat": 3})
    assert Folder(str(tmp_path), split="train").domains == ("cat",)


@pytest.mark.parametrize("below", ["", "train"])
def test_without_val_a_share_of_every_domain_is_held_out(below, tmp_path):
    class_folders(tmp_path / below, {"a": 400, "b": 200})
    train = Folder(str(tmp_path), val_fraction=0.1, split="train")
    val = Folder(str(tmp_path), val_fraction=0.1, split="val")
    assert sorted(names(train) + names(val)) == sorted(str(path) for path in tmp_path.rglob("*.png"))
    assert not set(names(train)) & set(names(val))
    counts = np.bincount(val.domain)
    assert 25 <= counts[0] <= 56 and 9 <= counts[1] <= 32  # within 2.6 standard deviations of 40 and 20


def test_the_held_out_share_is_the_same_everywhere_and_forever(tmp_path):
    # Names and figures of the first version: another hash would mix the parts of runs that are resumed.
    class_folders(tmp_path / "here", {"a": 40, "b": 40})
    val = Folder(str(tmp_path / "here"), val_fraction=0.1, split="val")
    assert [os.path.relpath(name, tmp_path / "here") for name in names(val)] == FIXED
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Folder(str(tmp_path / "there"), val_fraction=0.1, split="val")
    assert [os.path.relpath(name, tmp_path / "there") for name in names(moved)] == FIXED


FIXED = [
    "a/015.png",
    "a/019.png",
    "a/025.png",
    "a/029.png",
    "a/030.png",
    "a/034.png",
    "b/011.png",
    "b/019.png",
    "b/024.png",
]


def test_files_do_not_change_sides_when_others_are_added(tmp_path):
    class_folders(tmp_path, {"a": 200, "b": 200})
    before = {split: set(names(Folder(str(tmp_path), split=split))) for split in ("train", "val")}
    for index in range(200, 300):
        picture(tmp_path / "a" / f"{index}.png")
    after = {split: set(names(Folder(str(tmp_path), split=split))) for split in ("train", "val")}
    assert before["train"] < after["train"] and before["val"] <= after["val"]


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_every_part_of_every_domain_has_a_file(share, tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 7})
    for split in ("train", "val"):
        found = Folder(str(tmp_path), val_fraction=share, split=split)
        assert np.bincount(found.domain, minlength=2).min() >= 1


def test_crop_reaches_the_picture(tmp_path):
    class_folders(tmp_path, {"a": 1, "b": 2})
    for name in ("x.png", "y.png"):
        image = Image.new("RGB", (30, 10), "red")
        image.paste((0, 0, 255), (10, 0, 20, 10))
        image.save(tmp_path / "a" / name)
    path = tmp_path / "a" / "x.png"
    for crop, left in (("square", [0, 0, 255]), ("none", [255, 0, 0])):
        found = [Folder(str(tmp_path), crop=crop, split=split) for split in ("train", "val")]
        item, dataset = next((names(d).index(str(path)), d) for d in found if str(path) in names(d))
        assert dataset.read(item, 10)[5, 0].tolist() == left


def test_home_is_expanded(tmp_path, monkeypatch):
    class_folders(tmp_path / "animals", {"a": 2, "b": 2})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(Folder("~/animals", split="train")) == 2


def folder_error(root, **arguments):
    with pytest.raises(UserError) as caught:
        Folder(str(root), split="train", **arguments)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_a_missing_root_is_one_sentence_with_a_suggestion(tmp_path):
    (tmp_path / "animals").mkdir()
    text = folder_error(tmp_path / "animal")
    assert (
        text.startswith("root: ") and str(tmp_path / "animal") in text and "animals, which has the nearest name" in text
    )
    assert "no folder" in folder_error(tmp_path / "x" / "y" / "z")


def test_a_root_that_is_a_file(tmp_path):
    picture(tmp_path / "x.png")
    assert "found the file" in folder_error(tmp_path / "x.png")


def test_no_class_folder(tmp_path):
    assert "no class folder" in folder_error(tmp_path)
    picture(tmp_path / "x.png")
    assert "1 image files" in folder_error(tmp_path)


def test_train_and_val_without_class_folders_are_not_taken_for_domains(tmp_path):
    class_folders(tmp_path, {"train": 5, "val": 5})
    assert "train, val" in folder_error(tmp_path) and "hold no class folders" in folder_error(tmp_path)


def test_val_without_train(tmp_path):
    class_folders(tmp_path / "val", {"a": 2, "b": 2})
    assert "no train/" in folder_error(tmp_path)


def test_the_unpaired_layout_is_explained(tmp_path):
    class_folders(tmp_path, {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1})
    assert "use the data set unpaired" in folder_error(tmp_path)


def test_an_empty_domain_is_named(tmp_path):
    class_folders(tmp_path, {"cat": 3, "dog": 3, "wild": 0})
    (tmp_path / "wild" / "notes.txt").write_text("x")
    assert "'wild' is empty" in folder_error(tmp_path)
    assert Folder(str(tmp_path), split="train", domains=["cat", "dog"]).domains == ("cat", "dog")


def test_a_domain_of_one_image_cannot_be_divided(tmp_path):
    class_folders(tmp_path, {"cat": 3, "dog": 1})
    assert "'dog'" in folder_error(tmp_path) and "single image" in folder_error(tmp_path)


def test_domains_that_differ_are_named_with_their_side(tmp_path):
    class_folders(tmp_path / "train", {"cat": 1, "dog": 1, "fox": 1})
    class_folders(tmp_path / "val", {"cat": 1, "dog": 1, "wolf": 1})
    text = folder_error(tmp_path)
    assert "wolf not in train/" in text and "fox not in val/" in text and "cat" not in text
    assert "fox not in val/" in folder_error(tmp_path, domains=["cat", "fox"])


def test_wrong_domains_are_explained(tmp_path):
    class_folders(tmp_path, {"cat": 2, "dog": 2})
    assert "no domain 'dgo'. Did you mean 'dog'?" in folder_error(tmp_path, domains=["cat", "dgo"])
    assert "Known: cat, dog" in folder_error(tmp_path, domains=["zebra"])
    assert "twice" in folder_error(tmp_path, domains=["cat", "cat"])
    assert "found [], expected some of cat, dog, or null" in folder_error(tmp_path, domains=[])


@pytest.mark.parametrize("share", [0, 1, -0.5, 2.0])
def test_a_share_that_is_none(share, tmp_path):
    class_folders(tmp_path, {"cat": 2, "dog": 2})
    assert "val_fraction" in folder_error(tmp_path, val_fraction=share)


def test_a_misspelt_crop(tmp_path):
    class_folders(tmp_path, {"cat": 2, "dog": 2})
    assert "Did you mean 'square'" in folder_error(tmp_path, crop="sqare")


def test_the_fingerprint_follows_names_sizes_times_and_crop(tmp_path):
    class_folders(tmp_path / "x", {"a": 6, "b": 6})

    def now(**arguments):
        return Folder(str(tmp_path / "x"), split="train", **arguments).fingerprint()

    seen = [now()]
    assert now() == seen[0] and int(seen[0], 16)
    path = tmp_path / "x" / next(n for n in Folder(str(tmp_path / "x"), split="train").names)
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    seen.append(now())
    with open(path, "ab") as file:
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    seen.append(now())
    path.rename(path.with_name("000a.png"))
    seen.append(now())
    seen.append(now(crop="square"))
    seen.append(now(domains=["b", "a"]))
    assert len(set(seen)) == len(seen)
    (tmp_path / "x").rename(tmp_path / "y")
    assert Folder(str(tmp_path / "y"), split="train").fingerprint() == seen[3]


def test_constructing_examines_no_file(tmp_path, monkeypatch):
    class_folders(tmp_path, {"a": 30, "b": 30})
    opened = []
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a))
    stat, calls = os.stat, []
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: calls.append(path) or stat(path, *a, **k))
    Folder(str(tmp_path), split="train")
    assert not opened and not [path for path in calls if str(path).endswith(".png")]


def test_names_of_any_bytes_can_be_described(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    raw = os.fsencode(tmp_path / "a") + b"/\xff.png"
    try:
        os.rename(tmp_path / "a" / "000.png", raw)
    except OSError:
        pytest.skip("the file system allows no such name")
    for split in ("train", "val"):
        found = Folder(str(tmp_path), split=split)
        for index in range(len(found)):
            found.describe(index).encode("utf-8")
            assert found.read(index, 4).shape == (4, 4, 3)
        assert found.fingerprint()


# CelebA

ATTRIBUTES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Male", "Smiling", "Young"]


def celeba(root, rows=60, images="img_align_celeba", present=None, form="txt", seed=0):
    """Write a table and its images; return the (rows, 7) table of 0 and 1."""
    values = np.random.default_rng(seed).integers(0, 2, (rows, len(ATTRIBUTES)))
    root.mkdir(parents=True, exist_ok=True)
    files = [f"{row + 1:06d}.jpg" for row in range(rows)]
    if form == "csv":
        lines = ["image_id," + ",".join(ATTRIBUTES)]
        lines += [
            f"{name}," + ",".join("1" if v else "-1" for v in row) for name, row in zip(files, values, strict=True)
        ]
        (root / "list_attr_celeba.csv").write_text("\n".join(lines))
    else:
        lines = [str(rows), " ".join(ATTRIBUTES) + " "]
        lines += [
            f"{name} " + " ".join(" 1" if v else "-1" for v in row) for name, row in zip(files, values, strict=True)
        ]
        (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    if images:
        (root / images).mkdir(parents=True)
        for row in range(rows) if present is None else present:
            picture(root / images / files[row], row, (18, 22))
    return values


def row_numbers(dataset):
    return np.array([int(name.split(".")[0]) - 1 for name in dataset.names])


@pytest.mark.parametrize("form", ["txt", "csv"])
@pytest.mark.parametrize("images", ["img_align_celeba", "images", "img_align_celeba/img_align_celeba"])
def test_celeba_labels_are_the_tables(form, images, tmp_path):
    values = celeba(tmp_path, form=form, images=images)
    for split, count in (("train", 54), ("val", 6)):
        found = CelebA(str(tmp_path), domain_attribute="Male", split=split)
        rows = row_numbers(found)
        assert len(found) == count
        assert found.domains == ("female", "male") and found.domain.dtype == np.int64
        assert (found.domain == values[rows, ATTRIBUTES.index("Male")]).all()
        assert found.attribute_names == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
        picked = [ATTRIBUTES.index(name) for name in found.attribute_names]
        assert found.attributes.dtype == np.uint8 and (found.attributes == values[rows][:, picked]).all()
        assert found.read(0, 9).shape == (9, 9, 3)


def test_celeba_other_attributes_and_order(tmp_path):
    values = celeba(tmp_path)
    found = CelebA(str(tmp_path), attributes=["Young", "Eyeglasses"], split="train")
    assert found.attribute_names == ("Young", "Eyeglasses") and found.domains == () and found.domain is None
    assert (found.attributes == values[row_numbers(found)][:, [6, 3]]).all()
    smiling = CelebA(str(tmp_path), domain_attribute="Smiling", domains=["smiling", "no_smiling"], split="train")
    assert smiling.domains == ("smiling", "no_smiling")
    assert (smiling.domain == 1 - values[row_numbers(smiling), 5]).all()
    only = CelebA(str(tmp_path), domain_attribute="Smiling", domains=["smiling"], split="train")
    assert values[row_numbers(only), 5].all() and not only.domain.any()


def test_domain_names():
    assert domain_names("Male") == ("female", "male")
    assert domain_names("Smiling") == ("no_smiling", "smiling")
    assert domain_names("No_Beard") == ("beard", "no_beard")


def test_the_published_split_is_that_of_stargan_v1(tmp_path):
    rows = 20_100  # enough for the published rule; links to one file, to be quick
    celeba(tmp_path, rows=rows, images=None)
    (tmp_path / "images").mkdir()
    picture(tmp_path / "one.jpg")
    for row in range(rows):
        os.symlink(tmp_path / "one.jpg", tmp_path / "images" / f"{row + 1:06d}.jpg")
    lines = list(range(rows))
    random.seed(1234)
    random.shuffle(lines)
    published = [line for number, line in enumerate(lines) if number + 1 < 2000]  # as the published loader has it
    val, train = (CelebA(str(tmp_path), split=split) for split in ("val", "train"))
    assert len(val) == 1999 and set(row_numbers(val)) == set(published)
    assert len(train) == rows - 1999 and not set(row_numbers(train)) & set(published)


def test_a_partial_copy_holds_out_what_the_whole_does(tmp_path):
    present = range(0, 600, 2)
    values = celeba(tmp_path, rows=600, present=present)
    val = CelebA(str(tmp_path), domain_attribute="Male", split="val")
    train = CelebA(str(tmp_path), domain_attribute="Male", split="train")
    assert len(val) == 30 and len(train) == 270
    assert sorted([*row_numbers(val), *row_numbers(train)]) == list(present)
    lines = list(range(600))
    random.Random(1234).shuffle(lines)
    assert set(row_numbers(val)) == set([line for line in lines if line % 2 == 0][:30])
    assert (train.domain == values[row_numbers(train), 4]).all()
    assert "(of 300 present, 600 listed)" in train.summary()


@pytest.mark.parametrize("form", ["txt", "csv", "shuffled"])
def test_the_partition_file(form, tmp_path):
    celeba(tmp_path, present=range(50))
    parts = [0] * 40 + [1] * 8 + [2] * 12
    rows = [f"{row + 1:06d}.jpg {part}" for row, part in enumerate(parts)]
    if form == "csv":
        text = "\n".join(["image_id,partition", *(row.replace(" ", ",") for row in rows)])
        (tmp_path / "list_eval_partition.csv").write_text(text)
    else:
        random.Random(0).shuffle(rows) if form == "shuffled" else None
        (tmp_path / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    train, val = (CelebA(str(tmp_path), split_by="partition", split=split) for split in ("train", "val"))
    assert row_numbers(train).tolist() == list(range(40)) and row_numbers(val).tolist() == list(range(40, 48))


def test_converted_images_are_found_by_their_stem(tmp_path):
    values = celeba(tmp_path, images=None)
    for row in range(60):
        picture(tmp_path / "images" / f"{row + 1:06d}.png", row)
    found = CelebA(str(tmp_path), domain_attribute="Male", split="train")
    assert (found.domain == values[row_numbers(found), 4]).all() and found.read(0, 4)[0, 0, 0] == row_numbers(found)[0]


def test_images_may_lie_elsewhere(tmp_path):
    celeba(tmp_path / "a", images="faces")
    assert len(CelebA(str(tmp_path / "a"), images="faces", split="train")) == 54
    assert len(CelebA(str(tmp_path / "a"), images=str(tmp_path / "a" / "faces"), split="train")) == 54


def test_constructing_celeba_examines_no_file(tmp_path, monkeypatch):
    celeba(tmp_path)
    stat, calls = os.stat, []
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: calls.append(path) or stat(path, *a, **k))
    CelebA(str(tmp_path), domain_attribute="Male", split="train")
    assert not [path for path in calls if str(path).endswith(".jpg")]


def celeba_error(root, **arguments):
    with pytest.raises(UserError) as caught:
        CelebA(str(root), split="train", **arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_celeba_errors_are_sentences(tmp_path):
    assert "no attribute table" in celeba_error(tmp_path)
    celeba(tmp_path, images=None)
    assert "no folder img_align_celeba or images" in celeba_error(tmp_path)
    assert "no folder" in celeba_error(tmp_path, images="nowhere")
    (tmp_path / "images").mkdir()
    assert "none of the 60 images" in celeba_error(tmp_path)
    picture(tmp_path / "images" / "000001.jpg")
    picture(tmp_path / "images" / "000002.jpg")
    assert "'Smilng'. Did you mean 'Smiling'?" in celeba_error(tmp_path, domain_attribute="Smilng")
    assert "attributes" in celeba_error(tmp_path, attributes=["Male", "Yuong"])
    assert "twice" in celeba_error(tmp_path, attributes=["Male", "Male"])
    assert "Did you mean 'partition'" in celeba_error(tmp_path, split_by="partitions")
    assert "list_eval_partition" in celeba_error(tmp_path, split_by="partition")
    assert "domain_attribute is null" in celeba_error(tmp_path, domains=["male"])
    assert "Did you mean 'male'" in celeba_error(tmp_path, domain_attribute="Male", domains=["mal"])
    assert "has no train image of 'male'" in celeba_error(tmp_path, domain_attribute="Male")  # one image


def test_celeba_without_domains_takes_an_empty_list_of_them(tmp_path):
    """What is found in the data fills the configuration, and comes back when a run is built or resumed."""
    celeba(tmp_path)
    assert CelebA(str(tmp_path), split="train", domains=[]).domains == ()


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "2\nMale Young\na.jpg -1  1\nb.jpg  1 -1\n",
        "2\r\nMale Young \r\na.jpg  -1   1\r\nb.jpg 1 -1\r\n",
        "Male Young\na.jpg -1 1\nb.jpg 1 -1",
        "image_id,Male,Young\na.jpg,-1,1\nb.jpg,1,-1\n",
        '"image_id","Male","Young"\n"a.jpg",-1,1\n\n"b.jpg",1,-1\n\n',
        "\ufeff2\nMale\tYoung\n\na.jpg\t-1\t1\n  b.jpg\t1\t-1\n",
        "2\nMale Young\na.jpg -1 +1\n".replace("+1", "1") + "b.jpg 1 -1   \n",
    ],
)
def test_read_table_takes_any_spacing(text, tmp_path):
    found, columns, values = read_table(write(tmp_path / "t", text))
    assert found == ["a.jpg", "b.jpg"] and columns == ["Male", "Young"]
    assert values.tolist() == [[-1, 1], [1, -1]] and values.dtype == np.int8


def test_read_table_with_one_column(tmp_path):
    found, columns, values = read_table(write(tmp_path / "t", "Male\na.jpg 1\nb.jpg -1\n"))
    assert (found, columns, values.tolist()) == (["a.jpg", "b.jpg"], ["Male"], [[1], [-1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("2\nMale Young\n", "no rows"),
        ("3\nMale Young\na.jpg -1 1\nb.jpg 1 -1\n", "t is damaged; found 2 rows, expected 3 as in line 1"),
        ("Male Young\na.jpg -1 1\nb.jpg 1\n", "line 3 of .*t is damaged; found 1 values, expected 2 as in line 2"),
        ("Male Young\na.jpg -1 1 1\nb.jpg 1 -1 1\n", "line 2 of .* found 3 values, expected 2 as column names"),
        ("Male Young\na.jpg -1 1\nb.jpg 1\nc.jpg 1 1 1\n", "line 3 of .* found 1 values"),  # even in sum
        ("Male Young\na.jpg -1 1\nb.jpg 1 x\n", "line 3 of .* found 'x', expected 1 or -1"),
        ("Male Young\na.jpg -1 1\nb.jpg -1 12\n", "line 3 of .* found '12'"),
        ("Male Young\na.jpg -1 1\nb.jpg 1--1 1\n", "line 3 of .* found '1--1'"),
        ("Male Young\na.jpg -1 1\na.jpg 1 -1\n", "several rows for a file; found 'a.jpg'"),
        ("Male Young\na.jpg -1 1\nb.jpg\nc.jpg 1 1\n", "line 3 of .* found 0 values"),
        ("Male Young\na.jpg -1 1\nb.jpg 1 +1\n", "line 3 of .* found '\\+1'"),
        ("Male Young\na.jpg -1 1\nb.jpg 01 1\n", "line 3 of .* found '01'"),
        ("Male Young\na.jpg -1 1\nb.jpg 1 1.0\n", "line 3 of .* found '1.0'"),
        ("Male Young\na.jpg -1 1\nb.jpg 1 1 1\nc.jpg 1 1 1\n", "line 3 of .* found 3 values"),
        ("Male Young\na.jpg\nb.jpg\n", "line 2 of .* found 0 values, expected a row of numbers"),
        ("Male Young\na.jpg 1 1\nb.jpg 1-1\n", "line 3 of .* found 1 values"),  # as long as the row above
    ],
)
def test_a_damaged_table_is_refused(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_table(write(tmp_path / "t", text))


@pytest.mark.parametrize("seed", range(8))
def test_aligned_and_ragged_tables_agree(seed, tmp_path):
    draw = np.random.default_rng(seed)
    values = draw.choice([-1, 1], (50, int(draw.integers(1, 9))))
    columns = [f"c{number}" for number in range(values.shape[1])]
    even = [f"{row:05d}.jpg" + "".join(f"{v:3d}" for v in line) for row, line in enumerate(values)]
    ragged = [f"{row:05d}.jpg," + ",".join(map(str, line)) for row, line in enumerate(values)]
    first = read_table(write(tmp_path / "even", "\n".join([" ".join(columns), *even]) + "\n"))
    second = read_table(write(tmp_path / "ragged", "\n".join([",".join(["id", *columns]), *ragged])))
    assert first[0] == second[0] and first[1] == second[1] == columns
    assert (first[2] == values).all() and (second[2] == values).all()


def test_a_table_that_changed_is_read_again(tmp_path):
    path = write(tmp_path / "t", "Male\na.jpg 1\n")
    assert read_table(path)[0] == ["a.jpg"]
    write(tmp_path / "t", "Male\na.jpg 1\nb.jpg 1\n")
    assert read_table(path)[0] == ["a.jpg", "b.jpg"]


def test_a_file_that_vanishes_is_a_bad_picture(tmp_path):
    celeba(tmp_path)
    found = CelebA(str(tmp_path), split="train")
    os.unlink(tmp_path / "img_align_celeba" / found.names[0])
    assert found.fingerprint()
    with pytest.raises(ImageError, match="no such file"):
        found.read(0, 8)
