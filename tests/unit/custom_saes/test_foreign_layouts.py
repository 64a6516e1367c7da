"""Readers of other libraries' files: what they compute, what they are called, and what is said of broken files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_layouts import (
    CASES,
    Case,
    D,
    F,
    K,
    Weights,
    circuit_tracer_tensors,
    crosscoder_config,
    gemma_scope_2_tensors,
    set_config,
    to_json,
    to_safetensors,
    to_yaml,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_bench.custom_saes.interface import output_hook
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.errors import PrerequisiteError, SAELoadError, UnknownNameError
from sae_bench.testing import check_sae

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
BY_NAME = {case.name: case for case in CASES}


def x() -> Tensor:
    return torch.randn(50, D, generator=torch.Generator().manual_seed(7))


def written(case: Case, root: Path) -> Path:
    folder = root / case.repository
    case.write(folder, case.weights())
    return folder


def one(spec: str, root: Path | None = None) -> SAEHandle:
    (handle,) = resolve_spec(spec, data_dir=root)
    return handle


@cases
def test_codes_and_reconstructions_are_those_of_the_formula(case: Case, tmp_path: Path, context: LoadContext) -> None:
    written(case, tmp_path)
    handle = one(f"{case.scheme}:{case.repository}:{case.sae_id}", tmp_path)
    assert (handle.sae_id, handle.hook_name, handle.model_name) == (case.sae_id, case.hooks[0], case.model)
    sae = handle.load(context)
    w = case.weights()
    codes, y = case.formula(w, x())
    norm_F = w["W_dec"].double().norm(dim=1) / case.scale
    expected = codes if case.kind == "topk" else codes * norm_F
    assert 0 < (expected != 0).double().mean() < 1
    torch.testing.assert_close(sae.encode(x()).double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(x()).double(), y, rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    assert (sae.cfg.hook_name, output_hook(sae)) == case.hooks
    assert (sae.cfg.model_name, sae.cfg.architecture, sae.cfg.d_sae) == (case.model, case.architecture, F)
    check_sae(sae)


@cases
def test_a_folder_tells_what_it_holds(case: Case, tmp_path: Path, context: LoadContext) -> None:
    """By `path:` too, and the fingerprint is of the files."""
    folder = written(case, tmp_path)
    handle = one(f"path:{folder}")
    assert (handle.sae_id, handle.hook_name) == (case.sae_id, case.hooks[0])
    assert handle.format
    assert handle.fingerprint is not None
    before = handle.fingerprint(context)
    case.write(folder, case.weights(seed=1))
    assert one(f"path:{folder}").fingerprint(context) != before  # type: ignore[misc]


# ---- broken files: the message names the key and the file


_SUFFIXES = (".safetensors", ".npz", ".pt", ".pth")


def tensors_of(folder: Path) -> Path:
    return next(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and "W_dec" not in path.name)


def tensors_in(path: Path) -> Weights:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        return {name: torch.from_numpy(value) for name, value in np.load(path).items()}
    return torch.load(path, weights_only=True)


def edited(change: Callable[[Weights], Weights], case: Case, root: Path) -> tuple[SAEHandle, Path]:
    path = tensors_of(written(case, root))
    tensors = change(tensors_in(path))
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})
    else:
        torch.save(tensors, path)
    return one(f"{case.scheme}:{root / case.repository}:{case.sae_id}"), path


def shortened(value: Tensor) -> Tensor:
    """One latent less: transcoders may be of any two widths."""
    return (value[:-1] if value.ndim == 1 or len(value) == F else value[:, :-1]).contiguous()


@cases
def test_missing_extra_and_misshaped_tensors_are_named(case: Case, tmp_path: Path, context: LoadContext) -> None:
    path = tensors_of(written(case, tmp_path))
    for key in tensors_in(path):
        if key not in ("W_skip", "affine_skip_connection", "activation_function.threshold"):
            handle, path = edited(lambda raw, key=key: {k: v for k, v in raw.items() if k != key}, case, tmp_path)
            with pytest.raises(SAELoadError, match=rf"{path}' lacks {key}"):
                handle.load(context)
        handle, path = edited(lambda raw, key=key: {**raw, key: shortened(raw[key])}, case, tmp_path)
        with pytest.raises(SAELoadError, match=rf"{path}': .* has shape \("):
            handle.load(context)
    handle, path = edited(lambda raw: {**raw, "W_more": torch.zeros(2)}, case, tmp_path)
    with pytest.raises(SAELoadError, match=rf"{path}' has (unknown )?W_more"):
        handle.load(context)
    handle, path = edited(lambda raw: {name: value.to(torch.int8) for name, value in raw.items()}, case, tmp_path)
    with pytest.raises(SAELoadError, match="quantised"):
        handle.load(context)


def test_a_matrix_the_wrong_way_round_is_not_taken(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["sparsify SAE"]
    handle, path = edited(lambda raw: {**raw, "W_dec": raw["W_dec"].T.contiguous()}, case, tmp_path)
    with pytest.raises(SAELoadError, match=rf"{path}': W_dec has shape \(16, 40\)"):
        handle.load(context)


def test_one_broken_sae_costs_no_other(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["sparsify SAE"]
    folder = written(case, tmp_path)
    (folder / "layers.4").mkdir()
    (folder / "layers.4/cfg.json").write_text("{")
    (folder / "layers.4/sae.safetensors").write_bytes(b"")
    bad, good = sorted(resolve_spec(f"path:{folder}"), key=lambda handle: handle.sae_id == "layers.3")
    good.load(context)
    with pytest.raises(SAELoadError, match=r"layers.4/cfg.json"):
        bad.load(context)


# ---- sparsify


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "groupmax"}, "has the activation 'groupmax'"),
        ({"signed": True}, "signed codes"),
        ({"skip_connection": True}, "an SAE with a skip path"),
        ({"k": 0}, r"k = 0; a whole number from 1 to 40"),
    ],
)
def test_sparsify_refuses_by_name(
    change: dict[str, object], message: str, tmp_path: Path, context: LoadContext
) -> None:
    folder = written(BY_NAME["sparsify SAE"], tmp_path)
    path = folder / "layers.3/cfg.json"
    to_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(SAELoadError, match=message):
        one(f"sparsify:{folder}").load(context)


@pytest.mark.parametrize(
    ("hookpoint", "transcode", "hooks"),
    [
        ("layers.3.mlp", False, ("blocks.3.hook_mlp_out", "blocks.3.hook_mlp_out")),
        ("h.3.attn", False, ("blocks.3.hook_attn_out", "blocks.3.hook_attn_out")),
        ("embed_tokens", False, ("hook_embed", "hook_embed")),
        ("layers.3", True, ("blocks.3.hook_resid_pre", "blocks.3.hook_resid_post")),
    ],
)
def test_sparsify_hookpoints(
    hookpoint: str, transcode: bool, hooks: tuple[str, str], tmp_path: Path, context: LoadContext
) -> None:
    case = BY_NAME["sparsify transcoder" if transcode else "sparsify SAE"]
    folder = written(case, tmp_path)
    (folder / case.sae_id).rename(folder / hookpoint)
    handle = one(f"sparsify:{folder}")
    sae = handle.load(context)
    assert (handle.sae_id, handle.hook_name, output_hook(sae)) == (hookpoint, *hooks)


def test_a_module_without_a_hook_is_named(tmp_path: Path, context: LoadContext) -> None:
    folder = written(BY_NAME["sparsify SAE"], tmp_path)
    (folder / "layers.3").rename(folder / "lm_head")
    with pytest.raises(SAELoadError, match="the submodule 'lm_head' is not known"):
        one(f"sparsify:{folder}").load(context)


# ---- Gemma Scope


def test_gemma_scope_2_without_a_configuration_goes_by_the_folders(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["Gemma Scope 2 transcoder"]
    folder = written(case, tmp_path)
    config = next(folder.rglob("config.json"))
    config.unlink()
    leaf = config.parent
    for spec in (f"gemma_scope:{folder}", f"path:{leaf}", f"path:{leaf}/params.safetensors"):
        handle = one(spec)
        sae = handle.load(context)
        assert (sae.cfg.hook_name, output_hook(sae), handle.model_name) == (*case.hooks, case.model)


def test_gemma_scope_2_contradictions_and_crosscoders(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["Gemma Scope 2 SAE"]
    folder = written(case, tmp_path)
    leaf = next(folder.rglob("params.safetensors")).parent
    leaf.parent.rename(folder / "resid_post")
    with pytest.raises(SAELoadError, match=r"'blocks.3.hook_resid_post' by its path and of 'blocks.3.attn.hook_z'"):
        one(f"gemma_scope:{folder}").load(context)
    (folder / "resid_post").rename(folder / "crosscoder")
    with pytest.raises(
        SAELoadError, match="is of a crosscoder, and its path does not say which of the layers it reads"
    ):
        one(f"gemma_scope:{folder}").load(context)


def test_a_head_of_a_crosscoder_is_read_for_its_codes(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["Gemma Scope 2 crosscoder head"]
    folder = written(case, tmp_path)
    path = tensors_of(folder)
    handle = one(f"gemma_scope:{folder}")
    assert "write to all later layers" in handle.load(context).codes_only  # type: ignore[attr-defined]
    to_json(path.parent / "config.json", crosscoder_config(hf_hook_point_in="model.layers.{7,17}.output"))
    with pytest.raises(SAELoadError, match=r"is of layer 13 by its path and of 'model.layers.\{7,17\}.output'"):
        one(f"gemma_scope:{folder}").load(context)
    to_json(path.parent / "config.json", crosscoder_config())
    save_file({**load_file(path), "w_dec": load_file(path)["w_dec"][:, :3].contiguous()}, path)
    with pytest.raises(SAELoadError, match=rf"{path}': w_dec has shape \(40, 3, 16\); 4 layers are named in its path"):
        handle.load(context)
    path.rename(path.with_name("params_layer_4.safetensors"))
    with pytest.raises(SAELoadError, match="does not say which of the layers"):
        one(f"gemma_scope:{folder}").load(context)


def test_a_configuration_of_all_layers_goes_with_the_layer_of_the_path(tmp_path: Path, context: LoadContext) -> None:
    """As the `config.json` beside the layers of a cross-layer transcoder is."""
    w = BY_NAME["Gemma Scope 2 transcoder"].weights()
    leaf = tmp_path / "google/gemma-scope-2-1b-it/clt/width_262k_l0_big"
    to_safetensors(leaf / "params_layer_0.safetensors", {**gemma_scope_2_tensors(w), "w_dec": w["W_dec"][:, None]})
    points = {"in": "pre_feedforward_layernorm", "out": "post_feedforward_layernorm"}
    hooks = {f"hf_hook_point_{end}": f"model.layers.{{all}}.{module}.output" for end, module in points.items()}
    to_json(leaf / "config.json", {"architecture": "jump_relu", "model_name": "google/gemma-3-1b-it", **hooks})
    layer, whole = resolve_spec(f"gemma_scope:{tmp_path}/google/gemma-scope-2-1b-it")
    for handle in (layer, whole):
        sae = handle.load(context)
        assert (sae.cfg.hook_name, output_hook(sae)) == ("blocks.0.hook_mlp_in", "blocks.0.hook_mlp_out")
        assert sae.cfg.model_name == "google/gemma-3-1b-it"


def test_embeddings_are_read_as_the_model_scales_them(tmp_path: Path, context: LoadContext) -> None:
    """The SAE was trained on the table's rows; the hook has them times sqrt(d)."""
    case = BY_NAME["Gemma Scope SAE"]
    folder = tmp_path / case.repository
    w = case.weights()
    case.write(folder, w)
    (folder / "layer_3").rename(folder / "embedding")
    sae = one(f"gemma_scope:{folder}:embedding/width_16k/average_l0_9").load(context)
    _, y = case.formula(w, x())
    torch.testing.assert_close(sae(x() * D**0.5).double(), y * D**0.5, rtol=1e-4, atol=1e-4)  # type: ignore[operator]
    assert sae.cfg.hook_name == "hook_embed"


