"""The command line in its own processes: exit codes, sentences, nothing left behind, no torch."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from translate import __version__
from translate.cli import commands
from translate.config.command_line import _spelled_out

Call = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = ["plugins=[my_lab]", "model=painter", "data=dots"]

# Stands for training: what would be trained is printed, and a run folder is made.
STUB = """
import sys, types
run = types.ModuleType("translate.training.run")
def train(config, folder, resume_from, overrides, datasets, command, of_length):
    assert "torch" not in sys.modules
    if config.seed == 13:
        raise ZeroDivisionError("unexpected")
    folder.mkdir(parents=True, exist_ok=True)
    print("TRAIN", config.name, folder, resume_from, config.seed, sys.argv[1:])
    return 0
run.train = train
sys.modules["translate.training.run"] = run
import translate
import translate.training
translate.training.run = run
from translate.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def stubbed(tmp_path: Path, small: list[str]) -> Call:
    """Return a function that runs the command line with training replaced by a line of print."""

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", STUB, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def test_help_version_and_lists(command: Call) -> None:
    overview = command("--help")
    assert overview.returncode == 0
    assert all(entry.name in overview.stdout for entry in commands() if not entry.hidden)
    assert "--hydra-help" in overview.stdout
    assert command("--version").stdout.strip() == f"translate-gan {__version__}"
    assert "stargan_v2_generator" in command("list").stdout
    networks = command("list", "networks", "plugins=[my_lab]").stdout
    assert "my_lab_painter\n    Repaint an image" in networks
    assert "width: int = 16" in networks
    assert "my_lab/first\n    does a plug-in" in command("list", "experiments", "plugins=[my_lab]").stdout


@pytest.mark.parametrize("name", [entry.name for entry in commands() if not entry.hidden])
def test_help_of_each_command(command: Call, name: str) -> None:
    answer = command(name, "-h")
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: python -m translate")
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lst"], "unknown command 'lst'. Did you mean 'list'?"),
        (["list", "netwoks"], "list: unknown kind 'netwoks'. Did you mean 'networks'?"),
        (["show", "run=nothing"], "run: nothing is not there; expected a run folder"),
        ([*SMALL, "trainer.devces=1"], "trainer.devces: unknown key 'devces'. Did you mean 'devices'?"),
        (["-m", *SMALL, "seed=1,b"], "found 'b', expected a whole number"),
        (["--multrun", *SMALL], "unrecognized arguments: --multrun. Fix: write key=value for settings"),
        (["show", "--memroy", *SMALL], "unrecognized arguments: --memroy. Fix: write key=value for settings"),
        (["benchmark", *SMALL, "--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
        (["resume=nothing"], "resume: nothing is not there; expected a run folder"),
        (["resume=a\nb"], "resume: a\\nb is not there"),
        (["-m", *SMALL, "seed=1,2", "folder=x"], "folder: several runs cannot share a folder"),
        (["-m", *SMALL, "seed=1,2", "--cfg", "job"], "found --multirun and --cfg, expected one of them"),
    ],
)
def test_mistakes_end_with_2_and_leave_nothing(command: Call, tmp_path: Path, words: list[str], sentence: str) -> None:
    answer = command(*words)
    assert answer.returncode == 2, answer.stderr
    assert sentence in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert list((tmp_path / "place").iterdir()) == []


def test_show_prints_what_is_checked(command: Call) -> None:
    answer = command("show", *SMALL, "seed=4")
    assert answer.returncode == 0, answer.stderr
    assert "seed: 4\n" in answer.stdout
    assert "num_domains: 3\n" in answer.stdout
    assert "${" not in answer.stdout


def test_torch_is_not_imported_for_checking() -> None:
    code = (
        "import sys; from translate.cli import main; from translate.config.compose import load\n"
        "load(['plugins=[my_lab]', 'model=painter', 'data=dots']); main(['list']); main(['train', '-h'])\n"
        "loaded = [m for m in ('torch', 'pytorch_lightning', 'torchmetrics', 'wandb') if m in sys.modules]\n"
        "assert not loaded, loaded"
    )
    plugin = str(Path(__file__).parents[1] / "plugin_example")
    path = os.pathsep.join([plugin, *filter(None, [os.environ.get("PYTHONPATH")])])
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_single_run(stubbed: Call, tmp_path: Path) -> None:
    answer = stubbed(*SMALL, "seed=3")
    assert answer.returncode == 0, answer.stderr
    word, name, folder, resume_from, seed, *argv = answer.stdout.split()
    assert (word, name, resume_from, seed) == ("TRAIN", "painter", "None", "3")
    assert Path(folder).parent == Path("runs/painter")
    assert "join" in argv[0]
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    given = stubbed("train", *SMALL, "folder=here and there")
    assert "TRAIN painter here and there None" in given.stdout, given.stderr


def test_unexpected_errors_keep_their_traceback(stubbed: Call) -> None:
    answer = stubbed(*SMALL, "seed=13")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    assert "ZeroDivisionError: unexpected" in answer.stderr


def test_flags_of_hydra(stubbed: Call) -> None:
    assert "num_domains: ${data.num_domains}" in stubbed("--cfg", "job", *SMALL).stdout
    assert "hydra" in stubbed("--info", "searchpath", *SMALL).stdout
    assert "Hydra" in stubbed("--hydra-help").stdout
    wrong = stubbed("--cfg", "job", *SMALL, "seeed=3")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_experiments_of_one_folder_may_be_named_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "experiments" / "study" / "ablation"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.yaml").write_text("seed: 1\n")
    monkeypatch.chdir(tmp_path)
    full = "experiments=study/ablation/a,study/ablation/b,study/ablation/c"
    assert _spelled_out("experiments=study/ablation/a,b,c") == full
    assert _spelled_out(full) == full
    assert _spelled_out("experiments=study/ablation/a,zzz") == "experiments=study/ablation/a,zzz"
    assert _spelled_out("seed=1,2") == "seed=1,2"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_tab_completion() -> None:
    script = f"""
    python() {{ "{sys.executable}" "$@"; }}
    eval "$(python -m translate -sc install=bash)"
    try() {{
        COMP_LINE="$1"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); COMPREPLY=()
        _translate_complete; echo "${{COMPREPLY[*]}}"
    }}
    try "python -m translate sh"
    try "python -m translate ex"
    try "python -m translate export pr"
    try "python -m translate export private="
    try "python -m translate list lo"
    try "python -m translate evaluate metrics=[local,pa"
    try "python -m translate trainer=d"
    try "python -m translate train debug=f"
    try "python -m translate iterat"
    try "python -m translate download data=af"
    try "python -m another tr"
    """
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert answer.stdout.splitlines() == [
        "show",
        "expected= experiments= export",
        "private=",
        "private=false private=true",
        "logger losses",
        "metrics=[local,paired",
        "trainer=ddp trainer=ddp_cpu",
        "debug=fast",
        "iterations=",
        "data=afhq data=afhq_v2",
        "",
    ], answer


@pytest.mark.parametrize(
    ("name", "files", "warns"), [("translate", "translate/main.py", True), ("translate", "other/a.py", False)]
)
def test_a_distribution_of_the_same_import_name_is_named(tmp_path: Path, name: str, files: str, warns: bool) -> None:
    info = tmp_path / f"{name}-3.6.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.6.1\n")
    (info / "RECORD").write_text(f"{files},,\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "translate", "--version"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert ("Fix: pip uninstall translate, then install translate-gan again" in done.stderr) is warns
