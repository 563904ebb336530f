"""Export a model for other runtimes: trace its graphs, write them, run them, and compare before they are in place."""

import copy
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.export import ExportedProgram

from translate import __version__
from translate.errors import Phrase, UserError
from translate.export import onnx, torch_export
from translate.export.graphs import Example, Graph, graphs_of
from translate.export.program import trace
from translate.inference import onnx_runtime, torch_program
from translate.inference.graph_engine import Run
from translate.inference.graph_header import GraphHeader
from translate.inference.torch_engine import TorchEngine
from translate.inference.translator import Translator
from translate.sizes import ImageSize


class Writer(Protocol):
    """Write a traced graph to a file."""

    def __call__(self, program: ExportedProgram, graph: Graph, header: GraphHeader, path: Path) -> None: ...


@dataclass(frozen=True)
class Runtime:
    """A program that runs files of one kind."""

    name: str  # for people
    suffix: str
    write: Writer
    load: Callable[[Path, Graph], Run]


def runtime(format: str) -> Runtime:
    """Return the runtime of a format: "onnx", "torch_export", or "aot" for its compiled packages."""
    runtimes: dict[str, Runtime] = {
        "onnx": Runtime("ONNX Runtime", onnx_runtime.SUFFIX, onnx.write, onnx.run),
        "torch_export": Runtime("torch.export", torch_program.SUFFIX, torch_export.write, torch_export.run_program),
        "aot": Runtime("AOTInductor", torch_program.SUFFIX, torch_export.compile_package, torch_export.run_package),
    }
    return runtimes[format]


TOLERANCE = 1e-4
"""The largest absolute difference; for values above 1, as in style codes, relative to the largest."""

ROUNDING = 2
"""How many times the rounding of torch in float32 may be the rounding of a file, where both exceed the tolerance."""

TIMED_RUNS, TIMED_SECONDS = 20, 2.0


@dataclass(frozen=True)
class Exported:
    """One file that was written and compared."""

    file: str
    bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float  # the largest absolute one to the translation in torch
    torch_seconds: float  # median of a batch of one image of the size of training
    runtime: str
    runtime_seconds: float

    def __str__(self) -> str:
        """Return a line for people."""
        times = f"torch {self.torch_seconds * 1e3:.2f} ms, {self.runtime} {self.runtime_seconds * 1e3:.2f} ms"
        arrow = f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        return f"{self.file}, {self.bytes / 1e6:.1f} MB: {arrow}; difference {self.difference:.1e}; {times}"


def export(translator: Translator, runtime: Runtime, to: Path, only: Sequence[str] = ()) -> Iterator[Exported]:
    """Write the graphs of a model; yield each file when it has been compared.

    ``to`` is a folder, or a file with the suffix of the runtime for one graph. ``only`` are the names of graphs; the
    default is all of them in a folder, and the only whole way in a file. No file is in place before all have been
    compared. UserError if a graph cannot be traced, or differs by more than `TOLERANCE`.
    """
    to_file = to.suffix == runtime.suffix
    graphs = _chosen(graphs_of(translator), only, to_file)
    digest = TorchEngine(translator).digest
    folder = to.parent if to_file else to
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as place:
            written = []
            for graph in graphs:
                path = Path(place) / f"{graph.name}{runtime.suffix}"
                yield _write(
                    translator,
                    graph,
                    _header(translator, graph, digest),
                    runtime,
                    path,
                    to.name if to_file else path.name,
                )
                written.append(path)
            for path in written:
                os.replace(path, to if to_file else folder / path.name)
    finally:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def _chosen(graphs: Sequence[Graph], only: Sequence[str], one: bool) -> list[Graph]:
    """Return the graphs to write; UserError for unknown names, and if one file is to have several."""
    names = [graph.name for graph in graphs]
    for name in only:
        if name not in names:
            raise UserError("unknown graph", key="graphs", found=name, known=names)
    chosen = [graph for graph in graphs if graph.name in only or (not only and (graph.whole or not one))]
    if one and len(chosen) != 1:
        raise UserError(
            key="to",
            found=Phrase(f"one file for {len(chosen)} graphs"),
            expected="a folder, or one graph",
            fix=f"to=FOLDER, or graphs={chosen[0].name}",
        )
    return chosen


