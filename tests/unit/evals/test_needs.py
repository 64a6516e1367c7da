"""What an eval needs of an SAE is declared, and an SAE that does not have it is refused with the reason."""

from __future__ import annotations

import dataclasses

import pytest
from relu_mlps import member_of

from sae_bench.evals.base import INTERVENTION, PREDICTION, RECONSTRUCTION, Need
from sae_bench.evals.registry import get_eval
from sae_bench.testing import tiny_sae, tiny_transcoder

READ_ONLY = "blocks.1.ln2.hook_normalized"
MEMBERS = {
    "SAE": member_of(tiny_sae("topk")),
    "SAE of what cannot be changed": member_of(tiny_sae("topk", hook_name=READ_ONLY)),
    "transcoder": member_of(tiny_transcoder()),
    "transcoder of what cannot be changed": member_of(tiny_transcoder(hook_names=(READ_ONLY, "blocks.1.hook_mlp_out"))),
}


@pytest.mark.parametrize(
    ("need", "refused"),
    [
        (RECONSTRUCTION, {"transcoder", "transcoder of what cannot be changed"}),
        (PREDICTION, set()),
        (INTERVENTION, {"SAE of what cannot be changed"}),
    ],
)
def test_what_is_refused(need: Need, refused: set[str]):
    spec = dataclasses.replace(get_eval("core"), needs=frozenset({need}))
    assert {name for name, member in MEMBERS.items() if spec.refusal(member)} == refused


def test_the_reason_names_the_hooks():
    spec = dataclasses.replace(get_eval("core"), needs=frozenset({RECONSTRUCTION}))
    reason = spec.refusal(MEMBERS["transcoder"])
    assert "reads 'blocks.1.mlp.hook_in' and predicts 'blocks.1.hook_mlp_out'" in reason


@pytest.mark.parametrize("need", [RECONSTRUCTION, PREDICTION, INTERVENTION])
def test_what_has_codes_alone_is_refused_wherever_they_are_decoded(need: Need):
    sae = tiny_transcoder()
    sae.codes_only = "its decoder is a sum"
    assert "its decoder is a sum" in dataclasses.replace(get_eval("core"), needs=frozenset({need})).refusal(
        member_of(sae)
    )
