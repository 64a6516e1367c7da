"""docs/notebooks/demo.ipynb: every cell runs, in order, and what it shows is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from sae_bench.language_models import LanguageModel

matplotlib.use("Agg")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "demo.ipynb"


def cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_notebook_is_kept_with_its_outputs():
    found = cells()
    assert any(cell["outputs"] for cell in found), "next: python scripts/execute_notebook.py"
    assert not [o for cell in found for o in cell["outputs"] if o["output_type"] == "error"]


def test_every_cell_runs(
    embedded_lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_, **__: embedded_lm)
    names: dict[str, Any] = {}
    for i, cell in enumerate(cells()):
        exec(compile("".join(cell["source"]), f"cell {i} of {NOTEBOOK.name}", "exec"), names)
    assert sorted(path.relative_to(names["RESULTS"]).as_posix() for path in names["run"].results) == [
        f"{name}/{sae}_eval_results.json"
        for name in ("core", "sparse_probing")
        for sae in ("embedded_topk", "mine_custom_sae")
    ]
    recovered = names["table"].query("metric == 'model_performance_preservation.ce_loss_score'").set_index("sae").value
    assert recovered["embedded:topk"] > recovered["mine:custom_sae"] + 0.3, "trained against random directions"
    assert len(names["figure"].axes[0].collections) >= 2
    assert "Loss recovered: " in capsys.readouterr().out
