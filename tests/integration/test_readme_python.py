"""The README's quick start in Python, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sae_bench.language_models import LanguageModel
from sae_bench.run.request import RunRequest

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    section = README.read_text(encoding="utf-8").split("## Quick start in Python")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_quick_start(embedded_lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_, **__: embedded_lm)
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert [path.name for path in names["run"].written] == ["embedded_topk_eval_results.json"]
    assert "Loss recovered" in set(names["table"].title)
    assert (tmp_path / "report.html").is_file()


def test_request_file(tmp_path: Path):
    (text,) = blocks("yaml")
    (tmp_path / "sweep.yaml").write_text(text)
    request = RunRequest.from_yaml(tmp_path / "sweep.yaml")
    assert [target.model for target in request.targets] == ["embedded", "pythia-70m-deduped"]
    assert [spec.name for spec in request.specs()] == ["core", "sparse_probing"]
