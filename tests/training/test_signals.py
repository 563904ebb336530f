"""A signal at any moment of any command: it ends within seconds, says how to continue, and nothing is lost."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from kills import differences

from numerics import landmarks
from training import signal_at
from training.signal_at import Moment
from training.tiny import RUN, tiny_cyclegan
from translate.runs.folder import RunFolder
from translate.runs.places import SHIPPED

INT, TERM = signal.SIGINT, signal.SIGTERM
SECONDS = 10.0
"""Seconds within which a command ends after a signal; the machine may be busy with other tests, so doubled below."""

ITERATIONS = 6
SETTINGS = [
    *tiny_cyclegan.model,
    *(word for word in RUN if not word.startswith(("metrics", "sample_every", "checkpoint_every", "trainer="))),
    "data=folder",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=0",
    "metrics.local.num_iterations=4",
    "metrics.local.num_sources=2",
    "sample_every=2",
    "checkpoint_every=4",
    "evaluate_every=3",
    "best='domain accuracy'",
    f"iterations={ITERATIONS}",
]

PHASES = {
    "compose": Moment("translate.config.compose:hydra_compose", TERM),
    "scan": Moment("translate.data.datasets.folder:Folder.__init__", INT),
    "decode": Moment("translate.data.decoding:Decoder._chunk", TERM),
    "build": Moment("translate.training.build:build_model", INT),
    "set up": Moment("translate.training.build:build_trainer", TERM),
    "first batch": Moment("translate.data.module:ErrorForwardingDataset.__getitem__", INT),
    "train": Moment("translate.models.cyclegan:CycleGAN.step", TERM, call=3),
    "sample": Moment("translate.training.callbacks.sampling:Sampling.draw", INT, call=2),
    "checkpoint": Moment("translate.runs.checkpoints:write", TERM),
    "evaluate": Moment("translate.evaluation.task_scores:stream", INT),
    "train the classifier": Moment("translate.evaluation.classifier_scores:classifier_training_rows", TERM, call=2),
    "keep the best": Moment("translate.runs.scores:write_json", INT),
    "last iteration": Moment("translate.models.cyclegan:CycleGAN.step", INT, call=ITERATIONS),
    "last evaluation": Moment("translate.training.run:_evaluate", TERM),
    "last scores": Moment("translate.training.run:log_scores", INT),
}
"""Moments of a training run."""

IN_THREADS = ("decode",)
"""Phases in which the main thread hears signals, since another one works."""

LEARNED = ("train", "sample", "checkpoint", "evaluate", "train the classifier", "keep the best", "last iteration")
"""Phases in which an iteration since the last checkpoint may be lost; the run announces that it writes one."""


class Server:
    """Runs commands in forks of a process that has imported the libraries already."""

    def __init__(self, place: Path) -> None:
        self.place, self.count = place, 0
        self.process = subprocess.Popen(
            [sys.executable, signal_at.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __call__(
        self, *words: str, at: Moment | None = None, late: float = 0.0, may_miss: bool = False
    ) -> tuple[int, str]:
        """Run a command; return its exit code and its output. After a signal it must end within seconds.

        ``late`` are seconds more. ``may_miss`` allows a command that ends before its signal.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.count += 1
        said, note = self.place / f"{self.count}.txt", self.place / f"{self.count}.time"
        moment = None if at is None else replace(at, note=str(note))
        case = {"words": words, "said": str(said), "place": str(self.place), "moment": signal_at.as_text(moment)}
        print(json.dumps(case), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        text = said.read_text()
        if at is not None and not (may_miss and not note.exists()):
            assert note.exists(), f"{at.place} was not called:\n{text}"
            took = answer["ended"] - float(note.read_text())
            assert took < 2 * SECONDS + late, f"{took:.1f} s\n{text}"
        return int(answer["code"]), text

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with images of two domains."""
    folder, draws = tmp_path_factory.mktemp("signals"), np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for domain in ("cat", "rabbit"):
            (folder / "images" / part / domain).mkdir(parents=True)
            for k in range(count):
                pixels = draws.integers(0, 256, (40, 40, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "images" / part / domain / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Iterator[Server]:
    """Run commands in forks of one process."""
    server = Server(place)
    yield server
    server.close()


def words_of(folder: Path, *more: str) -> list[str]:
    """Return the command that trains in a folder, with a cache of its own."""
    root = folder.parent / "images"
    return [*SETTINGS, "trainer=cpu", f"data.root={root}", f"data.cache={folder}_cache", f"folder={folder}", *more]


@pytest.fixture(scope="module")
def whole(run: Server, place: Path) -> Path:
    """Train without a disturbance."""
    code, said = run(*words_of(place / "whole"))
    assert code == 0, said
    return place / "whole"


def next_command(said: str, words: list[str]) -> list[str]:
    """Return the command by which the only sentence of an end says to continue."""
    ends = [line for line in said.splitlines() if re.match("(stopped|ended) ", line)]
    assert len(ends) == 1, said
    if ends[0].endswith("; give the command again"):
        return words
    found = re.search(r"; continue by: python -m translate (.*)", ends[0])
    assert found is not None, ends[0]
    return shlex.split(found[1])


def check_end(code: int, said: str, moment: Moment) -> None:
    assert code == 128 + moment.number, said
    assert "Traceback" not in said


def differences_but_grids(folder: Path, whole: Path) -> list[str]:
    """Return what differs from a run without a disturbance, but for the grids of the iteration that a signal ended."""
    ended = {f"samples/{iteration:06d}" for iteration in range(1, ITERATIONS, 2)}
    return [name for name in differences(folder, whole) if name[:14] not in ended]


def check_files(folder: Path) -> None:
    """Check that no file is half written."""
    assert [path.name for path in folder.rglob("*.unfinished")] == []


QUICK = ("decode", "train", "evaluate", "last evaluation")


def slow_but(quick: tuple[str, ...], names: Iterable[str]) -> list[Any]:
    """Return parameters of which most are marked as slow."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("phase", slow_but(QUICK, PHASES))
def test_training_is_interrupted_and_continued(phase: str, run: Server, place: Path, whole: Path) -> None:
    moment = PHASES[phase]
    folder = place / phase.replace(" ", "_")
    words = words_of(folder)
    code, said = run(*words, at=moment)
    check_end(code, said, moment)
    check_files(folder)
    assert ("writing a checkpoint" in said) == (phase in LEARNED)
    if phase in LEARNED:
        reached = RunFolder(folder).newest_iteration()
        assert f"stopped at iteration {reached} of {ITERATIONS}; continue by: " in said
    else:
        assert f"stopped by {signal.Signals(moment.number).name}, nothing is lost; " in said
    code, said = run(*next_command(said, words))
    assert code == 0, said
    assert differences_but_grids(folder, whole) == []


@pytest.mark.parametrize("phase", slow_but(("train",), (phase for phase in PHASES if phase not in IN_THREADS)))
def test_a_second_signal_ends_training_at_once(phase: str, run: Server, place: Path, whole: Path) -> None:
    moment = replace(PHASES[phase], second=True)
    folder = place / f"{phase.replace(' ', '_')}_twice"
    words = words_of(folder)
    code, said = run(*words, at=moment)
    check_end(code, said, moment)
    # where nothing has been learned, the program may have ended by the first signal before the second is heard
    ended = "ended at once by a second signal; " if phase in LEARNED else "(ended at once by a second|stopped by SIG)"
    assert re.search(ended, said), said
    code, said = run(*next_command(said, words))
    assert code == 0, said
    assert differences(folder, whole) == []


COMMANDS = {
    "evaluate": Moment("translate.evaluation.task_scores:stream", TERM, call=2),
    "export": Moment("translate.export.weights:export", INT),
    "export onnx": Moment("translate.export.onnx:write", TERM),
    "import": Moment("translate.weights.format:write", INT),
    "apply": Moment("translate.inference.apply:_Worker._write", TERM, call=2),
    "align": Moment("translate.inference.faces:FaceAligner.__call__", TERM, call=2),
    "stylize": Moment("translate.inference.neural_style:ImageOptimization.step", INT, call=6),
    "grid": Moment("translate.inference.grids:save", INT),
    "video": Moment("translate.inference.films:captioned", TERM, call=3),
    "table": Moment("translate.tables.format:comma_separated", TERM),
    "doctor": Moment("translate.doctor.inspection:inspect", INT),
    "doctor run": Moment("translate.doctor.run.examine:examine", TERM),
    "replay": Moment("translate.models.cyclegan:CycleGAN.step", TERM, call=2),
    "benchmark": Moment("translate.models.cyclegan:CycleGAN.step", INT, call=2),
    "schema": Moment("translate.config.json_schema.documents:document", INT, call=2),
    "show": Moment("translate.config.compose:hydra_compose", TERM),
}
"""Moments of other commands."""


def landmarks_for(place: Path, photos: Path) -> list[str]:
    """Return a landmark network of random weights, and as the mean face that which it finds in the photographs."""
    weights = place / "wing.ckpt"
    if not weights.is_file():
        landmarks.save_wing(weights, landmarks.state())
    return [f"weights={weights}", f"mean={photos}"]


def words_of_command(command: str, place: Path, whole: Path, output: Path) -> list[str]:
    """Return a command that writes into a folder, if it writes anything."""
    images, photos = place / "images", place / "images" / "val" / "cat"
    small = ("metrics", "evaluate", "sample", "checkpoint", "best", "iterations")
    tiny = [word for word in SETTINGS if not word.startswith(small)]
    tiny += ["trainer=cpu", f"data.root={images}", "data.cache=null"]
    return {
        "evaluate": ["evaluate", f"run={whole}", "metrics=content", f"output={output}", "device=cpu"],
        "export": ["export", f"run={whole}", f"to={output / 'weights.safetensors'}"],
        "export onnx": ["export", f"run={whole}", f"to={output}", "format=onnx"],
        "import": ["import", f"weights={SHIPPED / 'critters.safetensors'}", f"to={output / 'weights.safetensors'}"],
        "apply": ["apply", f"weights={whole}", f"input={photos}", f"output={output}"],
        "align": ["align", f"input={photos}", f"output={output}", *landmarks_for(place, photos), "image_size=64"],
        "stylize": ["stylize", f"input={photos}", f"output={output}", "size=16", "evaluations=4", "save_every=1"],
        "grid": ["grid", f"weights={whole}", f"input={photos}", f"output={output}/grid.png"],
        "video": ["video", f"weights={whole}", f"output={output}/film.gif"],
        "table": ["table", str(whole), f"to={output}"],
        "doctor": ["doctor", "data=folder", f"data.root={images}"],
        "doctor run": ["doctor", f"run={whole}"],
        "replay": ["replay", f"run={whole}", f"output={output}", "data.cache=null"],
        "benchmark": ["benchmark", *tiny, "benchmark.iterations=1", "benchmark.warmup=0"],
        "schema": ["schema", f"to={output}"],
        "show": ["show", *tiny],
    }[command]


LEFT = {
    "evaluate": {"local_last.partial.json"},
    "apply": {"0.png", "translations.jsonl"},
    "align": {"0.png"},
    "stylize": {"0.png", "1.png.state.safetensors", "translations.jsonl"},
    "table": {"local.md", "local.tex"},
    "schema": {"experiment.json"},
}
"""Files that a signal leaves, all of them whole; the other commands leave none."""

RACED = {"apply": {"1.png"}}
"""Files that a thread may write, or not, while the main thread ends by the signal."""


@pytest.mark.parametrize("command", slow_but(("apply", "export", "stylize", "video", "replay"), COMMANDS))
def test_other_commands_are_interrupted(command: str, run: Server, place: Path, whole: Path) -> None:
    output = place / f"{command}_output"
    words = words_of_command(command, place, whole, output)
    code, said = run(*words, at=COMMANDS[command])
    check_end(code, said, COMMANDS[command])
    assert next_command(said, words) == words
    check_files(place)
    left = {path.name for path in output.rglob("*") if path.is_file()}
    assert left - RACED.get(command, set()) == LEFT.get(command, set())
    code, said = run(*words)
    assert code == (1 if command == "doctor" else 0), said  # the doctor finds so few images a problem


@pytest.mark.slow
def test_a_sweep_is_interrupted_and_continued(run: Server, place: Path) -> None:
    """The signal comes while the process of the first run starts."""
    sweep = place / "sweep"
    left_out = ("folder=", "metrics", "evaluate_every", "best", "iterations")
    words = ["-m", *(word for word in words_of(place / "x", "seed=1,2") if not word.startswith(left_out))]
    words += [f"hydra.sweep.dir={sweep}", "iterations=1", "metrics=none"]
    moment = Moment("translate.sweeps.jobs:Process.wait", INT)
    code, said = run(*words, at=moment, late=30.0)
    check_end(code, said, moment)
    assert "stopped by SIGINT; repeat the command to continue" in said
    code, said = run(*words)
    assert code == 0, said


# --- two processes ----------------------------------------------------------------------------------------------


def two(folder: Path, at: Moment | None, *words: str) -> tuple[int, str]:
    """Run a command whose processes get signals at a moment; return the exit code and the output."""
    hooks, note = folder.parent / "hooks", Path(f"{folder}.time")
    hooks.mkdir(exist_ok=True)
    tests = str(Path(__file__).parents[1])
    (hooks / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({tests!r})\nfrom training import signal_at\nsignal_at.from_environment()\n"
    )
    paths = os.pathsep.join([str(hooks), *filter(None, [os.environ.get("PYTHONPATH")])])
    moment = {} if at is None else {"SIGNAL_AT": str(signal_at.as_text(replace(at, note=str(note))))}
    process = subprocess.Popen(
        [sys.executable, "-m", "translate", *words],
        cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **moment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = process.communicate(timeout=300)[0]  # both processes hold the pipe
        ended = time.time()
        assert at is None or ended - float(note.read_text()) < 3 * SECONDS, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def of_two(folder: Path) -> list[str]:
    """Return the command that trains in a folder with two processes."""
    words = ["trainer=ddp_cpu" if word == "trainer=cpu" else word for word in words_of(folder)]
    return [*words, "trainer.threads=1"]


PAIRS = {
    "rank 1 trains": replace(PHASES["train"], ranks=(1,)),
    "rank 0 evaluates": replace(PHASES["evaluate"], ranks=(0,)),
}
MORE_PAIRS = {
    **{f"rank 0: {phase}": replace(PHASES[phase], ranks=(0,)) for phase in PHASES if phase not in IN_THREADS},
    **{f"both: {phase}": replace(PHASES[phase], ranks=(0, 1)) for phase in ("decode", "train", "evaluate")},
    **{f"rank 1: {phase}": replace(PHASES[phase], ranks=(1,)) for phase in ("build", "evaluate")},
}
"""Moments of two processes. The first to come decodes for both, so that one of them may never do it."""

TWICE = ("rank 0: train", "rank 0: evaluate", "rank 0: checkpoint", "both: train", "rank 1: evaluate")
"""Those of a second signal; each phase has it in one process."""


@pytest.mark.parametrize("case", slow_but(("rank 0 evaluates",), PAIRS))
def test_two_processes_end_together(case: str, place: Path) -> None:
    moment, folder = PAIRS[case], place / f"two_{case.replace(' ', '_')}"
    code, said = two(folder, moment, *of_two(folder))
    check_end(code, said, moment)
    assert f"stopped at iteration 3 of {ITERATIONS}; continue by: " in said, said
    assert RunFolder(folder).newest_iteration() == 3
    assert next_command(said, []) == [f"resume={folder}"]


@pytest.fixture(scope="module")
def whole_of_two(place: Path) -> Path:
    """Train with two processes, without a disturbance."""
    code, said = two(place / "whole_of_two", None, *of_two(place / "whole_of_two"))
    assert code == 0, said
    return place / "whole_of_two"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "case"),
    [*((False, case) for case in MORE_PAIRS), *((True, case) for case in TWICE)],
)
def test_two_processes_are_interrupted_and_continued(case: str, second: bool, place: Path, whole_of_two: Path) -> None:
    moment = replace(MORE_PAIRS[case], second=second)
    folder = place / f"{case.replace(' ', '_').replace(':', '')}_{second}"
    words = of_two(folder)
    code, said = two(folder, moment, *words)
    check_end(code, said, moment)
    code, said = two(folder, None, *next_command(said, words))
    assert code == 0, said
    assert differences_but_grids(folder, whole_of_two) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_training_is_interrupted_again_and_again(seed: int, run: Server, place: Path, whole: Path) -> None:
    """Signals come at random moments, of which a run may have gone past; each command is the one that was printed."""
    draws, folder = random.Random(seed), place / f"seed_{seed}"
    words = words_of(folder)
    for _ in range(4):
        moment = replace(PHASES[draws.choice(list(PHASES))], number=draws.choice([INT, TERM]), call=draws.randint(1, 3))
        code, said = run(*words, at=moment, may_miss=True)
        if code == 0:
            break
        check_end(code, said, moment)
        words = next_command(said, words)
    else:
        code, said = run(*words)
        assert code == 0, said
    assert differences_but_grids(folder, whole) == []
