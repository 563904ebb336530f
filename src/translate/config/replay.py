"""The configuration of a replay: that of the recorded stretch, with nothing beside training itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.config.compose import Prepared
from translate.config.resume import REQUIRED, prepare_saved
from translate.config.schema import RESULT_NEUTRAL_KEYS, experiment_key, of_today, read_yaml, to_mapping
from translate.errors import UserError
from translate.files.reading import loads
from translate.runs import headers
from translate.runs.saved_config import require_shape
from translate.runs.stretch import Stretch

KEYS = ("data", "trainer", "trust", "plugins")
"""The first parts of keys that may differ from those of the recorded run, if results do not depend on them."""

PLACES = ("root", "path")
"""The last parts of keys that say where data is, which may be elsewhere on another machine."""

WITHOUT_ROUNDING = ("emulate_bf16", "hang_timeout", "keep_memory")
"""Settings of the trainer that change no bit."""


@dataclass(frozen=True)
class PreparedReplay:
    """A checked replay, and the settings of this stretch that may change the rounding of its results."""

    prepared: Prepared
    changes: tuple[str, ...]


def prepare_replay(stretch: Stretch, output: Path, overrides: Sequence[str] = ()) -> PreparedReplay:
    """Return the configuration that trains a stretch again in the folder ``output``.

    UserError for settings that were changed within the stretch, and for overrides that change results.
    """
    saved = saved_configuration(stretch.settings_file)
    _require_constant(stretch, saved)
    without_records = {
        **saved,
        "iterations": stretch.end,
        "checkpoint_every": stretch.end,
        "keep_checkpoints": 1,
        **dict.fromkeys(("sample_every", "evaluate_every", "best", "budget", "expected")),
        "metrics": {},
        "logger": {},
        "folder": str(output),
        "resume": None if stretch.start_file is None else str(output),
    }
    prepared = prepare_saved(without_records, overrides)
    now = to_mapping(prepared.config)
    before, after = (_experiment(tree) for tree in (saved, now))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            raise UserError(
                "a replay keeps what its results depend on",
                key=key,
                found=after.get(key),
                expected=f"{before.get(key)!r}, as in the run",
            )
    trainers: list[Mapping[str, Any]] = [saved["trainer"], now["trainer"]]
    changes = tuple(
        f"trainer.{key} {trainers[0].get(key)}, now {trainers[1].get(key)}"
        for key in trainers[1]
        if key not in WITHOUT_ROUNDING and trainers[0].get(key) != trainers[1].get(key)
    )
    return PreparedReplay(prepared, changes)


def saved_configuration(path: Path) -> dict[str, Any]:
    """Return the configuration in config.yaml, or in the header of a checkpoint; UserError for another file."""
    if path.suffix == ".yaml":
        return read_yaml(path, REQUIRED)
    try:
        saved = loads(headers.read(path).metadata["config"])
    except (KeyError, ValueError) as error:
        raise UserError("the header of this checkpoint holds no configuration", key=str(path)) from error
    if not isinstance(saved, dict):
        raise UserError("the header of this checkpoint holds no configuration", key=str(path))
    require_shape(saved, str(path), REQUIRED)
    return of_today(saved)


def _require_constant(stretch: Stretch, settings: Mapping[str, Any]) -> None:
    """Raise UserError if a checkpoint within the stretch was written with other settings than those at its end."""
    wanted = _experiment(settings)
    for iteration, paths in stretch.checkpoints.items():
        for path in paths:
            found = _experiment(saved_configuration(path))
            key = next((key for key in sorted(wanted.keys() | found.keys()) if wanted.get(key) != found.get(key)), None)
            if key is not None:
                raise UserError(
                    f"the run was resumed with another {key} after iteration {iteration}",
                    key="to",
                    found=stretch.end,
                    expected="a stretch without such a resume",
                    fix=f"to={iteration} or from={iteration}",
                )


def _experiment(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that results depend on, without the places of data."""
    key = experiment_key(tree, RESULT_NEUTRAL_KEYS | {"iterations"})
    return {name: value for name, value in key.items() if not (name.startswith("data.") and _last(name) in PLACES)}


def _last(key: str) -> str:
    return key.rpartition(".")[2]
