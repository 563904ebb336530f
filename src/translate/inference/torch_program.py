"""Load programs of `torch.export` and packages of AOTInductor (`.pt2`), and translate with them.

Neither is data: torch unpickles tensors of a program without limits, and evaluates the text of its symbolic sizes; a
package is native code. So a file runs only if its user trusts it.
"""

import inspect
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from translate.errors import UserError
from translate.files.reading import loads, require_file
from translate.inference.graph_engine import GraphEngine, LoadedGraph, Run
from translate.inference.graph_header import GraphHeader, parse

SUFFIX = ".pt2"

HEADER = "translate.json"
"""The extra file of a program that holds the header."""

NATIVE = "data/aotinductor/"
"""The folder of a package that holds its shared library."""

Call = Callable[..., Any]


def open_programs(place: str | os.PathLike[str], trust: bool = False) -> GraphEngine:
    """Return the engine of a `.pt2` file, or of a folder with the files of one model.

    UserError unless ``trust`` is true, before anything is loaded, and for files that are no whole model.
    """
    path = Path(place).expanduser()
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"the folder holds no {SUFFIX} files", key=str(path))
    for file in files:
        kind = (
            "native code of AOTInductor" if is_package(file) else "a program of torch, which can run code as it loads"
        )
        if not trust:
            fix = "trust=true, if you made the file or trust its maker; an ONNX file runs no code"
            raise UserError(f"the file holds {kind}", key=str(file), fix=fix)
    graphs = []
    for file in files:
        call, header = load_package(file) if is_package(file) else load_program(file)
        graphs.append(LoadedGraph(file, header, runner(call, header.inputs)))
    kinds = "AOTInductor" if is_package(files[0]) else "torch.export"
    return GraphEngine(graphs, f"torch {torch.__version__}, {kinds}, cpu, {torch.get_num_threads()} threads")


def runner(call: Call, names: Sequence[str]) -> Run:
    """Return a function of arrays by name for a function of positional tensors."""

    @torch.no_grad()
    def run(inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        outputs = call(*(torch.from_numpy(np.asarray(inputs[name])) for name in names))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple | list) else (outputs,))]

    return run


def is_package(path: Path) -> bool:
    """Return whether a file holds native code of AOTInductor, without executing it; UserError for no `.pt2` file."""
    require_file(path)
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
        metadata = loads(text)
    except ValueError:
        metadata = {}
    return parse(metadata if isinstance(metadata, dict) else {}, str(path))
