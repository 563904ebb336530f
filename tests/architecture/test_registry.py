"""What the source says of a part is what Python says of it."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from translate.errors import UserError
from translate.registry import plugins
from translate.registry.registry import REGISTRIES, Registry
from translate.registry.signatures import described, inspected, misses

PLUGIN = Path(__file__).parents[1] / "plugin_example"
ENTRIES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry.names()]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of an empty package that can be imported."""
    name = f"lab_{abs(hash(str(tmp_path)))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name, tmp_path / name
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[module]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the plug-in example take part."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    before = list(plugins._activated)
    plugins.activate(["my_lab"])
    yield
    plugins._activated[:] = before


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_static_equals_runtime(kind: str, name: str) -> None:
    registry = REGISTRIES[kind]
    entry, target = registry.index()[name], registry.get(name)
    live = inspected(name, registry.kind, target, registry._facts[name])
    assert (entry.module, entry.qualname, entry.is_class) == (
        target.__module__,
        target.__qualname__,
        inspect.isclass(target),
    )
    assert entry.facts == live.facts
    assert entry.summary, f"{name} has no docstring"
    assert entry.summary == live.summary.strip()
    if live.accepts_any:  # the source follows **kwargs to the base class, inspect does not
        return
    assert [(p.name, p.required) for p in entry.parameters] == [(p.name, p.required) for p in live.parameters]
    for static, found in zip(entry.parameters, live.parameters, strict=True):
        if static.is_literal:
            assert static.default == found.default


@pytest.mark.parametrize("kind", REGISTRIES)
def test_everything_that_registers_is_in_the_index(kind: str) -> None:
    registry = REGISTRIES[kind]
    try:
        __import__(registry.home)
    except ModuleNotFoundError:
        pytest.skip(f"{registry.home} is not there yet")
    own = {n for n, target in registry._objects.items() if target.__module__.startswith("translate.")}
    assert own == {n for n, entry in registry.index().items() if entry.module.startswith("translate.")}


def test_names_of_parts_are_words() -> None:
    assert all(name.isidentifier() and name == name.lower() for _, name in ENTRIES)


def test_plugin_joins(plugin: None) -> None:
    entry = REGISTRIES["networks"].entry("my_lab_painter")
    assert [str(p) for p in entry.parameters] == ["num_domains: int", "width: int = 16"]
    assert entry.facts == {"image_size": {"minimum": 8}}
    assert REGISTRIES["models"].get("my_lab_painter_gan").__module__ == "my_lab.models"


def test_unknown_names_suggest() -> None:
    with pytest.raises(
        UserError, match=r"unknown network 'stargan_v2_genrator'. Did you mean 'stargan_v2_generator'\?"
    ):
        REGISTRIES["networks"].get("stargan_v2_genrator")


SIGNATURES = '''
from dataclasses import dataclass, field
from typing import NamedTuple
from translate.registry import NETWORKS as N, LOSSES
import translate.registry as registry
from {package}.base import Base

@N.register("function", batch="reference", terms={{"a": ("b",)}})
def function(x, /, a: int, b: float = 1.0, *args, c: "str | None" = None, d=abs) -> None:
    """One.

    Two.
    """

@registry.NETWORKS.register("plain")
class Plain:
    def __init__(self, a: int = -1, *, b): ...

@N.register("inherits")
class Inherits(Base): ...

@N.register("forwards")
class Forwards(Base):
    def __init__(self, extra: int, **rest):
        super().__init__(3, **rest)

@N.register("swallows")
class Swallows(Base):
    def __init__(self, extra: int, **rest):
        self.rest = rest

@N.register("record")
@dataclass
class Record:
    a: int
    b: list = field(default_factory=list)

@N.register("tuple")
class Tuple(NamedTuple):
    a: int
    b: float = 2.0

@LOSSES.register("elsewhere")
def elsewhere(): ...
'''
BASE = "class Base:\n    def __init__(self, first: int, second: str = 'x'):\n        pass\n"


def test_signatures(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "base.py").write_text(BASE)
    (folder / "parts.py").write_text(SIGNATURES.format(package=name))
    index = Registry("network", name).index()
    assert name not in sys.modules
    found = {key: ([str(p) for p in entry.parameters], entry.accepts_any) for key, entry in index.items()}
    assert found == {
        "function": (["x", "a: int", "b: float = 1.0", "c: str | None = None", "d = abs"], False),
        "plain": (["a: int = -1", "b"], False),
        "inherits": (["first: int", "second: str = 'x'"], False),
        "forwards": (["extra: int", "second: str = 'x'"], False),
        "swallows": (["extra: int"], True),
        "record": (["a: int", "b: list = list"], False),
        "tuple": (["a: int", "b: float = 2.0"], False),
    }
    assert index["function"].summary == "One."
    assert index["function"].facts == {"batch": "reference", "terms": {"a": ("b",)}}
    assert not index["function"].is_class


def test_duplicates_name_both_owners(package: tuple[str, Path]) -> None:
    name, folder = package
    part = "from translate.registry.registry import NETWORKS\n@NETWORKS.register('twice')\ndef f(): ...\n"
    (folder / "a.py").write_text(part)
    (folder / "b.py").write_text(part)
    with pytest.raises(UserError, match=rf"network 'twice' is registered twice, in {name}\.a:\d and in {name}\.b:\d"):
        Registry("network", name).index()
    registry = Registry("thing", name)
    registry.register("x")(test_duplicates_name_both_owners)
    with pytest.raises(UserError, match=rf"thing 'x' is registered twice, in {__name__}:\d+ and in {__name__}:\d+"):
        registry.register("x")(test_signatures)


def test_facts_are_literals(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "a.py").write_text("@NETWORKS.register('x', fact=abs)\ndef f(): ...\n")
    with pytest.raises(UserError, match="must be literals"):
        Registry("network", name).index()


def test_parts_of_a_notebook_join() -> None:
    registry = Registry("thing", "translate.networks_that_are_not_there")

    @registry.register("mine", fact=1)
    class Mine:
        """Mine."""

        def __init__(self, a: int = 3) -> None: ...

    assert registry.names() == ["mine"]
    assert registry.facts("mine") == {"fact": 1}
    assert [str(p) for p in registry.entry("mine").parameters] == ["a: int = 3"]
    assert registry.get("mine") is Mine


def test_unknown_plugins_are_refused() -> None:
    with pytest.raises(UserError, match="'no_such_lab' does not exist"):
        plugins.activate(["no_such_lab"])
    with pytest.raises(UserError, match="expected the name of a package"):
        plugins.activate(["my-lab/x"])


def test_import_paths_are_read() -> None:
    entry = described("torch.optim.Adam")
    assert entry is not None
    assert "betas" in [p.name for p in entry.parameters]
    assert not misses("torch.optim.Adam")
    assert misses("torch.optim.Adan")
    assert misses("no_such_package.thing")
    assert not misses("pathlib.Path")
    assert not misses("math.sqrt")
