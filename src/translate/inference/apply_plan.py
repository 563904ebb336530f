"""What `apply` has to do: the path of every translation, and whether it exists, before anything is written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from translate.errors import Phrase, UserError
from translate.files.writing import LONGEST_NAME
from translate.inference import tiling
from translate.inference.engine import Engine
from translate.inference.image_forms import SUFFIXES
from translate.inference.inputs import Source
from translate.inference.names import NamePattern, default_path, source_domain
from translate.inference.numbers import whole
from translate.inference.outputs import RemoteOutput
from translate.inference.records import Records, same_settings
from translate.inference.variants import Variant

Resolution = Literal["auto", "model", "full"]

MIN_PIXELS = 4096
"""The smallest tiles, in pixels."""

SHOWN = 10
"""How many names of files a message lists."""


@dataclass(frozen=True)
class Settings:
    """How files are translated, see the words of the command ``apply``; ``weights`` is their name for the record."""

    output: Path
    resolution: Resolution = "auto"
    max_pixels: int = tiling.MAX_PIXELS
    format: str | None = None  # a suffix of `image_files.SUFFIXES`; None: as the source
    overwrite: bool = False
    batch_size: int | None = None  # images that are translated at once; None: 1 on a CPU, GPU_BATCH elsewhere
    weights: str = ""
    words: tuple[str, ...] = ()  # of the command line that would do the same, without input, output and variant
    names: NamePattern | None = None  # of the translations; None: the source's, see `names.default_path`
    others: bool = False  # leave out the translation of an image to its own domain
    remote: RemoteOutput | None = None  # the address to which the files in `output` are copied

    @property
    def needs_source_domain(self) -> bool:
        """Return whether the domain of every source must be known."""
        return self.others or (self.names is not None and self.names.needs_source_domain)

    def has(self, name: str) -> bool:
        """Return whether a file is in the output folder, or at its address."""
        return (self.output / name).exists() if self.remote is None else name in self.remote


@dataclass(frozen=True)
class Job:
    """A source, and those of its translations that are not there yet: variants and names of their files."""

    source: Source
    outputs: tuple[tuple[Variant, str], ...]
    domain: str | None  # of the source, where the settings need it


def plan(
    engine: Engine, sources: Sequence[Source], variants: Sequence[Variant], settings: Settings, records: Records
) -> tuple[list[Job], int]:
    """Return the translations to make, and the number of those that exist, after a check of every path.

    UserError for a resolution that the networks do not have, if two translations have the same path, and for a path
    that is an input, or a file of another origin.
    """
    _check_settings(engine, settings)
    existing = 0
    owners: dict[str, tuple[Source, Variant]] = {}
    twice, foreign, too_long, jobs = [], [], [], []
    for source, (domain, names) in zip(sources, paths_of(engine, sources, variants, settings), strict=True):
        outputs = []
        for variant, name in zip(variants, names, strict=True):
            if name is None:
                continue
            first, _ = owner = owners.setdefault(name.casefold(), (source, variant))
            if settings.names is not None and owner[0] is source and owner[1] is not variant:
                raise UserError(
                    f"two translations of {source.path} would have the name {name}",
                    key="names",
                    found=settings.names.text,
                    fix="put {target} into it, or {style} for several styles",
                )
            if owner[0] is not source or owner[1] is not variant:
                twice.append(f"{first.path} and {source.path}")
            if any(len(os.fsencode(part)) > LONGEST_NAME for part in name.split("/")):
                too_long.append(str(source.path))
                continue
            status = _status(records, name, source, facts_of(engine, variant, settings), settings)
            if status == "foreign":
                foreign.append(name)
            if status == "new":
                outputs.append((variant, name))
            existing += status == "done"
        if outputs:
            jobs.append(Job(source, tuple(outputs), domain))
    _require_names(settings, too_long, twice, foreign)
    _protect_inputs([source.path for source in sources], variants, jobs, settings.output)
    return jobs, existing


def _require_names(settings: Settings, too_long: Sequence[str], twice: Sequence[str], foreign: Sequence[str]) -> None:
    """Raise UserError for names of translations that no file can have, that come twice, or that others' files have."""
    if too_long:
        raise UserError(
            f"the names of translations would have more than {LONGEST_NAME} bytes",
            key="input" if settings.names is None else "names",
            found=Phrase(_few(list(dict.fromkeys(too_long)))),
            fix="choose shorter names",
        )
    if twice:
        raise UserError(
            "two images would have translations of the same name",
            key="input",
            found=Phrase(_few(list(dict.fromkeys(twice)))),
            fix="translate them into two folders",
        )
    if foreign:
        raise UserError(
            "these files are there and have other settings or another origin",
            key="output",
            found=Phrase(_few(foreign)),
            fix="overwrite=true, or another folder",
        )


