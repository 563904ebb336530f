"""End training runs by signals at any moment, go on with them, and compare each with a run that nobody disturbed.

    python benchmarks/kills.py
    python benchmarks/kills.py --one 12 --two 8 --seed 3

A run is ended some times in a row, and then finishes. SIGKILL goes to all its processes at once. SIGTERM and SIGINT go
to one of them, and the run must end by itself with the exit code 128 + n. Every command is what a user would type: the
first one again while there is no checkpoint, then `resume=`. Some signals come at a random moment, others as soon as
the unfinished file of a checkpoint or of a cache is there, or while the run is evaluated. A run that has finished is
equal if all tensors of its checkpoint, its records, scores and images are those of the undisturbed run of as many
processes, to the bit; a run that SIGTERM or SIGINT has ended may have more sample grids, of its last iteration.

A run of one process is a fork of a process that has imported the libraries, so that random moments fall into its work.
Processes of other runs import them.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from translate.runs import checkpoints
from translate.runs.folder import RunFolder

ITERATIONS = 24
SAMPLE_EVERY = 8
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
    f"sample_every={SAMPLE_EVERY}",
    "evaluate_every=12",
    "best='domain accuracy'",
]
TRAINERS = {1: "trainer=cpu", 2: "trainer=ddp_cpu"}

PHASES = ("start-up", "cache building", "training", "checkpoint writing", "evaluation", "final evaluation")
ANY = "any moment"
PLAN = ("cache building", "checkpoint writing", "training", "evaluation", "final evaluation")
"""What the signals to a run aim at, in turn; every other run begins with a moment that is not aimed."""

NUMBERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 600.0  # seconds after which a life of a run is taken to hang
END = 60.0  # seconds after which a run does not obey a signal; far more than it needs, since machines are busy
SPEEDS = ("iterations_per_second", "images_per_second")


@dataclass
class Run:
    """A training run that may be killed and given again."""

    folder: Path
    pictures: Path
    processes: int
    kills: list[str] = field(default_factory=list)  # the phase of each
    numbers: list[int] = field(default_factory=list)  # the signal of each
    ended: set[int] = field(default_factory=set)  # iterations at which SIGTERM or SIGINT has ended it
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


class Starter:
    """A process that has imported the libraries and runs command lines in forks."""

    _SCRIPT = """
import json, os, sys
from translate.__main__ import run
import translate.training.run, translate.config.command_line

