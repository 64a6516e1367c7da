"""Temporal SAEs: the formula, files of both layouts, and how SAEs of whole texts go through the pass and evals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pass_samples import HOOK, ROUNDING, member, random_texts
from safetensors.torch import save_file
from tiny_run_fixtures import data, lm, make_plan, one_thread, own_registry, words  # noqa: F401
from tiny_runs import handle
from torch import Tensor

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.activations.requests import PooledTexts, TokenRows
from sae_bench.custom_saes.interface import SparseCodes, encode_tokens
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import ContractError, SAELoadError, SAEMismatchError
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing import check_sae, tiny_temporal_sae

D, F, HEADS, NARROWER, K = 12, 32, 2, 4, 5
SCALE = 0.03
Weights = dict[str, Tensor]


def weights(*, tied: bool, n_layers: int) -> Weights:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int, size: float) -> Tensor:
        return size * torch.randn(*shape, generator=g)

    w = {"W_dec": normal(F, D, size=1.0), "b_dec": normal(D, size=0.3)}
    if not tied:
        w["W_enc"] = normal(D, F, size=1.0)
    for layer in range(n_layers):
        for part, width in (("k_ctx", F // NARROWER), ("q_target", F // NARROWER), ("v_ctx", F), ("c_proj", F)):
            w[f"attn_layers.{layer}.{part}.weight"] = normal(width, F, size=F**-0.5)
            w[f"attn_layers.{layer}.{part}.bias"] = normal(width, size=0.1)
    return w


def formula(w: Weights, x_LD: Tensor, *, n_layers: int, k: int | None) -> tuple[Tensor, Tensor]:
    """Codes and reconstruction of one text by definition, token by token and head by head, in float64."""
    w = {name: value.double() for name, value in w.items()}
    W_enc = w.get("W_enc", w["W_dec"].T)
    left = SCALE * x_LD.double() - w["b_dec"]
    predicted = torch.zeros(len(x_LD), F, dtype=torch.float64)
    for layer in range(n_layers):
        part = {n: (w[f"attn_layers.{layer}.{n}.weight"], w[f"attn_layers.{layer}.{n}.bias"])
                for n in ("k_ctx", "q_target", "v_ctx", "c_proj")}  # fmt: skip
        z = (left / (4 * D) @ W_enc).relu()
        before = torch.cat([torch.zeros(1, F, dtype=torch.float64), z[:-1]])
        q, key, v = (a @ part[n][0].T + part[n][1] for n, a in (("q_target", z), ("k_ctx", before), ("v_ctx", before)))
        attended = torch.zeros_like(z)
        for t in range(len(x_LD)):
            for h in range(HEADS):
                e, f = slice(h * 4, h * 4 + 4), slice(h * 16, h * 16 + 16)
                share = torch.softmax(key[: t + 1, e] @ q[t, e] / 2.0, dim=0)
                attended[t, f] = share @ v[: t + 1, f]
        z_pred = (attended @ part["c_proj"][0].T + part["c_proj"][1]).relu()
        along = z_pred @ w["W_dec"]
        size = (along * left).sum(1) / (along.norm(dim=1) + 1e-6) ** 2
        predicted += z_pred * size[:, None]
        left = left - size[:, None] * along
    codes = (left / (4 * D) @ W_enc).relu()
    if k is not None:
        codes = codes * (codes >= codes.topk(k).values[:, -1:])
    return codes, ((codes + predicted) @ w["W_dec"] + w["b_dec"]) / SCALE


def x_LD(length: int = 9) -> Tensor:
    return 30 * torch.randn(length, D, generator=torch.Generator().manual_seed(3))


def original(root: Path, w: Weights, *, tied: bool, n_layers: int, **changes: Any) -> Path:
    """As canrager/temporalSAEs has them; returns the file of weights."""
    folder = root / "gemma-2-2B/layer_12/temporal"
    folder.mkdir(parents=True, exist_ok=True)
    theirs = {"W_dec": "D", "W_enc": "E", "b_dec": "b"}
    path = folder / "latest_ckpt.safetensors"
    save_file({theirs.get(name, name): value for name, value in w.items()}, path)
    settings = {
        "exp_factor": F / D, "n_heads": HEADS, "n_attn_layers": n_layers, "bottleneck_factor": NARROWER,
        "sae_diff_type": "topk", "kval_topk": K, "tied_weights": tied, "scaling_factor": SCALE, **changes,
    }  # fmt: skip
    (folder / "conf.yaml").write_text(yaml.safe_dump({"llm": {"dimin": D}, "sae": settings}))
    return path


def saved(folder: Path, w: Weights, *, tied: bool, n_layers: int, **changes: Any) -> Path:
    """As SAELens saves them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(w, folder / "sae_weights.safetensors")
    config = {
        "architecture": "temporal", "d_in": D, "d_sae": F, "dtype": "float32", "apply_b_dec_to_input": True,
        "normalize_activations": "constant_scalar_rescale", "activation_normalization_factor": SCALE,
        "n_heads": HEADS, "n_attn_layers": n_layers, "bottleneck_factor": NARROWER, "sae_diff_type": "topk",
        "kval_topk": K, "tied_weights": tied,
        "metadata": {"model_name": "gemma-2-2b", "hook_name": "blocks.12.hook_resid_post", "context_size": 500},
        **changes,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("layout", ["original", "saved"])
@pytest.mark.parametrize(("tied", "n_layers", "kind"), [(True, 1, "topk"), (False, 2, "topk"), (True, 1, "relu")])
def test_codes_and_reconstructions_follow_the_definition(
    layout: str, tied: bool, n_layers: int, kind: str, tmp_path: Path, context: LoadContext
) -> None:
    w = weights(tied=tied, n_layers=n_layers)
    write = original if layout == "original" else saved
    write(tmp_path, w, tied=tied, n_layers=n_layers, sae_diff_type=kind)
    (listed,) = resolve_spec(f"path:{tmp_path}")
    assert listed.hook_name == "blocks.12.hook_resid_post"
    assert "gemma-2-2b" in str(listed.model_name)
    sae: Any = listed.load(context)
    codes, y = formula(w, x_LD(), n_layers=n_layers, k=K if kind == "topk" else None)
    assert 0 < (codes != 0).double().mean() < 1
    torch.testing.assert_close(sae.encode(x_LD()).double(), codes, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sae(x_LD()).double(), y, rtol=1e-4, atol=1e-4)
    assert sae.beside_latents(x_LD()).abs().max() > 1
    check_sae(sae)


def test_several_texts_are_apart_and_padding_behind_them_changes_nothing() -> None:
    sae = tiny_temporal_sae()
    x = torch.randn(3, 10, 32, generator=torch.Generator().manual_seed(0))
    codes = sae.encode(x)
    for text in range(3):
        torch.testing.assert_close(codes[text, :6], sae.encode(x[text, :6]), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sae(x), sae.decode(codes) + sae.beside_latents(x))
    assert not torch.allclose(codes[0, 5], sae.encode(x[0, 5:6])[0], atol=1e-3)  # the tokens before count


def test_a_reader_of_rows_that_looks_ahead_does_not_keep_the_contract() -> None:
    sae = tiny_temporal_sae()
    plain = sae.encode
    sae.encode = lambda x: plain(x.flip(-2)).flip(-2)
    with pytest.raises(ContractError, match="depends on tokens after it"):
        check_sae(sae)


# ---- broken files


def test_missing_extra_and_misshaped_tensors_are_named(tmp_path: Path, context: LoadContext) -> None:
    shape: dict[str, Any] = {"tied": False, "n_layers": 1}
    w = weights(**shape)
    theirs = {"W_dec": "D", "W_enc": "E", "b_dec": "b"}
    for name, value in w.items():
        path = original(tmp_path, {k: v for k, v in w.items() if k != name}, **shape)
        with pytest.raises(SAELoadError, match=rf"{path}' lacks {theirs.get(name, name)}"):
            resolve_spec(f"temporal:{tmp_path}")[0].load(context)
        path = original(tmp_path, {**w, name: value[:-1].contiguous()}, **shape)
        with pytest.raises(SAELoadError, match=rf"{path}': .* has shape \("):
            resolve_spec(f"temporal:{tmp_path}")[0].load(context)
    path = original(tmp_path, {**w, "attn_layers.1.k_ctx.bias": torch.zeros(8)}, **shape)
    with pytest.raises(SAELoadError, match=rf"{path}' has attn_layers.1.k_ctx.bias"):
        resolve_spec(f"temporal:{tmp_path}")[0].load(context)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sae_diff_type": "jump"}, "sae_diff_type is 'jump'"),
        ({"kval_topk": 0}, "k = 0"),
        ({"scaling_factor": -1.0}, "no positive number"),
        ({"n_heads": 3}, "do not divide into 3 heads"),
        ({"n_heads": "many"}, "conf.yaml' lacks a setting"),
    ],
)
def test_impossible_settings_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    original(tmp_path, weights(tied=True, n_layers=1), tied=True, n_layers=1, **changes)
    with pytest.raises(SAELoadError, match=message):
        resolve_spec(f"path:{tmp_path}")[0].load(context)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize_activations": "layer_norm"}, "activations with layer_norm"),
        ({"apply_b_dec_to_input": False}, "does not subtract b_dec"),
        ({"metadata": {}}, "names no hook"),
    ],
)
def test_settings_of_sae_lens_that_are_not_read_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    saved(tmp_path, weights(tied=True, n_layers=1), tied=True, n_layers=1, **changes)
    with pytest.raises(SAELoadError, match=message):
        resolve_spec(f"path:{tmp_path}")[0].load(context)


