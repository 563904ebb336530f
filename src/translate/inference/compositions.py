"""What grids and films are made of: source files, styles, and labels.

Sources are read in batches, references one by one, so memory does not grow with their number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.data.attributes import HAIR
from translate.errors import UserError
from translate.inference.codes import draw_codes
from translate.inference.images import to_images
from translate.inference.inputs import domain_of
from translate.inference.translator import Translator

KINDS = "latent, reference or cycle for grids; latent, reference or training for films"

BATCH = 16  # images that are translated at once
KEPT = 256  # sources of a film that stay in memory; of more, each frame reads all again


@dataclass(frozen=True)
class Sources:
    """Images (B, 3, H, W) in [-1, 1] with a name for each, and their domains where these are known."""

    images: Tensor
    names: Sequence[str]
    domains: Sequence[str | None]

    def needed_by(self, translator: Translator) -> list[str] | None:
        """Return the domain of each image for a model that needs it, else None; UserError where it is unknown."""
        if not translator.needs_source or (None in self.domains and len(translator.domains) == 2):
            return None
        return known_domains(self.names, self.domains, key="source")


class SourceFiles:
    """Image files at a model's size, which are read in batches; a folder with the name of a domain tells the domain."""

    def __init__(self, paths: Sequence[Path], translator: Translator) -> None:
        self.paths, self.translator = paths, translator
        self.names = [path.name for path in paths]
        self.domains = [domain_of(path, translator.domains) for path in paths]
        self._kept: list[Sources] = []

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: slice = slice(None)) -> Sources:
        """Return the images of some of the files."""
        images = to_images(list(self.paths[rows]), self.translator.image_size, self.translator.crop, "input")
        return Sources(images, self.names[rows], self.domains[rows])

    def batches(self) -> Iterator[Sources]:
        """Yield all images in batches; those of few files stay in memory."""
        if self._kept:
            yield from self._kept
            return
        for rows in slices(len(self), BATCH):
            batch = self.read(rows)
            if len(self) <= KEPT:
                self._kept.append(batch)
            yield batch


@dataclass(frozen=True)
class Style:
    """A target with a style, one row of a grid or one key frame of a film."""

    label: str
    target: Any  # of `Translator.translate`
    arguments: Callable[[], dict[str, Any]]  # return its keywords for the style; a reference is read when it is needed


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` elements that cover ``count`` ones.

    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start, end in pairwise((*range(0, count, size), count)):
        yield slice(start, end)


def styles_of_seeds(
    translator: Translator, targets: Sequence[str], seeds: Sequence[int], psi: float | None
) -> list[Style]:
    """Return a style for each target and seed; the same code serves all images. Models without codes have no seeds."""
    if "code" not in translator.style_inputs:
        return [Style(target, target, dict) for target in targets]
    length = translator.translation.latent_size
    truncation = {} if psi is None else {"psi": psi}

    def arguments_of(seed: int) -> Callable[[], dict[str, Any]]:
        return lambda: {"code": torch.from_numpy(draw_codes(seed, 1, length)), **truncation}

    return [Style(f"{target}, seed {seed}", target, arguments_of(seed)) for target in targets for seed in seeds]


def styles_of_references(translator: Translator, paths: Sequence[Path], target: str | None) -> list[Style]:
    """Return the style of each reference image in ``target``, or in the domain that its folder names."""
    require(translator, "reference")

    def arguments_of(path: Path) -> Callable[[], dict[str, Any]]:
        size, crop = translator.image_size, translator.crop
        return lambda: {"reference": to_images([path], size, crop, "reference")}

    domains = known_domains([path.name for path in paths], [domain_of(p, translator.domains) for p in paths], target)
    return [
        Style(f"{domain}, {path.name}", domain, arguments_of(path)) for path, domain in zip(paths, domains, strict=True)
    ]


def known_domains(
    names: Sequence[str], domains: Sequence[str | None], default: str | None = None, key: str = "target"
) -> list[str]:
    """Return ``default``, or the domain of each image; UserError, with ``key``, where it is unknown."""
    known = []
    for name, own in zip(names, domains, strict=True):
        domain = default or own
        if domain is None:
            raise UserError(
                f"the domain of {name} is unknown", key=key, expected=f"{key}=DOMAIN, or a folder of that name"
            )
        known.append(domain)
    return known


def require(translator: Translator, style_input: str) -> None:
    """Raise UserError if a model does not take a style input."""
    if style_input not in translator.style_inputs:
        expected = ", ".join(translator.style_inputs) or "no style input, the target alone"
        raise UserError(
            f"the styles of {translator.about.model} are not of this kind", key=style_input, expected=expected
        )


def all_targets(translator: Translator) -> Sequence[str]:
    """Return the names of all targets: the domains to which the networks translate, or the labels."""
    if translator.takes_labels:
        return translator.labels
    domains = translator.domains
    return [domains[number] for number in translator.translation.reachable(len(domains))]


def label_names(translator: Translator, base: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the labels of a grid or film; UserError for a model without labels, and for unknown labels."""
    if not translator.takes_labels:
        raise UserError(f"{translator.about.model} translates to domains", key="kind", found="labels", expected=KINDS)
    if base:
        try:
            translator.targets(list(base))
        except UserError as error:
            raise UserError.of(replace(error.problem, key="attributes")) from error
    own = [each["names"] for each in translator.about.label_sets if not base or set(base) <= set(each["names"])]
    return names or [name for each in own for name in each]


def with_label(translator: Translator, base: Sequence[str], name: str) -> Any:
    """Return a target with the labels of ``base`` and another one; a hair colour takes the place of another."""
    if all(labels["kind"] == "classes" for labels in translator.about.label_sets):
        return name
    return [*(each for each in base if each != name and not (each in HAIR and name in HAIR)), name]
