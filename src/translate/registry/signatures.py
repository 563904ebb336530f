"""Signatures read from source text, so that listing and checking import nothing.

An `Entry` has the name, the arguments and the first docstring line of a class or function. The arguments of a class are
those of its ``__init__``, or of its base class if it defines none, or of both if it passes ``**kwargs`` to
``super().__init__``. The arguments of a dataclass or NamedTuple are its fields.
"""

import ast
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.errors import UserError, first_line
from translate.files.reading import read_text
from translate.registry import plugins

_parsing = threading.Lock()  # Python 3.11 raises SystemError where two threads parse at once

# Bases without arguments: a class without __init__ that has only these bases has no arguments.
_PLAIN_BASES = {
    "object",
    "ABC",
    "Protocol",
    "Generic",
    "Module",
    "LightningModule",
    "LightningDataModule",
    "Metric",
}


@dataclass(frozen=True)
class Parameter:
    """One argument of a registered class or function, as its source declares it."""

    name: str
    annotation: str | None
    required: bool
    default: Any = None  # the literal, or the source text of another expression
    is_literal: bool = True

    def __str__(self) -> str:
        text = self.name + (f": {self.annotation}" if self.annotation else "")
        if self.required:
            return text
        return f"{text} = {self.default!r}" if self.is_literal else f"{text} = {self.default}"


@dataclass(frozen=True)
class Entry:
    """The static description of a registered part."""

    name: str
    kind: str
    module: str
    qualname: str
    line: int
    summary: str  # first line of the docstring
    parameters: tuple[Parameter, ...]
    accepts_any: bool  # has **kwargs whose receiver is unknown
    is_class: bool
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """Return module:line, for messages."""
        return f"{self.module}:{self.line}"


def inspected(name: str, kind: str, target: Callable[..., Any], facts: Mapping[str, Any]) -> Entry:
    """Return the entry of a live class or function, by `inspect`."""
    parameters, accepts_any = [], False
    for p in inspect.signature(target).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            accepts_any = True
        elif p.kind is not p.VAR_POSITIONAL:
            annotation = None if p.annotation is p.empty else p.annotation
            text = (
                annotation
                if annotation is None or isinstance(annotation, str)
                else inspect.formatannotation(annotation)
            )
            parameters.append(
                Parameter(p.name, text, p.default is p.empty, None if p.default is p.empty else p.default)
            )
    line = int(defined_at(target).rpartition(":")[2])
    return Entry(
        name=name,
        kind=kind,
        module=target.__module__,
        qualname=target.__qualname__,
        line=line,
        summary=next(iter((target.__doc__ or "").strip().splitlines()), ""),
        parameters=tuple(parameters),
        accepts_any=accepts_any,
        is_class=inspect.isclass(target),
        facts=dict(facts),
    )


def described(path: str) -> Entry | None:
    """Return the entry of the class or function at an import path, read from its source; None without a definition.

    Nothing is imported. ``from x import y`` is followed within the package, which `torch.optim.Adam` needs.
    """
    module, _, name = path.rpartition(".")
    definition = _find_definition(name, module, depth=5) if module else None
    if definition is None:
        return None
    node, source = definition
    return _described(node, source, name=path, kind="import path", facts={})


def misses(path: str) -> bool:
    """Return whether the source of a package proves that an import path does not exist."""
    module, _, name = path.rpartition(".")
    if plugins.locate(module.partition(".")[0]) is None:
        return module.partition(".")[0] not in sys.builtin_module_names
    place = plugins.locate(module)
    if place is None:
        return False  # an attribute of a class, or an extension module
    source = _read_module(place, module)
    if source is None:
        return False
    text = ast.dump(source.tree)
    dynamic = "name='*'" in text or "name='__getattr__'" in text or "id='globals'" in text
    submodule = place.is_dir() and ((place / name).is_dir() or any(place.glob(f"{name}.*")))
    return not dynamic and not submodule and f"'{name}'" not in text


