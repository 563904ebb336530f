"""The request of an evaluation: all that its scores depend on. A result of an equal request is read from its file."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from translate.data.module import DataModule
from translate.evaluation import pretrained
from translate.evaluation.feature_networks import FeatureNetworks
from translate.evaluation.specs import MetricSpec
from translate.models.base import TranslationModel
from translate.runs.scores import Request

PATH_ARGUMENTS = ("weights", "linear")
"""Arguments of metrics that are paths; a request holds the SHA-256 of the files instead."""


def request_of(
    protocol: str,
    specs: Sequence[MetricSpec],
    model: TranslationModel,
    data: DataModule,
    paths: Mapping[str, Path],
    networks: FeatureNetworks,
    seed: int,
) -> Request:
    """Return the request of a model's scores by the metrics of a protocol, whose weights are in ``paths``."""
    parts = {"train": data.train, "val": data.val}
    files = [paths[spec.label] for spec in specs if spec.label in paths]
    files += [Path(spec.arguments["linear"]).expanduser() for spec in specs if spec.arguments.get("linear")]
    return Request(
        protocol=protocol,
        iteration=model.iteration,
        networks="ema" if model.ema.networks else "trained",
        model=digest_of_networks(model),
        seed=seed,
        metrics={spec.name: _settings(spec, networks) for spec in specs},
        weights={path.name: pretrained.digest_of(path) for path in files},
        data={
            "image_size": data.image_size.plain,
            **{k: {"images": len(part), "fingerprint": part.fingerprint()} for k, part in parts.items()},
        },
    )


def _settings(spec: MetricSpec, networks: FeatureNetworks) -> dict[str, Any]:
    """Return the arguments of a metric; for features of the classifier also the settings of its training."""
    settings = {key: value for key, value in spec.arguments.items() if key not in PATH_ARGUMENTS}
    if spec.reads_features and spec.file is None and spec.extractor is None:
        local = networks.local()
        settings["classifier"] = {"num_iterations": local.num_iterations, "learning_rate": local.learning_rate}
    return settings


def digest_of_networks(model: TranslationModel) -> str:
    """Return a digest of the networks that translate, equal on every device."""
    digest = hashlib.sha256()
    for role, network in sorted(model.inference_networks().items()):
        for name, tensor in network.state_dict().items():
            digest.update(f"{role}.{name}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
