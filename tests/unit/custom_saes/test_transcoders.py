"""Transcoders: formulas, files, and what evals take and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_run_fixtures import data, lm, make_plan, one_thread, own_registry, words  # noqa: F401
from tiny_runs import handle

from sae_bench.analysis.comparable import hook_of
from sae_bench.analysis.table import load_results
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import output_hook, writes_elsewhere
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import load_member
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.errors import SAEMismatchError
from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing import check_sae, tiny_transcoder

KINDS = ("transcoder", "jumprelu_transcoder", "topk_transcoder")
READS, WRITES = "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"


def formula(kind: str, w: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and prediction by definition, in float64."""
    w, x = {name: value.double() for name, value in w.items()}, x.double()
    pre = x @ w["W_enc"] + w["b_enc"]
    codes = pre.relu()
    if kind == "jumprelu_transcoder":
        codes = codes * (pre > w["threshold"])
    if kind == "topk_transcoder":
        codes = codes * (codes >= codes.sort(dim=-1, descending=True).values[..., 7:8])
    y = codes @ w["W_dec"] + w["b_dec"]
    return codes, y + x @ w["W_skip"].T if "W_skip" in w else y


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_predictions_follow_the_definition(kind: str, skip: bool, x_ND: torch.Tensor) -> None:
    transcoder = tiny_transcoder(kind, skip=skip, d_out=24)
    codes, y = formula(kind, transcoder.state_dict(), x_ND)
    assert 0 < (codes != 0).double().mean() < 1
    torch.testing.assert_close(transcoder.encode(x_ND).double(), codes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(transcoder(x_ND).double(), y, rtol=1e-4, atol=1e-5)
    assert (output_hook(transcoder), writes_elsewhere(transcoder)) == (WRITES, True)
    assert (transcoder.cfg.d_in, transcoder.cfg.d_out) == (32, 24)
    assert ("skip" in transcoder.cfg.architecture) == skip
    check_sae(transcoder)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_changes_no_prediction(kind: str, x_ND: torch.Tensor) -> None:
    transcoder = tiny_transcoder(kind, skip=True)
    transcoder.W_dec.mul_(torch.linspace(0.5, 3, 64)[:, None])
    before = transcoder(x_ND)
    warnings = fold_decoder_norm(transcoder)
    torch.testing.assert_close(transcoder(x_ND), before, rtol=1e-4, atol=1e-4)
    assert transcoder.check_decoder_norms() == (kind != "topk_transcoder")
    assert bool(warnings) == (kind == "topk_transcoder")


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_transcoders_come_back(kind: str, skip: bool, tmp_path: Path, context: LoadContext) -> None:
    transcoder = tiny_transcoder(kind, skip=skip, d_out=24)
    save_sae(transcoder, tmp_path / "t.safetensors")
    (one,) = resolve_spec(f"path:{tmp_path}")
    loaded: Any = one.load(context)
    assert loaded.cfg == transcoder.cfg
    torch.testing.assert_close(dict(loaded.state_dict()), dict(transcoder.state_dict()))


def test_relu_transcoder_of_a_relu_mlp_is_exact(x_ND: torch.Tensor) -> None:
    up, down = torch.nn.Linear(32, 64), torch.nn.Linear(64, 24)
    transcoder = tiny_transcoder(d_out=24)
    weights = {"W_enc": up.weight.T, "b_enc": up.bias, "W_dec": down.weight.T, "b_dec": down.bias}
    transcoder.load_state_dict({name: value.detach() for name, value in weights.items()})
    torch.testing.assert_close(transcoder(x_ND), down(torch.relu(up(x_ND))).detach(), rtol=1e-4, atol=1e-5)


# ---- in a run


def transcoder_handle(name: str = "t", load: Callable[..., Any] | None = None, **kwargs: Any) -> SAEHandle:
    return handle(name, hook=READS, load=load or (lambda _context: tiny_transcoder(**kwargs)))


def test_transcoders_and_saes_share_a_run(make_plan: Callable[..., RunPlan]) -> None:  # noqa: F811
    summary = run(make_plan([transcoder_handle(skip=True), handle("sae")]))
    assert not summary.failures
    assert {path.parent.name + "/" + path.name for path in summary.written} == {
        f"{name}/tiny_{sae}_eval_results.json" for name in ("core", "sparse_probing") for sae in ("t", "sae")
    }
    result = json.loads(next(path for path in summary.written if path.match("core/tiny_t_*")).read_text())
    assert f"a transcoder: its codes are of what it reads ('{READS}')" in " ".join(result["provenance"]["warnings"])
    beside = result["validity"]["reconstruction_quality.explained_variance"]
    assert "the skip path alone, no latent active" in {one["name"] for one in (beside["floor"], *beside["others"])}
    records = load_results(summary.written[0].parent.parent).records
    assert {hook_of(record) for record in records if record.sae_id == "t"} == {f"{READS} -> {WRITES}"}


def test_a_reader_of_codes_alone_gives_its_own_reason(make_plan: Callable[..., RunPlan]) -> None:  # noqa: F811
    def load(_context: LoadContext) -> Any:
        transcoder = tiny_transcoder()
        transcoder.codes_only = "its decoder is summed over layers"
        return transcoder

    (failure,) = run(make_plan([transcoder_handle(load=load)], evals=["core"])).failures
    assert failure.message == "core needs a reconstruction, and its decoder is summed over layers"


def test_a_users_object_needs_the_output_hook_and_nothing_else(lm: LanguageModel, context: LoadContext) -> None:  # noqa: F811
    inner = tiny_transcoder(d_out=32)
    cfg = SimpleNamespace(d_in=32, d_sae=64, hook_name=READS, hook_name_out=WRITES)
    mine = SimpleNamespace(cfg=cfg, W_dec=inner.W_dec, encode=inner.encode, decode=inner.decode)
    member = load_member(transcoder_handle(load=lambda _context: mine), context, lm)
    assert (member.hook_name, member.hook_name_out) == (READS, WRITES)


def test_an_output_of_another_width_or_without_a_place_is_refused(lm: LanguageModel, context: LoadContext) -> None:  # noqa: F811
    with pytest.raises(SAEMismatchError, match=r"predicts vectors of 24 numbers, but 'blocks.1.hook_mlp_out' .* 32"):
        load_member(transcoder_handle(d_out=24), context, lm)


def test_the_mlp_reads_what_its_norm_gives(lm: LanguageModel) -> None:  # noqa: F811
    ids = torch.arange(8)[None]
    hooks = [READS, "blocks.1.hook_mlp_in", WRITES, "blocks.1.hook_resid_mid"]
    values = lm.capture(ids, hooks)
    block = lm.layers[1]
    torch.testing.assert_close(values[READS], values["blocks.1.hook_mlp_in"])
    torch.testing.assert_close(values[READS], block.ln_2(values["blocks.1.hook_resid_mid"]).detach())
    torch.testing.assert_close(values[WRITES], block.mlp(values[READS]).detach())