# ---- in the pass and in a run


def temporal(**kwargs: Any) -> Member:
    return Member("tiny", "temporal", tiny_temporal_sae(**kwargs), HOOK)


def codes_of_text(lm: LanguageModel, ids: list[int]) -> Tensor:  # noqa: F811
    return temporal().sae.encode(lm.capture(torch.tensor([ids]), [HOOK])[HOOK])[0]


@pytest.mark.parametrize("both", [False, True])
def test_pooled_codes_are_those_of_each_text_alone(lm: LanguageModel, both: bool) -> None:  # noqa: F811
    texts = random_texts(lm, 17)
    requests = [PooledTexts(texts, tokens="last"), *([PooledTexts(texts)] if both else [])]
    options = PassOptions(max_texts=5, max_tokens=60)
    report = run_pass(lm, requests, [temporal(), member("topk")], options)
    assert not report.failed
    rows = torch.arange(len(texts))
    last = torch.stack([codes_of_text(lm, ids)[-1] for ids in texts])
    torch.testing.assert_close(report.served[0].codes["tiny_temporal"].rows(rows), last, atol=ROUNDING, rtol=0)  # type: ignore[union-attr]
    if both:
        mean = torch.stack([codes_of_text(lm, ids)[1:].mean(0) for ids in texts])  # without BOS, which it reads
        torch.testing.assert_close(report.served[1].codes["tiny_temporal"].rows(rows), mean, atol=ROUNDING, rtol=0)  # type: ignore[union-attr]
    alone = run_pass(lm, requests, [member("topk")], options)
    for with_temporal, without in zip(report.served, alone.served, strict=True):  # bit for bit
        assert torch.equal(with_temporal.codes["tiny_topk_0"].rows(rows), without.codes["tiny_topk_0"].rows(rows))  # type: ignore[union-attr]
        assert torch.equal(with_temporal.activations[HOOK], without.activations[HOOK])  # type: ignore[union-attr]


