"""The page: Gradio components for the controls of a model."""

import re
import secrets
from typing import Any

import gradio as gr

from translate.serving.endpoints import QUEUE, add_endpoints, request_of, shown, uploaded
from translate.serving.files import AGE, FREQUENCY, Files
from translate.serving.service import Service

NUM_STYLES = 8
"""Styles in the strip."""

MAX_RADIO = 8
"""Targets that are shown side by side; more of them are a list."""

MAX_DRAWN = 1_000_000
"""Seeds that the dice draws are below this, so that a person can note one."""

SESSIONS = 64
"""Sessions whose values Gradio keeps; requests carry all of their values, so the oldest can go."""

DICE = "⚄ Roll the dice"
HEIGHT = 380  # pixels of an image on the page
HINT = "Drop an image, or click to choose one. The translation appears here."

CSS = """
#strip .grid-container { grid-template-columns: repeat(8, minmax(0, 1fr)); padding: 0 }
#strip .grid-wrap { max-height: none; min-height: 0; overflow: visible }
#details, #details *, #model p { color: var(--neutral-500) }
#details { min-height: 1.5em }
@media (max-width: 700px) { #strip .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) } }
"""


def build(service: Service, files: Files, title: str) -> gr.Blocks:
    """Return the page of a service, and its endpoints."""
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(FREQUENCY, AGE)) as page:
        Page(service, files, title)
        add_endpoints(service, files)
    page.state_session_capacity = SESSIONS
    return page


def _subtitle(service: Service) -> str:
    """Return the model and what there is no control for: the image size, by how much it enlarges, its one target."""
    engine, controls = service.engine, service.controls
    facts = [engine.model, f"{engine.image_size} px"]
    if engine.scale > 1:
        facts = [engine.model, f"enlarges {engine.scale} times"]
    elif len(controls.sources) == 1:  # the name of a style
        facts.append(controls.sources[0])
    return ", ".join(facts)


