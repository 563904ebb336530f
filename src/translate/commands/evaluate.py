"""The command `evaluate`: a run folder, a checkpoint and metrics in Hydra's grammar; then measure and tell."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from translate.config import check as checks
from translate.config.binding import bind_fields
from translate.config.compose import compose, plain
from translate.config.schema import read_yaml
from translate.console import setup_logging
from translate.errors import ConfigError, UserError
from translate.runs.folder import RunFolder

ROOT = "evaluate"

log = logging.getLogger("translate")

HELP = """\
  run=RUN_FOLDER             which run
  checkpoint=last            or best (of a run with best=...), or an iteration that is kept
  metrics=local              what is measured, as a model's own judge sees it: no download
  metrics=local_features     FID, KID, precision, recall, density, coverage on that judge's features
  metrics=published          as the StarGAN v2 paper: FID, LPIPS
  metrics=clean              as clean-fid: FID, KID, precision, recall, density, coverage
  metrics=paired             PSNR, SSIM, on a data set of pairs
  metrics=[clean,published]  several; '~metrics.prdc_clean' leaves one out, metrics.kid_clean.subset_size=500 sets one
  metrics.fid_clean.weights=FILE   a file of weights; else it is fetched once into the cache
  batch_size=32 seed=0 device=auto root=FOLDER cache=FOLDER plugins=[my_lab]

  Figures go to RUN_FOLDER/metrics/<protocol>_<checkpoint>.json. An evaluation that was stopped goes on where it was.
  On several GPUs: torchrun --nproc-per-node 8 -m translate evaluate run=..."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured of which run."""

    run: str
    checkpoint: str | int
    metrics: dict[str, Any]  # label -> {name: key of METRICS, its arguments}
    batch_size: int
    seed: int
    device: str
    root: str | None
    cache: str | None
    plugins: list[str]


def configuration(words: Sequence[str]) -> EvaluateConfig:
    """Return the checked configuration of a command line; UserError, or ConfigError with all problems."""
    _activate_those_of_the_run(words)
    problems: list[str] = []
    tree = compose(words, ROOT, problems=problems)
    values: dict[str, Any] = {}
    if tree is not None:
        found = plain(tree, problems)
        if found.get("metrics") is None:
            found["metrics"] = {}
        values = bind_fields(EvaluateConfig, found, "", problems)
        checks.check_metrics(values.get("metrics"), problems)
        if isinstance(size := values.get("batch_size"), int) and size < 1:
            problems.append(f"batch_size: found {size}, expected at least 1")
        if isinstance(seed := values.get("seed"), int) and seed < 0:
            problems.append(f"seed: found {seed}, expected at least 0")
        if values.get("metrics") == {}:
            problems.append("metrics: found none; write metrics=local, or another option of the group")
    if problems:
        raise ConfigError([problem.replace("write run=...", "write run=RUN_FOLDER") for problem in problems])
    return EvaluateConfig(**values)


def _activate_those_of_the_run(words: Sequence[str]) -> None:
    """Activate the plug-ins that a run was made with: their metrics and configuration take part."""
    from translate.registry import plugins

    folders = [RunFolder(word.partition("=")[2].strip("'\"")) for word in words if word.startswith("run=")]
    for folder in folders:
        if folder.is_run():
            plugins.activate(read_yaml(folder.config_file).get("plugins") or [])


def run(words: Sequence[str]) -> int:
    """Measure what the words ask for; return the exit code."""
    config = configuration(words)
    folder = Path(config.run).expanduser()
    name, path = RunFolder(folder).require_run().choose(config.checkpoint)
    with _processes(config.device) as device:
        from translate.evaluation.processes import together

        group = together()
        setup_logging(verbose=group.first)
        for told in _measure(config, folder, name, path, device, group):
            if group.first:
                print(told)
    return 0


def _measure(config: EvaluateConfig, folder: Path, name: str, path: Path, device: Any, group: Any) -> Iterator[str]:
    """Yield the table of each protocol as soon as it is there."""
    from translate.evaluation import results
    from translate.evaluation.evaluator import Evaluator, Subject
    from translate.runs import checkpoints
    from translate.training import build

    checkpoint = checkpoints.read(path)
    made = checks.check(_moved(checkpoint.config, config.root))
    made = replace(made, trainer=replace(made.trainer, devices=1, num_nodes=1))  # one process has one whole model
    data = build.build_data(made)
    model = build.build_model(made)
    with checkpoints.explain_mismatch(str(path)):
        checkpoints.restore_networks(model, checkpoint)
    model.iteration = checkpoint.iteration
    model.to(device)
    cache = Path(config.cache).expanduser() if config.cache else None
    evaluator = Evaluator(config.metrics, data, cache, device, group, config.batch_size, config.seed)
    log.info("%s, iteration %d of %s, on %s", made.model.name, checkpoint.iteration, folder, device)
    subject = Subject(model, name, folder, untrained=lambda: build.build_model(made))
    for protocol in evaluator.protocols:
        found = evaluator.measure(protocol, subject)
        assert found is not None  # nobody stops it
        place = results.path_of(folder, protocol, name, config.seed)
        yield f"\n{results.table(found)}\n{place}"


def _moved(tree: Mapping[str, Any], root: str | None) -> dict[str, Any]:
    """Return a run's configuration with another place for the data."""
    if root is None:
        return dict(tree)
    if "root" not in tree["data"]:
        raise UserError(f"evaluate: root: data={tree['data']['name']} lies in no folder; leave the key out")
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
        said = str(error).strip().splitlines()[0]
        raise UserError(f"device: found {named!r}, which cannot be used here ({said})") from error
    joined = count > 1 and not dist.is_initialized()
    if joined:
        dist.init_process_group("gloo")
    try:
        yield device
    finally:
        sys.stdout.flush()
        if joined:
            dist.destroy_process_group()
