"""Measure a trained model on held-out images and write metrics.json."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.batches import HeldOut
from translate.data.labels import changed, conditions
from translate.data.module import DataModule
from translate.data.philox import integers, uniform
from translate.files import atomic_write
from translate.metrics.classifier import JudgedSet, Local, distance, explained
from translate.models.base import TranslationModel
from translate.runs.environment import environment
from translate.runs.folder import RunFolder

log = logging.getLogger("translate")

Figures = dict[str, float]
JUDGE_BATCH = 64


def known_factors(data: DataModule, part: str) -> tuple[np.ndarray, int]:
    """Return the factors (N, F) that a data set knows of its items, content first, and the number of content factors.

    They are in units of their standard deviation over the training part. Without any, F is 0.
    """
    dataset, train = (getattr(data, which) for which in (part, "train"))
    if dataset.content is None:
        return np.zeros((len(dataset), 0), np.float32), 0
    table, reference = (np.concatenate([d.content, d.style], axis=1) for d in (dataset, train))
    scaled = (table - reference.mean(0)) / reference.std(0)
    return scaled.astype(np.float32), dataset.content.shape[1]


@dataclass(frozen=True)
class Task:
    """Held-out images and what they shall become."""

    sources: HeldOut
    target: Tensor  # what `translate` takes: domains (n,) or labels (n, K)
    wanted: Tensor  # (n, K) the labels that the judge should read
    judged: JudgedSet
    columns: tuple[int, ...]  # of `JudgedSet.right`: the labels that were changed


def judged_sets(data: DataModule) -> list[JudgedSet]:
    """Return what the judge learns: the labels of StarGAN v1's view, else the domains."""
    if data.view != "labelled":
        return [JudgedSet("classes", 0, len(data.domains))]
    sets, start = [], 0
    for labels in data.label_sets("train"):
        sets.append(JudgedSet(labels.kind, start, start + len(labels.names)))
        start = sets[-1].stop
    return sets


def judged_labels(data: DataModule, part: str) -> np.ndarray:
    """Return the labels of all items (N, K) that the judge learns: 0, 1, or NaN where another data set's."""
    if data.view != "labelled":
        dataset = data.train if part == "train" else data.val
        assert dataset.domain is not None
        return np.eye(len(data.domains), dtype=np.float32)[dataset.domain]
    sets, table = judged_sets(data), data.label_table(part)
    values = table[:, : sets[-1].stop].copy()
    if len(sets) > 1:
        for number, judged in enumerate(sets):
            values[table[:, sets[-1].stop + number] == 0, judged.start : judged.stop] = np.nan
    return values


def fit_judge(metric: Local, data: DataModule, device: torch.device) -> int:
    """Train the judge of a metric on the training images; returns the number of content factors."""
    pictures = data.images("train")
    factors, num_content = known_factors(data, "train")
    labels = judged_labels(data, "train")

    def examples(k: int) -> tuple[Tensor, Tensor, Tensor]:
        positions = np.arange(k * JUDGE_BATCH, (k + 1) * JUDGE_BATCH)
        held = data.rows("train", integers(0, 0, positions, len(pictures)))
        return held.image, torch.from_numpy(labels[held.items]), torch.from_numpy(factors[held.items])

    metric.fit(examples, judged_sets(data), factors.shape[1], device)
    return num_content


def tasks(data: DataModule, num_sources: int) -> list[Task]:
    """Return what is asked of a model: every source to every other domain, or with every attribute changed."""
    sources = data.held_out(num_sources)
    if data.view == "paired":
        sources = _chosen(sources, sources.domain == 0)  # the model goes from the first domain to the second
    sets = judged_sets(data)
    widths = [judged.stop - judged.start for judged in sets]
    found = []
    for number, (judged, count) in enumerate(zip(sets, widths, strict=True)):
        labels = sources.label[:, judged.start : judged.stop]
        mine = sources.label[:, sets[-1].stop + number] == 1 if len(sets) > 1 else sources.domain >= 0
        if judged.kind == "classes":
            some = torch.arange(len(mine)) % count  # an image of another data set has no class in this one
            here = torch.where(mine, labels.argmax(1), some) if len(sets) > 1 else sources.domain
            for shift in range(1, count):
                kind = (here + shift) % count
                told = conditions(F.one_hot(kind, count).float(), number, widths)
                target = kind if len(sets) == 1 else told
                found.append(Task(sources, target, told[:, : sets[-1].stop], judged, (0,)))
        else:
            own, names = _chosen(sources, mine), data.label_sets("val")[number].names
            for column in range(count):
                target = conditions(changed(labels[mine], column, names), number, widths)
                found.append(Task(own, target, target[:, : sets[-1].stop], judged, (column,)))
    return found


