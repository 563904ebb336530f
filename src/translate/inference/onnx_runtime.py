"""Translate with exported ONNX files in ONNX Runtime; torch is not imported."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.errors import UserError
from translate.files.reading import require_file
from translate.inference.graph_engine import GraphEngine, LoadedGraph, Run
from translate.inference.graph_header import parse

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


SUFFIX = ".onnx"


def open_onnx(place: str | os.PathLike[str], threads: int | None = None) -> GraphEngine:
    """Return the engine of an ONNX file, or of a folder with the files of one model.

    ``threads`` of ONNX Runtime are by default as many as cores. UserError for files that are no whole model.
    """
    path = Path(place).expanduser()
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise UserError("the folder holds no ONNX files", key=str(path))
    graphs = []
    for file in files:
        session = session_of(file, threads)
        header = parse(session.get_modelmeta().custom_metadata_map, str(file))
        graphs.append(LoadedGraph(file, header, runner(session, header.outputs)))
    import onnxruntime

    number = "all" if threads is None else threads
    return GraphEngine(graphs, f"onnxruntime {onnxruntime.__version__}, cpu, {number} threads")


def runner(session: "InferenceSession", outputs: Sequence[str]) -> Run:
    """Return a function of arrays by name for a session."""

    def run(inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        results: list[Any] = session.run(list(outputs), dict(inputs))
        return results

    return run


def session_of(path: str | os.PathLike[str], threads: int | None = None) -> "InferenceSession":
    """Return a session of ONNX Runtime on the CPU; UserError without the library, and for a damaged file."""
    try:
        import onnxruntime
    except ImportError as error:
        fix = "pip install 'translate-gan[onnx]'"
        raise UserError("onnxruntime is not installed, which runs ONNX files", key="weights", fix=fix) from error
    require_file(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class but this
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"ONNX Runtime cannot read the file ({reason})", key=str(path)) from error