def _status(
    records: Records, name: str, source: Source, facts: Mapping[str, Any], settings: Settings
) -> Literal["new", "done", "foreign"]:
    """Return whether a translation has to be made, is there, or a file of another origin is in its place."""
    if settings.overwrite or not settings.has(name):
        return "new"
    line = records.lines.get(name)
    if line is None or not same_settings(line, facts):
        return "foreign"
    try:
        status = source.path.stat()
    except OSError:  # it is reported when it is read
        return "new"
    same = line.get("source_bytes") == status.st_size and line.get("source_modified") == status.st_mtime_ns
    return "done" if same else "new"


def _protect_inputs(paths: Sequence[Path], variants: Sequence[Variant], jobs: Sequence[Job], output: Path) -> None:
    """Raise UserError if a translation would take the place of a source or reference, under whatever name."""
    protected = {_identity(path) for path in (*paths, *(path for each in variants for path in each.references))}
    hit = [
        name
        for job in jobs
        for _, name in job.outputs
        if (output / name).exists() and _identity(output / name) in protected
    ]
    if hit:
        raise UserError(
            "translations would be written over their inputs",
            key="output",
            found=Phrase(_few(hit)),
            fix="another folder",
        )


def _identity(path: Path) -> Any:
    try:
        status = path.stat()
    except OSError:
        return path.absolute()
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def paths_of(
    engine: Engine, sources: Sequence[Source], variants: Sequence[Variant], settings: Settings
) -> list[tuple[str | None, list[str | None]]]:
    """Return for each source its domain, where it is needed, and the path of every variant; None: it is left out."""
    domains = _domains_of_sources(engine, sources, settings)

    def path(source: Source, domain: str | None, variant: Variant) -> str | None:
        if settings.others and variant.target_name == domain:
            return None
        if settings.names is None:
            return default_path(source, variant, settings.format)
        return settings.names.path(source, variant, domain, settings.format)

    pairs = zip(sources, domains, strict=True)
    return [(domain, [path(source, domain, variant) for variant in variants]) for source, domain in pairs]


def _domains_of_sources(engine: Engine, sources: Sequence[Source], settings: Settings) -> list[str | None]:
    """Return the domain of each source where the settings need it; UserError for sources that name none."""
    if not settings.needs_source_domain:
        return [None] * len(sources)
    classes = [each["names"] for each in engine.label_sets if each["kind"] == "classes"]
    names = tuple(engine.domains) or (tuple(classes[0]) if len(classes) == len(engine.label_sets) == 1 else ())
    if not names:
        key = "others" if settings.others else "names"
        raise UserError(f"{engine.model} translates to labels, so a source has no domain", key=key)
    domains = [source_domain(source, names) for source in sources]
    unknown = [str(source.path) for source, domain in zip(sources, domains, strict=True) if domain is None]
    if unknown:
        raise UserError(
            "the domain of these images is unknown",
            key="others" if settings.others else "names",
            found=Phrase(_few(unknown)),
            expected=f"a folder, or a part of the file name, with the name of one of {', '.join(names)}",
        )
    return domains


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def facts_of(engine: Engine, variant: Variant, settings: Settings) -> dict[str, Any]:
    """Return the facts that determine the translations of a variant."""
    full = engine.sizes is not None and settings.resolution != "model"
    return {
        **variant.facts,
        "model": engine.model,
        "weights": settings.weights,
        "weights_sha256": engine.digest,
        "resolution": "full" if full else "model",
        "max_pixels": settings.max_pixels if full else None,
        "format": settings.format,
    }


def _check_settings(engine: Engine, settings: Settings) -> None:
    whole(settings.max_pixels, "max_pixels", MIN_PIXELS)
    if settings.batch_size is not None:
        whole(settings.batch_size, "batch_size", 1)
    if settings.resolution not in get_args(Resolution):
        raise UserError("unknown resolution", key="resolution", found=settings.resolution, known=get_args(Resolution))
    if settings.format is not None and settings.format not in SUFFIXES:
        raise UserError("unknown format of images", key="format", found=settings.format, known=tuple(SUFFIXES))
    if settings.resolution == "full" and engine.sizes is None:
        height, width = engine.image_size
        raise UserError(
            f"the networks of {engine.model} take images of {height} x {width} pixels",
            key="resolution",
            found="full",
            expected="model or auto",
        )
