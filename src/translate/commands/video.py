"""The command `video`: a film of translations whose style changes gradually, or of a training run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from translate.commands.arguments import Command, arg
from translate.commands.completion import checkpoints, run_folders
from translate.errors import Phrase, UserError

Kind = Literal["latent", "reference", "labels", "training"]
MAX_SOURCES = 16


@dataclass(frozen=True)
class Arguments:
    """The model, the images, the styles, and the film."""

    weights: str = arg(metavar="FILE|RUN_FOLDER|hf://OWNER/NAME", help="the trained model", values=run_folders)
    input: tuple[str, ...] = arg(
        (), metavar="FILE|FOLDER|PATTERN", repeat=True, help="the sources, side by side; repeatable"
    )
    output: Path = arg(Path("video.mp4"), metavar="FILE.mp4|webm|gif", help="the file of the film")
    kind: Kind | None = arg(
        None,
        help="latent: from seed to seed; reference: from the style of an image to the next; labels: label after "
        "label fades in; training: the sample grids of a run; default: the first that other arguments allow",
    )
    reference: tuple[str, ...] = arg(
        (), metavar="FILE|FOLDER|PATTERN", repeat=True, help="images with the styles of the key frames; repeatable"
    )
    target: tuple[str, ...] | None = arg(None, metavar="[DOMAIN,...]", help="the target domains in turn; default all")
    attributes: tuple[str, ...] = arg((), metavar="[NAME,...]", help="labels that every frame has")
    seeds: tuple[int, ...] = arg((0, 1, 2, 3), metavar="[N,...]", help="the seeds of latent codes, a key frame each")
    psi: float | None = arg(None, metavar="NUMBER", help="below 1: styles of codes nearer to the mean style")
    grid: str | None = arg(None, metavar="NAME", help="which sample grids of a run, such as latent or cycle")
    steps: int = arg(24, metavar="N", minimum=1, help="frames from one key frame to the next")
    fps: float | None = arg(
        None, metavar="NUMBER", minimum=0.1, help="frames per second; default 24, or 4 for the sample grids of a run"
    )
    loop: bool = arg(True, help="lead from the last key frame back to the first")
    checkpoint: str = arg("last", metavar="last|best|N", help="a checkpoint of a run folder", values=checkpoints)
    device: str = arg("cpu", metavar="cpu|cuda", help="the device that translates")


def run(arguments: Arguments) -> int:
    """Write the film frame by frame and print its path; return 0."""
    kind = arguments.kind or ("training" if not arguments.input else None)
    if kind == "training" and arguments.input:
        raise UserError("the film of a run has no sources", key="input", fix="leave the argument out")
    if kind != "training" and not arguments.input:
        raise UserError("this argument is missing", key="input", expected="input=FILE, FOLDER or PATTERN")
    from translate.inference import video

    fps = arguments.fps or (4.0 if kind == "training" else 24.0)
    count = video.write(arguments.output, _training(arguments) if kind == "training" else _styles(arguments), fps)
    print(f"{arguments.output}: {count} frames, {count / fps:.1f} s")
    return 0


def _training(arguments: Arguments) -> Iterator[Any]:
    from translate.inference.compositions import training_frames
    from translate.runs.folder import RunFolder

    folder = RunFolder(Path(arguments.weights)).require_run("weights")
    return training_frames(folder.samples, arguments.grid)


def _styles(arguments: Arguments) -> Iterator[Any]:
    from translate.commands.grid import chosen_styles
    from translate.inference.compositions import Sources, label_frames, style_frames
    from translate.inference.inputs import image_paths
    from translate.inference.translator import load

    paths = [path for place in arguments.input for path in image_paths(place)]
    if len(paths) > MAX_SOURCES:
        raise UserError(key="input", found=Phrase(f"{len(paths)} images"), expected=f"at most {MAX_SOURCES}")
    references = [path for place in arguments.reference for path in image_paths(place, "reference")]
    if arguments.kind == "reference" and not references:
        raise UserError("this argument is missing", key="reference", expected="reference=FILE, FOLDER or PATTERN")
    translator = load(arguments.weights, arguments.device, arguments.checkpoint)
    sources = Sources.read(paths, translator)
    if arguments.kind == "labels" or (arguments.kind is None and translator.takes_labels):
        return label_frames(translator, sources, arguments.attributes, arguments.steps, arguments.loop)
    shown = Sources.read(references, translator, "reference") if references and arguments.kind != "latent" else None
    styles = chosen_styles(arguments, translator, shown)
    return style_frames(translator, sources, styles, arguments.steps, arguments.loop)


COMMAND = Command(
    name="video",
    summary="Make a film of translations, or of the progress of a run.",
    arguments=Arguments,
    run=run,
    examples=(
        ("video weights=runs/stargan_v2/today input=cat.jpg", "through the styles of four seeds in every domain"),
        ("video weights=FILE input=cat.jpg reference=dogs/ target=[dog]", "through the styles of other images"),
        ("video weights=runs/stargan_v2/today output=training.gif", "the sample grids of a run, one after the other"),
    ),
)
