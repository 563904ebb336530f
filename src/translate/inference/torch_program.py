"""Load programs of `torch.export` and packages of AOTInductor (`.pt2`); both can run code of their makers."""

import inspect
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from translate.errors import UserError
from translate.inference.graph_header import GraphHeader, parse

HEADER = "translate.json"
"""The extra file of a program that holds the header."""

NATIVE = "data/aotinductor/"
"""The folder of a package that holds its shared library."""

Call = Callable[..., Any]


def is_package(path: Path) -> bool:
    """Return whether a file holds native code of AOTInductor, without executing it; UserError for no `.pt2` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(f"/{NATIVE}" in f"/{name}" for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError("not a program of torch.export", key=str(path)) from error


def load_program(path: Path) -> tuple[Call, GraphHeader]:
    """Return a program as a function of positional tensors, and its header. The file must be trusted."""
    extra = {HEADER: ""}
    program = torch.export.load(path, extra_files=extra)
    # the guards exclude features of one pixel, which the export has compared where they are possible
    without = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    return program.module(**without), _header(extra[HEADER], path)


def load_package(path: Path) -> tuple[Call, GraphHeader]:
    """Return a package as a function of positional tensors, and its header. The file must be trusted."""
    from torch._inductor import aoti_load_package

    package = aoti_load_package(str(path))
    return package, parse(package.get_metadata(), str(path))


def _header(text: str, path: Path) -> GraphHeader:
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = {}
    return parse(metadata if isinstance(metadata, dict) else {}, str(path))
