"""Numbers outside of what can be meant are refused, each in one sentence."""

import re
from typing import Any

import pytest

from translate.config.compose import load
from translate.config.ranges import DEEPEST, LARGEST, LARGEST_SIZE, LARGEST_WEIGHT, range_of
from translate.errors import ConfigError, UserError
from translate.registry.registry import DATASETS, LOSSES, METRICS, MODELS, NETWORKS, Registry
from translate.sweeps.launchers import Processes

BETAS = "model.optimizers.generator.betas"
LR = "model.optimizers.generator.lr"
SCHEDULE = "{schedule: linear, start: %s, end: 0.0, iterations: 5}"

REFUSED = {
    "model.ema_decay": (("-1", "1", "1.5", "nan", "1e30", "inf"), "at least 0 and below 1, or null"),
    LR: (("-1", SCHEDULE % "-1", "{schedule: constant, value: -1}"), "at least 0"),
    "model.optimizers.discriminator.lr": (("1e30", SCHEDULE % "1e30"), "at most 1e+20"),
    "model.optimizers.mapping.lr": (
        ("{schedule: step, start: 1, factor: -1, every: 5}",),
        "at least 0 and at most 100",
    ),
    BETAS: (("[-1,0.9]", "[0.5,1]", "[0.5,1.5]", "[0.5,1e30]"), "at least 0 and below 1"),
    "model.optimizers.generator.weight_decay": (("-1", "1e30"), "at least 0 and at most 100"),
    "model.gradient_clip": (("-1", "0"), "above 0, or null"),
    "model.weights.generator.cycle": (("1e30",), f"at most {LARGEST_WEIGHT:,}"),
    "model.latent_size": (("-1", "0"), "at least 1"),
    "model.r1_every": (("-1", "0"), "at least 1"),
    "model.networks.generator.base_width": (("-1", "0"), "at least 1"),
    "model.networks.generator.max_width": (("1e9",), f"at most {LARGEST_SIZE:,}"),
    "model.networks.generator.w_hpf": (("-1",), "at least 0"),
    "model.networks.generator.num_bottleneck": (("-1", "1e9"), f"at least 0 and at most {DEEPEST:,}"),
    "metrics.local.num_sources": (("-1", "0"), "at least 1"),
    "metrics.local.num_iterations": (("-1", "0"), "at least 1"),
    "metrics.grain.num_sources": (("1e30",), f"at most {LARGEST:,}"),
    "+metrics.local.learning_rate": (("-1", "0"), "above 0"),
    "data.num_images": (("-1", "0"), "at least 1"),
    "data.world_seed": (("-1",), "at least 0"),
    "iterations": (("1e30", "2000000000"), f"at most {LARGEST:,}"),
    "data.num_workers": (("1e9",), "at most 1,024"),
    "data.batch_size": (("1e30",), f"at most {LARGEST:,}"),
    "log_every": (("1.5",), "a whole number"),
    "sample_every": (("1.5", "nan"), "a whole number or 'doubling' or null"),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (values, _) in REFUSED.items() for value in values])
def test_a_number_out_of_its_range_has_a_sentence(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([f"{key}={value}"], scan=False)
    (sentence,) = (str(problem) for problem in caught.value.problems if problem.key.startswith(key.lstrip("+")))
    finite = value in ("nan", "inf") and not REFUSED[key][1].startswith("a whole")
    assert sentence.endswith("expected a finite number" if finite else f"expected {REFUSED[key][1]}")


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("key", [BETAS, "model.gradient_clip", "trainer.hang_timeout"])
def test_numbers_are_finite(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([f"{key}=[{value},0.9]" if key == BETAS else f"{key}={value}"], scan=False)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert "finite number" in str(problem)


@pytest.mark.parametrize("registry", [DATASETS, LOSSES, METRICS, MODELS, NETWORKS], ids=lambda r: r.kind)
def test_every_number_that_a_part_takes_has_a_range(registry: Registry) -> None:
    """A plug-in's own names have none; a name of ours that is missing belongs into `ranges.ARGUMENTS`."""
    numbers = {
        parameter.name
        for entry in registry.index().values()
        for parameter in entry.parameters
        if re.search(r"\b(int|float)\b", parameter.annotation or "")
    }
    assert sorted(name for name in numbers if range_of(name) is None) == []


@pytest.mark.parametrize("number", [-3, 0, 1.5, True, 10**30])
def test_jobs_at_once_are_a_count(number: Any) -> None:
    with pytest.raises(UserError, match=r"hydra\.launcher\.n_jobs: found .*, expected a whole number, at least 1"):
        Processes(number).execute([])


GOOD = (
    LR + "=0",
    f"{BETAS}=[0.0,0.99]",
    "model.ema_decay=0",
    "model.weights.generator.cycle=-1",
    "sample_every=doubling",
)


@pytest.mark.parametrize("override", GOOD)
def test_numbers_at_the_ends_are_taken(override: str) -> None:
    load([override], scan=False)
