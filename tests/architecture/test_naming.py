"""Everything public says what it is, and names follow the rules."""

import ast
from collections.abc import Iterator

import pytest

from architecture.sources import MODULES, Module

IDS = [module.name for module in MODULES]


def public(module: Module) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Yield the public classes, functions and methods of a module."""

    def walk(body: list[ast.stmt], inside: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{inside}.{node.name}", node
                if isinstance(node, ast.ClassDef):
                    yield from walk(node.body, f"{inside}.{node.name}")

    return walk(module.tree.body, module.name)


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_everything_public_has_a_docstring(module: Module) -> None:
    missing = [name for name, node in public(module) if not ast.get_docstring(node)]
    if not ast.get_docstring(module.tree) and module.tree.body:
        missing.append(module.name)
    assert missing == []


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_names_of_classes(module: Module) -> None:
    bad = [
        n
        for n, node in public(module)
        if isinstance(node, ast.ClassDef) and (node.name.endswith("Manager") or node.name.startswith("Base"))
    ]
    assert bad == []


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_counts_and_lengths_are_named_as_such(module: Module) -> None:
    """num_ counts, _size lengths, _every cadences: no n_, _dim, nc, _interval in a public signature.

    ``n_jobs`` is the name that Hydra's own launchers have for it.
    """
    bad = []
    for name, node in public(module):
        function = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), node)
        if isinstance(function, ast.FunctionDef):
            arguments = [argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]]
            bad += [
                f"{name}({argument})"
                for argument in arguments
                if (argument.startswith("n_") and argument != "n_jobs")
                or argument.endswith(("_dim", "_interval", "_freq"))
            ]
    assert bad == []
