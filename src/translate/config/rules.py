"""Rules across the groups of a configuration: functions that return sentences."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from translate.errors import UserError, among
from translate.registry.registry import DATASETS, MODELS, VIEWS

OPTIONAL = ("sample_every", "evaluate_every", "threads", "hang_timeout")  # of what is counted, what may be null


def counts_are_positive(values: Mapping[str, Any]) -> Iterator[str]:
    """Sizes, cadences and counts are at least 1 (workers: 0)."""
    cadences = ("log_every", "sample_every", "checkpoint_every", "evaluate_every")
    least = dict.fromkeys(("iterations", "keep_checkpoints", *cadences), 1)
    nested = {
        "data": {"image_size": 1, "batch_size": 1, "num_workers": 0},
        "trainer": {"num_nodes": 1, "threads": 1, "accumulate": 1, "hang_timeout": 5},
    }
    for node, prefix, bounds in (
        (values, "", least),
        *((values.get(group) or {}, f"{group}.", bounds) for group, bounds in nested.items()),
    ):
        for key, minimum in bounds.items():
            found = node.get(key)
            if isinstance(found, int | float) and found < minimum:
                off = "; null switches it off" if key in OPTIONAL else ""
                yield f"{prefix}{key}: found {found}, expected at least {minimum}{off}"


def seed_fits(values: Mapping[str, Any]) -> Iterator[str]:
    """The seed is what a random generator takes, 64 bits."""
    found = values.get("seed")
    if isinstance(found, int) and not 0 <= found < 1 << 64:
        yield f"seed: found {found}, expected 0 to 2^64 - 1"


def bad_images_is_a_share(values: Mapping[str, Any]) -> Iterator[str]:
    """The share of unreadable files lies in [0, 1]."""
    found = (values.get("data") or {}).get("max_bad_fraction")
    if isinstance(found, float) and not 0 <= found <= 1:
        yield f"data.max_bad_fraction: found {found}, expected a share between 0 and 1"


def batch_is_divisible(values: Mapping[str, Any]) -> Iterator[str]:
    """Every process gets the same share of the global batch."""
    size = (values.get("data") or {}).get("batch_size")
    trainer = values.get("trainer") or {}
    devices, nodes, parts = trainer.get("devices"), trainer.get("num_nodes"), trainer.get("accumulate", 1)
    count = len(devices) if isinstance(devices, list) else devices
    if isinstance(count, int) and isinstance(nodes, int) and isinstance(size, int) and size > 0:
        if count == 0 or count < -1:
            yield f"trainer.devices: found {devices!r}, expected 1 or more, a list of device numbers, or auto"
        elif nodes > 0 and count > 0 and isinstance(parts, int) and parts > 0 and size % (count * nodes * parts) != 0:
            total = count * nodes * parts
            near = " or ".join(str(n * total) for n in (size // total, size // total + 1) if n > 0)
            yield (
                f"data.batch_size: found {size}, the batch of all processes together, which cannot be split "
                f"over {total} (trainer.devices x trainer.num_nodes x trainer.accumulate); use {near}"
            )


def data_serves_model(values: Mapping[str, Any]) -> Iterator[str]:
    """The data set gives what the model's batch needs."""
    from translate.data.views.base import missing_needs

    model, data = values.get("model") or {}, values.get("data") or {}
    if model.get("name") not in MODELS.index() or data.get("name") not in DATASETS.index():
        return
    batch = MODELS.facts(model["name"]).get("batch")
    provides = DATASETS.facts(data["name"]).get("provides")
    if batch is None or provides is None:
        return
    if batch not in VIEWS.index():
        yield f"model: {model['name']!r} wants the batch {batch!r}, which no view makes{among(batch, VIEWS.names())}"
        return
    needs = VIEWS.facts(batch).get("needs", ())
    missing = missing_needs(needs, provides)
    if missing:
        serving = [
            name for name in DATASETS.names() if not missing_needs(needs, DATASETS.facts(name).get("provides", ()))
        ]
        yield (
            f"model={model['name']} needs the {' and the '.join(missing)} of every image, but "
            f"data={data['name']} provides only {', '.join(provides) or 'images'}; data sets that serve: "
            f"{', '.join(serving) or 'none yet'}"
        )


