"""Folders as SAELens saves them, with what its four oldest architectures compute, written out in plain torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

D, F, K = 12, 20, 4


def lens_weights(architecture: str) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    weights = {
        "W_enc": torch.randn(D, F, generator=g) / D**0.5,
        "W_dec": torch.randn(F, D, generator=g),
        "b_dec": 0.3 * torch.randn(D, generator=g),
    }
    small_F = 0.1 * torch.randn(F, generator=g)
    if architecture == "gated":
        return {**weights, "b_gate": small_F, "r_mag": small_F.flip(0), "b_mag": 2 * small_F}
    if architecture == "jumprelu":
        return {**weights, "b_enc": small_F, "threshold": small_F.abs() + 0.2}
    return {**weights, "b_enc": small_F}


def lens_config(architecture: str, **changes: Any) -> dict[str, Any]:
    config = {
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": architecture,
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "gpt2-small",
            "hook_name": "blocks.8.hook_resid_pre",
            "context_size": 128,
            "prepend_bos": False,
        },
    }
    if architecture == "topk":
        config["k"] = K
        config["rescale_acts_by_decoder_norm"] = True
    return {**config, **changes}


def save_lens(folder: Path, architecture: str, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lens_weights(architecture), folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(lens_config(architecture, **changes)))
    return folder


def lens_formula(w: dict[str, torch.Tensor], config: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """Reconstruction as SAELens defines it for these four architectures."""
    x_in = x - w["b_dec"] * config["apply_b_dec_to_input"]
    if config["architecture"] == "gated":
        gate = x_in @ w["W_enc"] + w["b_gate"] > 0
        codes = gate * torch.relu(x_in @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
    else:
        pre = x_in @ w["W_enc"] + w["b_enc"]
        codes = torch.relu(pre)
        if config["architecture"] == "jumprelu":
            codes = codes * (pre > w["threshold"])
        if config["architecture"] == "topk":
            norm = w["W_dec"].norm(dim=1) if config["rescale_acts_by_decoder_norm"] else torch.ones(F)
            ranked = pre * norm
            codes = torch.relu(ranked) * (ranked >= ranked.topk(K).values[:, -1:]) / norm
    return codes @ w["W_dec"] + w["b_dec"]


def lens_input() -> torch.Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(2))
