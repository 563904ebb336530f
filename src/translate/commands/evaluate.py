"""The command `evaluate`: score a checkpoint of a run by metrics."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.commands import run_of_weights
from translate.commands.arguments import Command, arg, overrides, unknown
from translate.commands.completion import checkpoints as checkpoints_of
from translate.commands.completion import run_folders
from translate.commands.weights import verify_argument
from translate.console import setup_logging
from translate.errors import ConfigError, Problem, UserError, first_line, without_secrets
from translate.runs import scores
from translate.runs.folder import RunFolder
from translate.weights import signatures

if TYPE_CHECKING:
    from translate.runs.scores import Result

CONFIG_NAME = "evaluate"
"""The root of the configuration of metrics."""

NOT_STORED = 1
"""The exit code if scores were computed and could not be stored."""

log = logging.getLogger("translate")


def default_cache() -> Path:
    """Return the folder where weights and reference statistics are kept by default."""
    return Path(os.environ.get("TRANSLATE_CACHE", "~/.cache/translate")).expanduser()


def weights_or_runs(words: Sequence[str] = ()) -> list[str]:
    """Return the names of released weights, and the run folders."""
    return [*run_of_weights.names(), *run_folders(words)]


@dataclass(frozen=True)
class Arguments:
    """The run, its checkpoint, and the settings of the evaluation."""

    run: Path | None = arg(None, metavar="RUN_FOLDER", help="the run to evaluate", values=run_folders, is_run=True)
    weights: str | None = arg(
        None,
        metavar="FILE[,FILE]|NAME|RUN_FOLDER",
        help="weights without a run: official files, a weights file, a file on the Hub, or the name of released "
        "weights, which are fetched; experiments=NAME or data=NAME says on which images they are scored",
        values=weights_or_runs,
    )
    sha256: str | None = arg(None, metavar="DIGITS", help="with weights: the SHA-256 that the file has")
    verify: str | None = verify_argument()
    to: Path | None = arg(
        None, metavar="RUN_FOLDER", help="with weights: the run folder to write; default runs/<name>/<time>"
    )
    checkpoint: str = arg("last", metavar="last|best|N", help="the checkpoint", values=checkpoints_of)
    batch_size: int = arg(32, metavar="N", minimum=1, maximum=65_536, help="images per batch, in each process")
    seed: int = arg(0, metavar="N", minimum=0, help="seed of latent codes, references and samples")
    device: str = arg("auto", metavar="auto|cpu|cuda|cuda:1|mps", help="the device of the networks")
    output: str | None = arg(
        None,
        metavar="FOLDER",
        help="where scores are written, in metrics/, instead of the run folder; also an address such as s3://bucket/scores",
    )
    root: str | None = arg(None, metavar="FOLDER", help="folder of the data, if it was moved after training")
    cache: Path | None = arg(
        metavar="FOLDER",
        help="folder of weights and reference statistics; null: store no statistics",
        factory=default_cache,
    )
    plugins: tuple[str, ...] = arg((), metavar="[my_lab]", help="further packages that are not installed")
    overrides: tuple[str, ...] = overrides(
        "metrics and their arguments: metrics=[clean,local], metrics.kid_clean.subset_size=500; "
        "'~metrics.prdc_clean' removes a metric; the command 'list metrics' lists all; with weights: the experiment, "
        "data and model too",
        keys=("metrics", *run_of_weights.KEYS),
    )


def has_run(arguments: Arguments) -> bool:
    """Return whether the arguments name a run folder.

    UserError for neither run nor weights, for both, and for weights without the data to score them on.
    """
    if (arguments.run is None) == (arguments.weights is None):
        raise UserError("this argument is missing", key="run", expected="run=RUN_FOLDER")
    keys = [word.lstrip("+~").partition("=")[0].partition(".")[0] for word in arguments.overrides]
    further = [word for word, key in zip(arguments.overrides, keys, strict=True) if key in run_of_weights.KEYS]
    if arguments.weights is None or RunFolder(arguments.weights).is_run():
        if further:
            raise unknown(COMMAND, further[0])
        if arguments.to is not None or arguments.sha256 is not None:
            key = "sha256" if arguments.to is None else "to"
            raise UserError("a run has its folder and its weights", key=key, fix="leave the argument out")
        if arguments.verify is not None:
            raise signatures.run_unsigned(run_of(arguments))
        return True
    if not {"experiments", "data"} & set(keys):
        raise UserError(
            "scores need images",
            key="weights",
            found=arguments.weights,
            expected="a run folder, or an experiment or data beside the weights",
            fix=f"python -m translate evaluate weights={arguments.weights} data=NAME data.root=FOLDER",
        )
    return False


def run_of(arguments: Arguments) -> Path:
    """Return the run folder that the arguments name."""
    return arguments.run or Path(str(arguments.weights)).expanduser()


def metrics_of(arguments: Arguments) -> dict[str, Any]:
    """Return the checked metrics, label -> {name: key of METRICS, its arguments}; ConfigError with all problems.

    Without any on the command line they are `local`, or `accuracy` for a model that predicts labels.
    """
    if not has_run(arguments):
        return run_of_weights.metrics(arguments.overrides)
    from translate.config.check import check_metrics
    from translate.config.compose import compose
    from translate.config.rules import metrics_suit_model, predicts_labels
    from translate.config.tree import plain

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
    from translate.registry import plugins, trust

    plugins.activate(arguments.plugins)
    if has_run(arguments) and RunFolder(run_of(arguments)).is_run():
        trust.activate_saved(read_yaml(RunFolder(run_of(arguments)).config_file).get("plugins") or [])


def run(arguments: Arguments) -> int:
    """Evaluate, and print the scores of each protocol as soon as they exist; return 0, or 1 if some are not stored."""
    unstored = 0
    for result, place, is_first in _results(arguments):
        if is_first:
            from translate.evaluation import results

            print(f"\n{results.table(result)}")
            if result.unstored is None:
                print(_shown(arguments.output, place))
            else:
                unstored += 1
                reason = result.unstored.strerror or first_line(result.unstored)
                fix = "output=FOLDER stores the scores in another folder"
                print(Problem(f"the scores are not stored ({reason})", key=str(place), fix=fix), file=sys.stderr)
    return NOT_STORED if unstored else 0


def _shown(output: str | None, place: Path) -> str:
    """Return a scores file as it is shown: at its address, if it goes there."""
    from translate.downloads.remote import is_address

    return (
        f"{without_secrets(str(output)).rstrip('/')}/{'/'.join(place.parts[-2:])}" if is_address(output) else str(place)
    )


def results_of(arguments: Arguments) -> "list[Result]":
    """Evaluate; return the result of each protocol."""
    return [result for result, _, _ in _results(arguments)]


def _results(arguments: Arguments) -> "Iterator[tuple[Result, Path, bool]]":
    """Yield the result of each protocol as soon as it exists, its file, and whether this process is the first."""
    _activate_plugins(arguments)
    metrics = metrics_of(arguments)
    if not has_run(arguments):
        arguments = _with_run(arguments, metrics)
    from translate.runs.remote_runs import stored

    with stored(arguments.output, "output") as output:
        yield from _results_of_run(arguments, metrics, output)


def _results_of_run(
    arguments: Arguments, metrics: dict[str, Any], output: Path | None
) -> "Iterator[tuple[Result, Path, bool]]":
    folder = RunFolder(run_of(arguments)).require_run()
    name, path = folder.choose(arguments.checkpoint)
    if output is None:
        folder.require_inside()
    scores.check(run_of(arguments))
    with _processes(arguments.device) as device:
        from translate.evaluation.processes import all_processes

        processes = all_processes()
        setup_logging(verbose=processes.is_first)
        for result, place in _measure(arguments, metrics, name, path, device, processes, output):
            yield result, place, processes.is_first


def _with_run(arguments: Arguments, metrics: dict[str, Any]) -> Arguments:
    """Return the arguments with a new run folder of the weights."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        fix = f"python -m translate import weights={arguments.weights} to=RUN_FOLDER data=NAME, then evaluate run="
        raise UserError("several processes evaluate a run", key="weights", found=arguments.weights, fix=fix)
    setup_logging(verbose=True)
    folder = run_of_weights.begin(
        str(arguments.weights),
        arguments.sha256,
        arguments.verify,
        arguments.to,
        arguments.overrides,
        metrics,
        arguments.cache,
    )
    log.info("run folder: %s; to continue a stopped evaluation: python -m translate evaluate run=%s", folder, folder)
    words = tuple(word for word in arguments.overrides if word.lstrip("+~").startswith("metrics"))
    return replace(arguments, run=folder, weights=None, sha256=None, verify=None, to=None, overrides=words)


