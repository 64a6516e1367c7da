"""Run the demo notebook from top to bottom and keep its outputs: `python scripts/execute_notebook.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebooks" / "demo.ipynb"
TIMEOUT_SECONDS = 1800


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs. Raises `nbclient.exceptions.CellExecutionError` if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=TIMEOUT_SECONDS, kernel_name="python3")
    client.execute(cwd=str(path.parent))
    return without_noise(notebook)


def without_noise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what differs from run to run or from terminal to terminal: times and progress bars."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", nargs="?", type=Path, default=NOTEBOOK)
    chosen = parser.parse_args().notebook
    nbformat.write(execute(chosen), chosen)
