"""Cross-layer transcoders as a whole: what the latents of all layers up to one write at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from broken_tensors import check_that_broken_tensors_are_named
from relu_mlps import own_mlp, relu_model
from safetensors.torch import save_file
from tiny_run_fixtures import data, lm, make_plan, one_thread, own_registry, words  # noqa: F401
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member, load_member
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import HookError, SAELoadError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing import check_sae

D, F, L = 32, 20, 3
Weights = dict[str, Tensor]


def weights(layer: int, *, skip: bool) -> Weights:
    g = torch.Generator().manual_seed(layer)
    w = {
        f"W_enc_{layer}": torch.randn(F, D, generator=g) / D**0.5,
        f"b_enc_{layer}": 0.3 * torch.randn(F, generator=g),
        f"b_dec_{layer}": torch.randn(D, generator=g),
        f"threshold_{layer}": 0.3 * torch.rand(F, generator=g),
        f"W_dec_{layer}": torch.randn(F, L - layer, D, generator=g),
    }
    return {**w, f"W_skip_{layer}": torch.randn(D, D, generator=g)} if skip else w


def written(folder: Path, layers: list[Weights]) -> Path:
    """As circuit-tracer lays them out."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(
            {"model_kind": "cross_layer_transcoder", "model_name": "tiny", "feature_input_hook": "mlp.hook_in"}
        )
    )
    for i, w in enumerate(layers):
        name = f"W_dec_{i}"
        save_file({name: w[name].contiguous()}, folder / f"{name}.safetensors")
        rest = {key: value.contiguous() for key, value in w.items() if key != name}
        save_file(rest, folder / f"W_enc_{i}.safetensors")
    return folder


@pytest.mark.parametrize("skip", [False, True])
def test_every_layer_is_written_by_the_latents_of_all_before(skip: bool, tmp_path: Path, context: LoadContext) -> None:
    layers = [weights(i, skip=skip) for i in range(L)]
    folder = written(tmp_path / "clt", layers)
    x_LND = torch.randn(L, 50, D, generator=torch.Generator().manual_seed(9))
    listed = {handle.sae_id: handle for handle in resolve_spec(f"path:{folder}")}
    assert [*listed] == [f"{kind}_{i}" for kind in ("layer", "up_to_layer") for i in range(L)]
    for last in range(L):
        sae: Any = listed[f"up_to_layer_{last}"].load(context)
        y, codes = layers[last][f"b_dec_{last}"].double(), []
        for i in range(last + 1):
            w = {name.removesuffix(f"_{i}"): value.double() for name, value in layers[i].items()}
            pre = x_LND[i].double() @ w["W_enc"].T + w["b_enc"]
            f = pre.relu() * (pre > w["threshold"])
            y = y + f @ w["W_dec"][:, last - i]
            codes.append(f * w["W_dec"][:, last - i].norm(dim=1))
        if skip:
            y = y + x_LND[last].double() @ layers[last][f"W_skip_{last}"].double()
        x_ND = torch.cat([*x_LND[: last + 1]], dim=-1)
        torch.testing.assert_close(sae.encode(x_ND).double(), torch.cat(codes, dim=-1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(sae(x_ND).double(), y, rtol=1e-4, atol=1e-4)
        several = f"blocks.0-{last}" if last else "blocks.0"
        assert (sae.cfg.hook_name, sae.cfg.hook_name_out) == (f"{several}.mlp.hook_in", f"blocks.{last}.hook_mlp_out")
        check_sae(sae)


def gemma_written(root: Path, layers: list[Weights]) -> Path:
    """As Gemma Scope 2 has them: rows for all layers in every file, those before its own not in use."""
    folder = root / "gemma-scope-2-1b-pt/clt/width_1k_l0_big"
    folder.mkdir(parents=True)
    for i, w in enumerate(layers):
        W_dec_FLO = torch.full((F, L, D), 7.0)
        W_dec_FLO[:, i:] = w[f"W_dec_{i}"]
        theirs = {name: w[f"{ours}_{i}"] for name, ours in (("b_enc", "b_enc"), ("b_dec", "b_dec"))}
        theirs |= {"w_enc": w[f"W_enc_{i}"].T, "threshold": w[f"threshold_{i}"], "w_dec": W_dec_FLO}
        if f"W_skip_{i}" in w:
            theirs["affine_skip_connection"] = w[f"W_skip_{i}"]
        save_file(
            {name: value.contiguous() for name, value in theirs.items()}, folder / f"params_layer_{i}.safetensors"
        )
    return folder


@pytest.mark.parametrize("skip", [False, True])
def test_both_layouts_give_the_same(skip: bool, tmp_path: Path, context: LoadContext) -> None:
    layers = [weights(i, skip=skip) for i in range(L)]
    gemma_written(tmp_path, layers)
    for last in range(L):
        one, other = (
            resolve_spec(spec)[0].load(context)
            for spec in (
                f"circuit_tracer:{written(tmp_path / 'clt', layers)}:up_to_layer_{last}",
                f"gemma_scope:{tmp_path}/gemma-scope-2-1b-pt:clt/width_1k_l0_big/up_to_layer_{last}",
            )
        )
        torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()))  # type: ignore[attr-defined]
        several = f"blocks.0-{last}" if last else "blocks.0"
        assert (other.cfg.hook_name, other.cfg.model_name) == (f"{several}.hook_mlp_in", "google/gemma-3-1b-pt")


