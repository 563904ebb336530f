"""Write the weights of a run: to a weights file, in the official layout, or to the Hugging Face Hub."""

import os
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from translate.downloads import hub
from translate.errors import UserError
from translate.export import model_card
from translate.inference.base import translation_of
from translate.registry.registry import TRANSLATIONS
from translate.runs.checkpoints import EMA, NETWORK
from translate.runs.folder import LAST
from translate.weights import signatures
from translate.weights.format import EXTRA, Dtype, Weights, write
from translate.weights.load import NO_OPTIONS, weights_of
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions

MEGABYTE = 1e6

Format = Literal["safetensors", "official"]


def export(
    source: str | os.PathLike[str],
    to: str,
    checkpoint: str | int = LAST,
    licence: str | None = None,
    format: Format = "safetensors",
    all_networks: bool = False,
    private: bool | None = None,
    arguments: Sequence[str] = (),
    dtype: Dtype = "float32",
    options: ImportOptions = NO_OPTIONS,
    verify: signatures.Key | None = None,
    signer: signatures.Signer | None = None,
) -> list[str]:
    """Write weights; return one line for each file and page that was written.

    ``source`` is a place of weights, see `translate.weights.load.weights_of`; of a run folder, ``checkpoint`` is taken.
    ``to`` is a file, an address on the Hub, or a folder for the format "official". ``all_networks`` includes networks
    that do not translate. ``arguments`` are those of the command line, for the model card. ``dtype`` is how a weights
    file stores its numbers. ``options`` are facts that released files do not state. ``verify`` is the public key of the
    source. With a ``signer`` each file is signed.
    """
    weights = weights_of(source, checkpoint, options, verify)
    if licence is not None:
        weights = replace(weights, licence=licence)
    if not all_networks:
        weights = inference_weights(weights)
    if format == "official":
        paths = detect.write(weights, Path(to).expanduser())
        return [*(_summary(path, weights) for path in paths), *signed(paths, signer)]
    if not hub.is_address(to):
        path = Path(to).expanduser()
        write(weights, path, dtype)
        return [_summary(path, weights), *signed([path], signer)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(hub.parse(to).file).name
        write(weights, path, dtype)
        signature = None if signer is None else signer.sign(path)
        command = shlex.join(["python", "-m", "translate", "export", *arguments])
        page = hub.upload(to, path, model_card.text(weights, hub.parse(to), command), private, signature)
        return [_summary(path, weights).replace(str(path), to), page]


def signed(paths: Iterable[Path], signer: signatures.Signer | None) -> list[str]:
    """Sign files, if there is a signer; return a line for each signature."""
    return [] if signer is None else [f"{signer.sign(path)}: signature" for path in paths]


def inference_weights(weights: Weights) -> Weights:
    """Return the networks that translate, each by its EMA where it has one.

    UserError for a model without a registered translation.
    """
    if weights.model not in TRANSLATIONS.index():
        raise UserError(
            f"no translation is registered for the model {weights.model!r}, so the networks that it needs are unknown",
            key="with",
            fix="export all networks: with=all",
        )
    cls = translation_of(weights.model)
    roles = [role for role in (*cls.roles, *cls.optional_roles) if role in weights.networks]
    groups = {role: EMA if role in weights.ema_roles else NETWORK for role in roles}
    tensors = {
        f"{group}.{role}.{key}": tensor
        for role, group in groups.items()
        for key, tensor in weights.group(group, role).items()
    }
    networks = {role: weights.networks[role] for role in roles}
    reduced = replace(weights, tensors=tensors, networks=networks)
    # an official file cannot be written again without its extra tensors
    return replace(reduced, official=None) if weights.group(EXTRA) else reduced


def _summary(path: Path, weights: Weights) -> str:
    size = f", {path.stat().st_size / MEGABYTE:.1f} MB"
    when = "" if weights.iteration is None else f" of iteration {weights.iteration}"
    return f"{path}{size}: {weights.model}{when}, {', '.join(weights.networks)}"
