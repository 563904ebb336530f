"""The scores of metric `local`, of a model or of real images: label accuracy, content kept, style followed."""

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from translate import signals
from translate.data.batches import HeldOut
from translate.data.module import DataModule
from translate.errors import UserError
from translate.evaluation.classifier_labels import known_factors, label_sets, label_table
from translate.evaluation.streaming import TranslatedModel
from translate.evaluation.streams import classifier_codes, classifier_references, classifier_training_rows
from translate.evaluation.tasks import TranslationTask, classifier_tasks
from translate.metrics.classifier import Local, distance, r2_score
from translate.metrics.distributions import neighbourhoods
from translate.metrics.protocols import Scores

TRAINING_BATCH = 64  # images of a batch on which the classifier trains
TRANSLATION_BATCH = 32  # sources that are translated at once; scores depend on it by rounding alone

LATENT, OTHER, REFERENCE = "latent", "other", "reference"
"""Modes of translation: by a code, by another code of the same task, by a reference."""

NEAREST = 5  # neighbours that define the ball around an image, for recall and coverage
REALS_PER_SOURCE = 4  # training images that are compared with each of `num_sources` translations


def fit_classifier(metric: Local, data: DataModule, device: torch.device) -> int:
    """Train the classifier of a metric on the training images; return the number of content factors."""
    num_images = len(data.images("train"))
    factors, num_content = known_factors(data, "train")
    labels = label_table(data, "train")

    def examples(batch: int) -> tuple[Tensor, Tensor, Tensor]:
        signals.check()
        images = data.rows("train", classifier_training_rows(batch, TRAINING_BATCH, num_images))
        return images.image, torch.from_numpy(labels[images.items]), torch.from_numpy(factors[images.items])

    metric.fit(examples, label_sets(data), factors.shape[1], device)
    return num_content


def require_sources(metric: Local, key: str, style_inputs: Collection[str], data: DataModule) -> None:
    """Raise UserError if a domain would have no image among the sources, which are the references too.

    ``key`` is that of the metric in the configuration, ``style_inputs`` are those of the model.
    """
    if "reference" in style_inputs and metric.num_sources < len(data.domains):
        raise UserError(
            key=f"{key}.num_sources",
            found=metric.num_sources,
            expected=f"at least {len(data.domains)}, an image of each domain",
        )


@torch.no_grad()
def scores_of_model(metric: Local, num_content: int, model: TranslatedModel, data: DataModule) -> Scores:
    """Return the scores of a model over all tasks, for each mode of translation."""
    factors, _ = known_factors(data, "val")
    columns: dict[str, list[Tensor]] = {}

    def add(name: str, value: Tensor) -> None:
        columns.setdefault(name, []).append(value.cpu())

    for task in classifier_tasks(data, metric.num_sources, model.only_target):
        assert task.expected is not None
        sources = data.rows("val", task.sources)
        add("content", torch.from_numpy(factors[sources.items, :num_content]))
        for mode, style_input in _style_inputs(model, task, sources).items():
            images = _translated(model, sources.image, task.targets, **style_input)
            predictions = metric.classify(images.to(model.device))
            correct = task.expected.labels.correct(predictions.logits.cpu(), task.expected.values)
            add(f"{mode} correct", correct[:, list(task.expected.columns)])
            add(f"{mode} content", predictions.factors[:, :num_content])
            add(f"{mode} style", predictions.factors[:, num_content:])
            add(f"{mode} images", images)
            if data.view == "paired" and sources.partner is not None:
                add("error", (images.clamp(-1, 1) - sources.partner).square().flatten(1).mean(1) / 4)
        if "reference" in model.style_inputs:
            order = classifier_references(sources.domain, task.targets, task.number)
            add("target style", torch.from_numpy(factors[sources.items[order], num_content:]))
    outputs = {name: torch.cat(values) for name, values in columns.items()}
    scores = _scores(outputs, num_content, _accuracy_name(data))
    real = metric.embed(_training_images(data, REALS_PER_SOURCE * metric.num_sources))
    for mode in [name.removesuffix(" images") for name in outputs if name.endswith(" images")]:
        if mode != OTHER:
            images = evenly(outputs[f"{mode} images"], metric.num_sources)
            scores |= {
                f"{name}, {mode}" if mode else name: value for name, value in variety(metric, images, real).items()
            }
    return scores


def variety(metric: Local, images: Tensor, real: Tensor) -> Scores:
    """Return recall and coverage of real images, given by their features (k, 128), by images (n, 3, S, S).

    Both are computed on the features of the classifier, over all domains together.
    """
    if min(len(images), len(real)) <= NEAREST:
        return {}
    scores = neighbourhoods(metric.embed(images), real, NEAREST)
    return {f"{name} of real images": scores[name] for name in ("recall", "coverage")}


