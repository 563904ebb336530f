"""The results of a study: a table of its trials, the best trials, and plots."""

import csv
import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from translate.files.writing import atomic_open, atomic_write

FOLDER, WHY, INSTEAD_OF = "folder", "why", "instead of"
"""User attributes of a trial: its run folder, the reason of its failure, the number of the trial that it continues."""


def trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of a study without those that a requeued trial continues."""
    every = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get(INSTEAD_OF) for trial in every}
    return [trial for trial in every if trial.number not in continued]


def write(study: optuna.Study, folder: Path, objectives: Sequence[str]) -> list[str]:
    """Write trials.csv, best.md and the plots; return the lines to print."""
    write_table(study, folder, objectives)
    states = [trial.state for trial in trials(study)]
    best = study.best_trials if TrialState.COMPLETE in states else []
    states_in_words = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    lines = [
        f"{len(states)} trials: {', '.join(f'{states.count(state)} {word}' for state, word in states_in_words.items())}"
    ]
    if best:
        text = markdown(best, objectives)
        atomic_write(folder / "best.md", text)
        lines += ["the best trial:" if len(objectives) == 1 else "the Pareto front:", text]
    lines.append("plots: " + (", ".join(draw(study, folder, objectives)) or "none yet"))
    return lines


def write_table(study: optuna.Study, folder: Path, objectives: Sequence[str]) -> None:
    """Write trials.csv, with one line per trial."""
    every = trials(study)
    keys = list(dict.fromkeys(key for trial in every for key in trial.params))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *objectives, *keys, "folder", "why"])
    for trial in every:
        complete = trial.state == TrialState.COMPLETE
        values: list[Any] = list(trial.values) if complete else [""] * len(objectives)
        notes = [trial.user_attrs.get(FOLDER, ""), trial.user_attrs.get(WHY, "")]
        writer.writerow(
            [trial.number, trial.state.name.lower(), *values, *(trial.params.get(k, "") for k in keys), *notes]
        )
    atomic_write(folder / "trials.csv", text.getvalue())


def markdown(chosen: Sequence[FrozenTrial], objectives: Sequence[str]) -> str:
    """Return trials as a Markdown table."""
    keys = list(dict.fromkeys(key for trial in chosen for key in trial.params))
    heads = ["trial", *objectives, *keys, "folder"]
    lines = [heads, ["---"] * len(heads)]
    for trial in sorted(chosen, key=lambda trial: trial.values[0]):
        numbers = [f"{value:.5g}" for value in trial.values]
        values = [f"{v:.4g}" if isinstance(v := trial.params.get(key, ""), float) else str(v) for key in keys]
        lines.append([str(trial.number), *numbers, *values, str(trial.user_attrs.get(FOLDER, ""))])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def draw(study: optuna.Study, folder: Path, objectives: Sequence[str]) -> list[str]:
    """Write the possible plots; return the names of the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return []
    wanted: dict[str, Callable[[], Any]] = {}
    for k, name in enumerate(objectives):
        end = "" if len(objectives) == 1 else f"_{k + 1}"
        of: dict[str, Any] = {"target": _value(k), "target_name": name}
        wanted[f"history{end}"] = partial(plots.plot_optimization_history, study, **of)
        wanted[f"slices{end}"] = partial(plots.plot_slice, study, **of)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        wanted[f"importances{end}"] = partial(plots.plot_param_importances, study, evaluator=evaluator, **of)
    if len(objectives) in (2, 3):
        wanted["pareto_front"] = partial(plots.plot_pareto_front, study, target_names=list(objectives))
    if any(trial.intermediate_values for trial in complete):
        wanted["intermediate_values"] = partial(plots.plot_intermediate_values, study)
    written = []
    for name, plot in wanted.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this part of Optuna is experimental, that an axis has one value
            try:
                axes = plot()
            except (ValueError, RuntimeError):  # too few trials, or all of one value
                pyplot.close("all")
                continue
            figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
            if hasattr(axes, "flat"):  # a panel a parameter, whose names are long
                figure.set_size_inches(4.5 * axes.size, 4.5)
            with atomic_open(folder / f"{name}.png", durable=False) as file:
                figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
            pyplot.close("all")
        written.append(f"{name}.png")
    return written


def _value(k: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[k]
