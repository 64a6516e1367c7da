"""Which hooks two results may have to be compared: what their SAEs reconstruct has to be the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench.analysis.comparable import groups_of, hook_of, target_of, why_not_comparable
from sae_bench.analysis.table import Record

READ, PREDICTED = "blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"


def record(eval_name: str = "core", **config: str) -> Record:
    return Record(Path("r.json"), {"eval_type_id": eval_name, "sae_lens_id": "x", "sae_cfg_dict": config})


def sae(eval_name: str = "core", hook: str = PREDICTED) -> Record:
    return record(eval_name, hook_name=hook)


def transcoder(eval_name: str = "core", read: str = READ) -> Record:
    return record(eval_name, hook_name=read, hook_name_out=PREDICTED)


def test_a_transcoder_is_shown_at_both_of_its_hooks():
    assert (hook_of(transcoder()), target_of(transcoder())) == (f"{READ} -> {PREDICTED}", PREDICTED)
    assert hook_of(record(hook_name=READ, hook_name_out=READ)) == target_of(sae(hook=READ)) == READ


@pytest.mark.parametrize("eval_name", ["core", "scr", "sparse_probing"])
def test_a_transcoder_compares_with_saes_of_what_it_predicts(eval_name: str):
    assert why_not_comparable(transcoder(eval_name), sae(eval_name)) is None
    reason = why_not_comparable(transcoder(eval_name), sae(eval_name, hook=READ))
    assert reason == f"different hooks ({READ} -> {PREDICTED}, {READ})"


def test_where_the_declaration_says_so_transcoders_are_apart():
    """RAVEL replaces what an SAE writes and adds to what a transcoder's hook has."""
    reason = why_not_comparable(sae("ravel"), transcoder("ravel"))
    assert reason is not None
    assert reason.startswith("an SAE and a transcoder: decoded codes replace")
    assert why_not_comparable(transcoder("ravel"), transcoder("ravel", read="blocks.3.hook_resid_mid")) is None
    groups = groups_of([transcoder("ravel"), sae("ravel"), sae("ravel")])
    assert [(len(group.records), group.hook) for group in groups] == [(2, PREDICTED), (1, f"{READ} -> {PREDICTED}")]
