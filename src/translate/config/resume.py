"""Go on with a run: from its folder, or with the newest unfinished run of the same experiment."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from translate.config import check as checks
from translate.config.compose import Prepared, compose, take_named_code
from translate.config.datasets import open_datasets
from translate.config.length import UNKNOWN_LENGTH, OfLength
from translate.config.overrides import apply, is_choice, read
from translate.config.schema import RESULT_NEUTRAL_KEYS, RunConfig, experiment_key, read_yaml, to_mapping
from translate.config.search_path import groups
from translate.config.tree import plain
from translate.downloads.remote import is_address
from translate.errors import ConfigError, Problem, Problems, UserError
from translate.files.reading import require_file
from translate.metrics.selection import protocol_of
from translate.runs import remote_runs, scores
from translate.runs.folder import CONFIG_FILE, LAST, RUNS, RunFolder, run_folders
from translate.runs.records import read_records

REQUIRED = ("model.name", "model.networks", "data.name", "trainer", "seed", "iterations")
"""Keys without which a saved configuration is not whole, before it is checked."""

log = logging.getLogger("translate")

CHANGEABLE_GROUPS = ("trainer", "logger", "metrics")
"""Groups that may be chosen anew when a run goes on: they cannot change what it computes."""

_LENGTH = frozenset({"iterations"})  # a longer run of the same experiment begins with the shorter one


def resumed(folder: Path, overrides: Sequence[str], config_dir: str | None = None) -> RunConfig:
    """Return the configuration of a resumed run, see `prepare_resumed`."""
    return prepare_resumed(folder, overrides, config_dir).config


def prepare_resumed(
    folder: Path, overrides: Sequence[str], config_dir: str | None = None, place: str | None = None
) -> Prepared:
    """Return the saved configuration of a run folder with the overrides applied, checked, and its open data sets.

    ``overrides`` are those of the command line without ``resume``. Values can be set. Of the groups, only those that
    cannot change the result can be chosen. ``place`` is the folder or address as the user wrote it. ConfigError with
    all problems.
    """
    check_folder(folder)
    prepared = prepare_saved(read_yaml(folder / CONFIG_FILE, REQUIRED), overrides, config_dir)
    config = prepared.config
    return replace(prepared, config=replace(config, resume=str(folder), folder=_folder_of(config, folder, place)))


def prepare_saved(saved: Mapping[str, Any], overrides: Sequence[str], config_dir: str | None = None) -> Prepared:
    """Return the configuration that a run has saved, with the overrides applied, see `prepare_resumed`."""
    problems: Problems = []
    take_named_code(overrides)
    tree = OmegaConf.create({**saved, "trust": []})
    OmegaConf.set_struct(tree, True)
    known = groups(Path(config_dir) if config_dir else None)
    for override in read(overrides, problems):
        group = override.key_or_group
        if group == "budget":
            fix = f"set iterations=N, at present {tree.iterations}"
            problems.append(Problem("a resumed run keeps its length", key=override.input_line or "", fix=fix))
        elif group.partition(".")[0] == "start_from":
            fix = "leave it out: the checkpoint has all weights"
            problems.append(Problem("a resumed run has begun already", key=override.input_line or "", fix=fix))
        elif not is_choice(override, known):
            if problem := apply(tree, override, known):
                problems.append(problem)
        elif group in CHANGEABLE_GROUPS and isinstance(override.value(), str):
            chosen = compose([str(override.input_line)], config_dir=config_dir, problems=problems)
            if chosen is not None:
                tree[group] = chosen[group]
        else:
            fix = f"set values, such as iterations=200000, or choose one of the groups {', '.join(CHANGEABLE_GROUPS)}"
            problems.append(Problem(f"a resumed run keeps its {group}", key=override.input_line or "", fix=fix))
    datasets = None if problems else open_datasets(tree, problems)
    config = checks.parse(plain(tree, problems), problems)
    if config is None or problems:
        raise ConfigError(problems)
    if config.iterations == UNKNOWN_LENGTH:  # imported weights, in a folder that has not trained
        raise UserError("a resumed run needs its number of iterations", key="iterations", fix="write iterations=N")
    return Prepared(config, datasets)


def _folder_of(config: RunConfig, folder: Path, place: str | None) -> str:
    """Return the folder of a resumed run: its address if it has been copied there and still may be, else the path."""
    if is_address(place):
        return str(place)
    if remote_runs.is_copied(config.folder, folder):
        return str(config.folder)
    if is_address(config.folder):
        log.warning("the run is no longer copied to %s; resume=ADDRESS continues with copies", config.folder)
    return str(folder)


def check_folder(folder: Path) -> None:
    """Raise UserError unless the folder holds a run that can be resumed."""
    if not folder.is_dir():
        inside = next((p for p in folder.parents if RunFolder(p).is_run()), None)
        raise UserError(
            f"{folder} is {'a file' if folder.is_file() else 'not there'}",
            key="resume",
            expected="a run folder, runs/<name>/<time>, or auto",
            fix=f"write resume={inside}" if inside else "",
        )
    run = RunFolder(folder).require_run("resume")
    if run.newest_iteration() is None:
        raise UserError(f"{folder} holds no checkpoint", key="resume", fix="begin the run again, without resume")
    check_files(run)


def check_files(run: RunFolder) -> None:
    """Raise UserError if a file of a run that a resume reads or adds to is damaged, before anything is changed."""
    for path in (*run.checkpoints().values(), *filter(os.path.lexists, [run.best_checkpoint])):
        require_file(path)
    for _ in read_records(run.metrics):
        pass
    run.noted_data()
    run.machines()
    run.overrides()
    scores.check(run.path)


def unfinished(config: RunConfig, runs: Path = RUNS, of_length: OfLength | None = None) -> Path | None:
    """Return the folder of the newest run of the same experiment that has a checkpoint and is not finished.

    Runs are the same experiment if name and configuration agree without the keys that cannot change results;
    the number of iterations may differ, and decides with `config` whether a run is finished. One that was killed
    while it was evaluated is not. A budget that is not yet converted (``of_length``) means runs of the same budget.
    """
    best: tuple[float, Path] | None = None
    for folder in run_folders(runs):
        newest = folder.newest_iteration()
        if newest is None:
            continue
        saved = read_yaml(folder.config_file)
        wanted = as_long_as(config, saved, of_length)
        if newest > wanted.iterations:
            continue
        if newest == wanted.iterations and (saved.get("iterations") != newest or _measured(wanted, folder.path)):
            continue
        if saved.get("name") != config.name or not same_experiment(wanted, saved, RESULT_NEUTRAL_KEYS | _LENGTH):
            continue
        written = max(path.stat().st_mtime for path in folder.checkpoints().values())
        if best is None or written > best[0]:
            best = (written, folder.path)
    return best[1] if best else None


def as_long_as(config: RunConfig, saved: Mapping[str, Any], of_length: OfLength | None) -> RunConfig:
    """Return a configuration with the number of iterations of a saved run of the same budget, if it has one.

    Other configurations are returned as they are.
    """
    if of_length is None or saved.get("budget") != config.budget or not saved.get("iterations"):
        return config
    return replace(of_length(saved["iterations"]), folder=config.folder)


def same_experiment(config: RunConfig, saved: Mapping[str, Any], without: frozenset[str] = RESULT_NEUTRAL_KEYS) -> bool:
    """Tell whether a saved configuration agrees with `config` in all keys that can change the result."""
    return experiment_key(saved, without) == experiment_key(to_mapping(config), without)


def finished(config: RunConfig, folder: Path, of_length: OfLength | None = None) -> bool:
    """Tell whether a folder holds this very experiment, trained to its end and evaluated."""
    if not RunFolder(folder).is_run():
        return False
    saved = read_yaml(folder / CONFIG_FILE)
    config = as_long_as(config, saved, of_length)
    if RunFolder(folder).newest_iteration() != config.iterations:
        return False
    return _measured(config, folder) and same_experiment(config, saved)


def _measured(config: RunConfig, folder: Path) -> bool:
    """Return whether a folder holds the scores of the last checkpoint by every configured protocol."""
    protocols = {protocol_of(node["name"]) for node in config.metrics.values()}
    return protocols <= {
        result.request.protocol
        for _, result in scores.of_run(folder)
        if result.checkpoint == LAST and result.request.iteration == config.iterations
    }


def going_on(config: RunConfig, folder: Path, of_length: OfLength | None = None) -> Path | None:
    """Return the folder if it holds a run of this experiment with a checkpoint, None without a checkpoint.

    Raises UserError if the folder holds another experiment, or a damaged file.
    """
    check_files(RunFolder(folder).require_run("folder"))
    saved = read_yaml(folder / CONFIG_FILE)
    config = as_long_as(config, saved, of_length)
    without = RESULT_NEUTRAL_KEYS | _LENGTH
    if not same_experiment(config, saved, without):
        now, before = experiment_key(to_mapping(config), without), experiment_key(saved, without)
        key = min(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        raise UserError(
            f"{folder} holds another experiment, its {key} is {before.get(key)}, not {now.get(key)}",
            key="folder",
            fix="name a new folder",
        )
    return folder if RunFolder(folder).newest_iteration() is not None else None
