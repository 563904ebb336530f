"""Tables of measured runs, against runs whose figures are written by hand."""

import csv
import json
import os
import statistics
from pathlib import Path
from typing import Any

import pytest

from translate.cli import main
from translate.config.expected import ExpectedScore
from translate.config.search_path import shipped
from translate.errors import UserError
from translate.tables import collect, format
from translate.tables.collect import Cell, tables
from translate.tables.reported import read as read_paper
from translate.tables.run_scores import folders, scores_of_run

BETTER = {"FID, latent": "lower", "LPIPS, latent": "higher"}
Values = dict[str, float]


def run(folder: Path, name: str = "study/ablation/a", seed: int = 0, **config: Any) -> Path:
    folder.mkdir(parents=True)
    tree = {
        "name": name,
        "seed": seed,
        "iterations": 10,
        "model": {"name": "m", "weight": 1.0},
        "log_every": 5,
        **config,
    }
    (folder / "config.yaml").write_text(json.dumps(tree))
    return folder


def result(folder: Path, values: Values, protocol: str = "clean", checkpoint: str = "last", **tree: Any) -> None:
    (folder / "metrics").mkdir(exist_ok=True)
    found = {
        "protocol": protocol,
        "checkpoint": checkpoint,
        "iteration": 10,
        "networks": "ema",
        "scores": values,
        "better": {name: way for name, way in BETTER.items() if name in values},
        "data": {"train": {"images": 3, "fingerprint": "x"}},
        **tree,
    }
    (folder / "metrics" / f"{protocol}_{checkpoint}.json").write_text(json.dumps(found))


def all_tables(*places: Path, **given: Any) -> list[collect.Table]:
    return tables([each for folder in folders(map(str, places)) for each in scores_of_run(folder)], **given)


def test_mean_and_spread_are_over_the_seeds_of_an_experiment(tmp_path: Path) -> None:
    for seed, fid in enumerate((10.0, 14.0, 12.0)):
        result(run(tmp_path / "sweep" / str(seed), seed=seed, log_every=seed), {"FID, latent": fid})
    result(run(tmp_path / "other", "study/ablation/b", 1), {"FID, latent": 9.0})
    (table,) = all_tables(tmp_path)
    a, b = table.rows
    assert (a.name, a.seeds, b.name, b.seeds) == ("study/ablation/a", (0, 1, 2), "study/ablation/b", (1,))
    assert a.cells["FID, latent"].mean == 12.0
    assert a.cells["FID, latent"].spread == pytest.approx(statistics.stdev([10.0, 14.0, 12.0])) == 2.0
    assert b.cells["FID, latent"].spread is None
    assert format.best_rows(table, "FID, latent") == set()  # one seed of b shows nothing


@pytest.mark.parametrize(("other", "best"), [((8.0, 9.0), {1}), ((10.0, 12.0), set()), ((8.0,), set())])
def test_the_best_is_bold_where_the_spread_allows_it(tmp_path: Path, other: tuple[float, ...], best: set[int]) -> None:
    for name, values in {"a": (12.0, 14.0), "b": other}.items():
        for seed, fid in enumerate(values):
            result(run(tmp_path / name / str(seed), f"study/ablation/{name}", seed), {"FID, latent": fid})
    (table,) = all_tables(tmp_path)
    assert format.best_rows(table, "FID, latent") == best
    assert ("**" in format.markdown(table)) == bool(best)


