"""The sizes of images that networks process, read from the facts of their registration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any

from translate.registry.registry import NETWORKS
from translate.sizes import ImageSize


@dataclass(frozen=True)
class SizeRule:
    """Height and width are multiples of ``multiple`` and at least ``minimum`` pixels."""

    multiple: int = 1
    minimum: int = 1

    def __and__(self, other: "SizeRule") -> "SizeRule":
        """Return the rule for images that both rules allow.

        >>> SizeRule(4, 16) & SizeRule(6)
        SizeRule(multiple=12, minimum=16)
        """
        return SizeRule(lcm(self.multiple, other.multiple), max(self.minimum, other.minimum))

    def up(self, side: int) -> int:
        """Return the smallest side from ``side`` on that the rule allows.

        >>> SizeRule(4, 16).up(3), SizeRule(4, 16).up(17)
        (16, 20)
        """
        return -(-max(side, self.minimum) // self.multiple) * self.multiple

    def larger(self, size: ImageSize) -> ImageSize:
        """Return an allowed size that is higher and wider, and not square for a square.

        >>> SizeRule(4, 16).larger(ImageSize(32, 32))
        ImageSize(height=36, width=40)
        """
        return ImageSize(self.up(size.height + 1), self.up(size.width + self.multiple + 1))


def size_rule(node: Mapping[str, Any]) -> SizeRule | None:
    """Return the sizes that a network {name: ..., arguments} takes; None if only the size of training is known.

    A fully convolutional network declares a multiple: ``multiple_of``, or ``halvings``, the argument that counts them.
    A network for powers of two, or with an argument ``image_size``, is built for one size. A frozen network takes the
    sizes of the network in it.
    """
    if isinstance(node.get("network"), Mapping):
        return size_rule(node["network"])
    entry = NETWORKS.entry(node["name"])
    if entry.facts.get("of_role"):
        return size_rule(node["network"])
    facts = dict(entry.facts.get("image_size", {}))
    built_for_one = any(parameter.name == "image_size" for parameter in entry.parameters)
    if built_for_one or facts.get("power_of_two") or "maximum" in facts:
        return None
    if (name := facts.get("halvings")) is not None:
        default = next(parameter.default for parameter in entry.parameters if parameter.name == name)
        multiple = 2 ** int(node.get(name, default))
        return SizeRule(multiple, max(multiple, facts.get("minimum", 1)))
    return SizeRule(facts["multiple_of"], facts.get("minimum", 1)) if "multiple_of" in facts else None


def joint_rule(nodes: Iterable[Mapping[str, Any]]) -> SizeRule | None:
    """Return the sizes that all networks take, those that see images; None if one has a fixed size."""
    joint = SizeRule()
    for node in nodes:
        rule = size_rule(node)
        if rule is None:
            return None
        joint = joint & rule
    return joint
