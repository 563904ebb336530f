"""Every command by enumeration: its declaration gives the checks, the help and the completion of its arguments."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args

import pytest

from translate import cli
from translate.commands import arguments as module
from translate.commands.arguments import (
    Argument,
    Command,
    Hint,
    arg,
    arguments_of,
    check_outputs,
    convert,
    overrides,
    parse,
    to_words,
)
from translate.commands.completion import answer, candidates
from translate.commands.help import help_text, usage
from translate.errors import UserError
from translate.registry.registry import REGISTRIES

FOLDER = Path(module.__file__).parent
NOT_COMMANDS = {"run_of_weights", "__init__", "arguments", "completion", "functions", "help", "weights"}
COMMANDS = {command.name: command for command in cli.commands()}
DECLARED = [(command, argument) for command in COMMANDS.values() for argument in arguments_of(command)]
NAMED = [(command, argument) for command, argument in DECLARED if argument.kind == "value"]
WRITING = [(command, argument) for command, argument in NAMED if argument.writes]
Out = pytest.CaptureFixture[str]


def ids(pairs: list[tuple[Command[Any], Argument]]) -> list[str]:
    return [f"{command.name} {argument.name}" for command, argument in pairs]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with one run."""
    run = tmp_path / "runs" / "model" / "one"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    for iteration in (10, 20):
        (run / "checkpoints" / f"{iteration:06d}.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command: Command[Any], *words: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(command, words)
    return str(caught.value)


# --- every command ------------------------------------------------------------------------------------------


def test_every_file_is_a_command_and_every_command_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - NOT_COMMANDS == set(cli.MODULES.values())
    assert list(COMMANDS) == list(cli.MODULES)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_declarations_are_whole(command: Command[Any]) -> None:
    assert command.arguments.__dataclass_params__.frozen
    declared = arguments_of(command)
    assert all(argument.help and not argument.help.endswith(".") for argument in declared)
    assert len({argument.name for argument in declared}) == len(declared)
    assert sum(argument.kind == "overrides" for argument in declared) <= 1
    for words, _ in command.examples:
        parse(command, [word for word in words.split() if word != command.name])


@pytest.mark.parametrize("word", cli.HELP)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_help_names_every_argument(
    command: Command[Any], word: str, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # no line is wrapped within a usage
    assert cli.main([command.name, "nonsense=3", word]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines).startswith(f"usage: {usage(command).split(' [')[0]}")
    assert command.summary in lines
    for argument in arguments_of(command):
        assert any(line.startswith(f"  {argument.form}") for line in lines), argument.name
        for hint in argument.hints:
            assert any(line.startswith(f"  {hint.word}{hint.metavar}") for line in lines), hint.word


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_completion_offers_every_argument(command: Command[Any]) -> None:
    offered = candidates(command, [], "")
    for argument in arguments_of(command):
        if argument.kind in ("flag", "remainder"):
            assert argument.name in offered
        elif argument.kind == "value":
            assert f"{argument.name}=" in offered
            assert argument.repeat or f"{argument.name}=" not in candidates(command, [f"{argument.name}=x"], "")
        assert {hint.word for hint in argument.hints} <= offered


@pytest.mark.parametrize(("command", "argument"), NAMED, ids=ids(NAMED))
def test_completion_offers_the_values(command: Command[Any], argument: Argument) -> None:
    choices = argument.choices()
    if bool in (argument.type, *get_args(argument.type)):
        assert choices == ["true", "false"]
    assert candidates(command, [], f"{argument.name}=") >= {f"{argument.name}={choice}" for choice in choices}


@pytest.mark.parametrize(("command", "argument"), NAMED, ids=ids(NAMED))
def test_values_are_checked(command: Command[Any], argument: Argument) -> None:
    assert f"{argument.name}: the value is missing; expected " in refused(command, f"{argument.name}=")
    kinds = {argument.type, *get_args(argument.type)}
    if kinds & {int, float, bool}:
        assert f"{argument.name}: found 'abc', expected " in refused(command, f"{argument.name}=abc")
    if argument.minimum is not None:
        below = argument.minimum - 1 if float in kinds else int(argument.minimum) - 1
        assert f"expected at least {argument.minimum:g}" in refused(command, f"{argument.name}={below}")
    if kinds & {int, float} or int in get_args(argument.type):
        assert f"{argument.name}: found 1" in (far := refused(command, f"{argument.name}={10**30}"))
        assert "expected at most " in far or "expected 0 to 2^64 - 1" in far
    if not argument.repeat and not argument.exact and str in kinds:
        words = [f"{argument.name}=a", f"{argument.name}=b"]
        assert f"{argument.name}: this argument is given twice" in refused(command, *words)


@pytest.mark.parametrize(("command", "argument"), WRITING, ids=ids(WRITING))
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    command: Command[Any], argument: Argument, place: Path
) -> None:
    (place / "file").touch()

    def refusal(output: str) -> str:
        values = {each.field: None for each in arguments_of(command)} | {argument.field: output}
        with pytest.raises(UserError) as caught:
            check_outputs(command, SimpleNamespace(**values))
        return str(caught.value)

    assert refusal("file/below/out.png") == (
        f"{argument.name}: a file is in the place of the folder; found 'file'. Fix: name another folder"
    )
    assert refusal("/proc/nothing/out.png").startswith(f"{argument.name}: /proc/nothing")
    if argument.writes == "file":
        assert refusal("runs") == f"{argument.name}: found the folder runs, expected a file"
    fine = {each.field: None for each in arguments_of(command)} | {argument.field: "new/folder/out.png"}
    check_outputs(command, SimpleNamespace(**fine))
    check_outputs(command, SimpleNamespace(**fine | {argument.field: "hf://owner/name"}))
    assert sorted(path.name for path in place.iterdir()) == ["file", "runs"]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_unknown_words_are_answered_with_a_near_one(command: Command[Any]) -> None:
    declared = arguments_of(command)
    rest = next((argument for argument in declared if argument.kind == "overrides"), None)
    named = [argument.name for argument in declared if argument.kind == "value"]
    for argument in declared:
        if argument.kind == "words":  # of another program, which the command itself reads
            assert getattr(parse(command, ["x=1", "--y"]), argument.field) == ("x=1", "--y")
            return
    if not named or (rest is not None and rest.keys is None and "." not in named[0]):
        assert rest is not None  # the configuration checks its words
        return
    said = refused(command, f"{named[0]}x=1")
    assert said.startswith(f"{command.name}: unknown argument '{named[0]}x'. Did you mean '{named[0]}'?")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_required_arguments_are_named(command: Command[Any]) -> None:
    required = [argument for argument in arguments_of(command) if argument.required]
    if not required:
        parse(command, [])
        return
    said = refused(command)
    assert all(f"{argument.name}: this argument is missing" in said for argument in required)


# --- parsing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One argument of each kind and type."""

    run: Path = arg(help="a path")
    size: int = arg(3, help="a number", minimum=1)
    rate: float | None = arg(None, help="another number")
    names: tuple[str, ...] = arg((), help="names")
    kind: Literal["a", "b"] = arg("a", help="a choice", name="of.kind")
    again: tuple[str, ...] = arg((), help="values", repeat=True)
    loud: bool = arg(False, help="a flag", kind="flag", name="--loud")
    made: int = arg(help="a default that is made", factory=lambda: 7)
    overrides: tuple[str, ...] = overrides("all else", hints=(Hint("seed=", "N", "a hint", lambda words: ["1", "2"]),))
    more: tuple[str, ...] | None = arg(None, help="the rest", kind="remainder", name="--more")


SAMPLE = Command("sample", "A sample.", Sample, lambda sample: 0)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {}),
        (["size=5", "rate=1e-3", "of.kind=b", "--loud"], {"size": 5, "rate": 0.001, "kind": "b", "loud": True}),
        (["names=[a, b]", "again=x", "again='y, z'"], {"names": ("a", "b"), "again": ("x", "y, z")}),
        (["rate=null", "+x.y=1", "~z", "-m", "seed=1,2"], {"overrides": ("+x.y=1", "~z", "-m", "seed=1,2")}),
        (["a=1", "--more", "size=9", "b=2"], {"overrides": ("a=1",), "more": ("size=9", "b=2")}),
        (["made=8"], {"made": 8}),
    ],
)
def test_words_become_arguments_and_back(words: list[str], changes: dict[str, Any]) -> None:
    expected = dataclasses.replace(Sample(Path("here")), **changes)
    assert expected.made == changes.get("made", 7)
    assert parse(SAMPLE, ["run=here", *words]) == expected
    assert parse(SAMPLE, to_words(SAMPLE, expected)) == expected


