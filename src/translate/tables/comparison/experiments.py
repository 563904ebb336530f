"""The experiments of a comparison: each has a letter, a label and a colour on the page, and its runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from translate.tables.collect import WEIGHTS, identity, labels_of, value_of
from translate.tables.comparison.run_facts import RunFacts

MODEL = "model.name"

NUM_COLOURS, NUM_DASHES = 8, 3
"""Colours of the style sheet, and dash patterns for experiments beyond them."""

LONGEST_LABEL = 90
"""Characters of a label that stands on the page; the differences are in the table of the configuration anyway."""


@dataclass(frozen=True)
class Experiment:
    """Runs that differ in the seed alone, or in keys that do not change results."""

    number: int
    label: str
    runs: tuple[RunFacts, ...]  # by seed

    @property
    def letter(self) -> str:
        """Return A, B and so on; after Z: 27, 28 and so on."""
        return chr(ord("A") + self.number) if self.number < 26 else str(self.number + 1)

    @property
    def style(self) -> str:
        """Return the classes of its colour and of its lines."""
        return f"c{self.number % NUM_COLOURS} d{self.number // NUM_COLOURS % NUM_DASHES}"

    @property
    def title(self) -> str:
        """Return the label, or the name alone where the label is long."""
        return self.label if len(self.label) <= LONGEST_LABEL else self.runs[0].name

    @property
    def chip(self) -> str:
        """Return the letter on its colour."""
        return f'<b class="chip {self.style}" title="{escape(self.label)}">{self.letter}</b>'

    def run_title(self, run: RunFacts) -> str:
        """Return the name of a run: letter and seed, and its folder where several runs have the seed."""
        twice = sum(other.seed == run.seed for other in self.runs) > 1
        return f"{self.letter}, seed {run.seed}" + (f", {run.folder}" if twice else "")


def experiments_of(runs: Sequence[RunFacts]) -> list[Experiment]:
    """Return the experiments of runs in the order of their labels."""
    labels = labels_of(runs)
    members: dict[str, list[RunFacts]] = {}
    for run in runs:
        members.setdefault(labels[identity(run)], []).append(run)
    return [
        Experiment(number, label, tuple(sorted(of_label, key=lambda run: run.seed)))
        for number, (label, of_label) in enumerate(sorted(members.items()))
    ]


@dataclass(frozen=True)
class Difference:
    """A key, and the text of its value in each experiment."""

    key: str
    values: tuple[str, ...]


def differences(
    experiments: Sequence[Experiment],
) -> tuple[list[Difference], list[Difference], list[Difference]]:
    """Return the keys in which experiments differ: of one model, between models alone, and neutral ones.

    Neutral keys do not change results, so runs of one experiment may differ in them.
    """
    configs = [[experiment.runs[0].config] for experiment in experiments]
    by_model: dict[Any, list[int]] = {}
    for number, (config,) in enumerate(configs):
        by_model.setdefault(config.get(MODEL), []).append(number)
    rows = _differing(configs)
    of_one = [row for row in rows if any(len({row.values[k] for k in members}) > 1 for members in by_model.values())]
    neutral = [[run.neutral for run in experiment.runs] for experiment in experiments]
    return of_one, [row for row in rows if row not in of_one], _differing(neutral)


def _differing(configs: Sequence[Sequence[Mapping[str, Any]]]) -> list[Difference]:
    """Return the keys whose texts are not equal everywhere; several values of one experiment are listed."""
    keys = sorted({key for of_one in configs for config in of_one for key in config})
    rows = []
    for key in keys:
        having = {config.get(MODEL) for of_one in configs for config in of_one if key in config}
        texts = [list(dict.fromkeys(_text(config, key, having) for config in of_one)) for of_one in configs]
        if len({text for each in texts for text in each}) > 1:
            rows.append(Difference(key, tuple(", ".join(each) for each in texts)))
    return rows


def _text(config: Mapping[str, Any], key: str, having: Collection[Any]) -> str:
    """Return the text of a value; a dash without the key, which the models ``having`` have."""
    if key not in config and not (key.startswith(WEIGHTS) and config.get(MODEL) in having):
        return "\N{EN DASH}"
    value = value_of(config, key)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
