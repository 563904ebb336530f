"""Read YAML files that can come from anybody, in bounded time and memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import Phrase, UserError, first_line
from translate.files.reading import read_text

if TYPE_CHECKING:
    from yaml import Event

MAX_BYTES = 1_000_000
MAX_VALUES = 300_000
"""Values of a file in which every alias is written out. The configuration of a run has some hundred."""

MAX_INTERPOLATED = 2_000
"""Characters of a text with ``${...}``, whose grammar takes long for a nest of thousands."""

MAX_DEPTH = 60
MAX_DIGITS = 4000  # Python reads whole numbers of 4,300 digits


def load(path: Path) -> Any:
    """Return the value of a YAML file as mappings, lists, texts, numbers and dates; UserError as `checked_text`."""
    import yaml

    text = checked_text(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, and not everywhere
    try:
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:  # such as a date of a 13th month
        raise UserError(f"the file cannot be loaded ({first_line(error)})", key=str(path)) from error


def checked_text(path: Path) -> str:
    """Return the text of a YAML file that is safe to load.

    UserError for a file that cannot be read, is no text, or is no YAML, for an anchor within which its own alias
    stands, and for more than `MAX_VALUES` values or `MAX_DEPTH` levels.
    """
    import yaml

    text = read_text(path, MAX_BYTES)
    try:
        try:  # libyaml is ten times as fast, not everywhere, and knows no escapes of lone surrogates
            _check(yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), path)
        except yaml.YAMLError:
            _check(yaml.parse(text, yaml.SafeLoader), path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or first_line(error)
        key = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"this is not YAML ({reason})", key=key, fix="check colons and indentation") from error
    return text


def _check(events: "Iterable[Event]", path: Path) -> None:
    """Raise UserError for the events of a document that would not end, or not fit into memory, when it is loaded."""
    from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

    sizes: dict[str, int] = {}  # of the anchors that are complete
    stack: list[tuple[str | None, int]] = [(None, 0)]  # the anchor and the values so far of each open collection
    for event in events:
        anchor = getattr(event, "anchor", None)
        if isinstance(event, CollectionStartEvent):
            stack.append((anchor, 1))
            _require(len(stack) <= MAX_DEPTH, path, f"more than {MAX_DEPTH} levels", event)
            continue
        if isinstance(event, AliasEvent):
            _require(all(anchor != open_ for open_, _ in stack), path, f"the anchor {anchor!r} within itself", event)
            size = sizes.get(anchor or "", 1)
        elif isinstance(event, CollectionEndEvent):
            anchor, size = stack.pop()
        elif isinstance(event, NodeEvent):
            size = 1
            digits = getattr(event, "value", "")
            is_number = len(digits) > MAX_DIGITS and digits.lstrip("+-").replace("_", "").isdigit()
            _require(not is_number, path, f"a number of more than {MAX_DIGITS:,} digits", event)
            fits = "${" not in digits or len(digits) <= MAX_INTERPOLATED
            _require(fits, path, f"a text of more than {MAX_INTERPOLATED:,} characters with an interpolation", event)
        else:
            continue
        if anchor is not None and not isinstance(event, AliasEvent):
            sizes[anchor] = size
        own, before = stack[-1]
        stack[-1] = (own, before + size)
        _require(before + size <= MAX_VALUES, path, f"more than {MAX_VALUES:,} values, its aliases written out", event)


def _require(good: bool, path: Path, found: str, event: "Event") -> None:
    if not good:
        line = event.start_mark.line + 1 if event.start_mark else 1
        raise UserError(
            "the file cannot be loaded",
            key=f"{path}:{line}",
            found=Phrase(found),
            expected="a configuration",
        )
