"""Run the page on a port of this machine."""

import errno
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from translate import signals
from translate.errors import Phrase, UserError
from translate.inference.engine import Engine
from translate.serving.files import temporary_files
from translate.serving.limits import Limits
from translate.serving.service import Service

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Names of this machine for itself."""

FIRST_PORT, NUM_PORTS = 7860, 100
"""The ports that are tried when none is given."""

SECONDS_TO_FINISH = 3
"""How long open connections may last after the server was interrupted."""


@dataclass(frozen=True)
class Settings:
    """Where a server listens, who may use it, and how much.

    ``port`` is the next free one when it is None. ``credentials`` are passwords by user, empty for everybody.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    credentials: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can connect."""
        return self.host in LOCAL_NAMES


class Server:
    """A page that can be run: the web application, and the socket on which it listens."""

    def __init__(self, app: Any, listener: socket.socket, host: str) -> None:
        import uvicorn

        class Uvicorn(uvicorn.Server):
            """A server that leaves the handlers of signals as they are."""

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                """Finish open connections after a signal."""
                with signals.deferred(self.stop):
                    yield

            def stop(self, number: int) -> None:
                """Let the server end."""
                self.should_exit = True

        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=SECONDS_TO_FINISH,
        )
        self.listener = listener
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else _in_url(host)}:{self.port}"
        self._server = Uvicorn(config)

    def run(self) -> None:
        """Serve until a signal."""
        self._server.run(sockets=[self.listener])

    @contextmanager
    def in_background(self) -> Iterator[str]:
        """Serve in a thread while the block runs; yield the address of the page."""
        thread = threading.Thread(target=self.run, name="serve", daemon=True)
        thread.start()
        while not self._server.started and thread.is_alive():
            thread.join(0.01)
        try:
            yield self.url
        finally:
            self._server.should_exit = True
            thread.join()


@contextmanager
def server(engine: Engine, title: str, settings: Settings) -> Iterator[Server]:
    """Yield a server of a model's page; its temporary files are removed at the end.

    UserError for a port that cannot be used, and for weights that cannot translate.
    """
    listener = bind(settings.host, settings.port)
    try:
        with temporary_files() as files:
            service = Service(engine, settings.limits)
            from translate.serving.page import build  # Gradio reads its environment when it is imported

            page = build(service, files, title)
            yield Server(application(page, settings), listener, settings.host)
    finally:
        listener.close()


def check_installed() -> None:
    """Raise UserError if the libraries of the page are missing."""
    try:
        import gradio  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError("the page needs gradio", key="serve", fix="pip install 'translate-gan[demo]'") from error


def application(page: Any, settings: Settings) -> Any:
    """Return the web application of a page: nothing is recorded, sent elsewhere, or loaded from another server."""
    import gradio as gr
    from fastapi import FastAPI

    from translate.serving.gate import Gate
    from translate.serving.page import CSS

    page.queue(max_size=settings.limits.queue, default_concurrency_limit=1, api_open=False)
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        server_name=settings.host,
        auth=list(settings.credentials.items()) or None,
        show_error=False,
        max_file_size=settings.limits.max_bytes,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(
            primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=CSS,
    )
    return Gate(app, settings.limits, LOCAL_NAMES if settings.is_local else None)


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on a port, the first free one from FIRST_PORT if ``port`` is None."""
    ports = range(FIRST_PORT, FIRST_PORT + NUM_PORTS) if port is None else (port,)
    for each in ports:
        try:
            return _listening(host, each)
        except OSError as error:
            if port is None and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise _refused(host, each, error) from error
    raise UserError("no port is free", key="port", found=Phrase(f"{ports[0]} to {ports[-1]}"), fix="choose one: port=N")


def _listening(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _refused(host: str, port: int, error: OSError) -> UserError:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return UserError("this machine has no such address", key="host", found=host, fix="leave it out, or 0.0.0.0")
    if error.errno == errno.EADDRINUSE:
        fix = "choose another one, or leave port out: the next free one is used"
        return UserError(f"the port {port} is in use", key="port", fix=fix)
    return UserError(f"the port {port} cannot be used: {(error.strerror or str(error)).lower()}", key="port")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