def test_a_layer_of_a_cross_layer_transcoder_is_read_for_its_codes(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["Gemma Scope 2 transcoder"]
    w = case.weights()
    W_dec_FLO = torch.randn(F, 4, D, generator=torch.Generator().manual_seed(3))
    codes, _ = case.formula(w, x())
    second = tmp_path / "google/gemma-scope-2-270m-pt"
    to_safetensors(
        second / "clt/width_262k_l0_big/params_layer_3.safetensors", {**gemma_scope_2_tensors(w), "w_dec": W_dec_FLO}
    )
    traced = tmp_path / "mntss/clt-gemma-2-2b-2.5M"
    to_yaml(
        traced / "config.yaml", set_config(model_kind="cross_layer_transcoder", feature_input_hook="hook_resid_mid")
    )
    encoder = {"W_enc_3": w["W_enc"].T, "b_enc_3": w["b_enc"], "b_dec_3": w["b_dec"], "threshold_3": w["threshold"]}
    to_safetensors(traced / "W_enc_3.safetensors", encoder)
    to_safetensors(traced / "W_dec_3.safetensors", {"W_dec_3": W_dec_FLO})
    for spec, model in (
        (f"gemma_scope:{second}", "google/gemma-3-270m"),
        (f"circuit_tracer:{traced}", "meta-llama/Llama-3.2-1B"),
    ):
        handle = one(spec)
        sae = handle.load(context)
        expected = codes * W_dec_FLO.sum(dim=1).double().norm(dim=1)
        torch.testing.assert_close(sae.encode(x()).double(), expected, rtol=1e-4, atol=1e-4)
        assert "cross-layer" in sae.codes_only  # type: ignore[attr-defined]
        assert handle.model_name == model


# ---- circuit-tracer


def test_a_set_may_refer_to_other_repositories(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["circuit-tracer ReLU"]
    w = case.weights()
    names = ("layer_0.safetensors", "deep/layer_1.safetensors")
    for name in names:
        to_safetensors(tmp_path / "somebody/else" / name, circuit_tracer_tensors(w))
    listed = [f"hf://somebody/else/{name}?revision=abc" for name in names]
    to_yaml(tmp_path / "a/set/config.yaml", set_config(transcoders=listed))
    handles = resolve_spec("circuit_tracer:a/set", data_dir=tmp_path)
    assert [handle.hook_name for handle in handles] == ["blocks.0.hook_resid_mid", "blocks.1.hook_resid_mid"]
    _, y = case.formula(w, x())
    torch.testing.assert_close(handles[1].load(context)(x()).double(), y, rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def test_a_set_of_gemma_scope_transcoders_reads_their_files(tmp_path: Path, context: LoadContext) -> None:
    first, second = BY_NAME["Gemma Scope transcoder"], BY_NAME["Gemma Scope 2 skip transcoder"]
    for case in (first, second):
        written(case, tmp_path)
    listed = [
        f"hf://{first.repository}/{first.sae_id}/params.npz",
        f"hf://{second.repository}/{second.sae_id}/params.safetensors",
    ]
    to_yaml(tmp_path / "a/set/config.yaml", set_config(transcoders=listed, feature_input_hook="ln2.hook_normalized"))
    for handle, case in zip(resolve_spec("circuit_tracer:a/set", data_dir=tmp_path), (first, second), strict=True):
        _, y = case.formula(case.weights(), x())
        torch.testing.assert_close(handle.load(context)(x()).double(), y, rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def test_what_circuit_tracer_sets_cannot_be(tmp_path: Path, context: LoadContext) -> None:
    case = BY_NAME["circuit-tracer JumpReLU, skip"]
    handle, _ = edited(lambda raw: {**raw, "activation_function.threshold": -torch.ones(F)}, case, tmp_path)
    with pytest.raises(SAELoadError, match="thresholds are below 0"):
        handle.load(context)
    to_yaml(tmp_path / case.repository / "config.yaml", set_config(model_kind="lorsa"))
    with pytest.raises(SAELoadError, match="model_kind is 'lorsa'"):
        one(f"circuit_tracer:{tmp_path / case.repository}").load(context)


# ---- the rest


def test_qwen_scope_needs_its_name_for_k(tmp_path: Path, context: LoadContext) -> None:
    folder = written(BY_NAME["Qwen Scope"], tmp_path)
    assert int(one(f"path:{folder}/layer3.sae.pt").load(context).k) == K  # type: ignore[attr-defined]
    folder.rename(tmp_path / "mine")
    with pytest.raises(SAELoadError, match="k stands in the name of a Qwen Scope repository"):
        one(f"qwen_scope:{tmp_path}/mine").load(context)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hook_point_out": "blocks.5.hook_mlp_out"}, "a transcoder of Llama Scope"),
        ({"act_fn": "topk"}, "has the activation 'topk'"),
        ({"jump_relu_threshold": None}, "jump_relu_threshold is None"),
        ({"dataset_average_activation_norm": None}, "dataset_average_activation_norm"),
        ({"dataset_average_activation_norm": {"in": 0}}, "a positive number is needed"),
        ({"hook_point_in": None}, "names no hook"),
    ],
)
def test_llama_scope_refuses_by_name(
    change: dict[str, object], message: str, tmp_path: Path, context: LoadContext
) -> None:
    folder = written(BY_NAME["Llama Scope"], tmp_path)
    path = next(folder.rglob("hyperparams.json"))
    to_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(SAELoadError, match=message):
        one(f"llama_scope:{folder}").load(context)


def test_an_unknown_scale_is_said(tmp_path: Path, context: LoadContext) -> None:
    folder = written(BY_NAME["Llama Scope R1-Distill"], tmp_path)
    path = next(folder.rglob("config.json"))
    to_json(path, {**json.loads(path.read_text()), "dataset_average_activation_norm": None})
    assert "the factor is not known" in one(f"llama_scope:{folder}").load(context).caveats[0]  # type: ignore[attr-defined]


def test_an_id_may_be_a_folder_or_a_pattern(tmp_path: Path) -> None:
    case = BY_NAME["Gemma Scope 2 SAE"]
    for name in ("Gemma Scope 2 SAE", "Gemma Scope 2 transcoder", "Gemma Scope 2 skip transcoder"):
        written(BY_NAME[name], tmp_path)
    spec = f"gemma_scope:{case.repository}"
    assert len(resolve_spec(spec, data_dir=tmp_path)) == 3
    assert len(resolve_spec(f"{spec}:transcoder_all", data_dir=tmp_path)) == 2
    assert len(resolve_spec(f"{spec}:.*_affine", data_dir=tmp_path)) == 1
    with pytest.raises(UnknownNameError, match="layer_3_width_16k_l0_small"):
        resolve_spec(f"{spec}:layer_3_width_16k_l0_smal", data_dir=tmp_path)


def test_files_that_would_run_code_are_not_read(tmp_path: Path, context: LoadContext) -> None:
    folder = written(BY_NAME["Goodfire"], tmp_path)
    path = next(folder.glob("*.pth"))
    torch.save({"encoder_linear.weight": Path("x")}, path)
    with pytest.raises(SAELoadError, match=f"cannot read '{path}'"):
        one(f"goodfire:{folder}").load(context)


# ---- from the hub


def test_a_repository_of_the_hub_is_listed_without_its_weights(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    case = BY_NAME["Gemma Scope 2 SAE"]
    folder = written(case, tmp_path)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    fetched: list[str] = []

    def fetch(repo_id: str, filename: str, **_: object) -> str:
        assert repo_id == case.repository
        fetched.append(filename)
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda _self, _name: names)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    handle = one(f"gemma_scope:{case.repository}")
    assert not fetched
    assert (handle.sae_id, handle.model_name) == (case.sae_id, case.model)
    assert handle.load(context).cfg.hook_name == case.hooks[0]
    assert sorted(fetched) == sorted(names)


def test_without_the_hub_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fails(*_: object, **__: object) -> list[str]:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", fails)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(PrerequisiteError, match=r"no route Next: .* --data-dir"):
        resolve_spec("sparsify:EleutherAI/sae-pythia-160m-32k")
    with pytest.raises(SAELoadError, match="neither an existing directory nor a hub repository"):
        resolve_spec("sparsify:/no/such/folder")


def test_a_folder_without_any_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SAELoadError, match=r"found no SAE of Qwen Scope .* Looked for layer<L>\.sae\.pt"):
        resolve_spec(f"qwen_scope:{tmp_path}")
