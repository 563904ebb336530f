"""Rules across the groups of a configuration: functions that yield problems."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from translate.config import expected
from translate.config.length import UNKNOWN_LENGTH, seconds_of
from translate.config.network_sizes import batch_norms_see_several_values
from translate.config.sources import is_there
from translate.errors import Phrase, Problem, UserError
from translate.files.reading import is_plain
from translate.networks.shipped_files import path_of
from translate.registry.registry import DATASETS, METRICS, MODELS, NETWORKS, VIEWS
from translate.sizes import ImageSize

OPTIONAL = ("sample_every", "evaluate_every", "threads", "hang_timeout")
"""Counts that may be null."""


def counts_are_positive(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Sizes, cadences and counts are at least 1 (workers: 0)."""
    cadences = ("log_every", "sample_every", "checkpoint_every", "evaluate_every")
    least = dict.fromkeys(("iterations", "keep_checkpoints", *cadences), 1)
    if values.get("budget") is not None:
        least["iterations"] = UNKNOWN_LENGTH
    nested = {
        "data": {"image_size": 1, "load_size": 1, "crop_until": 0, "batch_size": 1, "num_workers": 0},
        "trainer": {"num_nodes": 1, "threads": 1, "accumulate": 1, "hang_timeout": 5},
    }
    for node, prefix, bounds in (
        (values, "", least),
        *((values.get(group) or {}, f"{group}.", bounds) for group, bounds in nested.items()),
    ):
        for key, minimum in bounds.items():
            found = node.get(key)
            numbers = found if isinstance(found, list) else [found]
            if any(isinstance(number, int | float) and number < minimum for number in numbers):
                off = ", or null to switch it off" if key in OPTIONAL else ""
                yield Problem(key=f"{prefix}{key}", found=found, expected=f"at least {minimum}{off}")


