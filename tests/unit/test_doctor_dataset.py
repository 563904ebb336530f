"""The doctor of a data set: every fault of a folder has a finding with its fix, and a good folder has none."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import market1501
from translate.cli import main
from translate.config.compose import load
from translate.doctor import advice, inspection
from translate.doctor.layout import prefixes, recognize, usual_aspect
from translate.doctor.scan import scan
from translate.sizes import ImageSize

Report = dict[str, Any]


def photograph(seed: int, width: int = 40, height: int = 40) -> Image.Image:
    """Return smooth noise: unlike any other seed's, and alike after a loss of quality."""
    cells = np.random.default_rng(seed).integers(70, 190, (8, 8, 3), np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def fill(
    folder: Path, count: int, start: int = 0, width: int = 40, height: int = 40, suffix: str = "png"
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{start + number:04d}.{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        photograph(start + number, width, height).save(path)
    return paths


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good")
    for number, name in enumerate(("train/cat", "train/dog", "val/cat", "val/dog")):
        fill(root / name, 110 if "train" in name else 12, 1000 * number)
    return root


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    """Return a copy of a good folder, to break."""
    return Path(shutil.copytree(good, tmp_path / "photos"))


def examined(*words: str) -> tuple[int, Report]:
    """Return the exit code and the JSON of a report; without the measurement, which tests/cli has."""
    path = Path(words[0].rpartition("=")[2]).parent / "report.json"
    code = main(["doctor", *words, "measure=false", f"json={path}"])
    return code, json.loads(path.read_text())


def findings(report: Report, severity: str) -> list[str]:
    """Return the findings of a severity as text, with their names and fix."""
    return [
        " | ".join([each["text"], *each["names"], each["fix"]])
        for section in report["sections"]
        for each in section["findings"]
        if each["severity"] == severity
    ]


def only(report: Report, severity: str, part: str) -> str:
    matching = [text for text in findings(report, severity) if part in text]
    assert len(matching) == 1, (part, findings(report, severity))
    return matching[0]


# --- a good folder -------------------------------------------------------------------------------------------


def test_a_good_folder_has_no_findings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = examined(str(root))
    assert code == 0
    assert findings(report, "problem") == findings(report, "warning") == []
    facts = {name: value for section in report["sections"] for name, value in section["facts"].items()}
    assert facts["training"] == "220 images"
    assert facts["  cat"] == "110 and 12"
    assert facts["equal files"] == facts["similar images"] == "none"
    assert facts["sizes"] == "40 x 40 (244)"
    text = capsys.readouterr().out
    assert text.startswith(f"{root}: 0 problems, 0 warnings\n")
    assert report["command"] in text


def test_the_command_line_checks_clean(root: Path) -> None:
    _, report = examined(str(root))
    program, words = report["command"].split()[:3], report["command"].split()[3:]
    assert program == ["python", "-m", "translate"]
    config = load(words)
    assert config.model.name == "cyclegan"
    assert config.data.arguments["root"] == str(root)
    assert config.data.image_size == 32, "the images have 40 px"


def test_a_configuration_is_examined_as_it_is_written(root: Path) -> None:
    code, report = examined(f"data.root={root}", "data=folder", "model=stargan_v2_small", "data.image_size=128")
    assert code == 0
    assert "less than half the training size of 128 px" in only(report, "warning", "244 images")
    assert report["command"].endswith(f"data.root={root} data=folder model=stargan_v2_small data.image_size=128")


# --- layout --------------------------------------------------------------------------------------------------


def test_images_beside_the_domains(root: Path) -> None:
    fill(root / "train", 3, 9000)
    code, report = examined(str(root))
    assert code == 1
    assert "train/9000.png" in only(report, "problem", "3 images in train/ beside the domains are not read")


def test_a_folder_too_deep(root: Path) -> None:
    shutil.move(root / "train", root / "set" / "train")
    shutil.move(root / "val", root / "set" / "val")
    code, report = examined(str(root))
    assert code == 1
    assert only(report, "problem", "one folder deeper, in set/").endswith(f"data.root={root / 'set'}")


def test_images_without_folders(tmp_path: Path) -> None:
    root = tmp_path / "flat"
    fill(root, 8)
    for number, path in enumerate(sorted(root.iterdir())):
        path.rename(root / f"{'cat' if number % 2 else 'dog'}.{number}.png")
    code, report = examined(str(root))
    assert code == 1
    said = only(report, "problem", "without a folder for each domain")
    assert "cat (4), dog (4)" in said
    assert "mkdir cat && mv cat*.* cat/" in said
    assert report["command"] == ""


def test_nested_hidden_and_empty_folders(root: Path) -> None:
    fill(root / "train" / "cat" / "street", 2, 8000)
    fill(root / "train" / "cat" / ".thumbnails", 2, 8100)
    (root / "train" / "dog" / "new").mkdir()
    code, report = examined(str(root))
    assert code == 0
    assert "cat/street/" in only(report, "note", "2 images in train/ are in folders inside a domain")
    assert "train/cat/.thumbnails/8100.png" in only(report, "note", "2 images are hidden")
    assert "train/dog/new" in only(report, "warning", "1 folder without files")


def test_links_that_lead_back(root: Path) -> None:
    (root / "train" / "cat" / "up").symlink_to(root / "train")
    code, report = examined(str(root))
    assert code == 1
    text = only(report, "problem", "the link train/cat/up leads to a folder that holds it")
    assert text.endswith(f"remove the link: rm {root}/train/cat/up")


def test_a_link_to_another_folder_is_no_loop(root: Path) -> None:
    (root / "train" / "cat").rename(root.parent / "cats")
    (root / "train" / "cat").symlink_to(root.parent / "cats")
    code, report = examined(str(root))
    assert (code, findings(report, "problem")) == (0, [])


def test_a_domain_without_images(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        (root / split / "bird").mkdir()
    code, report = examined(str(root))
    assert code == 1
    assert "Fix: add images, or remove the folder" in only(report, "problem", "domain 'bird' is empty")


def test_numbers_have_their_verbs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(1).convert("CMYK").save(root / "train" / "cat" / "cmyk.jpg")
    (root / "train" / "cat" / "plain").write_bytes(b"text")
    examined(str(root))
    said = " ".join(capsys.readouterr().out.split())
    assert "1 image in CMYK is converted to RGB" in said
    assert "1 file with no suffix is not read" in said


def test_the_next_command_waits_for_the_problems(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "train" / "cat" / "empty.png").write_bytes(b"")
    assert examined(str(root))[0] == 1
    assert "\nNext command, when the problems are solved\n" in capsys.readouterr().out


def test_the_next_command_is_quoted_for_a_shell(good: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(good, tmp_path / "odd names, 1"))
    _, report = examined(str(root))
    assert f"\"data.root='{root}'\"" in report["command"]
    assert load(shlex.split(report["command"])[3:]).data.arguments["root"] == str(root)


def test_a_single_domain(root: Path) -> None:
    shutil.rmtree(root / "train" / "dog")
    shutil.rmtree(root / "val" / "dog")
    code, report = examined(str(root))
    assert code == 1
    assert "at least two" in only(report, "problem", "a single domain, 'cat'")


def test_a_split_with_another_spelling(root: Path) -> None:
    (root / "val").rename(root / "valid")
    code, report = examined(str(root))
    assert code == 1
    assert "rename it to val/" in only(report, "problem", "the folder valid/ with 24 images is not read as a split")


def test_splits_with_different_domains(root: Path) -> None:
    (root / "val" / "dog").rename(root / "val" / "Dog")
    code, report = examined(str(root))
    assert code == 1
    assert "dog" in only(report, "problem", "domains of train/ that val/ does not have")
    assert "data.root: " in only(report, "problem", "training refuses this data: ")


def test_names_that_differ_in_case_only(root: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(root / split / "cat", root / split / "Cat")
    _, report = examined(str(root))
    assert "Cat | cat" in only(report, "warning", "letter case")


def test_files_that_are_not_read(root: Path) -> None:
    cats = root / "train" / "cat"
    photograph(1).save(cats / "moving.gif")
    photograph(2).save(cats / "telephone.png")
    (cats / "telephone.png").rename(cats / "telephone.jfif")
    (cats / "notes.txt").write_text("cats")
    (cats / "drawing.svg").write_text("<svg/>")
    (cats / "more.zip").write_bytes(b"PK")
    code, report = examined(str(root))
    assert code == 1
    assert "telephone.jfif | rename them to *.png" in only(report, "problem", "their suffix hides that")
    assert "moving.gif" in only(report, "warning", "suffix .gif")
    assert "render it as PNG" in only(report, "warning", "suffix .svg")
    assert "more.zip" in only(report, "note", "1 archive")
    assert not any(
        "notes.txt" in each for severity in ("problem", "warning", "note") for each in findings(report, severity)
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    root = tmp_path / "nothing"
    root.mkdir()
    (root / "photos.zip").write_bytes(b"PK")
    code, report = examined(str(root))
    assert code == 1
    assert "unpack photos.zip" in only(report, "problem", "there is no image file")


@pytest.mark.parametrize(
    ("folders", "size", "kind"),
    [
        (("train/cat", "train/dog"), (20, 20), "folder"),
        (("cat", "dog"), (20, 20), "folder"),
        (("trainA", "trainB"), (20, 20), "paired"),  # of equal names
        (("A/train", "B/train"), (20, 20), "paired"),
        (("train", "val"), (40, 20), "paired"),  # side by side
        (("bounding_box_train",), (20, 20), "market1501"),
    ],
)
def test_layouts_are_recognized(folders: tuple[str, ...], size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    for name in folders:
        fill(tmp_path / name, 3, 0, *size)
    found = scan(str(tmp_path))
    assert recognize(found, usual_aspect(found)) == kind


def test_more_layouts_are_recognized(tmp_path: Path) -> None:
    fill(tmp_path / "cyclegan" / "trainA", 3)
    fill(tmp_path / "cyclegan" / "trainB", 3, 100)
    assert recognize(scan(str(tmp_path / "cyclegan"))) == "unpaired"
    fill(tmp_path / "celeba" / "images", 3)
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("0\n")
    assert recognize(scan(str(tmp_path / "celeba"))) == "celeba"
    fill(tmp_path / "rafd", 1)[0].rename(tmp_path / "rafd" / "Rafd090_01_Caucasian_female_angry_frontal.jpg")
    assert recognize(scan(str(tmp_path / "rafd"))) == "rafd"


def test_class_folders_say_more_than_a_table_beside_them(root: Path) -> None:
    (root / "list_attr_celeba.txt").write_text("0\nMale\n")
    _, report = examined(str(root))
    assert "data=folder" in report["command"]


def test_prefixes_need_most_of_the_names() -> None:
    assert prefixes(["cat_1.jpg", "cat_2.jpg", "1.jpg", "2.jpg"]) == {}
    assert prefixes(["Persian cat 1.jpg", "Persian cat 2.jpg", "pug-3.jpg", "pug-4.jpg"]) == {
        "Persian cat": 2,
        "pug": 2,
    }


# --- images --------------------------------------------------------------------------------------------------


def test_damaged_images(root: Path) -> None:
    cats = sorted((root / "train" / "cat").iterdir())
    cats[0].write_bytes(cats[0].read_bytes()[:200])
    cats[1].write_bytes(b"")
    cats[2].write_bytes(b"<!DOCTYPE html><html>not found")
    code, report = examined(str(root))
    assert code == 1
    said = only(report, "problem", "3 images (1.2%) cannot be read, more than the 1.0% that max_bad_fraction allows")
    assert "train/cat/0000.png (cannot be" in said
    assert "train/cat/0001.png (is empty (0 bytes))" in said
    assert "train/cat/0002.png (a web page" in said


def test_tiny_flat_and_blank_images(root: Path) -> None:
    dogs = root / "train" / "dog"
    photograph(1, 8, 8).save(dogs / "tiny.png")
    photograph(2, 200, 50).save(dogs / "flat.png")
    Image.new("RGB", (40, 40), (9, 80, 200)).save(dogs / "blank.png")
    _, report = examined(str(root))
    assert "train/dog/tiny.png" in only(report, "problem", "1 image below 16 pixels")
    assert "train/dog/flat.png" in only(report, "warning", "squeezed to a square")
    assert "train/dog/blank.png" in only(report, "warning", "a single colour")


def test_modes_and_depths(root: Path) -> None:
    cats = root / "train" / "cat"
    photograph(1).convert("L").save(cats / "grey.png")
    photograph(2).convert("CMYK").save(cats / "print.jpg")
    photograph(3).convert("RGBA").save(cats / "glass.png")
    Image.fromarray(np.asarray(photograph(4).convert("L")).astype(np.uint16) * 257).save(cats / "deep.png")
    frames = [photograph(5), photograph(6)]
    frames[0].save(cats / "moving.webp", save_all=True, append_images=frames[1:])
    _, report = examined(str(root))
    assert "2 of 249 images are grey" in only(report, "warning", "grey")
    assert "1 image in CMYK" in only(report, "note", "CMYK")
    assert "1 image with transparency" in only(report, "note", "transparency")
    assert "train/cat/deep.png" in only(report, "note", "1 image of 16 bits")
    assert "train/cat/moving.webp" in only(report, "note", "1 animation")


def test_sixteen_bits_in_colour(tmp_path: Path) -> None:
    """Pillow reads such a file as 8 bits; the depth is seen nevertheless. The file is written by hand."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(range(16 * 6)) for _ in range(16))
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    facts = inspection.facts_of(content)
    assert facts.error == ""
    assert (facts.mode, facts.bits) == ("RGB", 16)
    assert inspection.facts_of((fill(tmp_path, 1)[0]).read_bytes()).bits == 8


# --- repeated images -----------------------------------------------------------------------------------------


def test_equal_images(root: Path) -> None:
    shutil.copy(root / "train" / "cat" / "0000.png", root / "train" / "cat" / "again.png")
    shutil.copy(root / "train" / "cat" / "0001.png", root / "val" / "cat" / "leak.png")
    shutil.copy(root / "train" / "cat" / "0002.png", root / "train" / "dog" / "wrong.png")
    code, report = examined(str(root))
    assert code == 1
    assert "train/cat/0000.png = train/cat/again.png" in only(report, "warning", "equal images (1 group)")
    leak = only(report, "problem", "equal images in training and validation")
    assert "train/cat/0001.png = val/cat/leak.png" in leak
    assert "train/cat/0002.png = train/dog/wrong.png" in only(report, "problem", "equal images in several domains")


def test_similar_images(root: Path) -> None:
    """Other sizes, other qualities and small changes of brightness are seen; 244 different images are not mixed up."""
    cat = Image.open(root / "train" / "cat" / "0000.png")
    cat.resize((90, 90), Image.Resampling.BICUBIC).save(root / "train" / "cat" / "large.png")
    Image.open(root / "train" / "dog" / "1003.png").save(root / "val" / "dog" / "leak.jpg", quality=75)
    code, report = examined(str(root))
    assert code == 0
    assert "train/cat/0000.png ~ train/cat/large.png" in only(report, "note", "similar images (1 group)")
    assert "train/dog/1003.png ~ val/dog/leak.jpg" in only(
        report, "warning", "similar images in training and validation"
    )


def test_all_pairs_are_compared() -> None:
    """The search by brightness finds the same pairs as the comparison of all."""
    rng = np.random.default_rng(0)
    images = [photograph(seed) for seed in range(60)]
    images += [Image.fromarray((np.asarray(image) * rng.uniform(0.97, 1.0)).astype(np.uint8)) for image in images[:30]]
    result = inspection.Inspection.empty(len(images))
    for index, image in enumerate(images):
        about = inspection.ImageFacts(width=40, height=40, digest=bytes([index + 1]) * 16)
        result.add(index, inspection._described(image, about))
    groups, complete = inspection.near_duplicates(result)
    assert complete
    cells, hashes = result.thumbnail.astype(int), result.hash.tolist()
    alike = {
        (a, b)
        for a in range(len(images))
        for b in range(a + 1, len(images))
        if (hashes[a] ^ hashes[b]).bit_count() <= inspection.ALIKE_BITS
        and np.abs(cells[a] - cells[b]).mean() <= inspection.ALIKE_MEAN
    }
    assert len(alike) >= 25
    assert {tuple(group) for group in groups} == alike


def test_memory_does_not_grow_with_the_images() -> None:
    """An image leaves some hundred bytes, whatever its size."""
    result = inspection.Inspection.empty(1000)
    arrays = (result.width, result.height, result.digest, result.hash, result.thumbnail)
    assert sum(array.nbytes for array in arrays) < 300 * 1000


# --- counts --------------------------------------------------------------------------------------------------


def test_few_and_unequal_images(root: Path) -> None:
    for path in sorted((root / "train" / "cat").iterdir())[5:]:
        path.unlink()
    for path in sorted((root / "val" / "cat").iterdir())[2:]:
        path.unlink()
    code, report = examined(str(root))
    assert code == 1
    assert "learns these by heart" in only(report, "problem", "domain 'cat' has 5 training images")
    assert "22 times the images of 'cat'" in only(report, "warning", "largest domain")
    assert "cat" in only(report, "warning", "fewer than 10 validation images")


def test_rare_attributes(tmp_path: Path) -> None:
    root = tmp_path / "celeba"
    paths = fill(root / "images", 200)
    rows = [f"{path.name} {1 if number % 2 else -1} {1 if number == 0 else -1}" for number, path in enumerate(paths)]
    (root / "list_attr_celeba.txt").write_text("\n".join(["200", "Male Hat", *rows]) + "\n")
    _, report = examined(f"data.root={root}", "data=celeba", "data.attributes=[Male,Hat]")
    assert "Hat (" in only(report, "warning", "fewer than 2% of the images have")
    assert "model=stargan_v1_small" in report["command"]


def test_a_world_without_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "data=critters", "measure=false"]) == 0
    assert "drawn on demand" in capsys.readouterr().out


# --- advice --------------------------------------------------------------------------------------------------


def data(**changes: Any) -> advice.Data:
    facts = {"words": ("data=folder", "data.root=x"), "kind": "folder", "domains": ("a", "b"), "labels": 0}
    return advice.Data(**{**facts, "pairs": False, "smallest": 1000, "side": 300.0, **changes})


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({}, "stargan_v2"),
        ({"smallest": 150}, "cyclegan"),
        ({"domains": ("a", "b", "c"), "smallest": 50}, "stargan_v2"),
        ({"pairs": True}, "pix2pix"),
        ({"domains": (), "labels": 5}, "stargan_v1"),
    ],
)
def test_the_model_suits_the_data(changes: dict[str, Any], model: str) -> None:
    for gpu, name in ((None, f"{model}_small"), (24e9, model)):
        advised = advice.advise(data(**changes), None if gpu is None else int(gpu))
        assert advised is not None
        assert advised.words[0] == f"model={name}"
        assert f"data.image_size={64 if gpu is None else 256}" in advised.words
        assert advised.reasons


def test_nothing_is_advised_for_one_domain() -> None:
    assert advice.advise(data(domains=("a",)), None) is None


def test_few_images_and_small_gpus_have_their_words() -> None:
    advised = advice.advise(data(smallest=30), int(8e9))
    assert advised is not None
    assert "trainer.activation_checkpointing=true" in advised.words
    assert any("30 images are few" in reason for reason in advised.reasons)


@pytest.fixture(scope="module")
def worlds(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the facts of small data sets by kind."""
    root = tmp_path_factory.mktemp("worlds")
    fill(root / "pairs" / "train", 4, 0, 80, 40)
    names = [path.name for path in fill(root / "celeba" / "images", 20)]
    rows = [f"{name} {2 * (number % 2) - 1}" for number, name in enumerate(names)]
    (root / "celeba" / "list_attr_celeba.txt").write_text("\n".join(["20", "Male", *rows]) + "\n")
    fill(root / "three" / "a", 4)
    fill(root / "three" / "b", 4)
    fill(root / "three" / "c", 4)
    return {
        "two": {"words": ("data=folder", f"data.root={good}"), "smallest": 110},
        "three": {"words": ("data=folder", f"data.root={root / 'three'}"), "domains": ("a", "b", "c")},
        "pairs": {"words": ("data=paired", f"data.root={root / 'pairs'}"), "pairs": True},
        "attributes": {
            "words": ("data=celeba", f"data.root={root / 'celeba'}", "data.attributes=[Male]"),
            "domains": (),
            "labels": 1,
        },
    }


@pytest.mark.parametrize("gpu", [None, 8e9, 24e9])
@pytest.mark.parametrize("side", [20.0, 64.0, 100.0, 300.0])
@pytest.mark.parametrize("world", ["two", "three", "pairs", "attributes"])
def test_every_advice_checks_clean(
    worlds: dict[str, dict[str, Any]], world: str, side: float, gpu: float | None
) -> None:
    advised = advice.advise(data(side=side, **worlds[world]), None if gpu is None else int(gpu))
    assert advised is not None
    assert load(advised.words).data.image_size == (min(64, sized(side)) if gpu is None else sized(side))


@pytest.mark.parametrize(
    ("side", "on_cpu", "on_gpu"),
    [(20.0, [64, 32], [64, 32]), (64.0, [64, 32], [128, 64]), (128.0, [64, 32], [256, 128])],
)
def test_people_are_trained_in_their_aspect_ratio(
    tmp_path: Path, side: float, on_cpu: list[int], on_gpu: list[int]
) -> None:
    market1501(tmp_path, each=1)
    people = {"words": ("data=market1501", f"data.root={tmp_path}"), "domains": tuple(f"c{k}" for k in range(1, 7))}
    for gpu, size in ((None, on_cpu), (24e9, on_gpu)):
        advised = advice.advise(data(side=side, shape=ImageSize(256, 128), **people), None if gpu is None else int(gpu))
        assert advised is not None
        assert load(advised.words).data.image_size == size


def sized(side: float) -> int:
    return {20.0: 32, 64.0: 64, 100.0: 128, 300.0: 256}[side]
