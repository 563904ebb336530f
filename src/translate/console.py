"""The terminal: text wrapped to its width."""

import shutil
import textwrap


def wrapped(head: str, text: str) -> str:
    """Return a text behind a head, in lines as wide as the terminal."""
    width = max(40, shutil.get_terminal_size((110, 24)).columns)
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
