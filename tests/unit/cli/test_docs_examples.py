"""The example of docs/adding_an_eval.md, taken from the page as it stands, on a tiny model."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from sae_bench.evals import registry

PAGE = Path(__file__).parents[3] / "docs" / "adding_an_eval.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's two files, in a folder that Python imports from."""
    command, eval_module = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "run_coverage.py").write_text(command)
    (tmp_path / "my_eval.py").write_text(eval_module)
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_eval", None)


def test_command_with_one_more_eval(example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["run_coverage.py", "list", "evals", "coverage"])
    exec(compile((example / "run_coverage.py").read_text(), "run_coverage.py", "exec"), {})
    shown = [line for line in PAGE.read_text().split("```")[1].splitlines() if line.startswith("│")]
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")] == shown


def test_example_runs(world: Any, sae_bench: Callable, example: Path):
    registry.register_eval("coverage", "my_eval:SPEC")
    out = example / "out"
    said = sae_bench(
        "run", "--model", world.model, "--sae", f"path:{world.saes}", "--evals", "coverage", "--device", "cpu",
        "--set", f"coverage.dataset={world.corpus}", "--set", "coverage.n_texts=30", "--output-folder", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    paths = sorted((out / "coverage").glob("*.json"))
    assert len(paths) == 6
    covered = {path.name: json.loads(path.read_text())["eval_result_metrics"]["coverage"]["covered"] for path in paths}
    assert all(0 < value <= 1 for value in covered.values())
    assert len(set(covered.values())) > 1
    assert "Covered" in said.out


def test_coverage_of_a_latent_that_is_never_on(world: Any, sae_bench: Callable, example: Path):
    """Against the plain definition: latents that are switched off are not covered."""
    from sae_bench.custom_saes.loaders.native import save_sae
    from sae_bench.testing.tiny_models import tiny_sae

    sae = tiny_sae("relu")
    sae.b_enc.data[:16] = -1e6
    save_sae(sae, example / "saes" / "off.safetensors")
    assert load_file(example / "saes" / "off.safetensors")["b_enc"][0] < -1e5
    registry.register_eval("coverage", "my_eval:SPEC")
    said = sae_bench(
        "run", "--model", world.model, "--sae", f"path:{example / 'saes'}", "--evals", "coverage", "--device", "cpu",
        "--set", f"coverage.dataset={world.corpus}", "--output-folder", example / "out",
    )  # fmt: skip
    assert said.code == 0, said.err
    (path,) = (example / "out" / "coverage").glob("*.json")
    covered = json.loads(path.read_text())["eval_result_metrics"]["coverage"]["covered"]
    assert 0 < covered <= 1 - 16 / sae.cfg.d_sae
