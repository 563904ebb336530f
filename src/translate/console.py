"""The terminal: the log as plain messages, whether a progress bar can be drawn, and text wrapped to the width."""

import logging
import shutil
import sys
import textwrap
import warnings
from typing import TextIO

MIN_WIDTH, DEFAULT_SIZE = 40, (110, 24)

EXPECTED_WARNINGS = (
    "does not have many workers",
    "Missing logger folder",
    "`training_step` returned `None`",
    "in eval mode at",
    "LeafSpec",
    "smaller than the logging interval",
)
"""Parts of warnings by Lightning and torch about choices that this package makes on purpose."""


class Terminal(logging.StreamHandler[TextIO]):
    """Write the bare messages of the log for a person to read."""


def setup_logging(verbose: bool = True) -> None:
    """Send the log of the package to stderr as bare messages, and silence expected warnings of Lightning.

    Without ``verbose``, as in all processes of a run but the first, only warnings and errors are shown.
    """
    logger = logging.getLogger("translate")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False
    for old in [handler for handler in logger.handlers if isinstance(handler, Terminal)]:
        logger.removeHandler(old)  # its stream may be that of a notebook cell or test that has ended
    logger.addHandler(Terminal(sys.stderr))
    for name in ("pytorch_lightning", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{text}.*")


def is_interactive() -> bool:
    """Return whether a progress bar can be drawn on stderr: in a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def wrapped(head: str, text: str) -> str:
    """Return a text behind a head, in lines as wide as the terminal."""
    width = max(MIN_WIDTH, shutil.get_terminal_size(DEFAULT_SIZE).columns)
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
