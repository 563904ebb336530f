"""A headless Chromium, driven through its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SECONDS = 30


class Page:
    """One tab: what a person does with it, and what it loaded and reported."""

    def __init__(self, socket: Any, downloads: Path) -> None:
        self.socket = socket
        self.downloads = downloads
        self.number = 0
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; note the events that come before it."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=SECONDS))
            if message.get("id") == self.number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, event = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")

    def open(self, url: str, width: int, height: int, mobile: bool = False) -> None:
        self.resize(width, height, mobile)
        self.send("Page.navigate", url=url)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = SECONDS) -> Any:
        """Return the value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}\n{self.run('document.body.innerText')}\n{self.errors}"
            time.sleep(0.05)
        return value

    def click(self, element: str, share: float = 0.5) -> None:
        """Click an element, given as a JavaScript expression, at a share of its width, as soon as it stands still."""
        x, y = self._place(element, share)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y)

    def drag(self, element: str, distance: float) -> None:
        """Drag an element to the right by a number of pixels."""
        x, y = self._place(element, 0.5)
        self._mouse("mousePressed", x, y)
        for step in range(1, 5):
            self._mouse("mouseMoved", x + distance * step / 4, y)
        self._mouse("mouseReleased", x + distance, y)

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def _place(self, element: str, share: float) -> tuple[float, float]:
        self.wait(f"!!({element})")
        where = (
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
            f" const b = e.getBoundingClientRect(); return [b.x + b.width * {share}, b.y + b.height / 2] }})()"
        )
        place = None
        while place != (place := self.run(f"new Promise(done => setTimeout(() => done({where}), 60))")):
            pass
        x, y = place
        return x, y

    def upload(self, selector: str, path: Path, number: int = 0) -> None:
        """Choose a file in the input of a number among those of a selector."""
        self.wait(f"document.querySelectorAll({json.dumps(selector)}).length > {number}")
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        nodes = self.send("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]
        self.send("DOM.setFileInputFiles", nodeId=nodes[number], files=[str(path)])

    def downloaded(self, name: str) -> Path:
        """Return the path of a downloaded file as soon as it is there."""
        path, end = self.downloads / name, time.monotonic() + SECONDS
        while not path.exists():
            assert time.monotonic() < end, f"no download of {name}: {list(self.downloads.iterdir())}"
            time.sleep(0.05)
        return path

    def screenshot(self, path: Path, full: bool = True) -> None:
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Yield a tab of a new browser whose files are in a folder; downloads are in downloads/."""
    from websockets.sync.client import connect

    assert PROGRAM is not None
    profile, downloads = folder / "profile", folder / "downloads"
    downloads.mkdir(parents=True)
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    process = subprocess.Popen(
        [PROGRAM, *words, *quiet, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address(profile / "DevToolsActivePort"), max_size=None) as socket:
            page = Page(socket, downloads)
            page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
            yield page
    finally:
        process.terminate()
        process.wait()


def _address(notes: Path) -> str:
    """Return the address of the first tab, as soon as the browser has written its port."""
    end = time.monotonic() + SECONDS
    while True:
        assert time.monotonic() < end, "the browser did not start"
        if notes.exists() and len(lines := notes.read_text().splitlines()) == 2:
            with urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
