"""Trace a graph with `torch.export`, the first half of every export to another runtime."""

from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from translate.errors import UserError
from translate.export.graphs import Graph
from translate.sizes import ImageSize

MAX_BATCH = 4096
MAX_SIDE = 16_384


def trace(graph: Graph, size: ImageSize) -> ExportedProgram:
    """Return the program of a graph, traced with images of a size; UserError if an axis cannot be dynamic."""
    example = graph.example(2, *_sides(graph, size), 0)
    inputs = tuple(example.inputs[name] for name in graph.inputs)
    shapes = tuple({axis: _dim(graph, word) for axis, word in graph.axes[name].items()} for name in graph.inputs)
    try:
        with torch.no_grad():
            return torch.export.export(_Positional(graph.module), inputs, dynamic_shapes=(shapes,), strict=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the graph {graph.name!r} cannot be traced by torch.export ({reason})",
            key="export",
            fix="write the network so that sizes stay symbolic: x.shape[0] instead of len(x), no branch on values",
        ) from error


class _Positional(torch.nn.Module):
    """A module whose only argument is a variable number of tensors, so that every graph has the same signature."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: torch.Tensor) -> Any:
        """Return the outputs of the module."""
        return self.module(*tensors)


def _sides(graph: Graph, size: ImageSize) -> ImageSize:
    """Return a height and a width to trace with.

    Where both are dynamic they differ, and features have more than one pixel a side: torch takes sizes 1 as constants.
    """
    if graph.rule is None:
        return size
    rule = graph.rule
    height, width = size.each(lambda side: rule.up(max(side, 2 * rule.multiple)))
    return ImageSize(height, width + rule.multiple if width == height else width)


def _dim(graph: Graph, word: str) -> Any:
    """Return the symbolic size of an axis."""
    if word == "batch":
        return Dim("batch", min=1, max=MAX_BATCH)
    assert graph.rule is not None
    multiple = graph.rule.multiple
    low, high = -(-graph.rule.minimum // multiple), MAX_SIDE // multiple
    units = Dim(word if multiple == 1 else f"{word}_{multiple}", min=max(low, 1), max=high)
    return units if multiple == 1 else multiple * units
