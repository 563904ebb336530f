"""The model of communication on paper, and its table in docs/many_gpus.md."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from communication import COMMON, MODELS, Machines, Round, Update, cost, round_of, table

from translate.config.compose import load
from translate.training import build

ROOT = Path(__file__).parents[2]
MB = 2**20


def test_buckets_are_closed_by_their_size() -> None:
    update = Update(("d",), (10 * MB, 20 * MB, 1 * MB, 40 * MB, 3 * MB), 0)
    assert update.buckets() == [30 * MB, 41 * MB, 3 * MB]
    assert update.num_bytes == 74 * MB


@pytest.mark.parametrize(
    ("bandwidth", "latency", "exposed"),
    [
        (30 * MB, 0.0, 1.0),  # calls of 1 s, buckets complete after 2 s and 4 s: only the last one waits
        (10 * MB, 0.0, 4.0),  # calls of 3 s, the second from second 5 on
        (30 * MB, 1.0, 4.0),  # two steps of 1 s more, so the same
    ],
)
def test_a_reckoning_by_hand(bandwidth: float, latency: float, exposed: float) -> None:
    """Two GPUs: a call takes B / W + 2 L."""
    update = Update(("d",), (30 * MB, 30 * MB), backward=4)
    found = cost(Round((update,), operations=12), Machines("two", 2, bandwidth, latency, rate=1.0))
    assert found.computing == 12
    assert found.exposed == pytest.approx(exposed)
    assert found.calls == pytest.approx(2 * (30 * MB / bandwidth + 2 * latency))
    assert found.efficiency == pytest.approx(12 / (12 + exposed))


def test_the_table_of_the_documents() -> None:
    rounds = {name: round_of(load([*COMMON, *words])) for name, words in MODELS.items()}
    assert table(rounds) in (ROOT / "docs" / "many_gpus.md").read_text(encoding="utf-8")
    words = [*COMMON, *MODELS["StarGAN v1, 128 px, 16"], "trainer=cpu"]
    model = build.build_model(load(words))
    sizes = {role: 4 * sum(p.numel() for p in model.network(role).parameters()) for role in model.roles}
    found = [(update.roles, update.num_bytes) for update in rounds["StarGAN v1, 128 px, 16"].updates]
    assert found == [(("discriminator",), sizes["discriminator"])] * 5 + [(("generator",), sizes["generator"])]
