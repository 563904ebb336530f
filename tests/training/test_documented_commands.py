"""The training commands of the documents run, with `debug=fast` and tiny networks: those that need no files of a user.

Commands of experiments have a test of their own, `test_experiments`; those of data sets on disk compose and check in
`test_docs`. Sweeps, several processes and loggers have tests of their own, too.
"""

import re
import shlex
from pathlib import Path

import pytest
import torch

from config.test_docs import COMMANDS_QUOTED, PROGRAM
from training.test_experiments import small_words
from translate.cli import MODULES
from translate.config.compose import load
from translate.runs.checkpoints import newest
from translate.training import run

pytestmark = pytest.mark.slow

ELSEWHERE = re.compile(r"-m$|-h|--|[+]*(experiments|stage|resume|plugins|logger|folder|trainer|data\..*root)\b")
"""The beginnings of words whose commands other tests run, or that need files."""

LENGTH = re.compile(r"(iterations|budget|sample_every|checkpoint_every|evaluate_every|metrics|best)=")
"""The beginnings of words that `debug=fast` and the settings replace."""

SETTINGS = ["debug=fast", "metrics=none", "evaluate_every=null", "best=null", "trainer=cpu", "trainer.threads=1"]


def commands() -> dict[str, list[str]]:
    """Return the words of the training commands by themselves, each once, without those of length."""
    found: dict[str, list[str]] = {}
    for document, line in COMMANDS_QUOTED:
        words = shlex.split(line, comments=True)[len(PROGRAM.split()) :]
        is_trained = document.startswith(("README", "docs/")) and (not words or words[0] not in MODULES)
        if is_trained and not any(ELSEWHERE.match(word) for word in words):
            words = [word for word in words if not LENGTH.match(word)]
            found[" ".join(words) or "(no words)"] = words
    return found


COMMANDS = commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_documented_command_trains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    words = COMMANDS[name]
    small = [word for word in small_words(name, words, tmp_path) if not word.startswith("iterations=")]
    assert run.train(load([*words, *small, *SETTINGS]), tmp_path / "run") == 0
    assert newest(tmp_path / "run").iteration == 4
    assert list((tmp_path / "run" / "samples").iterdir())


def test_commands_of_many_models_are_found() -> None:
    models = {word for words in COMMANDS.values() for word in words if word.startswith("model=")}
    assert len(models) >= 12
    assert len(COMMANDS) >= 25
