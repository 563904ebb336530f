"""The values of a composed tree, as dicts and lists."""

from typing import TYPE_CHECKING, Any

from translate.config import stages
from translate.config.types import MISSING, UNKNOWN
from translate.errors import Problem, Problems, first_line

if TYPE_CHECKING:  # `list`, `schema` and `check` of plain trees need no OmegaConf
    from omegaconf import DictConfig

NOT_OF_A_RUN = (stages.STAGE, stages.STAGES)
"""Keys of the root that say which run is meant, and are no part of its configuration."""


def plain(tree: "DictConfig", problems: Problems, only: str | None = None) -> dict[str, Any]:
    """Return the tree without interpolations as dicts and lists; `only` resolves a single key of the root.

    What cannot be resolved is reported and becomes UNKNOWN; a missing value stays ???. UserError for interpolations
    without end, see `bounded`.
    """
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

    from translate.config.interpolations import bounded

    def walk(node: Any, key: Any, path: str) -> Any:
        if OmegaConf.is_missing(node, key):
            return MISSING
        try:
            value = node[key]
        except InterpolationToMissingValueError:
            return UNKNOWN  # the missing value itself is reported
        except OmegaConfBaseException as error:
            problems.append(Problem(first_line(error), key=path))
            return UNKNOWN
        if isinstance(value, DictConfig):
            return {str(name): walk(value, name, f"{path}.{name!s}") for name in value}
        if isinstance(value, ListConfig):
            return [walk(value, index, f"{path}[{index}]") for index in range(len(value))]
        return value

    with bounded():
        return {str(key): walk(tree, key, str(key)) for key in tree if only in (None, key) and key not in NOT_OF_A_RUN}
