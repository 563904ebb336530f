"""A stretch of a run that is trained again, and the comparison with what the run has recorded; needs no torch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from translate.errors import Phrase, UserError
from translate.runs import scores
from translate.runs.folder import RunFolder

SPEEDS = frozenset({"iterations_per_second", "images_per_second"})
"""Recorded values that no second run repeats. Records of terms have them, records of scores do not."""


@dataclass(frozen=True)
class Stretch:
    """The iterations ``begin + 1`` to ``end`` of a run, trained again from the state after ``start`` iterations."""

    run: RunFolder
    start: int  # the iteration of a checkpoint, at most `begin`; 0: from the beginning if no checkpoint is there
    begin: int
    end: int

    @property
    def start_file(self) -> Path | None:
        """Return the checkpoint from which the stretch is trained; None for the beginning of the run."""
        return self.run.checkpoints().get(self.start)

    @property
    def checkpoints(self) -> dict[int, list[Path]]:
        """Return the checkpoints within the stretch by iteration; the best one is among them."""
        paths = {i: [path] for i, path in self.run.checkpoints().items() if self.begin < i <= self.end}
        note = scores.read_best(scores.best_file(self.run.path))
        if note is not None and self.run.best_checkpoint.is_file():
            best = int(note["iteration"])
            if self.begin < best <= self.end:
                paths.setdefault(best, []).append(self.run.best_checkpoint)
        return dict(sorted(paths.items()))

    @property
    def settings_file(self) -> Path:
        """Return the file with the settings: the first checkpoint at the end or later, else config.yaml."""
        later = [path for iteration, path in self.run.checkpoints().items() if iteration >= self.end]
        return later[0] if later else self.run.config_file


def stretch_of(run: RunFolder, begin: int | None = None, end: int | None = None) -> Stretch:
    """Return the stretch from iteration ``begin`` to ``end``: by default between the last two checkpoints.

    UserError for a stretch that the run has not trained, and without a checkpoint to begin with.
    """
    kept = sorted(run.checkpoints())
    reached = max([*kept, *(line["iteration"] for line in run.records())], default=0)
    if not reached:
        raise UserError(f"{run} has trained nothing yet", key="run", expected="a run with checkpoints")
    if end is None:
        end = kept[-1] if kept else reached
    if end > reached:
        raise UserError("the run has not come so far", key="to", found=end, expected=f"at most {reached}")
    if begin is None:
        begin = max((iteration for iteration in kept if iteration < end), default=0)
    if begin >= end:
        raise UserError("the stretch has no iteration", key="from", found=begin, expected=f"less than to={end}")
    before = [iteration for iteration in kept if iteration <= begin]
    if not before and begin > 0:
        raise UserError(
            f"{run} holds no checkpoint of iteration {begin} or before",
            key="from",
            found=begin,
            expected=f"0, which is the beginning, or at least {kept[0]}" if kept else "0, which is the beginning",
            fix="train with keep_checkpoints=N to keep more of them",
        )
    return Stretch(run, max(before, default=0), begin, end)


# --- the comparison -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A value that differs."""

    iteration: int
    name: str
    size: float  # relative; infinite where one side lacks the value


@dataclass
class Comparison:
    """What was compared, and how far it differs at most. ``bound`` 0 means equal to the bit."""

    what: str
    bound: float = 0.0
    iterations: list[int] = field(default_factory=list)
    count: int = 0  # of values
    differences: list[Difference] = field(default_factory=list)

    def add(self, iteration: int, sizes: Mapping[str, float]) -> None:
        """Add the relative differences of the values of an iteration by name; 0 for an equal one."""
        self.iterations.append(iteration)
        self.count += len(sizes)
        self.differences += [Difference(iteration, name, size) for name, size in sizes.items() if size != 0]

    @property
    def greatest(self) -> Difference | None:
        """Return the greatest difference; None if all values are equal."""
        return max(self.differences, key=lambda difference: difference.size, default=None)

    @property
    def excessive(self) -> list[Difference]:
        """Return the differences beyond the bound, the earliest first."""
        return sorted((d for d in self.differences if not d.size <= self.bound), key=lambda d: d.iteration)