def _chosen(held_out: HeldOut, rows: Tensor) -> HeldOut:
    partner = None if held_out.partner is None else held_out.partner[rows]
    return HeldOut(
        held_out.image[rows], held_out.domain[rows], held_out.label[rows], partner, held_out.items[rows.numpy()]
    )


@torch.no_grad()
def measure(metric: Local, num_content: int, model: TranslationModel, data: DataModule) -> Figures:
    """Return figures of a model over all tasks, for each of its guides."""
    factors, _ = known_factors(data, "val")
    collected: dict[str, list[Tensor]] = {}

    def collect(name: str, value: Tensor) -> None:
        collected.setdefault(name, []).append(value.cpu())

    for number, task in enumerate(tasks(data, metric.num_sources)):
        sources = task.sources
        collect("content", torch.from_numpy(factors[sources.items, :num_content]))
        for mode, guide in _guides(model, task, number).items():
            images = _translated(model, sources.image, task.target, **guide)
            verdict = metric.read(images.to(model.device))
            collect(f"{mode} right", task.judged.right(verdict.logits.cpu(), task.wanted)[:, list(task.columns)])
            collect(f"{mode} content", verdict.factors[:, :num_content])
            collect(f"{mode} style", verdict.factors[:, num_content:])
            if mode in ("latent", "other"):
                collect(f"{mode} images", images)
            if data.view == "paired" and sources.partner is not None:
                collect("error", (images.clamp(-1, 1) - sources.partner).square().flatten(1).mean(1) / 4)
        if "reference" in model.style_inputs:
            order = _partners(sources.domain, task.target, number + 1)
            collect("wanted style", torch.from_numpy(factors[sources.items[order], num_content:]))
    found = {name: torch.cat(values) for name, values in collected.items()}
    figures: Figures = {}
    for mode in [name.removesuffix(" right") for name in found if name.endswith(" right") and name != "other right"]:
        suffix = f", {mode}" if mode else ""
        figures[f"{_followed(data)}{suffix}"] = found[f"{mode} right"].double().mean().item()
        if num_content:
            figures[f"content kept (R2){suffix}"] = explained(found[f"{mode} content"], found["content"])
    if "other images" in found:
        figures["distance between codes, pixels"] = (found["latent images"] - found["other images"]).abs().mean().item()
        if num_content:
            figures["distance between codes, style"] = distance(found["latent style"], found["other style"])
    if "wanted style" in found and num_content:
        figures["style followed (R2), reference"] = explained(found["reference style"], found["wanted style"])
    if "error" in found:
        figures["PSNR to the partner, dB"] = -10 * found["error"].clamp(min=1e-10).log10().mean().item()
    return figures


def _followed(data: DataModule) -> str:
    attributes = any(judged.kind == "attributes" for judged in judged_sets(data))
    return "label accuracy" if attributes else "domain accuracy"


def _guides(model: TranslationModel, task: Task, number: int) -> dict[str, dict[str, Tensor]]:
    """Return how a task is done, by mode: guided by either of two codes, by references, or by the target alone."""
    modes: dict[str, dict[str, Tensor]] = {}
    if "code" in model.style_inputs:
        generator = torch.Generator().manual_seed(number + 1)
        for mode in ("latent", "other"):
            modes[mode] = {"code": torch.randn(len(task.target), model.latent_size, generator=generator)}
    if "reference" in model.style_inputs:
        order = _partners(task.sources.domain, task.target, number + 1)
        modes["reference"] = {"reference": task.sources.image[order]}
    return modes or {"": {}}


