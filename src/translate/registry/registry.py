"""Registries of parts: networks, losses, data sets, views, metrics, models and translations.

The decorator ``@NETWORKS.register("stargan_v2_generator", **facts)`` registers a class or function under a name for
configurations. `Registry.get` imports the module of a part. `Registry.index` reads names, signatures and facts from the
source text, so listing and checking import nothing. Therefore names and facts must be literals, and decorators must be
at the top level of a module.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from translate.errors import UserError
from translate.registry import plugins
from translate.registry.signatures import Entry, defined_at, inspected, registered

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """The parts of one kind by name. ``home`` is the package of the parts of this project."""

    def __init__(self, kind: str, home: str) -> None:
        """Create an empty registry; ``kind`` is the noun of messages ("network")."""
        self.kind = kind
        self.home = home
        plain = kind.replace(" ", "").upper()
        self.variable = plain + ("ES" if plain.endswith("S") else "S")
        self._objects: dict[str, Callable[..., Any]] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._index: tuple[tuple[str, ...], dict[str, Entry]] | None = None

    def register(self, name: str, **facts: Any) -> Callable[[T], T]:
        """Return a decorator that registers a class or function; UserError for a name that is registered already."""

        def decorate(target: T) -> T:
            if name in self._objects:
                places = (defined_at(self._objects[name]), defined_at(target))
                raise self._registered_twice(name, places)
            self._objects[name] = target
            self._facts[name] = facts
            return target

        return decorate

    def get(self, name: str) -> Callable[..., Any]:
        """Return the class or function of this name, importing its module on first use."""
        if not isinstance(name, str) or name not in self._objects:
            entry = self.entry(name)
            plugins.import_part(entry.module)
            if name not in self._objects:
                raise UserError(
                    f"importing {entry.module} did not register the {self.kind} {name!r}",
                    key=entry.owner,
                    fix="write @register at the top level of the module",
                )
        return self._objects[name]

    def load(self) -> Mapping[str, Callable[..., Any]]:
        """Import all parts, including those of plug-ins, and return them by name."""
        for name in self.index():
            self.get(name)
        return dict(sorted(self._objects.items()))

    def names(self) -> list[str]:
        """Return the sorted names, without importing a part."""
        return sorted(self.index())

    def facts(self, name: str) -> Mapping[str, Any]:
        """Return the facts of a registration, without importing the part; UserError for an unknown name."""
        return self.entry(name).facts

    def entry(self, name: str) -> Entry:
        """Return the static entry of a name; UserError for an unknown name."""
        index = self.index()
        if not isinstance(name, str) or name not in index:  # the name may come from a file of anybody
            raise UserError(f"unknown {self.kind}", found=name, known=sorted(index))
        return index[name]

    def index(self) -> dict[str, Entry]:
        """Return all entries by name, read from the source of the home package and of the plug-ins.

        Parts that other code registers at run time (a notebook, a test) are added from their live signatures.
        """
        packages = (self.home, *plugins.packages())
        if self._index is None or self._index[0] != packages:
            entries: dict[str, Entry] = {}
            for package in packages:
                for entry in registered(package, self.kind, self.variable):
                    if entry.name in entries:
                        raise self._registered_twice(entry.name, (entries[entry.name].owner, entry.owner))
                    entries[entry.name] = entry
            self._index = (packages, dict(sorted(entries.items())))
        index = dict(self._index[1])
        for name, target in self._objects.items():
            if name not in index:
                index[name] = inspected(name, self.kind, target, self._facts[name])
        return index

    def _registered_twice(self, name: str, places: tuple[str, str]) -> UserError:
        return UserError(
            f"the {self.kind} {name!r} is registered twice, in {places[0]} and in {places[1]}", fix="rename one of them"
        )


NETWORKS = Registry("network", "translate.networks")
LOSSES = Registry("loss", "translate.losses")
DATASETS = Registry("data set", "translate.data.datasets")
VIEWS = Registry("view", "translate.data.views")  # a model names one as its fact `batch`
METRICS = Registry("metric", "translate.metrics")
MODELS = Registry("model", "translate.models")
TRANSLATIONS = Registry("translation", "translate.inference")  # by the name of the model; no configuration names it

REGISTRIES: dict[str, Registry] = {
    "networks": NETWORKS,
    "losses": LOSSES,
    "datasets": DATASETS,
    "views": VIEWS,
    "metrics": METRICS,
    "models": MODELS,
}
