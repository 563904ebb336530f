"""Launchers: execute the runs of a sweep in processes of this machine, on a SLURM cluster, or on a Ray cluster.

Hydra accepts launchers only from packages below `hydra_plugins`. A launcher decides the place of a job.
`translate.sweeps.jobs` and `translate.sweeps.grid` define jobs, their ends and their records. conf/hydra/launcher
documents the options.
"""

import os
import queue
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:  # other Hydra applications import this module too, so it imports our modules at use
    from translate.sweeps.jobs import Job, Process

POLL = 0.2  # seconds between two polls of running jobs


MOST_JOBS = 10_000  # at once


class JobLauncher(Launcher):
    """Plan every job in this process, in order, then execute the unfinished ones.

    The task function must plan: it returns a job, or None for a finished run.
    """

    def __init__(self) -> None:
        self.stopping: int | None = None  # the signal that ended the sweep

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments of Hydra."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Plan and execute jobs; a failed job has a record and does not stop the others."""
        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        plans = [self._plan(overrides, initial_job_idx + k) for k, overrides in enumerate(job_overrides)]
        jobs = [plan.return_value for plan in plans if plan.return_value is not None]
        if jobs and self.stopping is None:
            self._execute(jobs)
        return plans

    def _plan(self, overrides: Sequence[str], number: int) -> JobReturn:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            configure_logging=False,
        )

    def _execute(self, jobs: "list[Job]") -> None:
        """Execute jobs; after a signal, end running jobs and start no more."""
        from translate import signals

        def ask(number: int) -> None:
            self.stopping = number
            self.stop(number)

        with signals.deferred(ask):
            self.execute(jobs)

    @abstractmethod
    def execute(self, jobs: "list[Job]") -> None:
        """Execute jobs to their ends and write their records."""

    @abstractmethod
    def stop(self, number: int) -> None:
        """Start no more jobs, and let running jobs write a checkpoint and end."""

    def lost(self, job: "Job", why: str) -> None:
        """Write the record of a job whose process could not write it."""
        from translate.sweeps.jobs import Record, keep, records

        record = records(job.sweep).get(job.number)
        if record is None or record.state == "running":
            state = "stopped" if self.stopping is not None else "failed"
            code = 128 + self.stopping if self.stopping is not None else 1
            keep(job.sweep, Record.of(job, state, code=code, last_line=why))


class Processes(JobLauncher):
    """Run ``n_jobs`` concurrent jobs on this machine, each on one of the given GPUs."""

    def __init__(self, n_jobs: int = 1, gpus: Sequence[int | str] | None = None) -> None:
        super().__init__()
        self.num_jobs = n_jobs
        self.gpus = [str(gpu) for gpu in gpus] if gpus else None
        self._running: list[Process] = []

    def execute(self, jobs: "list[Job]") -> None:
        """Execute jobs in a pool of threads; lines of concurrent jobs begin with the number of the run.

        UserError for a number of jobs at once that cannot be meant: Hydra would hide it if the constructor raised it.
        """
        from translate.errors import UserError

        number = self.num_jobs
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_JOBS:
            expected = f"a whole number, at least 1 and at most {MOST_JOBS:,}"
            raise UserError(key="hydra.launcher.n_jobs", found=number, expected=expected)
        places: queue.Queue[dict[str, str]] = queue.Queue()
        for k in range(self.num_jobs):
            places.put({"CUDA_VISIBLE_DEVICES": self.gpus[k % len(self.gpus)]} if self.gpus else {})
        with ThreadPoolExecutor(self.num_jobs) as pool:
            futures = [pool.submit(self._one, job, places) for job in jobs]
            _wait(futures)

    def _one(self, job: "Job", places: "queue.Queue[dict[str, str]]") -> None:
        from translate.sweeps.jobs import Process, execute

        def start(*arguments: Any) -> Process:
            process = Process(*arguments)
            self._running.append(process)
            if self.stopping is not None:  # a signal came while the process started
                process.stop(self.stopping)
            return process

        place = places.get()
        try:
            if self.stopping is None:
                print(f"\nrun {job.number}: {job.label}", flush=True)
                execute(job, place, _teller(job.number if self.num_jobs > 1 else None), start)
        except Exception as error:  # the process could not start
            self.lost(job, f"{type(error).__name__}: {error}")
        finally:
            places.put(place)

    def stop(self, number: int) -> None:
        """Forward the signal to all running jobs."""
        for process in self._running:
            process.stop(number)


