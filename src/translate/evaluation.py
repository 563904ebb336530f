"""Measure a trained model on held-out images and write metrics.json."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.artifacts import RunFolder, environment, write_text
from translate.data.counter import integers, uniform
from translate.data.module import DataModule
from translate.data.transforms import to_float
from translate.metrics.local import Local, accuracy, distance, explained
from translate.models.base import TranslationModel

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


def fit_judge(metric: Local, data: DataModule, device: torch.device) -> int:
    """Train the judge of a metric on the training images; returns the number of content factors."""
    pictures = data.pictures("train")
    factors, num_content = known_factors(data, "train")
    assert data.train.domain is not None
    labels = data.train.domain

    def examples(k: int) -> tuple[Tensor, Tensor, Tensor]:
        positions = np.arange(k * JUDGE_BATCH, (k + 1) * JUDGE_BATCH)
        rows = integers(0, 0, positions, len(pictures))
        items = pictures.indices[rows]
        images = to_float(torch.from_numpy(pictures.take(rows)))
        if images.shape[2] != data.image_size:
            images = torch.nn.functional.interpolate(images, size=data.image_size, mode="bilinear", antialias=True)
        return images, torch.from_numpy(labels[items]), torch.from_numpy(factors[items])

    metric.fit(examples, len(data.domains), factors.shape[1], device)
    return num_content


@torch.no_grad()
def measure(metric: Local, num_content: int, model: TranslationModel, data: DataModule) -> Figures:
    """Return figures of a model: every source to every other domain, by latent codes and by references."""
    device = model.device
    sources, domain, items = data.held_out(metric.num_sources)
    factors, _ = known_factors(data, "val")
    figures: Figures = {}
    collected: dict[str, list[Tensor]] = {}
    num_domains = len(data.domains)
    for shift in range(1, num_domains):
        target = (domain + shift) % num_domains
        order = _partners(domain, target, shift)
        wanted = {
            "target": target,
            "content": torch.from_numpy(factors[items, :num_content]),
            "style": torch.from_numpy(factors[items[order], num_content:]),
        }
        generator = torch.Generator().manual_seed(shift)
        codes = [torch.randn(len(sources), getattr(model, "latent_size", 1), generator=generator) for _ in range(2)]
        results = {
            "latent": _translated(model, sources, target, device, code=codes[0]),
            "other": _translated(model, sources, target, device, code=codes[1]),
            "reference": _translated(model, sources, target, device, reference=sources[order]),
        }
        for name, value in (results | wanted).items():
            collected.setdefault(name, []).append(value)
    found = {name: torch.cat(values) for name, values in collected.items()}
    read = {mode: metric.read(found[mode].to(device)) for mode in ("latent", "other", "reference")}
    for mode in ("latent", "reference"):
        figures[f"domain accuracy, {mode}"] = accuracy(read[mode].domain.cpu(), found["target"])
        if num_content:
            kept = read[mode].factors[:, :num_content].cpu()
            figures[f"content kept (R2), {mode}"] = explained(kept, found["content"])
    figures["distance between codes, pixels"] = (found["latent"] - found["other"]).abs().mean().item()
    if num_content:
        styles = {mode: verdict.factors[:, num_content:].cpu() for mode, verdict in read.items()}
        figures["distance between codes, style"] = distance(styles["latent"], styles["other"])
        figures["style followed (R2), reference"] = explained(styles["reference"], found["style"])
    return figures


@torch.no_grad()
def measure_real(metric: Local, num_content: int, data: DataModule, device: torch.device) -> Figures:
    """Return the same figures of held-out real images: how well the judge sees, and how far real images differ."""
    images, domain, items = data.held_out(4 * metric.num_sources)
    factors, _ = known_factors(data, "val")
    read = metric.read(images.to(device))
    other = torch.roll(torch.arange(len(images)), len(data.domains))  # another image of the same domain
    seen = accuracy(read.domain.cpu(), domain)
    figures = {"domain accuracy, latent": seen, "domain accuracy, reference": seen}
    figures["distance between codes, pixels"] = (images - images[other]).abs().mean().item()
    if num_content:
        content = explained(read.factors[:, :num_content].cpu(), torch.from_numpy(factors[items, :num_content]))
        style = read.factors[:, num_content:].cpu()
        figures["content kept (R2), latent"] = figures["content kept (R2), reference"] = content
        figures["distance between codes, style"] = distance(style, style[other])
        figures["style followed (R2), reference"] = explained(style, torch.from_numpy(factors[items, num_content:]))
    return figures


def _translated(model: TranslationModel, x: Tensor, target: Tensor, device: torch.device, **guide: Tensor) -> Tensor:
    parts = []
    for rows in torch.arange(len(x)).split(32):
        chosen = {name: value[rows].to(device) for name, value in guide.items()}
        parts.append(model.translate(x[rows].to(device), target[rows].to(device), **chosen).float().cpu())
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
    device = model.device
    num_content = fit_judge(metric, data, device)
    return {
        "trained": measure(metric, num_content, model, data),
        "untrained": measure(metric, num_content, untrained.to(device), data),
        "real images": measure_real(metric, num_content, data, device),
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
        "networks": "averaged",
        "figures": columns,
        "environment": environment(seed),
    }
    write_text(place.path / "metrics.json", json.dumps(found, indent=2) + "\n")
