"""The metrics of a configuration, built and grouped by protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from translate.errors import UserError
from translate.metrics.accumulators import Accumulator
from translate.metrics.interfaces import Reads
from translate.metrics.protocols import PROTOCOLS
from translate.metrics.selection import directions
from translate.registry.registry import METRICS


@dataclass(frozen=True)
class MetricSpec:
    """A configured metric."""

    label: str
    name: str
    metric: Any  # one of the interfaces in `metrics.interfaces`, by `reads`
    arguments: dict[str, Any]
    reads: Reads
    scores_real_images: bool  # whether a real image has a score by itself, as its own source
    file: str | None  # the key of its file of weights in `metrics.weights.FILES`

    @property
    def key(self) -> str:
        """Return the key of the configuration that holds the metric."""
        return f"metrics.{self.label}"

    @property
    def reads_features(self) -> bool:
        """Return whether the features of translations are compared with those of real images."""
        return self.reads in (Reads.FEATURES, Reads.SOURCE_FEATURES)

    @property
    def reads_source_features(self) -> bool:
        """Return whether the features of translations are compared with those of their sources, too."""
        return self.reads is Reads.SOURCE_FEATURES

    @property
    def extractor(self) -> str | None:
        """Return the extractor of protocol `independent`; None for other metrics."""
        name: str | None = getattr(self.metric, "extractor", None)
        return name

    def real_accumulator(self) -> Accumulator:
        """Return an empty accumulator of the features of real images."""
        maker = self.metric.real_accumulator if self.reads_source_features else self.metric.accumulator
        accumulator: Accumulator = maker()
        return accumulator

    @property
    def reads_classifier(self) -> bool:
        """Return whether the classifier of protocol `local` gives the scores."""
        return self.reads is Reads.CLASSIFIER

    @property
    def reads_outputs(self) -> bool:
        """Return whether several translations of each source are compared with each other."""
        return self.reads is Reads.OUTPUTS

    @property
    def reads_predictions(self) -> bool:
        """Return whether the labels that the model itself predicts give the scores."""
        return self.reads is Reads.PREDICTIONS

    @property
    def reads_classes(self) -> bool:
        """Return whether a classifier of the classes of real images gives the scores."""
        return self.reads is Reads.CLASSES

    @property
    def reads_translations(self) -> bool:
        """Return whether translations are read batch by batch."""
        return not (self.reads_classifier or self.reads_predictions or self.reads_classes)

    @property
    def num_sources(self) -> int | None:
        """Return how many sources of each task the metric reads at most; None: all."""
        limit: int | None = getattr(self.metric, "num_sources", None)
        return limit

    @property
    def loads_weights(self) -> bool:
        """Return whether the metric itself loads a file of weights; those of features belong to the evaluator."""
        return self.file is not None and not self.reads_features


def most_sources(specs: Sequence[MetricSpec]) -> int | None:
    """Return how many sources of each task some metrics of translations need at most; None: all."""
    limits = [spec.num_sources for spec in specs]
    return None if None in limits else max(limit for limit in limits if limit is not None)


def metric_specs(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[MetricSpec]]:
    """Return the configured metrics (label -> node) by protocol; UserError for a score that comes twice."""
    specs: dict[str, list[MetricSpec]] = {}
    scores: set[tuple[str, str]] = set()
    for label, node in nodes.items():
        name, arguments = node["name"], {key: value for key, value in node.items() if key != "name"}
        facts = METRICS.facts(name)
        protocol, read = facts.get("protocol"), facts.get("reads")
        if protocol not in PROTOCOLS or read not in list(Reads):
            raise UserError(
                f"the registration of metric {name!r} is not complete",
                key=f"metrics.{label}.name",
                expected=f"protocol=, one of {', '.join(PROTOCOLS)}, and reads=, one of {', '.join(Reads)}",
            )
        reads = Reads(read)
        try:
            metric = METRICS.get(name)(**arguments)
        except UserError as error:
            raise error.inside(f"metrics.{label}") from error
        for score in _scores(name, metric):
            if (protocol, score) in scores:
                raise UserError(f"another metric gives {score} of protocol {protocol} already", key=f"metrics.{label}")
            scores.add((protocol, score))
        file = facts.get("weights", PROTOCOLS[protocol].weights if reads is Reads.FEATURES else None)
        file = file or getattr(metric, "weights_file", None)
        specs.setdefault(protocol, []).append(
            MetricSpec(
                label,
                name,
                metric,
                arguments,
                reads,
                bool(facts.get("scores_real_images")),
                file,
            )
        )
    return specs


def _scores(name: str, metric: Any) -> list[str]:
    """Return the scores of a metric; of protocol `independent` only those of its extractor."""
    extractor = getattr(metric, "extractor", None)
    return [score for score in directions(name) if extractor is None or score.endswith(f"({extractor})")]
