"""YAML files of anybody: what cannot be loaded is refused in a sentence, in bounded time and memory."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from omegaconf.base import Container

from translate.config import interpolations
from translate.config.compose import load
from translate.config.schema import read_yaml
from translate.config.tree import plain
from translate.errors import Problem, UserError
from translate.files.yaml_files import MAX_DEPTH, checked_text

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)

REFUSED = {
    "an anchor within itself": (
        b"a: &a\n  b: *a\n",
        ":2: the file cannot be loaded; found the anchor 'a' within itself",
    ),
    "an alias bomb": (BOMB.encode(), "found more than 300,000 values, its aliases written out"),
    "a deep nest": (b"a: " + b"[" * 5000 + b"]" * 5000, f"found more than {MAX_DEPTH} levels"),
    "a foreign encoding": (
        "näme: x".encode("latin-1"),
        "the file is not text; found byte 0xe4 at position 1, expected UTF-8",
    ),
    "a nest of interpolations": (
        b"a: " + b"${" * 1000 + b"x" + b"}" * 1000,
        "found a text of more than 2,000 characters with an interpolation",
    ),
    "no YAML": (b"a: [1, 2", "this is not YAML"),
    "a tag that makes an object": (b"a: !!python/object/apply:os.system [touch ran]", "the file cannot be read"),
    "a list": (b"- 1\n- 2\n", "the file is not the configuration of a run; expected a mapping"),
    "an empty file": (b"", "the file is not the configuration of a run"),
    "control characters": (b"a: \x00\x01", "this is not YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_saved_configuration_that_cannot_be_loaded_is_refused(name: str, tmp_path: Path) -> None:
    content, sentence = REFUSED[name]
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["an anchor within itself", "an alias bomb", "a deep nest", "a foreign encoding"])
@pytest.mark.parametrize("folder", ["experiments", "model"])
def test_a_configuration_of_others_that_cannot_be_loaded_is_refused(name: str, folder: str, tmp_path: Path) -> None:
    content, sentence = REFUSED[name]
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "theirs.yaml").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load([f"{folder}=theirs"], config_dir=str(tmp_path), scan=False)
    assert sentence in str(caught.value)


DOUBLING = {
    "texts": {"a0": "x", **{f"a{k}": f"${{a{k - 1}}}${{a{k - 1}}}" for k in range(1, 40)}},
    "mappings": {"a0": {"p": 1}, **{f"a{k}": {"p": f"${{a{k - 1}}}", "q": f"${{a{k - 1}}}"} for k in range(1, 40)}},
    "computed keys": {
        "x": {"k0": "x", **{f"k{k}": f"${{x.${{n{k}}}}}${{x.${{n{k}}}}}" for k in range(1, 40)}},
        **{f"n{k}": f"k{k - 1}" for k in range(1, 40)},
    },
    "a long text": {"a0": "x" * 9_000, "a1": [f"${{a0}}{k}" for k in range(2_000)]},
    "levels": {f"a{k}": f"${{a{k + 1}}}" for k in range(2_000)},
}


@pytest.mark.parametrize("name", DOUBLING)
def test_interpolations_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "a long text":  # thousands of steps take seconds
        monkeypatch.setattr(interpolations, "MAX_STEPS", 1_000)
    honest, problems = Container.resolve_parse_tree, list[Problem]()
    with pytest.raises(UserError, match=r"the interpolations \$\{...\} of the configuration cannot be resolved"):
        plain(OmegaConf.create(DOUBLING[name]), problems)
    assert Container.resolve_parse_tree is honest


def test_a_file_of_others_that_doubles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logger").mkdir()
    doubling = {name: text.replace("{a", "{logger.x.a") for name, text in DOUBLING["texts"].items()}
    (tmp_path / "logger" / "theirs.yaml").write_text(OmegaConf.to_yaml({"x": doubling}))
    monkeypatch.setattr(interpolations, "MAX_STEPS", 1_000)
    words = ["model=stargan_v2_small", "data=critters", "logger=theirs"]
    with pytest.raises(UserError, match="cannot be resolved"):
        load(words, config_dir=str(tmp_path), scan=False)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.yaml: the file cannot be read \(No such file or directory\)"):
        checked_text(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="no file can be read here; found a folder, expected a file"):
        checked_text(tmp_path)


def test_aliases_within_bounds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {lr: 1e-06}\nb: *a\nc: [*a, *a]\n")
    tree = read_yaml(path)
    assert tree["c"] == [{"lr": 1e-6}, {"lr": 1e-6}]
