"""The command `apply`: translate images by a trained model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from translate.commands.arguments import Command, arg, to_words
from translate.commands.weights import EXAMPLE_WEIGHTS, FACTS, EngineArguments, engine_of, place_of
from translate.console import setup_logging
from translate.errors import UserError, printable

if TYPE_CHECKING:
    from translate.inference.apply import Summary
    from translate.inference.apply_plan import Settings
    from translate.inference.engine import Engine
    from translate.inference.inputs import Source
    from translate.inference.names import NamePattern
    from translate.inference.outputs import RemoteOutput
    from translate.inference.variants import Variant

FAILED = 1
"""The exit code if files could not be translated."""

SHOWN = 20  # files that could not be translated, in the answer
OVERVIEW = "overview.png"


@dataclass(frozen=True)
class Arguments(EngineArguments):
    """The model, the images, the translations, and how they are computed."""

    input: tuple[str, ...] = arg(
        (),
        metavar="FILE|FOLDER|PATTERN",
        repeat=True,
        help="the images; repeatable; without it a few images are drawn",
    )
    output: str = arg(
        "translations",
        metavar="FOLDER",
        writes="folder",
        help="where the translations are written; also an address such as s3://bucket/translations",
    )
    target: tuple[str, ...] = arg(
        (), metavar="NAME|[NAME,...]", help="the domains, or labels, each a translation of its own; default all"
    )
    source: str | None = arg(
        None,
        metavar="DOMAIN",
        help="ComboGAN: the domain of the images; default the one that all their folders name, or the other of two",
    )
    direction: str | None = arg(
        None, metavar="AtoB|BtoA", help="instead of target, for two domains: also by their names, horse2zebra"
    )
    attributes: dict[str, float] | None = arg(
        None,
        metavar="{NAME: 1,...}",
        help="instead of target, for StarGAN: the labels of one translation; others are 0",
    )
    seed: tuple[int, ...] = arg((), metavar="N|[N,...]", help="the seeds of random styles; default 0")
    num_styles: int = arg(
        1, metavar="N", minimum=1, maximum=100_000, help="that many styles, with the seeds from seed on"
    )
    reference: tuple[str, ...] = arg(
        (),
        metavar="FILE|FOLDER|PATTERN",
        repeat=True,
        help="the style of an image, or the mean style of the images of a folder; repeatable",
    )
    psi: float | None = arg(
        None, metavar="NUMBER", minimum=-2, maximum=2, help="below 1: styles of seeds nearer to the mean style"
    )
    steps: int | None = arg(
        None,
        metavar="N",
        minimum=2,
        maximum=100_000,
        help="that many images from one of two seeds or references to the other",
    )
    resolution: Literal["auto", "model", "full"] = arg(
        "auto",
        help="model: resize to the size of training and back; full: the size of the image, for fully convolutional "
        "networks; auto: full where the networks can",
    )
    max_pixels: int = arg(
        1_000_000, metavar="N", minimum=4096, help="with full: larger images are translated in tiles of so many pixels"
    )
    format: Literal["png", "jpg", "webp", "tiff"] | None = arg(None, help="of the translations; default as the image")
    names: str | None = arg(
        None,
        metavar="PATTERN",
        help="the names of the translations, such as '{name}_fake_{target_number}': {name} is that of the image, "
        "{target} and {source} are the domains, {target_number} and {source_number} the numbers in their names, "
        "{style} is the style; default: the name of the image, in folders of targets and styles if there are several",
    )
    others: bool = arg(False, help="only targets other than the domain that the image's folder or name says")
    overwrite: bool = arg(False, help="replace files in the output folder")
    batch_size: int | None = arg(
        None,
        metavar="N",
        minimum=1,
        maximum=4096,
        help="images that are translated at once; default 1 on a CPU, 16 on a GPU",
    )


def run(arguments: Arguments) -> int:
    """Translate, print where the translations are, and return 0, or 1 if files could not be translated."""
    from translate.inference.names import NamePattern
    from translate.inference.outputs import opened

    pattern = None if arguments.names is None else NamePattern(arguments.names)
    place = place_of(arguments)
    if not arguments.input and place != EXAMPLE_WEIGHTS:
        raise UserError("this argument is missing", key="input", expected="input=FILE, FOLDER or PATTERN")
    with opened(arguments.output) as (output, remote):
        if remote is not None and not arguments.input:
            expected = "input=FILE, FOLDER or PATTERN for an output at an address"
            raise UserError("this argument is missing", key="input", expected=expected)
        summary = _translate(arguments, place, output, remote, pattern)
    print(answer(summary, not arguments.input))
    return FAILED if summary.failed else 0


def _translate(
    arguments: Arguments, place: str, output: Path, remote: "RemoteOutput | None", pattern: "NamePattern | None"
) -> "Summary":
    """Translate the images into a folder, which is copied to an address if one is given."""
    from translate.inference.apply import Settings, apply
    from translate.inference.examples import draw_examples
    from translate.inference.inputs import Source, sources_of
    from translate.inference.variants import Wishes, common_domain, variants_of

    sources = sources_of(arguments.input, output)
    if arguments.input and not sources:
        raise UserError("all images are below the output folder", key="input", fix="output=ANOTHER_FOLDER")
    setup_logging()
    engine = engine_of(arguments)
    wishes = Wishes(
        arguments.target,
        arguments.attributes,
        arguments.direction,
        arguments.seed,
        arguments.num_styles,
        arguments.reference,
        arguments.psi,
        arguments.steps,
        arguments.source or common_domain(sources, engine),
    )
    variants = variants_of(engine, wishes)
    if not sources:
        paths = draw_examples(output / "inputs", engine.image_size)
        sources = [Source(path, path.name) for path in paths]
    settings = Settings(
        output,
        arguments.resolution,
        arguments.max_pixels,
        arguments.format,
        arguments.overwrite,
        arguments.batch_size,
        place,
        tuple(_words(arguments, place)),
        pattern,
        arguments.others,
        remote,
    )
    summary = apply(engine, sources, variants, settings)
    if not arguments.input:
        _draw_overview(engine, sources, variants, settings)
    return summary


def _words(arguments: Arguments, place: str) -> list[str]:
    """Return the words that lead to the same model and settings, for the record."""
    kept = ("checkpoint", "resolution", "max_pixels", "format", "names", *FACTS, "plugins", "verify")
    words = [word for word in to_words(COMMAND, arguments) if word.partition("=")[0] in kept]
    return ["apply", f"weights={place}", *words]


def _draw_overview(
    engine: "Engine", sources: "Sequence[Source]", variants: "Sequence[Variant]", settings: "Settings"
) -> None:
    """Draw the images above their translations, enlarged, with labels."""
    import numpy as np
    import torch
    from PIL import Image

    from translate.inference.apply_plan import paths_of
    from translate.inference.grids import Grid, save
    from translate.inference.tiling import to_input

    def image(path: Path) -> torch.Tensor:
        return torch.from_numpy(to_input(np.asarray(Image.open(path).convert("RGB"))))

    names = [names for _, names in paths_of(engine, sources, variants, settings)]
    grid = Grid(
        [[None if name is None else image(settings.output / name) for name in row] for row in zip(*names, strict=True)],
        top=[image(source.path) for source in sources],
        row_labels=[", ".join(variant.names) or str(variant.facts["target"]) for variant in variants],
        column_labels=[Path(source.name).stem for source in sources],
    )
    save(grid.pixels(), settings.output / OVERVIEW)


def answer(summary: "Summary", examples: bool = False) -> str:
    """Return what is printed in the end."""
    count = len(summary.translations)
    lines = [f"{count:,} translation{'s' * (count != 1)} in {summary.output} ({summary.seconds:.1f} s)"]
    if summary.existing:
        lines.append(f"{summary.existing:,} were there already with these settings")
    if examples:
        lines.append(f"all of them beside their inputs: {Path(summary.output) / OVERVIEW}")
    lines += [f"{number:,} x: {note}" for note, number in summary.notes.most_common()]
    if summary.failed:
        lines.append(f"{len(summary.failed):,} not translated:")
        lines += [f"  {printable(str(path))} {reason}" for path, reason in summary.failed[:SHOWN]]
        if len(summary.failed) > SHOWN:
            lines.append(f"  and {len(summary.failed) - SHOWN:,} more")
    return "\n".join(lines)


COMMAND = Command(
    "apply",
    "Translate images by a trained model.",
    Arguments,
    run,
    examples=(
        ("apply", "a few drawn images, by weights that ship with the package"),
        ("apply weights=runs/stargan_v2/2026-01-31_12-00-00 input=photos output=out target=dog", "a folder"),
        (
            "apply weights=100000_nets_ema.ckpt input=cat.jpg domains=[cat,dog,wild] reference=dogs target=dog",
            "released",
        ),
        ("apply weights=latest_net_G_A.pth input='horses/*.jpg' direction=AtoB", "released weights of CycleGAN"),
    ),
    notes="A translation has the name, size and colour mode of its image. translations.jsonl in the output folder says "
    "how each was made. The same command again makes only what is missing. Exit code: 1 if files were not translated.",
)
