"""Hydra's view of `search_path`: a search-path plug-in and a source for the group `experiments`."""

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from translate.config.renamed import rename_defaults
from translate.config.search_path import EXPERIMENTS, experiment_folders, shipped
from translate.errors import UserError, first_line
from translate.files.yaml_files import checked_text
from translate.registry import plugins


class CheckedSource(FileConfigSource):
    """Serves a folder of configuration that can come from anybody, see `translate.files.yaml_files`."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the search path's entries."""
        return "checked"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file; UserError for one that is not safe to load."""
        if (path := Path(self.path, self._normalize_file_name(config_path))).exists():
            checked_text(path)
        try:
            return super().load_config(config_path)
        except (ValueError, OSError) as error:  # of its first comments, or one number instead of a mapping
            raise UserError(f"this is no configuration ({first_line(error)})", key=str(path)) from error


class ExperimentsSource(CheckedSource):
    """Serves the group `experiments`, and nothing else, from the folder that holds a folder of that name."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the search path's entries."""
        return EXPERIMENTS

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file; an experiment may set any key, so it needs no line `@package _global_`."""
        result = super().load_config(config_path)
        if isinstance(result.config, DictConfig) and "defaults" in result.config:
            rename_defaults(result.config.defaults)
        result.header["package"] = result.header.get("package") or "_global_"
        return result

    def is_group(self, config_path: str) -> bool:
        """Tell whether a folder of that name is there."""
        return config_path == "" or (_is_ours(config_path) and super().is_group(config_path))

    def is_config(self, config_path: str) -> bool:
        """Tell whether a file of that name is there."""
        return _is_ours(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> "list[str]":
        """Return the groups and files in a group."""
        if config_path == "":
            return [EXPERIMENTS] if results_filter in (None, ObjectType.GROUP) else []
        return super().list(config_path, results_filter)


class TranslateSearchPath(SearchPathPlugin):
    """Adds plug-ins and experiments to applications whose main folder is our `conf`, and only to them."""

    config_dir: str | None = None  # what -cd says; Hydra adds it by itself only when it reads the command line

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append our entries after Hydra's."""
        main = str(shipped("conf"))
        if not any(item.provider == "main" and item.path.endswith(main) for item in search_path.get_path()):
            return
        for folder in experiment_folders():
            search_path.append(EXPERIMENTS, f"{EXPERIMENTS}://{folder.parent}")
        for owner, folder in plugins.conf_folders().items():
            search_path.append(owner, f"checked://{folder}")
        if self.config_dir is not None:
            search_path.append("command-line", f"checked://{Path(self.config_dir).resolve()}")


def join_search_path(config_dir: str | None = None) -> None:
    """Let Hydra find our folders from now on, and `config_dir` (-cd) too."""
    TranslateSearchPath.config_dir = config_dir
    registered = Plugins.instance()
    registered.register(TranslateSearchPath)
    registered.register(CheckedSource)
    registered.register(ExperimentsSource)


def _is_ours(config_path: str) -> bool:
    return config_path.split("/")[0] == EXPERIMENTS
