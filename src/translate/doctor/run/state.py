"""The state of a run: running, finished, failed or stopped, and the command that continues it."""

from __future__ import annotations

from filelock import FileLock, Timeout

from translate.doctor.report import Report, number
from translate.doctor.run.files import Run
from translate.doctor.run.remedies import halved_rates
from translate.runs.claim import LOCK_FILE
from translate.runs.folder import RunFolder
from translate.training.callbacks.metric_logging import NOT_FINITE
from translate.training.failures import resume_command


def check_state(run: Run, report: Report) -> None:
    """Add the state of a run, and the command that continues it to the report."""
    section = report.section("State")
    for sentence in run.damage:
        section.problem(sentence)
    newest = run.folder.newest_iteration()
    recorded = int(run.records[-1]["iteration"]) if run.records else 0
    section.fact("model", f"{run.config['model']['name']} on {run.config['data']['name']}")
    section.fact("last checkpoint", "none" if newest is None else f"iteration {newest:,} of {run.iterations:,}")
    section.fact("last record", f"iteration {recorded:,}")
    if run.log:
        section.fact("last message", f"{run.log[-1][0]} {run.log[-1][2]}")
    errors = [message for _, level, message in run.log if level == "ERROR"]
    resume = resume_command(run.folder)
    if is_running(run.folder):
        section.fact("state", "running")
    elif newest is not None and newest >= run.iterations > 0:
        section.fact("state", "finished")
        report.command = f"python -m translate export run={run.folder}"
        report.reasons = ["the run is finished: export its weights, or train longer by resume=... iterations=N"]
    elif errors and run.log[-1][1] == "ERROR":
        section.fact("state", "failed")
        if NOT_FINITE in errors[-1]:
            words = [*halved_rates(run), "model.gradient_clip=1"]
            section.problem(errors[-1], fix=f"{resume} {' '.join(words)}" if newest else " ".join(words))
        else:
            section.problem(errors[-1])
    else:
        section.fact("state", "stopped before its end")
        if newest is None:
            section.problem("the run has no checkpoint", fix="give its command again, with a smaller checkpoint_every")
        else:
            section.warning(
                f"the run stopped at iteration {max(newest, recorded):,} of {run.iterations:,}",
                fix=f"continue: {resume}",
            )
            report.command, report.reasons = resume, ["the run is not finished"]
    repeated = list(dict.fromkeys(message for _, level, message in run.log if level == "WARNING"))
    if repeated:
        section.note(f"{number(len(repeated), 'warning')} in log.txt", repeated[-3:])


def is_running(folder: RunFolder) -> bool:
    """Return whether a process on this machine trains in a run folder now."""
    path = folder.path / LOCK_FILE
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder without permission to write
        return False