def _measure(
    arguments: Arguments,
    metrics: dict[str, Any],
    name: str,
    path: Path,
    device: Any,
    processes: Any,
    output: Path | None,
) -> "Iterator[tuple[Result, Path]]":
    """Yield the result of each protocol as soon as it exists, and its file."""
    from translate.config.check import check
    from translate.evaluation.evaluator import EvaluatedModel, Evaluator
    from translate.runs import checkpoints
    from translate.training import build

    checkpoint = checkpoints.read(path)
    made = check(_without_training(_moved(checkpoint.config, arguments.root)))
    made = replace(made, trainer=replace(made.trainer, devices=1, num_nodes=1))  # one process has one whole model
    data = build.build_data(made)
    model = build.build_model(made)
    with checkpoints.explain_mismatch(str(path)):
        checkpoints.restore_networks(model, checkpoint)
    model.iteration = checkpoint.iteration
    model.to(device)
    evaluator = Evaluator(metrics, data, arguments.cache, device, processes, arguments.batch_size, arguments.seed)
    log.info("%s, iteration %d of %s, on %s", made.model.name, checkpoint.iteration, run_of(arguments), device)
    evaluated = EvaluatedModel(model, name, run_of(arguments), untrained=lambda: build.build_model(made), output=output)
    for protocol in evaluator.protocols:
        path = scores.path_of(output or run_of(arguments), protocol, name, arguments.seed)
        yield evaluator.evaluate(protocol, evaluated), path


def _moved(tree: Mapping[str, Any], root: str | None) -> dict[str, Any]:
    """Return a run's configuration with another place for the data."""
    if root is None:
        return dict(tree)
    if "root" not in tree["data"]:
        raise UserError(f"data={tree['data']['name']} has no folder", key="root", fix="leave the argument out")
    return {**tree, "data": {**tree["data"], "root": root}}


def _without_training(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration without loggers, and with the roles alone of its optimizers.

    An evaluation needs no more, so it loads none of the code that the run named for them.
    """
    optimizers = {role: {"_target_": "torch.optim.SGD"} for role in tree["model"]["optimizers"]}
    return {**tree, "logger": {}, "model": {**tree["model"], "optimizers": optimizers}}


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
        (
            "evaluate weights=weights_stargan_v2_afhq experiments=ladder/released_stargan_v2_afhq "
            "data.root=datasets/afhq",
            "released weights, without training",
        ),
    ),
    notes="Scores are written to RUN_FOLDER/metrics/<protocol>_<checkpoint>.json. Repeat the command to continue a "
    "stopped evaluation. On several GPUs: torchrun --nproc-per-node 8 -m translate evaluate run=...",
    config_name=CONFIG_NAME,
)
