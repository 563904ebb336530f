"""Any words behind any command: it obeys, or refuses them in sentences; never a traceback.

What takes long or leaves this machine once the words are checked does nothing here: training, searches, benchmarks,
servers, downloads.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import battery
from properties.battery import assert_answered, call, draw_image
from properties.budget import examples
from translate import cli
from translate.commands.arguments import Argument, arguments_of
from translate.errors import UserError

CODES = {"doctor": (0, 1, 2), "apply": (0, 1, 2), "stylize": (0, 1, 2), "align": (0, 1, 2)}

DEBUG = [
    "model=cyclegan_small",
    "data=critters",
    "data.domains=[cat,rabbit]",
    "data.num_images=8",
    "data.num_val_images=4",
]


def refused(*arguments: Any, **settings: Any) -> NoReturn:
    raise UserError("this is not done in a test", key="stub")


def interrupted(*arguments: Any) -> NoReturn:
    raise KeyboardInterrupt


STUBS: dict[str, Callable[..., Any]] = {
    "translate.training.run.train": lambda *arguments, **settings: 0,
    "translate.sweeps.grid.launch": lambda line: 0,
    "translate.sweeps.stages.launch": lambda line, stages: SimpleNamespace(code=0),
    "translate.sweeps.optuna_study.StudyRunner.run": lambda self: 0,
    "translate.profiling.timing.measure": refused,
    "translate.profiling.compare.alternate": refused,
    "translate.profiling.memory.estimate": refused,
    "translate.doctor.cost.measure": lambda *arguments: None,
    "translate.serving.server.server": interrupted,
    "translate.downloads.download.download": refused,
    "translate.downloads.hub.fetch": refused,
    "translate.downloads.hub.upload": refused,
    "translate.export.runtimes.export": lambda *arguments: iter(()),
    "translate.inference.stylize_files.stylize_files": refused,
    "translate.inference.video.write": lambda path, frames, fps: 0,
    "translate.commands.evaluate._measure": lambda *arguments: iter(()),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a working directory with a run and files of all kinds, in which nothing takes long."""
    folder = tmp_path_factory.mktemp("place")
    draw_image(folder / "image.png")
    (folder / "photos").mkdir()
    draw_image(folder / "photos" / "a.png")
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("hello\n")
    (folder / "bytes.bin").write_bytes(bytes(range(256)))
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe.png")
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        battery.train(folder / "run")
        assert call(["export", "run=run", "to=weights.safetensors"]).code == 0
        for name, stub in STUBS.items():
            patch.setattr(name, stub)
        yield folder


PLACES = [
    "image.png",
    "photos",
    "empty",
    "text.txt",
    "bytes.bin",
    "list.yaml",
    "loop",
    "pipe.png",
    "run",
    "run/config.yaml",
    "weights.safetensors",
    "run/checkpoints",
    "run/checkpoints/000002.safetensors",
    "nowhere",
    "nowhere/x.png",
    ".",
    "/dev/null",
    "/dev/zero",
    "photos/*.png",
    "out.png",
    "out",
    "out.safetensors",
    "out.onnx",
    "out.gif",
    "critters",
    "hf://a/b",
    "hf://",
    "hf://a",
]
VALUES = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "3",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "[]",
    "[1]",
    "[a,b]",
    "{}",
    "{a:1}",
    "auto",
    "cpu",
    "cuda",
    "cuda:9",
    "cat",
    "rabbit",
    "latent",
    "last",
    "best",
    "000001",
    "99",
    "AtoB",
    "BtoA",
    "a:b",
    "a:b:c",
    "[",
    "]",
    ",",
    ":",
    "=",
    "'",
    "''",
    '"x',
    "[[[",
    "x,y",
    "local",
    "content",
    "all",
    "999999999999999999999999",
    "!!python/none",
]
garbage = st.text(max_size=10) | st.sampled_from(
    ["x" * 300, "a\nb", "\udc80", "a\x1bb", "é", "-", "--", "--help", "+", "~"]
)
texts = st.sampled_from(PLACES) | st.sampled_from(VALUES) | garbage

SMALL = ("side", "size", "max_pixels", "pixels", "num_styles", "steps", "columns", "seeds", "batch_size", "iterations")
"""Arguments of which large values are obeyed, and need as much time and memory."""


def word_of(argument: Argument) -> st.SearchStrategy[str]:
    """Return words that give an argument a good value or any."""
    if argument.kind == "flag":
        return st.just(argument.name)
    if argument.kind in ("words", "positional", "remainder"):
        return texts
    if argument.kind == "overrides":
        keys = [
            "model",
            "data",
            "data.root",
            "metrics",
            "trainer",
            "seed",
            "iterations",
            "experiments",
            "x.y",
            "resume",
        ]
        return st.builds("{}{}={}".format, st.sampled_from(["", "+", "++", "~"]), st.sampled_from(keys), texts)
    good = argument.choices() if argument.values is None else []
    value = texts | st.sampled_from(good) if good else texts
    if argument.name.rpartition(".")[2] in SMALL:
        value = st.sampled_from(["0", "1", "-1", "48", "[32,48]", "x", "", "null", "1.5"])
    return value.map(f"{argument.name}={{}}".format)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command, some of its arguments, and other words."""
    name = draw(st.sampled_from(list(cli.MODULES)))
    declared = arguments_of(cli.command(name))
    chosen = [argument for argument in declared if argument.required or draw(st.integers(0, 3)) == 0]
    words = [draw(word_of(argument)) for argument in chosen]
    if name == "train":
        words = [*DEBUG, *words]
    words += draw(st.lists(texts, max_size=1)) if draw(st.integers(0, 3)) == 0 else []
    return [name, *words]


@examples(120)
@given(command_lines())
def test_any_words_are_obeyed_or_refused(place: Path, words: list[str]) -> None:
    assert_answered(call(words), words, CODES.get(words[0], (0, 2)))


@examples(30)
@given(st.lists(texts, max_size=4))
def test_any_words_without_a_command(place: Path, words: list[str]) -> None:
    assert_answered(call(words), words, (0, 1, 2))


def test_every_stub_stands_for_something_that_is_there() -> None:
    from importlib import import_module

    for name in STUBS:
        module, _, rest = name.rpartition(".")
        try:
            assert hasattr(import_module(module), rest), name
        except ModuleNotFoundError:
            module, _, cls = module.rpartition(".")
            assert hasattr(getattr(import_module(module), cls), rest), name
