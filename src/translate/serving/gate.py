"""The gate before the web framework: limits, and refusal of everything that the page does not need.

Gradio can do more than this server offers: fetch files from other servers, relay addresses, record runs. The gate lets
through what is listed here, and answers everything else itself, in one sentence.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from translate.errors import Phrase, UserError
from translate.files.reading import is_whole_number
from translate.serving.limits import Limits, too_many_bytes

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
UPLOAD = f"{API}/upload"
PATHS = {
    "GET": re.compile(
        r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|logout)/?|/(static|assets)/.+|"
        rf"{API}/(info|openapi\.json|queue/data|upload_progress|startup-events|app_id|login_check|user|token|theme\.css)/?|"
        rf"{API}/(call|heartbeat)/[^/].*|{API}/file=(?!\w+:).+"
    ),
    "POST": re.compile(rf"/login/?|{UPLOAD}|{API}/(queue/join|cancel|reset)/?|{API}/(call|run)/.+"),
}
PATHS["HEAD"] = PATHS["GET"]
JSON_BYTES = 2**20
"""The largest body of a request that is not an upload: images are uploaded, never written into a request."""

FORM_BYTES = 2**16
"""Bytes that an upload may have beside the file: the form around it."""

BAD_REQUEST, NOT_FOUND, TOO_LARGE, REFUSED, BUSY = 400, 404, 413, 403, 503


class Refusal(Exception):
    """A request that is not let through: the status and the sentence of its answer."""

    def __init__(self, status: int, error: UserError) -> None:
        super().__init__(str(error))
        self.status = status


class Gate:
    """An ASGI application around another one.

    ``hosts`` are the names under which a browser may address this server, None for any. On a port of this machine
    alone they stop pages of other servers that give their own name our address (DNS rebinding).
    """

    def __init__(self, app: App, limits: Limits, hosts: Iterable[str] | None) -> None:
        self.app = app
        self.limits = limits
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a sentence."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets
            await send({"type": "websocket.close"})
            return
        answer = _Answer(send, scope["path"], self.limits)
        try:
            self._check_address(scope)
            receive = await self._limited(scope, receive, answer)
            await self.app(scope, receive, answer)
        except Refusal as refusal:
            if not answer.started:
                await answer.refuse(refusal)

    def _check_address(self, scope: Scope) -> None:
        """Raise Refusal for the name of another server, and for a path that the page does not need."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and _name_of(host) not in self.hosts:
            known = ", ".join(sorted(self.hosts))
            fix = "start the server with host=0.0.0.0 auth=user:password to use other names"
            raise Refusal(REFUSED, UserError(key="Host", found=host, expected=known, fix=fix))
        pattern = PATHS.get(scope["method"])
        if pattern is None or not pattern.fullmatch(scope["path"]):
            found = Phrase(f"{scope['method']} {scope['path'][:100]}")
            raise Refusal(NOT_FOUND, UserError("this server has no such address", key="path", found=found))

    async def _limited(self, scope: Scope, receive: Receive, answer: "_Answer") -> Receive:
        """Return a function that yields the body within the limits; a body of JSON is read and checked here."""
        if scope["method"] != "POST":
            return receive
        upload = scope["path"] == UPLOAD
        limit = self.limits.max_bytes + FORM_BYTES if upload else JSON_BYTES
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not is_whole_number(declared.decode("latin-1")) or int(declared) > limit:
            raise self._too_large(upload)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                answer.refusal = self._too_large(upload)
                raise answer.refusal
            return message

        if upload or scope["path"].startswith("/login"):
            return counted
        return await _checked_json(counted, receive)

    def _too_large(self, upload: bool) -> Refusal:
        if upload:
            return Refusal(TOO_LARGE, too_many_bytes(self.limits.max_bytes))
        fix = f"upload images to {UPLOAD}, and send their paths"
        return Refusal(
            TOO_LARGE, UserError("the request is too large", expected=f"at most {JSON_BYTES:,} bytes", fix=fix)
        )


class _Answer:
    """Sends the answer of the application, or a sentence of ours in its place where a limit was exceeded."""

    def __init__(self, send: Send, path: str, limits: Limits) -> None:
        self.send, self.path, self.limits = send, path, limits
        self.refusal: Refusal | None = None
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.refusal = self.refusal or self._refusal(message["status"])
            if self.refusal is not None:
                await self.refuse(self.refusal)
            self.started = True
        if self.refusal is None:
            await self.send(message)

    def _refusal(self, status: int) -> Refusal | None:
        """Return the refusal of a limit that the application keeps itself."""
        if status == TOO_LARGE:
            return Refusal(status, too_many_bytes(self.limits.max_bytes))
        if status == BUSY:
            waiting = f"at most {self.limits.queue} waiting requests"
            fix = "try again in a moment"
            return Refusal(status, UserError("the queue is full", key="queue", expected=waiting, fix=fix))
        return None

    async def refuse(self, refusal: Refusal) -> None:
        """Send the sentence of a refusal: plain text for uploads, else JSON as Gradio writes errors."""
        plain = self.path == UPLOAD
        body = (str(refusal) if plain else json.dumps({"detail": str(refusal)})).encode()
        kind = b"text/plain; charset=utf-8" if plain else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
        self.started = True


async def _checked_json(counted: Receive, receive: Receive) -> Receive:
    """Read a body of JSON, raise Refusal for files on other servers in it, and return a function that yields it."""
    body = b""
    while True:
        message = await counted()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    try:
        addresses = list(_addresses(json.loads(body or b"null")))
    except (ValueError, RecursionError) as cause:
        raise Refusal(BAD_REQUEST, UserError("the body is not JSON", key="body")) from cause
    if addresses:
        error = UserError(
            key="path", found=addresses[0][:100], expected="an upload", fix=f"upload the file to {UPLOAD}"
        )
        raise Refusal(BAD_REQUEST, error)
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _addresses(value: Any) -> Iterable[str]:
    """Yield every path in a request that names a file on another server."""
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and re.match(r"\s*[a-z][a-z0-9+.-]*:", path, re.IGNORECASE):
            yield path
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _addresses(each)


def _name_of(host: str) -> str:
    """Return the name in a Host header, without the port.

    >>> _name_of("localhost:7860"), _name_of("[::1]:7860"), _name_of("::1")
    ('localhost', '[::1]', '::1')
    """
    return re.sub(r"(?<=[^:]):\d+$", "", host).lower() if host.count(":") == 1 or "]" in host else host.lower()
