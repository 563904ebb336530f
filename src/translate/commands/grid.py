"""The command `grid`: draw translations of images as one labelled image."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from translate.commands.arguments import Command, arg
from translate.commands.weights import EXAMPLE_WEIGHTS, WeightsArguments, place_of, translator_of
from translate.errors import Phrase, UserError

if TYPE_CHECKING:
    from translate.inference.composed_grids import Grids
    from translate.inference.compositions import SourceFiles, Style
    from translate.inference.translator import Translator

Kind = Literal["latent", "reference", "labels", "cycle"]
DEFAULT_SEEDS = (0, 1, 2)


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
    target: tuple[str, ...] = arg(
        (), metavar="[NAME,...]", help="the target domains in turn, or the labels of the kind labels; default all"
    )
    attributes: tuple[str, ...] = arg((), metavar="[NAME,...]", help="StarGAN: labels that every translation has")
    seeds: tuple[int, ...] = arg((), metavar="[N,...]", help="the seeds of latent codes, in turn; default [0,1,2]")
    psi: float | None = arg(
        None, metavar="NUMBER", minimum=-2, maximum=2, help="below 1: styles of codes nearer to the mean style"
    )
    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="where the networks run")


@dataclass(frozen=True)
class Arguments(StyleArguments):
    """The kind of the grid and its file."""

    output: Path = arg(Path("grid.png"), metavar="FILE.png", writes="file", help="the file of the grid")
    kind: Kind | None = arg(
        None,
        help="latent: styles of seeds; reference: styles of images; labels: a column for each label; cycle: there and "
        "back; default: the first of them that the other arguments and the model allow",
    )
    source: str | None = arg(None, metavar="DOMAIN", help="the domain of the sources, for the way back")
    columns: int | None = arg(
        None, metavar="N", minimum=1, help="sources in one file, of kinds without labels; default as many as fit"
    )
    side: int = arg(
        900, metavar="PIXELS", minimum=32, maximum=20_000, help="the longer side, at least; small images are enlarged"
    )


def run(arguments: Arguments) -> int:
    """Draw the grids, write them, and print their paths; return 0."""
    from translate.inference.grids import check_suffix, save

    check_suffix(arguments.output)
    require_input(arguments)
    references = reference_paths(arguments)
    translator = translator_of(arguments, arguments.device)
    with source_files(arguments, translator) as sources:
        grids = draw(arguments, translator, sources, references)
        for number, grid in enumerate(grids, start=1):
            pixels = grid().pixels(arguments.side)
            output = numbered(arguments.output, number, len(grids))
            save(pixels, output)
            print(f"{output}: {pixels.shape[1]} x {pixels.shape[0]} pixels", flush=True)
    return 0


def numbered(path: Path, number: int, count: int) -> Path:
    """Return the path of one of several files.

    >>> numbered(Path("grid.png"), 1, 1).name, numbered(Path("grid.png"), 3, 12).name
    ('grid.png', 'grid_03.png')
    """
    return path if count == 1 else path.with_stem(f"{path.stem}_{number:0{len(str(count))}d}")


def require_input(arguments: StyleArguments) -> None:
    """Raise UserError if no images are named, and other weights than those that can translate drawn images."""
    if not arguments.input and place_of(arguments) != EXAMPLE_WEIGHTS:
        raise UserError("this argument is missing", key="input", expected="input=FILE, FOLDER or PATTERN")
    source_paths(arguments)


def source_paths(arguments: StyleArguments) -> list[Path]:
    """Return the image files of ``input``."""
    from translate.inference.inputs import image_paths

    return [path for place in arguments.input for path in image_paths(place)]


def reference_paths(arguments: StyleArguments) -> list[Path]:
    """Return the image files of ``reference``."""
    from translate.inference.inputs import image_paths

    return [path for place in arguments.reference for path in image_paths(place, "reference")]


@contextmanager
def source_files(arguments: StyleArguments, translator: "Translator") -> Iterator["SourceFiles"]:
    """Yield the images of ``input``, or drawn images without it, which are there until the block ends."""
    from translate.inference.compositions import SourceFiles
    from translate.inference.examples import draw_examples

    with tempfile.TemporaryDirectory() as folder:
        paths = source_paths(arguments) or draw_examples(Path(folder), translator.image_size)
        yield SourceFiles(paths, translator)


def draw(arguments: Arguments, translator: "Translator", sources: "SourceFiles", references: list[Path]) -> "Grids":
    """Return the grids of the kind that the words name, or of the first one that they and the model allow."""
    from translate.inference import composed_grids

    kind = arguments.kind or kind_of(translator, references)
    check_words(arguments, translator, kind)
    refuse(arguments, ("source",) if kind != "cycle" else (), f"grids of the kind {kind} have no way back")
    refuse(arguments, ("columns",) if kind == "labels" else (), "grids of the kind labels have the labels as columns")
    if kind == "labels":
        return composed_grids.label_grids(translator, sources, arguments.attributes, arguments.target)
    styles = chosen_styles(arguments, translator, references, DEFAULT_SEEDS)
    if kind == "cycle":
        return composed_grids.cycle_grids(translator, sources, styles, arguments.source, arguments.columns)
    return composed_grids.style_grids(translator, sources, styles, arguments.columns)


def check_words(arguments: StyleArguments, translator: "Translator", kind: str) -> None:
    """Raise UserError for words that a kind of grids or films, or the model, does not use."""
    if kind == "reference" and not arguments.reference:
        raise UserError("this argument is missing", key="reference", expected="reference=FILE, FOLDER or PATTERN")
    without = f"the styles of the kind {kind} are not"
    if kind in ("latent", "labels"):
        refuse(arguments, ("reference",), f"{without} those of images")
    if kind in ("reference", "labels") or arguments.reference:
        refuse(
            arguments, ("seeds", "psi"), f"{without} those of codes" if kind != "cycle" else "references have no seeds"
        )
    if "code" not in translator.style_inputs:
        refuse(arguments, ("seeds", "psi"), f"{translator.about.model} has no styles of codes")
    if kind != "labels":
        refuse(arguments, ("attributes",), f"the kind {kind} has targets alone")


def refuse(arguments: StyleArguments, names: tuple[str, ...], statement: str) -> None:
    """Raise UserError with a statement if one of the arguments is not the default."""
    defaults = type(arguments)()
    for name in names:
        if getattr(arguments, name) != getattr(defaults, name):
            raise UserError(statement, key=name, fix="leave the argument out")


def chosen_styles(
    arguments: StyleArguments, translator: "Translator", references: list[Path], seeds: tuple[int, ...]
) -> "list[Style]":
    """Return the styles of the references, or of the seeds, by default ``seeds``, in each target."""
    from translate.inference import compositions

    if not references:
        targets = arguments.target or compositions.all_targets(translator)
        return compositions.styles_of_seeds(translator, targets, arguments.seeds or seeds, arguments.psi)
    if len(arguments.target) > 1:
        raise UserError(key="target", found=Phrase(f"{len(arguments.target)} domains"), expected="one for references")
    return compositions.styles_of_references(translator, references, (*arguments.target, None)[0])


def kind_of(translator: "Translator", references: list[Path]) -> Literal["latent", "reference", "labels"]:
    """Return the kind of grids or films that the model and the words suggest."""
    if references:
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
