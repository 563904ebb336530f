"""`apply` as a user meets it: a folder of images through every kind of weights, and one sentence for every mistake."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from numerics.published import golden_state, save, stargan_v2
from training.tiny import tiny
from translate.cli import USER_MISTAKE, main
from translate.config.schema import to_mapping, to_yaml
from translate.inference.torch_engine import TorchEngine
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build

Out = pytest.CaptureFixture[str]
SIZE = 32


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def pixels(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def photo(path: str, height: int = 40, width: int = 60, seed: int = 0) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, height, width)).save(place)
    return place


def done(out: Out, *words: str, code: int = 0) -> str:
    """Return what `apply` prints with these words."""
    assert main(["apply", *words]) == code
    return out.readouterr().out


def refused(out: Out, *words: str) -> str:
    """Return the one sentence with which these words are refused."""
    assert main(["apply", *words]) == USER_MISTAKE
    said = out.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


def lines(folder: str = "translations") -> dict[str, dict]:
    texts = (Path(folder) / "translations.jsonl").read_text().splitlines()
    records = [json.loads(text) for text in texts]
    assert len({record["output"] for record in records}) == len(records)
    return {record["output"]: record for record in records}


def files(folder: str = "translations") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


# --- without words ------------------------------------------------------------------------------------------


def test_without_words_drawn_images_are_translated(capsys: Out) -> None:
    text = done(capsys)
    assert text.startswith("18 translations in translations (")
    assert "translations/overview.png" in text
    assert len(lines()) == 18
    with Image.open("translations/overview.png") as overview:
        assert max(overview.size) > 900
    text = done(capsys)
    assert text.startswith("0 translations in translations (")
    assert "18 were there already" in text


# --- a folder -----------------------------------------------------------------------------------------------


def test_a_folder_keeps_names_sizes_and_folders(capsys: Out) -> None:
    photo("photos/a.png", 40, 60)
    photo("photos/deep/b.jpg", 33, 17)
    text = done(capsys, "weights=critters", "input=photos", "output=out", "target=cat")
    assert text.startswith("2 translations in out (")
    assert files("out") == ["a.png", "deep/b.jpg", "translations.jsonl"]
    for name, size in (("a.png", (60, 40)), ("deep/b.jpg", (17, 33))):
        with Image.open(f"out/{name}") as image:
            assert (image.size, image.mode) == (size, "RGB")
    record = lines("out")["a.png"]
    assert (record["target"], record["seed"], record["source"]) == ("cat", 0, "photos/a.png")
    assert (record["height"], record["width"], record["model"]) == (40, 60, "stargan_v2")


def test_all_domains_have_folders(capsys: Out) -> None:
    photo("photos/a.png")
    done(capsys, "weights=critters", "input=photos", "output=out")
    assert files("out") == ["bear/a.png", "cat/a.png", "rabbit/a.png", "translations.jsonl"]
    contents = {Path(f"out/{name}/a.png").read_bytes() for name in ("bear", "cat", "rabbit")}
    assert len(contents) == 3


def test_a_second_call_makes_what_is_missing(capsys: Out) -> None:
    first, second = photo("photos/a.png"), photo("photos/b.png", seed=1)
    words = ("weights=critters", "input=photos", "output=out", "target=cat")
    done(capsys, *words)
    before = {name: Path(f"out/{name}").stat().st_mtime_ns for name in ("a.png", "b.png")}
    Path("out/b.png").unlink()
    photo("photos/c.png", seed=2)
    text = done(capsys, *words)
    assert text.startswith("2 translations")
    assert "1 were there already" in text
    assert Path("out/a.png").stat().st_mtime_ns == before["a.png"]
    photo(str(first), seed=7)  # another image under the name
    assert done(capsys, *words).startswith("1 translation in")
    assert len(lines("out")) == 3
    assert "found b.png, c.png" not in done(capsys, *words, "overwrite=true")
    assert second.exists()


def test_unreadable_files_are_named_and_counted(capsys: Out) -> None:
    photo("photos/a.png")
    whole = photo("photos/b.png").read_bytes()
    Path("photos/b.png").write_bytes(whole[: len(whole) // 2])
    Path("photos/c.jpg").write_bytes(b"")
    Path("photos/d.png").write_text("not an image")
    text = done(capsys, "weights=critters", "input=photos", "output=out", "target=cat", code=1)
    assert text.startswith("1 translation in out")
    assert "3 not translated:" in text
    assert "photos/b.png cannot be read: image file is truncated" in text
    assert "photos/c.jpg is empty (0 bytes)" in text
    assert "photos/d.png is not an image in a known format" in text
    assert list(lines("out")) == ["a.png"]


def test_images_that_cannot_be_read_are_not_passed_over(capsys: Out) -> None:
    """Those with the suffix of an image; other files of the folder are no images."""
    photo("photos/a.gif")
    Path("photos/b.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    Path("photos/c.txt").write_text("notes")
    text = done(capsys, "weights=critters", "input=photos", "output=out", "target=cat", code=1)
    assert text.startswith("1 translation in out")
    assert "1 not translated:\n  photos/b.HEIC is not an image in a known format" in text
    assert "c.txt" not in text


def test_inputs_are_never_replaced(capsys: Out) -> None:
    content = photo("photos/a.png").read_bytes()
    said = refused(capsys, "weights=critters", "input=photos/a.png", "output=photos", "target=cat", "overwrite=true")
    assert "output: translations would be written over their inputs; found a.png" in said
    said = refused(capsys, "weights=critters", "input=photos/a.png", "output=photos", "target=cat")
    assert "these files are there and have other settings or another origin; found a.png" in said
    assert Path("photos/a.png").read_bytes() == content
    assert files("photos") == ["a.png"]


def test_references_are_never_replaced(capsys: Out) -> None:
    photo("photos/a.png")
    content = photo("styles/a.png", seed=1).read_bytes()
    words = ("weights=critters", "input=photos", "output=styles", "target=cat", "overwrite=true")
    said = refused(capsys, *words, "reference=styles/a.png")
    assert "output: translations would be written over their inputs; found a.png" in said
    (Path("styles") / "step_000").mkdir()
    Path("styles/step_000/a.png").symlink_to("../a.png")
    blend = ("reference=styles/a.png", "reference=photos/a.png", "steps=2")
    assert "found step_000/a.png" in refused(capsys, *words, *blend)
    assert Path("styles/a.png").read_bytes() == content


def test_translations_are_not_inputs_of_the_next_call(capsys: Out) -> None:
    photo("photos/a.png")
    for _ in range(2):
        done(capsys, "weights=critters", "input=photos", "output=photos/out", "target=cat")
    assert list(lines("photos/out")) == ["a.png"]


def test_equal_names_are_refused(capsys: Out) -> None:
    photo("one/a.png")
    photo("two/A.png")
    said = refused(capsys, "weights=critters", "input=one", "input=two", "output=out")
    assert "two images would have translations of the same name; found one/a.png and two/A.png" in said
    photo("one/a.jpg")
    assert "same name" in refused(capsys, "weights=critters", "input=one", "output=out", "format=png")
    assert not Path("out").exists()


def test_a_pattern_keeps_the_folders_below_it(capsys: Out) -> None:
    photo("photos/x/a.png")
    photo("photos/y/a.png")
    photo("photos/y/b.jpg")
    done(capsys, "weights=critters", "input=photos/*/*.png", "output=out", "target=cat")
    assert files("out") == ["translations.jsonl", "x/a.png", "y/a.png"]


def test_other_settings_do_not_replace(capsys: Out) -> None:
    photo("a.png")
    done(capsys, "weights=critters", "input=a.png", "output=out", "target=cat")
    said = refused(capsys, "weights=critters", "input=a.png", "output=out", "target=bear")
    assert "found a.png. Fix: overwrite=true, or another folder" in said
    done(capsys, "weights=critters", "input=a.png", "output=out", "target=bear", "overwrite=true")
    assert lines("out")["a.png"]["target"] == "bear"


# --- weights ------------------------------------------------------------------------------------------------


def test_released_weights_of_stargan_v2(capsys: Out) -> None:
    photo("a.png")
    save(stargan_v2(32, 0.0, 3, width=4, widest=16), Path("100000_nets_ema.ckpt"))
    done(capsys, "weights=100000_nets_ema.ckpt", "input=a.png", "output=out", "target=dog")
    assert lines("out")["a.png"]["target"] == "dog"
    said = refused(capsys, "weights=100000_nets_ema.ckpt", "input=a.png", "output=o", "domains=[a,b]")
    assert "domains: found 2 names, expected 3: the file has 3 domains" in said


MISTAKES = [
    (("weights=a.png",), "input: this argument is missing"),
    (("weights=faces.ckpt", "input=a.png"), "weights: there is no file faces.ckpt"),
    (
        ("weights=nothing", "input=a.png"),
        "weights: there are no weights of this name; found 'nothing', expected one of",
    ),
    (("input=b.png",), "input: there is no such file or folder; found 'b.png'"),
    (("input=a.png", "target=dgo"), "target: unknown domain 'dgo'. Known: bear, cat, rabbit"),
    (("input=a.png", "checkpoint=3"), "checkpoint: critters is one set of weights; found '3'"),
    (("input=a.png", "image_size=64"), "image_size: "),
    (("input=a.png", "device=cuda:77"), "device: this device cannot be used here"),
    (("input=a.png", "resolution=full"), "resolution: the networks of stargan_v2 take images of 64 x 64 pixels"),
    (("input=a.png", "attributes={cat: 1}"), "attributes: stargan_v2 translates to domains. Fix: target=bear"),
    (("input=a.png", "direction=AtoB"), "direction: stargan_v2 has no directions"),
    (("input=a.png", "target=cat", "attributes={a: 1}"), "found target and attributes, expected one of"),
    (("input=a.png", "run=x", "weights=y"), "run: it is the same as weights"),
    (("input=a.png", "seed=1", "reference=a.png"), "seed: styles come from seeds or from references; found both"),
    (("input=a.png", "steps=3"), "steps: found 1 style, expected two to lead from and to. Fix: seed=[0,1]"),
    (("input=a.png", "steps=1"), "steps: found 1, expected at least 2"),
    (("input=a.png", "num_styles=0"), "num_styles: found 0, expected at least 1"),
    (("input=a.png", "psi=abc"), "psi: found 'abc', expected a number"),
    (("input=a.png", "reference=b.png"), "reference: there is no such file or folder; found 'b.png'"),
    (("input=a.png", "output=a.png/out"), "output: a file is in the place of the folder; found 'a.png'"),
    (("input=nothing.png", "output=/proc/nothing/out"), "output: /proc/nothing/out cannot be written ("),
    (("input=a.png", "device=gpu"), "device: unknown device 'gpu'"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_mistakes_are_refused(capsys: Out, words: tuple[str, ...], sentence: str) -> None:
    photo("a.png")
    assert sentence in refused(capsys, *words)
    assert not Path("translations").exists()


def test_black_translations_of_good_images_are_counted(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    def translate(self: TorchEngine, x: np.ndarray, *_: Any) -> np.ndarray:
        return np.full_like(x, -1.0)

    monkeypatch.setattr(TorchEngine, "translate", translate)
    photo("a.png")
    photo("b.png", seed=1)
    Image.new("RGB", (60, 40)).save("black.png")
    said = done(capsys, "input=*.png", "target=cat")
    assert "2 x: the translation is black, and its source is not" in said


# --- the page -----------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "apply.md").read_text(encoding="utf-8")


def test_every_command_of_the_page_runs(capsys: Out, place: Path) -> None:
    """On small weights of the names that the page has."""
    photo("photos/a.jpg", 24, 32)
    photo("photos/b.png", 30, 20, seed=1)
    run = Path("runs/stargan_v2/2026-01-31_12-00-00")
    train_tiny(run)
    save(stargan_v2(32, 0.0, 3, width=4, widest=16), place / "100000_nets_ema.ckpt")
    save(golden_state("stargan_v1_celeba64", "generator"), place / "200000-G.ckpt")
    save(golden_state("cyclegan_resnet9_64", "G_A", 0.5), place / "latest_net_G.pth")
    commands = re.findall(r"^    python -m translate ([^\n]*)$", PAGE, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
    assert Path("styles/seed_3/a.jpg").is_file()
    record = lines("styles")["seed_3/a.jpg"]
    assert record["output_sha256"] == lines("again")["a.jpg"]["output_sha256"]
    assert lines("faces")["a.jpg"]["target"] == {"Blond_Hair": 1.0, "Young": 1.0}
    assert sorted(path.name for path in Path("between").iterdir() if path.is_dir()) == [
        f"step_{number:03d}" for number in range(5)
    ]


def train_tiny(folder: Path) -> None:
    """Write a run folder with a checkpoint of a tiny model."""
    config = tiny()
    data, model = build.build_data(config), build.build_model(config)
    RunFolder(folder).begin(to_yaml(config), [], 0)
    checkpoint = checkpoints.capture(model, data.domains, to_mapping(config))
    checkpoints.write(checkpoint, RunFolder(folder).checkpoint(0))


def test_attributes_that_exclude_each_other(capsys: Out) -> None:
    photo("a.png")
    save(golden_state("stargan_v1_celeba64", "generator"), Path("200000-G.ckpt"))
    words = ("weights=200000-G.ckpt", "input=a.png", "output=out")
    said = refused(capsys, *words, "attributes={Blond_Hair: 1, Black_Hair: 1}")
    assert "found Blond_Hair and Black_Hair. Fix: one of them, or a mixture {Blond_Hair: 0.5, Black_Hair: 0.5}" in said
    done(capsys, *words, "attributes={Blond_Hair: 0.5, Black_Hair: 0.5}")
    assert "attributes: unknown label 'Mael'. Did you mean 'Male'?" in refused(capsys, *words, "attributes={Mael: 1}")


def test_a_record_makes_the_image_again_to_the_bit(capsys: Out) -> None:
    """Alone what was made among others: a reference of a folder, blended styles, a palette, full resolution."""
    for number, name in enumerate(("a.png", "b.jpg", "c.png")):
        photo(f"photos/{name}", 40 + number, 50, number)
    Image.open("photos/c.png").quantize(32).save("photos/c.png")
    save(golden_state("cyclegan_resnet9_64", "G_A", 0.5), Path("latest_net_G.pth"))
    for words in (
        ("weights=critters", "reference=photos", "target=[cat,bear]"),
        ("weights=critters", "seed=[2,9]", "steps=3", "target=cat", "psi=0.5"),
        ("weights=latest_net_G.pth", "domains=[a,b]", "direction=AtoB", "format=png"),
    ):
        done(capsys, *words, "input=photos", "output=out", "overwrite=true")
        for name, record in lines("out").items():
            assert main([*record["words"], "output=again", "overwrite=true"]) == 0
            remade = {each["output_sha256"] for each in lines("again").values()}
            assert record["output_sha256"] in remade, (words, name)
            shutil.rmtree("again")
        shutil.rmtree("out")
        capsys.readouterr()
