"""Generate the model card of weights on the Hugging Face Hub."""

import json
import math
from collections.abc import Iterator, Mapping

from translate.downloads.hub import CARD_MARK, FILE, Address
from translate.runs import scores
from translate.runs.scores import Result
from translate.sizes import ImageSize
from translate.weights.format import Weights


def text(weights: Weights, address: Address, command: str) -> str:
    """Return the text of README.md: model, use, scores, data, and the ``command`` that exported the weights."""
    return "\n".join([*_front_matter(weights), "", *_body(weights, address, command)]) + "\n"


def _front_matter(weights: Weights) -> Iterator[str]:
    yield "---"
    if weights.licence is not None:
        yield f"license: {json.dumps(weights.licence)}"
    yield "library_name: translate-gan"
    yield "pipeline_tag: image-to-image"
    yield f"tags: {json.dumps(['image-to-image', 'gan', 'translate-gan', weights.model])}"
    yield "---"


def _body(weights: Weights, address: Address, command: str) -> Iterator[str]:
    name = address.repository.partition("/")[2]
    place = f"hf://{address.repository}" + ("" if address.file == FILE else f"/{address.file}")
    yield from (CARD_MARK, "", f"# {name}", "")
    at = "for results of" if "scale" in weights.networks.get("generator", {}) else "at"
    yield from (
        f"Image-to-image translation by the model `{weights.model}` {at} {ImageSize.of(weights.image_size)} px.",
        "",
    )
    for heading, names in _vocabulary(weights):
        yield f"- {heading}: {', '.join(names)}"
    when = "unknown" if weights.iteration is None else f"{weights.iteration:,}"
    yield f"- Iterations: {when}"
    networks = [f"{role} (`{node['name']}`)" for role, node in weights.networks.items()]
    yield f"- Networks: {', '.join(networks)}"
    if weights.official is not None:
        yield f"- Imported from the official layout of {weights.official['layout']}"
    yield f"- Licence: {weights.licence or 'not stated'}"
    yield from ("", "## Use", "", "```python", "import translate", "", f'translator = translate.load("{place}")')
    yield from (f'image = translator.translate("photo.jpg", target={json.dumps(_example(weights))})', "```", "")
    yield _size_of_result(weights)
    yield from ("Install the package first: `pip install translate-gan[hub]`.", "")
    for tree in weights.metrics:
        if (result := scores.parse(tree)) is not None and result.scores:
            yield from _scores(result)
    yield from ("## Training", "")
    for split in ("train", "val"):
        if isinstance(notes := weights.data.get(split), Mapping):
            yield f"- Data, {split}: {notes.get('images')} images, fingerprint `{notes.get('fingerprint')}`"
    yield f"- Written by translate-gan {weights.version}; the file's header holds the whole configuration"
    yield from ("", "```", command, "```")


def _size_of_result(weights: Weights) -> str:
    """Return the sentence about the size of a translation; super-resolution enlarges, so it has two."""
    scale = weights.networks.get("generator", {}).get("scale")
    if scale is None:
        return 'The result is a Pillow image of the size of training; with `size="original"` it has that of the photo.'
    small = ImageSize.of(weights.image_size).each(lambda side: side // scale)
    return (
        f"The result is a Pillow image with {scale} times as many pixels a side as its source. The photo is first "
        f'reduced to {small} px; with `size="original"` the whole photo is enlarged.'
    )


def _vocabulary(weights: Weights) -> Iterator[tuple[str, list[str]]]:
    if weights.domains:
        yield "Domains", list(weights.domains)
    for labels in weights.label_sets:
        if labels["kind"] == "attributes" or tuple(labels["names"]) != weights.domains:
            yield labels["kind"].capitalize(), list(labels["names"])


def _example(weights: Weights) -> str | int:
    """Return a target for the example: the last domain, else the first label."""
    if weights.domains:
        return weights.domains[-1]
    return weights.label_sets[0]["names"][0] if weights.label_sets else 1


def _scores(result: Result) -> Iterator[str]:
    """Yield the scores of a protocol as a table: a column of these weights, and others to compare with."""
    request, columns = result.request, {"these weights": result.scores, **result.columns}
    yield from (f"## Scores by the protocol `{request.protocol}`", "")
    yield f"At iteration {request.iteration}, seed {request.seed}, on held-out images."
    yield from ("", f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns))
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        cells = (_number(column.get(name)) for column in columns.values())
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _number(value: float | None) -> str:
    return f"{value:.4g}" if value is not None and math.isfinite(value) else ""
