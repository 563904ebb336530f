"""The command `grid`: draw translations of images as one labelled image."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from translate.commands.arguments import Command, arg
from translate.commands.weights import EXAMPLE_WEIGHTS, WeightsArguments, place_of, translator_of
from translate.errors import Phrase, UserError

if TYPE_CHECKING:
    from translate.inference.compositions import Sources, Style
    from translate.inference.grids import Grid
    from translate.inference.translator import Translator

Kind = Literal["latent", "reference", "labels", "cycle"]
MAX_SOURCES = 100


@dataclass(frozen=True)
class StyleArguments(WeightsArguments):
    """The model, the images and the styles, which `grid` and `video` share."""

    input: tuple[str, ...] = arg(
        (),
        metavar="FILE|FOLDER|PATTERN",
        repeat=True,
        help=f"the sources, side by side; repeatable; without it images are drawn for {EXAMPLE_WEIGHTS}",
    )
    reference: tuple[str, ...] = arg(
        (), metavar="FILE|FOLDER|PATTERN", repeat=True, help="images whose styles are taken in turn; repeatable"
    )
    target: tuple[str, ...] | None = arg(None, metavar="[DOMAIN,...]", help="the target domains in turn; default all")
    attributes: tuple[str, ...] = arg((), metavar="[NAME,...]", help="labels that every translation has")
    seeds: tuple[int, ...] = arg((0, 1, 2), metavar="[N,...]", help="the seeds of latent codes, in turn")
    psi: float | None = arg(None, metavar="NUMBER", help="below 1: styles of codes nearer to the mean style")
    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="where the networks run")


@dataclass(frozen=True)
class Arguments(StyleArguments):
    """The kind of the grid and its file."""

    output: Path = arg(Path("grid.png"), metavar="FILE.png", help="the file of the grid")
    kind: Kind | None = arg(
        None,
        help="latent: styles of seeds; reference: styles of images; labels: a column for each label; cycle: there and "
        "back; default: the first of them that the other arguments and the model allow",
    )
    source: str | None = arg(None, metavar="DOMAIN", help="the domain of the sources, for the way back")
    side: int = arg(900, metavar="PIXELS", minimum=32, help="the longer side, at least; small images are enlarged")


def run(arguments: Arguments) -> int:
    """Draw the grid, write it, and print its path; return 0."""
    from translate.inference.compositions import Sources
    from translate.inference.grids import check_suffix, save
    from translate.inference.inputs import image_paths

    check_suffix(arguments.output)
    paths = source_paths(arguments, MAX_SOURCES)
    references = [path for place in arguments.reference for path in image_paths(place, "reference")]
    translator = translator_of(arguments, arguments.device)
    sources = read_sources(paths, translator)
    grid = draw(
        arguments, translator, sources, Sources.read(references, translator, "reference") if references else None
    )
    pixels = grid.pixels(arguments.side)
    save(pixels, arguments.output)
    print(f"{arguments.output}: {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return 0


def source_paths(arguments: StyleArguments, most: int) -> list[Path]:
    """Return the image files of ``input``; [] for drawn images, which the weights that ship can translate."""
    from translate.inference.inputs import image_paths

    if not arguments.input and place_of(arguments) != EXAMPLE_WEIGHTS:
        raise UserError("this argument is missing", key="input", expected="input=FILE, FOLDER or PATTERN")
    paths = [path for place in arguments.input for path in image_paths(place)]
    if len(paths) > most:
        raise UserError(key="input", found=Phrase(f"{len(paths)} images"), expected=f"at most {most}")
    return paths


def read_sources(paths: Sequence[Path], translator: "Translator") -> "Sources":
    """Return the images of files at the model's size; drawn images without a file."""
    from translate.inference.compositions import Sources
    from translate.inference.examples import draw_examples

    if paths:
        return Sources.read(paths, translator)
    with tempfile.TemporaryDirectory() as folder:
        return Sources.read(draw_examples(Path(folder), translator.image_size), translator)


def draw(arguments: Arguments, translator: "Translator", sources: "Sources", references: "Sources | None") -> "Grid":
    """Return the grid of the kind that the words name, or of the first one that they and the model allow."""
    from translate.inference import compositions

    kind = arguments.kind or _kind(translator, references)
    if kind == "labels":
        return compositions.label_grid(translator, sources, arguments.attributes)
    if kind == "reference" and references is None:
        raise UserError("this argument is missing", key="reference", expected="reference=FILE, FOLDER or PATTERN")
    styles = chosen_styles(arguments, translator, references if kind != "latent" else None)
    if kind == "cycle":
        return compositions.cycle_grid(translator, sources, styles, arguments.source)
    return compositions.style_grid(translator, sources, styles)


def chosen_styles(arguments: StyleArguments, translator: "Translator", references: "Sources | None") -> "list[Style]":
    """Return the styles of the references, or of the seeds in each target."""
    from translate.inference import compositions

    if references is None:
        targets = arguments.target or translator.domains or translator.labels
        return compositions.styles_of_seeds(translator, targets, arguments.seeds, arguments.psi)
    if arguments.psi is not None:
        raise UserError("it moves the styles of codes", key="psi", expected="no references")
    if arguments.target is not None and len(arguments.target) > 1:
        raise UserError(key="target", found=Phrase(f"{len(arguments.target)} domains"), expected="one for references")
    return compositions.styles_of_references(translator, references, (arguments.target or (None,))[0])


def _kind(translator: "Translator", references: "Sources | None") -> Kind:
    if references is not None:
        return "reference"
    return "labels" if translator.takes_labels else "latent"


COMMAND = Command(
    name="grid",
    summary="Draw translations of images as one labelled image.",
    arguments=Arguments,
    run=run,
    examples=(
        ("grid weights=runs/stargan_v2/today input=photos/", "all domains, three seeds each"),
        ("grid weights=FILE input=photos/ reference=styles/ target=[dog]", "the styles of other images"),
        ("grid weights=FILE input=photos/cat kind=cycle source=cat", "there and back"),
    ),
)
