"""The commands `export` and `import`: what they are asked, checked before torch is loaded."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from translate.commands import arguments as reading
from translate.errors import UserError
from translate.runs.folder import BEST, LAST, RunFolder

EXPORT = {
    "run": "RUN_FOLDER",
    "weights": "FILE.safetensors",
    "checkpoint": "last, best or an iteration",
    "to": "FILE.safetensors, FOLDER or hf://owner/name",
    "licence": "a tag such as cc-by-4.0",
    "format": "translate or official",
    "with": "needed or all",
    "private": "true or false",
}
IMPORT = {
    "weights": "FILE or FILE,FILE",
    "to": "FILE.safetensors or RUN_FOLDER",
    "model": "cyclegan or pix2pix",
    "domains": "[cat,dog]",
    "labels": "attributes or domain",
    "image_size": "a number of pixels",
    "w_hpf": "a number",
    "dropout": "true or false",
    "licence": "a tag such as cc-by-4.0",
}
"""What each word of a command stands for."""

HELP = {
    "export": """\
  run=RUN_FOLDER             whose weights; the averaged ones where there are any
  weights=FILE.safetensors   instead of run: weights that were exported or imported before
  checkpoint=N               of which iteration; last (the default) is the newest that is kept, best that of best=...
  to=FILE.safetensors        where to; by default weights_<iteration>.safetensors in the run folder
  to=hf://owner/name         on the Hugging Face Hub, with a model card; log in first: hf auth login
  format=official to=FOLDER  in the files that the official programs read
  with=all                   all networks, not only those that translate
  licence=TAG                what others may do with them, such as cc-by-4.0
  private=true               a new repository on the Hub that nobody else sees

  In a program: translate.load(FILE, RUN_FOLDER or "hf://owner/name").translate(images, target=...)""",
    "import": """\
  weights=FILE[,FILE]        files of StarGAN v2, StarGAN v1, CycleGAN or pix2pix as their authors publish them, a file
                             that was exported here, or a file on the Hub, hf://owner/name/FILE
  to=FILE.safetensors        to translate with
  to=RUN_FOLDER              to train on with resume=RUN_FOLDER; further words are those of train: data=... and so on

  What a file does not say of itself, where it is not as published:
  domains=[cat,dog]          names of the domains or labels, in the order of training
  labels=attributes          what the labels of StarGAN v1 are; or domain
  image_size=256             where the networks do not tell
  w_hpf=1                    of StarGAN v2 with high-pass skip connections
  model=pix2pix              whose a lone generator is; or cyclegan
  dropout=false              whether a U-Net was trained with dropout
  licence=TAG                what its owner lets you do with it, such as cc-by-nc-4.0""",
}

SUFFIX = ".safetensors"
HUB = "hf://"
SWITCH = {"true": True, "false": False}


def export(words: Sequence[str]) -> int:
    """Write the weights of a run, or of a file of ours; return the exit code."""
    values, _ = reading.read("export", words, EXPORT)
    if values.get("format") == "published":
        warnings.warn(
            "format=published is called format=official now; the old name works in this release", stacklevel=2
        )
        values["format"] = "official"
    official = reading.choice("export", "format", values, ("translate", "official"), "translate") == "official"
    if ("run" in values) == ("weights" in values):
        raise UserError("export: expected either run=RUN_FOLDER or weights=FILE.safetensors")
    source, which = _source(values)
    everything = reading.choice("export", "with", values, ("needed", "all"), "needed" if "run" in values else "all")
    private = (
        SWITCH[reading.choice("export", "private", values, tuple(SWITCH), "false")] if "private" in values else None
    )
    to = _destination(values, source, which, official)
    if private is not None and not to.startswith(HUB):
        raise UserError("export: private is for a repository on the Hub, to=hf://owner/name")
    from translate.export.weights import Format
    from translate.export.weights import export as write

    form: Format = "official" if official else "translate"
    lines = write(source, to, which, values.get("licence"), form, everything == "all", private, words)
    print("\n".join(lines))
    return 0


def _source(values: dict[str, str]) -> tuple[Path, str | int]:
    """Return the run folder and which of its checkpoints, or the file."""
    chosen = values.get("checkpoint", LAST)
    if "weights" in values:
        if "checkpoint" in values:
            raise UserError("export: checkpoint is for run=RUN_FOLDER; a file holds one set of weights")
        return reading.existing("export", "weights", values["weights"]), LAST
    folder = reading.run_folder("export", values["run"])
    RunFolder(folder).choose(chosen, "export: checkpoint")
    return folder, chosen


def _destination(values: dict[str, str], source: Path, which: str | int, official: bool) -> str:
    """Return where the weights go; by default a file in the run folder that is named by the checkpoint."""
    to = values.get("to")
    if to is None:
        if official or not source.is_dir():
            raise UserError(f"export: to is missing; write to={'FOLDER' if official else 'FILE' + SUFFIX}")
        if which == BEST:
            return str(source / f"weights_{BEST}{SUFFIX}")
        newest = RunFolder(source).newest_iteration()
        return str(source / f"weights_{newest if which == LAST else int(which):06d}{SUFFIX}")
    if official and (to.startswith(HUB) or Path(to).suffix or Path(to).is_file()):
        raise UserError(f"export: to: found {to}, expected a folder, since the official layout is several files")
    if to.startswith(HUB):
        from translate.weights import hub

        hub.parse(to)
    elif not official and not to.endswith(SUFFIX):
        raise UserError(f"export: to: found {to}, expected a name that ends in {SUFFIX}, or hf://owner/name")
    return to


def import_weights(words: Sequence[str]) -> int:
    """Bring in published weights, or a file of ours, as a file or as a run to train on; return the exit code."""
    values, overrides = reading.read("import", words, IMPORT, rest=True)
    places = reading.names(reading.needed("import", "weights", values, IMPORT))
    to = reading.needed("import", "to", values, IMPORT)
    as_run = not to.endswith(SUFFIX)
    if to.startswith(HUB):
        raise UserError(f"import: to: found {to}, expected a file; export it from there: export weights=FILE to={to}")
    if as_run and Path(to).suffix:
        raise UserError(f"import: to: found {to}, expected a name that ends in {SUFFIX}, or a folder for a run")
    if overrides and not as_run:
        reading.read("import", overrides, IMPORT)  # says which word is unknown
    for place in places:
        if not place.startswith(HUB):
            reading.existing("import", "weights", place)
    wishes = _wishes(values)
    from translate.export import importer
    from translate.weights import format
    from translate.weights.published.layout import ImportOptions

    weights = importer.read(places, ImportOptions(**wishes))
    if as_run:
        run = importer.begin_run(weights, Path(to).expanduser(), overrides)
        print(f"{run.folder}: a run of {weights.model} with the weights of {', '.join(run.imported)}")
        if run.initialized:
            print(f"not in the file, initialized from seed {run.seed}: {', '.join(run.initialized)}")
        print(f"to train on: python -m translate resume={run.folder}")
        return 0
    path = Path(to).expanduser()
    format.write(weights, path)
    print(f"{path}: {weights.model} at {weights.image_size} px, {', '.join(weights.networks)}")
    return 0


def _wishes(values: dict[str, str]) -> dict[str, Any]:
    """Return what the user says of the file, by field of `ImportOptions`."""
    found: dict[str, Any] = {"licence": values.get("licence")}
    if "model" in values:
        from translate.registry.registry import MODELS

        found["model"] = reading.choice("import", "model", values, MODELS.names(), "")
    if "domains" in values:
        found["domains"] = reading.names(values["domains"])
    if "labels" in values:
        found["labels"] = reading.choice("import", "labels", values, ("attributes", "domain"), "")
    if "image_size" in values:
        found["image_size"] = reading.whole_number("import", "image_size", values["image_size"])
    if "w_hpf" in values:
        found["w_hpf"] = reading.number("import", "w_hpf", values["w_hpf"])
    if "dropout" in values:
        found["dropout"] = SWITCH[reading.choice("import", "dropout", values, tuple(SWITCH), "")]
    return found
