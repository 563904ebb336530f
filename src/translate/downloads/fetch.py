"""Fetch a file from the first of several sources that has it, with retries and resumption.

The bytes received so far are kept in a partial file. A later attempt, in this run or another, requests the rest on the
condition that the server still has the same file. The file gets its name only when its length and checksum agree. If
the checksum is not known, that of the first download is written to `NAME.sha256`, in the format of sha256sum, and later
downloads are compared with it.
"""

import functools
import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from translate import __version__
from translate.downloads.disk import disk_errors, require_space
from translate.downloads.partial_file import CHUNK, PartialFile
from translate.downloads.progress import Progress, in_units, say
from translate.downloads.sources import File
from translate.downloads.unpack import looks_like
from translate.errors import Phrase, UserError
from translate.files.reading import is_whole_number, opened, read_text
from translate.files.writing import atomic_write

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which another attempt may succeed."""


@dataclass(frozen=True)
class RetryPolicy:
    """When an attempt is repeated. A server that was never reached is not retried."""

    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds; one for each attempt in a row without new bytes
    max_retry_after: float = 60.0  # seconds; the longest Retry-After of a server that is obeyed
    timeout: float = 30.0  # seconds without a byte after which a connection counts as broken

    def delay(self, failures: int, retry_after: float) -> float:
        """Return the seconds before the next attempt, after ``failures`` attempts in a row without new bytes."""
        own = self.delays[max(0, failures - 1)] if self.delays else 0.0
        return max(own, min(retry_after, self.max_retry_after))


DEFAULT_RETRY_POLICY: RetryPolicy = RetryPolicy()


class Unavailable(UserError):
    """No source has the file."""


class _Unusable(Exception):
    """A source does not have the file; the text completes the sentence "URL ..."."""


class _Failed(Exception):
    """An attempt failed and another may succeed; the text completes the sentence "URL ..."."""

    def __init__(self, reason: str, retry_after: float = 0.0, reached: bool = True) -> None:
        super().__init__(reason)
        self.retry_after, self.reached = retry_after, reached


def fetch(
    file: File, folder: Path, mirror: str | None = None, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> Path:
    """Return the path of ``file`` in ``folder``; download it unless it is there and agrees with its checksum.

    ``mirror`` is the URL of a folder that replaces the URLs of the file. Unavailable if no source has the file,
    UserError for a full or read-only disk.
    """
    target = folder / file.name
    file = replace(file, sha256=file.sha256 or recorded_checksum(target))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            say(f"checking {target}")
            with opened(target) as content:
                mismatch = _mismatch(file, target, hashlib.file_digest(content, "sha256").hexdigest())
            if mismatch is None:
                return target
            say(f"{target} {mismatch}; downloading it again")
            target.unlink()
        urls = file.urls if mirror is None else (f"{mirror}/{quote(file.name)}",)
        with PartialFile(folder / f"{file.name}.part") as partial:
            _from_first_source(file, partial, urls, retry_policy)
            partial.rename(target)
        if file.sha256 is None:
            atomic_write(_checksum_path(target), f"{partial.checksum}  {target.name}\n")
            say(
                f"warning: the checksum of {file.name} is not known, so the file cannot be verified; its checksum is "
                f"written to {_checksum_path(target)}, and later downloads are compared with it"
            )
    return target


def remove(file: File, folder: Path) -> None:
    """Remove a fetched file of no use, and its recorded checksum."""
    (folder / file.name).unlink(missing_ok=True)
    if file.sha256 is None:
        _checksum_path(folder / file.name).unlink(missing_ok=True)


def recorded_checksum(target: Path) -> str | None:
    """Return the SHA-256 of the first download of a file whose checksum is not known, or None."""
    try:
        checksum, *_ = read_text(_checksum_path(target), 10_000).split()
    except ValueError:  # a UserError is one
        return None
    return checksum if re.fullmatch(r"[0-9a-f]{64}", checksum) else None


def _checksum_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def mirror_url(mirror: str) -> str:
    """Return the URL of a mirror, which is a URL or a folder. UserError if the folder does not exist.

    >>> mirror_url("https://example.org/data/")
    'https://example.org/data'
    """
    if re.match(r"(https?|file)://", mirror):
        return mirror.rstrip("/")
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise UserError("the folder does not exist", key="mirror", found=mirror, expected="a folder or an https:// URL")
    return folder.resolve().as_uri()


# --- one source ---------------------------------------------------------------------------------------------


def _from_first_source(file: File, partial: PartialFile, urls: tuple[str, ...], retry_policy: RetryPolicy) -> None:
    """Complete the partial file from the first source that has it. Unavailable if none has."""
    reasons = []
    for url in urls:
        try:
            return _from_source(url, file, partial, retry_policy)
        except _Unusable as reason:
            reasons.append(f"{url} {reason}")
            say(reasons[-1])
    kept = f" ({in_units(partial.size)} are kept)" if partial.size else ""
    raise Unavailable(
        "no source has the file",
        key=file.name,
        found=Phrase("; ".join(reasons)),
        fix=f"repeat the command later{kept}, name another source by mirror=DIR or mirror=URL, or download "
        f"{file.name} with a browser, put it into {partial.path.parent} and repeat the command",
    )


def _from_source(url: str, file: File, partial: PartialFile, retry_policy: RetryPolicy) -> None:
    """Complete the partial file from one source, with retries. _Unusable if the source does not have the file."""
    say(f"downloading {url}" + (f", from byte {partial.size:,}" if partial.size else ""))
    partial.resumed = partial.size > 0
    failures, furthest, reached = 0, partial.size, False
    with Progress(file.name, file.size) as progress:
        while True:
            try:
                _attempt(url, file, partial, retry_policy.timeout, progress)
                mismatch = _mismatch(file, partial.path, partial.checksum)
                if mismatch is None:
                    return
                resumed, furthest = partial.resumed, 0
                partial.discard()
                if not resumed:
                    raise _Unusable(mismatch)
                say(f"the bytes of {file.name} are of different files; starting again")
            except _Failed as failure:
                reached = reached or failure.reached
                failures = 0 if partial.size > furthest else failures + 1
                furthest = max(furthest, partial.size)
                if not reached:
                    raise _Unusable(str(failure)) from failure
                if failures > len(retry_policy.delays):
                    raise _Unusable(f"{failure}, {failures} times") from failure
                delay = retry_policy.delay(failures, failure.retry_after)
                say(f"{file.name}: the server {failure}; trying again in {delay:.3g} s")
                time.sleep(delay)


def _attempt(url: str, file: File, partial: PartialFile, timeout: float, progress: Progress) -> None:
    """Request the missing bytes once and append them, to the end of the stream."""
    response = _open(url, file, partial, timeout)
    if response is None:
        return
    with response:
        total = _prepare(response, url, file, partial)
        of_total = "" if total is None else f" of {total:,}"
        while True:
            progress.update(partial.size, total)
            try:
                chunk = response.read1(CHUNK)  # the bytes at hand; read would wait for a full chunk and lose it
            except (OSError, http.client.HTTPException) as error:
                text = f"broke off after {partial.size:,}{of_total} bytes ({_reason(error)})"
                raise _Failed(text) from error
            if not chunk:
                break
            if total is not None and partial.size + len(chunk) > total:
                raise _Unusable(f"sends more than {total:,} bytes")
            partial.append(chunk)
    if total is not None and partial.size < total:
        raise _Failed(f"broke off after {partial.size:,}{of_total} bytes")


def _open(url: str, file: File, partial: PartialFile, timeout: float) -> Any:
    """Return the response to a request for the missing bytes, or None if no bytes are missing."""
    headers = {"User-Agent": f"translate-gan/{__version__}", "Accept-Encoding": "identity"}
    headers |= partial.range_headers(url, file.sha256 is not None)
    try:
        return _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code == 416 and partial.size:  # the range starts at or behind the end
                if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(partial.size):
                    return None
                partial.discard()
                raise _Failed("has fewer bytes than the partial file") from answer
            reason = " ".join(f"answers {answer.code} {answer.reason}".split())
            if answer.code not in _TRANSIENT:
                raise _Unusable(reason) from answer
            seconds = answer.headers.get("Retry-After", "")
            raise _Failed(reason, float(seconds) if is_whole_number(seconds) else 0.0) from answer
    except (ValueError, http.client.InvalidURL) as error:
        raise _Unusable(f"is not a valid URL ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, FileNotFoundError):
            raise _Unusable("does not exist") from error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _Unusable(f"has a certificate that cannot be verified ({cause.verify_message})") from error
        reached = isinstance(cause, http.client.HTTPException | ConnectionResetError)  # a server closed the connection
        raise _Failed(f"cannot be reached ({_reason(cause)})", reached=reached) from error


def _prepare(response: Any, url: str, file: File, partial: PartialFile) -> int | None:
    """Let the partial file end where the response starts; return the length of the whole file, or None."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if is_whole_number(length) else None
    is_range = response.status == 206
    if is_range:
        match = re.fullmatch(r"bytes (\d+)-\d*/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != partial.size:
            partial.discard()
            raise _Failed("sent another range than the requested one")
        if match[2] != "*":
            total = int(match[2])
        elif total is not None:
            total += partial.size
    total = file.size if total is None else total
    if file.size is not None and total != file.size:
        raise _Unusable(f"has {total:,} bytes, expected {file.size:,}")
    if not is_range:
        partial.discard()
    partial.set_version(url, response.headers)
    if total is not None:
        require_space(partial.path.parent, total - partial.size)
    return total


def _mismatch(file: File, path: Path, checksum: str) -> str | None:
    """Return the difference of a file from its known length, checksum and kind as the end of a sentence, or None."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes, expected {file.size:,}"
    if file.sha256 is None and not looks_like(path, file.unpack):
        with open(path, "rb") as content:
            return f"is not a {file.unpack} archive: it has {size:,} bytes and begins with {content.read(16)!r}"
    if file.sha256 in (None, checksum):
        return None
    target = path.with_name(file.name)
    first = f", that of the first download (remove {_checksum_path(target)} to accept another)"
    return f"has the sha256 {checksum}, expected {file.sha256}{first if recorded_checksum(target) else ''}"


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).lower()


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections, except from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request that follows."""
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise _Unusable(f"redirects to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_EncryptedRedirects)
