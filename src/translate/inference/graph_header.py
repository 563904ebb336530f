"""The header of an exported graph: what a program needs to know to translate with the file, beside its tensors.

ONNX files have it as metadata, a key a field, ``torch.export`` programs as ``translate.json``. Values are JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from translate.errors import Phrase, UserError
from translate.files.reading import loads
from translate.sizes import SizeLike

FORMAT = "translate graph 1"


@dataclass(frozen=True)
class GraphHeader:
    """One network or whole way from image to translation, and the model that it belongs to."""

    graph: str  # the name, such as "translate_latent" or "style_encoder"
    whole: bool  # whether it leads from images to translations
    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    image_size: SizeLike  # of training, in pixels: a number for squares, or [height, width]
    crop: str | int  # how images get the size of training, see `translate.data.images`
    multiple: int | None  # height and width are multiples of it; None: they are image_size
    minimum: int | None  # the smallest height and width
    domains: tuple[str, ...]
    label_sets: tuple[dict[str, Any], ...]  # {kind, names} of each data set, if the target is labels
    latent_size: int  # of a code; 0 without codes
    style_input: str | None  # "code" or "reference"
    target: int | None  # the domain to which the graph translates, if the target is no input
    iteration: int | None
    licence: str | None
    weights_sha256: str  # of the networks that translate and their arguments, see `Engine.digest`
    version: str  # of this package
    scale: int = 1  # by how much height and width of translations exceed those of their sources

    def metadata(self) -> dict[str, str]:
        """Return the header as text by field."""
        return {"format": FORMAT} | {item.name: json.dumps(getattr(self, item.name)) for item in fields(self)}


_OPTIONAL_INT = (int, type(None))
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("graph", "model", "weights_sha256", "version"), str),
    **dict.fromkeys(("inputs", "outputs", "domains", "label_sets"), list),
    **dict.fromkeys(("multiple", "minimum", "target", "iteration"), _OPTIONAL_INT),
    "latent_size": int,
    "image_size": (int, list),
    **dict.fromkeys(("style_input", "licence"), (str, type(None))),
    "whole": bool,
    "crop": (str, int),
    "scale": int,
}
_DEFAULTS = {"scale": "1"}
"""Fields that files of earlier versions lack."""


def parse(metadata: Mapping[str, str], path: str) -> GraphHeader:
    """Return the header in the metadata of a file; UserError if another program wrote it, or if it is damaged."""
    if metadata.get("format") != FORMAT:
        raise UserError(
            "this is not a graph that was exported by this package",
            key=path,
            found=metadata.get("format") or Phrase("no format name"),
            expected=f"{FORMAT!r} in the metadata",
            fix="python -m translate export weights=FILE format=onnx to=FOLDER",
        )
    values: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        try:
            values[name] = loads(metadata.get(name, _DEFAULTS[name]) if name in _DEFAULTS else metadata[name])
        except (KeyError, ValueError) as error:
            raise _damaged(f"the {name!r} of its header is missing or damaged", path) from error
        if not isinstance(values[name], kind):
            raise _damaged(f"the {name!r} of its header has a wrong type", path)
    sides = values["image_size"] if isinstance(values["image_size"], list) else [values["image_size"]] * 2
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise _damaged("the 'image_size' of its header is neither a number nor two", path)
    texts = (*values["inputs"], *values["outputs"], *values["domains"])
    if not all(isinstance(text, str) for text in texts) or not all(map(_is_label_set, values["label_sets"])):
        raise _damaged("its header does not describe a graph", path)
    fields_of_header: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return GraphHeader(**fields_of_header)


def _is_label_set(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("kind") in ("attributes", "classes")
        and isinstance(value.get("names"), list)
    )


def _damaged(statement: str, path: str) -> UserError:
    return UserError(statement, key=path, fix="export the graph again")
