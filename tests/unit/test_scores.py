"""Scores files are read in every format that was ever written, and written in one."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from translate.config.renamed import rename_saved, renamed_word
from translate.errors import UserError
from translate.runs import scores
from translate.runs.scores import Request, Result

FORMER = {
    "protocol": "published",
    "checkpoint": "last",
    "iteration": 10,
    "networks": "averaged",
    "model": "abc",
    "seed": 0,
    "metrics": {"fid_published": {}, "fid_local": {"judge": {"num_iterations": 2}}},
    "weights": {},
    "data": {},
    "figures": {"FID, latent": 3.5, "KID": None},
    "better": {"FID, latent": "lower"},
    "routes": {"cat -> dog, latent": {"FID": 3.5}},
    "columns": {},
    "doubts": ["few images"],
    "environment": {},
}


def result(**changes: Any) -> Result:
    request = Request("clean", 10, "ema", "abc", metrics={"fid_clean": {}})
    return Result(request, "last", {"FID, latent": 3.5}, {"FID, latent": "lower"}, **changes)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = scores.path_of(tmp_path, "clean", "last")
    written = result(tasks={"cat -> dog": {"FID": 3.5}}, columns={"real": {"FID": 1.0}}, warnings=["few"])
    scores.write(path, written)
    assert scores.read(path) == written


def test_marks_are_written_and_stay_with_their_scores(tmp_path: Path) -> None:
    path = scores.path_of(tmp_path, "clean", "last")
    first = result(marks={"worse than the source": {"FID, latent": "3.5 is worse", "KID": "1 is worse"}})
    scores.write(path, first)
    scores.write(path, result())  # the same score again, without a mark
    read = scores.read(path)
    assert read is not None
    assert read.marks == {"worse than the source": {"KID": "1 is worse"}}


def test_former_names_of_columns_are_read() -> None:
    tree = {"protocol": "local", "scores": {"a": 1}, "columns": {"real images": {"a": 2}, "sources": {"a": 3}}}
    read = scores.parse(tree)
    assert read is not None
    assert read.columns == {"real": {"a": 2}, "source": {"a": 3}}


def test_former_names_are_read() -> None:
    read = scores.parse(FORMER)
    assert read is not None
    assert (read.request.protocol, read.request.networks) == ("official", "ema")
    assert read.request.metrics == {"fid_official": {}, "fid_local": {"classifier": {"num_iterations": 2}}}
    assert read.scores["FID, latent"] == 3.5
    assert math.isnan(read.scores["KID"])
    assert read.tasks == {"cat -> dog, latent": {"FID": 3.5}}
    assert read.warnings == ["few images"]


def test_the_former_file_of_a_run_is_left_out_where_a_later_one_exists(tmp_path: Path) -> None:
    former = {
        "protocol": "local",
        "iteration": 10,
        "networks": "averaged",
        "figures": {"trained": {"accuracy": 0.5, "content": 0.1}, "untrained": {"accuracy": 0.2}},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(former))
    ((_, read),) = scores.of_run(tmp_path)
    assert (read.checkpoint, read.scores, read.columns) == (
        "last",
        {"accuracy": 0.5, "content": 0.1},
        {"untrained": {"accuracy": 0.2}},
    )
    path = scores.path_of(tmp_path, "local", "last")
    scores.write(path, Result(Request("local", 10, "ema"), "last", {"accuracy": 0.6}))
    assert [read.scores for _, read in scores.of_run(tmp_path)] == [{"accuracy": 0.6}, {"content": 0.1}]
    scores.write(path, Result(Request("local", 20, "ema"), "last", {"accuracy": 0.7}))
    assert [read.scores for _, read in scores.of_run(tmp_path)] == [{"accuracy": 0.7}]


def test_a_damaged_file_is_an_error_only_where_it_matters(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "local_last.json").write_text("{")
    (tmp_path / "metrics" / "best.json").write_text(json.dumps({"score": "FID", "value": 1.0, "iteration": 2}))
    assert list(scores.of_run(tmp_path)) == []
    with pytest.raises(UserError, match="this is not JSON"):
        list(scores.of_run(tmp_path, strict=True))


def test_former_names_of_metrics_are_accepted() -> None:
    def word(text: str) -> str:
        return renamed_word(text, tell=lambda old, new: None)

    assert word("metrics=published") == "metrics=official"
    assert word("metrics=[clean,content_published]") == "metrics=[clean,content_official]"
    assert word("metrics.fid_published.weights=a.pth") == "metrics.fid_official.weights=a.pth"
    assert word("~metrics.lpips_published") == "~metrics.lpips_official"
    saved = rename_saved({"metrics": {"fid_published": {"name": "fid_published"}}, "best": "fid_published"})
    assert saved == {"metrics": {"fid_official": {"name": "fid_official"}}, "best": "fid_official"}
