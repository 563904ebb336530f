"""A network that one run trains is a frozen role of another run."""

from pathlib import Path

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

import translate
from training.tiny import differences, tiny_cyclegan, tiny_unit
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.errors import ConfigError, UserError
from translate.files.writing import sha256_of
from translate.networks.frozen import Frozen
from translate.runs.checkpoints import newest
from translate.runs.folder import RunFolder
from translate.training import build, run
from translate.weights.load import weights_of


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose generators have batch norm."""
    folder = tmp_path_factory.mktemp("source") / "run"
    config = tiny_cyclegan("iterations=2", "model.ema_decay=0.5", "model.networks.generator_ab.norm=batch")
    assert run.train(config, folder) == 0
    return folder


def with_frozen(source: Path, *overrides: str, role: str = "generator_ab") -> RunConfig:
    """Return UNIT with a network of another run as the features of its perceptual loss."""
    return tiny_unit(
        f"++model.networks.perceptual={{name: frozen, weights: {source}, role: {role}}}",
        "model.weights.generator.perceptual_a=1",
        *overrides,
    )


def test_the_configuration_names_file_digest_and_network(source: Path) -> None:
    file = RunFolder(source).checkpoint(2)
    config = with_frozen(source)
    assert config.model.networks["perceptual"] == {
        "name": "frozen",
        "weights": str(file),
        "role": "generator_ab",
        "sha256": sha256_of(file),
        "network": newest(source).config["model"]["networks"]["generator_ab"],
    }


def test_weights_of_the_average_in_eval_mode(source: Path) -> None:
    model = build.build_model(with_frozen(source)).train()
    network = model.network("perceptual")
    assert isinstance(network, Frozen)
    average = newest(source).group("ema", "generator_ab")
    assert all(torch.equal(tensor, average[name]) for name, tensor in network.network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert any(isinstance(module, BatchNorm) for module in network.modules())


def test_gradients_pass_through_and_nothing_moves(source: Path) -> None:
    network = build.build_model(with_frozen(source)).train().network("perceptual")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    network(x).square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_run_trains_without_storing_it_and_resumes_to_the_bit(source: Path, tmp_path: Path) -> None:
    assert run.train(with_frozen(source, "iterations=3"), tmp_path / "whole") == 0
    whole = newest(tmp_path / "whole")
    assert not [name for name in whole.tensors if "perceptual" in name]
    assert run.train(with_frozen(source, "iterations=3", "checkpoint_every=2"), tmp_path / "half") == 0
    RunFolder(tmp_path / "half").checkpoint(3).unlink()
    assert run.train(resumed(tmp_path / "half", []), tmp_path / "half", tmp_path / "half") == 0
    assert differences(whole, newest(tmp_path / "half")) == []


def test_exported_weights_do_not_need_the_source(source: Path, tmp_path: Path) -> None:
    config = with_frozen(source, "iterations=1")
    assert run.train(config, tmp_path / "run") == 0
    weights = weights_of(tmp_path / "run")
    assert "weights" not in weights.networks["perceptual"]
    state = weights.group("network", "perceptual")
    own = build.build_model(config).network("perceptual").state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[name], own[name]) for name in own)
    again = with_frozen(source)  # an exported file is a source as well
    translate.load(source).save(tmp_path / "generators.safetensors")
    exported = with_frozen(tmp_path / "generators.safetensors")
    first, second = (build.build_model(each).network("perceptual").state_dict() for each in (again, exported))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("{name: frozen, weights: RUN, role: generator}", "role: .* has no trained network of this role 'gen"),
        ("{name: frozen, weights: RUN}", "role: the network 'frozen' needs this key"),
        ("{name: frozen, role: generator_ab}", "weights: the network 'frozen' needs a file of weights"),
        ("{name: frozen, role: a, weights: nowhere}", "weights: there is no such file or folder; found 'nowhere'"),
        ("{name: frozen, weights: RUN, role: generator_ab, sha256: ab}", "sha256: .* is another file than the one"),
    ],
)
def test_a_wrong_node_is_one_clear_sentence(source: Path, node: str, message: str) -> None:
    with pytest.raises(ConfigError, match="model.networks.perceptual." + message) as caught:
        tiny_unit(
            f"++model.networks.perceptual={node.replace('RUN', str(source))}",
            "model.weights.generator.perceptual_a=1",
        )
    assert len(caught.value.problems) == 1


def test_a_changed_file_is_refused(source: Path, tmp_path: Path) -> None:
    translate.load(source).save(tmp_path / "generators.safetensors")
    config = with_frozen(tmp_path / "generators.safetensors")
    with (tmp_path / "generators.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match=r"model.networks.perceptual.sha256: .* is another file than the one"):
        build.build_model(config)
