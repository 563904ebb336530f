"""Write a traced graph as an ONNX file that describes itself, and run it in ONNX Runtime."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from translate.export.graphs import Graph
from translate.files.writing import atomic_write
from translate.inference.graph_engine import Run
from translate.inference.graph_header import GraphHeader
from translate.inference.onnx_runtime import runner, session_of

if TYPE_CHECKING:
    from onnx import ModelProto


def write(program: ExportedProgram, graph: Graph, header: GraphHeader, path: Path) -> None:
    """Write a program as an ONNX file with named inputs, outputs and axes, and the header as metadata."""
    names = {"input_names": list(graph.inputs), "output_names": list(graph.outputs)}
    converted = torch.onnx.export(program, dynamo=True, verbose=False, **names)  # type: ignore[arg-type]
    assert converted is not None
    model: ModelProto = converted.model_proto
    _name_axes(model, graph)
    _remove_unused(model)
    model.producer_name, model.producer_version = "translate-gan", header.version
    model.graph.name = f"{header.model}.{header.graph}"
    for key, text in header.metadata().items():
        model.metadata_props.add(key=key, value=text)
    atomic_write(path, model.SerializeToString())


def _name_axes(model: "ModelProto", graph: Graph) -> None:
    """Call the dynamic axes batch, height and width, in place of the symbols of the tracer."""
    words: dict[str, str] = {}
    for tensor in model.graph.input:
        for axis, word in graph.axes[tensor.name].items():
            words[tensor.type.tensor_type.shape.dim[axis].dim_param] = word
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for side in tensor.type.tensor_type.shape.dim:
            if side.dim_param in words:
                side.dim_param = words[side.dim_param]


def _remove_unused(model: "ModelProto") -> None:
    """Remove constants that no node reads: runtimes warn of each."""
    read = {name for node in model.graph.node for name in node.input} | {tensor.name for tensor in model.graph.output}
    kept = [constant for constant in model.graph.initializer if constant.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def run(path: Path, graph: Graph) -> Run:
    """Return the function that runs an ONNX file, with as many threads as torch."""
    return runner(session_of(path, torch.get_num_threads()), graph.outputs)
