"""Loading for a run: what a file states reaches the member, what cannot be evaluated is refused by name."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sae_bench.custom_saes.derived.derived_sae import derived_config
from sae_bench.custom_saes.derived.token_matched import TokenMatchedSAE
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import GroupLimits, Member, load_member, load_members
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.errors import ExitError, SAELoadError, SAEMismatchError, no_exit
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
D, F = 32, 64


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("gpt2", bos=True)


def _handle(sae: Any, **changes: Any) -> SAEHandle:
    sae.cfg = replace(sae.cfg, **changes)
    return SAEHandle("tiny", "sae", HOOK, None, lambda context: sae.to(device=context.device, dtype=context.dtype))


def _load(sae: Any, lm: LanguageModel, *, dtype: torch.dtype = torch.float32, **changes: Any) -> Member:
    return load_member(_handle(sae, **changes), LoadContext(torch.device("cpu"), dtype), lm)


def test_weights_are_kept_as_the_file_has_them(lm: LanguageModel) -> None:
    """What looks at weights alone must not depend on the dtype of the run."""
    sae = tiny_sae("relu")
    W_dec, b_enc = sae.W_dec.clone(), sae.b_enc.clone()
    member = _load(sae, lm, dtype=torch.bfloat16)
    assert member.sae.W_dec.dtype == torch.bfloat16
    assert torch.equal(member.weights.W_dec, W_dec)
    assert torch.equal(member.weights.b_enc, b_enc)
    assert not torch.equal(member.sae.W_dec.float(), W_dec)
    wide = _load(tiny_sae("relu"), lm)
    assert wide.weights is wide.sae


def test_norms_are_folded_before_the_cast(lm: LanguageModel) -> None:
    sae = tiny_sae("relu")
    with torch.no_grad():
        sae.W_dec.mul_(torch.linspace(0.5, 2.0, F)[:, None])
    member = _load(sae, lm, dtype=torch.bfloat16)
    torch.testing.assert_close(member.weights.W_dec.norm(dim=1), torch.ones(F))


def test_an_sae_on_one_head_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(SAEMismatchError, match="reads one attention head"):
        _load(tiny_sae("relu"), lm, hook_head_index=3)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"prepend_bos": False}, "trained without a BOS token before every text and is evaluated with one"),
        ({"prepend_bos": True}, ""),
        (
            {"seqpos_slice": [5, 100]},
            r"some positions of each text only \(seqpos_slice \[5, 100\]\) .* all. Next: --seqpos-slice 5:100, in",
        ),
        ({"seqpos_slice": (64,)}, "--seqpos-slice :64, in"),
        ({"seqpos_slice": [1, None]}, "--seqpos-slice 1:, in"),
        ({"seqpos_slice": [None, None, 2]}, "--seqpos-slice ::2, in"),
        ({"seqpos_slice": [-5, None]}, "evaluated on all$"),
        ({"seqpos_slice": [None]}, ""),
        ({"seqpos_slice": [0, None]}, ""),
        ({}, ""),
    ],
)
def test_what_differs_from_training_is_a_warning(stated: dict[str, Any], words: str, lm: LanguageModel) -> None:
    sae = tiny_sae("relu")
    sae.trained_with, sae.caveats = stated, ("a caveat of the loader",)
    warnings = _load(sae, lm).warnings
    assert warnings[0] == "a caveat of the loader"
    assert len(warnings) == 1 + bool(words)
    if words:
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(warnings[1])


def test_a_hook_that_the_listing_has_wrong_is_a_warning(lm: LanguageModel) -> None:
    (warning,) = _load(tiny_sae("relu"), lm, hook_name="blocks.0.hook_resid_post").warnings
    assert "listed at 'blocks.1.hook_resid_post'; its configuration says 'blocks.0.hook_resid_post'" in warning


def _quantised() -> Any:
    sae = tiny_sae("relu")
    sae.W_dec = torch.nn.Parameter((sae.W_dec * 100).to(torch.int8), requires_grad=False)
    return sae


@pytest.mark.parametrize(
    ("sae", "message"),
    [
        (lambda: tiny_sae("relu").to("meta"), "not in memory"),
        (_quantised, "int8; weights that are quantised are not read"),
    ],
)
def test_weights_that_cannot_be_used_are_one_plain_error(
    sae: Any, message: str, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sae_bench.testing.tiny_models.unusable_sae", sae, raising=False)
    (handle,) = resolve_spec("python:sae_bench.testing.tiny_models:unusable_sae")
    with pytest.raises(SAELoadError, match=message):
        load_member(handle, LoadContext(torch.device("cpu"), torch.float32), lm)


def test_quantised_numbers_in_a_file_are_not_taken_for_weights(tmp_path: Path, context: LoadContext) -> None:
    weights, _ = save_sae(tiny_sae("relu"), tmp_path / "a.safetensors")
    tensors = tiny_sae("relu").state_dict()
    save_file({**tensors, "W_enc": (tensors["W_enc"] * 100).to(torch.int8)}, weights)
    with pytest.raises(SAELoadError, match=r"W_enc is of torch\.int8"):
        resolve_spec(f"path:{weights}")[0].load(context)


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), RuntimeError("no")])
def test_whatever_loading_raises_is_the_failure_of_that_sae(error: BaseException, lm: LanguageModel) -> None:
    def fail(_context: LoadContext) -> Any:
        raise error

    handles = [SAEHandle("tiny", "bad", HOOK, None, fail), _handle(tiny_sae("relu"))]
    failed: list[str] = []
    groups = load_members(
        handles,
        LoadContext(torch.device("cpu"), torch.float32),
        lm,
        limits=GroupLimits(),
        n_texts=1,
        on_failure=lambda handle, _error: failed.append(handle.sae_id),
    )
    assert [member.sae_id for group in groups for member in group] == ["sae"]
    assert failed == ["bad"]


def _unexpected(_handle: SAEHandle, error: Exception) -> None:
    raise error


def test_a_group_has_room_for_the_sae_that_a_null_counts_with(lm: LanguageModel) -> None:
    """A null that is matched token by token holds the weights and the codes of its SAE, too."""

    def sizes(*saes: Any) -> list[int]:
        context = LoadContext(torch.device("cpu"), torch.float32)
        handles = [replace(_handle(sae), sae_id=str(n)) for n, sae in enumerate(saes)]
        limits = GroupLimits(device_bytes=int(3.5 * one), host_bytes=1 << 40)
        groups = load_members(handles, context, lm, limits=limits, n_texts=1, on_failure=_unexpected)
        return [len(group) for group in groups]

    def null() -> TokenMatchedSAE:
        parent: Any = tiny_sae("topk")
        sae = TokenMatchedSAE(parent, derived_config(parent.cfg, {"name": "random_l0_matched"}, d_sae=F), d_out=D)
        sae.W_dec.copy_(parent.W_dec)
        sae.W_enc.copy_(parent.W_enc)
        return sae

    one = 2 * F * D * 4 + 4096 * F * 4  # encoder, decoder, codes of a batch
    assert sizes(*(tiny_sae("topk") for _ in range(6))) == [3, 3]
    assert sizes(null(), tiny_sae("topk"), null(), null()) == [2, 1, 1]


@pytest.mark.parametrize("code", [0, 1, 143, 200, "no", None])
def test_an_exit_of_others_is_an_error_with_any_code(code: int | str | None) -> None:
    with pytest.raises(ExitError, match=rf"'mine' called sys\.exit\({code!r}\)"), no_exit("mine"):
        sys.exit(code)


def test_an_interrupt_and_a_signal_are_not_swallowed() -> None:
    def leave(_number: int, _frame: object) -> None:
        sys.exit(3)

    with pytest.raises(KeyboardInterrupt), no_exit("mine"):
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit), no_exit("mine"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_function_that_exits_is_a_failed_sae(context: LoadContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave() -> None:
        raise SystemExit(200)

    monkeypatch.setattr("sae_bench.testing.tiny_models.leave", leave, raising=False)
    (handle,) = resolve_spec("python:sae_bench.testing.tiny_models:leave")
    with pytest.raises(ExitError, match=r"sys\.exit"):
        handle.load(context)


# ---- folders


def _unknown(folder: Path) -> None:
    folder.mkdir(parents=True)
    save_file({"encoder.weight": torch.zeros(F, D)}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_model": D}))


def test_neighbours_that_are_not_read_are_named(tmp_path: Path, context: LoadContext) -> None:
    _unknown(tmp_path / "layers.0")
    with pytest.raises(SAELoadError, match=r"layers\.0/sae\.safetensors' looks like an SAE and is of no format"):
        resolve_spec(f"path:{tmp_path}")
    save_sae(tiny_sae("topk"), tmp_path / "own")
    own, foreign = resolve_spec(f"path:{tmp_path}")
    assert (own.sae_id, foreign.sae_id) == ("own", "layers.0")
    own.load(context)
    with pytest.raises(SAELoadError, match="of no format that path: reads"):
        foreign.load(context)


def test_pairs_are_found_in_subfolders(tmp_path: Path, context: LoadContext) -> None:
    for name in ("a.safetensors", "deep/er/b.safetensors"):
        save_sae(tiny_sae("topk"), tmp_path / "saes" / name)
    (tmp_path / "saes" / "c.safetensors").write_bytes(b"")
    (tmp_path / "saes" / "c.json").write_text("{ no JSON")
    handles = {handle.sae_id: handle for handle in resolve_spec(f"path:{tmp_path}/saes")}
    assert handles.keys() == {"a", "deep/er/b", "c"}
    handles["deep/er/b"].load(context)
    with pytest.raises(SAELoadError, match="cannot read"):
        handles["c"].load(context)
