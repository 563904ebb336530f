"""The files of a release: licences, citation, issue templates, images, extras, versions, audit."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import translate
from translate.cli import main
from translate.doctor import missing_libraries
from translate.errors import UserError
from translate.runs import environment

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def script(name: str) -> ModuleType:
    """Return a script of release/ as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"release_{name}", ROOT / "release" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# --- libraries and extras -----------------------------------------------------------------------------------


def test_the_package_depends_on_what_translating_needs() -> None:
    """The libraries of the messages about missing ones are those of pyproject.toml."""
    modules = {"pillow": "PIL", "pyyaml": "yaml", "hydra-core": "hydra", "pytorch-lightning": "pytorch_lightning"}
    of_package = {modules.get(name := Requirement(text).name, name) for text in PROJECT["dependencies"]}
    of_training = {modules.get(name := Requirement(text).name, name) for text in EXTRAS["train"]}
    assert of_package == missing_libraries.INFERENCE
    assert of_training | {"antlr4", "lightning_fabric"} == missing_libraries.TRAINING


def test_all_has_every_extra_but_those_that_need_more_than_a_library() -> None:
    (text,) = EXTRAS["all"]
    apart = {"all", "dev", "docs", "faces", "slurm", "ray"}
    assert Requirement(text).extras == EXTRAS.keys() - apart
    assert all(extra in (ROOT / "docs" / "installing.md").read_text() for extra in EXTRAS.keys() - {"dev", "docs"})


def test_a_missing_library_is_a_sentence_with_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    hydra, pillow, another = (ModuleNotFoundError("x", name=name) for name in ("hydra.core", "PIL", "of_the_user"))
    assert "pip install 'translate-gan[train]'" in str(missing_libraries.missing(hydra))
    assert str(missing_libraries.missing(pillow)).endswith("pip install translate-gan")
    assert missing_libraries.missing(another) is None
    with pytest.raises(ModuleNotFoundError), missing_libraries.required():
        raise ModuleNotFoundError("x", name="of_the_user")
    with pytest.raises(UserError), missing_libraries.required():
        raise ModuleNotFoundError("x", name="omegaconf")


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from translate.cli import main
sys.exit(main({words!r}))
"""
TRAINING = sorted(missing_libraries.TRAINING)


def without(names: list[str], words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot import some modules."""
    code = BLOCKED.format(names=set(names), words=words)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_translating_needs_no_library_of_training(tmp_path: Path) -> None:
    done = without([*TRAINING, "matplotlib"], ["apply", f"output={tmp_path / 'out'}"])
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) > 6


@pytest.mark.parametrize("words", [["iterations=1"], ["show"], ["benchmark"], ["-m", "seed=0,1"]], ids=" ".join)
def test_a_command_that_trains_names_the_extra(words: list[str]) -> None:
    done = without(TRAINING, words)
    assert done.returncode == 2
    assert re.fullmatch(r"\w+ is not installed, a library of training\. Fix: pip install .*\[train\]'\n", done.stderr)


# --- what a report of a bug needs ---------------------------------------------------------------------------


def test_versions_for_a_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: None if name == "hydra-core" else real(name))
    assert main(["--version", "--verbose"]) == 0
    printed = capsys.readouterr().out
    facts = dict(line.split(maxsplit=1) for line in printed.splitlines() if not line.startswith("extra"))
    assert facts["translate"].startswith(translate.__version__)
    assert {"python", "system", "processor", "torch", "instructions", "threads", "pytorch-lightning"} <= facts.keys()
    assert (facts["hydra-core"], facts["OMP_NUM_THREADS"]) == ("missing", "1")
    assert "extra onnx" in printed and "secret" not in printed and str(Path.home()) not in printed
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"translate-gan {translate.__version__}\n"
    assert main(["--version", "--verbos"]) == 2
    assert "'--verbose'" in capsys.readouterr().err


