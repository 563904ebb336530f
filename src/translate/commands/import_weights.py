"""The command `import`: read official weights, as a weights file or as a run to train on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from translate.commands.arguments import Command, arg, existing_file, overrides, unknown
from translate.commands.export import HUB, SUFFIX
from translate.commands.weights import FACTS, size_of, verify_argument
from translate.errors import UserError
from translate.sizes import ImageSize


def models(words: Sequence[str] = ()) -> list[str]:
    """Return the names of all models."""
    from translate.registry.registry import MODELS

    return MODELS.names()


@dataclass(frozen=True)
class Arguments:
    """The files, the destination, and facts that the files do not contain."""

    weights: tuple[str, ...] = arg(
        metavar="FILE[,FILE]",
        help="official files, such as those of StarGAN v1 and v2, CycleGAN, CUT or pix2pix, a weights file, "
        "or a file on the Hub, "
        f"{HUB}owner/name/FILE",
    )
    to: str = arg(
        metavar=f"FILE{SUFFIX}|RUN_FOLDER",
        writes="either",
        help="a weights file for inference, or a run folder for further training with resume=RUN_FOLDER",
    )
    domains: tuple[str, ...] | None = arg(
        None, metavar="[cat,dog]", help="the domains or labels of the weights, in the order of training"
    )
    labels: Literal["attributes", "domain", "joint"] | None = arg(
        None, help="the kind of labels of StarGAN v1; joint: attributes, then the domains of another data set"
    )
    num_attributes: int | None = arg(
        None, metavar="N", minimum=1, help="with labels=joint: how many labels are attributes"
    )
    label_counts: tuple[int, ...] | None = arg(
        None,
        metavar="[N,N,...]",
        minimum=1,
        help="with labels=joint: how many labels each data set has; num_attributes is by default the first number",
    )
    image_size: tuple[int, ...] | None = arg(
        None, metavar="PIXELS|[HEIGHT,WIDTH]", minimum=1, help="the image size, where the networks do not determine it"
    )
    w_hpf: float | None = arg(None, metavar="NUMBER", minimum=0, help="StarGAN v2: the weight of the high-pass skips")
    model: str | None = arg(
        None,
        metavar="NAME",
        values=models,
        exact=True,
        help="the model of a lone generator: cyclegan or pix2pix, srgan or srresnet",
    )
    dropout: bool | None = arg(None, help="whether a U-Net, or XGAN's shared encoder, was trained with dropout")
    licence: str | None = arg(None, metavar="TAG", help="the licence of the weights, such as cc-by-nc-4.0")
    verify: str | None = verify_argument()
    overrides: tuple[str, ...] = overrides("for to=RUN_FOLDER: settings of the run, as for train: data=afhq")


def run(arguments: Arguments) -> int:
    """Write the weights file or the run folder, and print its content; return 0."""
    as_run = _is_run(arguments.to)
    if arguments.overrides and not as_run:
        raise unknown(COMMAND, arguments.overrides[0])
    for place in arguments.weights if len(arguments.weights) > 1 else ():
        if not place.startswith(HUB):
            existing_file("weights", Path(place).expanduser())
    from translate.export import importer
    from translate.weights import format
    from translate.weights.published.layout import ImportOptions

    facts = {name: getattr(arguments, name) for name in (*FACTS, "licence")}
    options = ImportOptions(**{**facts, "image_size": size_of(arguments.image_size)})
    weights = importer.read(arguments.weights, options, arguments.verify)
    path = Path(arguments.to).expanduser()
    if not as_run:
        format.write(weights, path)
        print(f"{path}: {weights.model} at {ImageSize.of(weights.image_size)} px, {', '.join(weights.networks)}")
        return 0
    run = importer.begin_run(weights, path, arguments.overrides)
    print(f"{run.folder}: a run of {weights.model} with the weights of {', '.join(run.imported)}")
    if run.initialized:
        print(f"not in the file, initialized from seed {run.seed}: {', '.join(run.initialized)}")
    print(f"to continue training: python -m translate resume={run.folder}")
    return 0


def _is_run(to: str) -> bool:
    """Return whether the destination is a run folder; UserError for an address on the Hub or another file."""
    if to.startswith(HUB):
        raise UserError(key="to", found=to, expected="a file", fix=f"python -m translate export weights=FILE to={to}")
    if not to.endswith(SUFFIX) and Path(to).suffix:
        raise UserError(key="to", found=to, expected=f"a name that ends in {SUFFIX}, or a folder for a run")
    return not to.endswith(SUFFIX)


COMMAND = Command(
    "import",
    "Import released weights, for inference or for further training.",
    Arguments,
    run,
    examples=(
        ("import weights=100000_nets_ema.ckpt to=faces.safetensors", "released weights to a weights file"),
        ("import weights=faces.safetensors to=runs/fine data=afhq", "weights to a run that starts from them"),
    ),
)
