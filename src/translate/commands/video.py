"""The command `video`: a film of translations whose style changes gradually, or of a training run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from translate.commands.arguments import Command, arg
from translate.commands.grid import (
    StyleArguments,
    check_words,
    chosen_styles,
    kind_of,
    reference_paths,
    refuse,
    require_input,
    source_files,
)
from translate.commands.weights import place_of, translator_of
from translate.errors import UserError
from translate.runs.folder import RunFolder

Kind = Literal["latent", "reference", "labels", "training"]
DEFAULT_SEEDS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Arguments(StyleArguments):
    """The kind of the film and its file."""

    output: Path = arg(Path("video.mp4"), metavar="FILE.mp4|webm|gif", writes="file", help="the file of the film")
    kind: Kind | None = arg(
        None,
        help="latent: from seed to seed; reference: from the style of an image to the next; labels: label after "
        "label fades in; training: the sample grids of a run; default: the first that other arguments allow",
    )
    seeds: tuple[int, ...] = arg(
        (), metavar="[N,...]", help="the seeds of latent codes, a key frame each; default [0,1,2,3]"
    )
    grid: str | None = arg(None, metavar="NAME", help="which sample grids of a run, such as latent or cycle")
    steps: int = arg(24, metavar="N", minimum=1, maximum=100_000, help="frames from one key frame to the next")
    fps: float | None = arg(
        None,
        metavar="NUMBER",
        minimum=0.1,
        maximum=1000,
        help="frames per second; default 24, or 4 for the sample grids of a run",
    )
    loop: bool = arg(True, help="lead from the last key frame back to the first")


def run(arguments: Arguments) -> int:
    """Write the film frame by frame and print its path; return 0."""
    folder = RunFolder(Path(place_of(arguments)).expanduser())
    training = arguments.kind == "training" or (arguments.kind is None and not arguments.input and folder.is_run())
    if training and arguments.input:
        raise UserError("the film of a run has no sources", key="input", fix="leave the argument out")
    if training and arguments.verify is not None:
        raise UserError("the sample grids of a run are not signed", key="verify", fix="leave the argument out")
    from translate.inference import video
    from translate.inference.films import training_frames

    fps = arguments.fps or (4.0 if training else 24.0)
    frames = training_frames(folder.require_run("weights").samples, arguments.grid) if training else _styles(arguments)
    count = video.write(arguments.output, frames, fps)
    print(f"{arguments.output}: {count} frame{'s' * (count != 1)}, {count / fps:.1f} s")
    return 0


def _styles(arguments: Arguments) -> Iterator[Any]:
    from translate.inference.films import label_frames, style_frames

    require_input(arguments)
    references = reference_paths(arguments)
    translator = translator_of(arguments, arguments.device)
    with source_files(arguments, translator) as sources:
        kind = arguments.kind or kind_of(translator, references)
        check_words(arguments, translator, kind)
        refuse(arguments, ("grid",), "it belongs to the film of a run")
        if kind == "labels":
            names, base = arguments.target, arguments.attributes
            yield from label_frames(translator, sources, base, names, arguments.steps, arguments.loop)
            return
        styles = chosen_styles(arguments, translator, references, DEFAULT_SEEDS)
        yield from style_frames(translator, sources, styles, arguments.steps, arguments.loop)


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
