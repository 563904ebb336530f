"""The ladder of reported scores: every experiment runs for 20 iterations at tiny widths, from its command to its table.

Data sets are small ones in their official layouts, weights are filled by formula in theirs, and the networks of the
protocols are stand-ins, so that nothing is fetched.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import layouts
from numerics import landmarks, published
from translate.cli import USER_MISTAKE, main
from translate.commands import evaluate
from translate.commands.arguments import parse
from translate.config import expected
from translate.config.compose import load
from translate.config.experiments import header
from translate.config.schema import read_yaml
from translate.config.search_path import groups
from translate.errors import UserError
from translate.evaluation import feature_networks
from translate.metrics import lpips
from translate.metrics.selection import base_name
from translate.networks.cyclegan import ResnetGenerator
from translate.runs import scores
from translate.runs.folder import run_folders
from translate.tables import reported

LADDER = {name: path for name, path in groups()["experiments"].items() if name.startswith("ladder/")}
RELEASED = [name for name in LADDER if "/released_" in name]
TRAINED = [name for name in LADDER if name not in RELEASED]
PAPER = Path(__file__).parents[2] / "conf" / "paper" / "ladder.yaml"

OFFLINE = {
    "pytorch_fid": ["metrics.fid_pytorch_fid.weights=net.pth", "metrics.kid_pytorch_fid.weights=net.pth"],
    "official": ["metrics.fid_official.weights=net.pth", "metrics.lpips_official.weights=net.pth"],
}
"""Words that name the stand-in for the weights of a protocol."""

CYCLEGAN = [
    "data.image_size=32",
    "model.networks.generator_ab.base_width=4",
    "model.networks.generator_ab.num_blocks=1",
    "model.networks.discriminator_a.base_width=4",
    "model.networks.discriminator_a.num_layers=2",
]
STARGAN_V2 = [
    "data.image_size=32",
    "data.batch_size=2",
    "model.networks.generator.base_width=4",
    "model.networks.generator.max_width=8",
    "model.networks.mapping.hidden_width=8",
    "model.networks.discriminator.base_width=4",
    "model.networks.discriminator.max_width=8",
]
CUT = [
    "data.image_size=32",
    "model.num_places=32",
    "model.networks.generator.base_width=4",
    "model.networks.generator.num_blocks=1",
    "model.networks.projection={taps: [0, 4, 8, 12], num_features: 8}",
    "model.networks.discriminator.base_width=4",
]
DCLGAN = [
    "data.image_size=32",
    "model.num_places=32",
    "model.networks.generator_ab.base_width=4",
    "model.networks.generator_ab.num_blocks=1",
    "model.networks.projection_a={taps: [4, 8, 12], num_features: 8}",
    "model.networks.discriminator_a.base_width=4",
]
TINY = {
    "cyclegan_horse2zebra": CYCLEGAN,
    "cut_horse2zebra": CUT,
    "fastcut_horse2zebra": CUT,
    "dclgan_horse2zebra": DCLGAN,
    "stargan_v2_afhq": STARGAN_V2,
    "stargan_v2_relativistic_afhq": STARGAN_V2,
}
"""Words that make the model of an experiment tiny, by the end of its name."""


class Colours:
    """Features: the colours of an image in four places."""

    def __call__(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


class ColourDistance(torch.nn.Module):
    """A distance of images by their colours in four places, in place of LPIPS."""

    def __init__(self, weights: Path, linear: Path | None) -> None:
        super().__init__()

    def stages(self, images: Tensor) -> list[Tensor]:
        return [torch.nn.functional.adaptive_avg_pool2d(images, 2)]

    def between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        return (first[0] - second[0]).abs().mean((1, 2, 3))


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a new folder with the data sets in `datasets` and a file of weights, with stand-ins for the networks."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))
    torch.save({"weight": torch.zeros(1)}, "net.pth")  # read before training, and replaced below
    for protocol in OFFLINE:
        monkeypatch.setitem(feature_networks.NETWORKS, protocol, lambda *_: Colours())
    monkeypatch.setattr(lpips, "Lpips", ColourDistance)
    sides = dict.fromkeys(("trainA", "trainB", "testA", "testB"), 4)
    layouts.folders(Path("datasets/horse2zebra"), sides, (40, 40))
    for name, domains in {"afhq": ("cat", "dog", "wild"), "celeba_hq": ("female", "male")}.items():
        num_val = 4 if name == "afhq" else 1  # the landmark network takes its time
        counts = {f"{part}/{domain}": num for part, num in (("train", 4), ("val", num_val)) for domain in domains}
        layouts.folders(Path("datasets") / name, counts, (40, 40))


def words_of(option: str) -> list[str]:
    """Return the words of the command in an experiment's header, after the name of the program."""
    return shlex.split(header(LADDER[option])["Command"])[3:]


