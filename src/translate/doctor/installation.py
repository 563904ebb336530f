"""Examine the installation: versions, the device, libraries of extras, disk and permissions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from translate import __version__
from translate.doctor.missing_libraries import DISTRIBUTION
from translate.doctor.report import Report, Section
from translate.runs import environment
from translate.runs.machine import processor

REQUIRED = ("torch", "numpy", "pillow")
"""Packages without which nothing is translated."""

VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES", "TRANSLATE_CACHE", "SLURM_JOB_ID")
"""Variables of the environment that change what the program does, and hold no secret."""

LITTLE_DISK = 5e9  # bytes
DEVELOPMENT = frozenset({"dev", "all"})  # extras that repeat others, or that users do not need


def examine(report: Report, cache: Path) -> None:
    """Add the sections about this installation to a report; ``cache`` is the folder of decoded images and weights."""
    _versions(report.section("Versions"))
    _device(report.section("Device"))
    _extras(report.section("Extras"))
    _disk(report.section("Disk"), cache)


def _versions(section: Section) -> None:
    section.fact("translate", f"{__version__}, in {Path(__file__).parents[1]}")
    section.fact("python", f"{platform.python_version()}, {sys.executable}")
    section.fact("system", platform.platform())
    for name in environment.LOGGED_PACKAGES:
        if (version := environment.version(name)) is not None:
            section.fact(name, version)
        elif name in REQUIRED:
            section.problem(f"the package {name} is missing", fix=f"pip install {DISTRIBUTION}")
        else:
            section.fact(name, f"missing; pip install '{DISTRIBUTION}[train]' adds it")
    if problem := environment.shared_package():
        section.problem(problem.what, fix=problem.fix)


def _device(section: Section) -> None:
    import torch

    section.fact(
        "CPU",
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    )
    section.fact("instructions", torch.backends.cpu.get_cpu_capability())
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        section.fact(f"GPU {index}", f"{about.name}, {about.total_memory / 1e9:.0f} GB")
    if torch.cuda.is_available():
        section.fact("CUDA", str(torch.version.cuda))
        try:
            torch.zeros(8, device="cuda").sum().item()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            section.problem(f"the GPU cannot be used: {reason}", fix="install the torch build that fits the driver")
    elif shutil.which("nvidia-smi"):
        section.problem(
            "there is an NVIDIA driver, but torch sees no GPU", fix="install a torch build with CUDA, see pytorch.org"
        )
    else:
        section.note("no GPU: the small models (model=stargan_v2_small ...) are made for a CPU")


def bug_report() -> str:
    """Return versions, device and extras of this installation as lines of text; no name of a file of the user."""
    facts = {
        "translate": f"{__version__}, commit {environment.commit() or 'unknown (not a checkout)'}",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.platform()}, {' '.join(platform.libc_ver())}".rstrip(", "),
        "processor": f"{processor()}, {os.cpu_count()} cores",
    }
    names = [name for name in environment.LOGGED_PACKAGES if name != "torch"]
    return "\n".join(
        f"{name:<20} {value}"
        for name, value in [
            *facts.items(),
            *_torch_facts(),
            *((name, environment.version(name) or "missing") for name in names),
            *(("extra " + extra, _state(packages)) for extra, packages in extras().items()),
            *((name, os.environ[name]) for name in VARIABLES if name in os.environ),
        ]
    )


def _torch_facts() -> list[tuple[str, str]]:
    """Return the version of torch with the kind of its build, the instructions that it uses, and the GPUs."""
    if environment.version("torch") is None:
        return [("torch", "missing")]
    import torch

    found = [("torch", str(torch.__version__)), ("instructions", torch.backends.cpu.get_cpu_capability())]
    found.append(("threads", str(torch.get_num_threads())))
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    if not torch.cuda.is_available():
        return [*found, ("GPU", f"none seen; torch is built with {built}")]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        capability = f"compute capability {about.major}.{about.minor}"
        found.append((f"GPU {index}", f"{about.name}, {about.total_memory / 1e9:.0f} GB, {capability}"))
    return [*found, ("CUDA", f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")]


def _state(packages: list[str]) -> str:
    """Return the versions of the libraries of an extra, and which are missing."""
    return ", ".join(f"{name} {environment.version(name) or 'missing'}" for name in packages)


def _extras(section: Section) -> None:
    """Report which libraries of each extra are missing."""
    for extra, packages in extras().items():
        missing = [name for name in packages if environment.version(name) is None]
        section.fact(extra, "complete" if not missing else f"missing: {', '.join(missing)}")
    if any(value != "complete" for _, value in section.facts):
        section.note("extras are optional", fix=f"pip install '{DISTRIBUTION}[EXTRA]' adds one")


def extras() -> dict[str, list[str]]:
    """Return the libraries of each extra for users; {} if the package is run without an installation."""
    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {
        name: [] for name in about.get_all("Provides-Extra") or () if name not in DEVELOPMENT
    }
    for requirement in about.get_all("Requires-Dist") or ():
        name, marker = re.split(r"[^\w.-]", requirement, maxsplit=1)[0], requirement.partition(";")[2]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        if extra and extra[1] in found and name != DISTRIBUTION:
            found[extra[1]].append(name)
    return found


def _disk(section: Section, cache: Path) -> None:
    for name, folder in (("here", Path.cwd()), ("cache", cache), ("temporary files", Path(tempfile.gettempdir()))):
        place = existing(folder)
        free = shutil.disk_usage(place).free
        size = f"; {size_of(folder) / 1e9:.2f} GB used" if name == "cache" and folder.is_dir() else ""
        section.fact(name, f"{folder}, {free / 1e9:.1f} GB free{size}")
        if not is_writable(place):
            section.problem(f"no permission to write into {place}", fix=f"chmod u+w {place}, or use another folder")
        elif free < LITTLE_DISK:
            section.warning(f"less than {LITTLE_DISK / 1e9:.0f} GB are free in {place}", fix="free some space")


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest folder above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def is_writable(folder: Path) -> bool:
    """Return whether this process can create a file in a folder; tried, since a disk can be read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # removed in the meantime
    return total
