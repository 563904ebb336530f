"""Train a stretch of a run again, and compare it with what the run has recorded."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from translate import signals
from translate.config.command_line import SingleRun
from translate.config.replay import PreparedReplay
from translate.config.schema import RunConfig, to_yaml
from translate.files.writing import atomic_write
from translate.runs import headers
from translate.runs.folder import RunFolder
from translate.runs.machine import changes
from translate.runs.stretch import Comparison, Stretch, compare_means, compare_terms, require_comparison
from translate.training import run
from translate.training.callbacks.comparing import Comparing

MEANS_BOUND = 0.3
"""On other machines: the difference of a term's mean over the stretch, relative to its greatest recorded value."""

WEIGHTS_BOUND = 1.2
"""On other machines: how far apart the weights of a network end, relative to the way they went, see `Comparing`."""


@dataclass(frozen=True)
class Replay:
    """The result of a replay. ``reasons`` say why bits may differ; without any, they must not."""

    stretch: Stretch
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """Return whether nothing differs beyond its bound."""
        return not any(each.excessive for each in self.comparisons)


def replay(
    stretch: Stretch,
    prepared: PreparedReplay,
    output: RunFolder,
    joined: Callable[[SingleRun], AbstractContextManager[None]],
) -> Replay | int:
    """Train a stretch again in another folder, and return the comparison, or the exit code of a run that has stopped.

    ``joined`` lets other processes join. The recorded run is read and never written.
    """
    config, datasets = prepared.prepared.config, prepared.prepared.datasets
    _prepare_folder(stretch, output, to_yaml(config))
    resume_from = None if stretch.start_file is None else output.path
    comparing = Comparing(stretch.checkpoints, WEIGHTS_BOUND)
    with joined(SingleRun(config, output.path, resume_from, (), datasets)):
        code = run.train(config, output.path, resume_from, (), datasets, observers=(comparing,), again=signals.AGAIN)
    if code:
        return code
    resumes = [start for start, _ in stretch.run.machines() if start > 0]
    reasons = (*_other_machine(stretch, output), *prepared.changes, *_without_determinism(config, output))
    comparisons = (
        (compare_means(stretch, output, config.log_every, MEANS_BOUND, resumes), comparing.networks)
        if reasons
        else (compare_terms(stretch, output, config.log_every, resumes), comparing.tensors)
    )
    require_comparison(comparisons, stretch)
    return Replay(stretch, reasons, comparisons)


def _prepare_folder(stretch: Stretch, output: RunFolder, config_yaml: str) -> None:
    """Give a folder the configuration, the notes on data and the checkpoint with which the stretch begins."""
    if stretch.start_file is not None:
        atomic_write(output.config_file, config_yaml)
        output.checkpoint(stretch.start).parent.mkdir(parents=True, exist_ok=True)
        headers.read(stretch.start_file)  # refuses another file before it is copied
        shutil.copyfile(stretch.start_file, output.checkpoint(stretch.start))
    if stretch.run.data_file.is_file():
        output.path.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stretch.run.data_file, output.data_file)


def _other_machine(stretch: Stretch, output: RunFolder) -> list[str]:
    """Return how the machine of the replay differs from those on which the run trained the stretch."""
    notes = stretch.run.machines()
    begun = [start for start, _ in notes if start <= stretch.start]
    trained = [kind for start, kind in notes if begun and begun[-1] <= start < stretch.end]
    if not trained:
        return ["the run has not recorded its kind of machine"]
    now = output.machines()[-1][1]
    return list(dict.fromkeys(change for kind in trained for change in changes(kind, now)))


def _without_determinism(config: RunConfig, output: RunFolder) -> list[str]:
    """Return the reason why a GPU does not repeat its own bits, if it need not."""
    if output.machines()[-1][1]["libraries"] and config.trainer.deterministic is not True:
        return ["a GPU repeats its bits with trainer.deterministic=true only"]
    return []