def test_files_that_contradict_each_other_are_named(tmp_path: Path, context: LoadContext) -> None:
    layers = [weights(i, skip=False) for i in range(L)]
    layers[1]["W_dec_1"] = layers[1]["W_dec_1"][:, :1]
    folder = written(tmp_path / "clt", layers)
    with pytest.raises(SAELoadError, match=r"W_dec_1.safetensors' writes to 1 layers, 2 are needed"):
        resolve_spec(f"circuit_tracer:{folder}:up_to_layer_2")[0].load(context)
    layers[0]["W_enc_0"], layers[0]["b_enc_0"] = layers[0]["W_enc_0"][:10], layers[0]["b_enc_0"][:10]
    layers[0]["threshold_0"], layers[0]["W_dec_0"] = layers[0]["threshold_0"][:10], layers[0]["W_dec_0"][:10]
    written(folder, layers)
    with pytest.raises(SAELoadError, match="encoders of different shapes"):
        resolve_spec(f"circuit_tracer:{folder}:up_to_layer_1")[0].load(context)


@pytest.mark.parametrize("file", ["W_enc_1", "W_dec_1"])
@pytest.mark.parametrize("sae_id", ["layer_1", "up_to_layer_2"])
def test_missing_extra_and_misshaped_tensors_are_named(
    file: str, sae_id: str, tmp_path: Path, context: LoadContext
) -> None:
    folder = written(tmp_path / "clt", [weights(i, skip=False) for i in range(L)])
    (handle,) = resolve_spec(f"circuit_tracer:{folder}:{sae_id}")
    check_that_broken_tensors_are_named(
        folder / f"{file}.safetensors",
        partial(handle.load, context),
        optional=("threshold_1",),
        of_any_shape=("b_dec_1",),
    )


# ---- in a model


def test_values_of_several_layers_stand_side_by_side() -> None:
    model, ids = relu_model(), torch.randint(10, 300, (2, 7))
    names = [f"blocks.{i}.mlp.hook_in" for i in range(3)]
    values = model.capture(ids, ["blocks.0-2.mlp.hook_in", *names[1:]])
    assert [*values] == ["blocks.0-2.mlp.hook_in", *names[1:]]
    alone = model.capture(ids, names)
    assert torch.equal(values["blocks.0-2.mlp.hook_in"], torch.cat([alone[name] for name in names], dim=-1))
    with pytest.raises(HookError, match="beyond the model's depth"):
        model.check_readable("blocks.1-3.mlp.hook_in")
    with pytest.raises(HookError, match="is no hook name"):
        model.check_readable("blocks.2-1.mlp.hook_in")


def own_layers(model: LanguageModel, *, skip: bool) -> list[Weights]:
    """The MLPs of a model as a cross-layer transcoder whose latents write to their own layer alone."""
    layers = []
    for i in range(3):
        mlp = own_mlp(model, i, skip=skip)
        W_dec_FLO = torch.zeros(len(mlp.W_dec), 3 - i, mlp.W_dec.shape[1])
        W_dec_FLO[:, 0] = mlp.W_dec
        w = {f"W_enc_{i}": mlp.W_enc.T, f"b_enc_{i}": mlp.b_enc, f"b_dec_{i}": mlp.b_dec, f"W_dec_{i}": W_dec_FLO}
        layers.append({**w, f"W_skip_{i}": mlp.W_skip.T} if skip else w)
    return layers


@pytest.mark.parametrize("skip", [False, True])
def test_relu_mlps_are_their_own_exact_cross_layer_transcoder(skip: bool, tmp_path: Path, context: LoadContext) -> None:
    model = relu_model()
    folder = written(tmp_path / "clt", own_layers(model, skip=skip))
    (handle,) = resolve_spec(f"circuit_tracer:{folder}:up_to_layer_2")
    member = load_member(handle, context, model)
    config = CoreEvalConfig(
        model_name=model.name, batch_size_prompts=2, context_size=12, n_eval_reconstruction_batches=2,
        n_eval_sparsity_variance_batches=2, exclude_special_tokens_from_reconstruction=False,
    )  # fmt: skip
    rows = torch.randint(10, 300, (4, 12), generator=torch.Generator().manual_seed(0))
    job = CoreJob(EvalContext(model, (member.hook_name,), (0,)), config, rows)
    report = run_pass(model, job.requests([member]), [member])
    assert not report.failed
    scores = job.score(member, report.served)
    metrics = scores.metrics.model_dump()
    assert metrics["reconstruction_quality"]["explained_variance"] == pytest.approx(1.0, abs=1e-4)
    assert metrics["model_performance_preservation"]["ce_loss_score"] == pytest.approx(1.0, abs=1e-3)
    assert any("no encoder matrix" in reason for reason in scores.not_computed.values())


def test_it_takes_part_in_a_run(make_plan: Callable[..., RunPlan], tmp_path: Path) -> None:  # noqa: F811
    folder = written(tmp_path / "clt", [weights(i, skip=False) for i in range(L)])
    handles = resolve_spec(f"circuit_tracer:{folder}:up_to_layer_1")
    summary = run(make_plan(handles))
    assert not summary.failures
    assert [path.parent.name for path in summary.written] == ["core", "sparse_probing"]
    sae: Any = handles[0].load(LoadContext(torch.device("cpu"), torch.float32))
    member = Member("clt", "up_to_layer_1", sae, sae.cfg.hook_name)
    for name in ("ravel", "unlearning"):
        assert "'blocks.0-1.mlp.hook_in' is of several layers" in get_eval(name).refusal(member)
    for name in ("core", "tpp", "mdl"):
        assert not get_eval(name).refusal(member)