def compare_terms(stretch: Stretch, again: RunFolder, every: int, resumes: Iterable[int] = ()) -> Comparison:
    """Compare the recorded terms of a stretch with those of the replay in another folder, value by value.

    A record is a mean over the ``every`` iterations before it. One that a resume has cut short on one side only is left
    out; ``resumes`` are the iterations at which the run was resumed. A difference is relative to the greatest recorded
    value of its term in the stretch.
    """
    recorded, replayed = (_records(run, stretch) for run in (stretch.run, again))
    scale = _greatest(recorded)
    result = Comparison("terms")
    for iteration in _comparable(stretch, every, set(resumes)):
        before, now = recorded.get(iteration), replayed.get(iteration)
        if before is None or now is None:
            result.add(iteration, {"the record": math.inf})
            continue
        names = dict.fromkeys([*before, *now])
        result.add(iteration, {name: _relative(before.get(name), now.get(name), scale.get(name, 0)) for name in names})
    return result


def compare_means(
    stretch: Stretch, again: RunFolder, every: int, bound: float, resumes: Iterable[int] = ()
) -> Comparison:
    """Compare the means of the terms over the whole stretch, see `compare_terms`."""
    recorded, replayed = (_records(run, stretch) for run in (stretch.run, again))
    scale = _greatest(recorded)
    result = Comparison("means of terms", bound)
    iterations = _comparable(stretch, every, set(resumes))
    if any(iteration not in recorded or iteration not in replayed for iteration in iterations):
        result.add(stretch.end, {"a record": math.inf})
    elif iterations:
        before, now = (_means([records[iteration] for iteration in iterations]) for records in (recorded, replayed))
        names = dict.fromkeys([*before, *now])
        sizes = {name: _relative(before.get(name), now.get(name), scale.get(name, 0)) for name in names}
        result.add(stretch.end, sizes)
    return result


def _comparable(stretch: Stretch, every: int, resumes: set[int]) -> list[int]:
    """Return the iterations of the records that a resume has cut short on both sides or on none."""
    first = stretch.begin - stretch.begin % every + every
    iterations = []
    for iteration in range(first, stretch.end + 1, every):
        inside = range(iteration - every + 1, iteration)  # a resume there cuts the record short
        if {start for start in resumes if start in inside} == ({stretch.start} if stretch.start in inside else set()):
            iterations.append(iteration)
    return iterations


def _means(records: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the records that have it."""
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}


def _greatest(records: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Return the greatest absolute value of each term."""
    scale: dict[str, float] = {}
    for terms in records.values():
        for name, value in terms.items():
            scale[name] = max(scale.get(name, 0.0), abs(value))
    return scale


def _records(run: RunFolder, stretch: Stretch) -> dict[int, dict[str, float]]:
    """Return the recorded terms of a stretch by iteration, without speeds; the last record of an iteration counts.

    Records of scores are left out: a replay evaluates nothing.
    """
    return {
        line["iteration"]: {
            name: value
            for name, value in line.items()
            if name != "iteration" and name not in SPEEDS and isinstance(value, int | float)
        }
        for line in run.records()
        if stretch.begin < line["iteration"] <= stretch.end and not SPEEDS.isdisjoint(line)
    }


def _relative(before: float | None, now: float | None, scale: float) -> float:
    if before is None or now is None:
        return math.inf
    if before == now:
        return 0.0
    return abs(now - before) / scale if scale and math.isfinite(now) and math.isfinite(before) else math.inf


def require_comparison(comparisons: Iterable[Comparison], stretch: Stretch) -> None:
    """Raise UserError if nothing was recorded in a stretch, since a replay without comparison shows nothing."""
    if not any(each.iterations for each in comparisons):
        raise UserError(
            "the run has recorded nothing in this stretch",
            key="to",
            found=Phrase(f"iterations {stretch.begin + 1} to {stretch.end}"),
            expected="a stretch with a record or a checkpoint",
        )