def test_rows_to_compare_with_and_marks_stand_in_tables(tmp_path: Path) -> None:
    rows = {"source": {"FID, latent": 50.0}, "untrained": {"FID, latent": 300.0}, "real": {"FID, latent": 5.0}}
    marks = {"worse than the source": {"FID, latent": "60 is worse"}}
    for seed, fid in enumerate((60.0, 40.0)):
        folder = run(tmp_path / str(seed), seed=seed)
        values = {"FID, latent": fid, "black, latent": 0.0}
        result(folder, values, columns=rows, marks=marks if fid > 50 else {})
    (table,) = all_tables(tmp_path)
    assert table.scores == ("FID, latent",)  # no image is black
    assert [row.name for row in table.beside] == ["source", "untrained", "real"]
    text = format.markdown(table)
    assert "| source | - | - | - | - | 50 |" in text
    assert "| 50 \N{PLUS-MINUS SIGN} 14 \N{DOUBLE DAGGER} |" in text
    assert "\N{DOUBLE DAGGER} for a seed worse than the source as it is: doing nothing is better" in text
    assert "**" not in text
    assert r"$\ddagger$" in format.latex(table)
    assert "real,-,-,-,-,clean,5.0" in format.comma_separated(table)


def test_protocols_and_checkpoints_are_kept_apart(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    result(folder, {"FID, latent": 10.0})
    result(folder, {"FID, latent": 8.0}, checkpoint="best", iteration=6)
    result(folder, {"FID, latent": 11.0}, networks="trained", checkpoint="000005", iteration=5)
    result(folder, {"FID, latent": 300.0}, protocol="official")
    clean, official = all_tables(tmp_path)
    assert (clean.protocol, official.protocol) == ("clean", "official")
    told = {(row.checkpoint, row.networks, row.iterations): row.cells["FID, latent"].mean for row in clean.rows}
    assert told == {
        ("last", "ema", (10,)): 10.0,
        ("best", "ema", (6,)): 8.0,
        ("000005", "trained", (5,)): 11.0,
    }
    assert [row.cells["FID, latent"].mean for row in official.rows] == [300.0]


def test_scores_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """The metrics.json of earlier versions has columns; files without scores are left alone."""
    folder = run(tmp_path / "a")
    columns = {
        "trained": {"domain accuracy, latent": 0.5, "content kept": 0.25},
        "real images": {"domain accuracy, latent": 0.99},
    }
    tree = {"protocol": "local", "iteration": 10, "networks": "averaged", "figures": columns}
    (folder / "metrics.json").write_text(json.dumps(tree))
    again = {"FID, latent": 3.0, "broken": float("nan"), "domain accuracy, latent": 0.6}
    result(folder, again, protocol="local")
    (folder / "metrics" / "best.json").write_text(json.dumps({"figure": "FID", "value": 1}))
    (folder / "metrics" / "local_last.partial.json").write_text(json.dumps({**tree, "protocol": "half"}))
    (folder / "metrics" / "damaged.json").write_text("{")
    (table,) = all_tables(tmp_path)
    (row,) = table.rows
    assert {name: cell.values for name, cell in row.cells.items()} == {
        "content kept": (0.25,),
        "domain accuracy, latent": (0.6,),
        "FID, latent": (3.0,),
    }


def test_a_measurement_repeated_with_another_seed_is_averaged_within_its_run(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    result(folder, {"FID, latent": 10.0})
    path = folder / "metrics" / "clean_last.json"
    (folder / "metrics" / "clean_last_seed1.json").write_text(path.read_text().replace("10.0", "12.0"))
    (table,) = all_tables(tmp_path)
    assert table.rows[0].cells["FID, latent"].values == (11.0,)


def test_experiments_of_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for number, weight in enumerate((1.0, 2.0)):
        result(run(tmp_path / str(number), model={"name": "m", "weight": weight}), {"FID, latent": weight})
    (table,) = all_tables(tmp_path)
    assert [row.name for row in table.rows] == ["study/ablation/a (weight=1.0)", "study/ablation/a (weight=2.0)"]


def test_a_seed_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    for age, fid in ((100, 10.0), (0, 20.0)):
        folder = run(tmp_path / str(age))
        result(folder, {"FID, latent": fid})
        path = folder / "metrics" / "clean_last.json"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    (table,) = all_tables(tmp_path)
    assert table.rows[0].cells["FID, latent"].values == (20.0,)
    assert "the newer one counts" in table.notes[0]


def test_other_data_is_said(tmp_path: Path) -> None:
    result(run(tmp_path / "a"), {"FID, latent": 1.0})
    other = {"train": {"images": 3, "fingerprint": "y"}}
    result(run(tmp_path / "b", "study/ablation/b"), {"FID, latent": 2.0}, data=other)
    (table,) = all_tables(tmp_path)
    assert table.notes == ("the rows are of different data: study/ablation/a; study/ablation/b",)


def test_the_shipped_paper_is_table_1() -> None:
    (paper,) = read_paper(shipped("conf") / "paper" / "stargan_v2_table_1.yaml").reports
    assert (paper.protocol, paper.checkpoint, paper.compare) == ("official", None, "order")
    fids = [paper.of(f"stargan_v2/ablation/{row}")["FID, latent"].value for row in "abcdef"]
    assert fids == [98.4, 91.4, 80.5, 32.3, 17.1, 13.7]
    rows = [paper.of(f"stargan_v2/ablation_critters/{row}") for row in "abcdef"]
    assert [row["LPIPS, latent"].value for row in rows if "LPIPS, latent" in row] == [0.312, 0.405, 0.452]
    assert paper.of("stargan_v2/afhq_256") == {}


@pytest.mark.parametrize("text", ["rows: {}", "- 1", "source: a\nprotocol: b\nrows: {x: {FID: many}}", "a: b: c"])
def test_a_paper_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UserError, match=r"is not a file of reported scores|p\.yaml:1: this is not YAML"):
        read_paper(tmp_path / "p.yaml")


def test_the_command_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for row, (fid, lpips) in {"d": (30.0, 0.3), "f": (14.0, 0.46)}.items():
        for seed in (1, 2):
            values = {"FID, latent": fid + seed, "LPIPS, latent": lpips, "FID, reference": 99.0}
            result(run(tmp_path / "runs" / row / str(seed), f"stargan_v2/ablation/{row}", seed), values)
    run(tmp_path / "runs" / "unmeasured")
    words = ["table", "runs/*", "score=FID, latent", "score=LPIPS", "paper=stargan_v2_table_1", "to=out"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 of 5 runs have no such scores" in said
    lines = (tmp_path / "out" / "clean.md").read_text().splitlines()
    assert lines[0] == (
        "| experiment | checkpoint | networks | iteration | seeds | FID, latent \N{DOWNWARDS ARROW} | "
        "LPIPS, latent \N{UPWARDS ARROW} | paper: FID, latent | paper: LPIPS, latent |"
    )
    assert lines[3] == (
        "| stargan_v2/ablation/f | last | ema | 10 | 1, 2 | **15.50 \N{PLUS-MINUS SIGN} 0.71** | "
        "**0.4600 \N{PLUS-MINUS SIGN} 0.0000** | 13.7 | 0.452 |"
    )
    assert any("scores that the paper reports, not measured here: Choi et al. 2020" in line for line in lines)
    assert any("compare orders, not numbers" in line for line in lines)  # the paper's are of another protocol
    tex = (tmp_path / "out" / "clean.tex").read_text()
    assert r"stargan\_v2/ablation/f & last" in tex
    assert tex.count(r"\textbf") == 2
    with open(tmp_path / "out" / "clean.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["FID, latent: mean"]) == 31.5
    assert table[0]["FID, latent: values"] == "31.0 32.0"
    assert table[1]["paper: LPIPS, latent"] == "0.452"
    assert (tmp_path / "out" / "clean.png").read_bytes().startswith(b"\x89PNG")
    assert "FID, reference" not in tex


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table"], "runs: this argument is missing; expected RUNS ..."),
        (["table", "nothing"], "nothing: found no run folder"),
        (["table", "runs", "scor=FID"], "table: unknown argument 'scor'. Did you mean 'score'?"),
        (["table", "runs", "score=FIDD"], "score: no run has this score: 'FIDD'. Did you mean 'FID'?"),
        (["table", "runs", "paper=nothing"], "paper: unknown file 'nothing'. Known: ladder, stargan_v2_table_1"),
        (["table", "runs", "checkpoint=best"], "none of the 1 runs has scores of this checkpoint"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result(run(tmp_path / "runs" / "a"), {"FID, latent": 1.0})
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "tables").exists()


def test_digits_follow_the_spread() -> None:
    assert format.cell_text(Cell((0.45, 0.4512)), "+-") == "0.45060 +- 0.00085"
    assert format.cell_text(Cell((1234.0, 1000.0)), "+-") == "1117 +- 165"


def test_a_model_without_style_inputs_stands_beside_codes(tmp_path: Path) -> None:
    result(run(tmp_path / "a", "study/ablation/a"), {"FID": 5.0, "coverage": 0.5})
    result(run(tmp_path / "b", "study/ablation/b"), {"FID, latent": 2.0, "FID, reference": 3.0})
    (table,) = tables([each for folder in ("a", "b") for each in scores_of_run(tmp_path / folder)])
    a, b = table.rows
    assert set(table.scores) == {"FID, latent", "FID, reference", "coverage"}
    assert a.cells["FID, latent"].mean == 5.0
    assert a.cells["coverage"].mean == 0.5
    assert "FID, reference" not in a.cells
    assert b.cells["FID, latent"].mean == 2.0
    assert table.notes[0].startswith("study/ablation/a: gives one translation of an image")


# --- expected and reported scores ---------------------------------------------------------------------------

TASK = "FID, horse -> zebra"
EXPECTED = {
    "protocol": "clean",
    "seeds": [0, 1, 2],
    "scores": [
        {"score": TASK, "checkpoint": "last", "at_most": 77.0},
        {"score": TASK, "checkpoint": "best", "near": 64.5, "tolerance": 2.0},
    ],
}


def ladder_run(folder: Path, seed: int, last: float, best: float, **config: Any) -> Path:
    """Return a run with two evaluations during training, of which the first is the best, and one at its end."""
    run(folder, "ladder/x", seed, **{"expected": EXPECTED, **config})
    for checkpoint, iteration, fid in ((f"{5 + seed:06d}", 5 + seed, best), ("000010", 10, last), ("last", 10, last)):
        tasks = {"horse -> zebra": {"FID": fid, "translations": 3}, "zebra -> horse": {"FID": 140.0}}
        values, ways = {"FID": (fid + 140) / 2}, {"FID": "lower"}
        result(folder, values, checkpoint=checkpoint, iteration=iteration, tasks=tasks, better=ways)
    note = {"protocol": "clean", "score": TASK, "better": "lower", "value": best, "iteration": 5 + seed}
    (folder / "metrics" / "best.json").write_text(json.dumps(note))
    return folder


def report(checkpoint: str | None, fid: float, source: str, protocol: str = "clean") -> dict[str, Any]:
    rows = {"ladder/*": {TASK: fid}}
    return {"source": source, "protocol": protocol, "checkpoint": checkpoint, "rows": rows}


def paper_of(tmp_path: Path, *reports: dict[str, Any]) -> Any:
    (tmp_path / "p.yaml").write_text(json.dumps({"reports": reports}))
    return read_paper(tmp_path / "p.yaml")


def test_last_and_best_stand_beside_what_is_expected(tmp_path: Path) -> None:
    for seed, (last, best) in enumerate(((70.0, 60.0), (76.0, 62.0))):
        ladder_run(tmp_path / str(seed), seed, last, best)
    (table,) = all_tables(tmp_path)
    shown = [row for row in table.rows if row.checkpoint in ("last", "best")]
    assert [(row.checkpoint, row.iterations) for row in shown] == [("last", (10,)), ("best", (5, 6))]
    last, best = shown
    assert last.cells[TASK].values == (70.0, 76.0)
    assert best.cells[TASK].values == (60.0, 62.0)
    assert best.cells["FID"].mean == (61 + 140) / 2  # of the same iterations
    assert str(last.expected[TASK]) == "\N{LESS-THAN OR EQUAL TO} 77: met (without seed 2)"
    assert str(best.expected[TASK]) == "64.5 \N{PLUS-MINUS SIGN} 2: not met (without seed 2)"
    assert table.better[TASK] == "lower"
    assert table.expected == (TASK,)
    text = format.markdown(table)
    assert "best is the iteration with the best score of all that were evaluated" in text
    assert "| ladder/x | best | ema | 5-6 | 0, 1 |" in text
    assert r"$\leq$ 77: met" in format.latex(table)


@pytest.mark.parametrize(
    ("comparison", "value", "tolerance", "met"),
    [
        ("at_most", 77.0, 0.0, [True, True, False, False]),
        ("at_most", 77.0, 1.0, [True, True, True, False]),
        ("at_least", 77.0, 0.0, [False, True, True, True]),
        ("near", 77.0, 1.0, [True, True, True, False]),
    ],
)
def test_the_tolerance_is_beyond_the_bound(comparison: Any, value: float, tolerance: float, met: list[bool]) -> None:
    expected = ExpectedScore("FID", "last", comparison, value, tolerance)
    assert [expected.is_met(mean) for mean in (76.0, 77.0, 78.0, 78.5)] == met
    assert not expected.is_met(float("nan"))


def test_a_score_that_is_missing_is_not_met(tmp_path: Path) -> None:
    folder = run(tmp_path / "a", "ladder/x", expected=EXPECTED)
    result(folder, {"KID": 3.0})
    (table,) = all_tables(tmp_path)
    assert str(table.rows[0].expected[TASK]) == "\N{LESS-THAN OR EQUAL TO} 77: not measured (without seeds 1, 2)"


def test_a_reported_best_is_not_beside_a_last(tmp_path: Path) -> None:
    ladder_run(tmp_path / "a", 0, 70.0, 60.0)
    paper = paper_of(tmp_path, report("best", 66.8, "A"), report("last", 68.0, "B"), report(None, 62.1, "C"))
    (table,) = tables(list(scores_of_run(tmp_path / "a")), paper=paper)
    beside = {row.checkpoint: [each.value for each in row.reported.get(TASK, ())] for row in table.rows}
    assert beside == {"last": [68.0, 62.1], "best": [66.8, 62.1], "000005": [62.1], "000010": [62.1]}
    text = format.markdown(table)
    assert "68 [1], 62.1 [2]" in text
    assert "66.8 [3], 62.1 [2]" in text
    assert "not measured here: [1] B; [2] C; [3] A" in text


def test_scores_of_another_protocol_are_never_compared(tmp_path: Path) -> None:
    folder = ladder_run(tmp_path / "a", 0, 70.0, 60.0, expected={**EXPECTED, "protocol": "pytorch_fid"})
    paper = paper_of(tmp_path, report("last", 62.1, "A 2020", "pytorch_fid"))
    (table,) = tables(list(scores_of_run(folder, paper.scores())), paper=paper)
    assert table.reported == table.expected == ()
    assert all(not row.reported and not row.expected for row in table.rows)
    said = " ".join(table.notes)
    assert (
        "A 2020 reports scores of ladder/x by protocol pytorch_fid, this table is of clean: they are left out" in said
    )
    assert "the scores that ladder/x expects are of protocol pytorch_fid: not compared here" in said


def test_evaluations_within_a_run_are_shown_when_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ladder_run(tmp_path / "runs" / "a", 0, 70.0, 60.0)
    assert main(["table", "runs"]) == 0
    said = capsys.readouterr().out
    assert [line.split(" | ")[1] for line in said.splitlines() if line.startswith("| ladder/x")] == ["last", "best"]
    assert "2 evaluations within runs are left out; checkpoint=000005 shows one of them" in said
    assert main(["table", "runs", "checkpoint=5"]) == 0
    said = capsys.readouterr().out
    assert [line.split(" | ")[1] for line in said.splitlines() if line.startswith("| ladder/x")] == ["000005"]


def test_a_report_with_an_unknown_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a file of reported scores"):
        paper_of(tmp_path, report("final", 1.0, "A"))