def defined_at(target: Callable[..., Any]) -> str:
    """Return module:line of a live class or function, for messages."""
    try:
        with _parsing:
            line = inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        line = 0
    return f"{target.__module__}:{line}"


@dataclass(frozen=True)
class _Source:
    module: str
    package: str  # the base of relative imports
    tree: ast.Module


_sources: dict[Path, _Source] = {}


def _read(path: Path, module: str) -> _Source:
    if path not in _sources:
        try:
            tree = ast.parse(read_text(path), filename=str(path))
        except SyntaxError as error:
            raise UserError(f"invalid Python syntax ({error.msg})", key=f"{path}:{error.lineno}") from error
        except UserError:
            raise
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or too many levels
            raise UserError(f"invalid Python source ({first_line(error)})", key=str(path)) from error
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        _sources[path] = _Source(module, package, tree)
    return _sources[path]


def _files(package: str) -> Iterator[tuple[Path, str]]:
    place = plugins.locate(package)
    if place is None:
        return
    if place.is_file():
        yield place, package
        return
    for path in sorted(place.rglob("*.py")):
        parts = path.relative_to(place).with_suffix("").parts
        if all(part.isidentifier() for part in parts):
            yield path, ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def registered(package: str, kind: str, variable: str) -> Iterator[Entry]:
    """Yield the parts that ``@VARIABLE.register(name, ...)`` registers in a package or module, without importing it."""
    for path, module in _files(package):
        if ".register(" not in read_text(path):  # much cheaper than parsing
            continue
        source = _read(path, module)
        for node in _top_level(source.tree.body):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and _is_register(decorator.func, variable, source):
                        yield _entry(node, decorator, kind, source)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try):
                yield from _top_level(getattr(node, inner, []))


def _is_register(node: ast.expr, variable: str, source: _Source) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "register":
        return False
    if isinstance(node.value, ast.Attribute):  # registry.NETWORKS.register
        return node.value.attr == variable
    if not isinstance(node.value, ast.Name):
        return False
    for name, _, original in _imports(source):
        if name == node.value.id:
            return original == variable
    return node.value.id == variable


def _entry(node: ast.ClassDef | ast.FunctionDef, call: ast.Call, kind: str, source: _Source) -> Entry:
    where = f"{source.module}:{node.lineno}"
    try:
        (name,) = (ast.literal_eval(argument) for argument in call.args)
        facts = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except ValueError as error:
        raise UserError(f"the name and the facts of a registered {kind} must be literals", key=where) from error
    return _described(node, source, name=name, kind=kind, facts=facts)


def _described(
    node: ast.ClassDef | ast.FunctionDef, source: _Source, name: str, kind: str, facts: dict[str, Any]
) -> Entry:
    parameters, accepts_any = _signature(node, source)
    return Entry(
        name=name,
        kind=kind,
        module=source.module,
        qualname=node.name,
        line=node.lineno,
        summary=next(iter((ast.get_docstring(node) or "").splitlines()), ""),
        parameters=parameters,
        accepts_any=accepts_any,
        is_class=isinstance(node, ast.ClassDef),
        facts=facts,
    )


def _signature(node: ast.ClassDef | ast.FunctionDef, source: _Source) -> tuple[tuple[Parameter, ...], bool]:
    if isinstance(node, ast.FunctionDef):
        return _function_parameters(node), node.args.kwarg is not None
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is not None:
        parameters = _function_parameters(init)[1:]
        if init.args.kwarg is None:
            return parameters, False
        call = _super_call(init)
        if call is None:
            return parameters, True
        inherited, accepts_any = _inherited(node, source)
        taken = {p.name for p in parameters} | {k.arg for k in call.keywords if k.arg}
        return parameters + tuple(p for p in inherited[len(call.args) :] if p.name not in taken), accepts_any
    if _is_record(node):
        inherited = _inherited(node, source)[0]
        own = {p.name: p for p in _record_parameters(node)}
        return tuple(own.pop(p.name, p) for p in inherited) + tuple(own.values()), False
    return _inherited(node, source)


