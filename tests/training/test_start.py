"""Runs that begin with the weights of another run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import translate
from cli.hub_server import Hub, Repository, serving
from training.tiny import RUN, differences, tiny_cyclegan
from translate.config import schema
from translate.config.compose import load
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.errors import ConfigError, UserError
from translate.files.writing import sha256_of
from translate.runs.checkpoints import Checkpoint, newest
from translate.runs.folder import RunFolder
from translate.runs.places import shipped_file
from translate.training import build, run
from translate.training.start import start

UNIT = ["model=unit_small", "data=critters", "data.domains=[cat,rabbit]", *RUN]
"""A configuration that may have a frozen network, in the role ``perceptual``."""


def trained(config: RunConfig, folder: Path, resume: bool = False) -> Checkpoint:
    assert run.train(config, folder, folder if resume else None) == 0
    return newest(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "run"
    trained(tiny_cyclegan("iterations=2", "model.ema_decay=0.5"), folder)
    return folder


def begun(config: RunConfig) -> "build.TranslationModel":
    model = build.build_model(config)
    assert config.start_from is not None
    start(model, config.start_from)
    return model


def test_all_common_roles_begin_with_the_weights_of_a_run(source: Path) -> None:
    config = tiny_cyclegan(f"start_from={source}", "model.ema_decay=0.5", "seed=7")
    assert config.start_from == schema.StartConfig(
        weights=str(RunFolder(source).checkpoint(2)),
        roles={role: role for role in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")},
        sha256=sha256_of(RunFolder(source).checkpoint(2)),
    )
    model, before = begun(config), newest(source)
    for role in model.roles:
        assert differences_of(model.network(role), before.group("network", role)) == []
    assert differences_of(model.ema["generator_ab"], before.group("ema", "generator_ab")) == []
    assert model.iteration == 0
    assert not model.optimizer("generator_ab").state


def differences_of(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> list[str]:
    assert tensors
    return [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, tensors[name])]


def test_an_average_begins_with_the_trained_weights_of_a_source_without_averages(source: Path, tmp_path: Path) -> None:
    trained(tiny_cyclegan("iterations=1", "model.ema_decay=null"), tmp_path / "plain")
    model = begun(tiny_cyclegan(f"start_from={tmp_path / 'plain'}", "model.ema_decay=0.5"))
    assert differences_of(model.ema["generator_ab"], newest(tmp_path / "plain").group("network", "generator_ab")) == []


def test_roles_are_chosen_or_mapped(source: Path) -> None:
    weights = newest(source)
    fresh = build.build_model(tiny_cyclegan("seed=7"))
    chosen = begun(tiny_cyclegan(f"start_from={{weights: {source}, roles: [generator_ab]}}", "seed=7"))
    assert differences_of(chosen.network("generator_ab"), weights.group("network", "generator_ab")) == []
    assert differences_of(chosen.network("generator_ba"), dict(fresh.network("generator_ba").state_dict())) == []
    mapped = begun(tiny_cyclegan(f"start_from={{weights: {source}, roles: {{generator_ab: generator_ba}}}}"))
    assert differences_of(mapped.network("generator_ab"), weights.group("network", "generator_ba")) == []


def test_a_weights_file_serves_as_well(source: Path, tmp_path: Path) -> None:
    translate.load(source).save(tmp_path / "small.safetensors")
    config = tiny_cyclegan(f"start_from={tmp_path / 'small.safetensors'}")
    assert config.start_from is not None
    assert sorted(config.start_from.roles) == ["generator_ab", "generator_ba"]
    assert differences_of(begun(config).network("generator_ab"), newest(source).group("ema", "generator_ab")) == []


def test_weights_that_ship_serve_by_their_name() -> None:
    words = ["model=stargan_v2_small", "data=critters", *RUN]
    config = load([*words, "start_from=critters"])
    assert config.start_from is not None
    shipped = shipped_file("critters")
    assert (config.start_from.weights, config.start_from.sha256) == (str(shipped), sha256_of(shipped))
    assert {"generator", "mapping", "style_encoder"} == set(config.start_from.roles)


def test_a_name_that_ships_is_a_frozen_network_too() -> None:
    node = "{name: frozen, weights: critters, role: style_encoder}"
    config = load([*UNIT, f"++model.networks.perceptual={node}"])
    assert config.model.networks["perceptual"]["weights"] == str(shipped_file("critters"))
    assert config.model.networks["perceptual"]["network"]["name"] == "stargan_v2_style_encoder"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Yield a server on this machine, to which the Hub's library talks."""
    with serving() as hub, monkeypatch.context() as patch:
        own = {"ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": True}
        pages = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for name, value in {**own, "HUGGINGFACE_CO_URL_TEMPLATE": pages}.items():
            patch.setattr(constants, name, value)
        yield hub


def weights_requests(hub: Hub) -> list[str]:
    """Return the methods of the requests for weights; the library asks for other pages by itself."""
    return [request.partition(" ")[0] for request in hub.requests if request.endswith(".safetensors")]


