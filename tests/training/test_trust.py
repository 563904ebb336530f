"""Run folders, checkpoints, weights and experiment files of others are data: what they name runs only if it is trusted.

The payload is a module in the working directory that writes a file when it is imported.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

import translate
from training.tiny import tiny, train
from translate.commands.train import joined_by_others
from translate.config.command_line import SingleRun
from translate.config.compose import load
from translate.config.resume import resumed
from translate.errors import ConfigError, UserError
from translate.registry import plugins, trust
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training.build import build_model
from translate.training.failures import resume_command
from translate.weights import load as weights_load

PAYLOAD = """
from pathlib import Path
Path("ran").touch()
from torch.optim import Adam
class Quick(Adam): pass
def load(*arguments, **settings): Path("called").touch()
"""

Change = Callable[[dict], None]


def logger(target: str) -> Change:
    return lambda tree: tree.update(logger={"x": {"_target_": target}})


def optimizer(target: str) -> Change:
    return lambda tree: tree["model"]["optimizers"]["generator"].update(_target_=target)


CHANGES: Mapping[str, tuple[Change, str, str]] = {
    "a logger": (logger("payload.Quick"), "logger.x._target_", "payload"),
    "a function of torch": (logger("torch.hub.load"), "logger.x._target_", "torch"),
    "an optimizer": (optimizer("payload.Quick"), "model.optimizers.generator._target_", "payload"),
    "a function as an optimizer": (optimizer("os.system"), "model.optimizers.generator._target_", "os"),
    "a plug-in": (lambda tree: tree.update(plugins=["payload"]), "plugins", "payload"),
    "a plug-in that trusts itself": (
        lambda tree: tree.update(plugins=["payload"], trust=["payload"]),
        "plugins",
        "payload",
    ),
}
"""What somebody may have written into a saved configuration, and the key and package of the refusal."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, "iterations=1")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of a run, in a working directory that holds the payload; nothing stays trusted."""
    (tmp_path / "payload.py").write_text(PAYLOAD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trust, "_trusted", [])
    monkeypatch.setattr(plugins, "_activated", [])
    yield Path(shutil.copytree(trained, tmp_path / "run"))
    sys.modules.pop("payload", None)


def change_config(run: Path, change: Change) -> bytes:
    """Change a saved configuration; return the new content of its file."""
    path = run / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    change(tree)
    path.write_text(yaml.safe_dump(tree))
    return path.read_bytes()


def change_header(path: Path, change: Change, with_checksums: bool) -> None:
    """Change the configuration in the header of a checkpoint, with new checksums or without any."""
    with safe_open(path, framework="pt") as file:
        header = {key: text for key, text in file.metadata().items() if key != checkpoints.CHECKSUMS}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tree = json.loads(header["config"])
    change(tree)
    header["config"] = json.dumps(tree)
    if with_checksums:
        header[checkpoints.CHECKSUMS] = json.dumps(checkpoints.checksums(tensors, header))
    save_file(tensors, path, metadata=header)


@pytest.mark.parametrize("name", CHANGES)
def test_a_resumed_run_loads_no_code_that_nobody_trusts(run: Path, name: str) -> None:
    change, key, package = CHANGES[name]
    content = change_config(run, change)
    with pytest.raises(ConfigError) as caught:
        resumed(run, ["iterations=2"])
    (sentence,) = {str(problem) for problem in caught.value.problems}
    assert sentence.startswith(f"{key}: this configuration would load code that is not trusted; found '{package}")
    assert sentence.endswith(f"add trust=[{package}] to the command line")
    assert not Path("ran").exists()
    assert (run / "config.yaml").read_bytes() == content


def test_trusted_code_of_the_right_kind_is_loaded(run: Path) -> None:
    change_config(run, optimizer("payload.Quick"))
    config = resumed(run, ["iterations=2", "trust=[payload]"])
    assert config.model.optimizers["generator"]["_target_"] == "payload.Quick"
    assert config.trust == ["payload"]


@pytest.mark.parametrize("target", ["payload.load", "torch.optim.lr_scheduler.StepLR"])
def test_code_of_another_kind_is_not_called_though_trusted(run: Path, target: str) -> None:
    config = tiny("trust=[payload]")
    config.model.optimizers["generator"]["_target_"] = target
    model = build_model(config)
    with pytest.raises(UserError) as caught:
        model.optimizer("generator")
    expected = (
        f"model.optimizers.generator._target_: found '{target}', expected a subclass of torch.optim.optimizer.Optimizer"
    )
    assert str(caught.value) == expected
    assert not Path("called").exists()


