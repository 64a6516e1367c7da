"""What is listed of SAEs without loading them is what loading them finds."""

from __future__ import annotations

from sae_bench.custom_saes.listing import BASELINES, packaged_saes
from sae_bench.custom_saes.spec import resolve_spec


def test_saes_of_the_package_are_those_of_their_specs():
    handles = [*resolve_spec("embedded:.*"), *resolve_spec("synthetic:.*")]
    named = [(f"{h.release}:{h.sae_id}", h.hook_name, h.model_name) for h in handles]
    assert named == [tuple(sae) for sae in packaged_saes()]


def test_every_baseline_that_is_listed_can_be_named():
    for name in BASELINES:
        (handle,) = resolve_spec(f"baseline:{name}")
        assert handle.sae_id == name