def _function_parameters(node: ast.FunctionDef) -> tuple[Parameter, ...]:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    pairs = [
        *zip(positional, defaults, strict=True),
        *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
    ]
    return tuple(_parameter(a.arg, a.annotation, default) for a, default in pairs)


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None) -> Parameter:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        text: str | None = annotation.value
    else:
        text = ast.unparse(annotation) if annotation else None
    if default is None:
        return Parameter(name, text, required=True)
    try:
        return Parameter(name, text, required=False, default=ast.literal_eval(default))
    except ValueError:
        return Parameter(name, text, required=False, default=ast.unparse(default), is_literal=False)


def _super_call(init: ast.FunctionDef) -> ast.Call | None:
    """Return the call super().__init__(..., **kwargs) that passes on other arguments of ``init``; None without it."""
    assert init.args.kwarg is not None
    for call in (n for n in ast.walk(init) if isinstance(n, ast.Call)):
        if ast.unparse(call.func) == "super().__init__" and any(
            k.arg is None and isinstance(k.value, ast.Name) and k.value.id == init.args.kwarg.arg for k in call.keywords
        ):
            return call
    return None


def _is_record(node: ast.ClassDef) -> bool:
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(_last_name(d) == "dataclass" for d in decorators) or any(
        _last_name(b) == "NamedTuple" for b in node.bases
    )


def _record_parameters(node: ast.ClassDef) -> Iterator[Parameter]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" in ast.unparse(statement.annotation):
                continue
            default = statement.value
            if isinstance(default, ast.Call) and _last_name(default.func) == "field":
                options = {k.arg: k.value for k in default.keywords}
                default = options.get("default", options.get("default_factory"))
            yield _parameter(statement.target.id, statement.annotation, default)


def _inherited(node: ast.ClassDef, source: _Source) -> tuple[tuple[Parameter, ...], bool]:
    """Return the signature of the first base; a base without a known definition accepts any argument."""
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    for base in bases:
        if _last_name(base) in _PLAIN_BASES or _last_name(base) == "NamedTuple":
            continue
        definition = _find_class(base, source) if isinstance(base, ast.Name) else None
        return _signature(*definition) if definition else ((), True)
    return (), False


def _find_class(base: ast.Name, source: _Source) -> tuple[ast.ClassDef, _Source] | None:
    definition = _find_in(base.id, source, depth=5)
    if definition is None or not isinstance(definition[0], ast.ClassDef):
        return None
    return definition[0], definition[1]


_Definition = tuple[ast.ClassDef | ast.FunctionDef, _Source]


def _find_definition(name: str, module: str, depth: int) -> _Definition | None:
    place = plugins.locate(module)
    source = _read_module(place, module) if place else None
    return _find_in(name, source, depth) if source else None


def _find_in(name: str, source: _Source, depth: int) -> _Definition | None:
    """Return the definition of a name in a module; follow imports from its package and from `translate`."""
    for node in _top_level(source.tree.body):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name != name:
            continue
        if not any(_last_name(d) == "overload" for d in node.decorator_list):
            return node, source
    for local, module, original in _imports(source):
        if local == name and depth and module.partition(".")[0] in (source.module.partition(".")[0], "translate"):
            return _find_definition(original, module, depth - 1)
    return None


def _read_module(place: Path, module: str) -> _Source | None:
    path = place / "__init__.py" if place.is_dir() else place
    return _read(path, module) if path.suffix == ".py" and path.is_file() else None


def _imports(source: _Source) -> Iterator[tuple[str, str, str]]:
    """Yield (local name, module, original name) of each `from module import name`."""
    for node in _top_level(source.tree.body):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = source.package.split(".")[: len(source.package.split(".")) - node.level + 1]
                module = ".".join([*above, *([module] if module else [])])
            for alias in node.names:
                yield alias.asname or alias.name, module, alias.name


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
