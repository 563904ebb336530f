"""The names at the top of the package: found lazily, and equal in the stub for type checkers."""

import ast
from pathlib import Path

import translate


def test_the_stub_has_the_lazy_names_and_their_modules() -> None:
    stub = ast.parse(Path(translate.__file__).with_suffix(".pyi").read_text())
    named = {
        alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert named == translate._LAZY
    for name in named:
        assert getattr(translate, name).__name__ == name
    assert set(named) <= set(dir(translate))
