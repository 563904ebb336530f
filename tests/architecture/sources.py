"""The package as source text: what the tests of architecture read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import translate

ROOT = Path(translate.__file__).parent


@dataclass(frozen=True)
class Module:
    """A module of the package."""

    name: str  # translate.data.views
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """Yield the dotted names that are imported anywhere in it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: imports are absolute"
                for alias in node.names:
                    yield f"{node.module}.{alias.name}"


def modules() -> list[Module]:
    """Return every module of the package."""
    result = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if parts[1:2] in (("conf",), ("experiments",)):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        result.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return result


MODULES = modules()