class Slurm(JobLauncher):
    """Submit unfinished jobs by submitit; ``cluster: local`` runs them on this machine, for tests."""

    def __init__(self, cluster: str | None = None, max_num_timeout: int = 3, **parameters: Any) -> None:
        super().__init__()
        self.cluster, self.max_num_timeout, self.parameters = cluster, int(max_num_timeout), parameters
        self._submitted: dict[Any, Job] = {}

    def execute(self, jobs: "list[Job]") -> None:
        """Submit jobs as one array and wait for all."""
        submitit = _required("submitit", "slurm")
        from translate.errors import UserError, first_line
        from translate.sweeps.jobs import say

        given = {key: value for key, value in self.parameters.items() if value is not None}
        try:
            executor = submitit.AutoExecutor(
                folder=jobs[0].sweep / "submitit" / "%j",
                cluster=self.cluster,
                slurm_max_num_timeout=self.max_num_timeout,
            )
            executor.update_parameters(**given)
        except (NameError, AssertionError, RuntimeError) as error:
            raise UserError(first_line(error), key="hydra.launcher") from error
        submitted = executor.map_array(Requeued(), jobs)
        self._submitted = dict(zip(submitted, jobs, strict=True))
        say(jobs[0].sweep, f"submitted to {executor.cluster}: {', '.join(job.job_id for job in submitted)}")
        waiting = dict(self._submitted)
        while waiting:
            for handle in [handle for handle in waiting if handle.done()]:
                job = waiting.pop(handle)
                try:
                    handle.result()
                except Exception as error:  # time limit, lack of memory, lost node
                    self.lost(job, str(error).strip().splitlines()[-1])
            time.sleep(POLL)

    def stop(self, number: int) -> None:
        """Cancel all jobs; the cluster signals a running job, which writes a checkpoint."""
        for handle in self._submitted:
            handle.cancel()


class Requeued:
    """`translate.sweeps.jobs.execute` for submitit: a preempted job is submitted again and continues its run."""

    def __init__(self) -> None:
        self._process: Any = None

    def __call__(self, job: "Job") -> int:
        """Run a job to its end and return its exit code."""
        from translate.sweeps.jobs import Process, execute

        def start(*arguments: Any) -> Process:
            self._process = Process(*arguments)
            return self._process

        return execute(job, start=start)

    def checkpoint(self, job: "Job") -> Any:
        """End the job with a checkpoint and return the same job for submission; it resumes from the checkpoint."""
        submitit = _required("submitit", "slurm")
        if self._process is not None:
            self._process.stop()
            self._process.wait()
        return submitit.helpers.DelayedSubmission(Requeued(), job)


class Ray(JobLauncher):
    """Run jobs as tasks of the Ray cluster at ``address``, or of a new one on this machine."""

    def __init__(
        self,
        address: str | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
        init: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.address, self.num_cpus, self.num_gpus, self.init = address, num_cpus, num_gpus, dict(init or {})
        self._references: list[Any] = []

    def execute(self, jobs: "list[Job]") -> None:
        """Submit all jobs to Ray, which limits concurrency by resources, and wait."""
        ray = _required("ray", "ray")
        from translate import signals

        here = Path.cwd()
        ray.init(address=self.address, **{"log_to_driver": False, "include_dashboard": None, **self.init})
        signals.reclaim()  # Ray has installed handlers of its own
        try:
            task = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=2)(_on_a_worker)
            waiting = {task.remote(job, here): job for job in jobs}
            self._references = list(waiting)
            while waiting:
                for reference in ray.wait(list(waiting), timeout=POLL)[0]:
                    job = waiting.pop(reference)
                    try:
                        ray.get(reference)
                    except Exception as error:
                        self.lost(job, str(error).strip().splitlines()[-1])
        finally:
            ray.shutdown()

    def stop(self, number: int) -> None:
        """Interrupt the tasks; each forwards the signal to its job."""
        ray = _required("ray", "ray")
        for reference in self._references:
            ray.cancel(reference)


def _on_a_worker(job: "Job", place: Path) -> int:
    """Run a job in the working directory of the sweep, which all machines share."""
    from translate.sweeps.jobs import execute

    os.chdir(place)
    return execute(job)


def _required(module: str, extra: str) -> Any:
    """Return an optional module; UserError with the command that installs it."""
    import importlib

    from translate.errors import UserError

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {module} is not installed",
            key="hydra/launcher",
            fix=f"pip install 'translate-gan[{extra}]'",
        ) from error


def _wait(futures: "Sequence[Future[None]]") -> None:
    """Wait in short steps, since Python runs signal handlers only between them."""
    while not all(future.done() for future in futures):
        time.sleep(POLL)


def _teller(number: int | None) -> Callable[[str], None]:
    """Return a function that prints a line, after the number of the job if given."""
    head = "" if number is None else f"[{number}] "
    return lambda line: print(f"{head}{line}", flush=True)


LAUNCHERS: tuple[type[JobLauncher], ...] = (Processes, Slurm, Ray)
