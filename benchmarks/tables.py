"""Measure everything that docs/benchmarks.md reports on one device; write tables, a plot and JSON.

    python benchmarks/tables.py cpu docs/benchmarks
    python benchmarks/tables.py cuda docs/benchmarks                     # under ten minutes
    python benchmarks/tables.py cuda docs/benchmarks --only cyclegan     # one section; the others stay as they are
    python benchmarks/tables.py cuda docs/benchmarks --limit 60          # seconds a section, where time is short

The files are named after the card, such as nvidia_h100_80gb_hbm3.json, or cpu.json. They name card, driver, torch and
commit. Each section is a process of its own with a limit of seconds. At the limit it ends with what it has; shortly
afterwards it is killed. A section that fails says so in the tables, and the others go on. The sections:

    stargan_v2, stargan_v1, cyclegan   seconds, ratios and memory of the sides of `against_plain.py`, by batch size
    goldens                            golden numbers of the official code, in strict float32 (`goldens_on_device.py`)
    switches                           what fused norms and graphs compute against what is computed without them
                                       (`switches_on_device.py`)
    resumed                            a resumed run against one without interruption, to the bit, with
                                       trainer.deterministic=true; and the price of this setting
    scaling                            weak and strong scaling over the GPUs, where there are several
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import goldens_on_device
import switches_on_device
import torch
from against_plain import UPDATES, Sides, sentence

from translate.config.compose import load
from translate.config.resume import resumed
from translate.files.writing import atomic_open, atomic_write
from translate.profiling import scaling
from translate.profiling.timing import Length, measure_speed
from translate.runs.checkpoints import newest
from translate.runs.environment import environment
from translate.training import run

CPU = ("float32", "library", "returning", "planes", "bf16")  # bf16 pays where the processor has instructions for it
CUDA = (
    *("float32", "tf32", "tf32,fused", "bf16", "bf16,planes", "bf16,fused", "bf16,graphs", "bf16,fused,graphs"),
    "bf16,compile",
)
LARGE = ("tf32", "bf16", "bf16,fused")  # of large batches, of which an iteration is long
RESUMED = ("data=critters", "data.cache=null", "metrics=none", "sample_every=null", "evaluate_every=null", "best=null")
GRACE = 12.0  # seconds after its limit in which a section may end by itself


@dataclass(frozen=True)
class Speed:
    """The sides of a model that take turns: for each batch size the settings beside the reference."""

    model: str
    size: int
    batches: Mapping[int, Sequence[str]]
    reference: str = "plain"


@dataclass(frozen=True)
class Goldens:
    """The models whose golden numbers are compared."""

    models: Sequence[str] = tuple(goldens_on_device.MODELS)


@dataclass(frozen=True)
class Switches:
    """What fused norms and graphs compute."""


@dataclass(frozen=True)
class Resumed:
    """A small run that is resumed in its middle, and a configuration that measures the price of determinism."""

    small: Sequence[str]
    price: Sequence[str]
    length: Length


@dataclass(frozen=True)
class Scaling:
    """A configuration, measured over the GPUs of the machine."""

    words: Sequence[str]


@dataclass(frozen=True)
class Section:
    """One part of the measurement, and its limit in seconds; None: none."""

    name: str
    plan: Speed | Goldens | Switches | Resumed | Scaling
    limit: float | None = None


OFFICIAL = ("model=stargan_v2", "~recipe", "data.image_size=256", "data.batch_size=8", "data.num_images=64")
PLANS: dict[str, tuple[Section, ...]] = {
    "cpu": (
        Section("stargan_v2", Speed("stargan_v2", 256, {1: CPU})),
        Section("stargan_v1", Speed("stargan_v1", 128, {4: CPU, 16: ("float32", "bf16")})),
        Section("cyclegan", Speed("cyclegan", 128, {1: CPU, 4: CPU})),
    ),
    "cuda": (
        Section(
            "stargan_v2",
            Speed("stargan_v2", 256, {8: ("plain", *CUDA, "bf16,lazy"), 1: LARGE, 32: LARGE}, "plain_tf32"),
            170,
        ),
        Section("cyclegan", Speed("cyclegan", 256, {1: ("plain", *CUDA), 8: LARGE}, "plain_tf32"), 85),
        Section("stargan_v1", Speed("stargan_v1", 128, {16: ("plain", *CUDA), 64: LARGE}, "plain_tf32"), 85),
        Section("goldens", Goldens(), 40),
        Section("switches", Switches(), 70),
        Section(
            "resumed",
            Resumed(("model=stargan_v2_small", "trainer=gpu"), (*OFFICIAL, "trainer=gpu"), Length(5, 20)),
            75,
        ),
        Section("scaling", Scaling((*OFFICIAL, "trainer=gpu")), 60),
    ),
}
"""For each device its sections; one GPU takes less than ten minutes, and ends the last section at once."""

Keep = Callable[[Any], None]


def speed(plan: Speed, device: torch.device, deadline: float | None, keep: Keep, rounds: int) -> None:
    """Compare the sides, batch by batch."""
    sides = dict.fromkeys(side for each in plan.batches.values() for side in each)
    results: list[dict[str, Any]] = []
    with Sides(plan.model, plan.size, list(sides), device, reference=plan.reference) as contest:
        for batch, ours in plan.batches.items():
            if deadline is not None and time.monotonic() > deadline:
                break
            results.append(contest.compare(batch, ours, rounds, deadline))
            keep(results)
            for side in ours:
                print(sentence(results[-1], side), flush=True)


def goldens(plan: Goldens, device: torch.device, deadline: float | None, keep: Keep) -> None:
    """Compare the golden numbers, model by model."""
    results = {}
    for name in plan.models:
        if deadline is not None and time.monotonic() > deadline:
            break
        results[name] = goldens_on_device.errors(name, device)
        keep(results)
        print(f"{name}: {results[name]}", flush=True)


def resuming(plan: Resumed, keep: Keep) -> None:
    """Train four iterations, and two and two, deterministically; then time iterations with and without the setting."""
    words = [*plan.small, *RESUMED, "trainer.deterministic=true", "checkpoint_every=2"]
    with tempfile.TemporaryDirectory() as place:
        whole, parts = Path(place, "whole"), Path(place, "parts")
        run.train(load([*words, "iterations=4"]), whole)
        run.train(load([*words, "iterations=2"]), parts)
        run.train(resumed(parts, ["iterations=4"]), parts, parts)
        first, second = newest(whole), newest(parts)
    unlike = [name for name, tensor in first.tensors.items() if not tensor.equal(second.tensors[name])]
    results: dict[str, Any] = {"iteration": second.iteration, "tensors": len(first.tensors), "unlike": unlike}
    keep(results)
    print(f"resumed: {len(unlike)} of {len(first.tensors)} tensors differ", flush=True)
    for value in ("false", "true"):
        config = load([*plan.price, *RESUMED, f"trainer.deterministic={value}", "iterations=100"])
        torch.use_deterministic_algorithms(False)
        results[f"deterministic={value}"] = measure_speed(config, plan.length).seconds
    results["price"] = results["deterministic=true"] / results["deterministic=false"]
    keep(results)
    print(f"trainer.deterministic=true takes {results['price']:.3f} of the time", flush=True)


def scaled(plan: Scaling, keep: Keep) -> None:
    """Measure one device, then twice as many each time; nothing where there is one alone."""
    count = torch.cuda.device_count()
    numbers = [n for n in (1, 2, 4, 8) if n <= count]
    if len(numbers) < 2:
        keep({"devices": count})
        return
    words = [*plan.words, "data.cache=null"]
    found = []
    own = ["benchmark.iterations=10", "benchmark.warmup=5"]
    for point, results in scaling.measure(words, scaling.points(load(words), numbers), 1, own):
        found.append((point, results))
        keep({"devices": count, "scaling": scaling.summary(found)})


def measure(section: Section, device: torch.device, keep: Keep, rounds: int, began: float | None = None) -> None:
    """Measure a section; ``keep`` takes its results so far. Its limit counts from ``began``, by default now."""
    began = time.monotonic() if began is None else began
    deadline = None if section.limit is None else began + section.limit
    match section.plan:
        case Speed():
            speed(section.plan, device, deadline, keep, rounds)
        case Goldens():
            goldens(section.plan, device, deadline, keep)
        case Switches():
            keep(switches_on_device.errors(device))
        case Resumed():
            resuming(section.plan, keep)
        case Scaling():
            scaled(section.plan, keep)


# --- the report ---------------------------------------------------------------------------------------------


def card_of(device: str) -> tuple[str, str | None]:
    """Return the name of the card and the version of its driver; of a CPU its name alone."""
    if device != "cuda":
        return "cpu", None
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=20)
        driver = done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = None
    return torch.cuda.get_device_name(), driver


def file_name(card: str) -> str:
    """Return the name of the files of a card.

    >>> file_name("NVIDIA H100 80GB HBM3")
    'nvidia_h100_80gb_hbm3'
    """
    return re.sub(r"[^a-z0-9]+", "_", card.lower()).strip("_")


def facts(device: str) -> dict[str, Any]:
    """Return card, driver, torch, commit and what else reproduces the numbers."""
    card, driver = card_of(device)
    found = environment(0)
    return {
        "card": card,
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "commit": found["commit"],
        "command": ["python", *sys.argv],
        "environment": found,
    }


def speeds(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of some comparisons: a row for each batch, ratios by setting; - where a side has none."""
    reference = results[0]["reference"]
    columns = list(dict.fromkeys(side for found in results for side in (*found["median"], *found["dropped"])))
    columns = [column for column in columns if column != reference]
    lines = [
        f"| model | batch | {reference}, s | " + " | ".join(columns) + " |",
        "| --- | --- | --- | " + " | ".join("---" for _ in columns) + " |",
    ]
    for found in results:
        cells = [f"{found['median'][c]:.3f}" if c in found["median"] else found["dropped"].get(c, "-") for c in columns]
        took = found["seconds"].get(reference)
        cells.insert(0, f"{statistics.median(took):.3g}" if took else found["dropped"].get(reference, "-"))
        lines.append(f"| {found['model']}, {found['size']} px | {found['batch']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def rates(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of images a second, and on a GPU of GiB on top of what the process holds between iterations."""
    lines = ["| model | batch | side | images a second | GiB |", "| --- | ---: | --- | ---: | ---: |"]
    for found in results:
        for side, times in found["seconds"].items():
            images = found["batch"] * UPDATES.get(found["model"], 1) / statistics.median(times)
            held = found["bytes"].get(side)
            memory = "-" if held is None else f"{held / 2**30:.2f}"
            lines.append(
                f"| {found['model']}, {found['size']} px | {found['batch']} | {side} | {images:.4g} | {memory} |"
            )
    return "\n".join(lines) + "\n"


def report(content: Mapping[str, Any]) -> str:
    """Return all tables in Markdown."""
    about = [f"{content['card']}, torch {content['torch']}, commit {content['commit']}"]
    about += [f"driver {content['driver']}"] if content["driver"] else []
    parts = [f"{', '.join(about)}. Ratios below 1 are faster.\n"]
    sections = content["sections"]
    compared = [found for section in sections.values() for found in as_list(section["results"])]
    references = dict.fromkeys(found["reference"] for found in compared)
    parts += [speeds([found for found in compared if found["reference"] == name]) for name in references]
    if compared:
        parts.append(rates(compared))
    if errors := sections.get("goldens", {}).get("results"):
        head = ["model", "outputs", "losses of the first update", "losses of all iterations", "within bounds"]
        parts.append(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n" + "".join(map(golden_row, errors.items())))
    if found := sections.get("switches", {}).get("results"):
        parts.append(switches(found))
    if found := sections.get("resumed", {}).get("results"):
        equal = f"{found['tensors'] - len(found['unlike'])} of {found['tensors']} tensors of a resumed run are equal"
        price = f" `trainer.deterministic=true` takes {found['price']:.3f} of the time." if "price" in found else ""
        parts.append(f"{equal} to the bit.{price}\n")
    if rows := (sections.get("scaling", {}).get("results") or {}).get("scaling"):
        parts.append("```text\n" + scaling.table(rows) + "\n```\n")
    for name, section in sections.items():
        if section["problem"]:
            parts.append(f"Section {name}: {section['problem']}.\n")
    spent = ", ".join(f"{name} {section['seconds']:.0f} s" for name, section in sections.items() if section["seconds"])
    parts += [f"Time: {spent}.\n"] if spent else []
    return "\n".join(parts)


def as_list(results: Any) -> list[dict[str, Any]]:
    """Return the comparisons of a section, [] of one that has none."""
    return results if isinstance(results, list) else []


def golden_row(item: tuple[str, Mapping[str, Any]]) -> str:
    """Return a row of the table of golden numbers."""
    name, found = item
    errors = " | ".join(f"{found['errors'][key]:.1e}" for key in ("outputs", "first", "later"))
    return f"| {name} | {errors} | {'yes' if found['equal'] else 'NO'} |\n"


def switches(found: Mapping[str, Any]) -> str:
    """Return the tables of fused norms and of graphs."""
    norms = ", ".join(f"{error:.1e} in {dtype}" for dtype, error in found["fused_norms"].items())
    rows = "".join(
        f"| {name} | {row['graphs']} | {row['losses']:.1e} | {row['unlike']} of {row['tensors']} |\n"
        for name, row in found["graphs"].items()
    )
    head = "| model | graphs captured | largest difference of a loss | tensors that differ in the end |\n"
    return (
        f"Fused norms: errors of at most {norms}, of the largest value. "
        f"All numbers of the switches are within bounds: {'yes' if found['equal'] else 'NO'}.\n\n"
        f"{head}| --- | --- | --- | --- |\n{rows}"
    )


def plot(content: Mapping[str, Any], path: Path) -> None:
    """Draw the images a second of each side, a panel for each model and batch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = [found for section in content["sections"].values() for found in as_list(section["results"])]
    results = [found for found in results if found["seconds"]]
    if not results:
        return
    heights = [len(found["seconds"]) for found in results]
    figure = Figure(figsize=(7.5, 0.28 * sum(heights) + 0.9 * len(results) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"images a second, {content['card']}, torch {content['torch']}", fontsize=10)
    panels = figure.subplots(len(results), 1, squeeze=False, height_ratios=[n + 1 for n in heights])[:, 0]
    for panel, found in zip(panels, results, strict=True):
        updates = UPDATES.get(found["model"], 1)
        names = list(found["seconds"])
        images = [found["batch"] * updates / statistics.median(times) for times in found["seconds"].values()]
        colours = ["tab:gray" if name.startswith("plain") else "tab:blue" for name in names]
        panel.bar_label(panel.barh(names, images, color=colours), fmt="%.3g", padding=3, fontsize=8)
        panel.invert_yaxis()
        panel.margins(x=0.12)
        panel.tick_params(labelsize=8)
        panel.set_title(f"{found['model']}, {found['size']} px, batch {found['batch']}", fontsize=9, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    with atomic_open(path, durable=False) as file:
        figure.savefig(file, format="png", dpi=120)


def write(content: Mapping[str, Any], folder: Path) -> None:
    """Write the JSON, the tables and the plot."""
    name = file_name(content["card"])
    atomic_write(folder / f"{name}.json", json.dumps(content, indent=2) + "\n")
    atomic_write(folder / f"{name}.md", report(content))
    plot(content, folder / f"{name}.png")


def limited(section: Section, seconds: float | None) -> Section:
    """Return a section with at most so many seconds; None: as it is."""
    if seconds is None:
        return section
    return replace(section, limit=seconds if section.limit is None else min(seconds, section.limit))


# --- sections in processes ----------------------------------------------------------------------------------


def in_process(section: Section, device: str, rounds: int) -> dict[str, Any]:
    """Measure a section in a process of its own; return its results, its seconds, and its problem or None."""
    began, problem = time.monotonic(), None
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place, "results.json")
        words = [sys.executable, __file__, device, place, "--section", section.name, "--rounds", str(rounds)]
        words += [] if section.limit is None else ["--limit", str(section.limit), "--began", str(began)]
        try:
            limit = None if section.limit is None else section.limit + GRACE
            code = subprocess.run(words, timeout=limit, check=False).returncode
            problem = None if code == 0 else f"its process ended with exit code {code}"
        except subprocess.TimeoutExpired:
            problem = f"killed {GRACE:.0f} s after its limit of {section.limit:.0f} s"
        results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
    return {"results": results, "seconds": time.monotonic() - began, "problem": problem}


def main() -> None:
    """Measure, print as it goes, and write after each section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", choices=list(PLANS))
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="sections; the results of others stay")
    parser.add_argument("--limit", type=float, help="seconds a section, at most")
    parser.add_argument("--began", type=float, help="with --section: when its limit began, by the system's clock")
    parser.add_argument("--section", help="measure this one in this process, into results.json")
    asked = parser.parse_args()
    sections = {section.name: limited(section, asked.limit) for section in PLANS[asked.device]}
    if unknown := [name for name in asked.only or () if name not in sections]:
        parser.error(f"--only: found {unknown[0]!r}, expected {', '.join(sections)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.section:

        def keep(results: Any) -> None:
            atomic_write(asked.folder / "results.json", json.dumps(results))

        measure(sections[asked.section], torch.device(asked.device), keep, asked.rounds, asked.began)
        return
    content = {**facts(asked.device), "sections": {}}
    path = asked.folder / f"{file_name(content['card'])}.json"
    if asked.only and path.exists():
        content["sections"] = json.loads(path.read_text(encoding="utf-8"))["sections"]
    for name in asked.only or sections:
        print(f"--- {name}", flush=True)
        content["sections"][name] = in_process(sections[name], asked.device, asked.rounds)
        write(content, asked.folder)
    print(report(content))


if __name__ == "__main__":
    main()
