"""The engine of exported files: arrays through the graphs of one model, in any runtime. Torch is not imported.

A single file of a whole way takes style inputs as they are, so a "style" is a code with its psi, or a reference. A
folder with the networks alone has real styles, which can be blended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from translate.data.images import Crop
from translate.errors import Phrase, UserError
from translate.inference.graph_header import GraphHeader
from translate.inference.sizes import SizeRule
from translate.sizes import ImageSize

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]
"""Compute the outputs of a graph, in the header's order, for inputs by name."""


@dataclass(frozen=True)
class LoadedGraph:
    """A graph that is ready to run."""

    path: Path
    header: GraphHeader
    run: Run


class GraphEngine:
    """Exported graphs of one model as an `Engine`."""

    on_cpu = True

    def __init__(self, graphs: Iterable[LoadedGraph], runtime: str) -> None:
        """Choose the graphs that translate; UserError for graphs of several models, and for too few."""
        self.graphs = {graph.header.graph: graph for graph in graphs}
        self.runtime = runtime
        self.header = self._common_header()
        self.model, self.digest = self.header.model, self.header.weights_sha256
        self.domains, self.label_sets = self.header.domains, self.header.label_sets
        self.latent_size, self.image_size = self.header.latent_size, ImageSize.of(self.header.image_size)
        self.scale = self.header.scale
        self.crop = cast(Crop, self.header.crop)
        self.directions = {g.header.target: g for g in self.graphs.values() if g.header.target is not None}
        self.whole = {g.header.style_input: g for g in self.graphs.values() if g.header.whole}
        self.interpolates = "generator" in self.graphs and any(map(self._style_graph, ("code", "reference")))
        self.style_inputs = tuple(name for name in ("code", "reference") if self._has_style_input(name))
        if not self.whole and not self.style_inputs:
            self._refuse()

    @property
    def reachable(self) -> Sequence[int]:
        """Return the domains to which the graphs translate, by number."""
        return sorted(self.directions) if self.directions else range(len(self.domains))

    @property
    def sizes(self) -> SizeRule | None:
        """Return the heights and widths that the graphs take; None: the size of training alone."""
        rules = []
        for graph in self.whole.values() if self.whole else [self.graphs["generator"]]:
            if graph.header.multiple is None:
                return None
            rules.append(SizeRule(graph.header.multiple, graph.header.minimum or 1))
        return rules[0]

    def styles(
        self,
        target: np.ndarray,
        code: np.ndarray | None = None,
        reference: np.ndarray | None = None,
        psi: float | None = None,
    ) -> np.ndarray:
        """Return the styles of codes (B, L) or of references (B, 3, H, W) in domains (B,).

        Without the networks alone, the code and its psi, (B, L + 1), or the reference stands for the style.
        """
        name, value = ("reference", reference) if code is None else ("code", code)
        assert value is not None, "a code or a reference"
        amount = 1.0 if psi is None else float(psi)
        if not self.interpolates:
            column = np.full((len(value), 1), amount, np.float32)
            return np.concatenate([value, column], axis=1) if name == "code" else value
        graph = self._style_graph(name)
        assert graph is not None, name
        inputs = {"code": value, "image": value, "target": target, "psi": np.array(amount, np.float32)}
        return _run(graph, inputs)[0]

    def translate(self, x: np.ndarray, target: np.ndarray, style: np.ndarray | None = None) -> np.ndarray:
        """Return images translated to a target, with a style where the model has style inputs; clipped to [-1, 1]."""
        if self.directions:
            height, width = (self.scale * side for side in x.shape[2:])
            translations = np.empty((*x.shape[:2], height, width), x.dtype)
            for domain, graph in self.directions.items():
                if (rows := target == domain).any():
                    translations[rows] = _run(graph, {"image": x[rows]})[0]
            return translations.clip(-1, 1)
        if style is None:
            return _run(self.whole[None], {"image": x, "target": target})[0]
        if self.interpolates:
            inputs = {"image": x, "style": style}
            if "masks" in self.graphs:
                masks = self.graphs["masks"]
                inputs |= dict(zip(masks.header.outputs, _run(masks, {"image": x}), strict=True))
            return _run(self.graphs["generator"], inputs)[0].clip(-1, 1)
        if style.ndim == 4:
            return _run(self.whole["reference"], {"image": x, "target": target, "reference": style})[0]
        return self._translate_by_codes(x, target, style)

    def _translate_by_codes(self, x: np.ndarray, target: np.ndarray, style: np.ndarray) -> np.ndarray:
        """Return translations by codes and psi (B, L + 1); a call of the graph has one psi."""
        codes, amounts = np.ascontiguousarray(style[:, :-1]), style[:, -1]
        translations = np.empty_like(x)
        for amount in np.unique(amounts):
            rows = amounts == amount
            inputs = {
                "image": x[rows],
                "target": target[rows],
                "code": codes[rows],
                "psi": np.array(amount, np.float32),
            }
            translations[rows] = _run(self.whole["code"], inputs)[0]
        return translations

    def _style_graph(self, style_input: str) -> LoadedGraph | None:
        return self.graphs.get("style_latent" if style_input == "code" else "style_encoder")

    def _has_style_input(self, name: str) -> bool:
        return self._style_graph(name) is not None if self.interpolates else name in self.whole

    def _common_header(self) -> GraphHeader:
        """Return the header of one graph; UserError if graphs were made from different weights."""
        first, *rest = self.graphs.values()
        for other in rest:
            if other.header.weights_sha256 != first.header.weights_sha256:
                raise UserError(
                    f"{first.path.name} and {other.path.name} were exported from different weights",
                    key=str(first.path.parent),
                    fix="export into an empty folder",
                )
        return first.header

    def _refuse(self) -> None:
        names = ", ".join(self.graphs)
        path = next(iter(self.graphs.values())).path
        raise UserError(
            "the networks do not translate alone",
            key=str(path),
            found=Phrase(names),
            expected="a whole way, such as translate.onnx, or the folder of all graphs",
            fix=f"weights={path.parent}",
        )


def _run(graph: LoadedGraph, values: Mapping[str, Any]) -> list[np.ndarray]:
    """Return the outputs of a graph; the values are more than its inputs where several graphs share them."""
    return list(graph.run({name: np.asarray(values[name], order="C") for name in graph.header.inputs}))
