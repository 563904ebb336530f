"""What the documents say is so: they are generated anew, their commands compose, their links and quotations hold."""

import ast
import importlib.util
import re
import shlex
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from translate.cli import MODULES, command, main
from translate.commands import benchmark, download, evaluate, sweep
from translate.commands.arguments import parse
from translate.config.command_line import parse as parse_line
from translate.config.command_line import stages_of
from translate.config.compose import load
from translate.config.experiments import header
from translate.registry import plugins
from translate.sweeps.grid import _known_runs
from translate.sweeps.stages import check as check_stages

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PROGRAM = "python -m translate"


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def write_files(document: str, folder: Path) -> None:
    """Write the files of a document to a folder: blocks of YAML with their path before them."""
    text = text_of(ROOT / document)
    for name, content in re.findall(r"^`([\w./]+)`:\n\n```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def commands() -> list[tuple[str, str]]:
    """Return (document, command line) for every line or span of code that calls the program, headers included."""
    found = {}
    for document in DOCUMENTS:
        if document.name in ("adding_a_model.md", "own_parts.md"):
            continue  # tests/training/test_adding_a_model.py and test_own_parts.py run their commands
        text = text_of(document).replace("\\\n", " ")
        lines = [line.strip() for line in text.splitlines()]
        quoted = [line for line in lines if line.startswith(PROGRAM)]
        quoted += re.findall(rf"`({PROGRAM}[^`\n]*)`", text)
        found.update({(name_of(document), " ".join(shlex.split(q, comments=True))): q for q in quoted})
    for path in sorted((ROOT / "experiments").rglob("*.yaml")):
        told = header(path)["Command"]
        found[name_of(path), told] = told
    return [(document, quoted) for (document, _), quoted in found.items()]


COMMANDS_QUOTED = commands()


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_documents_are_up_to_date(generator: ModuleType) -> None:
    for path, text in generator.generate().items():
        assert text_of(path) == text, f"{name_of(path)} is out of date; write it anew by: make docs"


def test_generating_knows_nothing_of_plugins(generator: ModuleType, small: list[str]) -> None:
    before = generator.generate()
    plugins.activate(["my_lab"])
    assert generator.generate() == before


@pytest.mark.parametrize(("document", "line"), COMMANDS_QUOTED, ids=[f"{d}: {line}" for d, line in COMMANDS_QUOTED])
def test_quoted_command_is_good(
    document: str,
    line: str,
    small: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`small` lets the plug-in example be found. The files of frozen networks are there, by name."""
    for file in ("wing.ckpt", "vgg16-397923af.pth", "vgg19-dcbb9e9d.pth", "vgg_face_dag.pth"):
        (tmp_path / file).touch()
    write_files(document, tmp_path)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[len(PROGRAM.split()) :]
    name = words[0] if words and words[0] in MODULES else "train"
    if name in ("list", "schema") or any(word in ("-h", "--help", "--version") for word in words):
        assert main(words) == 0, capsys.readouterr().err
        return
    words = [word for word in words if word != name]
    arguments = parse(command(name), words)
    if name == "download":
        assert (download.request_from(arguments) is None) == (not words)
        return
    if name in (
        "align",
        "apply",
        "export",
        "grid",
        "import",
        "migrate",
        "replay",
        "serve",
        "stylize",
        "table",
        "video",
    ):  # their own tests run them
        return
    if name == "sweep":
        sweep.check(*sweep.read(arguments), scan=False)
        return
    if name == "evaluate":
        assert evaluate.metrics_of(arguments)
        return
    if name == "benchmark":
        changes = [word for word in arguments.compare or () if not word.startswith("commit=")]
        load([*arguments.overrides, *changes, *benchmark.QUIET], scan=False)
        return
    if name == "show" and arguments.run is not None:
        assert not arguments.overrides
        return
    line = parse_line([word for word in arguments.overrides if not word.startswith("resume=runs/")])
    if (stages := stages_of(line)) is not None:
        assert check_stages(stages, line.overrides, scan=False)
        return
    runs = _known_runs(line) if line.flags.multirun else [([], line.overrides)]
    assert runs
    for of_hydra, overrides in runs:
        load([*of_hydra, *overrides], scan=False)  # the data of the examples is not here


def test_quoted_mistakes_read_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(ROOT / "docs" / "training.md")
    quoted = re.findall(rf"^    \$ {PROGRAM} (.*)\n((?:    .*\n)+)", text, re.MULTILINE)
    assert quoted
    for words, answer in quoted:
        assert main(shlex.split(words)) == 2
        assert capsys.readouterr().err == textwrap.dedent(answer)


def test_commands_are_found() -> None:
    assert {document for document, _ in COMMANDS_QUOTED} >= {"README.md", "docs/concepts.md", "docs/config.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", text_of(document))
    files = [target.partition("#")[0] for target in targets if not target.startswith(("http", "#"))]
    assert [file for file in files if not (document.parent / file).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_in_code_are_there(document: Path) -> None:
    paths = re.findall(r"`((?:src|conf|tests|docs|experiments|benchmarks)/[\w./-]*)`(?!:)", text_of(document))
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_targets_of_make_are_there(document: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)(?=`|$| {2})", text_of(document), re.MULTILINE)) <= known


def test_the_readme_names_the_two_commands() -> None:
    text = text_of(ROOT / "README.md")
    assert "make demo" in text
    assert "make test" in text


def test_the_quoted_step_is_the_real_one() -> None:
    source = text_of(ROOT / "src" / "translate" / "models" / "stargan_v2.py")
    (step,) = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.name == "step"
    )
    lines = source.splitlines()[step.lineno - 1 : step.end_lineno]
    wanted = "\n".join(line[step.col_offset :] for line in lines)
    (quoted,) = re.findall(r"```python\n(def step\(.*?)\n```", text_of(ROOT / "docs" / "concepts.md"), re.DOTALL)
    assert quoted == wanted
