"""Every command and program of docs/export.md, and `apply` with exported files."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.cli import USER_MISTAKE, main
from translate.commands.export import RUNTIMES
from translate.inference.graph_header import FORMAT, GraphHeader

Out = pytest.CaptureFixture[str]
PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
PROGRAM = "python -m translate "


def photo(path: Path, height: int, width: int, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run the commands of the page, in its order, in one folder; return the folder and what they print."""
    folder = tmp_path_factory.mktemp("page")
    photo(folder / "photo.png", 40, 60, 0)
    photo(folder / "photos" / "a.png", 30, 30, 1)
    photo(folder / "photos" / "b.png", 24, 50, 2)
    commands = [line.strip().removeprefix(PROGRAM) for line in PAGE.splitlines() if line.startswith(f"    {PROGRAM}")]
    answers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            with contextlib.redirect_stdout(io.StringIO()) as text:
                assert main(shlex.split(command)) == 0, command
            answers.append(text.getvalue())
    assert len(answers) == PAGE.count(f"    {PROGRAM}")
    return folder, answers


@pytest.fixture
def folder(page: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder of the page."""
    monkeypatch.chdir(page[0])
    return page[0]


def image(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def refused(out: Out, *words: str) -> str:
    """Return the one sentence with which `apply` refuses these words."""
    assert main(["apply", *words]) == USER_MISTAKE
    said = out.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


# --- the page -----------------------------------------------------------------------------------------------


def test_the_commands_write_what_the_page_says(page: tuple[Path, list[str]]) -> None:
    folder, answers = page
    lines = answers[0].splitlines()
    names = ["generator", "mapping", "style_encoder", "style_latent", "translate_latent", "translate_reference"]
    assert [line.partition(",")[0] for line in lines] == [*(f"{name}.onnx" for name in names), "written: critters_onnx"]
    assert sorted(path.stem for path in (folder / "critters_onnx").iterdir()) == names
    example = re.sub(r"\d+\.\d+(e-\d\d)?", "N", next(line for line in PAGE.splitlines() if "generator.onnx, 1" in line))
    assert re.sub(r"\d+\.\d+(e-\d\d)?", "N", lines[0]) == example.strip()
    assert sorted(path.name for path in (folder / "parts").iterdir()) == ["mapping.onnx", "style_latent.onnx"]
    assert (folder / "half.safetensors").stat().st_size < 3.5e6


def test_the_program_of_the_page(folder: Path) -> None:
    """In a process that imports neither torch nor this package."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    checks = "\nimport sys\nprint([name for name in ('torch', 'translate') if name in sys.modules])\n"
    answer = subprocess.run([sys.executable, "-c", program + checks], capture_output=True, text=True, check=False)
    assert answer.stdout == "[]\n", answer.stderr
    assert image("cat.png").shape == (64, 64, 3)
    assert image("cat.png").std() > 5


def test_the_page_names_every_field_and_format() -> None:
    header = PAGE.partition("### The header")[2].partition("## Comparison")[0]
    assert set(re.findall(r"`(\w+)`(?=[,` |])", header)) >= set(GraphHeader.__dataclass_fields__)
    assert FORMAT in header
    assert all(f"format={name}" in PAGE and suffix in PAGE for name, suffix in RUNTIMES.items())


# --- apply --------------------------------------------------------------------------------------------------


def test_every_engine_gives_the_same_translation(folder: Path) -> None:
    """Of one seed: a folder of networks, one whole way, and a program of torch (of seed 0)."""
    for words, output in ((["seed=1"], "torch1"), ([], "torch0")):
        assert main(["apply", "weights=critters", "input=photo.png", "target=cat", f"output={output}", *words]) == 0
    for output, expected in (("out", "torch1"), ("out2", "torch1"), ("out3", "torch0")):
        assert image(f"{output}/photo.png").shape == (40, 60, 3)
        assert np.abs(image(f"{output}/photo.png") - image(f"{expected}/photo.png")).max() <= 1
    records = [json.loads((folder / name / "translations.jsonl").read_text()) for name in ("out", "out3", "torch1")]
    assert [record["runtime"].split()[0] for record in records] == ["onnxruntime", "torch", "torch"]
    assert "torch.export" in records[1]["runtime"]
    assert len({record["weights_sha256"] for record in records}) == 1


@pytest.mark.parametrize("words", [("seed=[3,4]", "steps=3"), ("reference=photos/a.png",)])
def test_styles_are_those_of_torch(folder: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Blended styles of seeds, and the style of a reference."""
    for weights, output in (("critters_onnx", "onnx"), ("critters", "torch")):
        place = f"output={tmp_path / output}"
        assert main(["apply", f"weights={weights}", "input=photos", "target=cat", place, *words]) == 0
    names = [path.relative_to(tmp_path / "onnx") for path in sorted((tmp_path / "onnx").rglob("*.png"))]
    assert len(names) == (6 if "steps=3" in words else 2)
    for name in names:
        assert np.abs(image(tmp_path / "onnx" / name) - image(tmp_path / "torch" / name)).max() <= 1


def test_onnx_files_are_applied_without_torch(folder: Path, tmp_path: Path) -> None:
    words = ["apply", "weights=critters_onnx", "input=photo.png", "target=cat", "seed=1", f"output={tmp_path}"]
    code = (
        "import sys\n"
        "from translate.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "print([name for name in ('torch', 'onnx', 'hydra', 'safetensors') if name in sys.modules])\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr
    assert np.array_equal(image(tmp_path / "photo.png"), image("out/photo.png"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("domains=[a,b]",), "domains: an exported file describes itself. Fix: leave the argument out"),
        (("device=cuda",), "device: exported files run on the CPU; found 'cuda', expected cpu"),
        (("trust=true",), "trust: only .pt2 files need trust. Fix: leave the argument out"),
        (("target=lion",), "target: unknown domain 'lion'."),
    ],
)
def test_what_exported_files_do_not_take(capsys: Out, folder: Path, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(capsys, "weights=critters_onnx", "input=photo.png", "output=never", *words)


@pytest.mark.parametrize(
    ("weights", "words", "sentence"),
    [
        (
            "critters_onnx/translate_reference.onnx",
            ("reference=photos/a.png", "reference=photos/b.png", "steps=3"),
            "blend",
        ),
        ("critters_onnx/generator.onnx", (), "the networks do not translate alone"),
        ("programs/translate_latent.pt2", (), "can run code as it loads. Fix: trust=true"),
        ("programs", (), "can run code as it loads. Fix: trust=true"),
    ],
)
def test_files_that_are_refused(capsys: Out, folder: Path, weights: str, words: tuple[str, ...], sentence: str) -> None:
    answer = refused(capsys, f"weights={weights}", "input=photo.png", "target=cat", "output=never", *words)
    assert sentence in answer
    assert not Path("never").exists()
