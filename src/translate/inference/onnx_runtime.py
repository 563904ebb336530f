"""Translate with exported ONNX files in ONNX Runtime; torch is not imported."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from translate.errors import UserError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def session_of(path: str | os.PathLike[str], threads: int | None = None) -> "InferenceSession":
    """Return a session of ONNX Runtime on the CPU; UserError without the library, and for a damaged file."""
    try:
        import onnxruntime
    except ImportError as error:
        fix = "pip install 'translate-gan[onnx]'"
        raise UserError("onnxruntime is not installed, which runs ONNX files", key="weights", fix=fix) from error
    if not Path(path).is_file():
        raise UserError("no such file", key=str(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class but this
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"ONNX Runtime cannot read the file ({reason})", key=str(path)) from error
