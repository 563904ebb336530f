"""The progress of style transfer by optimization: a bar in a terminal or notebook, elsewhere lines in the log."""

import logging

from tqdm import tqdm

from translate.console import is_interactive
from translate.errors import printable
from translate.inference.inputs import Source
from translate.inference.stylize import Progress

log = logging.getLogger("translate")

LOG_EVERY = 25  # evaluations between lines in the log


class ProgressBar:
    """Show evaluations of ``total`` ones, those of all images."""

    def __init__(self, total: int) -> None:
        self.bar = tqdm(total=total, unit=" evaluations", disable=not is_interactive(), dynamic_ncols=True)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def update(self, source: Source, progress: Progress) -> None:
        """Show an evaluation."""
        now, total = progress.evaluation, progress.total
        self.bar.set_description(printable(source.name), refresh=False)
        self.bar.set_postfix(loss=f"{progress.loss:.5g}", refresh=False)
        self.bar.update()
        if self.bar.disable and (now % LOG_EVERY == 0 or now in (1, total)):
            log.info("%s: evaluation %d of %d, loss %.5g", printable(source.name), now, total, progress.loss)
