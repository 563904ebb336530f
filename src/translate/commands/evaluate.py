"""The command `evaluate`: score a checkpoint of a run by metrics."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.commands.arguments import Command, arg, overrides
from translate.commands.completion import checkpoints as checkpoints_of
from translate.commands.completion import run_folders
from translate.console import setup_logging
from translate.errors import ConfigError, Problem, UserError
from translate.runs.folder import RunFolder

if TYPE_CHECKING:
    from translate.runs.scores import Result

CONFIG_NAME = "evaluate"
"""The root of the configuration of metrics."""

log = logging.getLogger("translate")


def default_cache() -> Path:
    """Return the folder where weights and reference statistics are kept by default."""
    return Path(os.environ.get("TRANSLATE_CACHE", "~/.cache/translate")).expanduser()


@dataclass(frozen=True)
class Arguments:
    """The run, its checkpoint, and the settings of the evaluation."""

    run: Path | None = arg(None, metavar="RUN_FOLDER", help="the run to evaluate", values=run_folders)
    weights: Path | None = arg(
        None,
        metavar="RUN_FOLDER",
        help="the same as run; other weights have no data to be scored on: import them to a run first",
        values=run_folders,
    )
    checkpoint: str = arg("last", metavar="last|best|N", help="the checkpoint", values=checkpoints_of)
    batch_size: int = arg(32, metavar="N", minimum=1, help="images per batch, in each process")
    seed: int = arg(0, metavar="N", minimum=0, help="seed of latent codes, references and samples")
    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="the device of the networks")
    root: str | None = arg(None, metavar="FOLDER", help="folder of the data, if it was moved after training")
    cache: Path | None = arg(
        metavar="FOLDER",
        help="folder of weights and reference statistics; null: store no statistics",
        factory=default_cache,
    )
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="further packages that are not installed")
    overrides: tuple[str, ...] = overrides(
        "metrics and their arguments: metrics=[clean,local], metrics.kid_clean.subset_size=500; "
        "'~metrics.prdc_clean' removes a metric; the command 'list metrics' lists all",
        keys=("metrics",),
    )


def run_of(arguments: Arguments) -> Path:
    """Return the run folder; UserError for none, two, and for weights without a run."""
    if (arguments.run is None) == (arguments.weights is None):
        raise UserError("this argument is missing", key="run", expected="run=RUN_FOLDER")
    run = arguments.run or arguments.weights
    assert run is not None
    if arguments.weights is not None and not RunFolder(run).is_run():
        raise UserError(
            "scores need the data of a run",
            key="weights",
            found=str(run),
            expected="a run folder",
            fix=f"python -m translate import weights={run} to=RUN_FOLDER data=NAME data.root=FOLDER",
        )
    return run


def metrics_of(arguments: Arguments) -> dict[str, Any]:
    """Return the checked metrics, label -> {name: key of METRICS, its arguments}; ConfigError with all problems.

    Without any on the command line they are `local`, or `accuracy` for a model that predicts labels.
    """
    from translate.config.check import check_metrics
    from translate.config.compose import compose, plain
    from translate.config.rules import metrics_suit_model, predicts_labels

    problems: list[Any] = []
    model = _model_of(run_of(arguments))
    chosen = any(word.lstrip("+").startswith("metrics=") for word in arguments.overrides)
    default = [] if chosen or not predicts_labels(model) else ["metrics=accuracy"]
    tree = compose([*default, *arguments.overrides], CONFIG_NAME, problems=problems)
    metrics: dict[str, Any] = {}
    if tree is not None:
        metrics = plain(tree, problems).get("metrics") or {}
        check_metrics(metrics, problems)
        problems.extend(metrics_suit_model({"model": model, "metrics": metrics}))
        if not metrics and not problems:
            problems.append(Problem("no metric is chosen", key="metrics", fix="metrics=local, or another of the group"))
    if problems:
        raise ConfigError(problems)
    return metrics


def _model_of(run: Path) -> dict[str, Any]:
    """Return the model of a run's configuration; {} for a folder that is no run, which is reported later."""
    from translate.config.schema import read_yaml

    folder = RunFolder(run)
    return dict(read_yaml(folder.config_file).get("model") or {}) if folder.is_run() else {}


