"""`apply names=... others=true`: every image in the style of every other camera, under the official names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.cli import USER_MISTAKE, main
from translate.errors import UserError
from translate.inference.inputs import Source
from translate.inference.names import NamePattern, source_domain
from translate.inference.translator import Translator
from translate.weights.format import Weights, build, write

Out = pytest.CaptureFixture[str]
CAMERAS = ("c1", "c2", "c3")
PERSONS = ("0002_c1s1_000451_03", "0002_c2s3_000010_01", "-1_c3s1_000001_01")
CYCLEGAN = {f"generator_{way}": {"name": "resnet_generator", "base_width": 4, "num_blocks": 1} for way in ("ab", "ba")}
STARGAN_V1 = {"generator": {"name": "stargan_v1_generator", "num_labels": 3, "base_width": 4, "num_blocks": 1}}


def weights(path: Path, model: str, networks: dict, domains: tuple[str, ...], **more: object) -> str:
    """Write a weights file of random networks for images of 32 x 16 pixels."""
    torch.manual_seed(0)
    tensors = {f"network.{r}.{k}": t for r, node in networks.items() for k, t in build(node).state_dict().items()}
    write(Weights(tensors, model, networks, [32, 16], domains=domains, data={"crop": "none"}, **more), path)  # type: ignore[arg-type]
    return str(path)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with images of three cameras."""
    monkeypatch.chdir(tmp_path)
    Path("people").mkdir()
    for number, name in enumerate(PERSONS):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 12, 3), np.uint8)
        Image.fromarray(pixels).save(f"people/{name}.jpg", quality=95)
    return tmp_path


@pytest.fixture
def cameras(place: Path) -> str:
    """Return weights of StarGAN v1 whose labels are cameras."""
    sets = ({"kind": "classes", "names": list(CAMERAS)},)
    return weights(
        place / "cameras.safetensors",
        "stargan_v1",
        STARGAN_V1,
        CAMERAS,
        label_sets=sets,
        arguments={"label_sets": list(sets)},
    )


def written(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.jpg"))


def refused(out: Out, *words: str) -> str:
    assert main(["apply", *words]) == USER_MISTAKE
    said = out.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


def test_every_image_in_every_camera_its_own_included_as_hhl_names_them(cameras: str) -> None:
    words = [f"weights={cameras}", "input=people/[0-9]*.jpg", "output=out", "resolution=model"]
    assert main(["apply", *words, "names={name}_fake_{target_number}"]) == 0
    assert written("out") == sorted(f"{name}_fake_{k}.jpg" for name in PERSONS[:2] for k in (1, 2, 3))
    for path in Path("out").glob("*.jpg"):
        image = Image.open(path)
        assert (image.format, image.size) == ("JPEG", (12, 24))


def test_every_image_in_every_other_camera(cameras: str) -> None:
    words = [f"weights={cameras}", "input=people", "output=out", "others=true"]
    assert main(["apply", *words, "names={name}_fake_{source_number}to{target_number}"]) == 0
    assert written("out") == sorted(
        f"{name}_fake_{own}to{k}.jpg" for own, name in enumerate(PERSONS, 1) for k in (1, 2, 3) if k != own
    )
    lines = [json.loads(line) for line in Path("out/translations.jsonl").read_text().splitlines()]
    assert {(line["source_domain"], line["target"]) for line in lines} == {
        (a, b) for a in CAMERAS for b in CAMERAS if a != b
    }
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    assert main(["apply", *words, "names={name}_fake_{source_number}to{target_number}"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}, "nothing is made again"
    line = next(line for line in lines if line["output"] == f"{PERSONS[0]}_fake_1to3.jpg")
    assert main([*line["words"], "output=again"]) == 0
    assert (Path("again") / line["output"]).read_bytes() == (Path("out") / line["output"]).read_bytes()


def test_a_model_of_two_cameras_translates_each_image_to_the_other(place: Path) -> None:
    pair = weights(place / "pair.safetensors", "cyclegan", CYCLEGAN, ("c1", "c2"))
    words = [f"weights={pair}", "input=people/*_c[12]s*.jpg", "output=out", "others=true"]
    assert main(["apply", *words, "names={name}_fake_{source_number}to{target_number}"]) == 0
    assert written("out") == [f"{PERSONS[0]}_fake_1to2.jpg", f"{PERSONS[1]}_fake_2to1.jpg"]


def test_the_result_is_the_same_under_every_name(cameras: str) -> None:
    words = [f"weights={cameras}", "input=people", "resolution=model"]
    assert main(["apply", *words, "output=folders"]) == 0
    assert main(["apply", *words, "output=named", "names={target}/{name}"]) == 0
    for camera in CAMERAS:
        for name in PERSONS:
            paths = [Path(folder) / camera / f"{name}.jpg" for folder in ("folders", "named")]
            assert paths[0].read_bytes() == paths[1].read_bytes()


def test_without_names_the_others_are_in_folders_of_their_targets(cameras: str) -> None:
    assert main(["apply", f"weights={cameras}", "input=people", "output=out", "others=true"]) == 0
    assert sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.jpg")) == sorted(
        f"c{k}/{name}.jpg" for own, name in enumerate(PERSONS, 1) for k in (1, 2, 3) if k != own
    )


def test_styles_are_a_part_of_the_name() -> None:
    words = ["input=people", "output=out", "target=[cat,bear]", "seed=[0,3]", "names={style}/{target}_{name}"]
    assert main(["apply", *words]) == 0
    assert {path.parent.name for path in Path("out").rglob("*.jpg")} == {"seed_0", "seed_3"}
    assert len(list(Path("out").rglob("*.jpg"))) == 2 * 2 * len(PERSONS)


def test_drawn_images_are_shown_under_their_names() -> None:
    assert main(["apply", "output=out", "others=true", "names={source}_to_{target}/{name}"]) == 0
    assert (Path("out") / "cat_to_bear" / "cat_0.png").exists()
    assert not (Path("out") / "cat_to_cat").exists()
    assert (Path("out") / "overview.png").exists()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            "{name}_{camera}",
            "names: unknown placeholder 'camera'. Did you mean 'name'? Known: name, target, target_number",
        ),
        ("{target}", "names: images would have translations of the same name; found '{target}'. Fix: put {name} into"),
        ("{name", "names: braces do not match"),
        ("{name:>9}", "names: the placeholder 'name' takes no format; found '{name:>9}'. Fix: {name}"),
        ("../{name}", "names: it leads out of the output folder; found '../{name}'"),
        ("/{name}", "names: it leads out of the output folder"),
        (
            "{name}_fake.jpg",
            "names: a translation has the suffix of its format; found '{name}_fake.jpg'. Fix: leave out",
        ),
        ("{name}_{style}", "names: the model has no styles"),
        (
            "{name}_fake",
            "would have the name 0002_c1s1_000451_03_fake.jpg; found '{name}_fake'. Fix: put {target} into",
        ),
    ],
)
def test_a_pattern_is_checked(cameras: str, capsys: Out, names: str, sentence: str) -> None:
    words = [f"weights={cameras}", "input=people/0002_c1s1_000451_03.jpg", "output=out", f"names={names}"]
    assert sentence in refused(capsys, *words)
    assert not Path("out").exists()


