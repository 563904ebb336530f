"""Compiled gradient penalties: logits, their gradients by images, and the gradients of these, as two graphs.

`torch.compile` refuses to differentiate compiled code twice. A function that holds the first derivative itself, by
`torch.func.grad`, is differentiated once from outside. So the forward pass of the discriminator and the derivative of
its logits are one compiled graph, and the backward pass of an update is the other.

Torch compiles a `torch.autograd.Function` inside such a function without an error, but with a gradient that lacks the
second derivative. `_refusing` looks for them, and `derived_gradients` asks layers to use none.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.errors import first_line
from translate.losses.penalties import Totals, with_input_gradients
from translate.networks.layers.device import derived_gradients

log = logging.getLogger("translate")

BACKEND: str | Callable[..., Any] = "inductor"
"""The compiler of the graphs, as `torch.compile` takes it."""


class CompiledInputGradients:
    """`with_input_gradients` by compiled code; uncompiled, after a warning, where torch cannot compile a function."""

    def __init__(self) -> None:
        self.compiled = torch.compile(_outputs_and_gradients, fullgraph=True, dynamic=False, backend=_refusing)
        self.is_refused = False

    def __call__(
        self, function: Callable[..., Sequence[Any]], images: Sequence[Tensor], chosen: Sequence[int], totals: Totals
    ) -> tuple[Sequence[Any], list[Sequence[Tensor]]]:
        """Return the outputs of a function of images, and the gradients of totals of the first outputs."""
        if not self.is_refused:
            try:
                with derived_gradients():
                    result: tuple[Sequence[Any], list[Sequence[Tensor]]]
                    result = self.compiled(function, [batch.detach() for batch in images], tuple(chosen), tuple(totals))
                    return result
            except torch._dynamo.exc.TorchDynamoException as error:
                log.warning("gradient penalties run uncompiled, since torch cannot compile them: %s", first_line(error))
                self.is_refused = True
        return with_input_gradients(function, images, chosen, totals)


def _outputs_and_gradients(
    function: Callable[..., Sequence[Any]], images: list[Tensor], chosen: tuple[int, ...], totals: Totals
) -> tuple[Sequence[Any], list[Sequence[Tensor]]]:
    def differentiated(*batches: Tensor) -> tuple[tuple[Tensor, ...], Sequence[Any]]:
        given = list(images)
        for place, batch in zip(chosen, batches, strict=True):
            given[place] = batch
        outputs = function(*given)
        logits = [outputs[place] for place in chosen]
        return tuple(total(logits) for total in totals), outputs

    batches = [images[place] for place in chosen]
    values, pullback, outputs = torch.func.vjp(differentiated, *batches, has_aux=True)  # type: ignore[misc]
    gradients = []
    for number in range(len(totals)):
        cotangents = tuple(torch.full_like(value, float(place == number)) for place, value in enumerate(values))
        gradients.append(pullback(cotangents))
    return outputs, gradients


def _refusing(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
    """Compile a graph; RuntimeError for one that contains a `torch.autograd.Function`."""
    functions = {"autograd_function_apply"}
    for part in graph.modules():
        if isinstance(part, torch.fx.GraphModule) and functions & {str(node.target) for node in part.graph.nodes}:
            raise RuntimeError("a layer is a torch.autograd.Function, whose second derivative torch would lose")
    return torch._dynamo.lookup_backend(BACKEND)(graph, inputs)