def _activate_plugins(arguments: Arguments) -> None:
    """Activate the plug-ins of the run and of the command line: their metrics and configuration take part."""
    from translate.config.schema import read_yaml
    from translate.registry import plugins

    plugins.activate(arguments.plugins)
    if RunFolder(run_of(arguments)).is_run():
        plugins.activate(read_yaml(RunFolder(run_of(arguments)).config_file).get("plugins") or [])


def run(arguments: Arguments) -> int:
    """Evaluate, and print the scores of each protocol as soon as they exist; return 0."""
    for result, place, is_first in _results(arguments):
        if is_first:
            from translate.evaluation import results

            print(f"\n{results.table(result)}\n{place}")
    return 0


def results_of(arguments: Arguments) -> "list[Result]":
    """Evaluate; return the result of each protocol."""
    return [result for result, _, _ in _results(arguments)]


def _results(arguments: Arguments) -> "Iterator[tuple[Result, Path, bool]]":
    """Yield the result of each protocol as soon as it exists, its file, and whether this process is the first."""
    _activate_plugins(arguments)
    metrics = metrics_of(arguments)
    name, path = RunFolder(run_of(arguments)).require_run().choose(arguments.checkpoint)
    with _processes(arguments.device) as device:
        from translate.evaluation.processes import all_processes

        processes = all_processes()
        setup_logging(verbose=processes.is_first)
        for result, place in _measure(arguments, metrics, name, path, device, processes):
            yield result, place, processes.is_first


def _measure(
    arguments: Arguments, metrics: dict[str, Any], name: str, path: Path, device: Any, processes: Any
) -> "Iterator[tuple[Result, Path]]":
    """Yield the result of each protocol as soon as it exists, and its file."""
    from translate.config.check import check
    from translate.evaluation.evaluator import EvaluatedModel, Evaluator
    from translate.runs import checkpoints, scores
    from translate.training import build

    checkpoint = checkpoints.read(path)
    made = check(_moved(checkpoint.config, arguments.root))
    made = replace(made, trainer=replace(made.trainer, devices=1, num_nodes=1))  # one process has one whole model
    data = build.build_data(made)
    model = build.build_model(made)
    with checkpoints.explain_mismatch(str(path)):
        checkpoints.restore_networks(model, checkpoint)
    model.iteration = checkpoint.iteration
    model.to(device)
    evaluator = Evaluator(metrics, data, arguments.cache, device, processes, arguments.batch_size, arguments.seed)
    log.info("%s, iteration %d of %s, on %s", made.model.name, checkpoint.iteration, run_of(arguments), device)
    evaluated = EvaluatedModel(model, name, run_of(arguments), untrained=lambda: build.build_model(made))
    for protocol in evaluator.protocols:
        found = evaluator.evaluate(protocol, evaluated)
        assert found is not None  # nobody stops it
        yield found, scores.path_of(run_of(arguments), protocol, name, arguments.seed)


def _moved(tree: Mapping[str, Any], root: str | None) -> dict[str, Any]:
    """Return a run's configuration with another place for the data."""
    if root is None:
        return dict(tree)
    if "root" not in tree["data"]:
        raise UserError(f"data={tree['data']['name']} has no folder", key="root", fix="leave the argument out")
    return {**tree, "data": {**tree["data"], "root": root}}


@contextmanager
def _processes(named: str) -> Iterator[Any]:
    """Join the other processes that torchrun has started, if any, and yield this one's device."""
    import torch
    import torch.distributed as dist

    count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if named == "auto":
        named = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{local}" if named == "cuda" else named)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"this device cannot be used here ({reason})", key="device", found=named) from error
    joined = count > 1 and not dist.is_initialized()
    if joined:
        dist.init_process_group("gloo")
    try:
        yield device
    finally:
        sys.stdout.flush()
        if joined:
            dist.destroy_process_group()


COMMAND = Command(
    "evaluate",
    "Compute the scores of a checkpoint.",
    Arguments,
    run,
    examples=(
        (
            "evaluate run=runs/stargan_v2/2026-01-31_12-00-00",
            "with a classifier trained on the run's images, without a download",
        ),
        ("evaluate run=runs/stargan_v2/2026-01-31_12-00-00 checkpoint=best metrics=[clean,local]", "several protocols"),
    ),
    notes="Scores are written to RUN_FOLDER/metrics/<protocol>_<checkpoint>.json. Repeat the command to continue a "
    "stopped evaluation. On several GPUs: torchrun --nproc-per-node 8 -m translate evaluate run=...",
    config_name=CONFIG_NAME,
)
