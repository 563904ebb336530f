"""Networks of domains that wait in CPU memory: where they are, and that training does not notice.

The device is the CPU too. A network that enters it is copied all the same, so a tensor that does not move with its
network, or that comes back too old, changes the result.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.tiny import differences, tiny_combogan, tiny_combogan_shared, tiny_cyclegan, tiny_unit
from translate.acceleration.offloading import CAPACITY, Offloaded, Residents, offload
from translate.config.resume import resumed
from translate.config.schema import RunConfig
from translate.errors import ConfigError, UserError
from translate.models.base import TranslationModel
from translate.models.ema import EMA
from translate.networks.layers.per_domain import PerDomain
from translate.runs.checkpoints import Checkpoint, newest
from translate.runs.folder import RunFolder
from translate.training import build, run

OFFLOAD = "trainer.offload_domains=true"
WORDS = ["data.domains=[bear,cat,rabbit]", "model.ema_decay=0.5", "iterations=8"]


def trained(config: RunConfig, folder: Path, resume: bool = False) -> Checkpoint:
    assert run.train(config, folder, folder if resume else None) == 0
    return newest(folder)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> list[Residents]:
    """Fill CPU memory with NaN while its tensors are on the device; return the records of all roles."""
    records: list[Residents] = []
    enter: Callable[[Residents, int], None] = Residents._enter

    def enter_and_spoil(self: Residents, number: int) -> None:
        if self not in records:
            records.append(self)
        enter(self, number)
        for home in self._homes.values():
            home.fill_(float("nan"))
        assert len(self.resident) < CAPACITY

    monkeypatch.setattr(Residents, "_enter", enter_and_spoil)
    return records


@pytest.mark.parametrize("tiny", [tiny_combogan, tiny_combogan_shared], ids=["plain", "shared blocks"])
def test_training_is_equal_to_the_bit(tiny: Callable[..., RunConfig], tmp_path: Path, spoiled: list[Residents]) -> None:
    words = [*WORDS, "sample_every=4"]
    plain = trained(tiny(*words), tmp_path / "plain")
    assert spoiled == []
    offloaded = trained(tiny(*words, OFFLOAD), tmp_path / "offloaded")
    assert differences(plain, offloaded) == []
    assert len(spoiled) == 5  # encoders, decoders, discriminators, and two EMA
    for residents in spoiled:
        assert residents.moves >= len(residents.networks) == 3
        assert not any(tensor.isnan().any() for network in residents.networks for tensor in network.parameters())


def test_a_resumed_run_is_equal_to_the_bit(tmp_path: Path, spoiled: list[Residents]) -> None:
    words = [*WORDS, "checkpoint_every=4", OFFLOAD]
    whole = trained(tiny_combogan(*words), tmp_path / "whole")
    trained(tiny_combogan(*words), tmp_path / "half")
    RunFolder(tmp_path / "half").checkpoint(8).unlink()
    assert differences(whole, trained(resumed(tmp_path / "half", []), tmp_path / "half", resume=True)) == []
    assert spoiled


def test_a_run_can_go_on_without_offloading(tmp_path: Path) -> None:
    words = [*WORDS, "checkpoint_every=4"]
    whole = trained(tiny_combogan(*words), tmp_path / "whole")
    trained(tiny_combogan(*words, OFFLOAD), tmp_path / "half")
    RunFolder(tmp_path / "half").checkpoint(8).unlink()
    config = resumed(tmp_path / "half", ["trainer.offload_domains=false"])
    assert differences(whole, trained(config, tmp_path / "half", resume=True)) == []


def test_the_weights_move_with_the_moments() -> None:
    networks = PerDomain(torch.nn.Linear(2, 2) for _ in range(3))
    optimizer = torch.optim.Adam(networks.parameters(), lr=0.1)
    networks[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    residents = offload(networks, lambda parameter: optimizer.state.get(parameter, {}))
    weight = networks[0].weight
    moments = optimizer.state[weight]

    def places() -> list[int]:
        return [tensor.data_ptr() for tensor in (weight, moments["exp_avg"], moments["exp_avg_sq"], moments["step"])]

    homes = places()
    residents.use(0)
    assert all(here != home for here, home in zip(places(), homes, strict=True))
    assert weight.grad is not None
    residents.use(1)
    residents.use(2)
    assert places() == homes
    assert weight.grad is None
    assert (residents.resident, residents.moves) == ([1, 2], 3)


def test_the_one_that_ran_longest_ago_leaves() -> None:
    networks = PerDomain(torch.nn.Linear(2, 2) for _ in range(3))
    residents = offload(networks)
    for number in (0, 1, 0, 2):
        networks[number](torch.ones(1, 2))
    assert (residents.resident, residents.moves) == ([0, 2], 3)
    assert isinstance(networks, Offloaded)
    state = {key: tensor.clone() for key, tensor in networks.state_dict().items()}
    networks.to(torch.float64)
    assert residents.resident == []
    assert all(tensor.dtype == torch.float64 for tensor in networks.state_dict().values())
    assert all(torch.equal(tensor.float(), state[key]) for key, tensor in networks.state_dict().items())


def test_an_average_enters_with_its_update() -> None:
    networks = PerDomain(torch.nn.Linear(2, 2) for _ in range(3))
    ema = EMA({"encoder": networks}, 0.5)
    entered: list[torch.nn.Module] = []
    ema.before_update = entered.append
    ema.update({"encoder.2": networks[2]})
    assert entered == [ema["encoder"][2]]  # type: ignore[index]


def test_models_without_such_networks_and_compiled_ones_are_refused() -> None:
    with pytest.raises(UserError, match=r"trainer.offload_domains: the model has no networks for each domain"):
        build.build_model(tiny_unit(OFFLOAD))
    with pytest.raises(ConfigError, match=r"trainer.offload_domains: compiled networks do not leave the device"):
        tiny_cyclegan(OFFLOAD, "trainer.compile=true")


def test_a_model_that_is_not_offloaded_has_no_hooks() -> None:
    model: TranslationModel = build.build_model(tiny_combogan())
    assert not any(module._forward_pre_hooks for module in model.modules())
