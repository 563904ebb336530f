"""The notebook docs/notebooks/tour.ipynb runs from top to bottom, and its shipped outputs are of such a run."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "tour.ipynb"
LENGTH = '{"iterations": 500}'


@pytest.fixture
def cells() -> list[dict[str, Any]]:
    """Return the cells; a source is one text."""
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in found]


def test_the_shipped_outputs_are_of_one_run_from_top_to_bottom(cells: list[dict[str, Any]]) -> None:
    of_code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in of_code] == list(range(1, len(of_code) + 1))
    outputs = [output for cell in of_code for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 6
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert NOTEBOOK.stat().st_size < 1_000_000


def test_cells_have_names_and_links_lead_somewhere(cells: list[dict[str, Any]]) -> None:
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            ast.parse(cell["source"])
            assert all(len(line) <= 120 for line in cell["source"].splitlines())
        for link in re.findall(r"\]\((?!http)([^)#]+)", cell["source"] if cell["cell_type"] == "markdown" else ""):
            assert (NOTEBOOK.parent / link).is_file(), link
    (parameters,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert parameters["source"].count(LENGTH) == 1


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """It trains three iterations instead of 500."""
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    shipped = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"}
    for cell in notebook.cells:
        cell["source"] = cell["source"].replace(LENGTH, '{"iterations": 3}')
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            kinds = [sorted(output.get("data", {})) for output in cell["outputs"] if output["output_type"] != "stream"]
            expected = [sorted(o.get("data", {})) for o in shipped[cell["id"]] if o["output_type"] != "stream"]
            assert [set(kind) - {"image/jpeg"} for kind in kinds] == [set(kind) for kind in expected]
    last = [cell for cell in notebook.cells if cell["cell_type"] == "code"][-1]["outputs"][-1]
    assert float(last["data"]["text/plain"]) > 0  # a term of the loss of our own
    assert not list(tmp_path.iterdir())  # all files are in a folder of its own