def test_versions_are_printed_without_torch() -> None:
    pytest.importorskip("torch")
    code = (
        "from translate.runs import environment; real = environment.version\n"
        "environment.version = lambda name: None if name == 'torch' else real(name)\n"
        "from translate.cli import main; main(['--version', '--verbose']); import sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"^torch +missing$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == "False"


# --- NOTICE -------------------------------------------------------------------------------------------------


def test_notice_has_every_library_with_its_licence() -> None:
    notice = script("notice")
    lines = (ROOT / "NOTICE").read_text(encoding="utf-8").splitlines()
    stated = {
        match[1].lower().replace("_", "-"): match
        for line in lines
        if (match := re.match(r"- ([\w.-]+): (.+) \((http\S+)\)$", line))
    }
    assert len(stated) == sum(line.startswith("- ") for line in lines)  # each has a licence and an address
    declared = notice.declared()
    assert {"torch", "hydra-core", "gradio", "dlib-bin"} <= declared.keys() and "pytest" not in declared
    assert {name.replace("_", "-") for name in declared} - stated.keys() == set()
    assert "sympy" in stated  # on which torch depends


def test_licences_are_read_from_all_places_of_the_metadata() -> None:
    from email.message import Message

    notice = script("notice")
    about = Message()
    assert notice.licence_of(about) == "" and notice.address_of(about) == ""
    about["License"] = "MIT License\n\nPermission ..."
    about["Project-URL"] = "Source, https://example.org/source"
    assert notice.licence_of(about) == "MIT License"
    assert notice.address_of(about) == "https://example.org/source"
    about["Classifier"] = "License :: OSI Approved :: BSD License"
    assert notice.licence_of(about) == "BSD License"
    about["License-Expression"] = "Apache-2.0"
    assert notice.licence_of(about) == "Apache-2.0"


# --- pins, hashes, audit, tested versions -------------------------------------------------------------------


def test_constraints_pin_every_library_of_the_package() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    of_users = [
        text for extra, texts in EXTRAS.items() if extra not in ("dev", "docs", "all", "faces") for text in texts
    ]
    names = {Requirement(text).name.lower().replace("_", "-") for text in [*PROJECT["dependencies"], *of_users]}
    assert names - pinned == set()


def test_hashes_of_downloads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = script("hashes")
    for name in ("six-1.17.0-py2.py3-none-any.whl", "six-1.17.0.tar.gz", "translate_gan-0.1.0.tar.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert list(hashes.lines(tmp_path)) == [
        f"six==1.17.0 \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{digest}"
    ]


def test_pip_refuses_the_command_of_the_readme_with_a_hash_in_the_constraints(tmp_path: Path) -> None:
    """The reason for which constraints.txt has none, see docs/installing.md."""
    (tmp_path / "constraints.txt").write_text(f"torch==2.8.0 --hash=sha256:{'0' * 64}\n")
    words = [
        "install",
        "--dry-run",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-c",
        "constraints.txt",
        "-e",
        ".",
    ]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cannot be installed when requiring hashes" in done.stderr


@pytest.mark.parametrize(
    ("answer", "errors", "code", "says"),
    [
        ("", "urllib3: retrying\nConnectionError: no network", 2, "THE AUDIT DID NOT RUN: ConnectionError: no network"),
        ("", "", 2, "THE AUDIT DID NOT RUN: exit code 1"),
        (
            '{"dependencies": [{"name": "six", "skip_reason": "not on the index"}]}',
            "",
            2,
            "THE AUDIT DID NOT RUN: no library could be looked up (not on the index)",
        ),
        (
            '{"dependencies": [{"name": "six", "version": "1.17.0", "vulns": []}]}',
            "",
            0,
            "1 libraries were looked up, 0 ",
        ),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}, '
            '{"name": "b", "skip_reason": "not on the index"}]}',
            "",
            1,
            "a 1: PYSEC-1, fixed in 2\n1 libraries were looked up, 1 have known vulnerabilities; not looked up: b",
        ),
    ],
)
def test_an_audit_that_did_not_run_says_so(answer: str, errors: str, code: int, says: str) -> None:
    sentence, outcome = script("audit").outcome(1, answer, errors)
    assert sentence.startswith(says)
    assert outcome == code


def test_an_audit_without_its_program_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = script("audit")
    monkeypatch.setattr(audit, "command", lambda path: [sys.executable, "-m", "no_such_audit", str(path)])
    assert (audit.main([]), audit.main(["strict"])) == (0, 2)
    assert "THE AUDIT DID NOT RUN: " in capsys.readouterr().out


