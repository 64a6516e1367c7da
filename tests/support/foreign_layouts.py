"""Files of SAEs and transcoders as other libraries lay them out, with what they compute, written out in plain torch.

Weights here are W_enc (D, F), b_enc (F), W_dec (F, O), b_dec (O), threshold (F), W_skip (O, D), whatever a file calls
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

D, F, K = 16, 40, 5
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One SAE in one layout.

    Attributes:
        scheme: of its spec.
        repository: folder of a mirror, as the repository is called on the hub.
        sae_id: what the reader has to call it.
        write: puts its files into the repository's folder.
        kind: `relu`, `topk` or `jumprelu`.
        centred: whether b_dec is subtracted from the input.
        hooks: what is read and what is predicted.
        architecture: what its configuration has to say.
    """

    name: str
    scheme: str
    repository: str
    sae_id: str
    write: Callable[[Path, Weights], None]
    kind: str
    hooks: tuple[str, str]
    model: str | None
    architecture: str
    centred: bool = False
    skip: bool = False
    scale: float = 1.0
    one_threshold: bool = False
    """Whether all latents have the first one's threshold, times the scale."""

    def weights(self, seed: int = 0, *, d_in: int = D, d_sae: int = F) -> Weights:
        """Random weights with decoder rows that are not of length 1 and biases that matter."""
        g = torch.Generator().manual_seed(seed)
        weights = {
            "W_enc": torch.randn(d_in, d_sae, generator=g) / d_in**0.5,
            "b_enc": 0.3 * torch.randn(d_sae, generator=g),
            "W_dec": torch.randn(d_sae, d_in, generator=g) / d_in**0.5,
            "b_dec": 0.3 * torch.randn(d_in, generator=g),
        }
        if self.kind == "jumprelu":
            weights["threshold"] = 0.1 + 0.5 * torch.rand(d_sae, generator=g)
        if self.skip:
            weights["W_skip"] = torch.randn(d_in, d_in, generator=g) / d_in**0.5
        return weights

    def formula(self, w: Weights, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and reconstruction by definition, in float64; the SAE reads `scale * x`."""
        w, x = {name: value.double() for name, value in w.items()}, self.scale * x_ND.double()
        pre = (x - w["b_dec"] if self.centred else x) @ w["W_enc"] + w["b_enc"]
        codes = pre.relu()
        if self.kind == "jumprelu":
            codes = codes * (pre > (self.scale * w["threshold"][0] if self.one_threshold else w["threshold"]))
        if self.kind == "topk":
            codes = codes * (codes >= codes.sort(dim=-1, descending=True).values[..., K - 1 : K])
        y = codes @ w["W_dec"] + w["b_dec"]
        return codes, (y + x @ w["W_skip"].T if self.skip else y) / self.scale


def contiguous(tensors: Mapping[str, Tensor]) -> Weights:
    return {name: value.contiguous() for name, value in tensors.items()}


def to_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def to_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content)))


def to_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(contiguous(tensors), path)


# ---- Gemma Scope


def _gemma_scope(leaf: str) -> Callable[[Path, Weights], None]:
    def write(folder: Path, w: Weights) -> None:
        (folder / leaf).mkdir(parents=True, exist_ok=True)
        np.savez(folder / leaf / "params.npz", **{name: value.numpy() for name, value in w.items()})

    return write


def gemma_scope_2_tensors(w: Weights) -> Weights:
    tensors = {name.replace("W", "w"): value for name, value in w.items() if name != "W_skip"}
    return {**tensors, "affine_skip_connection": w["W_skip"].T} if "W_skip" in w else tensors


def _gemma_scope_2(leaf: str, point: str, point_out: str | None = None) -> Callable[[Path, Weights], None]:
    def write(folder: Path, w: Weights) -> None:
        config = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "hf_hook_point_in": point}
        if point_out:
            config |= {"hf_hook_point_out": point_out, "affine_connection": "W_skip" in w}
        to_json(folder / leaf / "config.json", config)
        to_safetensors(folder / leaf / "params.safetensors", gemma_scope_2_tensors(w))

    return write


_CROSSCODER = "crosscoder/layer_7_13_17_22_width_65k_l0_medium"


def crosscoder_config(**changes: Any) -> dict[str, Any]:
    point = "model.layers.{7,13,17,22}.output"
    config = {"architecture": "jump_relu", "model_name": "google/gemma-3-1b-pt", "type": "crosscoder"}
    return {**config, "hf_hook_point_in": point, "hf_hook_point_out": point, **changes}


def _crosscoder(folder: Path, w: Weights) -> None:
    """The latents that read the second of four layers; what they write there are the weights' decoder rows."""
    others = torch.randn(*w["W_dec"].shape, generator=torch.Generator().manual_seed(5))
    rows = [torch.zeros_like(others), w["W_dec"], others, -others]
    to_json(folder / _CROSSCODER / "config.json", crosscoder_config())
    tensors = {**gemma_scope_2_tensors(w), "w_dec": torch.stack(rows, dim=1)}
    to_safetensors(folder / _CROSSCODER / "params_layer_1.safetensors", tensors)


# ---- sparsify


def _sparsify(hookpoint: str, *, transcode: bool = False) -> Callable[[Path, Weights], None]:
    def write(folder: Path, w: Weights) -> None:
        config = {
            "activation": "topk",
            "expansion_factor": 32,
            "normalize_decoder": True,
            "num_latents": len(w["b_enc"]),
            "k": K,
            "multi_topk": False,
            "skip_connection": "W_skip" in w,
            "transcode": transcode,
            "d_in": len(w["W_enc"]),
        }
        to_json(folder / hookpoint / "cfg.json", config)
        to_json(folder / "config.json", {"model": "EleutherAI/pythia-160m", "sae": {}})
        tensors = {
            "encoder.weight": w["W_enc"].T,
            "encoder.bias": w["b_enc"],
            **{name: w[name] for name in ("W_dec", "b_dec", "W_skip") if name in w},
        }
        to_safetensors(folder / hookpoint / "sae.safetensors", tensors)

    return write


# ---- Qwen Scope, Goodfire, Llama Scope


def _qwen_scope(folder: Path, w: Weights) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(contiguous({**w, "W_enc": w["W_enc"].T, "W_dec": w["W_dec"].T}), folder / "layer3.sae.pt")


def linears(w: Weights, encoder: str, decoder: str) -> Weights:
    return contiguous(
        {
            f"{encoder}.weight": w["W_enc"].T,
            f"{encoder}.bias": w["b_enc"],
            f"{decoder}.weight": w["W_dec"].T,
            f"{decoder}.bias": w["b_dec"],
        }
    )


def _pair_of_linears(filename: str, encoder: str, decoder: str) -> Callable[[Path, Weights], None]:
    def write(folder: Path, w: Weights) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(linears(w, encoder, decoder), folder / filename)

    return write


NORM = 0.8 * D**0.5
"""Average norm of activations that the Llama Scope cases state: their SAEs read x / 0.8."""


def _llama_scope(folder: Path, w: Weights) -> None:
    leaf = folder / "Llama3_1-8B-Base-L5R-8x"
    config = {
        "d_model": len(w["W_enc"]),
        "d_sae": len(w["b_enc"]),
        "hook_point_in": "blocks.5.hook_resid_post",
        "hook_point_out": "blocks.5.hook_resid_post",
        "act_fn": "jumprelu",
        "jump_relu_threshold": float(w["threshold"][0]),
        "dataset_average_activation_norm": {"in": NORM, "out": NORM},
    }
    to_json(leaf / "hyperparams.json", config)
    to_safetensors(leaf / "checkpoints/final.safetensors", linears(w, "encoder", "decoder"))


def _llama_scope_r1(folder: Path, w: Weights) -> None:
    leaf = folder / "800M-Slimpajama-0-OpenR1-Math-220k/L5R"
    config = {
        "d_model": len(w["W_enc"]),
        "expansion_factor": 8,
        "hook_point_in": "blocks.5.hook_resid_post",
        "dataset_average_activation_norm": {"in": NORM},
    }
    to_json(leaf / "config.json", config)
    threshold = {"log_jumprelu_threshold": w["threshold"].log()}
    to_safetensors(leaf / "sae_weights.safetensors", {**linears(w, "encoder", "decoder"), **threshold})


# ---- circuit-tracer


def circuit_tracer_tensors(w: Weights) -> Weights:
    renamed = {"threshold": "activation_function.threshold"}
    tensors = {renamed.get(name, name): value for name, value in w.items()}
    return contiguous({**tensors, "W_enc": w["W_enc"].T})


def set_config(**changes: Any) -> dict[str, Any]:
    return {
        "model_kind": "transcoder_set",
        "model_name": "meta-llama/Llama-3.2-1B",
        "feature_input_hook": "hook_resid_mid",
        "feature_output_hook": "hook_mlp_out",
        **changes,
    }


def _transcoder_set(folder: Path, w: Weights) -> None:
    to_yaml(folder / "config.yaml", set_config())
    to_safetensors(folder / "layer_2.safetensors", circuit_tracer_tensors(w))


def _mwhanna(folder: Path, w: Weights) -> None:
    training = {"d_model": {"value": len(w["W_enc"])}, "d_feature": {"value": len(w["b_enc"])}}
    to_yaml(folder / "wanb-config.yaml", {**training, "batch_size": {"value": 4096}})
    to_safetensors(folder / "layer_2.safetensors", circuit_tracer_tensors(w))


CASES: tuple[Case, ...] = (
    Case(
        "Gemma Scope transcoder", "gemma_scope", "google/gemma-scope-2b-pt-transcoders",
        "layer_3/width_16k/average_l0_9",
        _gemma_scope("layer_3/width_16k/average_l0_9"), "jumprelu",
        ("blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out"), "gemma-2-2b", "jumprelu_transcoder",
    ),
    Case(
        "Gemma Scope SAE", "gemma_scope", "google/gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_9",
        _gemma_scope("layer_3/width_16k/average_l0_9"), "jumprelu",
        ("blocks.3.hook_resid_post", "blocks.3.hook_resid_post"), "gemma-2-2b", "jumprelu",
    ),
    Case(
        "Gemma Scope 2 SAE", "gemma_scope", "google/gemma-scope-2-1b-pt", "attn_out/layer_3_width_16k_l0_small",
        _gemma_scope_2("attn_out/layer_3_width_16k_l0_small", "model.layers.3.self_attn.o_proj.input"), "jumprelu",
        ("blocks.3.attn.hook_z", "blocks.3.attn.hook_z"), "google/gemma-3-1b-pt", "jumprelu",
    ),
    Case(
        "Gemma Scope 2 transcoder", "gemma_scope", "google/gemma-scope-2-1b-pt",
        "transcoder_all/layer_3_width_16k_l0_big",
        _gemma_scope_2(
            "transcoder_all/layer_3_width_16k_l0_big", "model.layers.3.pre_feedforward_layernorm.output",
            "model.layers.3.post_feedforward_layernorm.output",
        ),
        "jumprelu", ("blocks.3.hook_mlp_in", "blocks.3.hook_mlp_out"), "google/gemma-3-1b-pt", "jumprelu_transcoder",
    ),
    Case(
        "Gemma Scope 2 skip transcoder", "gemma_scope", "google/gemma-scope-2-1b-pt",
        "transcoder_all/layer_3_width_16k_l0_big_affine",
        _gemma_scope_2(
            "transcoder_all/layer_3_width_16k_l0_big_affine", "model.layers.3.pre_feedforward_layernorm.output",
            "model.layers.3.post_feedforward_layernorm.output",
        ),
        "jumprelu", ("blocks.3.hook_mlp_in", "blocks.3.hook_mlp_out"), "google/gemma-3-1b-pt",
        "jumprelu_skip_transcoder", skip=True,
    ),
    Case(
        "Gemma Scope 2 crosscoder head", "gemma_scope", "google/gemma-scope-2-1b-pt", f"{_CROSSCODER}/params_layer_1",
        _crosscoder, "jumprelu", ("blocks.13.hook_resid_post", "blocks.13.hook_resid_post"), "google/gemma-3-1b-pt",
        "jumprelu",
    ),
    Case(
        "sparsify SAE", "sparsify", "EleutherAI/sae-pythia-160m-32k", "layers.3", _sparsify("layers.3"), "topk",
        ("blocks.3.hook_resid_post", "blocks.3.hook_resid_post"), "EleutherAI/pythia-160m", "topk", centred=True,
    ),
    Case(
        "sparsify transcoder", "sparsify", "EleutherAI/transcoder-pythia", "layers.3.mlp",
        _sparsify("layers.3.mlp", transcode=True), "topk", ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"),
        "EleutherAI/pythia-160m", "topk_transcoder",
    ),
    Case(
        "sparsify skip transcoder", "sparsify", "EleutherAI/skip-transcoder-pythia", "layers.3.mlp",
        _sparsify("layers.3.mlp", transcode=True), "topk", ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"),
        "EleutherAI/pythia-160m", "topk_skip_transcoder", skip=True,
    ),
    Case(
        "Qwen Scope", "qwen_scope", f"Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}", "layer3", _qwen_scope, "topk",
        ("blocks.3.hook_resid_post", "blocks.3.hook_resid_post"), "Qwen/Qwen3-1.7B-Base", "topk",
    ),
    Case(
        "Goodfire", "goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19", "Llama-3.1-8B-Instruct-SAE-l19",
        _pair_of_linears("Llama-3.1-8B-Instruct-SAE-l19.pth", "encoder_linear", "decoder_linear"), "relu",
        ("blocks.19.hook_resid_post", "blocks.19.hook_resid_post"), "meta-llama/Llama-3.1-8B-Instruct", "standard",
    ),
    Case(
        "qresearch", "goodfire", "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19",
        "DeepSeek-R1-Distill-Llama-8B-SAE-l19",
        _pair_of_linears("DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt", "encoder", "decoder"), "relu",
        ("blocks.19.hook_resid_post", "blocks.19.hook_resid_post"), "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "standard",
    ),
    Case(
        "Llama Scope R1-Distill", "llama_scope", "fnlp/Llama-Scope-R1-Distill",
        "800M-Slimpajama-0-OpenR1-Math-220k/L5R", _llama_scope_r1, "jumprelu",
        ("blocks.5.hook_resid_post", "blocks.5.hook_resid_post"), "meta-llama/Llama-3.1-8B", "jumprelu", scale=1.25,
    ),
    Case(
        "Llama Scope", "llama_scope", "fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L5R-8x", _llama_scope,
        "jumprelu",
        ("blocks.5.hook_resid_post", "blocks.5.hook_resid_post"), "meta-llama/Llama-3.1-8B", "jumprelu", scale=1.25,
        one_threshold=True,
    ),
    Case(
        "circuit-tracer ReLU", "circuit_tracer", "mntss/transcoder-Llama-3.2-1B", "layer_2", _transcoder_set, "relu",
        ("blocks.2.hook_resid_mid", "blocks.2.hook_mlp_out"), "meta-llama/Llama-3.2-1B", "transcoder",
    ),
    Case(
        "circuit-tracer JumpReLU, skip", "circuit_tracer", "somebody/transcoders", "layer_2", _transcoder_set,
        "jumprelu",
        ("blocks.2.hook_resid_mid", "blocks.2.hook_mlp_out"), "meta-llama/Llama-3.2-1B", "jumprelu_skip_transcoder",
        skip=True,
    ),
    Case(
        "mwhanna without config.yaml", "circuit_tracer", "mwhanna/qwen3-14b-transcoders", "layer_2", _mwhanna, "relu",
        ("blocks.2.mlp.hook_in", "blocks.2.hook_mlp_out"), "Qwen/Qwen3-14B", "transcoder",
    ),
)  # fmt: skip