def domains_are_as_many_as_needed(values: Mapping[str, Any]) -> Iterator[str]:
    """A model that translates between domains has as many as it needs, each named once."""
    model, data = values.get("model") or {}, values.get("data") or {}
    domains = data.get("domains")
    if not isinstance(domains, list):
        return
    for name in sorted({d for d in domains if domains.count(d) > 1}):
        yield f"data.domains: {name!r} stands there twice; name every domain once"
    batch = MODELS.facts(model["name"]).get("batch") if model.get("name") in MODELS.index() else None
    if batch not in VIEWS.index():
        return
    view = VIEWS.facts(batch)
    needs = view.get("needs", ())
    if not _counts_domains(needs, data) or _lacks(needs, data):
        return
    least, most = view.get("num_domains", (0, None))
    if len(domains) < least:
        found = f"only {domains[0]!r}" if domains else "none"
        yield (
            f"data.domains: found {found}, but model={model['name']} translates between domains and needs at least two"
        )
    elif most is not None and len(domains) > most:
        yield (
            f"data.domains: found {', '.join(domains)}, but model={model['name']} translates between {most} domains; "
            f"choose them by data.domains=[{','.join(domains[:most])}]"
        )


def _lacks(needs: tuple[str, ...], data: Mapping[str, Any]) -> bool:
    """Return whether the data set does not give what a view needs, which `data_serves_model` says."""
    from translate.data.views.base import missing_needs

    provides = DATASETS.facts(data["name"]).get("provides") if data.get("name") in DATASETS.index() else None
    return provides is not None and bool(missing_needs(needs, provides))


def _counts_domains(needs: tuple[str, ...], data: Mapping[str, Any]) -> bool:
    """Return whether domains are what a view works with: it needs them, or takes them for want of attributes."""
    sets = data.get("label_sets")
    return "domain" in needs or (isinstance(sets, list) and len(sets) == 1 and sets[0].get("kind") == "classes")


def compiled_or_recomputed(values: Mapping[str, Any]) -> Iterator[str]:
    """Networks are compiled or recomputed, not both."""
    trainer = values.get("trainer") or {}
    if trainer.get("compile") is True and trainer.get("activation_checkpointing") is True:
        yield (
            "trainer.activation_checkpointing: found true beside trainer.compile=true; compiled networks "
            "cannot be computed again in parts; set one of the two to false"
        )


def best_is_measured(values: Mapping[str, Any]) -> Iterator[str]:
    """The figure by which the best checkpoint is kept is one that the metrics give, while training."""
    from translate.metrics.selection import find

    named, metrics = values.get("best"), values.get("metrics")
    if not isinstance(named, str) or not isinstance(metrics, dict):
        return
    if values.get("evaluate_every") is None:
        yield "best: there is nothing to choose from without measuring; set evaluate_every=10000 or so, or best=null"
    try:
        find(named, metrics)
    except UserError as error:
        yield str(error)


def name_is_a_path(values: Mapping[str, Any]) -> Iterator[str]:
    """The name becomes folders below `runs`."""
    name = values.get("name")
    if isinstance(name, str) and (not name.strip() or ".." in name.split("/") or name.startswith(("/", "~"))):
        yield f"name: found {name!r}, expected a plain name or path such as my_run or study/my_run"


RULES: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
    counts_are_positive,
    seed_fits,
    bad_images_is_a_share,
    batch_is_divisible,
    data_serves_model,
    domains_are_as_many_as_needed,
    compiled_or_recomputed,
    best_is_measured,
    name_is_a_path,
)