@torch.no_grad()
def measure_real(metric: Local, num_content: int, data: DataModule, device: torch.device) -> Figures:
    """Return the same figures of held-out real images: how well the judge sees, and how far real images differ."""
    held = data.held_out(4 * metric.num_sources)
    factors, _ = known_factors(data, "val")
    read = metric.read(held.image.to(device))
    labels = torch.from_numpy(judged_labels(data, "val")[held.items])
    right = []
    for judged in judged_sets(data):
        known = ~labels[:, judged.start].isnan()
        right.append(judged.right(read.logits.cpu()[known], labels[known]).double().mean())
    other = torch.roll(torch.arange(len(held.image)), max(1, len(data.domains)))  # another image of the same domain
    figures = dict.fromkeys(
        (f"{_followed(data)}{suffix}" for suffix in ("", ", latent", ", reference")), torch.stack(right).mean().item()
    )
    figures["distance between codes, pixels"] = (held.image - held.image[other]).abs().mean().item()
    if num_content:
        content = explained(read.factors[:, :num_content].cpu(), torch.from_numpy(factors[held.items, :num_content]))
        style = read.factors[:, num_content:].cpu()
        figures |= dict.fromkeys((f"content kept (R2){s}" for s in ("", ", latent", ", reference")), content)
        figures["distance between codes, style"] = distance(style, style[other])
        wanted = torch.from_numpy(factors[held.items, num_content:])
        figures["style followed (R2), reference"] = explained(style, wanted)
    return figures


def _translated(model: TranslationModel, x: Tensor, target: Tensor, **guide: Tensor) -> Tensor:
    parts = []
    for rows in torch.arange(len(x)).split(32):
        chosen = {name: value[rows].to(model.device) for name, value in guide.items()}
        parts.append(model.translate(x[rows].to(model.device), target[rows].to(model.device), **chosen).float().cpu())
    return torch.cat(parts)


def _partners(domain: Tensor, target: Tensor, stream: int) -> np.ndarray:
    """Return for each source a row of its target domain, by a fixed draw."""
    labels = domain.numpy()
    chance = uniform(0, 1000 + stream, np.arange(len(labels)), 1)[:, 0]
    members = [np.flatnonzero(labels == d) for d in range(int(labels.max()) + 1)]
    return np.array([members[t][int(c * len(members[t]))] for t, c in zip(target.tolist(), chance, strict=True)])


def evaluate(
    metric: Local, model: TranslationModel, untrained: TranslationModel, data: DataModule
) -> dict[str, Figures]:
    """Return the figures of a model's averaged networks, of an untrained one, and of real images."""
    return columns(metric, fit_judge(metric, data, model.device), model, untrained, data)


def columns(
    metric: Local, num_content: int, model: TranslationModel, untrained: TranslationModel, data: DataModule
) -> dict[str, Figures]:
    """Do what `evaluate` does with a judge that is trained already."""
    return {
        "trained": measure(metric, num_content, model, data),
        "untrained": measure(metric, num_content, untrained.to(model.device), data),
        "real images": measure_real(metric, num_content, data, model.device),
    }


def table(columns: Mapping[str, Figures]) -> str:
    """Return figures as a plain table, a column for each kind."""
    names = list(next(iter(columns.values())))
    width = max(map(len, names))
    lines = [" " * width + "".join(f"{column:>13}" for column in columns)]
    for name in names:
        cells = (f"{column[name]:13.3f}" if name in column else f"{'-':>13}" for column in columns.values())
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)


def write(place: RunFolder, columns: Mapping[str, Figures], protocol: str, model: Any, seed: int) -> None:
    """Write figures with what they need to be compared or made again."""
    found = {
        "protocol": protocol,
        "iteration": model.iteration,
        "networks": "averaged" if model.ema.networks else "trained",
        "figures": columns,
        "environment": environment(seed),
    }
    atomic_write(place.path / "metrics.json", json.dumps(found, indent=2) + "\n")
