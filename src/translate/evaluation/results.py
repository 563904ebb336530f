"""The results of an evaluation while it runs: what is known already, the partial file, and the printed table."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from translate.metrics.marks import FLAWS, MEANINGS, SIGNS, WORSE_THAN_SOURCE, sign_of
from translate.metrics.protocols import Scores
from translate.runs import scores as scores_files
from translate.runs.scores import Request, Result

log = logging.getLogger("translate")

FIRST_COLUMN = "this model"


def known(path: Path, request: Request, further: Sequence[Path] = ()) -> Result | None:
    """Return a result that answers a request, in the file of this path, another one of its folder, or ``further``."""
    beside = sorted(path.parent.glob(f"{request.protocol}_*.json")) if path.parent.is_dir() else []
    wanted = scores_files.normalized(request)
    for place in [path, *beside, *further]:
        result = None if place.stem.endswith(scores_files.PARTIAL) else scores_files.read(place)
        if result is not None and result.request.answers(wanted):
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
    try:
        return {name: scores_files.numbers(scores) for name, scores in tree["tasks"].items()}, list(tree["warnings"])
    except (KeyError, TypeError, ValueError, AttributeError):
        log.warning("%s is damaged; starting again", partial)
        return {}, []


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
        sign = sign_of(name, result.marks)
        lines.append(f"{name:<{width}}" + "".join(cells) + (f" {sign}" if sign else ""))
    return "\n".join([*lines, *_sentences(result)])


def _sentences(result: Result) -> Iterator[str]:
    """Yield a line for each mark of a score, and for flawed translations."""
    for kind, sentences in result.marks.items():
        if kind == WORSE_THAN_SOURCE:  # one reason for all
            yield f"{SIGNS[kind]} {MEANINGS[kind]}: {', '.join(sentences)}"
        else:
            yield from (f"{SIGNS.get(kind, '')} {name}: {sentence}" for name, sentence in sentences.items())
    yield from (
        f"! {warning}" for warning in result.warnings if any(f"translations are {flaw}" in warning for flaw in FLAWS)
    )
