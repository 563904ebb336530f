"""The page that compares runs, against runs that are written by hand."""

import json
import math
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serve.browser import PROGRAM, browser
from training.tiny import tiny
from translate.cli import main
from translate.tables.collect import identity, labels_of
from translate.tables.comparison.axes import Axis, axis_of
from translate.tables.comparison.curves import Line, plot, reduced
from translate.tables.comparison.experiments import differences, experiments_of
from translate.tables.comparison.run_facts import RunFacts, Series, read


def run(
    folder: Path,
    name: str = "study",
    seed: int = 0,
    scores: dict[str, float] | None = None,
    data: str = "x",
    **model: Any,
) -> Path:
    """Write a run folder with records, a sample grid and, if given, scores."""
    (folder / "samples").mkdir(parents=True)
    (folder / "metrics").mkdir()
    weights = {"generator": {"adversarial": 1.0, "style": model.pop("style", 1.0)}}
    tree = {"name": "stargan_v2", "networks": {}, "weights": weights, **model.pop("model", {})}
    config = {"name": name, "seed": seed, "iterations": 20, "log_every": 5 + seed, "data": {"image_size": 8}}
    config["model"] = tree
    (folder / "config.yaml").write_text(json.dumps(config))
    records = [{"iteration": 10 * k, "generator/style": 1.0 / k + seed, "clean/FID": 5.0} for k in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    note = {"images": 3, "fingerprint": data}
    (folder / "data.json").write_text(json.dumps({"train": note, "val": note}))
    for iteration in (10, 20):
        Image.new("RGB", (40, 20), (iteration, seed, 0)).save(folder / "samples" / f"{iteration:06d}_latent.png")
    for iteration, checkpoint in ((10, "000010"), (20, "last")) if scores else ():
        values = {name: value + 20 - iteration for name, value in (scores or {}).items()}
        tree = {"protocol": "clean", "checkpoint": checkpoint, "iteration": iteration, "networks": "ema"}
        better, note = {"FID, latent": "lower"}, {"val": {"images": 3, "fingerprint": "x"}}
        tree |= {"scores": values, "better": better, "data": note, "columns": {"real": {"FID, latent": 1.0}}}
        (folder / "metrics" / f"clean_{checkpoint}.json").write_text(json.dumps(tree))
    return folder


class Elements(HTMLParser):
    """The elements and texts of a page; void elements and SVG's closed ones need no end."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.all if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A page of four runs of two experiments and of one without scores, whose name is HTML."""
    place = tmp_path_factory.mktemp("comparison")
    for style, fids in {1.0: (10.0, 11.0), 0.0: (30.0, 32.0)}.items():
        for seed, fid in enumerate(fids):
            run(place / "runs" / f"{style}_{seed}", seed=seed, style=style, scores={"FID, latent": fid})
    run(place / "runs" / "bare", "<script>alert(1)</script>")
    words = ["table", str(place / "runs"), f"to={place / 'tables'}", f"html={place / 'new' / 'report.html'}"]
    assert main(words) == 0
    path = place / "new" / "report.html"
    return path, path.read_text(encoding="utf-8")


def test_the_page_needs_no_other_file_and_runs_no_code(written: tuple[Path, str]) -> None:
    page = Elements(written[1])
    assert page.open == []  # every element is closed
    assert not page.named("script") and not page.named("link") and not page.named("iframe")
    assert " <script>alert(1)</script>" in page.texts  # a name, shown as it is
    addresses = [value for _, each in page.all for key, value in each.items() if key in ("src", "href")]
    assert addresses and all(re.match(r"#\w+$|data:image/png;base64,", value or "") for value in addresses)
    assert "url(" not in written[1] and "@import" not in written[1]
    policy = next(each["content"] for each in page.named("meta") if "http-equiv" in each)
    assert (policy or "").startswith("default-src 'none'")
    anchors = {each["id"] for each in page.named("section")}
    assert {f"#{name}" for name in anchors} == {each["href"] for each in page.named("a")}


def test_scores_are_marked_and_explained(written: tuple[Path, str]) -> None:
    best = re.findall(r'<td class="best"><b>(.*?)</b>', written[1])
    assert best == ["10.50 \N{PLUS-MINUS SIGN} 0.71"]
    assert "31.0 \N{PLUS-MINUS SIGN} 1.4" in written[1]
    assert "bold: better than every other row by more than both spreads together" in written[1]
    assert '<svg class="strip"' in written[1]
    assert "FID, latent \N{DOWNWARDS ARROW}" in written[1]


def test_curves_have_a_line_for_each_run(written: tuple[Path, str]) -> None:
    figures = re.findall(r"<figcaption>([^<]*).*?</figcaption><svg(.*?)</svg>", written[1])
    lines = {title: svg.count("<polyline") for title, svg in figures}
    assert lines == {"clean: FID, latent": 4, "style": 5}  # scores are from their files, not from the records
    assert "<title>C, seed 1</title>" in written[1]


def test_the_newest_grids_stand_together(written: tuple[Path, str]) -> None:
    images = Elements(written[1]).named("img")
    assert len(images) == 5
    assert {(each["width"], each["height"]) for each in images} == {("40", "20")}
    grids = written[1].partition('id="grids"')[2].partition("<section")[0]
    assert grids.count("iteration 20") == 5 and "iteration 10" not in grids
    assert "other seeds: 2" in grids and "held-out images of their own" not in grids


def test_grids_of_other_images_stand_apart(tmp_path: Path) -> None:
    for data in ("x", "y"):
        run(tmp_path / data, data=data)
    assert main(["table", str(tmp_path), f"html={tmp_path / 'r.html'}"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("held-out images of their own") == 2
    assert "No run has scores yet" in page
    assert not list(tmp_path.glob("*.md"))


def test_differences_of_one_model_come_first(tmp_path: Path) -> None:
    run(tmp_path / "a", style=1.0)
    run(tmp_path / "b", style=0.0)
    run(tmp_path / "c", "other", model={"name": "cyclegan", "pool_size": 50})
    experiments = experiments_of(read([tmp_path / name for name in "abc"]))
    of_one, of_models, neutral = differences(experiments)
    assert [(row.key, row.values) for row in of_one] == [("model.weights.generator.style", ("1.0", "0", "1.0"))]
    assert ("model.pool_size", ("50", "\N{EN DASH}", "\N{EN DASH}")) in [(row.key, row.values) for row in of_models]
    assert neutral == []
    assert [each.label for each in experiments] == ["other", "study (style=0)", "study (style=1.0)"]


def test_keys_that_do_not_change_results_are_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), seed=seed)
    (experiment,) = experiments_of(read([tmp_path / "0", tmp_path / "1"]))
    assert [run.seed for run in experiment.runs] == [0, 1]
    of_one, of_models, neutral = differences([experiment])
    assert (of_one, of_models) == ([], [])
    assert [(row.key, row.values) for row in neutral] == [("log_every", ("5, 6",))]


def test_experiments_beyond_the_colours_have_letters_and_dashes(tmp_path: Path) -> None:
    facts = [RunFacts(tmp_path, f"n{number:02d}", 0, {"model.name": "m"}, {}, {}, {}, {}, "x") for number in range(30)]
    experiments = experiments_of(facts)
    assert [experiments[k].letter for k in (0, 25, 26)] == ["A", "Z", "27"]
    assert [experiments[k].style for k in (0, 7, 8, 16)] == ["c0 d0", "c7 d0", "c0 d1", "c0 d2"]
    assert len({identity(run) for run in facts}) == len(labels_of(facts)) == 30


def test_a_line_is_reduced_and_broken_where_values_are_not_finite() -> None:
    values = [float(k - 500) for k in range(1000)]
    values[400:600] = [math.nan] * 200
    series = Series(list(range(1000)), values)
    first, second = reduced(series, 1000, 100)
    assert (len(first), len(second)) == (40, 40)
    assert first[0] == (4.5, -495.5) and second[-1] == (994.5, 494.5)
    drawn = plot("t", [Line(series, "c0", "A")], 1000)
    assert drawn.svg.count("<polyline") == 2
    assert drawn.remarks == ("A: 200 of 1000 values are not finite",)
    nothing = plot("t", [Line(Series([1], [math.inf]), "c0", "A")], 1)
    assert nothing.svg == "" and nothing.remarks[-1] == "no finite value"


def test_axes_show_outliers_as_a_remark_and_many_decades_as_a_logarithm() -> None:
    usual = [k / 100 for k in range(-50, 50)]
    cut = axis_of([*usual, 1e6])
    assert cut is not None and cut.is_cut and cut.high < 1 and cut.place(1e6) == 1.0
    decades = axis_of([1e-3, 10.0])
    assert decades is not None and decades.is_log
    assert decades.place(0.1) == pytest.approx(0.5)
    linear = axis_of([1e-3, 10.0], logarithmic=False)
    assert linear is not None and not linear.is_log
    assert Axis(0.0, 3000.0).ticks() == [0.0, 1000.0, 2000.0, 3000.0]
    assert Axis(15.0, 90.0, is_log=True).ticks() == [20.0, 40.0, 60.0, 80.0]


def test_a_sample_that_is_no_png_is_a_sentence(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    gif = BytesIO()
    Image.new("RGB", (4, 4)).save(gif, "GIF")
    (folder / "samples" / "000030_latent.png").write_bytes(gif.getvalue())
    assert main(["table", str(folder), f"html={tmp_path / 'r.html'}"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "000030_latent.png is not a PNG file" in page and "<img" not in page


def test_without_html_runs_without_scores_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "a")
    assert main(["table", str(tmp_path), f"to={tmp_path / 't'}"]) == 2
    assert "has scores" in capsys.readouterr().err


def test_translations_of_the_same_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Experiments with a checkpoint translate the images; one without is a sentence on the page."""
    tiny.trained(tmp_path / "runs" / "trained", "iterations=1")
    run(tmp_path / "runs" / "bare", "bare")
    Image.effect_noise((40, 40), 60).convert("RGB").save(tmp_path / "source.png")
    words = ["table", str(tmp_path / "runs"), f"html={tmp_path / 'r.html'}"]
    assert main([*words, f"input={tmp_path / 'source.png'}"]) == 0
    section = (tmp_path / "r.html").read_text().partition('id="translations"')[2].partition("<section")[0]
    assert section.count("<figure>") == 2 and section.count("<img") == 1
    assert "holds no checkpoint yet" in section
    assert main(["table", str(tmp_path / "runs"), f"input={tmp_path / 'source.png'}"]) == 2
    assert "add html=report.html" in capsys.readouterr().err
    assert main([*words, f"input={tmp_path / 'none.png'}"]) == 2


@pytest.mark.skipif(PROGRAM is None, reason="no chromium or chrome is installed on this machine")
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)])
def test_a_browser_shows_the_page(written: tuple[Path, str], tmp_path: Path, width: int, mobile: bool) -> None:
    """The page loads nothing, reports no error, and only tables scroll sideways; a click enlarges a grid."""
    with browser(tmp_path) as page:
        page.open(written[0].as_uri(), width, 900, mobile)
        page.wait("document.readyState == 'complete' && document.images.length > 0")
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.run("[...document.images].every(image => image.naturalWidth == 40)")
        assert [each for each in page.requests if not each.startswith(("file:", "data:"))] == []
        assert page.errors == []
        small = page.run("document.images[0].clientWidth")
        page.click("document.images[0]")
        assert page.wait("document.querySelector('input').checked")
        assert page.run("document.images[0].clientWidth") >= small
        assert page.run("getComputedStyle(document.querySelector('.chip')).backgroundColor") == "rgb(0, 114, 178)"