class Page:
    """The components of a page and the events between them.

    ``style`` and ``second`` hold the components of the styles by the name of their field in a request.
    """

    def __init__(self, service: Service, files: Files, title: str) -> None:
        """Add the components to the Blocks that are being built."""
        self.service, self.files, self.controls = service, files, service.controls
        self.style: dict[str, Any] = {}
        self.dice: dict[str, gr.Button] = {}
        gr.Markdown(f"# {plain(title)}\n{plain(_subtitle(service))}", elem_id="model")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                self.image = _image("Image", HEIGHT)
                self.target = self._target()
                self.button = gr.Button("Translate", variant="primary")
            with gr.Column(min_width=300):
                self.result = gr.ImageSlider(
                    label="Before and after", type="filepath", interactive=False, height=HEIGHT, max_height=HEIGHT
                )
                self.details = gr.Markdown(HINT, elem_id="details")
                self.download = gr.DownloadButton("Download", interactive=False)
        if self.controls.has_style:
            self._styles()
        self._events()

    # --- components ------------------------------------------------------------------------------------------

    def _target(self) -> list[Any]:
        """Add the control of the target; several data sets of labels have one each, and a choice among them."""
        choices = self.controls.choices()
        if choices:
            kind: Any = gr.Radio if len(choices) <= MAX_RADIO else gr.Dropdown
            direction = choices[0][0] != choices[0][1]
            label, several = "Direction" if direction else "Target", len(choices) > 1 or direction
            return [kind(choices, value=choices[0][1], label=label, visible=several)]
        groups = self.controls.label_groups
        titles = [_title(number, group.attributes) for number, group in enumerate(groups)]
        chosen = gr.Radio(titles, value=titles[0], label="Labels", visible=len(groups) > 1)
        components: list[Any] = []
        for number, group in enumerate(groups):
            kind = gr.CheckboxGroup if group.attributes else gr.Radio
            value = [] if group.attributes else group.names[0]
            label = "Attributes of the result" if group.attributes else "Class of the result"
            components.append(kind(list(group.names), value=value, label=label, visible=number == 0))
        chosen.input(
            lambda title: [gr.update(visible=title == each) for each in titles],
            chosen,
            components,
            queue=False,
            preprocess=False,
            api_visibility="private",
        )
        return [chosen, *components]

    def _styles(self) -> None:
        """Add the strip of styles, and the controls of one style and of a second one to blend with."""
        with gr.Row():
            gr.Markdown("### Style")
            if self.controls.code:
                self.more = gr.Button("Other styles", size="sm", scale=0, min_width=140)
        gr.Markdown(self._hint())
        if self.controls.code:
            self.start = gr.Number(0, visible=False, precision=0)
            self.strip = gr.Gallery(
                show_label=False,
                object_fit="contain",
                allow_preview=False,
                height="auto",
                interactive=False,
                buttons=[],
                elem_id="strip",
                visible=False,
            )
        with gr.Row(equal_height=True):
            self._style("", "")
        if self.controls.blend:
            with gr.Accordion("Blend with a second style", open=False):
                with gr.Row(equal_height=False):
                    self._style("second_", "Second ")
                self.style["blend"] = gr.Slider(
                    0, 1, 0, step=0.05, label="Blend", info="0: the first style, 1: the second style"
                )

    def _hint(self) -> str:
        """Return how a style is chosen."""
        by_code = ["click one of these styles", "roll the dice"] if self.controls.code else []
        ways = [*by_code, *(["give a reference image"] if self.controls.reference else [])]
        return f"{' or '.join([', '.join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways).capitalize()}."

    def _style(self, prefix: str, title: str) -> None:
        """Add the controls of one style."""
        if self.controls.code:
            with gr.Column(min_width=240):
                self.style[f"{prefix}seed"] = gr.Number(
                    0, label=f"{title}Seed".capitalize(), precision=0, minimum=0, info="each seed is a random style"
                )
                self.dice[f"{prefix}seed"] = gr.Button(DICE)
                if not prefix:
                    info = "below 1: nearer to the mean style of the target"
                    self.style["psi"] = gr.Slider(0, 1, 1, step=0.05, label="Strength (psi)", info=info)
        if self.controls.reference:
            with gr.Column(min_width=240):
                label = f"{title}Reference image".capitalize()
                self.style[f"{prefix}reference"] = _image(label, 240)

    # --- events ----------------------------------------------------------------------------------------------

    def _events(self) -> None:
        queued: dict[str, Any] = {
            "trigger_mode": "always_last",
            "concurrency_id": QUEUE,
            "concurrency_limit": 1,
            "api_visibility": "private",
            "preprocess": False,
        }
        outputs = [self.result, self.details, self.download]
        translate: dict[str, Any] = {
            "fn": shown(self.translate),
            "inputs": [self.image, *self.target, *self.style.values()],
            "outputs": outputs,
            "show_progress_on": self.result,
            **queued,
        }
        changes = [self.button.click, self.image.upload, *(each.input for each in self.target)]
        if self.controls.code:
            changes.append(self.style["psi"].release)
            self._strip_events(gr.on(changes, **translate), translate, queued)
        else:
            gr.on(changes, **translate)
        if self.style:
            gr.on(self._style_events(), **translate)
        self.image.clear(
            lambda: ((None, None), HINT, gr.update(value=None, interactive=False)), None, outputs, queue=False
        )

    def _style_events(self) -> list[Any]:
        """Return the events after which the style is another one, but those in the strip are not."""
        events: list[Any] = []
        for name, component in self.style.items():
            if name == "psi":
                continue
            if isinstance(component, gr.Image):
                events += [component.upload, component.clear]
            else:
                events.append(component.release if isinstance(component, gr.Slider) else component.submit)
        return events

    def _strip_events(self, translated: Any, translate: dict[str, Any], queued: dict[str, Any]) -> None:
        """Add the events of the strip, which follows a translation, and of the dice."""
        local: dict[str, Any] = {"queue": False, "api_visibility": "private"}
        strip: dict[str, Any] = {
            "fn": shown(self.styles),
            "inputs": [self.image, *self.target, self.start, self.style["psi"]],
            "outputs": self.strip,
            **queued,
        }
        translated.success(**strip)
        starts = MAX_DRAWN // NUM_STYLES
        self.more.click(lambda: NUM_STYLES * secrets.randbelow(starts), None, self.start, **local).then(**strip)
        for name, button in self.dice.items():
            outputs = self._chosen_outputs(name)
            button.click(lambda: self._chosen(secrets.randbelow(MAX_DRAWN)), None, outputs, **local).then(**translate)
        chosen = self._chosen_outputs("seed")
        self.strip.select(self._select, self.start, chosen, **local).then(**translate)

    def translate(self, *values: Any) -> tuple[Any, str, Any]:
        """Return the updates of the outputs for the values of the inputs."""
        image, target, style = self._values(values)
        result = self.service.translate(request_of(self.files, image, target, **style))
        before, after = (
            self.files.save_image(each, name) for each, name in ((result.before, "before"), (result.after, "after"))
        )
        file = self.files.save(result.content, result.name)
        facts = {key: value for key, value in result.facts.items() if key not in ("target", "weights_sha256", "notes")}
        details = ", ".join([_words(target), *(f"{k.replace('_', ' ')} {_shown(v)}" for k, v in facts.items())])
        return (str(before), str(after)), plain(details), gr.update(value=str(file), interactive=True)

    def styles(self, *values: Any) -> Any:
        """Return the update of the strip: an image and its caption for each of the seeds from ``start``."""
        image, target, _ = self._values(values[:-2])
        start, psi = values[-2:]
        seeds = range(int(start), int(start) + NUM_STYLES)
        images = self.service.styles(uploaded(self.files, image), target, seeds, psi)
        strip = [(str(self.files.save_image(each, f"seed_{s}")), str(s)) for each, s in zip(images, seeds, strict=True)]
        return gr.update(value=strip, visible=True)

    def _values(self, values: tuple[Any, ...]) -> tuple[Any, Any, dict[str, Any]]:
        """Return the image, the target and the style in the values of the inputs."""
        image, *target = values[: 1 + len(self.target)]
        style = dict(zip(self.style, values[1 + len(self.target) :], strict=False))
        if not self.controls.label_groups:
            return image, target[0], style
        groups = self.controls.label_groups
        titles = [_title(number, group.attributes) for number, group in enumerate(groups)]
        return image, target[1:][titles.index(target[0])], style

    def _chosen_outputs(self, name: str) -> list[Any]:
        reference = self.style.get(name.replace("seed", "reference"))
        return [self.style[name], *([reference] if reference else [])]

    def _chosen(self, seed: int) -> Any:
        """Return the updates after a seed was chosen: the reference image is removed."""
        return [seed, None] if self.controls.reference else seed

    def _select(self, start: float, event: gr.SelectData) -> Any:
        return self._chosen(int(start) + event.index)


def _image(label: str, height: int) -> gr.Image:
    """Return a component that takes an image and leaves its file as it is."""
    return gr.Image(type="filepath", image_mode=None, sources=["upload", "clipboard"], label=label, height=height)


def _title(number: int, attributes: bool) -> str:
    return f"{number + 1}: {'attributes' if attributes else 'classes'}"


def plain(text: str) -> str:
    r"""Return a text that Markdown shows as it is: names come from files of others, and could be images or links.

    >>> print(plain("cat_1, ![a](http://b)"))
    cat_1, \!\[a\](http://b)
    """
    return re.sub(r"([\\`*\[\]<>!|~$&])", r"\\\1", " ".join(text.split()))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(target: Any) -> str:
    return target if isinstance(target, str) else ", ".join(target) or "no attribute"
