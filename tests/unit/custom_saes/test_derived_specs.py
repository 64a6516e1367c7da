"""Specs of baselines that are made from other SAEs: how they nest, what they name, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench.custom_saes.derived.grammar import parse_derived
from sae_bench.custom_saes.listing import DEGRADING, LEVELS
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import resolve_spec
from sae_bench.errors import SAEMismatchError, UnknownNameError, UsageError
from sae_bench.testing import tiny_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.mark.parametrize(
    "inner",
    [
        "embedded:(topk|relu),x",
        "path:/tmp/saes (old), v2:b@home",
        "sae_lens:gemma.*:layer_(1|2)/.*",
        "baseline:random@blocks.3.hook_mlp_out",
        "baseline:degraded(baseline:best_k(embedded:topk,7),dead,0.5)",
        "path:ends(with,dead",
    ],
)
@pytest.mark.parametrize(
    ("outer", "parameters"),
    [
        ("random_l0_matched({})", {}),
        ("permuted_decoder({})", {}),
        ("frozen_encoder({})", {}),
        ("best_k({},64)", {"k": 64}),
        ("degraded({},merged,0.25)", {"kind": "merged", "level": 0.25}),
    ],
)
def test_a_spec_of_any_form_can_stand_inside(inner: str, outer: str, parameters: dict[str, object]) -> None:
    text = outer.format(inner)
    spec = parse_derived(text)
    assert spec.parent == inner
    (derivation,) = spec.derivations
    assert derivation.parameters == parameters
    assert derivation.named(spec.parent) == text


def test_several_saes_and_several_levels_are_several_baselines(tmp_path: Path) -> None:
    folder = tmp_path / "old (a,b)"
    for name in ("one", "two"):
        save_sae(tiny_sae("relu"), folder / f"{name}.safetensors")
    handles = resolve_spec(f"baseline:degraded(baseline:permuted_decoder(path:{folder}),dead)")
    assert [h.name for h in handles] == [
        f"baseline_degraded(baseline_permuted_decoder(old (a,b)_{name}),dead,{level})"
        for name in ("one", "two")
        for level in ("0", "0.1", "0.25", "0.5", "1")
    ]
    assert {h.hook_name for h in handles} == {HOOK}
    assert [h.rung.value for h in handles[:5] if h.rung] == list(LEVELS)
    assert len({h.rung.ladder for h in handles if h.rung}) == 2


def test_a_baseline_of_a_baseline_sits_where_the_run_says() -> None:
    (free,) = resolve_spec("baseline:permuted_decoder(baseline:random)")
    assert free.placed_by_run
    assert free.hook_name is None
    (placed,) = resolve_spec(f"baseline:permuted_decoder(baseline:random)@{HOOK}")
    (inside,) = resolve_spec(f"baseline:permuted_decoder(baseline:random@{HOOK})")
    assert placed.hook_name == inside.hook_name == HOOK
    (of_l0,) = resolve_spec("baseline:frozen_encoder(40)")
    assert of_l0.placed_by_run


def test_what_is_made_from_an_sae_with_a_place_sits_there(tmp_path: Path) -> None:
    save_sae(tiny_sae("relu"), tmp_path / "one.safetensors")
    (handle,) = resolve_spec(f"baseline:permuted_decoder(path:{tmp_path})")
    assert not handle.placed_by_run
    with pytest.raises(SAEMismatchError, match="sits at"):
        resolve_spec(f"baseline:permuted_decoder(path:{tmp_path})@blocks.0.hook_resid_post")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("best_k", r"best_k\(<SAE spec>,<k>\)"),
        ("best_k()", r"best_k\(<SAE spec>,<k>\)"),
        ("best_k(embedded:topk)", "whole number of latents"),
        ("best_k(embedded:topk,0)", "whole number of latents"),
        ("best_k(embedded:topk,1.5)", "whole number of latents"),
        ("permuted_decoder(topk)", "'topk' in .* is no SAE spec"),
        ("permuted_decoder(embedded:topk", r"permuted_decoder\(<SAE spec>\)"),
        ("permuted_decoder(embedded:topk)@", r"\[@<hook name>\]"),
        ("degraded(embedded:topk)", "way to make an SAE worse"),
        ("degraded(embedded:topk,noise)", "decoder_noise"),
        ("degraded(embedded:topk,rust,0.5)", "'rust'"),
        ("degraded(embedded:topk,dead,1.5)", "from 0 .* to 1"),
        ("degraded(embedded:topk,dead,-0.5)", "from 0 .* to 1"),
        ("degraded(embedded:topk,dead,nan)", "from 0 .* to 1"),
        ("frozen_encoder(0)", "above 0"),
        ("random(embedded:topk)", "'random'"),
        ("permuted(embedded:topk)", "permuted_decoder"),
    ],
)
def test_what_cannot_be_made_is_said_with_what_can(rest: str, message: str) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=message):
        resolve_spec(f"baseline:{rest}")


def test_every_way_to_make_an_sae_worse_has_a_ladder() -> None:
    for kind in DEGRADING:
        assert [d.level for d in parse_derived(f"degraded(path:x,{kind})").derivations] == list(LEVELS)
