"""Kill training runs at random moments, go on with them, and compare each with a run that nobody disturbed.

    python benchmarks/kills.py
    python benchmarks/kills.py --one 12 --two 8 --seed 3

A run is killed some times in a row, all its processes at once by SIGKILL, and then finishes. Every command is what a
user would type: the first one again while there is no checkpoint, then `resume=`. Some kills come at a random moment,
others as soon as the unfinished file of a checkpoint or of a cache is there, or while it is evaluated. A run that
has finished is equal if all tensors of its checkpoint, its records, scores and images are those of the undisturbed
run of as many processes, to the bit.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from translate.runs import checkpoints
from translate.runs.folder import RunFolder

ITERATIONS = 24
NUM_PICTURES = {"train": 150, "val": 9}  # a domain: enough to be decoded for a while
SETTINGS = [
    "model=cyclegan_small",  # pools, averages and falling rates: state of every kind
    "model.pool_size=5",
    "model.networks.generator_ab.base_width=4",
    "model.networks.generator_ab.num_downsamplings=3",
    "model.networks.discriminator_a.base_width=4",
    f"model.optimizers.generator_ab.lr={{schedule: linear, start: 1e-3, end: 0, iterations: {ITERATIONS}}}",
    "data=folder",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=0",
    "metrics.local.num_iterations=20",
    "metrics.local.num_sources=6",
    "trainer.threads=1",
    f"iterations={ITERATIONS}",
    "log_every=1",
    "checkpoint_every=2",  # so that half of the records are past the newest checkpoint
    "sample_every=8",
    "evaluate_every=12",
    "best='domain accuracy'",
]
TRAINERS = {1: "trainer=cpu", 2: "trainer=ddp_cpu"}

PHASES = ("start-up", "cache building", "training", "checkpoint writing", "final measuring")
ANY = "any moment"
PLAN = ("cache building", ANY, "checkpoint writing", "training", "final measuring")
"""What the kills of a run aim at, in turn; every other run begins with a moment that is not aimed."""

PATIENCE = 600.0  # seconds after which a life of a run is taken to hang
SPEEDS = ("iterations_per_second", "images_per_second")


@dataclass
class Run:
    """A training run that may be killed and given again."""

    folder: Path
    pictures: Path
    processes: int
    kills: list[str] = field(default_factory=list)  # the phase of each
    resumed: int = 0
    unlike: list[str] = field(default_factory=list)  # what is not as in the undisturbed run

    @property
    def cache(self) -> Path:
        """Return where its decoded pictures are kept."""
        return self.folder.with_name(f"{self.folder.name}_cache")

    @property
    def said(self) -> Path:
        """Return the file of what its present life has printed."""
        return self.folder.with_name(f"{self.folder.name}.txt")

    @property
    def reached(self) -> int:
        """Return the iteration of the newest checkpoint."""
        return max((int(path.stem) for path in RunFolder(self.folder).checkpoints().values()), default=0)

    def words(self, luck: random.Random) -> list[str]:
        """Return the command with which a user begins the run, or goes on with it."""
        begun = bool(RunFolder(self.folder).checkpoints())
        self.resumed += begun
        if begun and luck.random() < 0.5:
            return [f"resume={self.folder}"]
        places = [f"data.root={self.pictures}", f"data.cache={self.cache}", f"folder={self.folder}"]
        return [*SETTINGS, TRAINERS[self.processes], *places, *(["resume=auto"] if begun else [])]


class Life:
    """The processes of a run between its command and its end."""

    def __init__(self, run: Run, luck: random.Random) -> None:
        self.run, self.start = run, run.reached
        with open(run.said, "w") as said:
            self.began = time.time()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "translate", *run.words(luck)],
                stdout=said,
                stderr=said,
                start_new_session=True,  # a process group of its own
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                cwd=run.folder.parent,
            )

    def unfinished(self, folder: Path, ending: str) -> list[Path]:
        """Return the files that this life has begun to write and not finished."""
        found = []
        for path in folder.glob(f"*.{ending}"):
            try:
                if path.stat().st_mtime >= self.began - 0.1:  # the clock of files ticks slowly
                    found.append(path)
            except FileNotFoundError:  # finished just now
                continue
        return found

    def phase(self) -> str:
        """Return what the run does, or did when it was killed."""
        if self.unfinished(self.run.folder / "checkpoints", "unfinished"):
            return "checkpoint writing"
        if self.unfinished(self.run.cache, "part"):
            return "cache building"
        if "evaluating, protocol" in self.run.said.read_text():
            return "final measuring"
        return "training" if self.run.reached > self.start else "start-up"

    def end(self, aim: str, moment: float) -> int | None:
        """Kill the run at its aim and return None, or the exit code if it ends before.

        ``moment`` is when: seconds after the start for any moment, else a number of [0, 1).
        """
        try:
            return self._end(aim, moment)
        finally:
            if self.process.poll() is None:  # we were interrupted ourselves
                os.killpg(self.process.pid, signal.SIGKILL)

    def _end(self, aim: str, moment: float) -> int | None:
        ahead = min(self.start + 2 + int(6 * moment), ITERATIONS)  # the checkpoint that is waited for
        while (code := self.process.poll()) is None:
            passed = time.time() - self.began
            assert passed < PATIENCE, f"{self.run.said}: still running after {passed:.0f} s"
            if aim == ANY:
                now = passed >= moment
            elif aim == "cache building":
                now = bool(self.unfinished(self.run.cache, "part"))
            elif aim == "checkpoint writing":
                found = self.unfinished(self.run.folder / "checkpoints", "unfinished")
                iterations = [path.name.partition(".")[0] for path in found]
                now = any(name.isdigit() and int(name) >= ahead for name in iterations)
            elif aim == "training":
                now = self.run.reached >= ahead
            else:
                now = self.phase() == aim
            if now:
                time.sleep(0.3 * (6 * moment % 1) if aim == "training" else 0)  # some way into an iteration
                os.killpg(self.process.pid, signal.SIGKILL)
                code = self.process.wait()
                return None if code == -signal.SIGKILL else code  # it may have ended in between
            time.sleep(0.002 if aim in ("cache building", "checkpoint writing") else 0.02)
        return code


def draw_pictures(folder: Path) -> Path:
    """Make a folder of noise in two domains, and return it."""
    draws = np.random.default_rng(0)
    for part, number in NUM_PICTURES.items():
        for domain in ("cat", "rabbit"):
            place = folder / part / domain
            place.mkdir(parents=True)
            for k in range(number):
                coarse = Image.fromarray(draws.integers(0, 256, (8, 8, 3), np.uint8))
                coarse.resize((256, 256)).save(place / f"{k:03d}.png")
    return folder


def differences(found: Path, wanted: Path) -> list[str]:
    """Return the names of what is not equal, to the bit, in the folders of two finished runs."""
    unlike = [str(path.relative_to(found)) for path in found.rglob("*.unfinished")]
    one, other = checkpoints.newest(found), checkpoints.newest(wanted)
    if one.iteration != other.iteration or one.tensors.keys() != other.tensors.keys():
        return [*unlike, f"checkpoint of iteration {one.iteration}"]
    unlike += [name for name, tensor in one.tensors.items() if not tensor.equal(other.tensors[name])]
    best = [checkpoints.read(RunFolder(folder).best_checkpoint) for folder in (found, wanted)]
    unlike += [f"best {name}" for name, t in best[0].tensors.items() if not t.equal(best[1].tensors[name])]
    if records(found) != records(wanted):
        unlike.append("metrics.jsonl")
    unlike += [name for name in sorted({*scores(found)} | {*scores(wanted)}) if name not in scores(found)]
    unlike += [name for name, value in scores(found).items() if scores(wanted).get(name) != value]
    names = {path.name for folder in (found, wanted) for path in (folder / "samples").iterdir()}
    for name in sorted(names):
        pictures = [folder / "samples" / name for folder in (found, wanted)]
        if not all(path.is_file() for path in pictures) or pictures[0].read_bytes() != pictures[1].read_bytes():
            unlike.append(f"samples/{name}")
    return unlike


def records(folder: Path) -> list[dict[str, float]]:
    """Return the lines of metrics.jsonl without the speeds."""
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in SPEEDS} for line in lines]


def scores(folder: Path) -> dict[str, object]:
    """Return the content of all scores files that a repeated evaluation must equal, by the name of the file."""
    trees = {path.name: json.loads(path.read_text()) for path in (folder / "metrics").glob("*.json")}
    return {name: tree.get("scores", tree.get("value")) for name, tree in trees.items()}


class Trial:
    """Runs of some number of processes: an undisturbed one, and those that are killed."""

    def __init__(self, place: Path, pictures: Path, processes: int, seed: int) -> None:
        self.place, self.pictures, self.processes = place, pictures, processes
        self.luck = random.Random(f"{seed} {processes}")
        self.runs: list[Run] = []
        self.whole = self._run("whole")
        life = Life(self.whole, self.luck)
        self._expect_done(self.whole, life.end("the end", 0.0))
        self.length = time.time() - life.began

    def _run(self, name: str) -> Run:
        return Run(self.place / f"{self.processes}_{name}", self.pictures, self.processes)

    @staticmethod
    def _expect_done(run: Run, code: int | None) -> None:
        if code != 0:
            raise AssertionError(f"exit code {code}:\n{run.said.read_text()[-4000:]}")

    def next(self, most: int) -> Run:
        """Do one more run and kill it up to ``most`` times; return it when it has finished and was compared."""
        run = self._run(str(len(self.runs)))
        plan = PLAN if len(self.runs) % 2 == 0 else (ANY, *PLAN[1:])
        self.runs.append(run)
        code: int | None = None
        for aim in plan[:most]:
            life = Life(run, self.luck)
            code = life.end(aim, self.luck.random() * (self.length if aim == ANY else 1.0))
            if code is not None:
                break
            run.kills.append(life.phase())
        if code is None:
            code = Life(run, self.luck).end("the end", 0.0)
        self._expect_done(run, code)
        run.unlike = differences(run.folder, self.whole.folder)
        if not run.unlike:
            shutil.rmtree(run.folder)
            shutil.rmtree(run.cache)
        return run

    def kill(self, number: int) -> Iterator[Run]:
        """Yield finished runs until so many kills are done."""
        left = number
        while left > 0:
            run = self.next(left)
            left -= len(run.kills)
            yield run


def table(trials: list[Trial]) -> str:
    """Return how many kills fell in which phase, and how many of the killed runs came to the same end."""
    lines = ["| processes | kills | " + " | ".join(PHASES) + " | killed runs | equal to the bit |"]
    lines.append("|" + " ---: |" * (len(PHASES) + 4))
    for trial in trials:
        count = Counter(phase for run in trial.runs for phase in run.kills)
        killed = [run for run in trial.runs if run.kills]
        equal = sum(not run.unlike for run in killed)
        cells = [trial.processes, count.total(), *(count[phase] for phase in PHASES), len(killed), equal]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """Give a folder to work in: the one that is named, or one that is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kills_") as made:
        yield Path(made)


def main() -> int:
    """Kill as often as is asked for, print the table, and return 1 if any run is unlike the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, default=60, help="kills of runs in one process")
    parser.add_argument("--two", type=int, default=40, help="kills of runs in two processes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--place", type=Path, help="a new folder to work in, which stays")
    asked = parser.parse_args()
    trials: list[Trial] = []
    with workplace(asked.place) as place:
        pictures = draw_pictures(place / "pictures")
        for processes, number in ((1, asked.one), (2, asked.two)):
            if not number:
                continue
            trials.append(Trial(place, pictures, processes, asked.seed))
            for run in trials[-1].kill(number):
                what = f"unlike: {', '.join(run.unlike[:5])}" if run.unlike else "equal"
                print(f"{run.folder.name}: killed in {', '.join(run.kills) or 'no phase'}; {what}", flush=True)
        print(table(trials))
    return int(any(run.unlike for trial in trials for run in trial.runs))


if __name__ == "__main__":
    sys.exit(main())
