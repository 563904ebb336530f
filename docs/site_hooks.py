"""Hooks of mkdocs that let the documents serve GitHub and the site unchanged.

1. A document links to files outside docs/, such as the README. The site has no such files. So every linked file of the
   repository becomes a page or a download below ``project/``, and links are rewritten.
2. GitHub reads CommonMark, where a list continues at the column of its text. Python-Markdown wants four spaces a level.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
"""A link of Markdown: its path and its fragment. A link to a fragment of its own page has no path."""
MARKER = re.compile(r"( *)([-*]|\d+\.)( +)(?=\S)")


def repository_path(site_path: str) -> str:
    """Return the path in the repository of a page of the site."""
    return site_path.removeprefix("project/") if site_path.startswith("project/") else DOCS + site_path


def site_path(repository_path: str) -> str:
    """Return the path on the site of a file of the repository: below docs/ as it is, any other below project/."""
    if repository_path.startswith(DOCS):
        return repository_path.removeprefix(DOCS)
    return f"project/{repository_path}"


def targets(document: str) -> list[str]:
    """Return the files of the repository to which a document links."""
    text = (ROOT / document).read_text(encoding="utf-8")
    paths = [path for path, _ in LINK.findall(text) if "://" not in path]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(document), path)) for path in paths]


def outside_files() -> list[str]:
    """Return the files outside docs/ that its documents link to, directly or through one another."""
    waiting = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("**/*.md"))]
    outside: dict[str, None] = {}
    while waiting:
        for target in targets(waiting.pop()):
            if target.startswith(DOCS) or target in outside or not (ROOT / target).is_file():
                continue
            outside[target] = None
            waiting += [target] if target.endswith(".md") else []
    return list(outside)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the linked files outside docs/ to the site."""
    for path in outside_files():
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page with links of the site and lists of Python-Markdown."""
    here = page.file.src_uri
    source = posixpath.dirname(repository_path(here))

    def of_the_site(match: re.Match[str]) -> str:
        path, fragment = match[1], match[2] or ""
        if "://" in path:
            return match[0]
        target = site_path(posixpath.normpath(posixpath.join(source, path)))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{fragment})"

    return with_wide_lists(LINK.sub(of_the_site, markdown))


def with_wide_lists(markdown: str) -> str:
    """Return Markdown whose lists are indented by four spaces a level, with a blank line before each list."""
    lines: list[str] = []
    columns: list[int] = []  # where the text of each open list item begins
    fenced, blank = False, True
    for line in markdown.splitlines():
        indent = len(line) - len(line.lstrip())
        if not line:
            lines.append(line)
            blank = True
            continue
        in_list = bool(columns)
        if not fenced and (blank or MARKER.match(line)):
            while columns and indent < columns[-1]:
                columns.pop()
        base = columns[-1] if columns else 0
        depth = len(columns)
        if not fenced and (marker := MARKER.match(line)) and 0 <= indent - base < 4:
            if not in_list and not blank:
                lines.append("")
            columns.append(marker.end())
            lines.append(" " * 4 * depth + line.lstrip())
        else:
            lines.append(" " * max(0, 4 * depth + indent - base) + line.lstrip())
        if line.lstrip().startswith("```"):
            fenced = not fenced
        blank = False
    return "\n".join(lines)
