"""A server on this machine that answers as badly as it is told to."""

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = bytes(range(256)) * 40


@dataclass(frozen=True)
class Answer:
    """How a request is answered."""

    body: bytes = CONTENT
    status: int = 200
    declared: int | None = -1  # the length it states; -1: the true one; None: none
    stops_after: int | None = None  # bytes, then the connection is dropped
    silent_after: int | None = None  # bytes, then nothing more comes
    ranges: bool = True
    starts: int | None = None  # where a partial answer really starts
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Serves `answers[path]`, one after the other, the last one for ever; notes the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.waiting = threading.Event()  # it has fallen silent
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/{path}"

    def serve(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.url(path)

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of the requests for a path."""
        return [headers for asked, headers in self.requests if asked == path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        self.requests.append((path, {name.lower(): value for name, value in handler.headers.items()}))
        queue = self.answers.get(path, [Answer(b"", 404)])
        one = queue.pop(0) if len(queue) > 1 else queue[0]
        body, status, extra = one.body, one.status, dict(one.headers)
        asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        same = condition in (None, extra.get("ETag"), extra.get("Last-Modified"))
        if asked and one.ranges and same and status == 200:
            start = int(asked.removeprefix("bytes=").rstrip("-")) if one.starts is None else one.starts
            if start >= len(body):
                status, extra["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                status, extra["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
        handler.send_response(status)
        if one.declared is not None:
            extra["Content-Length"] = str(len(body) if one.declared == -1 else one.declared)
        for name, value in extra.items():
            handler.send_header(name, value)
        handler.end_headers()
        end = min(len(body), *(n for n in (one.stops_after, one.silent_after, len(body)) if n is not None))
        with contextlib.suppress(OSError):
            handler.wfile.write(body[:end])
            handler.wfile.flush()
            self.sent += end
        if one.silent_after is not None:
            self.waiting.set()
            self.closing.wait(10)
        handler.close_connection = True
