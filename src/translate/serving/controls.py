"""The controls of a model: the inputs that a page and an HTTP interface offer for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from translate.inference.engine import Engine


@dataclass(frozen=True)
class LabelGroup:
    """The labels of one data set: attributes, of which any number can be true, or classes, of which one is."""

    names: tuple[str, ...]
    attributes: bool


@dataclass(frozen=True)
class Controls:
    """The inputs of a model beside the image.

    A model has either ``domains``, which are the possible targets, or ``label_groups``. ``sources`` are all domains.
    ``code`` and ``reference`` say whether a random code or a reference image can determine the style, ``blend`` whether
    two styles can be blended.
    """

    domains: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    label_groups: tuple[LabelGroup, ...] = ()
    code: bool = False
    reference: bool = False
    blend: bool = False

    @property
    def has_style(self) -> bool:
        """Return whether the style of a translation can be chosen."""
        return self.code or self.reference

    def choices(self) -> list[tuple[str, str]]:
        """Return the title and the name of each target domain; between two domains the title is a direction."""
        if len(self.sources) == 2 and not self.has_style:
            return [(f"{_other(self.sources, domain)} → {domain}", domain) for domain in self.domains]
        return [(domain, domain) for domain in self.domains]


def controls_of(engine: Engine) -> Controls:
    """Return the controls of a model."""
    inputs = engine.style_inputs
    return Controls(
        domains=tuple(engine.domains[number] for number in engine.reachable) if not engine.label_sets else (),
        sources=tuple(engine.domains),
        label_groups=tuple(LabelGroup(tuple(e["names"]), e["kind"] == "attributes") for e in engine.label_sets),
        code="code" in inputs,
        reference="reference" in inputs,
        blend=bool(inputs) and engine.interpolates,
    )


def _other(pair: Sequence[str], domain: str) -> str:
    return pair[1] if pair[0] == domain else pair[0]
