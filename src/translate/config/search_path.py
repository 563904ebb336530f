"""Where configuration is found: our `conf`, that of plug-ins, and the folders of experiments.

The group `experiments` is special: what is typed is the path on disk below a folder of that name, first
beside the user's working directory, then the shipped one. The folders beside it (the user's `data/`, say)
must not become groups, hence a source of our own (`hydra_search`) instead of the working directory on Hydra's
search path. Nothing here imports Hydra, since listing needs the folders only.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import translate
from translate.errors import UserError
from translate.registry import plugins

EXPERIMENTS = "experiments"
_SKIPPED = {"__pycache__", "hydra", "paper", "sweep"}  # the last two are read by the commands `table` and `sweep`


def shipped(part: str) -> Path:
    """Return the folder of `conf` or `experiments`: that of the source tree, else the installed package's.

    A source tree comes first because another checkout may run beside the installed one, see `benchmark --compare`.
    """
    source = Path(translate.__file__).parents[1]
    if source.name == "src" and (source.parent / part).is_dir():
        return source.parent / part
    spec = importlib.util.find_spec(f"translate.{part}")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    raise UserError(f"the folder {part!r} of the package 'translate' is not found; install it again: pip install -e .")


def conf_folders() -> list[tuple[str, Path]]:
    """Return (owner, folder) of every configuration folder, ours first."""
    return [("translate", shipped("conf")), *plugins.conf_folders().items()]


def experiment_folders() -> list[Path]:
    """Return the folders of experiments as they are searched: the user's, the shipped, those of plug-ins."""
    found = [
        Path.cwd() / EXPERIMENTS,
        shipped(EXPERIMENTS),
        *(f / EXPERIMENTS for f in plugins.conf_folders().values()),
    ]
    return list({folder.resolve(): folder for folder in found if folder.is_dir()}.values())


def groups(config_dir: Path | None = None) -> dict[str, dict[str, Path]]:
    """Return every configuration group with its options and their files: `trainer -> {cpu: .../cpu.yaml}`.

    `config_dir` is a further folder of configuration (-cd).
    """
    found: dict[str, dict[str, Path]] = {EXPERIMENTS: {}}
    for folder in experiment_folders():
        found[EXPERIMENTS] = dict(_options(folder)) | found[EXPERIMENTS]
    folders = [folder for _, folder in conf_folders()] + ([config_dir] if config_dir else [])
    for folder in folders:
        for group in sorted(p for p in folder.iterdir() if p.is_dir() and p.name not in _SKIPPED):
            if options := dict(_options(group)):
                found[group.name] = options | found.get(group.name, {})
    return found


def _options(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.yaml")):
        yield path.relative_to(folder).with_suffix("").as_posix(), path