for line in sys.stdin:
    words, said, folder = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        for descriptor in (1, 2):
            os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        os.chdir(folder)
        sys.argv = ["translate", *words]
        code = 1
        try:
            code = run()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self._SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, words: Sequence[str], said: Path, folder: Path) -> int:
        """Run a command line; return the process."""
        assert self.process.stdin is not None
        print(json.dumps([list(words), str(said), str(folder)]), file=self.process.stdin, flush=True)
        return self._number()

    def poll(self, timeout: float = 0.0) -> int | None:
        """Return the exit code of the last command line, None while it runs."""
        assert self.process.stdout is not None
        return self._number() if select.select([self.process.stdout], [], [], timeout)[0] else None

    def _number(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Life:
    """The processes of a run between its command and its end."""

    def __init__(self, run: Run, luck: random.Random, starter: Starter | None = None) -> None:
        """Begin; without ``starter`` as a new process."""
        self.run, self.start, self.starter = run, run.reached, starter
        run.said.write_text("")
        self.began, words = time.time(), run.words(luck)
        self._code: int | None = None
        self.took = 0.0  # seconds from SIGTERM or SIGINT to the end
        if starter is not None:
            self.number = starter.start(words, run.said, run.folder.parent)
            return
        with open(run.said, "w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "translate", *words],
                stdout=said,
                stderr=said,
                start_new_session=True,  # a process group of its own
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                cwd=run.folder.parent,
            )
        self.number = self.process.pid

    def poll(self, timeout: float = 0.0) -> int | None:
        """Return the exit code, None while the first process runs."""
        if self._code is None and self.starter is not None:
            self._code = self.starter.poll(timeout)
        elif self._code is None:
            with suppress(subprocess.TimeoutExpired):
                self._code = self.process.wait(timeout)
        return self._code

    def kill(self) -> None:
        """Kill all processes that are left."""
        with suppress(ProcessLookupError):
            os.killpg(self.number, signal.SIGKILL)

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
            return "final evaluation"
        if any((self.run.folder / "metrics").glob("*partial*")):
            return "evaluation"
        return "training" if self.run.reached > self.start else "start-up"

    def end(self, aim: str, moment: float, number: int = signal.SIGKILL) -> int | None:
        """Send a signal to the run at its aim and return None, or the exit code if it ends before.

        ``moment`` is when: seconds after the start for any moment, else a number of [0, 1).
        """
        try:
            return self._end(aim, moment, number)
        finally:
            if self.poll() is None:  # we were interrupted ourselves
                self.kill()

    def _obeyed(self, number: int) -> int | None:
        """Send SIGTERM or SIGINT; return None when the run has ended as it should, or its exit code if it was done."""
        phase, began = self.phase(), time.time()
        os.kill(self.number, number)
        code = self.poll(END)
        assert code is not None, f"{self.run.said}: still running {END:.0f} s after signal {number}"
        if code == 0:
            return code
        if code == -number and not self.run.said.read_text():
            self.kill()  # it came before the handlers, in the first hundredths of a second, and does not count
            return None
        assert code == 128 + number, f"exit code {code}:\n{self.run.said.read_text()[-4000:]}"
        self.took = time.time() - began
        self.kill()  # further processes end within seconds
        self.run.kills.append(phase)
        self.run.ended.add(self.run.reached)
        return None

    def _end(self, aim: str, moment: float, number: int) -> int | None:
        ahead = min(self.start + 2 + int(6 * moment), ITERATIONS)  # the checkpoint that is waited for
        while (code := self.poll()) is None:
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
                if number != signal.SIGKILL:
                    return self._obeyed(number)
                self.kill()
                code = self.poll(PATIENCE)
                if code != -signal.SIGKILL:
                    return code  # it has ended in between
                self.run.kills.append(self.phase())
                return None
            time.sleep(0.02 if aim in (ANY, "training") else 0.002)
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
        self.slowest = 0.0  # seconds from SIGTERM or SIGINT to the end of a run
        self.starter = Starter() if processes == 1 else None
        self.whole = self._run("whole")
        life = Life(self.whole, self.luck, self.starter)
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
            life, number = Life(run, self.luck, self.starter), self.luck.choice(NUMBERS)
            code = life.end(aim, self.luck.random() * (0.3 * self.length if aim == ANY else 1.0), number)
            if code is not None:
                break
            if len(run.kills) > len(run.numbers):
                run.numbers.append(number)
            self.slowest = max(self.slowest, life.took)
        if code is None:
            code = Life(run, self.luck, self.starter).end("the end", 0.0)
        self._expect_done(run, code)
        more = {f"samples/{iteration:06d}" for iteration in run.ended if iteration % SAMPLE_EVERY}
        run.unlike = [name for name in differences(run.folder, self.whole.folder) if name[:14] not in more]
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
    """Return how many signals came in which phase, and how many of the runs came to the same end."""
    names = [signal.Signals(number).name for number in NUMBERS]
    head = ["processes", "signals", *names, *PHASES, "slowest end, s", "runs", "equal to the bit"]
    lines = [f"| {' | '.join(head)} |", "|" + " ---: |" * len(head)]
    for trial in trials:
        count = Counter(phase for run in trial.runs for phase in run.kills)
        killed = [run for run in trial.runs if run.kills]
        equal = sum(not run.unlike for run in killed)
        numbers = Counter(number for run in trial.runs for number in run.numbers)
        cells = [trial.processes, count.total(), *(numbers[number] for number in NUMBERS)]
        cells += [*(count[phase] for phase in PHASES), f"{trial.slowest:.1f}", len(killed), equal]
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
    """Send as many signals as asked for, print the table, and return 1 if any run is unlike the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, default=76, help="signals to runs in one process")
    parser.add_argument("--two", type=int, default=24, help="signals to runs in two processes")
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
                print(f"{run.folder.name}: ended in {', '.join(run.kills) or 'no phase'}; {what}", flush=True)
        print(table(trials))
    return int(any(run.unlike for trial in trials for run in trial.runs))


if __name__ == "__main__":
    sys.exit(main())
