"""The translations that are made of every image: targets and styles, computed once; torch is not imported."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from translate.data.attributes import HAIR
from translate.data.images import ImageError, open_rgb, read_file, resize
from translate.errors import Phrase, UserError
from translate.inference.codes import draw_codes
from translate.inference.engine import Engine
from translate.inference.inputs import Source, domain_of, image_paths
from translate.inference.numbers import finite, whole
from translate.inference.targets import domain_of_direction, domains, labels, routes, unnamed_label
from translate.inference.tiling import to_input
from translate.registry.registry import TRANSLATIONS

REFERENCE_BATCH = 8


@dataclass(frozen=True)
class Wishes:
    """Targets and styles as a user names them; None and () stand for the default.

    ``targets`` are domains or labels, each a translation of its own. ``attributes`` are the labels of one translation.
    ``direction`` names a target between two domains. A style is that of each seed, or of each reference: a file, or a
    folder or pattern whose images have a mean style. ``num_styles`` styles begin at one seed. ``steps`` images lead
    from one of two styles to the other. ``source`` is the domain of the images, for a model that needs it.
    """

    targets: tuple[str, ...] = ()
    attributes: Mapping[str, float] | None = None
    direction: str | None = None
    seeds: tuple[int, ...] = ()
    num_styles: int = 1
    references: tuple[str, ...] = ()
    psi: float | None = None
    steps: int | None = None
    source: str | None = None


@dataclass(frozen=True)
class Variant:
    """A target with a style. ``words`` and ``facts`` are the arguments and the facts that make it again."""

    names: tuple[str, ...]  # of its target and style, where there are several
    target_name: str
    style_name: str | None  # None for a model without styles
    target: np.ndarray  # (1,) or (1, K)
    style: np.ndarray | None  # (1, ...)
    words: tuple[str, ...]
    facts: Mapping[str, Any]

    @property
    def references(self) -> tuple[Path, ...]:
        """Return the reference files of its style."""
        parts = (self.facts, self.facts.get("from", {}), self.facts.get("to", {}))
        return tuple(Path(reference["path"]) for part in parts for reference in part.get("references", ()))


@dataclass(frozen=True)
class _Target:
    name: str
    value: np.ndarray
    words: tuple[str, ...]
    fact: Any


@dataclass(frozen=True)
class _StyleInput:
    """A code, or references, and the facts about them."""

    name: str
    words: tuple[str, ...]
    facts: Mapping[str, Any]
    code: np.ndarray | None = None
    references: np.ndarray | None = field(default=None, repr=False)  # 8-bit pixels (B, H, W, 3)


def variants_of(engine: Engine, wishes: Wishes) -> list[Variant]:
    """Return the translations that are made of every image; UserError for a wish that the model cannot fulfil."""
    inputs = _style_inputs(engine, wishes)
    targets = _targets(engine, wishes)
    result = []
    for target in targets:
        styles = [(each, _style_of(engine, target.value, each, wishes.psi)) for each in inputs]
        blends = list(_blended(styles, wishes.steps))
        for name, style, words, facts in blends:
            several_styles = len(blends) > 1 or wishes.steps is not None
            result.append(
                Variant(
                    (*([target.name] if len(targets) > 1 else []), *([name] if name and several_styles else [])),
                    target.name,
                    name,
                    target.value,
                    style,
                    (*target.words, *words),
                    {"target": target.fact, **facts},
                )
            )
    return result


# --- targets ------------------------------------------------------------------------------------------------


def _targets(engine: Engine, wishes: Wishes) -> list[_Target]:
    given = [name for name in ("targets", "attributes", "direction") if getattr(wishes, name) not in (None, ())]
    if len(given) > 1:
        found = " and ".join("target" if name == "targets" else name for name in given)
        raise UserError(key="apply", found=Phrase(found), expected="one of target, attributes and direction")
    if engine.label_sets:
        return _label_targets(engine, wishes)
    if wishes.attributes is not None:
        raise UserError(f"{engine.model} translates to domains", key="attributes", fix=_target_words(engine.domains))
    if wishes.direction is not None:
        if engine.style_inputs:
            raise UserError(f"{engine.model} has no directions", key="direction", fix=_target_words(engine.domains))
        numbers = [domain_of_direction(wishes.direction, engine.domains)]
        words: tuple[str, ...] | None = (f"direction={wishes.direction}",)
    else:
        words = None
        numbers = [int(domains(name, 1, engine.domains)[0]) for name in dict.fromkeys(wishes.targets)]
    for number in numbers:
        if number not in engine.reachable:
            names = [engine.domains[each] for each in engine.reachable]
            raise UserError(
                "these weights do not translate to this domain",
                key="direction" if wishes.direction else "target",
                found=engine.domains[number],
                expected=" or ".join(names),
            )
    if not numbers:
        numbers = _default_domains(engine, wishes)
    if needs_source(engine):
        return _routes(engine, numbers, words, wishes.source)
    if wishes.source is not None:
        raise UserError(f"{engine.model} does not need the domain of the images", key="source")
    return [
        _Target(name, np.array([number]), words or (f"target={name}",), name)
        for number in numbers
        for name in [engine.domains[number]]
    ]


def needs_source(engine: Engine) -> bool:
    """Return whether a model needs the domain of an image, and not the target alone."""
    known = TRANSLATIONS.index()  # an exported file may be of a plug-in's model that is not active
    return engine.model in known and bool(known[engine.model].facts.get("needs_source"))


def _routes(engine: Engine, numbers: Sequence[int], words: tuple[str, ...] | None, source: str | None) -> list[_Target]:
    """Return the targets of a model that needs the domain of the images; the domain itself only where it is named."""
    names = [engine.domains[number] for number in numbers]
    if words is None and len(names) == len(engine.domains) > 2:
        names = [name for name in names if name != source]
    return [
        _Target(
            name,
            routes(name, source, 1, engine.domains),
            (*(words or (f"target={name}",)), *(() if source is None else (f"source={source}",))),
            name if source is None else {"source": source, "target": name},
        )
        for name in names
    ]


def common_domain(sources: Sequence[Source], engine: Engine) -> str | None:
    """Return the domain that the folders of all sources name, for a model that needs it; None without such names."""
    named = {domain_of(source.path, engine.domains) for source in sources} if needs_source(engine) else set()
    return named.pop() if len(named) == 1 else None


def _default_domains(engine: Engine, wishes: Wishes) -> list[int]:
    """Return all domains; with references, the domain that their folders name."""
    if not wishes.references:
        return list(engine.reachable)
    paths = [path for place in wishes.references for path in image_paths(place, "reference")]
    named = {domain_of(path, engine.domains) for path in paths}
    if len(named) != 1 or None in named:
        raise UserError(
            "the domain of the references is unknown",
            key="target",
            expected=f"one of {', '.join(engine.domains)}, or references in a folder of this name",
        )
    return [list(engine.domains).index(str(named.pop()))]


def _label_targets(engine: Engine, wishes: Wishes) -> list[_Target]:
    """Return the labels together, or one target for each."""
    sets, unnamed = engine.label_sets, unnamed_label(engine.model)
    if wishes.direction is not None:
        raise UserError(f"{engine.model} has no directions", key="direction", fix="target=LABEL")
    if wishes.attributes is not None:
        attributes = {name: finite(value, f"attributes.{name}") for name, value in wishes.attributes.items()}
        _check_hair(attributes)
        try:
            row = labels(attributes, 1, sets, unnamed)
        except UserError as error:
            raise UserError.of(replace(error.problem, key="attributes")) from error
        name = "+".join(name for name, value in attributes.items() if value) or "none"
        text = ",".join(f"{name}:{value:g}" for name, value in attributes.items())
        return [_Target(name, row, (f"attributes={{{text}}}",), attributes)]
    names = wishes.targets or tuple(name for each in sets for name in each["names"])
    return [_Target(name, labels(name, 1, sets, unnamed), (f"target={name}",), name) for name in dict.fromkeys(names)]


def _check_hair(attributes: Mapping[str, float]) -> None:
    """Raise UserError for two hair colours, which no training image has; parts of several are a mixture."""
    colours = [name for name, value in attributes.items() if name in HAIR and value > 0.5]
    if len(colours) > 1:
        mixture = ", ".join(f"{name}: 0.5" for name in colours[:2])
        raise UserError(
            "these attributes exclude each other",
            key="attributes",
            found=Phrase(" and ".join(colours)),
            fix=f"one of them, or a mixture {{{mixture}}}",
        )


def _target_words(names: Sequence[str]) -> str:
    return f"target={names[0]}" if names else "target=DOMAIN"


# --- styles -------------------------------------------------------------------------------------------------


def _style_inputs(engine: Engine, wishes: Wishes) -> list[_StyleInput | None]:
    """Return the inputs of the styles; [None] for a model without styles."""
    _check_style_wishes(engine, wishes)
    if not engine.style_inputs:
        return [None]
    if wishes.references:
        return [_references(engine, place) for place in wishes.references]
    if "code" not in engine.style_inputs:
        raise UserError("this argument is missing", key="reference", expected="reference=FILE or FOLDER")
    seeds = wishes.seeds or (0,)
    if wishes.num_styles > 1:
        seeds = tuple(range(seeds[0], seeds[0] + wishes.num_styles))
    psi = {} if wishes.psi is None else {"psi": wishes.psi}
    psi_words = () if wishes.psi is None else (f"psi={wishes.psi!r}",)
    return [
        _StyleInput(
            f"seed_{seed}",
            (f"seed={seed}", *psi_words),
            {"seed": seed, **psi},
            code=draw_codes(seed, 1, engine.latent_size),
        )
        for seed in seeds
    ]


def _check_style_wishes(engine: Engine, wishes: Wishes) -> None:
    for seed in wishes.seeds:
        whole(seed, "seed")
    whole(wishes.num_styles, "num_styles", 1)
    if wishes.psi is not None:
        finite(wishes.psi, "psi")
    if wishes.steps is not None:
        whole(wishes.steps, "steps", 2)
    by_code = wishes.seeds or wishes.num_styles > 1 or wishes.psi is not None
    for key, given, needed in (
        ("seed", wishes.seeds, "code"),
        ("num_styles", wishes.num_styles > 1, "code"),
        ("psi", wishes.psi is not None, "code"),
        ("reference", wishes.references, "reference"),
        ("steps", wishes.steps is not None, None),
    ):
        if given and (not engine.style_inputs if needed is None else needed not in engine.style_inputs):
            known = ", ".join(engine.style_inputs) or "no style, the target alone"
            raise UserError(f"{engine.model} does not take this argument", key=key, expected=known)
    if by_code and wishes.references:
        key = "seed" if wishes.seeds else "num_styles" if wishes.num_styles > 1 else "psi"
        raise UserError(
            "styles come from seeds or from references", key=key, found=Phrase("both"), expected="one of them"
        )
    if wishes.num_styles > 1 and len(wishes.seeds) > 1:
        raise UserError(key="num_styles", found=Phrase(f"{len(wishes.seeds)} seeds"), expected="one seed to begin with")
    count = len(wishes.references) or max(len(wishes.seeds), wishes.num_styles)
    if wishes.steps is not None and count != 2:
        raise UserError(
            key="steps",
            found=Phrase(f"{count} style{'s' * (count != 1)}"),
            expected="two to lead from and to",
            fix="seed=[0,1]",
        )
    if wishes.steps is not None and not engine.interpolates:
        raise UserError(f"styles of this file of {engine.model} cannot be blended", key="steps")


def _references(engine: Engine, place: str) -> _StyleInput:
    """Return the images of a file, folder or pattern as references, with the SHA-256 of each."""
    paths = image_paths(place, "reference")
    if len(paths) > 1 and not engine.interpolates:
        raise UserError(
            f"styles of this file of {engine.model} have no mean",
            key="reference",
            found=Phrase(f"{len(paths)} images"),
            expected="one image",
        )
    pixels, facts = [], []
    for path in paths:
        try:
            pixels.append(resize(open_rgb(path), engine.image_size, engine.crop))
        except ImageError as error:
            raise UserError(f"{path} {error.reason}", key="reference") from error
        facts.append({"path": str(path), "sha256": sha256_of(read_file(path))})
    return _StyleInput(
        Path(place).name if len(paths) > 1 else paths[0].stem,
        (f"reference={place}",),
        {"references": facts},
        references=np.stack(pixels),
    )


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _style_of(engine: Engine, target: np.ndarray, style: _StyleInput | None, psi: float | None) -> np.ndarray | None:
    """Return the style (1, ...) of an input in a domain: of several references the mean."""
    if style is None:
        return None
    if style.references is None:
        return engine.styles(target, code=style.code, psi=psi)
    batches = [
        engine.styles(np.repeat(target, len(batch)), reference=np.stack([to_input(pixels) for pixels in batch]))
        for batch in np.split(style.references, range(REFERENCE_BATCH, len(style.references), REFERENCE_BATCH))
    ]
    styles = np.concatenate(batches)
    return styles if len(styles) == 1 else styles.mean(0, keepdims=True, dtype=np.float64).astype(styles.dtype)


Blend = tuple[str | None, np.ndarray | None, tuple[str, ...], dict[str, Any]]
"""Name, style, words and facts of one style; no name for a model without styles."""


def _blended(styles: Sequence[tuple[_StyleInput | None, np.ndarray | None]], steps: int | None) -> Iterator[Blend]:
    """Yield each style, or ``steps`` styles from the first of two to the second, in equal steps."""
    if steps is not None:
        (first, start), (second, end) = styles
        assert first is not None and second is not None and start is not None and end is not None
        for step in range(steps):
            weight = step / max(steps - 1, 1)
            style = (start + np.float32(weight) * (end - start)).astype(start.dtype)
            facts = {"from": dict(first.facts), "to": dict(second.facts), "weight": weight}
            yield f"step_{step:03d}", style, (*_joined(first, second), f"steps={steps}"), facts
        return
    names = _distinct([style.name for style, _ in styles if style is not None])
    for number, (style_input, style) in enumerate(styles):
        if style_input is None:
            yield None, None, (), {}
        else:
            yield names[number], style, style_input.words, dict(style_input.facts)


def _joined(first: _StyleInput, second: _StyleInput) -> tuple[str, ...]:
    """Return the words of two styles: ``seed=[0,1]``, or a word for each reference."""
    if first.references is not None:
        return (*first.words, *second.words)
    key, _, value = first.words[0].partition("=")
    return (f"{key}=[{value},{second.words[0].partition('=')[2]}]", *first.words[1:])


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names with numbers behind those that occur before.

    >>> _distinct(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
