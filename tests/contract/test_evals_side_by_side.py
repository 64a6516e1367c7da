"""Every eval that may score SAEs at the same time gives what it gives one after the other, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contract_worlds import WORLDS
from tiny_runs import read

import sae_bench
from sae_bench.datasets import registry
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.testing import tiny_sae

NAMES = [name for name in eval_names() if get_eval(name).side_by_side]
SAES = ("topk", "relu", "gated", "jumprelu", "identity")


def test_those_of_many_small_steps_are_among_them():
    assert {"absorption", "meta_structure", "scr", "sparse_probing", "sparse_probing_sae_probes", "tpp"} <= {*NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_threads_change_nothing(name: str, tmp_path: Path):
    world = WORLDS[name](tmp_path)
    results = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 4):
            torch.set_num_threads(n_threads)
            summary = sae_bench.evaluate(
                world.lm,
                {sae: tiny_sae(sae) for sae in SAES},
                world.spec,
                settings={world.spec.name: world.settings},
                preset=None,
                seeds=2,
                output_folder=tmp_path / str(n_threads),
            )
            assert not summary.failures
            results.append({path.name: without_times(read(path)) for path in summary.written})
    finally:
        torch.set_num_threads(before)
        registry.forget_datasets()
    assert len(results[0]) == len(SAES)
    assert results[0] == results[1]


def without_times(result: dict) -> dict:
    result["eval_result_metrics"].get("meta_structure", {}).pop("train_time_seconds", None)
    return result
