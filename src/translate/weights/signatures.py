"""Detached signatures of weights, in the format of minisign: Ed25519 of a BLAKE2b-512 digest of the whole file.

``minisign -G`` makes a pair of keys, ``minisign -Vm FILE -p minisign.pub`` verifies without this program. The signature
of ``cats.safetensors`` is ``cats.safetensors.minisig``. The library is py-minisign, by the author of minisign.
"""

import base64
import getpass
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.downloads import hub
from translate.errors import Phrase, UserError, first_line
from translate.files.reading import opened, read_bytes
from translate.files.writing import atomic_write
from translate.runs.folder import LAST, RunFolder
from translate.runs.places import GRAPH_SUFFIXES, exported_suffix, released_files, require_existing, shipped_file

if TYPE_CHECKING:
    from minisign import PublicKey, Signature

log = logging.getLogger("translate")

SUFFIX = ".minisig"
PASSWORD = "TRANSLATE_SIGNING_PASSWORD"
"""The environment variable with the password of a secret key."""

INSTALL = "pip install 'translate-gan[signing]'"
MAX_BYTES = 10_000  # of files of keys and signatures, which have four lines at most

Key = str | os.PathLike[str]
"""A public key: its file, or the text in its second line."""


def signature_of(path: Path) -> Path:
    """Return where the signature of a file is."""
    return path.with_name(path.name + SUFFIX)


# --- verifying ----------------------------------------------------------------------------------------------


def verify(place: str | os.PathLike[str], key: Key, checkpoint: str | int = LAST) -> None:
    """Verify the signatures of all files at a place of weights, before any of them is read.

    A place is that of `translate.weights.load.weights_of`, or exported programs. UserError unless each file has a
    signature that this key has made.
    """
    public = public_key(key)
    if hub.is_address(place):
        address = hub.parse(str(place))
        path = hub.fetch(str(place))
        signature = hub.fetch(str(replace(address, file=address.file + SUFFIX)))
        verify_file(path, public, signature, str(place))
        return
    for path in _files(place, checkpoint):
        verify_file(path, public)


def verify_file(path: Path, public: "PublicKey", signature: Path | None = None, name: str = "") -> None:
    """Verify the signature of a file; UserError if it is missing, of another key, or not of these bytes.

    ``signature`` is by default beside the file. ``name`` is that of the file in messages.
    """
    library, name = _library(), name or str(path)
    signature = signature or signature_of(path)
    if not signature.is_file():
        raise UserError("there is no signature of this file", key=name, expected=f"the file {signature}")
    with _explained(signature, "a signature of minisign"):
        signed = library.Signature.from_bytes(read_bytes(signature, MAX_BYTES))
    if not signed.is_prehashed():
        fix = "minisign -Sm FILE of version 0.10 or later signs the digest"
        raise UserError("the signature is of the old kind, without a digest", key=str(signature), fix=fix)
    ids = [_key_id(encoded) for encoded in (bytes(signed).splitlines()[1], public.to_base64())]
    if ids[0] != ids[1]:
        raise UserError("the signature was made with another key", key=name, found=ids[0], expected=repr(ids[1]))
    if not _is_right(path, public, signed):
        reason = "the signature is wrong: this is not the file that was signed"
        raise UserError(reason, key=name, fix="get file and signature again from their maker")
    log.info("%s: signed by the given key (%s)", name, signed.trusted_comment.replace("\t", ", "))


def _is_right(path: Path, public: "PublicKey", signed: "Signature") -> bool:
    """Return whether a key has made a signature of the bytes of a file, and of the comment."""
    with opened(path) as file:
        try:
            public.verify(file, signed)
        except _library().VerifyError:
            return False
    return True


def _key_id(encoded: bytes) -> str:
    """Return the number of a key as minisign writes it, from the text of a public key or of a signature."""
    return base64.b64decode(encoded)[2:10][::-1].hex().upper()


