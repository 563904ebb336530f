"""The controls of a model: the inputs that a page and an HTTP interface offer for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from translate.inference.engine import Engine
from translate.inference.variants import needs_source


@dataclass(frozen=True)
class LabelGroup:
    """The labels of one data set: attributes, of which any number can be true, or classes, of which one is."""

    names: tuple[str, ...]
    attributes: bool


@dataclass(frozen=True)
class Controls:
    """The inputs of a model beside the image.

    A model has either ``domains``, which are the possible targets, or ``label_groups``. ``sources`` are all domains.
    A model of several domains that needs the domain of an image has ``routes``, from source to target, as targets.
    ``code`` and ``reference`` say whether a random code or a reference image can determine the style, ``blend`` whether
    two styles can be blended.
    """

    domains: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    label_groups: tuple[LabelGroup, ...] = ()
    routes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    code: bool = False
    reference: bool = False
    blend: bool = False

    @property
    def has_style(self) -> bool:
        """Return whether the style of a translation can be chosen."""
        return self.code or self.reference

    def choices(self) -> list[tuple[str, str]]:
        """Return the title and the name of each target; between two domains, and of a route, it is a direction."""
        if self.routes:
            return [(f"{source} → {target}", name) for name, (source, target) in self.routes.items()]
        if len(self.sources) == 2 and not self.has_style:
            return [(f"{_other(self.sources, domain)} → {domain}", domain) for domain in self.domains]
        return [(domain, domain) for domain in self.domains]


def controls_of(engine: Engine) -> Controls:
    """Return the controls of a model."""
    inputs, reachable = engine.style_inputs, [engine.domains[number] for number in engine.reachable]
    routes = {}
    if needs_source(engine) and len(engine.domains) > 2:
        routes = {f"{a}_to_{b}": (a, b) for a in engine.domains for b in reachable if a != b}
    return Controls(
        domains=tuple(routes or reachable) if not engine.label_sets else (),
        routes=routes,
        sources=tuple(engine.domains),
        label_groups=tuple(LabelGroup(tuple(e["names"]), e["kind"] == "attributes") for e in engine.label_sets),
        code="code" in inputs,
        reference="reference" in inputs,
        blend=bool(inputs) and engine.interpolates,
    )


def _other(pair: Sequence[str], domain: str) -> str:
    return pair[1] if pair[0] == domain else pair[0]
