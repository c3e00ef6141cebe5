"""The notebooks in examples/ and the pages in docs/ run as they stand."""

import io
import re
import runpy
from contextlib import chdir, redirect_stdout
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

HERE = Path(__file__).parents[1]


def test_the_notebook_runs_and_shows_its_results(tmp_path: Path) -> None:
    notebook = nbformat.read(HERE / "examples" / "first_ladder.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # figures are shown where they were measured
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    pages = [found["text/html"] for found in shown if "text/html" in found]
    assert "<progress" in pages[0]  # how it stood while it was trained
    assert "one pair" not in pages[1]
    assert "<table" in pages[1]
    assert "One-cycle" in pages[1]
    assert any("image/png" in found for found in shown)
    assert "<iframe" in pages[-1]
    streams = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "stream"]
    assert "0 of 6 runs are recorded" in streams[0]
    assert not any("Warning" in text for text in streams)
    right = float(re.search(r"right: (\S+)", "".join(streams))[1])  # type: ignore[index]
    assert right > 0.9


@pytest.mark.parametrize("page", sorted(path.name for path in (HERE / "docs").glob("*.md")))
def test_the_python_of_a_page_runs(in_process: None, page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (HERE / "docs" / page).read_text(), re.M | re.S)
    code = "\n".join(blocks)
    if "dask_jobqueue" in code:
        compile(code, page, "exec")  # it needs a cluster
    elif code:
        (tmp_path / "page.py").write_text(code)
        with chdir(tmp_path), redirect_stdout(io.StringIO()):
            runpy.run_path("page.py")
