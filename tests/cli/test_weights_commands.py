"""`export` and `import` as a user meets them, and every command and program of docs/weights.md."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import onnxruntime
import pytest
import torch
from PIL import Image

from cli.hub_server import TOKEN, serving
from numerics.published import differences, golden_state, save, stargan_v2
from training.tiny import tiny
from translate.cli import USER_MISTAKE, main
from translate.config.resume import resumed
from translate.config.schema import to_mapping, to_yaml
from translate.inference.torch_engine import TorchEngine
from translate.inference.translator import load
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build
from translate.weights import format

Out = pytest.CaptureFixture[str]

PAGE = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
RUN = "runs/stargan_v2/2026-01-31_12-00-00"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(place: Path) -> Path:
    """Return a run folder with checkpoints of iterations 350 and 700."""
    folder = place / RUN
    config = tiny()
    data, model = build.build_data(config), build.build_model(config)
    kept = RunFolder(folder)
    kept.begin(to_yaml(config), [], 0)
    kept.note_data({"train": data.train, "val": data.val})
    for iteration in (350, 700):
        model.iteration = iteration
        state = checkpoints.capture(model, data.domains, to_mapping(config))
        checkpoints.write(state, RunFolder(folder).checkpoint(iteration))
    return folder


def refused(out: Out, *words: str) -> str:
    """Return the one sentence with which these words are refused."""
    assert main(words) == USER_MISTAKE
    said = out.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


def done(out: Out, *words: str) -> str:
    """Return what these words print."""
    code = main(words)
    said = out.readouterr()
    assert code == 0, said.err
    return said.out


# --- export -------------------------------------------------------------------------------------------------


def size_of_tensors(path: Path) -> int:
    """Return the bytes of a safetensors file without its header."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")


def test_export_writes_into_the_run_folder(capsys: Out, run: Path) -> None:
    told = done(capsys, "export", f"run={run}")
    path = run / "weights_000700.safetensors"
    assert told.startswith(f"{path}, ")
    assert "MB: stargan_v2 of iteration 700, generator, mapping, style_encoder\n" in told
    found = format.read(path)
    assert (found.iteration, found.domains) == (700, ("bear", "cat", "rabbit"))
    stored, whole = size_of_tensors(path), size_of_tensors(RunFolder(run).checkpoint(700))
    assert stored < whole / 2
    assert done(capsys, "export", f"run={run}", "checkpoint=350").startswith(str(run / "weights_000350.safetensors"))
    RunFolder(run).checkpoint(350).rename(run / "checkpoints" / "best.safetensors")
    assert done(capsys, "export", f"run={run}", "checkpoint=best").startswith(str(run / "weights_best.safetensors"))
    assert format.read(run / "weights_best.safetensors").iteration == 350
    assert resumed(run, []).iterations == tiny().iterations  # the run folder is still one


def test_export_of_a_file_again(capsys: Out, run: Path, place: Path) -> None:
    done(capsys, "export", f"run={run}", "to=all.safetensors", "with=all")
    done(capsys, "export", "weights=all.safetensors", "to=few.safetensors", "with=needed", "licence=mit")
    assert format.read(place / "few.safetensors").licence == "mit"
    assert "discriminator" in format.read(place / "all.safetensors").networks
    assert "discriminator" not in format.read(place / "few.safetensors").networks


BAD_EXPORTS: list[tuple[tuple[str, ...], str]] = [
    ((), "weights: this argument is missing; expected NAME, FILE, RUN_FOLDER or hf://OWNER/NAME"),
    (("run=RUN", "weights=x"), "run: it is the same as weights"),
    (("rnu=RUN",), "export: unknown argument 'rnu'. Did you mean 'run'?"),
    (("RUN",), "export: found 'RUN', expected argument=value, for example weights=RUN"),
    (("run=RUN", "run=RUN"), "run: this argument is given twice"),
    (("run=RUN", "to="), "to: the value is missing; expected FILE.safetensors"),
    (("run=nowhere",), "nowhere is not there; expected a run folder"),
    (("run=RUN", "checkpoint=5"), "holds no checkpoint of iteration 5; expected one of 350, 700"),
    (("run=RUN", "checkpoint=best"), "has no best checkpoint. Fix: train with best=METRIC"),
    (("run=RUN", "checkpoint=first"), "checkpoint: found 'first', expected last, best or an iteration"),
    (("run=RUN", "to=x.pt"), "to: found 'x.pt', expected a name that ends in .safetensors"),
    (("run=RUN", "to=hf://me"), "hf://me: expected hf://owner/name"),
    (("run=RUN", "format=publishd"), "format: unknown value 'publishd'. Known: safetensors, official"),
    (("run=RUN", "format=official"), "to: this argument is missing; expected to=FOLDER"),
    (("run=RUN", "format=official", "to=x.ckpt"), "to: found 'x.ckpt', expected a folder"),
    (("run=RUN", "format=official", "to=hf://me/x"), "expected a folder, since the official layout has several files"),
    (("run=RUN", "format=official", "to=x", "dtype=float16"), "dtype: format=official stores float32"),
    (("run=RUN", "format=onnx", "with=all"), "with: format=onnx writes the networks of inference"),
    (("run=RUN", "graphs=[generator]"), "graphs: format=safetensors has no graphs"),
    (("run=RUN", "format=onnx", "aot=true"), "aot: format=onnx is not compiled. Fix: format=torch_export"),
    (
        ("run=RUN", "format=onnx", "to=x.safetensors"),
        "found 'x.safetensors', expected a folder, or a name that ends in .onnx",
    ),
    (("run=RUN", "format=onnx", "to=hf://me/x"), "found 'hf://me/x', expected a folder, or a name that ends in .onnx"),
    (("run=RUN", "with=some"), "with: unknown value 'some'. Known: needed, all"),
    (("run=RUN", "private=true"), "private: only a repository on the Hub can be private"),
    (("weights=nothing.safetensors", "to=x.safetensors"), "weights: there is no file nothing.safetensors"),
    (("weights=nothing", "to=x.safetensors"), "weights: there are no weights of this name; found 'nothing'"),
    (("weights=.", "to=x.safetensors"), ".: the folder holds no weights; expected a run folder"),
    (("weights=critters", "to=x.safetensors", "checkpoint=3"), "checkpoint: critters is one set of weights; found '3'"),
    (("weights=critters",), "to: this argument is missing; expected to=FILE.safetensors"),
]


