"""The surroundings of a run: disk, versions, and data that differ from those at its beginning."""

from __future__ import annotations

import os
import shutil

from translate.doctor.installation import existing
from translate.doctor.report import Section, number
from translate.doctor.run.files import Run
from translate.errors import UserError
from translate.files.reading import read_object
from translate.registry.registry import DATASETS
from translate.runs import environment


def check_disk(run: Run, section: Section) -> None:
    """Add the sizes of the checkpoints, and whether the disk has room for more."""
    sizes = [path.stat().st_size for path in (run.folder.path / "checkpoints").glob("*") if path.is_file()]
    free = shutil.disk_usage(existing(run.folder.path)).free
    section.fact("checkpoints", f"{number(len(sizes), 'file')}, {sum(sizes) / 1e9:.2f} GB")
    section.fact("free", f"{free / 1e9:.1f} GB")
    if sizes and free < 2 * max(sizes):
        section.problem(
            f"the disk has room for less than two further checkpoints of {max(sizes) / 1e9:.2f} GB",
            fix="free space, or resume with keep_checkpoints=1",
        )


def check_versions(run: Run, section: Section) -> None:
    """Compare the versions of the run with those of now."""
    path = run.folder.path / "environment.json"
    if not os.path.lexists(path):
        section.note("there is no environment.json: the versions of the run are not known")
        return
    try:
        noted = read_object(path)
    except UserError as error:
        section.problem(str(error))
        return
    section.fact("then", f"translate {noted.get('translate')}, python {noted.get('python')}, {noted.get('time')}")
    command, packages = noted.get("command") or [], noted.get("packages") or {}
    if (
        not isinstance(command, list)
        or not isinstance(packages, dict)
        or not isinstance(noted.get("commit", ""), str | None)
    ):
        section.problem(f"{path}: the notes on versions are damaged")
        return
    section.fact("command", " ".join(map(str, command)))
    changed = [
        f"{name} {before}, now {now or 'missing'}"
        for name, before in packages.items()
        if (now := environment.version(name)) != before
    ]
    if changed:
        section.note(
            "versions differ from those of the run: a resumed run need not equal an uninterrupted one", changed
        )
    commit = environment.commit()
    if noted.get("commit") and commit and noted["commit"] != commit:
        section.note(f"the code is commit {commit[:10]} now and was {noted['commit'][:10]}")


def check_data(run: Run, section: Section) -> None:
    """Open the data again and compare it with the note of the run."""
    node = dict(run.config["data"])
    try:
        parameters = [p.name for p in DATASETS.entry(node["name"]).parameters]
        arguments = {key: node[key] for key in parameters if key in node and key not in ("split", "domains")}
        make = DATASETS.get(node["name"])
        splits = {split: make(**arguments, split=split, domains=node.get("domains")) for split in ("train", "val")}
    except UserError as error:
        section.warning(f"the data cannot be opened: {error}")
        return
    section.fact("images", f"{len(splits['train']):,} for training, {len(splits['val']):,} for validation")
    try:
        changes = run.folder.data_changes(splits)
    except UserError as error:
        section.problem(str(error))
        return
    for change in changes:
        section.warning(change, fix="put the images back before the run is resumed")
