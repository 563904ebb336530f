"""Run an Optuna study: trials are processes, pruned by their recorded terms; several machines can share the storage.

A trial is a run in its own folder, started as ``python -m translate ... folder=F resume=auto``. If the command is
killed, the storage still lists its trials as running. The next command detects trials without a worker and enqueues
their values again with the same folders, so the runs continue from their last checkpoints.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from translate import signals
from translate.config.overrides import in_quotes
from translate.errors import UserError, first_line
from translate.files.reading import is_whole_number
from translate.runs.folder import RunFolder
from translate.runs.records import RecordsTail
from translate.sweeps import jobs, report
from translate.sweeps.report import FOLDER, INSTEAD_OF, WHY
from translate.sweeps.search_space import Choice, Pruner, Range, Settings, grid, override
from translate.tables.run_scores import scores_of_run

POLL = 0.5  # seconds between two polls of a trial
HEARTBEAT_INTERVAL = 30.0  # seconds between two heartbeats in the storage
HEARTBEAT_TIMEOUT = 300.0  # seconds without a heartbeat after which a trial is lost

SETTINGS, WORKER, HEARTBEAT = "settings", "worker", "alive"
"""User attributes in the storage, beside those of `report`."""


class StudyRunner:
    """Execute the trials of one study: `run` ends after the last trial, or after a signal."""

    def __init__(self, settings: Settings, overrides: list[str], flags: list[str], num_iterations: int) -> None:
        """Take the settings, the overrides and flags of every trial, and the iterations of a complete trial."""
        assert settings.name is not None
        self.settings, self.flags = settings, flags
        self.overrides = [*settings.overrides, *overrides]
        self.folder = Path(settings.folder or Path("runs", settings.name))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.space = {key: distribution(parameter) for key, parameter in settings.space.items()}
        self.directions = list(settings.objectives.values())
        self.study = self._study(num_iterations)
        self.stopping: int | None = None
        self._asking = threading.Lock()
        self._processes: list[jobs.Process] = []
        self._errors: list[BaseException] = []  # of worker threads

    @property
    def storage(self) -> str:
        """Return the URL of the storage."""
        return self.settings.storage or f"sqlite:///{self.folder / 'study.db'}"

    def _study(self, num_iterations: int) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        settings = self.settings
        try:
            study = optuna.create_study(
                storage=self.storage,
                study_name=settings.name,
                directions=[StudyDirection[direction.upper()] for direction in self.directions],
                sampler=_sampler(settings),
                pruner=_pruner(settings.pruner, num_iterations),
                load_if_exists=True,
            )
        except ModuleNotFoundError as error:
            raise UserError(
                f"the package {error.name} is not installed",
                key=f"sweep.storage={self.storage}",
                fix=f"pip install {error.name}",
            ) from error
        except Exception as error:  # each database has its own types
            what = f"the storage cannot be used ({first_line(error)})"
            raise UserError(what, key=f"sweep.storage={self.storage}") from error
        definition = {
            "objectives": settings.objectives,
            "space": {key: asdict(parameter) for key, parameter in settings.space.items()},
            "overrides": self.overrides,
        }
        definition = json.loads(json.dumps(definition))
        before = study.user_attrs.get(SETTINGS)
        if before is None:
            study.set_user_attr(SETTINGS, definition)
            if settings.sampler == "grid":
                for values in grid(settings):
                    study.enqueue_trial(values, skip_if_exists=True)
        elif before != definition:
            key = next(key for key in definition if definition[key] != before.get(key))
            raise UserError(
                f"the study {settings.name!r} in {self.storage} has other {key}",
                key="sweep.name",
                fix="write sweep.name=NAME for a new study",
            )
        return study

    # --- the study ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run trials until the study is complete; return 0, 1 if no trial finished, or 128 + n after signal n."""
        print(f"study {self.study.study_name} in {self.storage}", flush=True)
        self._requeue_lost()
        workers = [
            threading.Thread(target=self._work, args=(self._environment(k),), daemon=True)
            for k in range(self.settings.n_jobs)
        ]
        with signals.deferred(self._stop):
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                time.sleep(POLL)  # Python runs signal handlers between two waits
        if self._errors:
            raise self._errors[0]
        for line in report.write(self.study, self.folder, list(self.settings.objectives)):
            print(line, flush=True)
        if self.stopping is not None:
            print(*jobs.advice(), flush=True)
            return 128 + self.stopping
        return 0 if self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) else 1

    def _stop(self, number: int) -> None:
        self.stopping = number
        for process in self._processes:
            process.stop(number)

    def _environment(self, k: int) -> dict[str, str]:
        gpus = self.settings.gpus
        return {"CUDA_VISIBLE_DEVICES": str(gpus[k % len(gpus)])} if gpus else {}

    def _work(self, environment: Mapping[str, str]) -> None:
        try:
            while (trial := self._next()) is not None:
                self._execute(trial, environment)
        except BaseException as error:  # of the storage; `run` raises it in the main thread
            self._errors.append(error)
            self._stop(signal.SIGTERM)

    def _next(self) -> optuna.Trial | None:
        """Return the next trial, None if the study is complete or a signal has come."""
        with self._asking:
            if self.stopping is not None or self._count() >= self.settings.num_trials:
                return None
            trial = self.study.ask(self.space)
            trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
            trial.set_user_attr(HEARTBEAT, time.time())
            if FOLDER not in trial.user_attrs:
                trial.set_user_attr(FOLDER, str(self.folder / f"{trial.number:04d}"))
            return trial

    def _count(self) -> int:
        """Return the number of started trials; a requeued trial counts once."""
        return sum(trial.state != TrialState.WAITING for trial in report.trials(self.study))

    # --- lost trials ------------------------------------------------------------------------------

    def _requeue_lost(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if _is_lost(trial):
                worker = trial.user_attrs.get(WORKER, "unknown")
                print(f"trial {trial.number} has lost its worker {worker}: it continues here", flush=True)
                self._requeue(trial)

    def _requeue(self, trial: FrozenTrial | optuna.Trial) -> None:
        """End a trial without a worker, and enqueue its values with its folder."""
        try:
            self.study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):  # another machine was faster
            return
        if trial.params:
            kept = {FOLDER: trial.user_attrs[FOLDER]} if FOLDER in trial.user_attrs else {}
            self.study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number, **kept})

    # --- one trial ------------------------------------------------------------------------------------------

    def _execute(self, trial: optuna.Trial, environment: Mapping[str, str]) -> None:
        folder = Path(trial.user_attrs[FOLDER])
        chosen = [override(key, value) for key, value in trial.params.items()]
        words = [*self.flags, *self.overrides, *chosen, f"folder={in_quotes(folder)}", "resume=auto"]
        print(f"trial {trial.number}: {' '.join(chosen)}", flush=True)
        output = self.folder / "trials" / f"{trial.number:04d}.txt"
        process = jobs.Process(words, output, environment)
        self._processes.append(process)
        if self.stopping is not None:  # a signal came while the process started
            process.stop(self.stopping)
        pruned = self._watch(trial, process, folder)
        code = process.wait()
        self._processes.remove(process)
        if pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            outcome = "pruned"
        elif code and self.stopping is not None:
            self._requeue(trial)
            return
        else:
            outcome = self._tell(trial, folder, code, output)
        print(f"trial {trial.number} {outcome}", flush=True)
        with self._asking:
            report.write_table(self.study, self.folder, list(self.settings.objectives))

    def _watch(self, trial: optuna.Trial, process: jobs.Process, folder: Path) -> bool:
        """Report the recorded terms of a run until it ends; return whether it was pruned."""
        lines = RecordsTail(RunFolder(folder).metrics)
        heartbeat, pruned = time.monotonic(), False
        while process.poll() is None:
            if time.monotonic() - heartbeat > HEARTBEAT_INTERVAL:
                heartbeat = time.monotonic()
                trial.set_user_attr(HEARTBEAT, time.time())
            if self._report(trial, lines) and not pruned and self.stopping is None and trial.should_prune():
                pruned = True
                process.stop(signal.SIGTERM)
            time.sleep(POLL)
        self._report(trial, lines)  # the last records, since later trials are compared with all records
        return pruned

    def _report(self, trial: optuna.Trial, lines: RecordsTail) -> bool:
        """Report new values of the pruner's term to the study; return whether there are any."""
        pruner = self.settings.pruner
        if pruner is None:
            return False
        sign = 1 if pruner.direction == self.directions[0] else -1
        values = {line["iteration"]: line[pruner.by] for line in lines.new() if pruner.by in line}
        for iteration, value in values.items():
            trial.report(sign * value, step=iteration)
        return bool(values)

    def _tell(self, trial: optuna.Trial, folder: Path, code: int, output: Path) -> str:
        """Report the outcome of a trial to the study, and return a description of it."""
        try:
            if code:
                raise UserError(f"exit code {code}: {jobs.last_line(output)} ({output})")
            values = [objective(folder, name) for name in self.settings.objectives]
        except UserError as error:
            trial.set_user_attr(WHY, str(error))
            self.study.tell(trial, state=TrialState.FAIL)
            return f"failed: {error}"
        self.study.tell(trial, values)
        scores = zip(self.settings.objectives, values, strict=True)
        return "finished: " + "; ".join(f"{name} {value:.5g}" for name, value in scores)


