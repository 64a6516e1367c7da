"""What is read of an SAE, and what stands beside a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sae_bench.analysis.table import Record
from sae_bench.evals.registry import get_eval
from sae_bench.report.facts import ARCHITECTURES, architecture_of, architectures_of, facts_of


def record(release: str, sae_id: str, config: dict[str, Any] | None) -> Record:
    return Record(Path("x"), {"sae_lens_release_id": release, "sae_lens_id": sae_id, "sae_cfg_dict": config})


@pytest.mark.parametrize(
    ("config", "release", "sae_id", "wanted"),
    [
        ({"architecture": "standard"}, "r", "x", "relu"),
        ({"architecture": "standard_april_update"}, "r", "x", "relu"),
        ({"architecture": "standard", "activation_fn_str": "topk"}, "r", "x", "topk"),
        ({"architecture": "matryoshka_batch_topk"}, "r", "x", "matryoshka_batch_topk"),
        ({"architecture": "standard"}, "sae_bench_pythia70m_sweep_panneal_0712", "x", "p_anneal"),
        ({"architecture": ""}, "baseline", "pca@blocks.1.hook_resid_post", "pca"),
        ({}, "baseline", "random", "random"),
        ({}, "saebench", "BatchTopK_trainer_3", "batch_topk"),
        ({}, "saebench", "run_7", "unknown"),
        ({"architecture": "my_new_kind"}, "r", "x", "my_new_kind"),
    ],
)
def test_architectures_by_one_name(config: dict, release: str, sae_id: str, wanted: str):
    assert architecture_of(config, release, sae_id) == wanted


def test_facts_come_from_the_configuration_or_else_from_names():
    config = {"architecture": "topk", "d_sae": 4096, "hook_name": "blocks.8.hook_resid_post", "hook_layer": 8,
              "training_tokens": 500_000_000}  # fmt: skip
    facts = facts_of([record("r", "x", None), record("r", "x", config)])
    assert (facts.architecture, facts.width, facts.layer, facts.training_tokens) == ("topk", 4096, 8, 500_000_000)
    in_name = record("gemma-scope-2b-pt-res", "layer_12/width_65k/average_l0_72", {"architecture": "jumprelu"})
    named = facts_of([in_name])
    assert (named.width, named.layer, named.hook, named.training_tokens) == (65536, 12, None, None)
    checkpoint = "blocks.4.hook_resid_post__trainer_2_step_4882"
    trained = facts_of(
        [record("sae_bench_pythia70m_sweep_topk_ctx128_0730", checkpoint, {"training_tokens": -100_000})]
    )
    assert (trained.training_tokens, trained.hook) == (4882 * 4096, "blocks.4.hook_resid_post")
    assert facts_of([record("r", "x_width-2pow14", {})]).width == 16384
    both = {"hook_name": "blocks.8.mlp.hook_in", "hook_name_out": "blocks.8.hook_mlp_out"}
    assert facts_of([record("r", "x", both)]).hook == "blocks.8.mlp.hook_in -> blocks.8.hook_mlp_out"


def test_every_architecture_has_its_own_colour_and_marker():
    shown = architectures_of([*ARCHITECTURES, "new_a", "new_b"])
    assert len({a.color for a in shown.values()}) == len({a.symbol for a in shown.values()}) == len(shown)
    assert len({a.marker for a in shown.values()}) == len(shown)
    assert shown["new_a"].title == "new a"


def test_caveats_stand_beside_their_metrics_only():
    assert any(
        "audit" in caveat.text and caveat.serious for caveat in get_eval("scr").caveats_of("scr_metrics.anything")
    )
    assert any("longer" in caveat.text for caveat in get_eval("tpp").caveats_of("tpp_metrics.anything"))
    assert get_eval("core").caveats_of("reconstruction_quality.mse")
    assert not get_eval("core").caveats_of("reconstruction_quality.mse_per_token")
    assert not get_eval("unlearning").caveats_of("unlearning.unlearning_score_held_out")
