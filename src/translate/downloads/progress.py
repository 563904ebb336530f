"""Show the progress of a download: a bar on a terminal, plain lines in a log."""

import contextlib
import sys
import time

from tqdm import tqdm

from translate.console import is_interactive

LINE_EVERY = 10.0
"""Seconds between two lines where no bar can be drawn."""


def say(text: str) -> None:
    """Write a line to stderr, above the bar if there is one; stdout is for results."""
    tqdm.write(text, file=sys.stderr)


def in_units(count: float) -> str:
    """Return a number of bytes with three digits, in powers of 1000.

    >>> in_units(116867962), in_units(1476754427)
    ('117MB', '1.48GB')
    """
    return tqdm.format_sizeof(count, "B")


class Progress(contextlib.AbstractContextManager["Progress"]):
    """Show the number of bytes done, of a total that may be unknown (None)."""

    def __init__(self, label: str, total: int | None = None) -> None:
        self.label, self.total = label, total
        self._bar = None
        if is_interactive():
            self._bar = tqdm(desc=label, total=total, unit="B", unit_scale=True, dynamic_ncols=True)
        self._initial: int | None = None  # bytes that are not of this transfer, so that they do not raise the rate
        self._start = self._last_line = time.monotonic()

    def update(self, done: int, total: int | None = None) -> None:
        """Set the bytes done, and the total once it is known; ``done`` is smaller when a transfer restarts."""
        self.total = self.total if total is None else total
        if self._initial is None or done < self._initial:
            self._initial = done
        now = time.monotonic()
        if self._bar is not None:
            self._bar.total, self._bar.initial = self.total, self._initial
            self._bar.update(done - self._bar.n)
        elif now - self._last_line >= LINE_EVERY:
            self._last_line, elapsed = now, now - self._start
            shown = tqdm.format_meter(
                done,
                self.total,  # type: ignore[arg-type] # None is allowed
                elapsed,
                ncols=0,
                prefix=self.label,
                unit="B",
                unit_scale=True,
                initial=self._initial,
            )
            say(shown)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
