"""The command `stylize`: give photographs the style of a painting, by optimization of the image."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from translate.commands.arguments import Command, arg
from translate.commands.weights import verify_argument
from translate.console import setup_logging
from translate.errors import UserError, printable
from translate.networks.shipped_files import names
from translate.weights import signatures

if TYPE_CHECKING:
    from translate.inference.inputs import Source
    from translate.inference.stylize import Settings
    from translate.inference.stylize_files import Summary

FAILED = 1
"""The exit code if files could not be read."""

LOSS = "the loss"
EXAMPLE_SIDE = 192  # pixels of the image that is drawn without input


@dataclass(frozen=True)
class Arguments:
    """The images, the style, the loss, and how it is minimized."""

    input: tuple[str, ...] = arg(
        (), metavar="FILE|FOLDER|PATTERN", repeat=True, help="the images; repeatable; without it one is drawn"
    )
    style: tuple[str, ...] = arg(
        ("strokes",),
        metavar="FILE|NAME",
        repeat=True,
        help="the style image: a file, or strokes, mosaic, waves, dots, drawn by program; of several the mean",
    )
    output: Path = arg(Path("stylized"), metavar="FOLDER", writes="folder", help="where the images are written")
    size: tuple[int, ...] = arg(
        (256,),
        metavar="PIXELS|[PIXELS,...]",
        minimum=0,
        maximum=65_536,
        help="the longer side of the work, in stages; 0: that of the image",
    )
    evaluations: tuple[int, ...] = arg(
        (300,),
        metavar="N|[N,...]",
        minimum=0,
        help="evaluations of the loss, of each stage; one number serves all",
    )
    style_size: int | None = arg(
        None,
        metavar="PIXELS",
        minimum=16,
        maximum=65_536,
        help="the longer side of the style image; default as the stage",
    )
    start: Literal["content", "noise"] = arg("content", help="where the image begins")
    seed: int = arg(0, metavar="N", minimum=0, help="of a start from noise")
    keep_colours: bool = arg(False, help="take the brightness alone from the style")
    features: str = arg(
        "critters_vgg",
        metavar="FILE|NAME",
        help="the weights of VGG16 or VGG19, or the small network that ships",
        section=LOSS,
    )
    verify: str | None = verify_argument()
    pooling: Literal["max", "average"] = arg("max", help="of the features; the paper has average", section=LOSS)
    scale: Literal["relative", "notebook"] = arg(
        "relative",
        help="relative: distances relative to their targets; notebook: the weights of Gatys' notebook, 1000 / C^2",
        section=LOSS,
    )
    content_weight: float = arg(1.0, metavar="NUMBER", minimum=0, help="of the content", section=LOSS)
    style_weight: float | None = arg(
        None, metavar="NUMBER", minimum=0, help="of the style; default 10, with scale=notebook 1", section=LOSS
    )
    variation: float | None = arg(
        None,
        metavar="NUMBER",
        minimum=0,
        help="of differences of neighbours, more is smoother; default 1e-5, with scale=notebook 0",
        section=LOSS,
    )
    content_layers: tuple[str, ...] = arg(
        ("relu4_2",), metavar="[relu4_2,...]", help="layers of the content", section=LOSS
    )
    style_layers: tuple[str, ...] = arg(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        metavar="[relu1_1,...]",
        help="layers of the style",
        section=LOSS,
    )
    optimizer: Literal["lbfgs", "adam"] = arg("lbfgs", help="L-BFGS needs fewer evaluations, Adam less memory")
    rate: float | None = arg(
        None, metavar="NUMBER", minimum=0, help="of the optimizer; default 1 of L-BFGS, 10 of Adam"
    )
    history: int = arg(
        100, metavar="N", minimum=1, maximum=10_000, help="moves that L-BFGS remembers, each two images of memory"
    )
    preview_every: int = arg(50, metavar="N", minimum=0, help="evaluations between previews beside the output; 0: none")
    save_every: int = arg(50, metavar="N", minimum=0, help="evaluations between saved states; 0: none")
    overwrite: bool = arg(False, help="replace files in the output folder, and begin anew")
    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="where the loss is computed")


def run(arguments: Arguments) -> int:
    """Optimize all images; return 0, or 1 if files could not be read."""
    from translate.data import style_images
    from translate.inference.devices import chosen_device
    from translate.inference.inputs import sources_of
    from translate.inference.style_progress import ProgressBar
    from translate.inference.stylize_files import Files, stylize_files
    from translate.weights.features import open_vgg

    setup_logging()
    if arguments.verify is not None:
        if arguments.features in names():
            raise signatures.shipped_unsigned()
        signatures.verify(arguments.features, arguments.verify)
    settings = _settings(arguments)
    settings.check()
    styles = {place: style_images.read(place, key="style") for place in arguments.style}
    sources = sources_of(arguments.input, arguments.output) if arguments.input else [_example(arguments.output)]
    if not sources:
        raise UserError("all images are below the output folder", key="input", fix="output=ANOTHER_FOLDER")
    features = open_vgg(arguments.features, settings.weights.layers, arguments.pooling)
    features.to(chosen_device(arguments.device))
    files = Files(arguments.output, arguments.overwrite, arguments.preview_every, arguments.save_every)
    with ProgressBar(len(sources) * sum(settings.evaluations)) as bar:
        summary = stylize_files(features, sources, styles, settings, files, bar.update)
    print(answer(summary, arguments.output))
    return FAILED if summary.failed else 0


def _settings(arguments: Arguments) -> "Settings":
    """Return the settings in the words."""
    from translate.inference.neural_style import LossWeights
    from translate.inference.stylize import STYLE_WEIGHT, VARIATION, Settings

    relative = arguments.scale == "relative"
    style_weight = (STYLE_WEIGHT if relative else 1.0) if arguments.style_weight is None else arguments.style_weight
    variation = (VARIATION if relative else 0.0) if arguments.variation is None else arguments.variation
    weights = LossWeights(
        dict.fromkeys(arguments.content_layers, arguments.content_weight),
        dict.fromkeys(arguments.style_layers, style_weight),
        variation,
        arguments.scale,
    )
    evaluations = arguments.evaluations
    if len(evaluations) == 1:
        evaluations *= len(arguments.size)
    return Settings(
        arguments.size,
        evaluations,
        weights,
        arguments.optimizer,
        arguments.rate,
        arguments.history,
        arguments.start,
        arguments.seed,
        arguments.style_size,
        arguments.keep_colours,
    )


def _example(output: Path) -> "Source":
    """Draw a critter beside the output, and return it."""
    from translate.inference.examples import draw_examples
    from translate.inference.inputs import Source

    path = draw_examples(output / "inputs", EXAMPLE_SIDE)[2]
    return Source(path, path.name)


def answer(summary: "Summary", output: Path) -> str:
    """Return what is printed in the end."""
    lines = [f"{len(summary.written):,} images in {output} ({summary.seconds:.1f} s)"]
    lines += [f"  {printable(str(path))}" for path in summary.written]
    if summary.existing:
        lines.append(f"{summary.existing:,} were there already with these settings")
    lines += summary.notes
    lines += [f"not read: {printable(str(path))} {reason}" for path, reason in summary.failed]
    return "\n".join(lines)


COMMAND = Command(
    "stylize",
    "Give images the style of a painting, by optimization.",
    Arguments,
    run,
    examples=(
        ("stylize", "a drawn image in a drawn style, by the network that ships; a minute on a CPU"),
        ("stylize input=photo.jpg style=painting.jpg features=vgg19-dcbb9e9d.pth size=[256,512]", "your own"),
        (
            "stylize input=photos style=painting.jpg features=vgg_conv.pth scale=notebook size=512 evaluations=500",
            "Gatys",
        ),
    ),
    notes="An image has the name, size and colour mode of its source; it is enlarged if the work is smaller. Beside an "
    "unfinished image there are a preview and its state: the same command goes on where it stopped, and ends with the "
    "same image. To train one network for a style, which takes a fraction of a second an image, see model=fast_style.",
)
