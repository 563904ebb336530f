"""Write the weights of a run for others: our file, the published layout, or the Hugging Face Hub."""

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from translate.errors import UserError
from translate.export.model_card import card
from translate.inference.base import translation_of
from translate.registry.registry import TRANSLATIONS
from translate.runs.folder import LAST
from translate.weights import format, hub
from translate.weights.format import AVERAGE, EXTRA, NETWORK, Weights
from translate.weights.load import of_run
from translate.weights.published import detect

MEGABYTE = 1e6


def export(
    source: Path,
    to: str,
    which: str | int = LAST,
    licence: str | None = None,
    published: bool = False,
    everything: bool = False,
    private: bool | None = None,
    words: Sequence[str] = (),
) -> list[str]:
    """Write weights and return, in sentences, what was written.

    ``source`` is a run folder, of which a checkpoint ("last", "best" or an iteration) is taken, or a file of ours.
    ``to`` is a file, an address on the Hub, or, with ``published``, a folder. ``everything`` takes all networks that
    there are, else those that translate. ``words`` are the command line, for the model card.
    """
    weights = of_run(source, which) if source.is_dir() else format.read(source)
    if licence is not None:
        weights = replace(weights, licence=licence)
    if not everything:
        weights = needed(weights)
    if published:
        return [_told(path, weights) for path in detect.write(weights, Path(to).expanduser())]
    if not hub.is_address(to):
        path = Path(to).expanduser()
        format.write(weights, path)
        return [_told(path, weights)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / hub.FILE
        format.write(weights, path)
        command = shlex.join(["python", "-m", "translate", "export", *words])
        page = hub.publish(to, path, card(weights, hub.parse(to), command), private)
        return [_told(path, weights).replace(str(path), to), page]


def needed(weights: Weights) -> Weights:
    """Return the networks that translate, each as it does so: the average where there is one.

    UserError for a model of which no translation is registered.
    """
    if weights.model not in TRANSLATIONS.index():
        raise UserError(
            f"with: what the model {weights.model!r} translates by is not known here, since no translation is "
            "registered under its name; take all networks: with=all"
        )
    cls = translation_of(weights.model)
    roles = [role for role in (*cls.roles, *cls.optional_roles) if role in weights.networks]
    kinds = {role: AVERAGE if role in weights.averaged else NETWORK for role in roles}
    tensors = {
        f"{kind}.{role}.{key}": tensor
        for role, kind in kinds.items()
        for key, tensor in weights.part(kind, role).items()
    }
    networks = {role: weights.networks[role] for role in roles}
    kept = replace(weights, tensors=tensors, networks=networks)
    # without its extra tensors a published file cannot be written as it was
    return replace(kept, published=None) if weights.part(EXTRA) else kept


def _told(path: Path, weights: Weights) -> str:
    size = f", {path.stat().st_size / MEGABYTE:.1f} MB"
    when = "" if weights.iteration is None else f" of iteration {weights.iteration}"
    return f"{path}{size}: {weights.model}{when}, {', '.join(weights.networks)}"
