"""The command `align`: turn, scale and crop photographs of faces as those of CelebA-HQ."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from translate.commands.arguments import Command, arg, existing_file
from translate.commands.weights import verify_argument
from translate.errors import UserError, printable
from translate.weights import signatures

if TYPE_CHECKING:
    from translate.inference.faces import Summary
    from translate.inference.inputs import Source

FAILED = 1
"""The exit code if files could not be aligned."""

SOURCE = "github.com/clovaai/stargan-v2, where 'bash download.sh wing' fetches it"
SHOWN = 20  # files that could not be aligned, in the answer


@dataclass(frozen=True)
class Arguments:
    """The photographs, the files of the method, and the size."""

    input: tuple[str, ...] = arg(
        metavar="FILE|FOLDER|PATTERN", repeat=True, help="photographs, each with one face that fills much of it"
    )
    output: Path = arg(metavar="FOLDER", writes="folder", help="where the aligned faces are written")
    weights: Path = arg(metavar="wing.ckpt", help=f"the landmark network, from {SOURCE}")
    mean: Path = arg(
        metavar="celeba_lm_mean.npz|FOLDER", help="the mean landmarks, or a folder of aligned faces to take them from"
    )
    image_size: int = arg(256, metavar="PIXELS", minimum=64, maximum=16_384, help="the side of the aligned faces")
    crop: Literal["none", "square"] = arg(
        "none", help="first squeeze the photograph to a square, as the official code does, or cut out the middle square"
    )
    sha256: str | None = arg(None, metavar="DIGEST", help="refuse another file of weights than that with this digest")
    verify: str | None = verify_argument()
    overwrite: bool = arg(False, help="replace files in the output folder")
    device: str = arg("auto", metavar="auto|cpu|cuda", help="where the network runs")


def run(arguments: Arguments) -> int:
    """Align, print where the faces are, and return 0, or 1 if files could not be aligned."""
    if not arguments.weights.is_file():
        fix = f"get wing.ckpt from {SOURCE}, and write weights=PATH"
        raise UserError("there is no such file", key="weights", found=str(arguments.weights), fix=fix)
    if arguments.verify is not None:
        signatures.verify(arguments.weights, arguments.verify)
    from translate.inference.inputs import image_paths, sources_of

    aligned_faces = image_paths(arguments.mean, key="mean") if arguments.mean.is_dir() else []
    if not aligned_faces:
        existing_file("mean", arguments.mean)
    sources = sources_of(arguments.input, arguments.output)
    targets = _targets(sources, arguments.output)

    from translate.inference import faces
    from translate.inference.devices import chosen_device
    from translate.networks.wing import FaceLandmarks
    from translate.weights import pretrained

    device = chosen_device(arguments.device)
    network = FaceLandmarks(str(arguments.weights), arguments.sha256)
    pretrained.load(network)
    network.to(device)
    if aligned_faces:
        mean = faces.mean_landmarks(network, aligned_faces, device)
    else:
        mean = faces.read_mean_landmarks(arguments.mean)
    aligner = faces.FaceAligner(network, mean, arguments.image_size)
    pairs = [(source.path, target) for source, target in zip(sources, targets, strict=True)]
    summary = faces.align_files(aligner, pairs, arguments.crop, arguments.overwrite)
    print(_answer(arguments.output, summary))
    return FAILED if summary.failed else 0


def _targets(sources: "Sequence[Source]", output: Path) -> list[Path]:
    """Return the file of each aligned face; UserError if two are the same, or one is a photograph."""
    from translate.data.images import is_image

    targets = []
    for source in sources:
        target = output / source.name
        targets.append(target if is_image(target.name) else target.with_name(f"{target.name}.png"))
    originals = {os.path.realpath(source.path) for source in sources}  # also of a link that leads to itself
    for target in targets:
        if os.path.realpath(target) in originals:
            raise UserError(f"{target} is a photograph of the input", key="output", fix="name another folder")
    if len(set(targets)) < len(targets):
        name = next(target for target in targets if targets.count(target) > 1)
        raise UserError(f"two photographs would be written to {name}", key="input", fix="align the folders one by one")
    if not targets:
        raise UserError("all images are below the output folder", key="input", fix="output=ANOTHER_FOLDER")
    return targets


def _answer(output: Path, summary: "Summary") -> str:
    """Return what is printed in the end."""
    failed = summary.failed
    lines = [f"{summary.written:,} aligned face{'s' * (summary.written != 1)} in {output}"]
    if summary.existing:
        lines.append(f"{summary.existing:,} were there already; overwrite=true replaces them")
    if failed:
        lines.append(f"{len(failed):,} not aligned:")
        lines += [f"  {printable(str(path))} {reason}" for path, reason in failed[:SHOWN]]
        if len(failed) > SHOWN:
            lines.append(f"  and {len(failed) - SHOWN:,} more")
    return "\n".join(lines)


COMMAND = Command(
    "align",
    "Align photographs of faces as those of CelebA-HQ.",
    Arguments,
    run,
    examples=(
        ("align input=photos output=aligned weights=wing.ckpt mean=celeba_lm_mean.npz", "photographs of a folder"),
        ("align input=me.jpg output=aligned weights=wing.ckpt mean=datasets/celeba_hq/val", "the mean of other faces"),
    ),
    notes="Each photograph should show one face, roughly cut out. The same command again aligns only what is missing. "
    "Exit code: 1 if files were not aligned.",
)