def _header(translator: Translator, graph: Graph, digest: str) -> GraphHeader:
    about = translator.about
    return GraphHeader(
        graph=graph.name,
        whole=graph.whole,
        model=about.model,
        inputs=graph.inputs,
        outputs=graph.outputs,
        image_size=translator.image_size.plain,
        crop=translator.crop,
        multiple=None if graph.rule is None else graph.rule.multiple,
        minimum=None if graph.rule is None else graph.rule.minimum,
        domains=translator.domains,
        label_sets=about.label_sets if translator.takes_labels else (),
        latent_size=translator.translation.latent_size,
        style_input=graph.style_input,
        target=graph.target,
        iteration=about.iteration,
        licence=about.licence,
        weights_sha256=digest,
        version=__version__,
        scale=translator.scale,
    )


def _write(
    translator: Translator, graph: Graph, header: GraphHeader, runtime: Runtime, path: Path, file: str
) -> Exported:
    """Write a graph to a temporary path, load it again, and compare it."""
    size = translator.image_size
    runtime.write(trace(graph, size), graph, header, path)
    run = runtime.load(path, graph)
    difference = compare(graph, run, size)
    example = graph.example(1, *size, 0).inputs
    tensors, arrays = tuple(example[name] for name in graph.inputs), {n: t.numpy() for n, t in example.items()}
    with torch.inference_mode():
        torch_seconds = _median_seconds(lambda: graph.module(*tensors))
    return Exported(
        file,
        path.stat().st_size,
        graph.inputs,
        graph.outputs,
        difference,
        torch_seconds,
        runtime.name,
        _median_seconds(lambda: run(arrays)),
    )


def compare(graph: Graph, run: Run, size: ImageSize) -> float:
    """Return the largest difference between a file's outputs and the translation's; UserError for a real one.

    The inputs are fresh: batches of one and of three images of the size of training and, where height and width are
    dynamic, an image of two other sides. A difference above `TOLERANCE` is a real one unless it is rounding: unless the
    file is as near to the result in float64 as torch is, within a factor of `ROUNDING`.
    """
    shapes = [(1, *size), (3, *size)]
    if graph.rule is not None:
        shapes.append((1, *graph.rule.larger(size)))
    largest = 0.0
    for seed, shape in enumerate(shapes, start=1):
        example = graph.example(*shape, seed)
        outputs = run({name: tensor.numpy() for name, tensor in example.inputs.items()})
        for number, name in enumerate(graph.outputs):
            output, expected = outputs[number], example.outputs[name].numpy()
            difference = _difference(output, expected)
            allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
            if not difference <= allowed and not _is_rounding(graph, example, number, output):  # a NaN fails too
                raise UserError(
                    f"the exported graph {graph.name!r} differs from the translation in {name!r}, "
                    f"for inputs of batch {shape[0]} at {shape[1]} x {shape[2]} pixels",
                    key="export",
                    found=difference,
                    expected=f"at most {TOLERANCE:g}",
                    fix="nothing was written; name the graphs that agree with graphs=NAME",
                )
            largest = max(largest, difference)
    return largest


def _difference(output: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest absolute difference; infinity for other shapes."""
    return float(np.abs(output - expected).max()) if output.shape == expected.shape else math.inf


@torch.no_grad()
def _is_rounding(graph: Graph, example: Example, number: int, output: np.ndarray) -> bool:
    """Return whether an output of a file is as near to that of the graph in float64 as torch's output is."""
    inputs = (example.inputs[name] for name in graph.inputs)
    exact = copy.deepcopy(graph.module).double()(*(t.double() if t.is_floating_point() else t for t in inputs))
    exact = (exact if isinstance(exact, tuple) else (exact,))[number].numpy()
    return _difference(output, exact) <= ROUNDING * _difference(example.outputs[graph.outputs[number]].numpy(), exact)


def _median_seconds(call: Callable[[], object]) -> float:
    """Return the median duration of a call, after one that warms up."""
    call()
    durations: list[float] = []
    while len(durations) < TIMED_RUNS and sum(durations) < TIMED_SECONDS:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)