def test_packed_rows_are_encoded_whole(lm: LanguageModel) -> None:  # noqa: F811
    rows = torch.randint(10, 300, (4, 12), generator=torch.Generator().manual_seed(0))
    rows[1, 5] = lm.tokenizer.eos_token_id

    class Codes:
        def __init__(self) -> None:
            self.given: list[Tensor] = []

        def on_activations(self, batch: Any) -> None:
            pass

        def on_codes(self, batch: Any, member: Member, codes: SparseCodes | Tensor) -> None:
            assert isinstance(codes, Tensor)
            self.given.append(codes)

        def on_batch_end(self, batch: Any) -> None:
            pass

        def drop(self, member: Member) -> None:
            pass

    consumer = Codes()
    assert not run_pass(lm, [TokenRows(rows, 2, consumer)], [temporal()]).failed
    expected = torch.cat([codes_of_text(lm, ids) for ids in rows.tolist()])
    is_text = ~torch.isin(rows, torch.tensor(sorted(lm.special_token_ids))).flatten()
    torch.testing.assert_close(torch.cat(consumer.given), expected[is_text], atol=ROUNDING, rtol=0)
    assert len(consumer.given[0]) == 23


def test_evals_of_texts_run_and_evals_of_single_tokens_refuse(make_plan: Callable[..., RunPlan]) -> None:  # noqa: F811
    summary = run(make_plan([handle("temporal", load=lambda _context: tiny_temporal_sae())]))
    assert not summary.failures
    assert [path.parent.name for path in summary.written] == ["core", "sparse_probing"]
    assert "by the tokens before it" in get_eval("mdl").refusal(temporal())


def test_single_tokens_are_never_encoded_by_mistake() -> None:
    with pytest.raises(SAEMismatchError, match="by the tokens before it"):
        encode_tokens(tiny_temporal_sae(), torch.zeros(3, 32))
