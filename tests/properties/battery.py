"""A tiny run, ways in which somebody's files can be damaged, and commands that are called in this process."""

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from translate import cli
from translate.registry import plugins, trust

WORDS = [
    "model=cyclegan_small",
    "data=critters",
    "data.domains=[cat,rabbit]",
    "data.image_size=24",
    "data.num_images=12",
    "data.num_val_images=6",
    "data.batch_size=2",
    "data.cache=null",
    "model.networks.generator_ab.base_width=4",
    "model.networks.generator_ab.num_downsamplings=3",
    "model.networks.discriminator_a.base_width=4",
    "model.networks.discriminator_a.num_layers=1",
    "model.pool_size=2",
    "iterations=2",
    "checkpoint_every=1",
    "log_every=1",
    "sample_every=1",
    "metrics=content",
    "evaluate_every=1",
    "trainer=cpu",
    "trainer.threads=1",
]
"""The words that train the run: two iterations, with checkpoints, sample grids, scores and a best checkpoint."""

SECONDS = 120
"""After which a command counts as one that hangs, on a machine with much other work."""


@dataclass(frozen=True)
class Answer:
    """The end of a command: its exit code, and what it wrote to stderr."""

    code: int
    said: str


def train(folder: Path) -> Path:
    """Train the run in a folder."""
    answer = call([*WORDS, "best=SSIM to the source", f"folder={folder}"])
    assert answer.code == 0, answer.said
    return folder


class Hangs(AssertionError):
    """A command that waits for something which never comes."""


def _hang(number: int, frame: Any) -> None:
    raise Hangs(f"more than {SECONDS} seconds")


def call(words: Sequence[str]) -> Answer:
    """Run a command line in this process; an exception that is no answer of the program passes through."""
    out, err = io.StringIO(), io.StringIO()
    trusted, active = list(trust._trusted), list(plugins._activated)
    handler = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(list(words))
    except SystemExit as end:  # of Hydra's flags
        code = int(end.code or 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        trust._trusted[:], plugins._activated[:] = trusted, active
    return Answer(code, err.getvalue())


def assert_answered(answer: Answer, words: Sequence[str], codes: Sequence[int] = (0, 2)) -> None:
    """A command line is obeyed, or refused in sentences that a terminal can show."""
    assert answer.code in codes, (words, answer)
    assert "Traceback" not in answer.said, (words, answer.said)
    if answer.code == 2:
        lines = answer.said.strip().splitlines()
        assert lines, words
        assert all(line.isprintable() and len(line.split()) > 1 for line in lines if line.strip()), (words, lines)


def state(folder: Path) -> Mapping[str, Any]:
    """Return what a folder holds, without following a link or opening a pipe; locks are left out."""
    found: dict[str, Any] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            kind = os.lstat(path).st_mode
            if name.endswith(".lock") and stat.S_ISREG(kind):
                continue
            if stat.S_ISLNK(kind):
                found[str(path)] = os.readlink(path)
            elif stat.S_ISREG(kind) and path.stat().st_size < 10_000_000:
                found[str(path)] = path.read_bytes()
            else:
                found[str(path)] = stat.S_IFMT(kind)
    return found


@contextlib.contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let the block take so many bytes of address space more than the process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- damage -------------------------------------------------------------------------------------------------

Damage = Callable[[Path], None]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""Values of JSON, with NaN and infinity, as Python writes them."""


def remove(path: Path) -> None:
    """Remove whatever is at a place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _becomes(make: Callable[[Path], object]) -> Damage:
    """Return the damage that puts something else into the place of a file or folder."""

    def befall(path: Path) -> None:
        remove(path)
        make(path)

    return befall


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(40 << 30)


PLACES: dict[str, Damage] = {
    "gone": remove,
    "a folder": _becomes(lambda path: path.mkdir()),
    "an empty file": _becomes(lambda path: path.touch()),
    "a link to itself": _becomes(lambda path: path.symlink_to(path.name)),
    "a dangling link": _becomes(lambda path: path.symlink_to("nowhere")),
    "a pipe": _becomes(os.mkfifo),
    "a device without end": _becomes(lambda path: path.symlink_to("/dev/zero")),
    "a file of 40 GB": _becomes(_huge),
    "a deep nest": _becomes(lambda path: path.write_bytes(b"[" * 50_000)),
}


def _cut(path: Path, place: float, junk: bytes) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(place * len(content))])


def _struck(path: Path, place: float, junk: bytes) -> None:
    content = path.read_bytes()
    at = int(place * len(content))
    path.write_bytes(content[:at] + junk + content[at + len(junk) :])


def _grown(path: Path, place: float, junk: bytes) -> None:
    content = path.read_bytes()
    at = int(place * len(content))
    path.write_bytes(content[:at] + junk + content[at:])


def paths_in(tree: Any) -> list[tuple[Any, ...]]:
    """Return the keys that lead to every value of a tree."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(key, *path) for key, child in children for path in [(), *paths_in(child)]]


def replaced(tree: Any, place: float, value: Any) -> Any:
    """Return a tree with another value at one of its places, or with one key less for "gone"."""
    paths = paths_in(tree)
    if not paths:
        return value
    path = paths[int(place * len(paths))]
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    if value == "gone":
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return tree


def change_value(path: Path, place: float, value: Any) -> None:
    """Change a value in a file of JSON or YAML, or in a line of a file of JSON lines."""
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        number = int(place * len(lines))
        lines[number] = json.dumps(replaced(json.loads(lines[number]), place * len(lines) % 1, value))
        path.write_text("".join(f"{line}\n" for line in lines))
    elif path.suffix == ".json":
        path.write_text(json.dumps(replaced(json.loads(path.read_text()), place, value)))
    else:
        import yaml

        path.write_text(json.dumps(replaced(yaml.safe_load(path.read_text()), place, value)))  # JSON is YAML, but NaN


@st.composite
def damages(draw: st.DrawFn, structured: bool) -> Damage:
    """Draw what befalls a file; of a ``structured`` one, single values change too."""
    kinds = ["place", "place", "cut", "struck", "grown", "bytes", "value"]
    kind = draw(st.sampled_from([*kinds, *(["change"] * 5 if structured else [])]))
    place, junk = draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=20))
    if kind == "place":
        return PLACES[draw(st.sampled_from(list(PLACES)))]
    if kind in ("cut", "struck", "grown"):
        change = {"cut": _cut, "struck": _struck, "grown": _grown}[kind]
        return lambda path: change(path, place, junk)
    if kind == "bytes":
        return _becomes(lambda path: path.write_bytes(junk))
    value = draw(values | st.just("gone"))
    if kind == "value":
        return _becomes(lambda path: path.write_text(json.dumps(value)))
    return lambda path: change_value(path, place, value)


def draw_image(path: Path, side: int = 24) -> Path:
    """Write an image of many colours."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)).save(path)
    return path
