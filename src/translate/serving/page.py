"""The page: Gradio components for the controls of a model."""

import secrets
from typing import Any

import gradio as gr

from translate.serving.controls import Controls
from translate.serving.endpoints import QUEUE, add_endpoints, request_of, shown, uploaded
from translate.serving.files import AGE, FREQUENCY, Files
from translate.serving.service import MAX_PSI, Service

NUM_STYLES = 8
"""Styles in the strip."""

MAX_RADIO = 8
"""Targets that are shown side by side; more of them are a list."""

MAX_DRAWN = 1_000_000
"""Seeds that the dice draws are below this, so that a person can note one."""

CSS = """
.gradio-container { max-width: 1200px !important }
#details { color: var(--body-text-color-subdued) }
#strip .grid-wrap { max-height: none }
"""


def build(service: Service, files: Files, title: str) -> gr.Blocks:
    """Return the page of a service."""
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(FREQUENCY, AGE)) as page:
        Page(service, files, title)
        add_endpoints(service, files)
    page.state_session_capacity = 64  # requests carry all of their values, so old sessions can go
    return page


class Page:
    """The components of a page and the events between them."""

    def __init__(self, service: Service, files: Files, title: str) -> None:
        """Add the components to the Blocks that are being built."""
        self.service, self.files = service, files
        self.controls: Controls = service.controls
        gr.Markdown(f"# {title}")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self._inputs()
            with gr.Column(scale=3, min_width=300):
                self._outputs()
        self._events()

    def _inputs(self) -> None:
        self.image = gr.Image(
            type="filepath", image_mode=None, sources=["upload", "clipboard"], label="Image", height=280
        )
        self.target = self._target()
        self.style: dict[str, Any] = {}
        if self.controls.code:
            with gr.Row(equal_height=True):
                self.style["seed"] = gr.Number(0, label="Style: seed", precision=0, minimum=0, min_width=120, scale=2)
                self.dice = gr.Button("🎲 Roll the dice", min_width=120, scale=1)
        if self.controls.reference:
            self.style["reference"] = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label="Style: reference image (instead of the seed)"
                if self.controls.code
                else "Style: reference image",
                height=180,
            )
        if self.controls.code:
            self.style["psi"] = gr.Slider(
                0, MAX_PSI, 1, step=0.05, label="psi", info="below 1: closer to the mean style of the domain"
            )
        self.button = gr.Button("Translate", variant="primary")

    def _target(self) -> Any:
        choices = self.controls.choices()
        if choices:
            kind = gr.Radio if len(choices) <= MAX_RADIO else gr.Dropdown
            return kind(choices, value=choices[0][1], label="Target")
        names = [name for group in self.controls.label_groups for name in group.names]
        return gr.CheckboxGroup(names, value=names[:1], label="Attributes of the result")

    def _outputs(self) -> None:
        self.result = gr.ImageSlider(label="Before and after", interactive=False, type="filepath", height=420)
        self.details = gr.Markdown(elem_id="details")
        self.download = gr.DownloadButton("Download", interactive=False)
        if self.controls.code:
            self.start = gr.Number(0, visible=False, precision=0)
            self.strip = gr.Gallery(
                label="Styles: click to choose",
                columns=4,
                object_fit="contain",
                allow_preview=False,
                height="auto",
                interactive=False,
                elem_id="strip",
            )
            self.more = gr.Button("Other styles")

    def _events(self) -> None:
        queue = {"concurrency_id": QUEUE, "concurrency_limit": 1, "api_visibility": "private", "preprocess": False}
        inputs = [self.image, self.target, *self.style.values()]
        outputs = [self.result, self.details, self.download]
        run = {"fn": shown(self.translate), "inputs": inputs, "outputs": outputs, "trigger_mode": "always_last"} | queue
        gr.on([self.button.click, self.image.upload, self.target.input], **run)
        for name, component in self.style.items():
            events = {"reference": [component.upload, component.clear]} if name == "reference" else {}
            listeners = events.get(name) or [component.release if name == "psi" else component.submit]
            gr.on(listeners, **run)
        if not self.controls.code:
            return
        local = {"api_visibility": "private", "queue": False}
        strip_inputs = [self.image, self.target, self.start, self.style["psi"]]
        strip = {"fn": shown(self.styles), "inputs": strip_inputs, "outputs": self.strip} | queue
        strip["trigger_mode"] = "always_last"
        gr.on([self.image.upload, self.target.input, self.style["psi"].release, self.button.click], **strip)
        self.more.click(
            lambda: NUM_STYLES * secrets.randbelow(MAX_DRAWN // NUM_STYLES), None, self.start, **local
        ).then(**strip)
        seed, reference = self.style["seed"], self.style.get("reference")
        chosen = [seed, *([reference] if reference else [])]
        self.dice.click(lambda: self._chosen(secrets.randbelow(MAX_DRAWN)), None, chosen, **local).then(**run)
        self.strip.select(self._select, self.start, chosen, **local).then(**run)

    def translate(self, *values: Any) -> tuple[Any, str, Any]:
        """Return the updates of the outputs for the values of the inputs."""
        names = ["image", "target", *self.style]
        result = self.service.translate(request_of(self.files, **dict(zip(names, values, strict=True))))
        before, after = self.files.save(result.before, "before"), self.files.save(result.after, result.name)
        details = ", ".join(f"{key} {value}" for key, value in result.facts.items())
        return (str(before), str(after)), details, gr.DownloadButton(value=str(after), interactive=True)

    def styles(self, image: Any, target: Any, start: Any, psi: Any) -> list[tuple[str, str]]:
        """Return the strip: an image and its caption for each of the seeds from ``start``."""
        seeds = range(int(start), int(start) + NUM_STYLES)
        images = self.service.styles(uploaded(self.files, image), target, seeds, psi)
        return [(str(self.files.save(each, f"seed_{s}")), f"seed {s}") for each, s in zip(images, seeds, strict=True)]

    def _chosen(self, seed: int) -> Any:
        """Return the updates after a seed was chosen: the reference image is removed."""
        return (seed, None) if self.controls.reference else seed

    def _select(self, start: float, event: gr.SelectData) -> Any:
        return self._chosen(int(start) + event.index)
