"""`sae-bench list saes path:DIR`: what a folder holds, and what would be refused and why."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from click.testing import CliRunner
from foreign_layouts import CASES
from safetensors.torch import load_file, save_file

from sae_bench.cli.described_saes import DescribedSAE, described
from sae_bench.cli.listing import list_command
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import resolve_spec
from sae_bench.testing import tiny_sae


def of(spec: str) -> dict[str, DescribedSAE]:
    return {handle.sae_id: described(handle) for handle in resolve_spec(spec)}


def test_every_layout_in_one_folder(tmp_path: Path) -> None:
    for case in CASES:
        case.write(tmp_path / case.repository, case.weights())
    save_sae(tiny_sae("topk"), tmp_path / "mine/one.safetensors")
    for case in CASES:
        row = of(f"path:{tmp_path / case.repository}")[case.sae_id]
        width = "16 -> 40 -> 16" if case.hooks[0] != case.hooks[1] else "16 -> 40"
        hooks = " -> ".join(dict.fromkeys(case.hooks))
        assert (row.architecture, row.width, row.hooks, row.model) == (case.architecture, width, hooks, case.model)
        assert row.format.split()[0].lower() in case.scheme.replace("_", "-") or row.format in case.name
        assert row.refused.startswith("ground_truth: ") == (case.hooks[0] != case.hooks[1])
    assert of(f"path:{tmp_path}/mine")["one"].format == "sae_bench"


def test_what_would_be_refused_says_why(tmp_path: Path) -> None:
    sparsify = next(case for case in CASES if case.name == "sparsify SAE")
    sparsify.write(tmp_path, sparsify.weights())
    sparsify.write(tmp_path / "other", sparsify.weights())
    config = tmp_path / "other/layers.3/cfg.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "activation": "groupmax"}))
    sparsify.write(tmp_path / "nan", sparsify.weights())
    weights = tmp_path / "nan/layers.3/sae.safetensors"
    save_file({**load_file(weights), "b_dec": torch.full((16,), float("nan"))}, weights)
    rows = of(f"path:{tmp_path}")
    assert rows["layers.3"].refused == ""
    assert "groupmax" in rows["other/layers.3"].refused
    assert "NaN" in rows["nan/layers.3"].refused


def test_the_command_prints_a_table(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "sparsify skip transcoder")
    case.write(tmp_path / case.repository, case.weights())
    arguments = ["saes", f"sparsify:{case.repository}", "--data-dir", str(tmp_path)]
    printed = CliRunner().invoke(list_command, arguments, terminal_width=300, env={"COLUMNS": "300"})
    assert printed.exit_code == 0, printed.output
    for word in ("layers.3.mlp", "topk_skip_transcoder", "16 -> 40 -> 16", "EleutherAI/pythia-160m", "ground_truth"):
        assert word in printed.output
