"""A run folder of weights without a run: released files, fetched by name or on this disk, with data to score them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.errors import ConfigError, Problems, UserError
from translate.runs.places import HUB

KEYS = ("experiments", "data", "model", "trainer")
"""First parts of the keys that complete the configuration of such a run, beside those of the metrics."""

NAMED = "weights_"
"""The beginning of the names of sources that are released weights, see `downloads/sources/released_weights.yaml`."""

log = logging.getLogger("translate")


def names() -> list[str]:
    """Return the names of released weights that can be fetched."""
    from translate.downloads.sources import read_all

    return [name for name in read_all() if name.startswith(NAMED)]


def metrics(words: Sequence[str]) -> dict[str, Any]:
    """Return the checked metrics of the configuration that the words complete; ConfigError with all problems."""
    from translate.config.check import check_metrics
    from translate.config.compose import compose
    from translate.config.rules import metrics_suit_model
    from translate.config.tree import plain

    problems: Problems = []
    tree = compose(words, problems=problems)
    nodes: dict[str, Any] = {}
    if tree is not None:
        nodes = plain(tree, [], only="metrics").get("metrics") or {}
        check_metrics(nodes, problems)
        problems.extend(metrics_suit_model({"model": {"name": tree.model.get("name")}, "metrics": nodes}))
    if problems:
        raise ConfigError(problems)
    return nodes


def begin(
    place: str,
    sha256: str | None,
    verify: str | None,
    to: Path | None,
    words: Sequence[str],
    nodes: Mapping[str, Any],
    cache: Path | None,
) -> Path:
    """Return a new run folder with the weights at a place as its checkpoint 0.

    ``words`` complete the configuration: an experiment or the data. ``nodes`` are the metrics; their own files of
    weights are looked for first. UserError for a missing file, for another SHA-256 than ``sha256``, and without a
    signature of the public key ``verify``.
    """
    from translate.config.command_line import new_folder
    from translate.config.compose import compose
    from translate.evaluation.pretrained import find_all
    from translate.evaluation.specs import metric_specs
    from translate.export import importer
    from translate.files.writing import check_digest, sha256_of
    from translate.weights.published.layout import ImportOptions

    find_all((spec for specs in metric_specs(nodes).values() for spec in specs), cache)
    files = [_fetched(each) for each in place.split(",")]
    for path in (Path(each).expanduser() for each in files if not each.startswith(HUB)):
        digest = sha256_of(path) if path.is_file() else None
        if sha256 is not None and len(files) == 1:
            check_digest(path, digest, sha256)
        log.info("weights %s%s", path, f", SHA-256 {digest}" if digest else "")
    weights = importer.read(files, ImportOptions(), verify)
    tree = compose([f"model={weights.model}", *words])
    assert tree is not None  # a problem would have been raised
    if tree.model.name != weights.model:
        raise UserError(
            "the weights are of another model", key="weights", found=weights.model, expected=str(tree.model.name)
        )
    return importer.begin_run(weights, to or new_folder(str(tree.name)), words).folder


def _fetched(place: str) -> str:
    """Return the file or folder of weights; those that have a name here are downloaded unless they are there."""
    if not place.startswith(NAMED) or Path(place).expanduser().exists():
        return place
    from translate.downloads.download import ROOT, DownloadRequest, download
    from translate.downloads.sources import read_all

    sources = read_all()
    if place not in sources:
        raise UserError("unknown weights", key="weights", found=place, known=names())
    folder = Path(ROOT) / place
    log.info("%s", download(DownloadRequest(sources[place], folder)))
    (file,) = sources[place].content
    return str(folder / file)
