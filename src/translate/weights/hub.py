"""The Hugging Face Hub, by its own library: addresses, downloads, uploads, and one sentence for what goes wrong.

An address is ``hf://owner/name``, with ``@REVISION`` and ``/FILE`` behind it where they are not main and
model.safetensors. Who one is, where files are cached and which server is asked are the library's affair: its login
(``hf auth login``, or HF_TOKEN), HF_HOME and HF_ENDPOINT.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from translate.errors import UserError

START = "hf://"
FILE, CARD = "model.safetensors", "README.md"
CARD_MARK = "<!-- Written by translate export; this line gone, the card is yours and stays as it is. -->"
INSTALL = "install it by: pip install 'translate-gan[hub]'"

_ADDRESS = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")


@dataclass(frozen=True)
class Address:
    """A file on the Hub."""

    repository: str
    file: str = FILE
    revision: str | None = None  # None: the newest


def is_address(place: str | os.PathLike[str]) -> bool:
    """Return whether a place is meant to be on the Hub."""
    return isinstance(place, str) and place.startswith(START)


def parse(place: str) -> Address:
    """Return what an address names; UserError where it names nothing."""
    found = _ADDRESS.fullmatch(place)
    if found is None:
        raise UserError(f"{place}: expected hf://owner/name, hf://owner/name/FILE or hf://owner/name@REVISION/FILE")
    return Address(found["repository"], found["file"] or FILE, found["revision"])


def fetch(place: str) -> Path:
    """Return where a file of the Hub lies on this machine: downloaded, or from the library's cache.

    Without a connection the cache serves; that is found out by one request, since the library tries for half a minute.
    """
    address = parse(place)
    library = _library()
    with _explained(place, address):
        what = {"repo_id": address.repository, "filename": address.file, "revision": address.revision}
        reachable = True
        try:
            library.get_hf_file_metadata(library.hf_hub_url(**what))
        except Exception as error:
            if not _is_unreachable(error):
                raise
            reachable = False
        return Path(library.hf_hub_download(**what, local_files_only=not reachable))


def publish(place: str, weights: Path, card: str, private: bool | None = None) -> str:
    """Upload a file of weights and its card in one commit, making the repository if need be; return its page.

    A card that was changed by hand, so that its first comment is gone, stays as it is. ``private`` is for a new
    repository; None leaves it to the account's setting.
    """
    address = parse(place)
    if address.revision is not None:
        raise UserError(f"{place}: found a revision, expected hf://owner/name to upload to")
    library = _library()
    with _explained(place, address):
        api = library.HfApi()
        page = str(api.create_repo(address.repository, private=private, exist_ok=True))
        operations = [library.CommitOperationAdd(address.file, str(weights))]
        if _is_ours(library, api, address.repository):
            operations.append(library.CommitOperationAdd(CARD, card.encode()))
        api.create_commit(address.repository, operations, commit_message=f"Upload {address.file} by translate")
    return page


def _is_ours(library: Any, api: Any, repository: str) -> bool:
    """Return whether the card of a repository may be written: there is none, or none that a person has changed."""
    if not api.file_exists(repository, CARD):
        return True
    return CARD_MARK in Path(library.hf_hub_download(repository, CARD)).read_text(encoding="utf-8")


def _library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise UserError(f"hf://...: the package huggingface_hub is not installed; {INSTALL}") from error
    return huggingface_hub


@contextmanager
def _explained(place: str, address: Address) -> Iterator[None]:
    """Turn what the library raises for the user's or the network's sake into one sentence."""
    from huggingface_hub import constants, errors

    server = constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{place}: its owner gives access on request; ask on {server}/{address.repository}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{place}: there is no repository {address.repository} on {server}, or it is private; check the name, and "
            "log in by: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{place}: the repository {address.repository} has no revision {address.revision!r}") from error
    except errors.RemoteEntryNotFoundError as error:
        raise UserError(
            f"{place}: the repository {address.repository} has no file {address.file!r}; name one: "
            f"hf://{address.repository}/FILE"
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"{place}: nobody is logged in; log in by: hf auth login") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no"
        hint = "; log in with a token that may write: hf auth login" if status in (401, 403) else ""
        message = " ".join(str(error.server_message or "").split()) or "no reason given"
        raise UserError(f"{place}: {server} refused with status {status} ({message}){hint}") from error
    except ValueError as error:  # a name or a card that the library does not take
        raise UserError(f"{place}: {shorten(' '.join(str(error).split()), 200)}") from error
    except Exception as error:
        if not _is_unreachable(error):
            raise
        cached = " and the file is not in the cache" if isinstance(error, errors.LocalEntryNotFoundError) else ""
        raise UserError(
            f"{place}: {server} cannot be reached{cached}; check the connection, or name a file on this machine"
        ) from error


def _is_unreachable(error: Exception) -> bool:
    """Return whether an exception says that there is no connection; the library's own ones differ by its version."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "TransportError", "ConnectionError"})
