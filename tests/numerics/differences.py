"""The differences of an iteration from its golden numbers: the greatest one of each kind, relative, and where it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from torch import Tensor

from numerics.formula import summary
from translate.models.base import TranslationModel


@dataclass
class Differences:
    """The greatest difference of each kind, such as "term", "gradient" or "weight", and the name of its number."""

    worst: dict[str, tuple[float, str]] = field(default_factory=dict)

    def compare(self, kind: str, name: str, own: float, wanted: float, least: float = 0.0) -> None:
        """Note the difference of a number from the wanted one, relative to that one, or to ``least`` if it is less."""
        difference = abs(own - wanted) / max(abs(wanted), least)
        self.worst[kind] = max(self.worst.get(kind, (0.0, "")), (difference, name))

    def compare_summary(self, kind: str, name: str, value: Tensor, wanted: Sequence[float]) -> None:
        """Note the differences of mean, rms and projection, of small ones relative to a hundredth."""
        for own, number in zip(summary(value), wanted, strict=True):
            self.compare(kind, name, own, number, 1e-2)

    def compare_state(self, role: str, state: Mapping[str, Tensor], wanted: Mapping[str, Sequence[float]]) -> None:
        """Note the differences of all tensors of a network as "weight", or "statistics" for those of batch norms."""
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
        assert state.keys() == wanted.keys()
        for key, value in state.items():
            self.compare_summary("statistics" if "running" in key else "weight", f"{role}.{key}", value, wanted[key])

    def check(self, bounds: Mapping[str, float]) -> None:
        """Assert that the kinds are those of ``bounds`` and that each greatest difference is below its bound."""
        assert self.worst.keys() == bounds.keys()
        for kind, (difference, name) in self.worst.items():
            assert difference < bounds[kind], (kind, name, difference)


def record_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models keep the terms of an iteration as they are; a run keeps them in float32."""

    def record(self: TranslationModel, name: str, value: Tensor) -> None:
        self._recorded[0][name] = value.detach()

    monkeypatch.setattr(TranslationModel, "record", record)
