"""Write a traced graph as a program of `torch.export`, or compiled by AOTInductor, and run it.

Both are `.pt2` files that torch loads. A program holds the operations and the weights, and runs where torch runs. An
AOTInductor package holds a shared library for the processor on which it was made.

Neither is safe to load from a stranger, see `translate.inference.torch_program`.
"""

import io
import json
import warnings
from pathlib import Path

import torch
from torch.export import ExportedProgram

from translate.errors import UserError
from translate.export.graphs import Graph
from translate.files.writing import atomic_write
from translate.inference.graph_engine import Run
from translate.inference.graph_header import GraphHeader
from translate.inference.torch_program import HEADER, load_package, load_program, runner


def write(program: ExportedProgram, graph: Graph, header: GraphHeader, path: Path) -> None:
    """Write a program, with its header as an extra file."""
    del graph
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No complete tensor found")  # about weights that are not on the CPU
        content = io.BytesIO()  # into a file, torch does not say why it fails
        torch.export.save(program, content, extra_files={HEADER: json.dumps(header.metadata())})
    atomic_write(path, content.getvalue())


def compile_package(program: ExportedProgram, graph: Graph, header: GraphHeader, path: Path) -> None:
    """Compile a program by AOTInductor for this processor; UserError without a C++ compiler."""
    del graph
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError) as error:
        fix = "install g++, or leave out aot=true"
        raise UserError("AOTInductor compiles C++, and there is no compiler", key="aot", fix=fix) from error
    settings = {"aot_inductor.metadata": header.metadata()}
    aoti_compile_and_package(program, package_path=str(path), inductor_configs=settings)


def run_program(path: Path, graph: Graph) -> Run:
    """Return the function that runs a program from its file."""
    return runner(load_program(path)[0], graph.inputs)


def run_package(path: Path, graph: Graph) -> Run:
    """Return the function that runs a package from its file."""
    return runner(load_package(path)[0], graph.inputs)
