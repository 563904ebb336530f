"""The site of the documents: every page is in the menu, every link resolves, and it builds without network."""

import importlib.util
import re
import subprocess
import sys
import textwrap
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return module_at(DOCS / "site_hooks.py")


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where a dataclass looks for its types
    spec.loader.exec_module(module)
    return module


def menu(tree: Any) -> list[str]:
    """Return the pages of a menu of mkdocs."""
    if isinstance(tree, str):
        return [tree]
    return [page for entry in (tree.values() if isinstance(tree, dict) else tree) for page in menu(entry)]


def pages_of_the_menu() -> list[str]:
    return menu(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])


def test_the_menu_names_every_page_once(hooks: ModuleType) -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")]
    outside = [hooks.site_path(path) for path in hooks.outside_files() if path.endswith(".md")]
    assert Counter(pages_of_the_menu()) == Counter([*pages, *outside])


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a document as GitHub and the site make them."""
    outside_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside_code, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s+", "-", heading) for heading in plain}


@pytest.mark.parametrize("document", sorted(DOCS.glob("**/*.md")), ids=lambda path: path.stem)
def test_every_link_and_anchor_resolves(document: Path) -> None:
    dead = []
    for target, fragment in re.findall(r"\]\(([^)\s#]*)#?([^)\s]*)\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path = document.parent / target if target else document
        alive = path.is_file() and (not fragment or fragment in anchors(path.read_text(encoding="utf-8")))
        dead += [] if alive else [f"{target}#{fragment}"]
    assert dead == []


def test_no_page_loads_anything_from_elsewhere() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert all("://" not in name for name in config.get("extra_css", []) + config.get("extra_javascript", []))


def test_links_of_the_readme_are_those_of_the_site(hooks: ModuleType) -> None:
    assert hooks.site_path("docs/cut.md") == "cut.md"
    assert hooks.site_path("README.md") == "project/README.md"
    assert hooks.repository_path("project/experiments/README.md") == "experiments/README.md"
    assert "tests/plugin_example/README.md" in hooks.outside_files()


@pytest.mark.parametrize(
    ("markdown", "wide"),
    [
        ("text\n- a\n- b", "text\n\n- a\n- b"),
        ("- a\n  continued\n- b", "- a\n    continued\n- b"),
        ("1. a\n\n       code\n\n   more\n2. b", "1. a\n\n        code\n\n    more\n2. b"),
        ("- a\n  - b\n\n        code\n\ntext", "- a\n    - b\n\n            code\n\ntext"),
        ("    - code\n    - code", "    - code\n    - code"),
        ("```yaml\n- a\n  - b\n```", "```yaml\n- a\n  - b\n```"),
        ("1. a:\n\n       x = 1\n       y = 2\n\ntext", "1. a:\n\n        x = 1\n        y = 2\n\ntext"),
    ],
)
def test_lists_get_four_spaces_a_level(hooks: ModuleType, markdown: str, wide: str) -> None:
    assert hooks.with_wide_lists(markdown) == wide


def test_figures_of_networks_are_those_of_the_code() -> None:
    """Fix: make docs."""
    drawings = module_at(DOCS / "draw_networks.py").generate()
    assert {path.name for path in drawings} == {path.name for path in (DOCS / "images/networks").iterdir()}
    for path, svg in drawings.items():
        assert path.read_text(encoding="utf-8") == svg, f"{path.name} is out of date; write it anew by: make docs"


LAST_LINK = re.compile(r"\]\((\w+\.md)\) \|$", re.MULTILINE)
OF_MODELS = set(LAST_LINK.findall((DOCS / "models.md").read_text(encoding="utf-8"))) - {"stages.md"}
MODEL_PAGES = [*sorted(OF_MODELS), "reidentification.md"]


@pytest.mark.parametrize("page", MODEL_PAGES)
def test_the_page_of_a_model_is_whole(page: str) -> None:
    """What goes in and out, figures of its networks, an iteration or formulas, presets, differences, and a picture."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert "\n| in | " in text and "\n| out | " in text
    uses_others = page == "reidentification.md"  # networks and losses of two other models
    assert ".md#the-networks)" in text if uses_others else "](images/networks/" in text
    assert uses_others or re.search(r"\bE(_\w)?[\[|]", text)
    assert "\n## Presets\n" in text and "memory in training" in text
    assert "\n## Differences" in text
    assert re.search(r"\]\(images/\w+\.(png|jpg)\)", text)


def test_every_model_has_a_page() -> None:
    assert len(MODEL_PAGES) == 14


class Requests(HTMLParser):
    """Collect the addresses that a browser loads by itself, without a click."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.addresses += [names["src"] or ""] if "src" in names else []
        if tag == "link" and names.get("rel") != "canonical":
            self.addresses.append(names.get("href") or "")


@pytest.mark.slow
def test_the_site_builds_and_requests_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, textwrap.shorten(done.stdout + done.stderr, 4000)
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").glob("**/*.html")}
    assert {"index.html", "api.html", "cut.html", "project/index.html"} <= pages
    for page in pages:
        requests = Requests()
        requests.feed((tmp_path / "site" / page).read_text(encoding="utf-8"))
        assert [address for address in requests.addresses if "//" in address] == [], page
