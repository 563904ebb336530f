"""A weights file or checkpoint with any damage is refused in a sentence, or read as it was, in bounded memory.

Damage is changed bytes, or a changed header whose checksums its maker has computed anew.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from properties import battery
from properties.battery import assert_answered, bounded_memory, call, draw_image, replaced, values
from properties.budget import examples
from translate.errors import UserError
from translate.inference.translator import Translator
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.weights import format
from translate.weights.load import weights_of

MORE = 1 << 30
"""Bytes of memory that reading a damaged file of a few hundred kilobytes may take."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a weights file, a checkpoint and an image."""
    folder = tmp_path_factory.mktemp("files")
    run = battery.train(folder / "run")
    assert call(["export", f"run={run}", f"to={folder / 'weights.safetensors'}"]).code == 0
    return {
        "weights": folder / "weights.safetensors",
        "checkpoint": RunFolder(run).choose("last")[1],
        "image": draw_image(folder / "image.png"),
        "damaged": folder / "damaged.safetensors",
    }


READERS: dict[str, Callable[[Path], dict[str, torch.Tensor]]] = {
    "weights": lambda path: format.read(path).tensors,
    "checkpoint": lambda path: checkpoints.read(path).tensors,
}
kinds = st.sampled_from(list(READERS))


def assert_sentence(error: UserError) -> None:
    for problem in map(str, error.problems):
        assert problem.isprintable() and len(problem.split()) > 2, problem


@examples(60)
@given(kinds, st.sampled_from(["cut", "struck", "grown"]), st.floats(0, 1, exclude_max=True), st.binary(min_size=1))
def test_changed_bytes_are_noticed(files: dict[str, Path], kind: str, way: str, place: float, junk: bytes) -> None:
    content = files[kind].read_bytes()
    length = struct.unpack("<Q", content[:8])[0] + 8
    # every other time in the header, which is a small part of the file
    at = int(place * 2 * length) if place < 0.5 else int(length + (place - 0.5) * 2 * (len(content) - length))
    rest = {"cut": b"", "struck": junk + content[at + len(junk) :], "grown": junk + content[at:]}[way]
    files["damaged"].write_bytes(content[:at] + rest)
    try:
        with bounded_memory(MORE):
            tensors = READERS[kind](files["damaged"])
    except UserError as error:
        assert_sentence(error)
        return
    wanted = READERS[kind](files[kind])
    assert tensors.keys() == wanted.keys()
    assert all(tensor.equal(wanted[name]) for name, tensor in tensors.items())


@examples(40)
@given(kinds, st.sampled_from([0, 1, 7, 8, 2**31, 2**40, 2**63, 2**64 - 1]), st.binary(max_size=30))
def test_a_length_of_the_header_is_not_believed(files: dict[str, Path], kind: str, length: int, junk: bytes) -> None:
    files["damaged"].write_bytes(struct.pack("<Q", length) + junk)
    with pytest.raises(UserError) as caught, bounded_memory(MORE):
        READERS[kind](files["damaged"])
    assert_sentence(caught.value)


wrong = values | st.sampled_from(["gone", 10**9, 10**7, 0, -1, 1.5, "../x", "stargan_v2_generator", "a\nb"])


def forged(files: dict[str, Path], kind: str, field: float, place: float, value: Any) -> Path:
    """Write a file with another value in its header, whose checksums are right."""
    with safe_open(files[kind], framework="pt") as file:
        header = {name: text for name, text in file.metadata().items() if name != "checksums"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = sorted(header)[int(field * len(header))]
    try:
        header[name] = json.dumps(replaced(json.loads(header[name]), place, value))
    except ValueError:  # a text, such as the format
        header[name] = str(value)
    checksums = format.checksums if kind == "weights" else checkpoints.checksums
    header["checksums"] = json.dumps(checksums(tensors, header))
    save_file(tensors, files["damaged"], metadata=header)
    return files["damaged"]


fractions = st.floats(0, 1, exclude_max=True)


@examples(60)
@given(kinds, fractions, fractions, wrong)
def test_a_forged_header_is_refused_or_used(
    files: dict[str, Path], kind: str, field: float, place: float, value: Any
) -> None:
    path = forged(files, kind, field, place, value)
    try:
        with bounded_memory(MORE):
            weights = weights_of(path) if kind == "weights" else format.read_any(path)
            Translator(weights)
    except UserError as error:
        assert_sentence(error)


@examples(12)
@given(fractions, fractions, wrong, st.sampled_from(["apply", "export", "import", "start"]))
def test_commands_refuse_or_use_a_forged_header(
    files: dict[str, Path], field: float, place: float, value: Any, name: str
) -> None:
    path, folder = forged(files, "weights", field, place, value), files["damaged"].parent
    words = {
        "apply": ["apply", f"weights={path}", f"input={files['image']}", f"output={folder / 'out'}", "device=cpu"],
        "export": ["export", f"weights={path}", f"to={folder / 'again.safetensors'}"],
        "import": ["import", f"weights={path}", f"to={folder / 'again.safetensors'}"],
        "start": ["show", "model=cyclegan_small", "data=critters", "data.domains=[cat,rabbit]", f"start_from={path}"],
    }[name]
    assert_answered(call(words), words, (0, 1, 2))