def test_an_evaluation_imports_no_optimizer(run: Path) -> None:
    """Nor a logger: it needs none, so such a checkpoint can be evaluated without trust."""
    path = RunFolder(run).choose("last")[1]
    for name in ("a logger", "an optimizer"):
        change_header(path, CHANGES[name][0], with_checksums=True)
        scores = translate.evaluate(run, metrics=["content"], batch_size=8, device="cpu", cache=None)
        assert scores
    assert not Path("ran").exists()


def test_a_checkpoint_without_its_checksums_is_refused(run: Path) -> None:
    path = RunFolder(run).choose("last")[1]
    change_header(path, lambda tree: None, with_checksums=False)
    with pytest.raises(UserError, match=r"not a readable checkpoint \(damaged: the checksums are missing\)"):
        checkpoints.read(path)


def test_an_early_checkpoint_has_none_and_a_warning(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = RunFolder(run).choose("last")[1]
    with safe_open(path, framework="pt") as file:
        header = {k: v for k, v in file.metadata().items() if k != checkpoints.CHECKSUMS}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    names = {old: new for new, old in checkpoints.GROUPS_OF_FORMAT_1.items()}
    former = {new: old for old, new in names.items()}
    early = {
        f"{former.get(n.partition('.')[0], n.partition('.')[0])}.{n.partition('.')[2]}": t for n, t in tensors.items()
    }
    save_file(early, path, metadata=header | {"format": checkpoints.FORMAT_1})
    with caplog.at_level(logging.WARNING, "translate"):
        assert checkpoints.read(path).iteration == 1
    assert "has no checksums" in caplog.text


def test_weights_of_a_run_with_plugins_import_nothing(run: Path) -> None:
    path = RunFolder(run).choose("last")[1]
    change_header(path, CHANGES["a plug-in"][0], with_checksums=True)
    weights_load.weights_of(run)
    assert plugins.packages() == plugins.installed()
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["a logger", "an optimizer", "a plug-in", "trust"])
def test_an_experiment_file_of_others_loads_no_code(run: Path, name: str) -> None:
    lines = {
        "a logger": "logger: {x: {_target_: payload.Quick}}",
        "an optimizer": "model: {optimizers: {generator: {_target_: payload.Quick}}}",
        "a plug-in": "plugins: [payload]",
        "trust": "trust: [payload]",
    }
    folder = run.parent / "mine" / "experiments"
    folder.mkdir(parents=True)
    (folder / "theirs.yaml").write_text(f"# @package _global_\n{lines[name]}\n")
    with pytest.raises(ConfigError) as caught:
        load(["experiments=theirs"], config_dir=str(run.parent / "mine"), scan=False)
    reason = "a file cannot trust code" if name == "trust" else "would load code that is not trusted"
    assert all(reason in str(problem) for problem in caught.value.problems)
    assert not Path("ran").exists()
    if name != "trust":
        load(["experiments=theirs", "trust=[payload]"], config_dir=str(run.parent / "mine"), scan=False)


def test_the_command_that_continues_a_run_trusts_what_the_run_used(run: Path) -> None:
    assert resume_command(RunFolder(run)) == f"python -m translate resume={run}"
    change_config(run, optimizer("payload.Quick"))
    assert resume_command(RunFolder(run)) == f"python -m translate resume={run} trust=[payload]"


def test_what_is_no_package_cannot_be_trusted() -> None:
    with pytest.raises(UserError, match="trust: found 'a b', expected the name of a package such as my_lab"):
        trust.trust(["a b"])


def test_the_command_line_says_it_in_a_sentence(run: Path) -> None:
    change_config(run, logger("payload.Quick"))
    done = subprocess.run(
        [sys.executable, "-m", "translate", f"resume={run}", "iterations=2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(run.parent), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 2
    assert "would load code that is not trusted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("ran").exists()


def test_further_processes_of_a_run_trust_what_the_first_one_does(run: Path) -> None:
    config = tiny("trust=[payload]", "model.optimizers.generator._target_=payload.Quick")
    ready = SingleRun(config, run, None, (), None)
    with joined_by_others(ready, "program"):
        assert sys.argv == ["program", "join", f"run={run}", "trust=[payload]"]
    with joined_by_others(replace(ready, config=tiny(), resume_from=run), "program"):
        assert sys.argv == ["program", "join", f"run={run}", "resumed=true"]
