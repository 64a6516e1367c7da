"""The tutorial's commands, one after the other as they stand there, on fewer texts; the documentation site builds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sae_bench.language_models import LanguageModel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FEWER = [f"--set=core.n_eval_{what}_batches=1" for what in ("reconstruction", "sparsity_variance")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "NO_MKDOCS_2_WARNING": "1"}


def shell(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_tutorial(embedded_lm: LanguageModel, tmp_path: Path):
    """`embedded_lm` skips this where the embedded model is not installed."""
    shutil.copy(ROOT / "docs" / "examples" / "tutorial" / "my_sae.py", tmp_path)
    said = {}
    for line in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE):
        program, *arguments = shlex.split(line)
        interpreter = [sys.executable, *(["-m", "sae_bench.cli"] if program == "sae-bench" else [])]
        name = arguments[0] if program == "sae-bench" else "check"
        said[name] = shell([*interpreter, *arguments, *(FEWER if name == "run" else [])], tmp_path)
    assert list(said) == ["check", "run", "compare", "validate", "report"]
    assert len(list((tmp_path / "results" / "core").glob("*_eval_results.json"))) == 3
    assert "Explained variance" in said["compare"]
    assert (tmp_path / "results" / "report.html").is_file()
    assert list((tmp_path / "figures").glob("*.svg"))
    (code,) = re.findall(r"From Python:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert "embedded:topk" in shell([sys.executable, "-c", code], tmp_path)


def test_the_site_builds_without_a_warning(tmp_path: Path):
    shell([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")], ROOT)
    page = (tmp_path / "site" / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "n_eval_reconstruction_batches" in page
    assert "Evaluate your own SAE" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "--no-controls" in (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "load_saes" in (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")
