"""The HTTP interface: named endpoints of Gradio with the inputs of the model at hand."""

import inspect
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio import FileData
from gradio.events import api

from translate.errors import UserError
from translate.serving.controls import Controls
from translate.serving.files import Files
from translate.serving.service import Request, Service

QUEUE = "model"
"""The queue that all requests to the networks share: one of them runs at a time."""

Parameter = tuple[str, Any, Any]
"""Name, type, and default of a parameter of an endpoint; REQUIRED has no default."""

REQUIRED = inspect.Parameter.empty


def add_endpoints(service: Service, files: Files) -> None:
    """Add the endpoints to the Blocks that are being built: /translate, /styles and /model."""
    controls = service.controls

    def translate(**values: Any) -> tuple[FileData, dict[str, Any]]:
        result = service.translate(request_of(files, **values))
        return _sent(files.save(result.content, result.name)), result.facts

    def styles(image: Any, target: Any, seeds: Any, psi: Any = 1.0) -> list[FileData]:
        images = service.styles(uploaded(files, image), target, seeds, psi)
        return [_sent(files.save_image(each, f"seed_{seed}")) for each, seed in zip(images, seeds, strict=True)]

    target = ("target", _target_type(controls), REQUIRED)
    image = ("image", FileData, REQUIRED)
    psi = ("psi", float, 1.0)
    reference = ("reference", FileData | None, None)
    style: list[Parameter] = [("seed", int, 0), psi] if controls.code else []
    style += [reference] if controls.reference else []
    if controls.blend:
        style += [("second_seed", int, 0)] if controls.code else []
        style += [("second_reference", FileData | None, None)] if controls.reference else []
        style.append(("blend", float, 0.0))
    _add("translate", "Translate an image.", [image, target, *style], tuple[FileData, dict], translate)
    if controls.code:
        parameters = [image, target, ("seeds", list[int], REQUIRED), psi]
        _add("styles", "Translate an image with the style of each seed.", parameters, list[FileData], styles)
    _add(
        "model", "Describe the model, its inputs and the limits of this server.", [], dict, service.about, queued=False
    )


def request_of(files: Files, image: Any, target: Any, **style: Any) -> Request:
    """Return the request in the raw values of a page or client; UserError without an image."""
    for key in ("reference", "second_reference"):
        if key in style:
            style[key] = files.upload(style[key], key)
    return Request(uploaded(files, image), target, **style)


def uploaded(files: Files, image: Any) -> Path:
    """Return the path of the image to translate; UserError without an image."""
    path = files.upload(image, "image")
    if path is None:
        raise UserError("there is no image", key="image", fix="upload one")
    return path


def shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose UserError reaches the user as its sentence, not as a failure of the server."""

    def call(*values: Any, **named: Any) -> Any:
        try:
            return function(*values, **named)
        except UserError as error:
            raise gr.Error(str(error), title="Refused", print_exception=False) from error

    return call


def _add(
    name: str,
    summary: str,
    parameters: list[Parameter],
    returns: Any,
    function: Callable[..., Any],
    queued: bool = True,
) -> None:
    """Add an endpoint whose parameters are positional for Gradio, and keywords of ``function``."""
    names = [parameter for parameter, _, _ in parameters]
    checked = shown(function)

    def endpoint(*values: Any) -> Any:
        return checked(**dict(zip(names, values, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = [inspect.Parameter(n, kind, default=default, annotation=t) for n, t, default in parameters]
    endpoint.__signature__ = inspect.Signature(signature, return_annotation=returns)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {n: t for n, t, _ in parameters} | {"return": returns}
    endpoint.__name__, endpoint.__doc__ = name, summary
    limit = 1 if queued else None
    api(
        endpoint,
        api_name=name,
        api_description=summary,
        queue=queued,
        concurrency_id=QUEUE if queued else None,
        concurrency_limit=limit,
    )


def _target_type(controls: Controls) -> Any:
    if controls.domains:
        return Literal[controls.domains]
    names = tuple(name for group in controls.label_groups for name in group.names)
    return list[Literal[names]]  # type: ignore[valid-type]


def _sent(path: Path) -> FileData:
    kind, _ = mimetypes.guess_type(path.name)
    return FileData(path=str(path), orig_name=path.name, mime_type=kind, size=path.stat().st_size)
