"""Get a file from the first of several places that has it, whatever servers and connections do.

What has come is kept beside the file: `NAME.part`, with `NAME.part.json` for where it came from. A further attempt,
in this run or a later one, asks for the rest, under the condition that the server still has the same file. A file
gets its name only when its length and checksum agree. Where the checksum is not known, the first one is written to
`NAME.sha256`, in the form of sha256sum, and is what later downloads are compared with.
"""

import functools
import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from translate import __version__
from translate.downloads.partial_file import CHUNK, Part
from translate.downloads.progress import Progress, disk, full, in_units, say
from translate.downloads.sources import File
from translate.downloads.unpack import looks_like
from translate.errors import UserError

_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that may be others in a moment."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server is waited for. One that was never reached is not waited for at all."""

    pauses: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds, between attempts in a row that bring nothing new
    longest: float = 60.0  # seconds, of what a server asks for by Retry-After
    silence: float = 30.0  # seconds without a byte after which a connection counts as broken


class Unavailable(UserError):
    """No place gives the file."""


class _Unusable(Exception):
    """A place does not give the file; the text completes the sentence "URL ..."."""


class _Broken(Exception):
    """An attempt failed and another may succeed; the text completes the sentence "URL ..."."""

    def __init__(self, problem: str, pause: float = 0.0, reached: bool = True) -> None:
        super().__init__(problem)
        self.pause, self.reached = pause, reached


PATIENCE = RetryPolicy()


def fetch(file: File, folder: Path, mirror: str | None = None, patience: RetryPolicy = PATIENCE) -> Path:
    """Return the path of a file in `folder`, downloaded unless it is there and agrees with what is known of it.

    `mirror`, an address, is asked for the file by its name instead of the published places. Raises
    Unavailable if no place gives the file, UserError where the disk has no room or will not be written.
    """
    target = folder / file.name
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    expected = file.sha256 or remembered(target)
    if target.exists():
        say(f"{target} is there, checking it")
        problem = _unlike(file, expected, target, *_digest(target))
        if problem is None:
            return target
        say(f"{target} {problem}; it is downloaded anew")
        with disk(target):
            target.unlink()
    problems = []
    with Part(folder / f"{file.name}.part") as part:
        for url in file.urls if mirror is None else (f"{mirror}/{quote(file.name)}",):
            try:
                _from_place(url, file, expected, part, patience)
                part.move(target)
                break
            except _Unusable as problem:
                problems.append(f"{url} {problem}")
                say(problems[-1])
        else:
            kept = f" ({in_units(part.size)} are kept and need not come again)" if part.size else ""
            raise Unavailable(
                f"download: {'; '.join(problems)}{kept}; try again later, say where else the file is by mirror=DIR or "
                f"mirror=URL, or get {file.name} by a browser, put it into {folder} and give the same command again"
            )
    if file.sha256 is None and expected is None:
        _remember(target, part.digest.hexdigest())
        say(
            f"warning: the checksum of {file.name} is not known, so what came cannot be verified; "
            f"it is written to {_note(target)}, and later downloads are compared with it"
        )
    return target


def forget(file: File, folder: Path) -> None:
    """Remove a file that turned out to be of no use, and the checksum if it is only that of this file."""
    with disk(folder):
        (folder / file.name).unlink(missing_ok=True)
        if file.sha256 is None:
            _note(folder / file.name).unlink(missing_ok=True)


def remembered(target: Path) -> str | None:
    """Return the checksum of the first download of a file, or None."""
    try:
        found = _note(target).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None
    return found[0] if found and re.fullmatch(r"[0-9a-f]{64}", found[0]) else None


def _remember(target: Path, checksum: str) -> None:
    with disk(target):
        _note(target).write_text(f"{checksum}  {target.name}\n", encoding="utf-8")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def address(mirror: str) -> str:
    """Return the address of a mirror that the user names by that or as a folder; UserError if there is no such folder.

    >>> address("https://example.org/data/")
    'https://example.org/data'
    """
    if re.match(r"(https?|file)://", mirror):
        return mirror.rstrip("/")
    place = Path(mirror).expanduser()
    if not place.is_dir():
        raise UserError(
            "there is no such folder", key=f"mirror={mirror}", expected="a folder, or an address with https://"
        )
    return place.resolve().as_uri()


# --- one place ----------------------------------------------------------------------------------------------


def _from_place(url: str, file: File, expected: str | None, part: Part, patience: RetryPolicy) -> None:
    """Let `part` become the whole file from one place, or raise _Unusable."""
    say(f"downloading {url}" + (f", from byte {part.size:,} on" if part.size else ""))
    part.inherited = part.size > 0
    while True:
        with Progress(file.name, file.bytes) as progress:
            _persist(url, file, part, patience, progress)
        problem = _unlike(file, expected, part.path, part.digest.hexdigest(), part.size)
        if problem is None:
            return
        mixed = part.inherited
        part.discard()
        if not mixed:
            raise _Unusable(problem)
        say(f"the parts of {file.name} do not belong together; from the beginning")