def test_weights_on_the_hub_are_downloaded_once(hub: Hub, source: Path, tmp_path: Path) -> None:
    translate.load(source).save(tmp_path / "file.safetensors")
    content = (tmp_path / "file.safetensors").read_bytes()
    hub.repositories["me/pets"] = Repository(files={"model.safetensors": content})
    words = ["start_from=hf://me/pets", "iterations=4", "checkpoint_every=2"]
    with pytest.raises(ConfigError, match="no_such"):
        tiny_cyclegan(*words, "model.no_such=1")
    assert weights_requests(hub) == []  # a configuration that is wrong anyway
    config = tiny_cyclegan(*words)
    assert config.start_from is not None
    assert config.start_from.sha256 == sha256_of(tmp_path / "file.safetensors")
    assert Path(config.start_from.weights).is_relative_to(tmp_path / "cache")
    assert weights_requests(hub).count("GET") == 1
    assert differences_of(begun(config).network("generator_ab"), newest(source).group("ema", "generator_ab")) == []
    whole = trained(config, tmp_path / "run")
    RunFolder(tmp_path / "run").checkpoint(4).unlink()
    shutil.rmtree(tmp_path / "cache")
    hub.requests.clear()
    assert differences(whole, trained(resumed(tmp_path / "run", []), tmp_path / "run", resume=True)) == []
    assert weights_requests(hub) == []


def test_a_frozen_network_and_a_digest_on_the_hub(hub: Hub, source: Path, tmp_path: Path) -> None:
    translate.load(source).save(tmp_path / "file.safetensors")
    content = (tmp_path / "file.safetensors").read_bytes()
    hub.repositories["me/pets"] = Repository(files={"pets.safetensors": content})
    place = "hf://me/pets/pets.safetensors"
    node = f"{{name: frozen, weights: '{place}', role: generator_ab}}"
    config = load([*UNIT, f"++model.networks.perceptual={node}"])
    assert config.model.networks["perceptual"]["sha256"] == sha256_of(tmp_path / "file.safetensors")
    with pytest.raises(ConfigError, match=r"start_from.sha256: .* is another file"):
        tiny_cyclegan(f"start_from={{weights: '{place}', sha256: abc}}")


def test_a_resumed_run_equals_an_uninterrupted_one_without_its_source(source: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(source, gone)
    words = [f"start_from={{weights: {gone}, roles: [generator_ab, discriminator_b]}}"]
    whole = trained(tiny_cyclegan(*words, "iterations=4"), tmp_path / "whole")
    trained(tiny_cyclegan(*words, "iterations=4", "checkpoint_every=2"), tmp_path / "half")
    RunFolder(tmp_path / "half").checkpoint(4).unlink()
    shutil.rmtree(gone)
    assert differences(whole, trained(resumed(tmp_path / "half", []), tmp_path / "half", resume=True)) == []
    with pytest.raises(ConfigError, match="a resumed run has begun already"):
        resumed(tmp_path / "half", [f"start_from={source}"])


def test_the_file_identifies_the_experiment_and_its_path_does_not(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    keys = [
        schema.experiment_key(schema.to_mapping(tiny_cyclegan(*words)))
        for words in ([f"start_from={source}"], [f"start_from={tmp_path / 'copy'}"], [])
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    saved = {key: value for key, value in schema.to_mapping(tiny_cyclegan()).items() if key != "start_from"}
    assert schema.experiment_key(saved) == keys[2]  # of a version without the key


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere", "start_from.weights: there is no such file or folder; found 'nowhere'"),
        ("{weights: RUN, roles: [generator]}", "start_from.roles: unknown role 'generator'. Did you mean 'generator_"),
        (
            "{weights: RUN, roles: {generator_ab: generator}}",
            "has no trained network of this role 'generator'. Did you mean 'generator_",
        ),
        ("{weights: RUN, roles: 3}", "start_from.roles: found 3, expected a list of roles"),
        ("{weights: RUN, role: generator_ab}", "start_from.role: unknown key 'role'. Did you mean 'roles'"),
        ("{weights: RUN, sha256: abc}", "start_from.sha256: RUN.* is another file than the one that was used before"),
        ("{roles: [generator_ab]}", "start_from.weights: the key is missing"),
        ("hf://pets", "start_from.hf://pets: .*expected hf://owner/name"),
    ],
)
def test_a_wrong_start_is_one_clear_sentence(source: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("RUN", str(source))):
        tiny_cyclegan(f"start_from={word.replace('RUN', str(source))}")


def test_files_of_other_programs_need_an_import(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "latest_net_G.pth")
    with pytest.raises(ConfigError, match=r"a file of another program; .* Fix: python -m translate import weights="):
        tiny_cyclegan(f"start_from={tmp_path / 'latest_net_G.pth'}")


def test_models_without_a_common_role(source: Path) -> None:
    with pytest.raises(ConfigError, match="and this model have no role in common; found generator_ab, generator_ba"):
        load(["model=pix2pix_small", "data=critters_outlines", *RUN, f"start_from={source}"])


def test_another_network_does_not_take_the_weights(source: Path) -> None:
    config = tiny_cyclegan(f"start_from={source}", "model.networks.generator_ab.base_width=6")
    with pytest.raises(UserError, match=r"start_from.roles.generator_ab: .*found the shape \(4, 3.*expected the shape"):
        begun(config)


def test_a_source_that_changed_after_the_check(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    config = tiny_cyclegan(f"start_from={tmp_path / 'copy'}")
    with RunFolder(tmp_path / "copy").checkpoint(2).open("ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match=r"start_from.sha256: .* is another file than the one that was used before"):
        begun(config)
