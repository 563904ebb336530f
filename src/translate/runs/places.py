"""The places of weights that a user can name, and the files there; torch is not imported.

A place is the name of weights that ship with the package, a weights file, a run folder, an address on the Hugging Face
Hub, a released file, or a folder of released files. A name that ships comes first; ``./NAME`` is a file or folder.
"""

import os
import re
from pathlib import Path

from translate.errors import Phrase, UserError
from translate.files.reading import is_whole_number
from translate.runs.folder import BEST, LAST, RunFolder

SHIPPED = Path(__file__).parents[1] / "weights" / "shipped"
"""The folder of weights that ship with the package."""

SUFFIX = ".safetensors"
RELEASED_SUFFIXES = (".ckpt", ".pth", ".pt", ".bin", ".pkl", ".model", ".tar")
"""The suffixes of files that torch has written."""

HUB = "hf://"
GRAPH_SUFFIXES = (".onnx", ".pt2")
"""The suffixes of graphs for other runtimes, see `translate.export`."""

OPTIMIZERS = re.compile(r"optim", re.IGNORECASE)  # files beside the weights, which translating does not need
VERSIONS = (
    re.compile(r"^(latest|\d+)[_-](?=nets|net_|[GD]\.)"),  # latest_net_G.pth, 100000_nets_ema.ckpt, 200000-G.ckpt
    re.compile(r"(?:^|_)(?:gen|dis)_(\d{8})(?=\.p(?:t|kl)$)"),  # gen_00100000.pt, unit_gen_00100000.pkl
    re.compile(r"^net[GD]_epoch_\d+_(\d+)(?=\.pth$)"),  # netG_epoch_4_100.pth
    re.compile(r"^[gd]_(last|best)(?=\.pth\.tar$)"),  # g_last.pth.tar
)
"""The parts of released files' names that say when they were written: a number, latest, last or best."""


def shipped_names() -> list[str]:
    """Return the names of the weights that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def shipped_file(place: str | os.PathLike[str]) -> Path | None:
    """Return the file of weights that ship with the package; None if ``place`` is not such a name."""
    return SHIPPED / f"{place}{SUFFIX}" if isinstance(place, str) and place in shipped_names() else None


def exported_suffix(place: str | os.PathLike[str]) -> str | None:
    """Return the suffix of the graphs at a place, an exported file or a folder of them; None for weights."""
    path = Path(place).expanduser()
    if not path.is_dir():
        return path.suffix if path.suffix in GRAPH_SUFFIXES else None
    if RunFolder(path).is_run():
        return None
    return next((suffix for suffix in GRAPH_SUFFIXES if any(path.glob(f"*{suffix}"))), None)


def require_existing(place: str | os.PathLike[str]) -> None:
    """Raise UserError for a place that is neither a name, nor a file or folder, nor an address."""
    if str(place).startswith(HUB) or shipped_file(place) is not None or Path(place).expanduser().exists():
        return
    if Path(place).suffix:
        raise UserError(f"there is no file {place}", key="weights")
    raise UserError(
        "there are no weights of this name",
        key="weights",
        found=str(place),
        expected=f"one of {', '.join(shipped_names())}, a file, a run folder, or {HUB}owner/name",
    )


def released_files(folder: Path, checkpoint: str | int = LAST) -> list[Path]:
    """Return the released files of a folder that belong together.

    Files whose names have a version of `VERSIONS` are of one training: those of ``checkpoint`` are taken, for "last"
    the ``latest`` or ``last`` ones or those of the greatest number. Files of optimizers are left out. UserError for a
    folder without such files, and for a checkpoint that is not there.
    """
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() in RELEASED_SUFFIXES and not OPTIMIZERS.search(path.stem)
    ]
    if not paths:
        raise UserError(
            "the folder holds no weights",
            key=str(folder),
            expected=f"a run folder (with config.yaml), or released files ({', '.join(RELEASED_SUFFIXES)})",
        )
    numbered: dict[str, list[Path]] = {}
    for path in paths:
        if match := next(filter(None, (version.search(path.name) for version in VERSIONS)), None):
            numbered.setdefault(match[1], []).append(path)
    if not numbered:
        if str(checkpoint) != LAST:
            raise UserError("the folder has no numbered files", key="checkpoint", found=checkpoint, expected=LAST)
        return paths
    return numbered[_chosen(list(numbered), checkpoint, folder)]


def _chosen(names: list[str], checkpoint: str | int, folder: Path) -> str:
    """Return the start of the names of a checkpoint's files."""
    if str(checkpoint) == BEST and BEST not in names:
        raise UserError(f"the released files in {folder} name no best checkpoint", key="checkpoint", expected=LAST)
    if str(checkpoint) == LAST:
        newest = next((name for name in ("latest", LAST) if name in names), None)
        return newest or max(filter(is_whole_number, names), key=int, default=names[0])
    number = int(checkpoint) if is_whole_number(str(checkpoint)) else None
    for name in names:
        if name == str(checkpoint) or (is_whole_number(name) and int(name) == number):
            return name
    raise UserError(
        "there are no files of this checkpoint", key="checkpoint", found=Phrase(str(checkpoint)), known=sorted(names)
    )
