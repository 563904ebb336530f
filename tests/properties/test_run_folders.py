"""A run folder with any damage: each command obeys, or refuses it in a sentence and changes nothing."""

import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from properties import battery
from properties.battery import PLACES, Damage, assert_answered, call, damages, draw_image, state
from properties.budget import examples

STRUCTURED = (
    "config.yaml",
    "data.json",
    "metrics.jsonl",
    "metrics/local_last.json",
    "metrics/best.json",
    "machines.json",
)
OTHERS = (
    *("checkpoints/000002.safetensors", "checkpoints/best.safetensors", "samples/000002_a_to_b.png"),
    *("overrides.txt", "environment.json", "log.txt", "metrics/local_last.partial.json", "metrics.json", ".lock"),
)
FOLDERS = ("checkpoints", "metrics", "samples")

COMMANDS = {
    "resume": "resume={run} iterations=3 trainer.threads=1",
    "resume finished": "resume={run}",
    "the same folder": " ".join(word for word in battery.WORDS if "metrics" not in word) + " folder={run} resume=auto",
    "evaluate": "evaluate run={run} metrics=content device=cpu cache={place}/cache",
    "evaluate best": "evaluate run={run} metrics=content device=cpu checkpoint=best cache=null",
    "table": "table {run} to={place}/tables",
    "show": "show run={run}",
    "apply": "apply run={run} input={image} output={place}/out device=cpu direction=AtoB",
    "grid": "grid run={run} input={image} output={place}/grid.png device=cpu side=64",
    "video": "video run={run} kind=training output={place}/film.gif",
    "export": "export run={run} to={place}/weights.safetensors",
    "doctor": "doctor run={run}",
    "start": "show model=cyclegan_small data=critters data.domains=[cat,rabbit] start_from={run}",
    "replay": "replay run={run} from=1 to=2 trainer.threads=1",
    "join": "join run={run} resumed=true",
}
"""Every command that reads a run folder. A server reads it as `apply` does."""

CODES = {"doctor": (0, 1, 2), "replay": (0, 1, 2)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run")
    draw_image(folder / "image.png")
    with chdir(folder):
        yield battery.train(folder / "run")


def try_command(run: Path, name: str, file: str, befall: Damage) -> None:
    with TemporaryDirectory() as text:
        place = Path(text)
        copy = Path(shutil.copytree(run, place / "run"))
        if not (copy / file).exists():
            (copy / file).write_text("{}")
        befall(copy / file)
        before = state(place)
        # a word may not be split at a space of a path, and these have none
        words = COMMANDS[name].format(run=copy, place=place, image=run.parent / "image.png").split()
        answer = call(words)
        assert_answered(answer, words, CODES.get(name, (0, 2)))
        if answer.code == 2:
            after = state(place)
            keys = (before.keys() | after.keys()) - {str(copy / "log.txt")}  # which tells of every attempt
            changed = sorted(key for key in keys if before.get(key) != after.get(key))
            assert not changed, (words, changed, answer.said)


@examples(36)
@given(st.sampled_from(list(COMMANDS)), st.sampled_from(STRUCTURED), damages(structured=True))
@example("resume", "metrics.jsonl", PLACES["a pipe"])
@example("table", "config.yaml", PLACES["a pipe"])
def test_a_run_whose_notes_are_damaged(run: Path, name: str, file: str, befall: Damage) -> None:
    try_command(run, name, file, befall)


@examples(20)
@given(st.sampled_from(list(COMMANDS)), st.sampled_from(OTHERS), damages(structured=False))
def test_a_run_whose_other_files_are_damaged(run: Path, name: str, file: str, befall: Damage) -> None:
    try_command(run, name, file, befall)


@examples(10)
@given(st.sampled_from(list(COMMANDS)), st.sampled_from(FOLDERS), st.sampled_from(list(PLACES)))
def test_a_run_whose_folders_are_something_else(run: Path, name: str, file: str, kind: str) -> None:
    try_command(run, name, file, PLACES[kind])


@pytest.mark.parametrize("name", ["resume", "evaluate", "table", "show", "apply", "doctor"])
@pytest.mark.parametrize("ending", ["x" * 300, "a\nb", "\udc80", "a\x00b", "a\x1bb"])
def test_a_run_that_no_folder_can_be(run: Path, name: str, ending: str) -> None:
    words = [word.format(run=run.parent / ending, place=run.parent, image="") for word in COMMANDS[name].split()]
    answer = call(words)
    assert_answered(answer, words)
    assert answer.code == 2
