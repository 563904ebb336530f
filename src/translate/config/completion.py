"""Completion of overrides by Hydra: the keys of the composed configuration and their present values."""

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.utils import create_config_search_path

from translate.config.hydra_search import join_search_path
from translate.config.resolvers import register_resolvers
from translate.config.search_path import shipped


def complete_override(word: str, before: Sequence[str], config_name: str) -> list[str]:
    """Return the overrides that begin with ``word``, for the configuration of the words before it."""
    register_resolvers()
    join_search_path()
    loader = ConfigLoaderImpl(create_config_search_path(str(shipped("conf"))))
    try:
        return list(BashCompletion(loader)._query(config_name, " ".join([*before, word])))
    except Exception:  # a line that is half typed cannot always be composed, and a message would destroy the prompt
        return []