def test_all_mistakes_are_reported_at_once() -> None:
    said = refused(SAMPLE, "run=x", "size=0", "rate=fast", "of.kind=c", "sample.x=1").splitlines()
    assert said[0].startswith("4 problems")
    assert [line.split(":")[0].strip(" -") for line in said[1:]] == ["size", "rate", "of.kind", "sample"]


def test_the_home_folder_is_expanded() -> None:
    assert convert(Path, "~/x") == Path.home() / "x"
    assert convert(str, "~/x") == "~/x"


def test_defaults_and_choices_are_in_the_help() -> None:
    text = help_text(SAMPLE)
    assert "size=SIZE                 a number; default 3\n" in text
    assert "of.kind=a|b               a choice; default a\n" in text
    assert "seed=N                    a hint\n" in text


# --- completion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exp", ["expected=", "experiments=", "export"]),
        ("jo", []),
        ("export run=", ["run=runs/model/one"]),
        ("export run=runs/model/one checkpoint=", ["checkpoint=last", "checkpoint=10", "checkpoint=20"]),
        ("evaluate run=r", ["run=runs/model/one"]),
        ("evaluate metrics=loc", ["metrics=local", "metrics=local_features"]),
        ("evaluate ~metr", ["~metrics"]),
        ("evaluate seed=", []),
        ("train resume=", ["resume=auto", "resume=runs/model/one"]),
        ("resume=r", ["resume=runs/model/one"]),
        ("show --m", ["--memory"]),
        ("show run=", ["run=runs/model/one"]),
        ("table ru", ["runs/model/one"]),
        ("table paper=", ["paper=ladder", "paper=stargan_v2_table_1"]),
        ("export format=", ["format=official", "format=onnx", "format=safetensors", "format=torch_export"]),
        ("export private=t", ["private=true"]),
        ("import labels=", ["labels=attributes", "labels=domain", "labels=joint"]),
        ("import model=", ["model=MODELS"]),  # of which a plug-in may add some
        ("download data=af", ["data=afhq", "data=afhq_v2"]),
        ("download keep=", ["keep=false", "keep=true"]),
        ("sweep sweep=stargan_v2_r", ["sweep=stargan_v2_rates"]),
        ("sweep sweep.sampler=g", ["sweep.sampler=grid"]),
        ("benchmark benchmark.r", ["benchmark.rounds="]),
        ("benchmark model=cyc", ["model=cyclegan", "model=cyclegan_small", "model=cyclegan_small_conv"]),
        ("list los", ["losses"]),
        ("trainer.dev", ["trainer.devices="]),
        ("+experiments=stargan_v2/af", ["+experiments=stargan_v2/afhq_256"]),
    ],
)
def test_completion_of_a_line(line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", f"translate {line}")
    shown = [command.name for command in COMMANDS.values() if not command.hidden]
    if expected == ["model=MODELS"]:
        expected = [f"model={name}" for name in REGISTRIES["models"].names()]
    assert answer(["-sc", "query=bash"], shown, cli.command).split() == sorted(expected)


def test_a_wrong_request_of_a_shell_is_refused(capsys: Out) -> None:
    assert cli.main(["-sc", "install=fish"]) == cli.USER_MISTAKE
    assert "Known: install=bash, install=zsh" in capsys.readouterr().err


# --- speed --------------------------------------------------------------------------------------------------


def light() -> Iterator[list[str]]:
    yield from (["--help"], ["--version"], ["list"], ["nonsense"], ["table", "nonsense=1"], ["table", "nothing"])
    yield from ([name, "-h"] for name in COMMANDS)
    yield from ([command.name, "nonsense=1"] for command in COMMANDS.values() if not takes_overrides(command))
    yield from (["export", "run=nowhere"], ["import", "weights=x"])


def takes_overrides(command: Command[Any]) -> bool:
    return any(argument.kind == "overrides" for argument in arguments_of(command))


def test_help_lists_and_mistakes_import_no_heavy_library(tmp_path: Path) -> None:
    heavy = ("torch", "hydra", "omegaconf", "numpy", "pytorch_lightning", "optuna")
    code = (
        f"import sys\nfrom translate.cli import main\nfor words in {list(light())!r}:\n    main(words)\n"
        f"    found = [name for name in {heavy!r} if name in sys.modules]\n    assert not found, (words, found)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
