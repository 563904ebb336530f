"""Checkpoints: exact for every kind of state, plain to read, and nothing else passes for one."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from former import checkpoint_of_format_1
from translate import __version__
from translate.errors import UserError
from translate.models.base import TranslationModel
from translate.runs import checkpoints
from translate.runs.folder import RunFolder

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adam": partial(torch.optim.Adam, lr=1e-2, betas=(0.0, 0.99), weight_decay=1e-3),
    "adam fused": partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99), fused=True),
    "adamw": partial(torch.optim.AdamW, lr=1e-2, amsgrad=True),
    "sgd": partial(torch.optim.SGD, lr=1e-2),
    "sgd with momentum": partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=1e-3, momentum=0.5, centered=True),
    "rprop": partial(torch.optim.Rprop, lr=1e-3),
    "adagrad": partial(torch.optim.Adagrad, lr=1e-2),
}


class Toy(TranslationModel):
    """Two networks, one with a moving average, one that is not trained."""

    ema_roles = ("generator",)

    def step(self, batch: Tensor) -> None:
        with self.update("generator") as minimize:
            minimize((self.network("fixed")(self.network("generator")(batch)) - batch).square().mean())
        with self.update("discriminator") as minimize:
            minimize(self.network("discriminator")(batch).square().mean())
        self.update_ema()


def make(seed: int, optimizer: Callable[..., Any] = OPTIMIZERS["adam"]) -> Toy:
    torch.manual_seed(seed)
    networks: dict[str, nn.Module] = {
        "generator": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)),
        "discriminator": nn.Conv2d(3, 1, 3),
        "fixed": nn.Conv2d(3, 3, 1),
    }
    model = Toy(networks, {"generator": optimizer, "discriminator": optimizer}, {}, {}, ema_decay=0.9)
    return model.to(memory_format=torch.channels_last)


def go(model: Toy, first: int, last: int) -> Toy:
    for k in range(first, last):
        model.training_step(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(k)), 0)
    return model


def state(model: Toy) -> dict[str, Tensor]:
    """Return all that is to survive, by name."""
    found = dict(model.state_dict())
    for role in model.trained:
        for number, entries in model.optimizer(role).state_dict()["state"].items():
            found |= {f"optimizer {role} {number} {key}": torch.as_tensor(value) for key, value in entries.items()}
    return found


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    assert first.keys() == second.keys()
    return [
        name for name, value in first.items() if not (value.equal(second[name]) and value.dtype == second[name].dtype)
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restored_model_is_the_same_and_goes_on_the_same(name: str, tmp_path: Path) -> None:
    model = go(make(0, OPTIMIZERS[name]), 0, 3)
    path = RunFolder(tmp_path).checkpoint(model.iteration)
    checkpoints.write(checkpoints.capture(model, ("a", "b"), {}), path)
    other = make(1, OPTIMIZERS[name])
    checkpoints.restore(other, checkpoints.read(path))
    assert other.iteration == 3
    assert differing(state(model), state(other)) == []
    for role in model.trained:
        groups = [m.optimizer(role).state_dict()["param_groups"] for m in (model, other)]
        assert json.loads(json.dumps(groups[0])) == json.loads(json.dumps(groups[1]))
    assert differing(state(go(model, 3, 6)), state(go(other, 3, 6))) == []


def test_settings_are_those_of_the_checkpoint() -> None:
    model = go(make(0), 0, 1)
    model.optimizer("generator").param_groups[0]["lr"] = 0.123
    other = make(1)
    checkpoints.restore(other, checkpoints.capture(model, (), {}))
    group = other.optimizer("generator").param_groups[0]
    assert group["lr"] == 0.123
    assert group["betas"] == (0.0, 0.99)
    assert other.optimizer("discriminator").param_groups[0]["lr"] == 1e-2


def test_restored_model_shares_nothing_with_the_checkpoint() -> None:
    model = go(make(0), 0, 2)
    kept = checkpoints.capture(model, (), {})
    other = make(1)
    checkpoints.restore(other, kept)
    before = {name: tensor.clone() for name, tensor in kept.tensors.items() if not name.startswith("optimizer")}
    go(other, 2, 4)
    unlike = [name for name in before if name.startswith("network") and not kept.tensors[name].equal(before[name])]
    assert unlike == []


def test_a_model_that_has_not_trained_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "0.safetensors"
    checkpoints.write(checkpoints.capture(make(0), (), {}), path)
    other = go(make(1), 0, 2)
    checkpoints.restore(other, checkpoints.read(path))
    assert other.iteration == 0
    assert differing(state(make(0)), state(other)) == []


def test_names_and_header_can_be_read_by_anyone(tmp_path: Path) -> None:
    config = {"seed": 3, "nested": {"list": [1, 2.5, None, "ü"]}}
    path = RunFolder(tmp_path).checkpoint(2)
    checkpoints.write(checkpoints.capture(go(make(0), 0, 2), ("cat", "Löwe"), config), path)
    assert path == tmp_path / "checkpoints" / "000002.safetensors"
    assert [p.name for p in path.parent.iterdir()] == ["000002.safetensors"]
    with safe_open(path, framework="pt") as file:
        header, names = file.metadata(), list(file.keys())
        assert file.get_tensor("network.generator.0.weight").is_contiguous()
    assert header["format"] == checkpoints.FORMAT
    assert header["version"] == __version__
    assert header["iteration"] == "2"
    assert json.loads(header["domains"]) == ["cat", "Löwe"]
    assert json.loads(header["config"]) == config
    assert set(json.loads(header["optimizers"])) == {"generator", "discriminator"}
    assert {name.split(".")[0] for name in names} == {"network", "ema", "optimizer"}
    assert {".".join(name.split(".")[:2]) for name in names} == {
        "network.generator",
        "network.discriminator",
        "network.fixed",
        "ema.generator",
        "optimizer.generator",
        "optimizer.discriminator",
    }
    found = checkpoints.read(path)
    assert (found.iteration, found.domains, found.config) == (2, ("cat", "Löwe"), config)
    assert set(found.group("network.fixed")) == {"weight", "bias"}
    assert found.group("network.fix") == {}


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("the file was executed",))

    path = tmp_path / "trap.safetensors"
    torch.save({"network": Trap()}, path)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        checkpoints.read(path)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [(None, "no format name"), ({"format": "pt"}, "'pt'"), ({"format": "translate checkpoint 0"}, "checkpoint 0")],
)
def test_foreign_safetensors_are_refused(tmp_path: Path, metadata: dict[str, str] | None, found: str) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(UserError) as caught:
        checkpoints.read(path)
    assert str(path) in str(caught.value)
    assert found in str(caught.value)
    assert checkpoints.FORMAT in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\xff" * 64])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        checkpoints.read(path)


def test_missing_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoints.read(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoints.newest(tmp_path)


def test_newest_is_by_number_not_by_name(tmp_path: Path) -> None:
    model = make(0)
    for iteration in (999_999, 1_000_000, 20):
        model.iteration = iteration
        checkpoints.write(checkpoints.capture(model, (), {}), RunFolder(tmp_path).checkpoint(iteration))
    (tmp_path / "checkpoints" / "best.safetensors").write_bytes(b"")
    (tmp_path / "checkpoints" / "9999999.unfinished").write_bytes(b"")
    assert [int(p.stem) for p in RunFolder(tmp_path).checkpoints().values()] == [20, 999_999, 1_000_000]
    assert checkpoints.newest(tmp_path).iteration == 1_000_000


def test_a_network_of_another_shape_is_not_filled_by_half() -> None:
    kept = checkpoints.capture(go(make(0), 0, 1), (), {})
    other = make(1)
    other.generator[2] = nn.Conv2d(4, 3, 3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        checkpoints.restore(other, kept)


class Pool:
    """State of a model beside its networks."""

    def __init__(self, value: float) -> None:
        self.images = torch.full((2, 3), value)

    def state_dict(self) -> dict[str, Tensor]:
        return {"images": self.images}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.images = state["images"]


def test_a_checkpoint_of_format_1_is_restored_exactly(tmp_path: Path) -> None:
    model = go(make(0), 0, 3)
    model.stateful["pool"] = Pool(0.5)
    path = RunFolder(tmp_path).checkpoint(3)
    checkpoints.write(checkpoints.capture(model, ("a", "b"), {"seed": 1}), path)
    new = checkpoints.read(path)
    checkpoint_of_format_1(path)
    with safe_open(path, framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"network", "average", "optimizer", "memory"}  # noqa: SIM118
    old = checkpoints.read(path)
    assert (old.iteration, old.domains, old.config, old.optimizers) == (3, ("a", "b"), {"seed": 1}, new.optimizers)
    assert differing(old.tensors, new.tensors) == []
    assert checkpoints.read(path, ("ema",)).tensors.keys() == {name for name in new.tensors if name.startswith("ema.")}
    other = make(1)
    other.stateful["pool"] = Pool(0.0)
    checkpoints.restore(other, old)
    assert differing(state(model), state(other)) == []
    assert other.stateful["pool"].state_dict()["images"].equal(torch.full((2, 3), 0.5))
    assert differing(state(go(model, 3, 6)), state(go(other, 3, 6))) == []


def test_a_damaged_checkpoint_of_format_1_is_refused(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).checkpoint(1)
    checkpoints.write(checkpoints.capture(go(make(0), 0, 1), (), {}), path)
    checkpoint_of_format_1(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="wrong checksum of"):
        checkpoints.read(path)
