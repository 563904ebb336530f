"""The page in a headless browser, as a person uses it."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serve import models
from serve.browser import PROGRAM, Page, browser
from serve.client import pixels, write
from translate.inference.torch_engine import TorchEngine

pytest.importorskip("gradio", reason="the extra demo is not installed")
if PROGRAM is None:
    pytest.skip("no chromium or chrome is installed on this machine", allow_module_level=True)

from translate.serving.limits import Limits
from translate.serving.server import Settings, server

DETAILS = "document.querySelector('#details').innerText"
DESKTOP, PHONE = (1280, 900), (390, 844)
Opened = Callable[[TorchEngine], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def opened(tab: Page) -> Opened:
    """Return the function that serves a model while a block runs, and opens its page."""

    @contextmanager
    def open_page(engine: TorchEngine, size: tuple[int, int] = DESKTOP) -> Iterator[str]:
        settings = Settings(port=0, limits=Limits(max_bytes=100_000))
        with server(engine, "tiny", settings) as running, running.in_background():
            tab.requests.clear()
            tab.errors.clear()
            tab.open(running.url, *size, mobile=size == PHONE)
            tab.wait("!!document.querySelector('input[type=file]')")
            yield running.url
            origins = {url.split("/gradio_api")[0] for url in tab.requests if not url.startswith(("data:", "blob:"))}
            assert all(origin.startswith(running.url) for origin in origins), origins
            # Gradio asks how far an upload is also after a quick one has ended
            assert [error for error in tab.errors if "/upload_progress" not in error] == []
            tab.open("about:blank", *DESKTOP)

    return open_page


def button(text: str) -> str:
    return f"[...document.querySelectorAll('button')].find(each => each.innerText.includes('{text}'))"


def option(text: str) -> str:
    """Return a choice of a radio or checkbox."""
    return f"[...document.querySelectorAll('label')].find(each => each.innerText.trim() == '{text}')"


def component(label: str, inner: str) -> str:
    """Return an element inside the component with a label."""
    blocks = "[...document.querySelectorAll('.block')]"
    titled = f"{blocks}.find(b => b.innerText.trim().startsWith('{label}') && b.querySelector('{inner}'))"
    return f"{titled}?.querySelector('{inner}')"


def settle(tab: Page) -> None:
    """Wait until no component waits for an answer."""
    trackers = "[...document.querySelectorAll('[data-testid=status-tracker]')]"
    tab.wait(f"{trackers}.every(each => each.classList.contains('hide'))")


def slide(tab: Page, label: str, share: float) -> None:
    """Click a slider at a share of its width."""
    tab.click(component(label, "input[type=range]"), share)


def test_from_upload_to_download(tab: Page, opened: Opened, tmp_path: Path) -> None:
    engine = models.stargan_v2()
    array, reference = pixels(1), pixels(2)
    with opened(engine):
        tab.upload("input[type=file]", write(tmp_path / "photo.png", array))
        tab.wait(f"{DETAILS} == 'cat, seed 0, psi 1'")
        tab.wait("document.querySelectorAll('#strip img').length == 8")

        tab.click(option("wild"))
        tab.wait(f"{DETAILS} == 'wild, seed 0, psi 1'")
        settle(tab)

        tab.click("document.querySelectorAll('#strip button')[3]")
        tab.wait(f"{DETAILS} == 'wild, seed 3, psi 1'")
        assert tab.run(component("Seed", "input[type=number]") + ".value") == "3"

        tab.click(button("Roll the dice"))
        seed = tab.wait(f"{DETAILS}.match(/seed (\\d+)/)?.[1] != '3' && {DETAILS}.match(/seed (\\d+)/)[1]")
        assert tab.run(component("Seed", "input[type=number]") + ".value") == seed

        slide(tab, "Strength", 0.5)
        psi = float(tab.wait(f"{DETAILS}.match(/psi (0\\.\\d+)/)?.[1]"))
        assert 0.4 <= psi <= 0.6

        tab.drag("document.querySelector('[data-testid=slider] .icon-wrap')", -80)
        clip = "document.querySelectorAll('[data-testid=imageslider-image]')[1].style.clipPath"
        tab.wait(f"{clip}.match(/([0-9.]+)%/)[1] < 40")  # the translation covers more than a half

        first = tab.run("document.querySelector('#strip img').alt")
        tab.click(button("Other styles"))
        tab.wait(f"document.querySelector('#strip img').alt != '{first}'")

        settle(tab)
        tab.click(button("Download"))
        path = tab.downloaded("photo_to_wild.png")
        wanted = engine.translator.translate(Image.fromarray(array), "wild", seed=int(seed), psi=psi)
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(wanted))

        tab.upload("input[type=file]", write(tmp_path / "style.png", reference), 1)
        tab.wait(f"{DETAILS} == 'wild, reference style.png'")
        tab.click(button("Blend with"))
        slide(tab, "Blend", 0.5)
        assert re.search(
            r"second seed 0, psi 0.\d+, blend 0.\d+$", tab.wait(f"{DETAILS}.includes('blend') && {DETAILS}")
        )


def test_what_is_refused_is_said_on_the_page(tab: Page, opened: Opened, tmp_path: Path) -> None:
    with opened(models.stargan_v2()):
        tab.click(button("Translate"))
        tab.wait("document.body.innerText.includes('image: there is no image. Fix: upload one')")
        assert tab.run("document.body.innerText.split('there is no image').length") == 2
        (tmp_path / "broken.png").write_bytes(b"no image at all")
        tab.upload("input[type=file]", tmp_path / "broken.png")
        tab.wait("document.body.innerText.includes('image: this file is not an image in a known format')")


def test_a_phone(tab: Page, opened: Opened, tmp_path: Path) -> None:
    with opened(models.stargan_v2(), PHONE):
        tab.upload("input[type=file]", write(tmp_path / "photo.png", pixels(1)))
        tab.wait("document.querySelectorAll('#strip img').length == 8")
        assert tab.run("document.documentElement.scrollWidth") <= PHONE[0]
        tops = tab.run("[...document.querySelectorAll('#strip img')].map(e => e.getBoundingClientRect().top)")
        assert len(set(tops)) == 2  # two rows of four, each as wide as a thumb


def test_attributes(tab: Page, opened: Opened, tmp_path: Path) -> None:
    with opened(models.stargan_v1()):
        assert tab.run(button("Roll the dice")) is None
        tab.upload("input[type=file]", write(tmp_path / "photo.png", pixels(1)))
        tab.wait(f"{DETAILS} == 'no attribute'")
        tab.click(option("young"))
        tab.wait(f"{DETAILS} == 'young'")
        tab.click(option("smiling"))
        tab.wait(f"{DETAILS} == 'young, smiling'")


def test_labels_of_two_data_sets(tab: Page, opened: Opened, tmp_path: Path) -> None:
    with opened(models.stargan_v1(models.ATTRIBUTES + models.CLASSES)):
        tab.upload("input[type=file]", write(tmp_path / "photo.png", pixels(1)))
        tab.wait(f"{DETAILS} == 'no attribute'")
        tab.click(option("2: classes"))
        tab.wait(f"{DETAILS} == 'angry'")
        tab.click(option("happy"))
        tab.wait(f"{DETAILS} == 'happy'")


def test_directions(tab: Page, opened: Opened, tmp_path: Path) -> None:
    with opened(models.cyclegan()):
        tab.upload("input[type=file]", write(tmp_path / "photo.png", pixels(1)))
        tab.wait(f"{DETAILS} == 'horse'")
        tab.click(option("horse → zebra"))
        tab.wait(f"{DETAILS} == 'zebra'")