def evenly(images: Tensor, count: int) -> Tensor:
    """Return at most ``count`` of some images, evenly spaced."""
    return images[torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()]


def _training_images(data: DataModule, count: int) -> Tensor:
    """Return at most ``count`` training images, evenly spaced, and so of all domains."""
    total = len(data.images("train"))
    return data.rows("train", np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)).image


def _scores(columns: dict[str, Tensor], num_content: int, accuracy: str) -> Scores:
    """Return the scores of what was predicted for all translations, by name and mode."""
    scores: Scores = {}
    modes = [name.removesuffix(" correct") for name in columns if name.endswith(" correct")]
    for mode in modes:
        if mode == OTHER:
            continue
        suffix = f", {mode}" if mode else ""
        scores[f"{accuracy}{suffix}"] = columns[f"{mode} correct"].double().mean().item()
        if num_content:
            scores[f"content kept (R2){suffix}"] = r2_score(columns[f"{mode} content"], columns["content"])
    if "other images" in columns:
        difference = (columns["latent images"] - columns["other images"]).abs().mean().item()
        scores["distance between codes, pixels"] = difference
        if num_content:
            scores["distance between codes, style"] = distance(columns["latent style"], columns["other style"])
    if "target style" in columns and num_content:
        scores["style followed (R2), reference"] = r2_score(columns["reference style"], columns["target style"])
    if "error" in columns:
        scores["PSNR to the partner, dB"] = -10 * columns["error"].clamp(min=1e-10).log10().mean().item()
    return scores


@torch.no_grad()
def scores_of_real_images(metric: Local, num_content: int, data: DataModule, device: torch.device) -> Scores:
    """Return the same scores of held-out real images: the accuracy of the classifier, and the spread of real images."""
    held_out = data.held_out(4 * metric.num_sources)
    factors, _ = known_factors(data, "val")
    predictions = metric.classify(held_out.image.to(device))
    labels = torch.from_numpy(label_table(data, "val")[held_out.items])
    correct = []
    for label_set in label_sets(data):
        known = ~labels[:, label_set.start].isnan()
        correct.append(label_set.correct(predictions.logits.cpu()[known], labels[known]).double().mean())
    other = torch.roll(torch.arange(len(held_out.image)), max(1, len(data.domains)))  # an image of the same domain
    suffixes = ("", f", {LATENT}", f", {REFERENCE}")
    accuracy = torch.stack(correct).mean().item()
    scores = dict.fromkeys((f"{_accuracy_name(data)}{suffix}" for suffix in suffixes), accuracy)
    real = metric.embed(_training_images(data, REALS_PER_SOURCE * metric.num_sources))
    for name, value in variety(metric, evenly(held_out.image, metric.num_sources), real).items():
        scores |= dict.fromkeys((f"{name}{suffix}" for suffix in suffixes), value)
    scores["distance between codes, pixels"] = (held_out.image - held_out.image[other]).abs().mean().item()
    if num_content:
        targets = torch.from_numpy(factors[held_out.items])
        content = r2_score(predictions.factors[:, :num_content].cpu(), targets[:, :num_content])
        style = predictions.factors[:, num_content:].cpu()
        scores |= dict.fromkeys((f"content kept (R2){suffix}" for suffix in suffixes), content)
        scores["distance between codes, style"] = distance(style, style[other])
        scores["style followed (R2), reference"] = r2_score(style, targets[:, num_content:])
    return scores


def _accuracy_name(data: DataModule) -> str:
    attributes = any(labels.kind == "attributes" for labels in label_sets(data))
    return "label accuracy" if attributes else "domain accuracy"


def _style_inputs(model: TranslatedModel, task: TranslationTask, sources: HeldOut) -> dict[str, dict[str, Tensor]]:
    """Return the keyword arguments of `translate` by mode; one empty mode for a model without style inputs."""
    modes: dict[str, dict[str, Tensor]] = {}
    if "code" in model.style_inputs:
        codes = classifier_codes(task.number, len(task.targets), model.latent_size, (LATENT, OTHER))
        modes = {mode: {"code": code} for mode, code in codes.items()}
    if "reference" in model.style_inputs:
        order = classifier_references(sources.domain, task.targets, task.number)
        modes[REFERENCE] = {"reference": sources.image[order]}
    return modes or {"": {}}


def _translated(model: TranslatedModel, x: Tensor, target: Tensor, **style_input: Tensor) -> Tensor:
    """Return the translations on the CPU, made in batches on the model's device."""
    outputs = []
    for rows in np.array_split(np.arange(len(x)), range(TRANSLATION_BATCH, len(x), TRANSLATION_BATCH)):
        signals.check()
        batch = {name: value[rows].to(model.device) for name, value in style_input.items()}
        outputs.append(model.translate(x[rows].to(model.device), target[rows].to(model.device), **batch).float().cpu())
    return torch.cat(outputs)
