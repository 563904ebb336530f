"""Figures on disk: what was measured, how, and what is needed to make it again.

A run folder holds `metrics/<protocol>_<checkpoint>.json`, and while it is made `....partial.json` with the routes that
are done, so that an evaluation that was stopped goes on.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from translate.files import atomic_write
from translate.metrics.selection import base
from translate.registry.registry import METRICS

log = logging.getLogger("translate")

Figures = dict[str, float]

FOLDER = "metrics"
PARTIAL = ".partial"


@dataclass(frozen=True)
class Request:
    """What is measured: two requests that are equal have the same figures, up to the rounding of the hardware."""

    protocol: str
    iteration: int
    networks: str  # "averaged" or "trained": which ones translate
    model: str  # digest of those networks
    seed: int
    metrics: dict[str, Any]  # name -> {arguments}
    weights: dict[str, str]  # of every file that was read: its SHA-256
    data: dict[str, Any]  # of train and val: images and fingerprint; image_size


@dataclass
class Result:
    """The figures of one protocol."""

    request: Request
    checkpoint: str  # "last", "best" or the iteration, as it was asked for
    figures: Figures = field(default_factory=dict)  # "FID, latent": means over all routes
    better: dict[str, str] = field(default_factory=dict)  # figure -> "lower" or "higher"
    routes: dict[str, Figures] = field(default_factory=dict)  # "cat -> dog, latent": figures and numbers of images
    doubts: list[str] = field(default_factory=list)
    columns: dict[str, Figures] = field(default_factory=dict)  # of others, such as real images


def path_of(folder: Path, protocol: str, checkpoint: str, seed: int = 0) -> Path:
    """Return where figures lie in a run folder; a seed other than 0 is part of the name.

    >>> path_of(Path("run"), "clean", "last").as_posix(), path_of(Path("run"), "clean", "005000", 3).name
    ('run/metrics/clean_last.json', 'clean_005000_seed3.json')
    """
    return folder / FOLDER / f"{protocol}_{checkpoint}{f'_seed{seed}' if seed else ''}.json"


def write(path: Path, result: Result, environment: Mapping[str, Any]) -> None:
    """Write the figures of a finished protocol, and forget its partial file.

    Figures that lie there already, of other metrics and the same model, data and seed, are kept beside them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    request = asdict(result.request)
    tree = {
        "protocol": request.pop("protocol"),
        "checkpoint": result.checkpoint,
        **request,
        "figures": result.figures,
        "better": result.better,
        "routes": result.routes,
        "columns": result.columns,
        "doubts": result.doubts,
        "environment": dict(environment),
    }
    tree = _plain(tree)
    before = read(path)
    if before is not None and all(before.get(key) == tree[key] for key in SAME):
        tree = _joined(before, tree)
    atomic_write(path, json.dumps(tree, indent=2) + "\n")
    partial_of(path).unlink(missing_ok=True)


SAME = ("protocol", "iteration", "networks", "model", "seed", "data")
"""What must be equal for figures to stand in one file."""


def _joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what two files hold, the later one where both say something."""
    both = dict(after)
    for key in ("metrics", "weights", "figures", "better"):
        both[key] = {**before[key], **after[key]}
    for key in ("routes", "columns"):
        names = list(dict.fromkeys([*before[key], *after[key]]))
        both[key] = {name: {**before[key].get(name, {}), **after[key].get(name, {})} for name in names}
    both["doubts"] = list(dict.fromkeys([*before["doubts"], *after["doubts"]]))
    return both


def read(path: Path) -> dict[str, Any] | None:
    """Return what `write` has written, None where there is no such file or a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def partial_of(path: Path) -> Path:
    """Return the partial file beside a file of figures."""
    return path.with_name(f"{path.stem}{PARTIAL}.json")


def save_partial(path: Path, request: Request, routes: Mapping[str, Figures], doubts: Sequence[str]) -> None:
    """Keep the routes that are done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = {"request": asdict(request), "routes": routes, "doubts": list(doubts)}
    atomic_write(partial_of(path), json.dumps(_plain(tree)) + "\n")


def load_partial(path: Path, request: Request) -> tuple[dict[str, Figures], list[str]]:
    """Return the routes of an equal request that are done, and what was doubtful of them."""
    found = read(partial_of(path))
    if found is None:
        return {}, []
    if found.get("request") != json.loads(json.dumps(_plain(asdict(request)))):
        log.info("%s is of another request; beginning anew", partial_of(path))
        return {}, []
    routes = {name: {k: _number(v) for k, v in figures.items()} for name, figures in found["routes"].items()}
    return routes, list(found["doubts"])


def same_request(tree: Mapping[str, Any] | None, request: Request) -> bool:
    """Tell whether a file of figures, as `read` returns it, answers a request, and maybe others."""
    if tree is None:
        return False
    wanted = json.loads(json.dumps(_plain(asdict(request))))
    same = all(tree.get(key) == wanted[key] for key in SAME)
    return same and all(
        tree[key].get(name) == value for key in ("metrics", "weights") for name, value in wanted[key].items()
    )


def _plain(value: Any) -> Any:
    """Return the same with null in place of what is not a number, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def split(figures: Figures) -> tuple[Figures, Figures]:
    """Return those figures of protocol `local` that the judge gives, and the others."""
    own = METRICS.facts("local")["figures"]
    judged = {name: value for name, value in figures.items() if base(name) in own}
    return judged, {name: value for name, value in figures.items() if name not in judged}


def table(result: Result) -> str:
    """Return figures as a plain table, a line for each, below a line that says what they are of."""
    request = result.request
    columns = {"": result.figures} if not result.columns else {request.networks: result.figures, **result.columns}
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    width = max(map(len, names), default=0)
    lines = [
        f"protocol {request.protocol}, checkpoint {result.checkpoint} (iteration {request.iteration}), "
        f"{request.networks} networks, seed {request.seed}"
    ]
    if result.columns:
        lines.append(" " * width + "".join(f"{column:>13}" for column in columns))
    for name in names:
        cells = (f"{figures[name]:13.5g}" if name in figures else f"{'-':>13}" for figures in columns.values())
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)