def expectation(option: str) -> expected.Expected:
    """Return what an experiment expects."""
    found = expected.read(to_plain(option))
    assert found is not None, f"{option} expects nothing"
    return found


def to_plain(option: str) -> dict[str, Any]:
    node: dict[str, Any] = read_yaml(LADDER[option])["expected"]
    return node


def small_words(option: str) -> list[str]:
    """Return the words of the header's command, made tiny: a run of seed 0, or an evaluation on the CPU."""
    protocol = expectation(option).protocol
    words = [word for word in words_of(option) if word != "-m" and not word.startswith("seed=")]
    return [*words, "trainer=cpu", *OFFLINE[protocol], "data.num_workers=0"]


def table_of(option: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """Return the rows of the command `table` with the reported scores, by checkpoint: column -> text.

    Rows of sources, untrained networks and real images, which are of no checkpoint, are left out.
    """
    capsys.readouterr()
    assert main(["table", f"runs/{option}", "paper=ladder"]) == 0
    out = capsys.readouterr().out.replace("**", "")
    lines = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    names, rows = [re.sub(r" [^\w ]$", "", name) for name in lines[0]], lines[2:]
    return {row[1]: dict(zip(names, row, strict=True)) for row in rows if row[1] != "-"}


def number(text: str) -> float:
    """Return the number at the beginning of a cell, without its spread and marks."""
    match = re.match(r"-?[\d.]+(e[+-]?\d+)?", text)
    assert match is not None, text
    return float(match[0])


# --- what the files say -------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", LADDER)
def test_an_experiment_and_its_reported_scores_agree(option: str) -> None:
    """They are of one protocol, the command has the seeds, and the header's prose has the numbers of the fields."""
    wanted, said = expectation(option), header(LADDER[option])
    paper = reported.read(PAPER)
    rows = {score.checkpoint: paper.of(option, wanted.protocol, score.checkpoint) for score in wanted.scores}
    for score in wanted.scores:
        assert f"{score.value:g}" in said["Expected"], score
        assert score.score in rows[score.checkpoint], f"nothing is reported of {score}"
    assert paper.left_out(option, wanted.protocol) == []
    if len(wanted.seeds) > 1:
        assert f"seed={','.join(map(str, wanted.seeds))}" in words_of(option)
        assert words_of(option)[0] == "-m"
    assert "not run" in said["Status"]


def test_every_reported_score_belongs_to_an_experiment() -> None:
    for report in reported.read(PAPER).reports:
        assert any(report.of(option) for option in LADDER), report.source


@pytest.mark.parametrize("option", TRAINED)
def test_the_best_is_chosen_by_the_expected_score(option: str) -> None:
    config = load([f"experiments={option}", *OFFLINE[expectation(option).protocol], *data_of(option)])
    assert config.evaluate_every is not None
    assert config.best == expectation(option).scores[0].score
    assert config.expected is not None
    assert config.iterations >= 100000 or base_name(config.best) == "FID"


def data_of(option: str) -> list[str]:
    return [word for word in words_of(option) if word.startswith("data.root=")]


# --- rungs that train ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", TRAINED)
def test_a_rung_trains_and_its_table_has_last_and_best(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = TINY[option.removeprefix("ladder/")]
    every = ["iterations=20", "evaluate_every=10", "sample_every=null", "checkpoint_every=20", "log_every=10"]
    assert main([*small_words(option), *tiny, *every]) == 0
    (run,) = run_folders(Path("runs") / option)
    wanted = expectation(option)
    note = scores.read_best(scores.best_file(run.path))
    assert note is not None
    assert (note["score"], note["protocol"]) == (wanted.scores[0].score, wanted.protocol)
    rows = table_of(option, capsys)
    assert set(rows) == {"last", "best"}
    assert rows["last"]["iteration"] == "20"
    assert rows["best"]["iteration"] == str(note["iteration"])
    assert number(rows["best"][wanted.scores[0].score]) == pytest.approx(note["value"], rel=1e-3)
    for score in wanted.scores:
        verdict = rows[score.checkpoint][f"expected: {score.score}"]
        value = number(rows[score.checkpoint][score.score])
        assert verdict.startswith(f"{score}: {'met' if score.is_met(value) else 'not met'}")
        assert rows[score.checkpoint][f"paper: {score.score}"] != "-"


@pytest.mark.parametrize("option", TRAINED)
def test_a_missing_file_of_the_protocol_is_said_before_training(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline_fetch(monkeypatch)
    words = [word for word in small_words(option) if not word.startswith("metrics.")]
    assert main([*words, *TINY[option.removeprefix("ladder/")], "iterations=20"]) == USER_MISTAKE
    said = capsys.readouterr().err
    assert "is missing and could not be fetched" in said
    assert "save the file as" in said
    assert not Path("runs").exists()


def offline_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every download fail as on a machine without a connection."""
    from translate.downloads.fetch import Unavailable
    from translate.evaluation import pretrained

    def refuse(*_: Any) -> Path:
        raise Unavailable("no connection", key="test")

    monkeypatch.setattr(pretrained, "fetch", refuse)


# --- rungs of released weights ------------------------------------------------------------------------------


def released_content(option: str) -> dict[str, Any]:
    """Return networks of the official layout, filled by formula, in place of released ones."""
    if option.endswith("afhq"):
        return published.stargan_v2(32, 0.0, 3, width=4, widest=8)
    if option.endswith("celeba_hq"):
        return {**published.stargan_v2(64, 1.0, 2, width=4, widest=8), "fan": landmarks.state()}
    network = ResnetGenerator(base_width=4, num_blocks=9, norm="instance", dropout=False)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    return {key: published.value("ladder", "generator", key, shape) for key, shape in shapes.items()}


def marked(option: str) -> Any:
    """Return a case; CelebA-HQ is slow by its landmark network."""
    return pytest.param(option, marks=pytest.mark.slow) if option.endswith("celeba_hq") else option


@pytest.mark.parametrize("option", [marked(option) for option in RELEASED])
def test_released_weights_are_scored_by_one_command(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = small_words(option)
    name = next(word.partition("=")[2] for word in words if word.startswith("weights="))
    file = save_released(option, name)
    assert main([*words, "batch_size=4"]) == 0  # it finds the file where `download` puts it
    (run,) = run_folders(Path("runs") / option)
    assert f"weights {file}, SHA-256 " in capsys.readouterr().err
    (row,) = table_of(option, capsys).values()
    assert (row["checkpoint"], row["iteration"]) == ("last", "0")
    for score in expectation(option).scores:
        assert np.isfinite(number(row[score.score]))
        assert row[f"expected: {score.score}"].startswith(f"{score}: ")
        assert row[f"paper: {score.score}"] != "-"
    assert not (run.path / "metrics.jsonl").exists()  # nothing was trained


def save_released(option: str, name: str) -> Path:
    from translate.downloads.sources import read_all

    (file,) = read_all()[name].content
    return published.save(released_content(option), Path("datasets") / name / file)


def test_released_weights_by_file_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    option = "ladder/released_cyclegan_horse2zebra"
    file = published.save(released_content(option), Path("mine.pth"))
    words = [f"weights={file}" if word.startswith("weights=") else word for word in small_words(option)]
    assert main([*words, f"sha256={'0' * 64}"]) == USER_MISTAKE
    assert "is another file" in capsys.readouterr().err
    assert not Path("runs").exists()
    assert main([*words, "to=here"]) == 0
    assert (Path("here") / "metrics" / "pytorch_fid_last.json").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["weights=mine.pth"], "weights: scores need images; found 'mine.pth'"),
        (["weights=weights_nothing", "data=horse2zebra", "data.root=datasets/horse2zebra"], "unknown weights"),
        (["run=runs/a", "data=horse2zebra"], "evaluate: unknown argument 'data'"),
        (["run=runs/a", "to=b"], "to: a run has its folder and its weights"),
    ],
)
def test_mistakes_of_weights_without_a_run(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *words]) == USER_MISTAKE
    assert sentence in capsys.readouterr().err


def test_the_command_of_the_header_has_the_metrics_of_the_expected_protocol() -> None:
    for option in RELEASED:
        arguments = parse(evaluate.COMMAND, words_of(option)[1:])
        labels = evaluate.metrics_of(arguments)
        assert any(label.endswith(expectation(option).protocol) for label in labels)
    with pytest.raises(UserError):
        evaluate.metrics_of(parse(evaluate.COMMAND, ["weights=mine.pth"]))
