"""Old names of keys and values work everywhere for one release, and a warning names the new ones."""

import json
import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from safetensors.torch import save_file

from translate.commands import download
from translate.config import renamed
from translate.config.check import check
from translate.config.compose import load
from translate.config.resume import resumed
from translate.config.schema import RunConfig, experiment_key, read_yaml, to_mapping, to_yaml
from translate.errors import ConfigError, UserError
from translate.weights import format

CRITTERS = ["model=pix2pix_small", "data=critters_outlines", "data.num_images=20", "data.num_val_images=10"]


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Yield what is logged; every test sees each warning anew."""
    renamed.warn.cache_clear()
    with caplog.at_level(logging.WARNING, logger="translate"):
        logging.getLogger("translate").propagate = True
        yield caplog


def same(first: RunConfig, second: RunConfig) -> bool:
    return to_mapping(first) == to_mapping(second)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data.bad_images=0.5", "data.max_bad_fraction=0.5"),
        ("++data.bad_images=0.5", "++data.max_bad_fraction=0.5"),
        ("trainer.recompute=true", "trainer.activation_checkpointing=true"),
        ("trainer.hung_after=60", "trainer.hang_timeout=60"),
        ("model.average_decay=0.9", "model.ema_decay=0.9"),
        ("model.networks.generator.num_halvings=4", "model.networks.generator.num_downsamplings=4"),
        ("variant=published", "variant=official_code"),
        ("trainer.convolutions=quick", "trainer.convolutions=fast"),
        ("trainer={recompute: true, threads: 2}", "trainer={activation_checkpointing: true, threads: 2}"),
        (
            "model={networks: {generator: {num_halvings: 4}}}",
            "model={networks: {generator: {num_downsamplings: 4}}}",
        ),
    ],
)
def test_on_the_command_line(old: str, new: str, warnings: pytest.LogCaptureFixture) -> None:
    expected = load([*CRITTERS, new])
    assert warnings.messages == []
    assert same(load([*CRITTERS, old]), expected)
    assert len(warnings.messages) == 1, warnings.messages
    assert "in this release only" in warnings.messages[0]
    load([*CRITTERS, old])
    assert len(warnings.messages) == 1


def test_deleting_and_several_values() -> None:
    quiet = {"tell": lambda old, new: None}
    assert renamed.renamed_word("~trainer.recompute", **quiet) == "~trainer.activation_checkpointing"
    assert renamed.renamed_word("variant=paper,published", **quiet) == "variant=paper,official_code"
    assert renamed.renamed_word("+data.val_share=0.1,0.2", **quiet) == "+data.val_fraction=0.1,0.2"
    assert renamed.renamed_word("data.root='a published set'", **quiet) == "data.root='a published set'"
    assert renamed.renamed_word("data.split_by=published", **quiet) == "data.split_by=stargan_v1"
    assert renamed.renamed_word("data.collection=published", **quiet) == "data.collection=published"


def test_every_old_name_is_gone_and_every_new_one_is_there() -> None:
    config = to_mapping(load([*CRITTERS]))
    keys = set(experiment_key(config, frozenset()))
    for old, new in renamed.RENAMED.items():
        assert not any(renamed._matches(old, key) for key in keys)
        if "val_fraction" not in new and not new.startswith("metrics."):  # of data sets on disk, of other protocols
            assert any(renamed._matches(new, key) for key in keys), new


def test_an_experiment_file_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "defaults: [{override /model: cyclegan_small}, {override /data: unpaired}, {override /metrics: published}]\n"
        "variant: published\n"
        "data: {bad_images: 0.25, val_share: 0.5}\n"
        "trainer: {recompute: true, convolutions: quick}\n"
        "model:\n  average_decay: 0.5\n  networks:\n    generator_ab: {num_halvings: 4}\n"
        "    generator_ba: {num_halvings: '${model.networks.generator_ab.num_halvings}'}\n"
        "  weights: {generator: {cycle_a: '${variant:{paper: 1.0, published: 2.0}}'}}\n"
    )
    words = ["experiments=mine", "data.root=here", "data.domains=[a,b]", "trainer.hung_after=60"]
    tree = to_mapping(load(words, scan=False))
    assert tree["data"]["max_bad_fraction"] == 0.25
    assert tree["data"]["val_fraction"] == 0.5
    assert tree["model"]["ema_decay"] == 0.5
    assert tree["model"]["networks"]["generator_ba"]["num_downsamplings"] == 4
    assert tree["model"]["weights"]["generator"]["cycle_a"] == 2.0
    assert tree["trainer"]["activation_checkpointing"] is True
    assert list(tree["metrics"]) == ["fid_official", "lpips_official"]
    told = "\n".join(warnings.messages)
    for new in ("data.max_bad_fraction", "data.val_fraction", "model.ema_decay", "variant=official_code"):
        assert f"is now {new}" in told
    assert to_mapping(load([*words, "data.max_bad_fraction=0.75"], scan=False))["data"]["max_bad_fraction"] == 0.75


def test_a_folder_of_configuration(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [folder]\nroot: here\nval_share: 0.5\n")
    config = load(["data=mine", "data.domains=[a,b]"], config_dir=str(tmp_path), scan=False)
    assert config.data.arguments["val_fraction"] == 0.5
    assert "data.val_share is now data.val_fraction" in warnings.text


@pytest.mark.parametrize("group", ["memory=12gb", "fit=8gb-stargan_v2"])
def test_a_removed_group_is_a_clear_sentence(group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([group])
    assert str(caught.value).startswith(f"{group.partition('=')[0]}: this configuration group was removed")
    assert "show --memory" in str(caught.value)


def as_before(config: RunConfig) -> dict:
    """Return a configuration as the previous version saved it."""
    tree = json.loads(json.dumps(to_mapping(config)))
    tree["variant"], tree["trainer"]["convolutions"] = "published", "quick"
    for old, new in (("bad_images", "max_bad_fraction"),):
        tree["data"][old] = tree["data"].pop(new)
    for old, new in (("recompute", "activation_checkpointing"), ("hung_after", "hang_timeout")):
        tree["trainer"][old] = tree["trainer"].pop(new)
    tree["model"]["average_decay"] = tree["model"].pop("ema_decay")
    generator = tree["model"]["networks"]["generator"]
    generator["num_halvings"] = generator.pop("num_downsamplings")
    return tree


def test_a_saved_run_of_the_previous_version(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    config = load([*CRITTERS, "variant=official_code", "data.cache=null"])
    saved = as_before(config)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    assert read_yaml(tmp_path / "config.yaml") == yaml.safe_load(to_yaml(config))
    assert experiment_key(saved) == experiment_key(to_mapping(config))
    assert same(check(saved), config)  # as the header of a checkpoint holds it
    assert warnings.messages == []


def test_a_saved_run_can_be_resumed(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    from translate.runs.folder import RunFolder

    config = load([*CRITTERS, "data.cache=null"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(as_before(config)))
    path = RunFolder(tmp_path).checkpoint(1)
    path.parent.mkdir()
    path.write_bytes(b"")
    assert resumed(tmp_path, ["trainer.recompute=true"]).trainer.activation_checkpointing is True
    assert len(warnings.messages) == 1


def test_a_weights_file_of_the_previous_version(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    from translate.registry.registry import NETWORKS

    config = load([*CRITTERS, "variant=official_code"])
    node = config.model.networks["generator"]
    network = NETWORKS.get(node["name"])(**{key: value for key, value in node.items() if key != "name"})
    tensors = {f"network.generator.{key}": value for key, value in network.state_dict().items()}
    before = as_before(config)
    networks = {"generator": before["model"]["networks"]["generator"]}
    weights = format.Weights(tensors, "pix2pix", networks, 32, domains=("a", "b"), config=before)
    format.write(weights, tmp_path / "w.safetensors")
    header = format.header_of(tmp_path / "w.safetensors") | {"format": format.FORMAT_1}
    header["published"] = header.pop("official")
    save_file(weights.tensors, tmp_path / "w.safetensors", header)
    found = format.read(tmp_path / "w.safetensors")
    assert found.networks["generator"] == node
    assert found.config == to_mapping(config)
    assert set(format.networks_of(found, ("generator",))) == {"generator"}
    (message,) = warnings.messages
    assert "w.safetensors has no checksums" in message


def test_download(warnings: pytest.LogCaptureFixture) -> None:
    arguments = download.Arguments(data="horse2zebra", selection=("data.val_share=0.1",))
    with pytest.raises(UserError, match=r"data\.val_fraction=0\.1"):
        download.request_from(arguments)
    assert "data.val_share is now data.val_fraction" in warnings.text


def test_a_plugin_may_have_an_argument_of_an_old_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    from translate.registry import plugins

    (tmp_path / "old_lab.py").write_text(
        "from translate.registry.registry import NETWORKS\n\n\n"
        '@NETWORKS.register("old_net")\nclass OldNet:\n    def __init__(self, num_halvings: int) -> None: ...\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(plugins._activated)
    try:
        plugins.activate(["old_lab"])
        word = "model.networks.generator.num_halvings=3"
        assert renamed.renamed_word(word) == word
        node = {"name": "old_net", "num_halvings": 3}
        assert renamed.rename_network(node) == node
        assert renamed.rename_network({"name": "unet_generator", "num_halvings": 3})["num_downsamplings"] == 3
    finally:
        plugins._activated[:] = before
    assert warnings.messages == []


def test_the_warning_is_on_the_terminal(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = command("show", *CRITTERS, "trainer.recompute=true")
    assert done.returncode == 0
    assert done.stderr.strip() == (
        "trainer.recompute is now trainer.activation_checkpointing; the old name works in this release only"
    )
    assert "activation_checkpointing: true" in done.stdout


def test_a_run_that_is_older_than_a_term_keeps_its_identity() -> None:
    """A term of weight zero is as good as none."""
    tree = to_mapping(load(["debug=fast"]))
    older = {**tree, "model": {**tree["model"], "weights": {p: dict(t) for p, t in tree["model"]["weights"].items()}}}
    assert older["model"]["weights"]["discriminator"].pop("r2") == 0
    assert experiment_key(older) == experiment_key(tree)
    del older["model"]["weights"]["discriminator"]["r1"]
    assert experiment_key(older) != experiment_key(tree)
