"""What DTN does beside the numbers of the port: whose features the running statistics of g are of."""

import copy

import pytest
import torch

from training.tiny import tiny_dtn
from translate.models.dtn import DTN
from translate.training import build


@pytest.mark.parametrize("choice", ["both", "source"])
def test_running_statistics_of_the_generator_are_of_the_chosen_domains(choice: str) -> None:
    config = tiny_dtn(f"model.running_statistics={choice}")
    data, model = build.build_data(config), build.build_model(config)
    assert isinstance(model, DTN)
    batch = data.augment(data.iterations()[0])
    expected = copy.deepcopy(model.generator).train()
    with torch.no_grad():
        for images in (batch.a, batch.b) if choice == "both" else (batch.a,):
            expected(model.features(images))
    model.train()
    model.step(batch)
    running = {key: value for key, value in expected.named_buffers() if "running" in key}
    assert running
    for key, value in running.items():
        torch.testing.assert_close(model.generator.get_buffer(key), value)
    assert all(module.momentum != 0 for module in model.generator.modules() if isinstance(module, torch.nn.BatchNorm2d))


def test_the_choice_changes_the_statistics_and_no_weight() -> None:
    states = []
    for choice in ("both", "source"):
        config = tiny_dtn(f"model.running_statistics={choice}")
        data, model = build.build_data(config), build.build_model(config)
        model.train()
        model.training_step(data.augment(data.iterations()[0]), 0)
        states.append(model.network("generator").state_dict())
    differing = {key for key in states[0] if not states[0][key].equal(states[1][key])}
    assert differing
    assert all("running" in key for key in differing)