def _is_lost(trial: FrozenTrial) -> bool:
    """Return whether a running trial has no worker: its heartbeat stopped, or its process on this machine is gone."""
    if time.time() - float(trial.user_attrs.get(HEARTBEAT, 0)) > HEARTBEAT_TIMEOUT:
        return True
    host, _, process = str(trial.user_attrs.get(WORKER, ":")).rpartition(":")
    if host != socket.gethostname() or not is_whole_number(process):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # the process of another user exists
        return False
    return int(process) == os.getpid()  # this new process has the number of the former worker


def objective(folder: Path, name: str) -> float:
    """Return the value of an objective in a run folder; UserError if it does not exist.

    The objective is a score of the last checkpoint, "protocol/score" where two protocols have it, or the mean of a term
    over the last tenth of its records.
    """
    scores: dict[str, list[float]] = {}
    for each in scores_of_run(folder):
        if each.checkpoint == "last":
            for score, value in each.scores.items():
                scores.setdefault(score, []).append(value)
                scores[f"{each.protocol}/{score}"] = [value]
    if len(scores.get(name, ())) > 1:
        raise UserError("several protocols have this score", key="objectives", found=name, fix=f"write PROTOCOL/{name}")
    if name in scores:
        return scores[name][0]
    records = RecordsTail(RunFolder(folder).metrics).new()
    values = [float(line[name]) for line in records if name in line]
    if values:
        last = values[-max(1, len(values) // 10) :]
        return sum(last) / len(last)
    terms = {key for line in records[-1:] for key in line}
    raise UserError("the run has no score or term", key="objectives", found=name, known=[*scores, *sorted(terms)])


# --- from settings to Optuna --------------------------------------------------------------------------------


def distribution(parameter: Choice | Range) -> BaseDistribution:
    """Return the Optuna distribution of a parameter."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if parameter.whole:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
    return FloatDistribution(float(parameter.low), float(parameter.high), log=parameter.log, step=parameter.step)


def _sampler(settings: Settings) -> optuna.samplers.BaseSampler:
    seed = (
        settings.seed + os.getpid() if settings.storage else settings.seed
    )  # machines that share a study need different seeds
    make: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "grid": lambda: optuna.samplers.RandomSampler(seed=seed),  # the study has enqueued all combinations
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
    }
    return make[settings.sampler]()


def _pruner(pruner: Pruner | None, num_iterations: int) -> optuna.pruners.BasePruner:
    if pruner is None:
        return optuna.pruners.NopPruner()
    if pruner.name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.num_startup, n_warmup_steps=pruner.warmup)
    return optuna.pruners.HyperbandPruner(
        min_resource=pruner.min_iterations, max_resource=num_iterations, reduction_factor=pruner.reduction
    )
