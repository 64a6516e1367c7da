"""What is listed of SAEs without loading them is what loading them finds."""

from __future__ import annotations

from sae_bench.custom_saes.listing import BASELINES, embedded_saes
from sae_bench.custom_saes.spec import resolve_spec


def test_embedded_saes_are_those_of_the_spec():
    handles = resolve_spec("embedded:.*")
    assert [(h.sae_id, h.hook_name, h.model_name) for h in handles] == [tuple(sae) for sae in embedded_saes()]


def test_every_baseline_that_is_listed_can_be_named():
    for name in BASELINES:
        (handle,) = resolve_spec(f"baseline:{name}")
        assert handle.sae_id == name
