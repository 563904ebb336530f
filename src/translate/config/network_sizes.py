"""The sizes of images and batches that networks take, by the facts of their registration.

`image_size` has the least and the greatest side, its divisor, and whether images are square. `batch_norm` says how many
values of a channel the smallest batch norm sees in one image, where that may be a single one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from translate.errors import Problem
from translate.registry.registry import NETWORKS
from translate.registry.signatures import Entry
from translate.sizes import ImageSize


def argument(entry: Entry, arguments: Mapping[str, Any], name: str) -> Any:
    """Return an argument of a network, or its default."""
    return arguments.get(name, next(p.default for p in entry.parameters if p.name == name))


def size_needed(entry: Entry, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the image size that a network takes; `halvings` names the argument that counts how often it is halved."""
    need = dict(entry.facts["image_size"])
    if (name := need.pop("halvings", None)) is not None:
        count = argument(entry, arguments, name)
        if isinstance(count, int) and 0 <= count < 32:
            need["multiple_of"] = 2**count
    return need


def check_image_size(plain: Any, needs: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield a problem if an image size suits not all networks; `needs` are those of `size_needed`, by role."""
    if not isinstance(plain, int | list) or min(size := ImageSize.of(plain)) <= 0:
        return
    unsuited: dict[str, list[str]] = {}
    for role, need in needs.items():
        if not (all(_suits(side, need) for side in size) and (size.is_square or not need.get("square"))):
            unsuited.setdefault(_size_in_words(need, size.is_square), []).append(role)
    for words, roles in unsuited.items():
        of_roles = f"for the network{'s' if len(roles) > 1 else ''} {', '.join(roles)}"
        fix = f"use {_near_sizes(size, needs[roles[0]])}"
        yield Problem(key="data.image_size", found=plain, expected=f"{words} {of_roles}", fix=fix)


def _near_sizes(size: ImageSize, need: Mapping[str, Any]) -> str:
    """Return the nearest sizes that a network takes: below and above a square, above both sides of another size."""
    if size.is_square or need.get("square"):
        below = next((s for s in range(min(*size, 8192), 0, -1) if _suits(s, need)), None)
        above = next((s for s in range(max(size), 8193) if _suits(s, need)), None)
        return " or ".join(str(s) for s in dict.fromkeys((below, above)) if s is not None)
    sides = [next((s for s in range(min(side, 8192), 8193) if _suits(s, need)), 0) for side in size]
    return str(sides)


def _suits(side: int, need: Mapping[str, Any]) -> bool:
    return (
        side >= need.get("minimum", 1)
        and side <= need.get("maximum", side)
        and side % need.get("multiple_of", 1) == 0
        and (not need.get("power_of_two") or side & (side - 1) == 0)
    )


def _size_in_words(need: Mapping[str, Any], is_square: bool) -> str:
    """Return the size that a network takes in words; of a size that is not square, the words are about both sides."""
    if need.get("square") and not is_square:
        return "one number, for squares,"
    if need.get("power_of_two"):
        words = "a power of two" if is_square else "powers of two"
    else:
        words = "a size" if is_square else "sides"
    if "multiple_of" in need:
        words += f" divisible by {need['multiple_of']}"
    if "minimum" in need:
        words += f" of at least {need['minimum']}"
    if "maximum" in need:
        words += f" and at most {need['maximum']}"
    return words


def values_of_a_channel(entry: Entry, arguments: Mapping[str, Any], size: ImageSize) -> int | None:
    """Return how many values of a channel an image has at the smallest batch norm of a network.

    None for a network without the fact `batch_norm`, or without batch norms by its arguments. The fact has `values`, or
    the divisor of the image's sides: `divisor`, or `halvings`, the number of halvings; both are numbers or names of
    arguments. `when` maps arguments to the values with which the network has batch norms.
    """
    fact = entry.facts.get("batch_norm")
    if fact is None or any(argument(entry, arguments, name) != value for name, value in fact.get("when", {}).items()):
        return None
    if "values" in fact:
        return int(fact["values"])
    ((kind, number),) = ((kind, fact[kind]) for kind in ("divisor", "halvings") if kind in fact)
    number = argument(entry, arguments, number) if isinstance(number, str) else number
    if not isinstance(number, int) or not 0 <= number < 32:
        return None
    divisor = number if kind == "divisor" else 2**number
    return size.each(lambda side: side // max(divisor, 1)).area


def batch_norms_see_several_values(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The batch norms of trained networks see more than one value of each channel."""
    data, model = values.get("data") or {}, values.get("model") or {}
    plain = data.get("image_size")
    if data.get("batch_size") != 1 or not isinstance(plain, int | list) or min(size := ImageSize.of(plain)) <= 0:
        return
    roles = []
    for role, node in (model.get("networks") or {}).items():
        arguments = {key: value for key, value in node.items() if key != "name"}
        is_trained = role in (model.get("optimizers") or {})
        if is_trained and values_of_a_channel(NETWORKS.entry(node["name"]), arguments, size) == 1:
            roles.append(role)
    if roles:
        of_roles = f"of the network{'s' if len(roles) > 1 else ''} {', '.join(roles)}"
        yield Problem(
            "a batch norm needs more than one value of each channel",
            key="data.batch_size",
            found=1,
            expected=f"at least 2, for the batch norms {of_roles}",
            fix="use a larger batch",
        )
