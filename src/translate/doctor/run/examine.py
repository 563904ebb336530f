"""Examine a run: state, losses, mode collapse, gradient norms, scores, speed, disk, versions; and what to try next."""

from __future__ import annotations

from translate.doctor.report import Report
from translate.doctor.run.files import read
from translate.doctor.run.results import check_samples, check_scores
from translate.doctor.run.state import check_state
from translate.doctor.run.surroundings import check_data, check_disk, check_versions
from translate.doctor.run.terms import check_balance, check_gradients, check_losses, check_speed
from translate.runs.folder import RunFolder


def examine(folder: RunFolder) -> Report:
    """Return the report on a run."""
    run = read(folder)
    report = Report(str(folder))
    check_state(run, report)
    if run.records:
        check_losses(run, report.section("Losses"))
        check_balance(run, report.section("Balance and collapse"))
        check_gradients(run, report.section("Gradient norms"))
        check_speed(run, report.section("Speed"))
    check_samples(run, report.section("Samples"))
    check_scores(run, report.section("Scores"))
    check_disk(run, report.section("Disk"))
    check_versions(run, report.section("Versions"))
    check_data(run, report.section("Data"))
    return report
