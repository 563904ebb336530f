"""The results of an evaluation while it runs: what is known already, the partial file, and the printed table."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from translate.metrics.protocols import Scores
from translate.runs import scores as scores_files
from translate.runs.scores import Request, Result

log = logging.getLogger("translate")

FIRST_COLUMN = "this model"


def known(path: Path, request: Request, with_columns: bool) -> Result | None:
    """Return a result that answers a request, in the file of this path or another one of its folder."""
    beside = sorted(path.parent.glob(f"{request.protocol}_*.json")) if path.parent.is_dir() else []
    wanted = scores_files.normalized(request)
    for place in [path, *beside]:
        result = None if place.stem.endswith(scores_files.PARTIAL) else scores_files.read(place)
        if result is not None and result.request.answers(wanted) and (result.columns or not with_columns):
            return result
    return None


def save_partial(path: Path, request: Request, tasks: Mapping[str, Scores], warnings: Sequence[str]) -> None:
    """Write the tasks that are done beside a scores file."""
    tree = {"request": asdict(request), "tasks": tasks, "warnings": list(warnings)}
    scores_files.write_json(scores_files.partial_of(path), tree)


def load_partial(path: Path, request: Request) -> tuple[dict[str, Scores], list[str]]:
    """Return the tasks of an equal request that are done, and their warnings."""
    partial = scores_files.partial_of(path)
    tree = scores_files.read_json(partial)
    if tree is None:
        return {}, []
    if tree.get("request") != asdict(scores_files.normalized(request)):
        log.info("%s belongs to another evaluation; starting again", partial)
        return {}, []
    return {name: scores_files.numbers(scores) for name, scores in tree["tasks"].items()}, list(tree["warnings"])


def table(result: Result) -> str:
    """Return the scores as a plain table, a line for each score and a column for each model or set of images."""
    request = result.request
    columns = {FIRST_COLUMN: result.scores, **result.columns} if result.columns else {"": result.scores}
    names = list(dict.fromkeys(name for scores in columns.values() for name in scores if name in result.scores))
    width = max(map(len, names), default=0)
    lines = [
        f"protocol {request.protocol}, checkpoint {result.checkpoint} (iteration {request.iteration}), "
        f"{request.networks} networks, seed {request.seed}"
    ]
    if result.columns:
        lines.append(" " * width + "".join(f"{column:>13}" for column in columns))
    for name in names:
        cells = (f"{scores[name]:13.5g}" if name in scores else f"{'-':>13}" for scores in columns.values())
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)
