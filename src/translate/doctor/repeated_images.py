"""Examine repeated images: equal and similar ones, within a split, across splits and across domains."""

from __future__ import annotations

from collections.abc import Sequence

from translate.doctor import inspection
from translate.doctor.inspection import Inspection
from translate.doctor.items import Items
from translate.doctor.report import Section, number


def check_repeated(items: Items, result: Inspection, section: Section) -> None:
    """Add findings about equal and similar images: within a split, across splits and across domains."""
    equal = inspection.duplicates(result)
    alike, complete = inspection.near_duplicates(result)
    section.fact("equal files", _extent(equal))
    section.fact("similar images", _extent(alike))
    if not complete:
        section.note("not all images were compared for similarity: there are too many of the same brightness")
    for groups, word, sign in ((equal, "equal", " = "), (alike, "similar", " ~ ")):
        across = [group for group in groups if len(set(items.splits[group].tolist())) > 1]
        labels = [group for group in groups if len(set(items.domain[group].tolist()) - {-1}) > 1]
        inside = [group for group in groups if group not in across and group not in labels]
        is_equal = word == "equal"
        if across:
            (section.problem if is_equal else section.warning)(
                f"{word} images in training and validation ({number(len(across), 'group')}): scores are too good",
                _pairs(items, across, sign),
                "keep all images of a group in one split",
            )
        if labels:
            (section.problem if is_equal else section.note)(
                f"{word} images in several domains ({number(len(labels), 'group')})",
                _pairs(items, labels, sign),
                "keep each in one domain",
            )
        if inside:
            (section.warning if is_equal else section.note)(
                f"{word} images ({number(len(inside), 'group')})", _pairs(items, inside, sign), "keep one of each group"
            )


def _extent(groups: Sequence[Sequence[int]]) -> str:
    if not groups:
        return "none"
    return f"{number(sum(map(len, groups)), 'image')} in {number(len(groups), 'group')}"


def _pairs(items: Items, groups: Sequence[Sequence[int]], sign: str) -> list[str]:
    """Return a text for each group: its first two names, of different splits or domains where there are any."""
    texts = []
    for group in groups:
        first = group[0]
        other = max(
            group[1:],
            key=lambda each: (items.splits[each] != items.splits[first], items.domain[each] != items.domain[first]),
        )
        more = f" + {len(group) - 2}" if len(group) > 2 else ""
        texts.append(f"{items.names[first]}{sign}{items.names[other]}{more}")
    return texts
