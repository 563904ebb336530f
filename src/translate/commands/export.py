"""The command `export`: write the weights of a run or of a weights file, or the model for another runtime."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from translate.commands.arguments import Command, arg, to_words
from translate.commands.weights import WeightsArguments, options_of, place_of
from translate.errors import UserError
from translate.files.writing import check_writable, written
from translate.registry import plugins
from translate.runs.folder import BEST, RunFolder
from translate.weights.signatures import PASSWORD, Signer
from translate.weights.signatures import SUFFIX as SIGNATURE

SUFFIX = ".safetensors"
HUB = "hf://"
FORMATS = ("safetensors", "official", "onnx", "torch_export")
RUNTIMES = {"onnx": ".onnx", "torch_export": ".pt2"}
"""Formats that are programs, and the suffix of their files."""
OLD_FORMATS = {"translate": "safetensors", "published": "official"}
"""Values of `format` of version 0.1.0, accepted in this release with a warning."""


@dataclass(frozen=True)
class Arguments(WeightsArguments):
    """The source of the weights, and their destination."""

    to: str | None = arg(
        None,
        metavar=f"FILE{SUFFIX}|FOLDER|{HUB}OWNER/NAME",
        writes="either",
        help=f"the destination; default weights_<iteration>{SUFFIX} or <format>_<iteration>/ in the run folder; a "
        "folder for the other formats, or a file for one program; a repository of the Hugging Face Hub also receives a "
        "model card; log in first: hf auth login",
    )
    format: Literal["safetensors", "official", "onnx", "torch_export", "translate", "published"] = arg(
        "safetensors",
        metavar="|".join(FORMATS),
        help="safetensors: a weights file; official: the files that the official code reads; onnx, torch_export: "
        "programs for ONNX Runtime and torch, compared with the model before they are written",
        values=lambda words: FORMATS,
    )
    graphs: tuple[str, ...] = arg(
        (),
        metavar="[NAME,...]",
        help="of onnx and torch_export: networks such as generator, or the whole way: translate, translate_latent, "
        "translate_reference; default all",
    )
    aot: bool = arg(
        False, help="of torch_export: compile by AOTInductor for this processor; wants a C++ compiler, and minutes"
    )
    dtype: Literal["float32", "float16"] | None = arg(
        None, help="how a weights file stores its numbers; float16 halves the file; default float32"
    )
    networks: Literal["needed", "all"] | None = arg(
        None, name="with", help="needed: the networks of inference; default needed for a run, all for a file"
    )
    licence: str | None = arg(None, metavar="TAG", help="the licence of the weights, such as cc-by-4.0")
    sign: Path | None = arg(
        None,
        metavar="FILE.key",
        help=f"a secret key of minisign: write FILE{SIGNATURE} beside each file; the password of an encrypted key is "
        f"read from {PASSWORD}, or asked for",
    )
    private: bool | None = arg(None, help="create a private repository on the Hub")


def run(arguments: Arguments) -> int:
    """Write the files and print a line for each; return 0."""
    form = OLD_FORMATS.get(arguments.format, arguments.format)
    if form != arguments.format:
        old = f"format={arguments.format}"
        warnings.warn(f"{old} is now format={form}; the old name works in this release", stacklevel=2)
    _check_fit(arguments, form)
    place = existing_place(arguments)
    folder = run_folder_of(place, arguments.checkpoint)
    to = destination(arguments, folder, form)
    if arguments.private is not None and not to.startswith(HUB):
        raise UserError("only a repository on the Hub can be private", key="private", expected=f"to={HUB}owner/name")
    signer = None if arguments.sign is None else Signer(arguments.sign)
    if not to.startswith(HUB):
        check_writable(Path(to).expanduser().parent, "to")  # the default is in the run folder
    plugins.activate(arguments.plugins)
    with written(to):
        return _write(arguments, form, place, folder, to, signer)


def _write(
    arguments: Arguments, form: str, place: str, folder: RunFolder | None, to: str, signer: Signer | None
) -> int:
    if form in RUNTIMES:
        return _write_programs(arguments, form, place, Path(to).expanduser(), signer)
    from translate.export.weights import export

    everything = (arguments.networks or ("all" if folder is None else "needed")) == "all"
    lines = export(
        place,
        to,
        arguments.checkpoint,
        arguments.licence,
        cast(Any, form),
        everything,
        arguments.private,
        to_words(COMMAND, arguments),
        arguments.dtype or "float32",
        options_of(arguments, arguments.licence),
        arguments.verify,
        signer,
    )
    print("\n".join(lines))
    return 0


def _check_fit(arguments: Arguments, form: str) -> None:
    """Raise UserError for an argument that the format does not have."""
    fix = "leave the argument out"
    if arguments.dtype is not None and form != "safetensors":
        raise UserError(f"format={form} stores float32", key="dtype", fix=fix)
    if arguments.networks is not None and form in RUNTIMES:
        raise UserError(f"format={form} writes the networks of inference", key="with", fix=fix)
    if arguments.graphs and form not in RUNTIMES:
        raise UserError(f"format={form} has no graphs", key="graphs", fix=fix)
    if arguments.aot and form != "torch_export":
        raise UserError(f"format={form} is not compiled", key="aot", fix="format=torch_export")


def _write_programs(arguments: Arguments, form: str, place: str, to: Path, signer: Signer | None) -> int:
    """Write a model for another runtime and print a line for each file as soon as it is compared; return 0."""
    from translate.export import runtimes
    from translate.export.weights import signed
    from translate.inference.translator import Translator
    from translate.weights.load import weights_of

    weights = weights_of(place, arguments.checkpoint, options_of(arguments, arguments.licence), arguments.verify)
    files: list[Path] = []
    runtime = runtimes.runtime("aot" if arguments.aot else form)
    for exported in runtimes.export(Translator(weights), runtime, to, arguments.graphs):
        print(exported, flush=True)
        files.append(to if to.suffix == RUNTIMES[form] else to / exported.file)
    print("\n".join([f"written: {to}", *signed(files, signer)]))
    return 0


def existing_place(arguments: Arguments) -> str:
    """Return the place of the weights; UserError if none is named, and for one that is not there."""
    if arguments.weights is None and arguments.run is None:
        raise UserError("this argument is missing", key="weights", expected="NAME, FILE, RUN_FOLDER or hf://OWNER/NAME")
    if arguments.run is not None and arguments.weights is None:
        RunFolder(Path(arguments.run)).require_run()
    return place_of(arguments)


def run_folder_of(place: str, checkpoint: str | int) -> RunFolder | None:
    """Return the run folder at a place; None for other weights. UserError if it lacks the checkpoint."""
    folder = RunFolder(Path(place).expanduser())
    if place.startswith(HUB) or not folder.is_run():
        return None
    folder.choose(checkpoint)
    return folder


def destination(arguments: Arguments, folder: RunFolder | None, form: str) -> str:
    """Return where the files go; by default into the run folder, named by the checkpoint."""
    to = arguments.to
    if to is None:
        if form == "official" or folder is None:
            missing = f"to=FILE{SUFFIX}" if form == "safetensors" else "to=FOLDER"
            raise UserError("this argument is missing", key="to", expected=missing)
        name, path = folder.choose(arguments.checkpoint)
        which = BEST if name == BEST else path.stem
        return str(folder.path / (f"weights_{which}{SUFFIX}" if form == "safetensors" else f"{form}_{which}"))
    if form == "official" and (to.startswith(HUB) or Path(to).suffix or Path(to).is_file()):
        raise UserError(key="to", found=to, expected="a folder, since the official layout has several files")
    if form in RUNTIMES:
        suffix = Path(to).suffix
        if to.startswith(HUB) or (Path(to).is_file() and suffix != RUNTIMES[form]) or suffix in (SUFFIX, ".pt", ".pth"):
            raise UserError(key="to", found=to, expected=f"a folder, or a name that ends in {RUNTIMES[form]}")
        return to
    if to.startswith(HUB):
        from translate.downloads import hub

        hub.parse(to)
    elif form == "safetensors" and not to.endswith(SUFFIX):
        raise UserError(key="to", found=to, expected=f"a name that ends in {SUFFIX}, or {HUB}owner/name")
    return to


COMMAND = Command(
    "export",
    "Write a trained model as weights, or as programs for other runtimes.",
    Arguments,
    run,
    examples=(
        ("export run=runs/stargan_v2/2026-01-31_12-00-00", "a file in the run folder"),
        ("export run=runs/stargan_v2/2026-01-31_12-00-00 to=hf://me/cats licence=cc-by-4.0", "share on the Hub"),
        ("export run=runs/stargan_v2/2026-01-31_12-00-00 sign=lab.key", "with a signature, see docs/security.md"),
        ("export weights=faces.safetensors format=onnx to=faces", "ONNX files: each network, and the whole way"),
        ("export weights=faces.safetensors format=official to=out", "the files of the official code"),
    ),
    notes='In a program: translate.load(FILE, RUN_FOLDER or "hf://owner/name").translate(images, target=...)',
)