def _persist(url: str, file: File, part: Part, patience: RetryPolicy, progress: Progress) -> None:
    """Attempt until the stream has ended, or too many attempts in a row have brought nothing new."""
    failures, furthest, reached = 0, part.size, False
    while True:
        try:
            _attempt(url, file, part, patience, progress)
            return
        except _Broken as problem:
            reached = reached or problem.reached
            failures = 0 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if not reached:
                raise _Unusable(str(problem)) from problem
            if failures > len(patience.pauses):
                raise _Unusable(f"{problem}, {failures} times") from problem
            pause = max(patience.pauses[max(0, failures - 1)] if patience.pauses else 0, problem.pause)
            say(f"{file.name}: the server {problem}; trying again in {pause:.3g} s")
            time.sleep(pause)


def _attempt(url: str, file: File, part: Part, patience: RetryPolicy, progress: Progress) -> None:
    """Ask once, for what is missing, and take what comes; return when the stream has come to its end."""
    try:
        request = urllib.request.Request(url, headers=_headers(url, file, part))
        response = _opener().open(request, timeout=patience.silence)
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code == 416 and part.size:  # there is no rest
                if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(part.size):
                    return
                part.discard()
                raise _Broken("has less than came before") from answer
            problem = " ".join(f"answers {answer.code} {answer.reason}".split())
            if answer.code in _PASSING:
                raise _Broken(problem, pause=_retry_after(answer.headers, patience)) from answer
            raise _Unusable(problem) from answer
    except (ValueError, http.client.InvalidURL) as error:
        raise _Unusable(f"is no address that can be asked ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_connection(error) from error
    with response:
        total = _begin(response, url, file, part)
        while True:
            progress.at(part.size, total)
            try:
                chunk = response.read1(CHUNK)  # what is there; read would wait for the whole and lose it
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(f"broke off after {part.size:,}{_of(total)} bytes ({_said(error)})") from error
            if not chunk:
                break
            if total is not None and part.size + len(chunk) > total:
                raise _Unusable(f"sends more than {total:,} bytes")
            part.append(chunk)
    if total is not None and part.size < total:
        raise _Broken(f"broke off after {part.size:,}{_of(total)} bytes")


def _headers(url: str, file: File, part: Part) -> dict[str, str]:
    headers = {"User-Agent": f"translate-gan/{__version__}", "Accept-Encoding": "identity"}
    same_place = part.notes.get("url") == url
    condition = part.notes.get("condition") if same_place else None
    # Bytes of another place, or without a condition, go together only if the checksum can tell that they did.
    if part.size and (condition or file.sha256):
        headers["Range"] = f"bytes={part.size}-"
        if condition:
            headers["If-Range"] = condition
    return headers


def _begin(response: Any, url: str, file: File, part: Part) -> int | None:
    """Make `part` ready for the bytes that follow; return the length of the whole file if the server names it."""
    headers = response.headers
    length = headers.get("Content-Length", "")
    rest = int(length) if length.isdigit() else None
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d*/(\d+|\*)", headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != part.size:
            part.discard()
            raise _Broken("sent another part of the file than it was asked for")
        total = int(found[2]) if found[2] != "*" else None if rest is None else part.size + rest
    else:
        total = rest
    total = file.bytes if total is None else total
    if file.bytes is not None and total != file.bytes:
        raise _Unusable(f"has {total:,} bytes, expected {file.bytes:,}")
    if response.status != 206:
        part.restart()
    part.note(url, headers)
    if total is not None:
        free = shutil.disk_usage(part.path.parent).free
        if total - part.size > free:
            raise full(part.path, total - part.size, free)
    return total


def _unlike(file: File, expected: str | None, path: Path, checksum: str, size: int) -> str | None:
    """Return how a file differs from what is known of it, as the end of a sentence, or None."""
    if file.bytes is not None and size != file.bytes:
        return f"has {size:,} bytes, expected {file.bytes:,}"
    if expected is not None and checksum != expected:
        note = _note(path.with_name(file.name))
        hint = "" if file.sha256 else f", that of the first download (remove {note} to accept another)"
        return f"has the sha256 {checksum}, expected {expected}{hint}"
    if file.sha256 is None and not looks_like(path, file.unpack):
        with open(path, "rb") as content:
            start = content.read(16)
        return f"is no {file.unpack} archive, it has {size:,} bytes and begins with {start!r}"
    return None


def _digest(path: Path) -> tuple[str, int]:
    with disk(path), open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest(), path.stat().st_size


def _of(total: int | None) -> str:
    return "" if total is None else f" of {total:,}"


def _retry_after(headers: "Message[str, str]", patience: RetryPolicy) -> float:
    asked = headers.get("Retry-After", "")
    return min(float(asked), patience.longest) if asked.isdigit() else 0.0


def _no_connection(error: Exception) -> Exception:
    """Return how an attempt ended in which no server answered."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, FileNotFoundError):
        return _Unusable("is not there")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _Unusable(f"has a certificate that cannot be trusted ({cause.verify_message})")
    hung_up = isinstance(cause, http.client.HTTPException | ConnectionResetError)  # so there was somebody
    return _Broken(f"cannot be reached ({_said(cause)})", reached=hung_up)


def _said(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "it is silent"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).lower()


class _NoStepDown(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not from an encrypted connection to a plain one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request that follows."""
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise _Unusable(f"leads to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoStepDown)
