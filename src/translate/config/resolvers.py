"""The interpolations of this project, such as `${epochs:200}`."""

import math
from typing import Any

from omegaconf import OmegaConf

from translate.config import stages
from translate.config.length import NOMINAL
from translate.errors import UserError


def register_resolvers() -> None:
    """Make our resolvers known to OmegaConf.

    `${len:LIST}` is the length of a list. `${epochs:N}` is N epochs in iterations, an epoch being as many batches as
    hold `data.epoch_size` images; `${epochs:N,TIMES}` is so many times N epochs. `${share:0.5}` is so much
    of the run's iterations, at least one of them; of `NOMINAL` while a budget has yet to decide.
    `${stage:NAME}` is the run folder of another stage of the experiment, beside that of this run.
    `${variant:{paper: X, official_code: Y}}` is what the root's `variant` chooses.
    """

    def epochs(count: float, times: float = 1, *, _root_: Any) -> int:
        return round(count * times * math.ceil(_root_.data.epoch_size / _root_.data.batch_size))

    def share(part: float, *, _root_: Any) -> int:
        if not isinstance(part, int | float):
            raise UserError(key="share", found=part, expected="a number, as in ${share:0.5}")
        whole = NOMINAL if _root_.iterations is None else _root_.iterations
        return max(1, round(part * whole)) if isinstance(whole, int | float) else 1  # not a number: reported at its key

    def stage(name: str, *, _root_: Any) -> str:
        return stages.folder_of(name, _root_.folder)

    def variant(choices: Any, *, _root_: Any) -> Any:
        return choices[_root_.variant]

    OmegaConf.register_new_resolver("len", len, replace=True)
    OmegaConf.register_new_resolver("epochs", epochs, replace=True)
    OmegaConf.register_new_resolver("share", share, replace=True)
    OmegaConf.register_new_resolver("stage", stage, replace=True)
    OmegaConf.register_new_resolver("variant", variant, replace=True)