def public_key(key: Key) -> "PublicKey":
    """Return a public key from its file, or from its text such as ``RWQf6LRC...``; UserError for anything else."""
    library = _library()
    path = Path(key).expanduser()
    if path.is_file():
        with _explained(path, "a public key of minisign", "verify"):
            return library.PublicKey.from_bytes(read_bytes(path, MAX_BYTES))
    try:
        return library.PublicKey.from_base64(os.fspath(key).strip())
    except (library.Error, ValueError) as error:
        expected = "the file of a public key of minisign, or the text in its second line"
        raise UserError(key="verify", found=os.fspath(key), expected=expected) from error


def shipped_unsigned() -> UserError:
    """Return the error about weights that ship with the package."""
    return UserError("weights that ship with the package are not signed", key="verify", fix="leave the argument out")


def run_unsigned(folder: Path) -> UserError:
    """Return the error about a run folder."""
    return UserError(
        "a run folder is not signed",
        key="verify",
        found=Phrase(str(folder)),
        expected="a file",
        fix=f"python -m translate export run={folder} to=FILE.safetensors sign=SECRET_KEY",
    )


def _files(place: str | os.PathLike[str], checkpoint: str | int) -> list[Path]:
    """Return the files at a place that are read; UserError for a place that nobody signs."""
    if shipped_file(place) is not None:
        raise shipped_unsigned()
    require_existing(place)
    path = Path(place).expanduser()
    if not path.is_dir():
        return [path]
    if RunFolder(path).is_run() or RunFolder(path).checkpoints():
        raise run_unsigned(path)
    suffix = exported_suffix(path)
    return sorted(path.glob(f"*{suffix}")) if suffix in GRAPH_SUFFIXES else released_files(path, checkpoint)


# --- signing ------------------------------------------------------------------------------------------------


class Signer:
    """A secret key, which signs files."""

    def __init__(self, path: Path) -> None:
        """Read and decrypt the key in a file.

        The password of an encrypted one is in the environment variable `PASSWORD`, or asked for in a terminal.
        UserError for a file that is not a secret key, and for a wrong or missing password.
        """
        library = _library()
        if not path.is_file():
            raise UserError(
                "there is no such file", key="sign", found=str(path), fix="minisign -G makes a pair of keys"
            )
        with _explained(path, "a secret key of minisign", "sign"):
            self._secret = library.SecretKey.from_bytes(read_bytes(path, MAX_BYTES))
        if self._secret.is_encrypted():
            try:
                self._secret.decrypt(_password(path))
            except library.Error as error:
                raise UserError(f"{path} cannot be decrypted ({first_line(error)})", key="sign") from error

    def sign(self, path: Path) -> Path:
        """Write the signature of a file beside it, with the file's name and the time; return its path."""
        name = path.name.encode("ascii", "backslashreplace").decode()
        with opened(path) as file:
            signed = self._secret.sign(file, trusted_comment=f"timestamp:{int(time.time())}\tfile:{name}\thashed")
        signature = signature_of(path)
        atomic_write(signature, bytes(signed) + b"\n")
        return signature


def _password(path: Path) -> str:
    password = os.environ.get(PASSWORD)
    if password is None and sys.stdin.isatty():
        password = getpass.getpass(f"password of {path}: ")
    if password is None:
        raise UserError(f"{path} is encrypted", key="sign", fix=f"put its password into the environment as {PASSWORD}")
    return password


# --- the library --------------------------------------------------------------------------------------------


def _library() -> Any:
    try:
        import minisign
    except ModuleNotFoundError as error:
        raise UserError("the package py-minisign is not installed", key="signatures", fix=INSTALL) from error
    return minisign


@contextmanager
def _explained(path: Path, expected: str, key: str = "") -> Iterator[None]:
    """Turn the library's errors about the form of a file into UserErrors."""
    try:
        yield
    except (_library().Error, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = f"{path} cannot be read ({first_line(error)})" if key else f"cannot be read ({first_line(error)})"
        raise UserError(reason, key=key or str(path), expected=expected) from error
