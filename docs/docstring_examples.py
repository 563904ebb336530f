"""Show the examples of docstrings as code on the page of the API: an extension of griffe, which mkdocstrings reads."""

from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Put fences around the examples of each docstring; Markdown takes ``>>>`` for a quotation."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return a docstring with a fence around each paragraph that begins with an example."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```pycon\n{part}\n```" if part.startswith(">>>") else part for part in paragraphs)
