"""Folders of SAELens' newer architectures and of its checkpoints of training, read without SAELens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_tensors import check_that_broken_tensors_are_named
from sae_lens_folders import lens_weights
from safetensors.torch import save_file

from sae_bench.custom_saes.interface import output_hook
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.errors import SAELoadError

D, F, K = 12, 20, 4
Weights = dict[str, torch.Tensor]


def weights(architecture: str) -> Weights:
    g = torch.Generator().manual_seed(0)
    rows_FD = torch.randn(F, D, generator=g)
    w = {
        "W_enc": torch.randn(D, F, generator=g) / D**0.5,
        "b_enc": 0.1 * torch.randn(F, generator=g),
        "W_dec": rows_FD,
        "b_dec": 0.3 * torch.randn(D, generator=g),
    }
    if "jumprelu" in architecture:
        w["threshold"] = 0.2 + 0.3 * torch.rand(F, generator=g)
    if "skip" in architecture:
        w["W_skip"] = torch.randn(D, D, generator=g)
    if architecture == "matching_pursuit":
        return {"W_dec": rows_FD / rows_FD.norm(dim=1, keepdim=True), "b_dec": w["b_dec"]}
    return w


def saved(folder: Path, architecture: str, tensors: Weights, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "sae_weights.safetensors")
    config = {
        "architecture": architecture,
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "apply_b_dec_to_input": "transcoder" not in architecture,
        "normalize_activations": "none",
        "metadata": {"model_name": "gpt2", "hook_name": "blocks.3.ln2.hook_normalized"},
        **changes,
    }
    if "transcoder" in architecture:
        config["d_out"] = D
        config["metadata"] = {**config["metadata"], "hook_name_out": "blocks.3.hook_mlp_out"}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def one(folder: Path) -> SAEHandle:
    (handle,) = resolve_spec(f"path:{folder}")
    return handle


def x() -> torch.Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(2))


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a.double(), b.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]
)
def test_transcoders(architecture: str, tmp_path: Path, context: LoadContext) -> None:
    w = weights(architecture)
    sae: Any = one(saved(tmp_path, architecture, w)).load(context)
    pre = x() @ w["W_enc"] + w["b_enc"]
    codes = pre.relu() * (pre > w["threshold"]) if "threshold" in w else pre.relu()
    y = codes @ w["W_dec"] + w["b_dec"]
    close(sae.encode(x()), codes * w["W_dec"].norm(dim=1))
    close(sae(x()), y + x() @ w["W_skip"].T if "W_skip" in w else y)
    assert (sae.cfg.hook_name, output_hook(sae)) == ("blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out")
    assert sae.cfg.architecture == architecture
    config = json.loads((tmp_path / "cfg.json").read_text())
    del config["metadata"]["hook_name_out"]
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(SAELoadError, match="names no hook_name_out"):
        one(tmp_path).load(context)


@pytest.mark.parametrize("rescale", [False, True])
def test_abstopk_keeps_signs(rescale: bool, tmp_path: Path, context: LoadContext) -> None:
    w = weights("abstopk")
    sae: Any = one(saved(tmp_path, "abstopk", w, k=K, rescale_acts_by_decoder_norm=rescale)).load(context)
    norm_F = w["W_dec"].norm(dim=1) if rescale else torch.ones(F)
    ranked = ((x() - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norm_F
    codes = ranked * (ranked.abs() >= ranked.abs().topk(K).values[:, -1:])
    assert (codes < 0).any()
    close(sae.encode(x()), codes)
    close(sae(x()), (codes / norm_F) @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("centred", [True, False])
def test_matching_pursuit(centred: bool, tmp_path: Path, context: LoadContext) -> None:
    w = weights("matching_pursuit")
    settings = {"residual_threshold": 0.5, "max_iterations": None, "stop_on_duplicate_support": True}
    sae: Any = one(saved(tmp_path, "matching_pursuit", w, apply_b_dec_to_input=centred, **settings)).load(context)
    b_dec = w["b_dec"] if centred else torch.zeros(D)
    codes = torch.zeros(30, F)
    for n, left in enumerate(x() - b_dec):
        for _ in range(D):
            i = int((w["W_dec"] @ left).argmax())
            value, before = (w["W_dec"][i] @ left).relu(), codes[n, i].clone()
            codes[n, i] += value
            left = left - value * w["W_dec"][i]
            if before != 0 or value == 0 or left.norm() < 0.5:
                break
    close(sae.encode(x()), codes)
    close(sae(x()), codes @ w["W_dec"] + b_dec)
    assert not sae.caveats


def test_matching_pursuit_that_would_not_end_is_cut_and_says_so(tmp_path: Path, context: LoadContext) -> None:
    settings = {"max_iterations": 10**9, "stop_on_duplicate_support": False, "residual_threshold": 0.0}
    folder = saved(tmp_path, "matching_pursuit", weights("matching_pursuit"), **settings)
    sae: Any = one(folder).load(context)
    assert sae.encode(x()[:2]).isfinite().all()
    assert "1000000000" in sae.caveats[0]


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("rescale", [False, True])
def test_checkpoints_of_batchtopk(architecture: str, rescale: bool, tmp_path: Path, context: LoadContext) -> None:
    """Saved in training: one threshold, in units of what is ranked, beside a factor for the activations."""
    w = weights(architecture)
    tensors = {**w, "topk_threshold": torch.tensor(0.7, dtype=torch.float64)}
    folder = saved(
        tmp_path, architecture, tensors, k=K, rescale_acts_by_decoder_norm=rescale,
        normalize_activations="expected_average_only_in",
    )  # fmt: skip
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 1.25, "has_whitening": False}))
    sae: Any = one(folder).load(context)
    norm_F = w["W_dec"].norm(dim=1) if rescale else torch.ones(F)
    ranked = ((1.25 * x() - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norm_F
    codes = ranked.relu() * (ranked > 0.7) / norm_F
    close(sae(x()), (codes @ w["W_dec"] + w["b_dec"]) / 1.25)
    close(sae.encode(x()), codes * w["W_dec"].norm(dim=1) / 1.25)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "topk", "gated"])
def test_whitening_goes_into_the_weights(
    architecture: str, centred: bool, tmp_path: Path, context: LoadContext
) -> None:
    w = weights(architecture)
    if architecture == "gated":
        b = w.pop("b_enc")
        w |= {"b_gate": b, "b_mag": b.flip(0), "r_mag": 0.3 * b}
    g = torch.Generator().manual_seed(4)
    M, mean = torch.randn(D, D, generator=g), torch.randn(D, generator=g)
    changes = {"k": K} if architecture == "topk" else {}
    folder = saved(
        tmp_path, architecture, w, apply_b_dec_to_input=centred, normalize_activations="covariance_whitening", **changes
    )
    with pytest.raises(SAELoadError, match=r"lacks 'activation_whitening\.safetensors'"):
        one(folder).load(context)
    whitening = {"mean": mean, "matrix": M, "inverse_matrix": torch.linalg.inv(M).contiguous()}
    save_file(whitening, folder / "activation_whitening.safetensors")
    sae: Any = one(folder).load(context)
    z = (x() - mean).double() @ M.double()
    w = {name: value.double() for name, value in w.items()}
    at = (z - w["b_dec"] if centred else z) @ w["W_enc"]
    if architecture == "gated":
        codes = (at + w["b_gate"] > 0) * (at * w["r_mag"].exp() + w["b_mag"]).relu()
    else:
        codes = (pre := at + w["b_enc"]).relu()
        if architecture == "jumprelu":
            codes = codes * (pre > w["threshold"])
        if architecture == "topk":
            codes = codes * (codes >= codes.topk(K).values[:, -1:])
    y = (codes @ w["W_dec"] + w["b_dec"]) @ torch.linalg.inv(M.double()) + mean
    torch.testing.assert_close(sae(x()).double(), y, rtol=1e-3, atol=1e-3)


def test_what_is_not_read_is_refused_by_its_name(tmp_path: Path, context: LoadContext) -> None:
    scaled = saved(
        tmp_path / "c", "transcoder", weights("transcoder"), normalize_activations="expected_average_only_in"
    )
    (scaled / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 2.0}))
    with pytest.raises(SAELoadError, match="a transcoder of scaled activations"):
        one(scaled).load(context)


def test_an_older_checkpoint_has_the_logarithm_of_its_threshold(tmp_path: Path, context: LoadContext) -> None:
    w = weights("jumprelu")
    plain: Any = one(saved(tmp_path / "a", "jumprelu", w)).load(context)
    logarithm = {name: value for name, value in w.items() if name != "threshold"}
    logarithm["log_threshold"] = w["threshold"].log()
    older: Any = one(saved(tmp_path / "b", "jumprelu", logarithm)).load(context)
    close(older.encode(x()), plain.encode(x()))


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize(
    "architecture",
    [
        "standard", "gated", "topk", "abstopk", "jumprelu", "matching_pursuit", "transcoder", "skip_transcoder",
        "jumprelu_transcoder", "jumprelu_skip_transcoder",
    ],
)  # fmt: skip
def test_missing_extra_and_misshaped_tensors_are_named(
    architecture: str, rescaled: bool, tmp_path: Path, context: LoadContext
) -> None:
    tensors = lens_weights("gated") if architecture == "gated" else weights(architecture)
    changes = {"k": K} if "topk" in architecture else {}
    folder = saved(tmp_path, architecture, tensors, rescale_acts_by_decoder_norm=rescaled, **changes)
    check_that_broken_tensors_are_named(folder / "sae_weights.safetensors", lambda: one(folder).load(context))
