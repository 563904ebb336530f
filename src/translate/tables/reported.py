"""Reported scores: files of papers and repositories, each score with its source, protocol and checkpoint.

A file has the key ``reports``, a list, or the keys of a single report:

    source: Park et al. 2020 (arXiv 2007.15651), table 1
    protocol: pytorch_fid
    checkpoint: best  # of training, or last; null or no key: the source does not say, or has one checkpoint
    compare: numbers  # or order: the scores may stand beside those of another protocol, to compare the order of rows
    rows:
      "ladder/cut": {"FID, horse -> zebra": 45.5}  # a pattern of names of experiments -> score -> value
      "ladder/stargan_v2": {"FID, latent": {value: 16.18, spread: 0.15}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from translate.errors import UserError, printable
from translate.files import yaml_files
from translate.metrics.protocols import FORMER_NAMES
from translate.runs.folder import BEST, LAST

NUMBERS, ORDER = "numbers", "order"


@dataclass(frozen=True)
class Reported:
    """A reported score, its spread if one is reported, and its source."""

    value: float
    spread: float | None = None
    source: str = ""
    protocol: str = ""

    def __str__(self) -> str:
        """Return value and spread."""
        return f"{self.value:g}" + ("" if self.spread is None else f" \N{PLUS-MINUS SIGN} {self.spread:g}")


@dataclass(frozen=True)
class Report:
    """The scores that one source reports, by patterns of names of experiments."""

    source: str
    protocol: str
    checkpoint: str | None  # last or best; None: not stated
    compare: str  # numbers, or order
    rows: Mapping[str, Mapping[str, Reported]]

    def of(self, name: str) -> Mapping[str, Reported]:
        """Return the reported scores of an experiment."""
        return next((scores for pattern, scores in self.rows.items() if fnmatchcase(name, pattern)), {})


@dataclass(frozen=True)
class Paper:
    """The reports of a file."""

    reports: tuple[Report, ...]

    def scores(self) -> set[str]:
        """Return the names of all reported scores."""
        return {score for report in self.reports for scores in report.rows.values() for score in scores}

    def of(self, name: str, protocol: str, checkpoint: str) -> dict[str, tuple[Reported, ...]]:
        """Return the scores to show beside a row, by score.

        They are of the row's protocol, or of another one where only the order of rows is compared. A score of another
        checkpoint is left out: the best of training is not the last.
        """
        found: dict[str, tuple[Reported, ...]] = {}
        for report in self.reports:
            if report.checkpoint not in (None, checkpoint) or not _comparable(report, protocol):
                continue
            for score, reported in report.of(name).items():
                found[score] = (*found.get(score, ()), reported)
        return found

    def left_out(self, name: str, protocol: str) -> list[Report]:
        """Return the reports on an experiment that are of another protocol, so that no table shows them beside it."""
        return [report for report in self.reports if report.of(name) and not _comparable(report, protocol)]


def _comparable(report: Report, protocol: str) -> bool:
    return report.protocol == protocol or report.compare == ORDER


def read(path: Path) -> Paper:
    """Return the reported scores in a YAML file; UserError for another file."""
    tree = yaml_files.load(path)
    try:
        return Paper(tuple(_report(node) for node in tree.get("reports", [tree])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = printable(str(error))
        raise UserError(
            f"{path} is not a file of reported scores ({reason})",
            key="paper",
            expected="the keys source, protocol and rows, and in rows 'name of an experiment: {score: number}'",
        ) from error


def _report(node: Mapping[str, Any]) -> Report:
    source, protocol = str(node["source"]), str(node["protocol"])
    protocol = FORMER_NAMES.get(protocol, protocol)
    checkpoint, compare = node.get("checkpoint"), node.get("compare", NUMBERS)
    if checkpoint not in (None, LAST, BEST) or compare not in (NUMBERS, ORDER):
        raise ValueError(f"checkpoint: {checkpoint}, compare: {compare}")
    rows = {
        str(pattern): {str(name): _reported(value, source, protocol) for name, value in scores.items()}
        for pattern, scores in node["rows"].items()
    }
    return Report(source, protocol, checkpoint, compare, rows)


def _reported(node: Any, source: str, protocol: str) -> Reported:
    if not isinstance(node, Mapping):
        return Reported(float(node), None, source, protocol)
    return Reported(float(node["value"]), float(node["spread"]), source, protocol)
