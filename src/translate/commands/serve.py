"""The command `serve`: translate in a browser, and over HTTP."""

import os
import sys
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from translate import signals
from translate.commands.arguments import Command, arg
from translate.commands.weights import EngineArguments, engine_of, place_of
from translate.errors import UserError
from translate.files.reading import read_text

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Arguments(EngineArguments):
    """The model, the address, and the limits."""

    host: str = arg(LOCAL[0], metavar="ADDRESS", help="0.0.0.0: other machines can connect; then auth is needed")
    port: int | None = arg(None, metavar="N", help="default the first free one from 7860", minimum=0, maximum=65_535)
    auth: str | None = arg(
        None, metavar="USER:PASSWORD|FILE", help="who may use the page; a file has one user:password a line"
    )
    max_bytes: int = arg(20 * 2**20, metavar="N", help="the largest file of an image", minimum=1)
    max_pixels: int = arg(50_000_000, metavar="N", help="the largest image, width times height", minimum=1)
    queue: int = arg(64, metavar="N", help="how many requests may wait; more are refused", minimum=1)
    open: bool | None = arg(None, help="open the page in a browser; default: in a terminal with a display")


def run(arguments: Arguments) -> int:
    """Serve until a signal."""
    place = place_of(arguments)
    users = credentials(arguments.auth)
    if arguments.host not in LOCAL and not users:
        raise UserError(
            "everybody who can reach this machine could use the page",
            key="auth",
            found=None,
            expected="USER:PASSWORD or FILE",
            fix="add auth=user:password, or leave host out",
        )
    from translate.serving.limits import Limits
    from translate.serving.server import Settings, bind, check_installed, server

    check_installed()
    if arguments.port:
        bind(arguments.host, arguments.port).close()  # before the weights are read
    limits = Limits(arguments.max_bytes, arguments.max_pixels, arguments.queue)
    settings = Settings(arguments.host, arguments.port, users, limits)
    engine = engine_of(arguments)
    name = Path(place).stem or place
    with server(engine, name, settings) as running:
        print(f"{name} ({engine.model}) at {running.url}, until Ctrl+C", flush=True)
        if _opens(arguments):
            webbrowser.open(running.url)
        running.run()
    signals.check()
    return 0


def credentials(text: str | None) -> Mapping[str, str]:
    """Return passwords by user from ``user:password``, or from a file with one of them a line; {} for None."""
    if text is None:
        return {}
    path = Path(text).expanduser()
    lines = read_text(path, 1_000_000).splitlines() if path.is_file() else [text]
    pairs = [line.strip().partition(":") for line in lines if line.strip() and not line.startswith("#")]
    if not pairs or not all(user and password for user, _, password in pairs):
        where = f"every line of {path} as user:password" if path.is_file() else "user:password, or a file of such lines"
        raise UserError("a user or a password is missing", key="auth", expected=where)
    return {user: password for user, _, password in pairs}


def _opens(arguments: Arguments) -> bool:
    """Return whether to open a browser: as asked, else on the screen of the person who typed the command."""
    if arguments.open is not None:
        return arguments.open
    display = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return display and sys.stdout.isatty() and arguments.host in LOCAL


COMMAND = Command(
    "serve",
    "Translate in a browser and over HTTP.",
    Arguments,
    run,
    examples=(
        ("serve", "weights that ship with the package, on this machine"),
        ("serve weights=100000_nets_ema.ckpt domains=[cat,dog,wild]", "released weights of StarGAN v2"),
        ("serve run=runs/stargan_v2/2026-01-31_12-00-00 checkpoint=best", "the best checkpoint of a run"),
        ("serve weights=critters.safetensors host=0.0.0.0 auth=users.txt", "for other machines, with passwords"),
    ),
    notes="docs/serve.md describes the HTTP interface. Nothing is recorded, and nothing is loaded from elsewhere.",
)