def load_size_holds_the_crop(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Images are resized to at least the size of the crop, where they are cropped."""
    data = values.get("data") or {}
    loaded, size = data.get("load_size"), data.get("image_size")
    if not isinstance(loaded, int | list) or not isinstance(size, int | list):
        return
    if data.get("augment") in ("crop_flip", "flip", "none"):
        statement = f"the augmentation {data['augment']!r} does not crop a resized image"
        yield Problem(statement, key="data.load_size", found=loaded, fix="data.augment=resize_crop_flip, or null here")
    elif any(a < b for a, b in zip(ImageSize.of(loaded), ImageSize.of(size), strict=True)):
        yield Problem(key="data.load_size", found=loaded, expected=f"at least data.image_size, {size}")


def crops_can_end(values: Mapping[str, Any]) -> Iterator[Problem]:
    """An iteration from which images are not cropped needs an augmentation that can do without."""
    data = values.get("data") or {}
    if isinstance(until := data.get("crop_until"), int) and data.get("augment") in ("crop_flip", "crop_turn"):
        statement = f"the augmentation {data['augment']!r} crops in every iteration"
        yield Problem(statement, key="data.crop_until", found=until, fix="data.augment=resize_crop_flip, or null here")


def texts_name_something(values: Mapping[str, Any]) -> Iterator[Problem]:
    """No text has null characters or half characters, which no file name, package or terminal takes."""

    def walk(node: Any, path: str) -> Iterator[Problem]:
        if isinstance(node, Mapping):
            for key, value in node.items():
                yield from walk(value, f"{path}.{key}" if path else str(key))
        elif isinstance(node, list):
            for number, value in enumerate(node):
                yield from walk(value, f"{path}[{number}]")
        elif isinstance(node, str) and not is_plain(node):
            yield Problem("the text has a character that no name can have", key=path, found=node)

    yield from walk(values, "")


def budget_is_a_duration(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The budget is a duration."""
    try:
        if isinstance(budget := values.get("budget"), str):
            seconds_of(budget)
    except UserError as error:
        yield from error.problems


def seed_fits(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The seed is what a random generator takes, 64 bits."""
    found = values.get("seed")
    if isinstance(found, int) and not 0 <= found < 1 << 64:
        yield Problem(key="seed", found=found, expected="0 to 2^64 - 1")


def bad_fraction_is_a_fraction(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The tolerated fraction of unreadable files is in [0, 1]."""
    found = (values.get("data") or {}).get("max_bad_fraction")
    if isinstance(found, float) and not 0 <= found <= 1:
        yield Problem(key="data.max_bad_fraction", found=found, expected="a fraction from 0 to 1")


def batch_is_divisible(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Every process gets the same share of the global batch."""
    size = (values.get("data") or {}).get("batch_size")
    trainer = values.get("trainer") or {}
    devices, nodes, parts = trainer.get("devices"), trainer.get("num_nodes"), trainer.get("accumulate", 1)
    count = len(devices) if isinstance(devices, list) else devices
    if isinstance(count, int) and isinstance(nodes, int) and isinstance(size, int) and size > 0:
        if count == 0 or count < -1:
            expected = "1 or more, a list of device numbers, or auto"
            yield Problem(key="trainer.devices", found=devices, expected=expected)
        elif nodes > 0 and count > 0 and isinstance(parts, int) and parts > 0 and size % (count * nodes * parts) != 0:
            total = count * nodes * parts
            near = " or ".join(str(n * total) for n in (size // total, size // total + 1) if n > 0)
            product = "trainer.devices x trainer.num_nodes x trainer.accumulate"
            yield Problem(
                "the global batch is split evenly",
                key="data.batch_size",
                found=size,
                expected=f"a multiple of {total} ({product})",
                fix=f"use {near}",
            )


def data_serves_model(values: Mapping[str, Any]) -> Iterator[Problem]:
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
        yield Problem(
            f"the model {model['name']!r} needs an unknown view", key="model", found=batch, known=tuple(VIEWS.names())
        )
        return
    needs = VIEWS.facts(batch).get("needs", ())
    missing = missing_needs(needs, provides)
    if missing:
        serving = [
            name for name in DATASETS.names() if not missing_needs(needs, DATASETS.facts(name).get("provides", ()))
        ]
        yield Problem(
            f"the model {model['name']!r} needs the {' and the '.join(missing)} of every image",
            key="data",
            found=Phrase(f"{data['name']!r}, which provides only {', '.join(provides) or 'images'}"),
            expected=f"one of {', '.join(serving)}" if serving else "a data set of your own that provides it",
        )


def domains_are_as_many_as_needed(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A model that translates between domains has as many as it needs, each named once."""
    model, data = values.get("model") or {}, values.get("data") or {}
    domains = data.get("domains")
    if not isinstance(domains, list):
        return
    for name in sorted({d for d in domains if domains.count(d) > 1}):
        yield Problem(f"the domain {name!r} occurs twice", key="data.domains", fix="name every domain once")
    batch = MODELS.facts(model["name"]).get("batch") if model.get("name") in MODELS.index() else None
    if batch not in VIEWS.index():
        return
    view = VIEWS.facts(batch)
    needs = view.get("needs", ())
    if not _counts_domains(needs, data) or _lacks(needs, data):
        return
    least, most = view.get("num_domains", (0, None))
    if len(domains) < least:
        found = Phrase(f"only {domains[0]!r}" if domains else "none")
        yield Problem(key="data.domains", found=found, expected=f"{least} or more for the model {model['name']!r}")
    elif most is not None and len(domains) > most:
        yield Problem(
            key="data.domains",
            found=Phrase(", ".join(domains)),
            expected=f"{most} domains for the model {model['name']!r}",
            fix=f"choose them by data.domains=[{','.join(domains[:most])}]",
        )


def label_sets_are_as_many_as_needed(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A model of one set of labels has no joint data set."""
    model, sets = values.get("model") or {}, (values.get("data") or {}).get("label_sets")
    batch = MODELS.facts(model["name"]).get("batch") if model.get("name") in MODELS.index() else None
    if batch in VIEWS.index() and VIEWS.facts(batch).get("one_label_set") and isinstance(sets, list) and len(sets) > 1:
        statement, found = f"the model {model['name']!r} takes one set of labels", Phrase(f"{len(sets)} sets")
        yield Problem(statement, key="data", found=found, fix="choose a data set that is not joint")


def _lacks(needs: tuple[str, ...], data: Mapping[str, Any]) -> bool:
    """Return whether the data set lacks what a view needs, which `data_serves_model` reports."""
    from translate.data.views.base import missing_needs

    provides = DATASETS.facts(data["name"]).get("provides") if data.get("name") in DATASETS.index() else None
    return provides is not None and bool(missing_needs(needs, provides))


def _counts_domains(needs: tuple[str, ...], data: Mapping[str, Any]) -> bool:
    """Return whether a view works with domains: it needs them, or uses them where there are no attributes."""
    sets = data.get("label_sets")
    return "domain" in needs or (isinstance(sets, list) and len(sets) == 1 and sets[0].get("kind") == "classes")


EXCLUSIVE = {
    ("compile", "activation_checkpointing"): "compiled networks cannot checkpoint activations",
    ("compile", "offload_domains"): "compiled networks do not leave the device",
    # recomputation asks the host for random states
    ("graphs", "activation_checkpointing"): "CUDA graphs cannot checkpoint activations",
    ("graphs", "offload_domains"): "CUDA graphs need all networks in one place",
}
"""Settings of the trainer that cannot both be true, and why."""


def settings_do_not_exclude_each_other(values: Mapping[str, Any]) -> Iterator[Problem]:
    """No two settings of the trainer exclude each other."""
    trainer = values.get("trainer") or {}
    for (first, second), statement in EXCLUSIVE.items():
        if trainer.get(first) is True and trainer.get(second) is True:
            found = Phrase(f"true, with trainer.{first}=true")
            yield Problem(statement, key=f"trainer.{second}", found=found, fix="set one of the two to false")


def best_is_measured(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The score that chooses the best checkpoint is one of the configured metrics, evaluated during training."""
    from translate.metrics.selection import find

    named, metrics = values.get("best"), values.get("metrics")
    if not isinstance(named, str) or not isinstance(metrics, dict):
        return
    if values.get("evaluate_every") is None:
        fix = "set evaluate_every=10000 or another interval, or best=null"
        yield Problem("no checkpoint is evaluated during training", key="best", found=named, fix=fix)
    try:
        find(named, metrics)
    except UserError as error:
        yield from error.problems


def expected_scores_are_measured(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The expected scores are complete, and the metrics give them by the expected protocol."""
    if values.get("expected"):
        yield from expected.problems_of(values)


def metrics_suit_model(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A model that predicts labels is evaluated by its predictions, any other model by its translations."""
    model, metrics = values.get("model") or {}, values.get("metrics")
    if model.get("name") not in MODELS.index() or not isinstance(metrics, dict):
        return
    predicts = predicts_labels(model)
    for label, node in metrics.items():
        name = node.get("name") if isinstance(node, Mapping) else None
        if name not in METRICS.index() or (METRICS.facts(name).get("reads") == "predictions") == predicts:
            continue
        output, option = ("labels, not translations", "accuracy") if predicts else ("translations, not labels", "local")
        fix = f"set metrics={option}, or metrics=none"
        yield Problem(f"the model {model['name']!r} gives {output}", key=f"metrics.{label}.name", found=name, fix=fix)


def predicts_labels(model: Mapping[str, Any]) -> bool:
    """Return whether the model of a configuration predicts labels instead of translating."""
    return model.get("name") in MODELS.index() and bool(MODELS.facts(model["name"]).get("predicts"))


def metrics_have_targets(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Metrics that compare translations with images of their target need targets among the domains or labels."""
    model, metrics = values.get("model") or {}, values.get("metrics")
    batch = MODELS.facts(model["name"]).get("batch") if model.get("name") in MODELS.index() else None
    facts = VIEWS.facts(batch) if batch in VIEWS.index() else {"needs": ("domain",)}
    if facts.get("needs") or facts.get("protocol") or not isinstance(metrics, dict):
        return
    for label, node in metrics.items():
        name = node.get("name") if isinstance(node, Mapping) else None
        if name in METRICS.index() and METRICS.facts(name).get("reads") in ("features", "classifier"):
            yield Problem(
                f"the metric {name!r} needs images of the targets, and {model['name']!r} has no domains as targets",
                key=f"metrics.{label}",
                fix="metrics=content, or metrics=none",
            )


def metrics_suit_the_view(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A view with a protocol of its own is evaluated by it, and no other view is."""
    model, metrics = values.get("model") or {}, values.get("metrics")
    batch = MODELS.facts(model["name"]).get("batch") if model.get("name") in MODELS.index() else None
    if batch not in VIEWS.index() or not isinstance(metrics, Mapping):
        return
    own = VIEWS.facts(batch).get("protocol")
    taken = {VIEWS.facts(name).get("protocol") for name in VIEWS.names()} - {None}
    for label, node in metrics.items():
        name = node.get("name") if isinstance(node, Mapping) else None
        protocol = METRICS.facts(name).get("protocol") if name in METRICS.index() else None
        if protocol is not None and protocol != own and (own is not None or protocol in taken):
            yield Problem(
                f"the model {model['name']!r} is not evaluated by this metric",
                key=f"metrics.{label}",
                found=name,
                expected=f"a metric of the protocol {own}" if own else "a metric of another protocol",
                fix=f"metrics={own}" if own else "metrics=local",
            )


def sides_divide_by_the_scale(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Images of high resolution are reduced by a whole factor."""
    size = (values.get("data") or {}).get("image_size")
    sides = size if isinstance(size, list) else [size]
    for role, node in ((values.get("model") or {}).get("networks") or {}).items():
        scale = node.get("scale") if isinstance(node, Mapping) else None
        if isinstance(scale, int) and scale > 0 and any(isinstance(side, int) and side % scale for side in sides):
            key = f"model.networks.{role}.scale"
            yield Problem(key="data.image_size", found=size, expected=f"multiples of {scale} ({key})")


def high_pass_has_masks(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The high-pass skip connections of a generator need masks."""
    networks = (values.get("model") or {}).get("networks") or {}
    for role, node in networks.items():
        w_hpf = node.get("w_hpf") if isinstance(node, Mapping) else None
        if isinstance(w_hpf, int | float) and w_hpf > 0 and "masks" not in networks:
            yield Problem(
                "the high-pass skip connections need masks, and no network has the role masks",
                key=f"model.networks.{role}.w_hpf",
                found=w_hpf,
                fix="add '++model.networks.masks={name: landmark_masks, weights: wing.ckpt}', or fixed ovals by "
                "'++model.networks.masks={name: face_oval}', or set w_hpf to 0",
            )


def pretrained_files_exist(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The file of each frozen network is there; without it nothing can be trained or evaluated."""
    for role, node in ((values.get("model") or {}).get("networks") or {}).items():
        facts = NETWORKS.facts(node["name"])
        source = facts.get("pretrained")
        weights = node.get("weights")
        if source is None or (weights is not None and not isinstance(weights, str)):
            continue
        key = f"model.networks.{role}.weights"
        if weights is None:
            fix = f"get {source}, and set {key} to its path"
            yield Problem(f"the network {node['name']!r} needs a file of weights", key=key, fix=fix)
        elif not (is_there(weights) if facts.get("of_role") else path_of(weights).is_file()):
            yield Problem("there is no such file", key=key, found=weights, fix=f"get {source}, or set its path here")


def image_files_exist(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Images that a model's arguments name are files, or paintings that are drawn by program."""
    from translate.data.style_images import is_known
    from translate.data.synthetic.paintings import KINDS

    model = values.get("model") or {}
    if model.get("name") not in MODELS.index():
        return
    for key in MODELS.facts(model["name"]).get("image_files", ()):
        place = (model.get("arguments") or {}).get(key)
        if isinstance(place, str) and not is_known(place):
            fix = f"name an image file, or one of {', '.join(KINDS)}"
            yield Problem("there is no such file", key=f"model.{key}", found=place, fix=fix)


def texts_are_not_empty(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A text is not empty: as a path it would be the working directory, as a name nothing."""
    groups = {key: values.get(key) for key in ("data", "model", "metrics", "start_from")}
    flat = {key: value for key, value in values.items() if isinstance(value, str)}
    for path, value in _texts({**flat, **groups}, ""):
        if not value.strip():
            yield Problem("the text is empty", key=path, fix="give a value, or null for none")


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each text and the text; a group's arguments stand beside its fields."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            inner = path if key == "arguments" and path in ("data", "model") else f"{path}.{key}".lstrip(".")
            yield from _texts(value, inner)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value, path)
    elif isinstance(node, str):
        yield path, node


def name_is_a_path(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The name becomes folders below `runs`."""
    name = values.get("name")
    if isinstance(name, str) and name.strip() and (".." in name.split("/") or name.startswith(("/", "~"))):
        yield Problem(key="name", found=name, expected="a plain name or path such as my_run or study/my_run")


RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    counts_are_positive,
    texts_name_something,
    load_size_holds_the_crop,
    crops_can_end,
    budget_is_a_duration,
    seed_fits,
    bad_fraction_is_a_fraction,
    batch_is_divisible,
    batch_norms_see_several_values,
    data_serves_model,
    domains_are_as_many_as_needed,
    label_sets_are_as_many_as_needed,
    settings_do_not_exclude_each_other,
    best_is_measured,
    expected_scores_are_measured,
    metrics_suit_model,
    metrics_have_targets,
    metrics_suit_the_view,
    sides_divide_by_the_scale,
    high_pass_has_masks,
    pretrained_files_exist,
    image_files_exist,
    texts_are_not_empty,
    name_is_a_path,
)
