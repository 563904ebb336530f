"""A small server that answers as the Hugging Face Hub does, for the few requests of an upload and a download."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_owner"


@dataclass
class Repository:
    """What lies in a repository, and who may see it."""

    private: bool = False
    gated: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def revision(self) -> str:
        """Return the hash of the newest commit."""
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub:
    """The server's state, and where it listens."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}  # large files by hash, before they are committed
        self.requests: list[str] = []
        self.address = ""


@contextmanager
def serving() -> Iterator[Hub]:
    """Yield a server on this machine."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, content: Any = b"", **headers: str) -> None:
        """Send an answer; what is not bytes becomes JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def is_owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def refused(self, code: str, message: str, status: int = 404) -> None:
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    # --- requests -------------------------------------------------------------------------------------------

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(f"{self.command} {path}")
        name, found, file = path.strip("/").partition("/resolve/")
        revision, _, file = file.partition("/")
        repository = self.state.repositories.get(name)
        if not found:
            self.refused("EntryNotFound", f"no such page {path}")
        elif repository is None or (repository.private and not self.is_owner):
            self.refused("RepoNotFound", "Repository not found", 401 if not self.is_owner else 404)
        elif repository.gated and not self.is_owner:
            self.refused("GatedRepo", "Access to this model is restricted", 403)
        elif revision not in ("main", repository.revision):
            self.refused("RevisionNotFound", f"Invalid rev id: {revision}")
        elif file not in repository.files:
            self.refused("EntryNotFound", "Entry not found")
        else:
            content = repository.files[file]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(200, content, ETag=etag, X_Repo_Commit=repository.revision, Accept_Ranges="none")

    def do_PUT(self) -> None:
        self.state.uploads[self.path.rpartition("/")[2]] = self.body()
        self.answer(200)

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        self.state.requests.append(f"POST {path}")
        if path == "/api/validate-yaml":
            self.validate(json.loads(body)["content"])
        elif not self.is_owner:
            self.refused("Unauthorized", "Invalid username or password.", 401)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            told = [
                {"path": f["path"], "uploadMode": modes[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                for f in files
            ]
            self.answer(200, {"files": told})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.state.address}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            self.commit(path.removeprefix("/api/models/").partition("/commit/")[0], body)
        else:
            self.refused("EntryNotFound", f"no such page {path}")

    def validate(self, card: str) -> None:
        """Refuse a licence that the Hub does not know, as it does."""
        if 'license: "my own"' in card:
            self.answer(400, {"errors": [{"message": '"license" must be one of [apache-2.0, ...]'}], "warnings": []})
        else:
            self.answer(200, {"errors": [], "warnings": []})

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.state.repositories:
            self.answer(409, {"url": f"{self.state.address}/{name}", "error": "You already created this model repo"})
            return
        self.state.repositories[name] = Repository(private=asked.get("visibility") == "private")
        self.answer(200, {"url": f"{self.state.address}/{name}", "name": name})

    def commit(self, name: str, body: bytes) -> None:
        repository = self.state.repositories[name]
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repository.files[value["path"]] = self.state.uploads[value["oid"]]
        repository.commits += 1
        page = f"{self.state.address}/{name}/commit/{repository.revision}"
        self.answer(200, {"commitUrl": page, "commitOid": repository.revision, "hookOutput": "", "success": True})