def test_export_to_onnx(capsys: Out, run: Path) -> None:
    lines = done(capsys, "export", f"run={run}", "format=onnx", "graphs=[mapping]").splitlines()
    path = run / "onnx_000700" / "mapping.onnx"
    assert re.fullmatch(
        r"mapping\.onnx, 0\.1 MB: code, target -> style; difference \d\.\de-\d\d; "
        r"torch [\d.]+ ms, ONNX Runtime [\d.]+ ms",
        lines[0],
    )
    assert lines[1:] == [f"written: {path.parent}"]
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["weights_sha256"]) == TorchEngine(load(run)).digest
    assert json.loads(metadata["iteration"]) == 700


@pytest.mark.parametrize(("words", "sentence"), BAD_EXPORTS, ids=[sentence for _, sentence in BAD_EXPORTS])
def test_export_refuses(capsys: Out, run: Path, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(capsys, "export", *(word.replace("RUN", str(run), 1) for word in words)).replace(
        str(run), "RUN"
    )


def test_a_run_without_a_checkpoint_is_refused(capsys: Out, run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert "holds no checkpoint yet" in refused(capsys, "export", f"run={run}")


# --- import -------------------------------------------------------------------------------------------------


def test_import_then_export_is_the_identity(capsys: Out, place: Path) -> None:
    content = stargan_v2(32, 1.0, 2, width=4, widest=16)
    save(content, place / "100000_nets_ema.ckpt")
    told = done(capsys, "import", "weights=100000_nets_ema.ckpt", "to=faces.safetensors", "licence=cc-by-nc-4.0")
    assert told == "faces.safetensors: stargan_v2 at 32 px, generator, mapping, style_encoder, masks\n"
    assert format.read(place / "faces.safetensors").licence == "cc-by-nc-4.0"
    done(capsys, "export", "weights=faces.safetensors", "format=official", "to=out")
    written = torch.load(place / "out" / "100000_nets_ema.ckpt", weights_only=True)
    assert differences(written, content) == ["generator/hpf.filter"]  # which the released file lacks


def test_import_makes_a_run_that_resumes(capsys: Out, run: Path, place: Path) -> None:
    done(capsys, "export", f"run={run}", "to=w.safetensors")
    words = [*tiny.data, "metrics=none", "trainer=cpu", "trainer.threads=1"]
    told = done(capsys, "import", "weights=w.safetensors", "to=runs/fine", *words)
    assert "a run of stargan_v2 with the weights of generator, mapping, style_encoder" in told
    assert "not in the file, initialized from seed 0: discriminator" in told
    assert told.endswith("continue training: python -m translate resume=runs/fine\n")
    config = resumed(place / "runs" / "fine", ["iterations=3"])
    assert config.model.networks["generator"]["base_width"] == 4
    assert "is not empty" in refused(capsys, "import", "weights=w.safetensors", "to=runs/fine", *words)


BAD_IMPORTS: list[tuple[tuple[str, ...], str]] = [
    ((), "weights: this argument is missing; expected weights=FILE[,FILE]"),
    (("weights=a.ckpt",), "to: this argument is missing; expected to=FILE.safetensors|RUN_FOLDER"),
    (("weights=b.ckpt", "to=x.safetensors"), "there is no file b.ckpt"),
    (("weights=a.ckpt", "to=x.pt"), "to: found 'x.pt', expected a name that ends in .safetensors, or a folder"),
    (("weights=a.ckpt", "to=hf://me/x"), "to: found 'hf://me/x', expected a file"),
    (
        ("weights=a.ckpt", "to=x.safetensors", "domans=[a]"),
        "import: unknown argument 'domans'. Did you mean 'domains'?",
    ),
    (("weights=a.ckpt", "to=x.safetensors", "w_hpf=high"), "w_hpf: found 'high', expected a number"),
    (("weights=a.ckpt", "to=x.safetensors", "image_size=-1"), "image_size: found -1, expected at least 1"),
    (
        ("weights=a.ckpt", "to=x.safetensors", "labels=classes"),
        "labels: unknown value 'classes'. Known: attributes, domain",
    ),
    (("weights=a.ckpt", "to=x.safetensors", "dropout=no"), "dropout: found 'no'"),
    (
        ("weights=a.ckpt", "to=x.safetensors", "model=cycle_gan"),
        "model: unknown value 'cycle_gan'. Did you mean 'cyclegan'?",
    ),
    (("weights=a.ckpt", "to=x.safetensors"), "have no known layout"),
    (
        ("weights=ours.safetensors", "to=x.safetensors", "domains=[a]"),
        "domains: ours.safetensors describes itself; found ('a',). Fix: leave the argument out",
    ),
    (
        ("weights=ours.safetensors", "to=new", "data=critters", "data.domains=[cat,fox]"),
        "expected 2, the value of data.num_domains",
    ),
    (("weights=ours.safetensors", "to=new", "data=folder"), "data.root: the value is missing"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD_IMPORTS, ids=[sentence for _, sentence in BAD_IMPORTS])
def test_import_refuses(capsys: Out, place: Path, run: Path, words: tuple[str, ...], sentence: str) -> None:
    torch.save({"a": torch.ones(1)}, place / "a.ckpt")
    if any("ours" in word for word in words):
        done(capsys, "export", f"run={run}", "to=ours.safetensors")
    before = sorted(place.iterdir())
    assert main(["import", *words]) == USER_MISTAKE
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert sorted(place.iterdir()) == before


def test_mistakes_are_told_before_torch_is_loaded() -> None:
    for words in (["export", "rnu=x"], ["export", "run=nowhere"], ["import", "weights=x"], ["export", "-h"]):
        code = f"import sys\nfrom translate.cli import main\nmain({words})\nprint('torch' in sys.modules)"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert answer.stdout.endswith("False\n"), answer.stderr


# --- the page -----------------------------------------------------------------------------------------------


def test_every_command_and_program_of_the_page_runs(
    run: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """In the order of the page, on small files of the names that it has; the Hub is a server on this machine."""
    constants = pytest.importorskip("huggingface_hub.constants")
    save(stargan_v2(32, 1.0, 2, width=4, widest=16), place / "100000_nets_ema.ckpt")
    for name, network in (("G", "generator"), ("D", "discriminator")):
        save(golden_state("stargan_v1_celeba64", network), place / f"200000-{name}.ckpt")
    save(golden_state("cyclegan_resnet9_64", "G_A", 0.5), place / "latest_net_G.pth")
    for number, name in enumerate(("photo.png", "other.png")):
        Image.new("RGB", (40, 30), (90 * number, 120, 200)).save(place / name)
    attributes = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    celeba(place / "datasets" / "celeba", attributes)
    with serving() as hub:
        pages = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        settings = {"ENDPOINT": hub.address, "HUGGINGFACE_CO_URL_TEMPLATE": pages, "HF_HUB_DISABLE_XET": True}
        for name, value in {**settings, "HF_HUB_CACHE": str(place / "cache")}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        found = re.findall(r"^    (python -m translate [^\n]*)$|^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        assert len(found) > 15
        names: dict[str, object] = {}
        for command, program in found:
            words = shlex.split(command)[3:]
            if words[:1] == ["resume=runs/fine"]:
                assert resumed(place / "runs" / "fine", words[1:]).iterations == 250_000
            elif command:
                assert main(words) == 0, (command, capsys.readouterr().err)
            else:
                exec(program, names)
    assert "me/critters" in hub.repositories
    assert (place / "translated.png").is_file()
    assert sorted(path.name for path in (place / "official").iterdir()) == [
        "000700_nets.ckpt",
        "000700_nets_ema.ckpt",
        "100000_nets_ema.ckpt",
    ]


def celeba(root: Path, attributes: tuple[str, ...]) -> None:
    """Write a CelebA of thirty pictures."""
    (root / "img_align_celeba").mkdir(parents=True)
    lines = ["30", " ".join(attributes)]
    for number in range(30):
        name = f"{number:06d}.jpg"
        Image.new("RGB", (178, 218), (8 * number, 100, 50)).save(root / "img_align_celeba" / name)
        lines.append(" ".join([name, *("1" if (number >> bit) & 1 else "-1" for bit in range(len(attributes)))]))
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")


def test_the_page_names_what_the_header_holds() -> None:
    keys = {
        key for line in re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE, re.MULTILINE) for key in re.findall(r"`(\w+)`", line)
    }
    assert keys == {"format", "ema", "checksums", *(item.name for item in fields(format.Weights))} - {"tensors"}
