"""The arguments that name a trained model, which several commands share, and the model that they name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from translate.commands.arguments import arg
from translate.commands.completion import checkpoints, places_of_weights, run_folders
from translate.errors import UserError
from translate.registry import plugins
from translate.sizes import SizeLike

if TYPE_CHECKING:
    from translate.inference.engine import Engine
    from translate.inference.translator import Translator
    from translate.weights.published.layout import ImportOptions

EXAMPLE_WEIGHTS = "critters"
PROGRAM = ".pt2"
"""The suffix of torch's programs, which can hold code."""

RELEASED = "released files, which do not state these facts"
FACTS = ("model", "domains", "labels", "num_attributes", "label_counts", "image_size", "w_hpf", "dropout")


def verify_argument() -> Any:
    """Declare ``verify``, which every command has that reads a file of weights."""
    return arg(
        None,
        metavar="FILE.pub|KEY",
        help="a public key of minisign: refuse files without its signature before they are read",
    )


@dataclass(frozen=True)
class WeightsArguments:
    """The trained model."""

    weights: str | None = arg(
        None,
        metavar="NAME|FILE|RUN_FOLDER|hf://OWNER/NAME",
        help=f"the trained model: a name that ships with the package (default {EXAMPLE_WEIGHTS}), a weights file, a "
        "run folder, an address on the Hub, or released weights of StarGAN, StarGAN v2, CycleGAN or pix2pix as "
        "downloaded, a file or their folder",
        values=places_of_weights,
    )
    run: str | None = arg(
        None, metavar="RUN_FOLDER", help="the same as weights=RUN_FOLDER", values=run_folders, is_run=True
    )
    checkpoint: str = arg("last", metavar="last|best|N", help="a checkpoint of a run folder", values=checkpoints)
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="packages with the parts of the model")
    verify: str | None = verify_argument()
    domains: tuple[str, ...] | None = arg(
        None, metavar="[cat,dog]", help="the domains or labels, in the order of training", section=RELEASED
    )
    labels: Literal["attributes", "domain", "joint"] | None = arg(
        None,
        help="the kind of labels of StarGAN v1; joint: attributes, then the domains of another data set",
        section=RELEASED,
    )
    num_attributes: int | None = arg(
        None, metavar="N", minimum=1, help="with labels=joint: how many labels are attributes", section=RELEASED
    )
    label_counts: tuple[int, ...] | None = arg(
        None,
        metavar="[N,N,...]",
        minimum=1,
        help="with labels=joint: how many labels each data set has; num_attributes is by default the first number",
        section=RELEASED,
    )
    image_size: tuple[int, ...] | None = arg(
        None, metavar="PIXELS|[HEIGHT,WIDTH]", minimum=1, help="the image size of training", section=RELEASED
    )
    w_hpf: float | None = arg(
        None, metavar="NUMBER", minimum=0, help="StarGAN v2: the weight of the high-pass skips", section=RELEASED
    )
    model: Literal["cyclegan", "pix2pix"] | None = arg(
        None, help="the model of a file with one generator", section=RELEASED
    )
    dropout: bool | None = arg(None, help="whether a U-Net was trained with dropout", section=RELEASED)


@dataclass(frozen=True)
class EngineArguments(WeightsArguments):
    """The trained model, the device, and trust in files that can hold code."""

    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="where the networks run")
    trust: bool = arg(False, help="run a .pt2 file, which can hold code of its maker")


def place_of(arguments: WeightsArguments) -> str:
    """Return the place of the weights, by default those that ship with the package; UserError if it is not there."""
    from translate.runs.places import require_existing

    if arguments.weights is not None and arguments.run is not None:
        raise UserError("it is the same as weights", key="run", fix="remove one of the two")
    place = arguments.weights or arguments.run or EXAMPLE_WEIGHTS
    require_existing(place)
    return place


def options_of(arguments: WeightsArguments, licence: str | None = None) -> "ImportOptions":
    """Return the facts that released files do not state."""
    from translate.weights.published.layout import ImportOptions

    facts = {name: getattr(arguments, name) for name in FACTS}
    return ImportOptions(licence=licence, **{**facts, "image_size": size_of(arguments.image_size)})


def size_of(sides: tuple[int, ...] | None) -> SizeLike | None:
    """Return the size that the word ``image_size`` says: one number, or two."""
    return sides[0] if sides is not None and len(sides) == 1 else sides


def translator_of(arguments: WeightsArguments, device: str) -> "Translator":
    """Return the translator of the weights, after the plug-ins are active."""
    from translate.inference.devices import chosen_device
    from translate.inference.translator import Translator
    from translate.weights.load import weights_of

    plugins.activate(arguments.plugins)
    weights = weights_of(place_of(arguments), arguments.checkpoint, options_of(arguments), arguments.verify)
    return Translator(weights, chosen_device(device))


def engine_of(arguments: EngineArguments) -> "Engine":
    """Return the engine of the weights: that of exported files for them, else torch."""
    from translate.downloads import hub
    from translate.runs.places import exported_suffix
    from translate.weights import signatures

    place = place_of(arguments)
    suffix = exported_suffix(place)
    if suffix is not None:
        _refuse_for_exported_files(arguments)
        if arguments.verify is not None:
            signatures.verify(place, arguments.verify)
        place = str(hub.fetch(place)) if hub.is_address(place) else place
    if arguments.trust and suffix != PROGRAM:
        raise UserError(f"only {PROGRAM} files need trust", key="trust", fix="leave the argument out")
    if suffix == PROGRAM:
        from translate.inference.torch_program import open_programs

        return open_programs(place, arguments.trust)
    if suffix is not None:
        from translate.inference.onnx_runtime import open_onnx

        return open_onnx(place)
    from translate.inference.torch_engine import TorchEngine

    return TorchEngine(translator_of(arguments, arguments.device))


def _refuse_for_exported_files(arguments: EngineArguments) -> None:
    """Raise UserError for arguments that exported files do not take."""
    defaults = EngineArguments()
    for name in ("checkpoint", *FACTS):
        if getattr(arguments, name) != getattr(defaults, name):
            raise UserError("an exported file describes itself", key=name, fix="leave the argument out")
    if arguments.device not in ("auto", "cpu"):
        raise UserError("exported files run on the CPU", key="device", found=arguments.device, expected="cpu")