def test_an_image_without_camera_is_named(cameras: str, capsys: Out) -> None:
    Image.new("RGB", (12, 24)).save("people/someone.jpg")
    said = refused(capsys, f"weights={cameras}", "input=people", "output=out", "others=true")
    assert (
        "others: the domain of these images is unknown; found people/someone.jpg, expected a folder, or a part" in said
    )
    said = refused(capsys, "input=people/someone.jpg", "output=out", "target=cat", "names={name}_{target_number}")
    assert "the name of the domain 'cat' has not one number" in said


def test_a_model_of_attributes_has_no_source_domains(place: Path, capsys: Out) -> None:
    sets = ({"kind": "attributes", "names": ["old", "smiling", "pale"]},)
    faces = weights(
        place / "faces.safetensors", "stargan_v1", STARGAN_V1, (), label_sets=sets, arguments={"label_sets": list(sets)}
    )
    said = refused(capsys, f"weights={faces}", "input=people", "output=out", "others=true")
    assert "others: stargan_v1 translates to labels, so a source has no domain" in said


def test_the_python_api_has_the_same_arguments(cameras: str) -> None:
    from translate import load

    translator: Translator = load(cameras)
    summary = translator.apply("people", "out", names="{name}_fake_{target_number}", others=True)
    assert len(summary.translations) == 6
    with pytest.raises(UserError, match="unknown placeholder"):
        NamePattern("{name}{nothing}")


@pytest.mark.parametrize(
    ("path", "domains", "domain"),
    [
        ("people/0002_c1s1_000451_03.jpg", CAMERAS, "c1"),
        ("people/0002_c12s1_000451_03.jpg", (*CAMERAS, "c12"), "c12"),
        ("people/0002_c4s1_000451_03.jpg", CAMERAS, None),
        ("c2/0002_c1s1_000451_03.jpg", CAMERAS, "c2"),
        ("photos/cat_7.png", ("cat", "dog"), "cat"),
        ("photos/Cat7.png", ("cat", "dog"), "cat"),
        ("photos/category_7.png", ("cat", "dog"), None),
        ("photos/cat_and_dog.png", ("cat", "dog"), None),
    ],
)
def test_the_domain_of_a_source(path: str, domains: tuple[str, ...], domain: str | None) -> None:
    assert source_domain(Source(Path(path), Path(path).name), domains) == domain