def test_rows_of_tested_versions() -> None:
    tested = script("tested")
    assert tested.counts("\n1 failed, 7 passed, 2 warnings, 1 error in 3s") == (7, 2)
    assert tested.versions().keys() == set(tested.KEYS)
    row = dict.fromkeys(tested.KEYS, "1") | {"date": "2026-01-02", "passed": 7, "failed": 1, "tests": "all"}
    newer = {**row, "date": "2026-02-03", "passed": 8, "failed": 0}
    other = {**newer, "torch": "2", "date": "2026-01-01"}
    rows = tested.with_row(tested.with_row([row], other), newer)
    assert [(each["torch"], each["passed"]) for each in rows] == [("1", 8), ("2", 8)]
    text = tested.page(f"a\n{tested.BEGIN}\nold\n{tested.END}\nb\n", rows)
    assert text.startswith("a\n") and text.endswith("\nb\n") and "old" not in text
    assert "| 2026-02-03 | 1 |" in text and "| 8 passed (all) |" in text


def test_the_page_shows_the_tested_versions() -> None:
    tested = script("tested")
    rows = json.loads(tested.ROWS.read_text())
    assert tested.page(tested.PAGE.read_text(), rows) == tested.PAGE.read_text()
    assert all(row["passed"] and not row["failed"] for row in rows)
    bounds = {
        Requirement(text).name: Requirement(text).specifier for text in [*PROJECT["dependencies"], *EXTRAS["train"]]
    }
    for row in rows:
        for name in set(tested.PACKAGES) & bounds.keys():
            assert bounds[name].contains(row[name].partition("+")[0]), f"{name} {row[name]}"


# --- Docker -------------------------------------------------------------------------------------------------


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile: the keyword and its words, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(words[0], words[1]) for line in joined.splitlines() if len(words := line.split(maxsplit=1)) == 2]


def test_the_dockerfile_installs_the_wheel_with_the_pinned_versions() -> None:
    found = instructions(ROOT / "Dockerfile")
    stages = [words.split(" AS ")[1] for keyword, words in found if keyword == "FROM"]
    assert stages == ["wheel", "base", "cpu", "cuda"]
    installs = [words for keyword, words in found if keyword == "RUN" and "pip install" in words]
    assert len(installs) == 2
    for words in installs:
        assert "--constraint /source/constraints.txt" in words and "--no-cache-dir" in words
        assert '"translate-gan[${EXTRAS}] @ file://$(ls /source/wheels/*.whl)"' in words
        assert "translate-gan --version" in words
    extras = {
        name for keyword, words in found if keyword == "ARG" and "EXTRAS=" in words for name in words[7:].split(",")
    }
    assert extras <= EXTRAS.keys() and "train" in extras
    users = [words for keyword, words in found if keyword == "USER"]
    assert users == ["1000", "1000"]  # the last instruction of both images
    entry = json.loads(next(words for keyword, words in found if keyword == "ENTRYPOINT"))
    assert entry == list(PROJECT["scripts"])


def test_the_dockerfile_copies_what_the_build_context_holds() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(words)[:-1] for keyword, words in instructions(ROOT / "Dockerfile") if keyword == "COPY"]
    names = {name for words in copied if not words[0].startswith("--from") for name in words}
    assert names == kept
    assert all((ROOT / name).exists() for name in names)
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        PROJECT["readme"],
        *PROJECT["license-files"],
        *(p.split("/")[0] for p in package["tool"]["setuptools"]["package-dir"].values()),
    }
    assert needed <= names


def test_hadolint_has_no_complaint() -> None:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{shutil.os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# --- GitHub, citation, sources ------------------------------------------------------------------------------


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == translate.__version__
    assert citation["license"] == PROJECT["license"]
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in PROJECT["authors"]]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda p: p.stem)
def test_issue_templates_are_forms(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"] and form["description"] and form["body"]
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "checkboxes", "dropdown", "markdown")
        assert field["attributes"]["label"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    named = re.findall(r"\b(?:docs/)?[\w/]+\.md\b", path.read_text())
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_bug_report_asks_for_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    commands = re.findall(r"`python -m translate ([^`]+)`", text)
    assert commands == ["--version --verbose", "doctor"]
    assert main(commands[0].split()) == 0


def test_the_source_distribution_names_files_that_exist() -> None:
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        keyword, *names = line.split()
        if keyword in ("include", "graft"):
            assert [name for name in names if not (ROOT / name).exists()] == []
