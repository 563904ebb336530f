"""Our file of weights: what is written is read, and nothing else passes for it."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from translate import __version__
from translate.errors import UserError
from translate.inference.translator import Translator, load
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.weights import format
from translate.weights.format import Weights
from translate.weights.load import of_run

NODE = {"name": "stargan_v1_generator", "num_labels": 2, "base_width": 4, "num_blocks": 1}


def example(**more: Any) -> Weights:
    """Return a whole StarGAN v1 generator of two classes, with everything that a header can say."""
    state = format.build(NODE).state_dict()
    tensors = {f"network.generator.{key}": tensor for key, tensor in state.items()}
    tensors |= {f"ema.generator.{key}": tensor + 1 for key, tensor in state.items()}
    tensors["extra.network.G.main.1.running_mean"] = torch.arange(3, dtype=torch.int64)
    labels = {"kind": "classes", "names": ["day", "night"]}
    found = Weights(
        tensors=tensors,
        model="stargan_v1",
        networks={"generator": NODE},
        image_size=16,
        arguments={"label_sets": [labels]},
        domains=("day", "night"),
        label_sets=(labels,),
        iteration=12,
        config={"seed": 3, "plugins": [], "ü": None},
        data={"crop": "none", "train": {"images": 5, "fingerprint": "ab"}},
        licence="cc0-1.0",
        metrics=({"protocol": "clean", "figures": {"FID": 9.5}},),
        official={"layout": "yunjey/stargan", "names": {"generator": "G"}, "absent": []},
    )
    return replace(found, **more)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    weights = example()
    format.write(weights, tmp_path / "a" / "w.safetensors")
    found = format.read(tmp_path / "a" / "w.safetensors")
    for item in fields(Weights):
        if item.name != "tensors":
            assert getattr(found, item.name) == getattr(weights, item.name), item.name
    assert found.tensors.keys() == weights.tensors.keys()
    for name, tensor in weights.tensors.items():
        assert found.tensors[name].equal(tensor)
        assert found.tensors[name].dtype == tensor.dtype
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "w.safetensors"]


def test_names_of_one_memory_are_written_apart(tmp_path: Path) -> None:
    both = torch.arange(6.0)
    tensors = {"network.a.b": both, "network.a.c": both[2:4], "network.a.d": both.view(2, 3).T}
    format.write(example(tensors=tensors), tmp_path / "w.safetensors")
    found = format.read(tmp_path / "w.safetensors").tensors
    assert all(found[name].equal(tensor) for name, tensor in tensors.items())


def test_float16_halves_the_file_and_is_read_as_float32(tmp_path: Path) -> None:
    weights = example()
    format.write(weights, tmp_path / "single.safetensors")
    format.write(weights, tmp_path / "half.safetensors", "float16")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("single", "half")]
    numbers = sum(t.numel() for t in weights.tensors.values() if t.is_floating_point())
    assert sizes[0] - sizes[1] == pytest.approx(2 * numbers, abs=200)  # the headers differ a little
    assert format.header_of(tmp_path / "half.safetensors")["dtype"] == "float16"
    found = format.read(tmp_path / "half.safetensors")
    assert {name: t.dtype for name, t in found.tensors.items()} == {n: t.dtype for n, t in weights.tensors.items()}
    for name, tensor in weights.tensors.items():
        assert found.tensors[name].equal(tensor.half().float() if tensor.is_floating_point() else tensor)
    x, target = torch.randn(1, 3, 16, 16).tanh(), "night"
    translations = [load(tmp_path / f"{name}.safetensors").translate(x, target) for name in ("single", "half")]
    torch.testing.assert_close(translations[0], translations[1], rtol=0, atol=0.05)


def test_float16_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    weights = example()
    weights.tensors["ema.generator.main.1.bias"][0] = 1e5
    with pytest.raises(UserError, match=r"'ema.generator.main.1.bias' does not fit into float16; found 100000.0"):
        format.write(weights, tmp_path / "w.safetensors", "float16")
    assert not (tmp_path / "w.safetensors").exists()


def test_the_header_is_plain_to_read(tmp_path: Path) -> None:
    format.write(example(), tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        header = file.metadata()
    assert header["format"] == "translate weights 3"
    assert header["version"] == __version__
    assert json.loads(header["networks"]) == {"generator": NODE}
    assert json.loads(header["ema"]) == ["generator"]
    assert json.loads(header["config"])["seed"] == 3


def test_the_average_translates_where_there_is_one() -> None:
    weights = example()
    assert weights.ema_roles == ("generator",)
    assert weights.inference_state("generator").keys() == weights.group("network", "generator").keys()
    assert weights.inference_state("generator")["main.1.bias"].equal(
        weights.group("network", "generator")["main.1.bias"] + 1
    )
    trained = weights.without("ema", "extra")
    assert trained.ema_roles == ()
    assert trained.inference_state("generator")["main.1.bias"].equal(
        weights.group("network", "generator")["main.1.bias"]
    )


def header(**changes: str | None) -> Callable[[Path], None]:
    """Return a function that writes the example with other words in its header, None taking one away."""

    def make(path: Path) -> None:
        format.write(example(), path)
        with safe_open(path, framework="pt") as file:
            words = {**file.metadata(), **changes}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if format.CHECKSUMS not in changes:
            words[format.CHECKSUMS] = json.dumps(format.checksums(tensors, {k: str(w) for k, w in words.items() if w}))
        save_file(tensors, path, metadata={key: word for key, word in words.items() if word is not None})

    return make


def with_a_changed_bit(path: Path) -> None:
    format.write(example(), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def as_format_2(path: Path) -> None:
    """Rewrite a file as the version before this one wrote it: without checksums."""
    header(format="translate weights 2", checksums=None)(path)


def checkpoint(path: Path) -> None:
    checkpoints.write(checkpoints.Checkpoint({"network.a.b": torch.ones(1)}, 3, (), {}), path)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (lambda path: None, "No such file"),
    "text": (lambda path: path.write_text("hello") and None, "not a readable safetensors file"),
    "cut short": (lambda path: (checkpoint(path), path.write_bytes(path.read_bytes()[:40]))[0], "not a readable"),
    "a checkpoint": (checkpoint, "this is a checkpoint, not a weights file. Fix: load its run folder"),
    "bare tensors": (
        lambda path: save_file({"a": torch.ones(1)}, path),
        "this is not a weights file; found no format name, expected 'translate weights 3' in the header",
    ),
    "another version": (
        header(format="translate weights 4"),
        "found 'translate weights 4', expected 'translate weights 3' in the header",
    ),
    "a changed bit": (with_a_changed_bit, "the checksum is wrong of "),
    "no checksums": (header(checksums=None), "the checksums are missing or damaged"),
    "checksums of another kind": (header(checksums="[1]"), "the checksums are missing or damaged"),
    "a changed header": (header(checksums=json.dumps({"header": "0"})), "the checksum is wrong of "),
    "a word too few": (header(networks=None), "the header's 'networks' is missing or damaged"),
    "no JSON": (header(domains="[cat"), "the header's 'domains' is missing or damaged"),
    "another type": (header(networks="[1]"), "the header does not describe weights"),
    "a network without name": (header(networks='{"generator": {}}'), "the header does not describe weights"),
    "domains of numbers": (header(domains="[1, 2]"), "the header does not describe weights"),
    "a domain of 5,000 letters": (header(domains=json.dumps(["x" * 5000])), "the header does not describe weights"),
    "a domain without a name": (header(domains='[""]'), "the header does not describe weights"),
    "a domain twice": (header(domains='["cat", "cat"]'), "the header does not describe weights"),
    "images of 10^5 pixels a side": (header(image_size="100000"), "the header does not describe weights"),
    "labels of another kind": (header(label_sets='[{"kind": "x"}]'), "the header does not describe weights"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_file_of_weights_is_refused(name: str, tmp_path: Path) -> None:
    make, sentence = BAD[name]
    make(tmp_path / "w.safetensors")
    with pytest.raises(UserError) as caught:
        format.read(tmp_path / "w.safetensors")
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "unknown network": ({"networks": {"generator": {"name": "stargan_v1_genrator"}}}, "Did you mean 'stargan_v1_gen"),
    "unknown argument": (
        {"networks": {"generator": {**NODE, "colour": 1}}},
        "cannot be built with the arguments in the file",
    ),
    "other sizes": ({"networks": {"generator": {**NODE, "base_width": 8}}}, "the weights of 'generator' do not fit"),
    "10^9 blocks": (
        {"networks": {"generator": {**NODE, "num_blocks": 10**9}}},
        "networks.generator: the header describes a larger network than the file has tensors for",
    ),
    "10^7 channels": (
        {"networks": {"generator": {**NODE, "base_width": 10**7}}},
        r"main.0.weight has the shape \d+ x .*, the network's has 10000000 x",
    ),
    "10^30 channels": ({"networks": {"generator": {**NODE, "base_width": 10**30}}}, "cannot be built"),
    "a size below zero": ({"networks": {"generator": {**NODE, "base_width": -4}}}, "cannot be built"),
    "no tensors": ({"tensors": {}}, "the weights of 'generator' do not fit"),
    "NaN": (
        {"tensors": {n: t * float("nan") for n, t in example().tensors.items()}},
        "the weights of 'generator' are damaged: .* has values that are not finite",
    ),
    "whole numbers": (
        {"tensors": {n: t.to(torch.int64) for n, t in example().tensors.items()}},
        "the weights of 'generator' do not fit its network .* has the type int64, the network's has float32",
    ),
    "unknown model": ({"model": "stargan_v9"}, "no translation is registered for the model 'stargan_v9'"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_said(name: str) -> None:
    changes, sentence = UNFIT[name]
    with pytest.raises(UserError, match=sentence):
        Translator(example(**changes))


def test_a_network_that_the_file_lacks_is_said_when_it_is_needed() -> None:
    networks = format.networks_of(example(), ("generator", "mapping"))
    assert list(networks) == ["generator"]
    with pytest.raises(UserError, match="the weights lack a network that this translation needs; found 'mapping'"):
        networks["mapping"]


def test_early_files_have_no_checksums_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    as_format_2(tmp_path / "w.safetensors")
    with caplog.at_level("WARNING", "translate"):
        read = format.read(tmp_path / "w.safetensors")
    assert read.tensors.keys() == example().tensors.keys()
    assert "w.safetensors has no checksums" in caplog.text


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(4)
    state = torch.get_rng_state()
    format.build(NODE)
    assert torch.get_rng_state().equal(state)


def test_run_folders_without_what_is_wanted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the folder holds no weights; expected a run folder"):
        load(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        of_run(tmp_path)
    checkpoint(RunFolder(tmp_path).checkpoint(3))
    with pytest.raises(UserError, match="holds no checkpoint of iteration 4; expected one of 3"):
        of_run(tmp_path, 4)
    with pytest.raises(UserError, match=r"has no best checkpoint"):
        of_run(tmp_path, "best")
    config = {"model": {"name": "m", "networks": {}}, "data": {"image_size": 8}}
    checkpoints.write(checkpoints.Checkpoint({}, 3, (), config), RunFolder(tmp_path).checkpoint(3))
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json: this is not JSON"):
        of_run(tmp_path)


def test_optimizers_are_not_read(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).checkpoint(1)
    tensors = {"network.a.b": torch.ones(1), "optimizer.a.0.c": torch.ones(1), "state.pool.d": torch.ones(1)}
    checkpoints.write(checkpoints.Checkpoint(tensors, 1, (), {}), path)
    assert checkpoints.read(path, ("network", "ema")).tensors.keys() == {"network.a.b"}
    assert checkpoints.read(path).tensors.keys() == tensors.keys()


def as_format_1(path: Path) -> None:
    """Rewrite a file as the version before this one wrote it: other words for the EMA and the official layout."""
    with safe_open(path, framework="pt") as file:
        words = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    words["format"] = "translate weights 1"
    words["averaged"] = words.pop("ema")
    words["published"] = words.pop("official").replace('"ema.', '"average.')
    words["networks"] = words["networks"].replace("num_downsamplings", "num_halvings")
    renamed = {
        name.replace("extra.ema.", "extra.average.")
        if name.startswith("extra")
        else name.replace("ema.", "average.", 1): t
        for name, t in tensors.items()
    }
    save_file(renamed, path, metadata=words)


def test_files_of_format_1_are_read_by_the_names_of_today(tmp_path: Path) -> None:
    weights = example()
    weights.networks["other"] = {"name": "unet_generator", "num_downsamplings": 5}
    weights.tensors["extra.ema.fan.a"] = torch.ones(1)
    weights.official["absent"] = ["ema.generator.hpf.filter"]  # type: ignore[index]
    path = tmp_path / "w.safetensors"
    format.write(weights, path)
    as_format_1(path)
    with safe_open(path, framework="pt") as file:
        assert {"average.generator.main.0.weight", "extra.average.fan.a"} <= set(file.keys())
        assert "num_halvings" in file.metadata()["networks"]
    found = format.read(path)
    for item in fields(Weights):
        if item.name != "tensors":
            assert getattr(found, item.name) == getattr(weights, item.name), item.name
    assert found.tensors.keys() == weights.tensors.keys()
    assert all(tensor.equal(weights.tensors[name]) for name, tensor in found.tensors.items())
    assert load(path).domains == ("day", "night")
    assert format.is_weights_file(path)
