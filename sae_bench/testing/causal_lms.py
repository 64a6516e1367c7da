"""Tiny random models, one of each of today's kinds of causal language models."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from sae_bench.errors import UnknownNameError
from sae_bench.language_models.load import causal_lm_class
from sae_bench.language_models.model import LanguageModel
from sae_bench.testing.tiny_models import tiny_tokenizer

_SIZES: Mapping[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 2, "moe_intermediate_size": 16, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "state_size": 4,
}  # fmt: skip
"""What configurations call their sizes; each takes those that it has."""


@dataclass(frozen=True)
class KindOfModel:
    """One kind of causal LM.

    Attributes:
        title: what it is called in the table.
        group: dense, mixture of experts, ...
        config: its `model_type` in transformers.
        changes: of its configuration, besides the sizes; None takes a size away.
        text, vision: the parts of a multimodal wrapper: `model_type` and changes of each.
    """

    title: str
    group: str
    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: tuple[str, Mapping[str, Any]] | None = None
    vision: tuple[str, Mapping[str, Any]] | None = None


DENSE, EXPERTS, HYBRID, STATES = "dense", "mixture of experts", "hybrid", "state space or recurrent"
WRAPPER, STREAMS = "text part of a multimodal model", "several streams per token"
_LINEAR = {
    "linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "shared_expert_intermediate_size": 16, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
_LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4,
}  # fmt: skip
_MAMBA = {"mamba_d_state": 4, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1}
_VISION: Mapping[str, Any] = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14, "head_dim": 8,
}  # fmt: skip
_QWEN_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}

_ALL = (
    KindOfModel("GPT-2", DENSE, "gpt2"),
    KindOfModel("GPT-J", DENSE, "gptj", {"rotary_dim": 8}),
    KindOfModel("GPT-NeoX, Pythia", DENSE, "gpt_neox"),
    KindOfModel("OPT", DENSE, "opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    KindOfModel("Bloom", DENSE, "bloom"),
    KindOfModel("MPT", DENSE, "mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256}),
    KindOfModel("Falcon", DENSE, "falcon", {"head_dim": None}),
    KindOfModel("Llama", DENSE, "llama"),
    KindOfModel("Mistral", DENSE, "mistral"),
    KindOfModel("Phi", DENSE, "phi"),
    KindOfModel("Phi 3", DENSE, "phi3"),
    KindOfModel("Qwen 2", DENSE, "qwen2"),
    KindOfModel("Qwen 3", DENSE, "qwen3"),
    KindOfModel("Gemma", DENSE, "gemma"),
    KindOfModel("Gemma 2", DENSE, "gemma2"),
    KindOfModel("Gemma 3", DENSE, "gemma3_text"),
    KindOfModel("OLMo 2", DENSE, "olmo2"),
    KindOfModel("GLM 4", DENSE, "glm4"),
    KindOfModel("Granite", DENSE, "granite", {"residual_multiplier": 0.22}),
    KindOfModel("Command R 2", DENSE, "cohere2"),
    KindOfModel("StableLM", DENSE, "stablelm"),
    KindOfModel("StarCoder 2", DENSE, "starcoder2"),
    KindOfModel("SmolLM 3", DENSE, "smollm3"),
    KindOfModel("EXAONE 4", DENSE, "exaone4"),
    KindOfModel("Apertus", DENSE, "apertus"),
    KindOfModel("Mixtral", EXPERTS, "mixtral"),
    KindOfModel("Qwen 3 MoE", EXPERTS, "qwen3_moe"),
    KindOfModel("OLMoE", EXPERTS, "olmoe"),
    KindOfModel("GPT-OSS", EXPERTS, "gpt_oss"),
    KindOfModel("DeepSeek V3", EXPERTS, "deepseek_v3", _LATENT),
    KindOfModel("GLM 4 MoE", EXPERTS, "glm4_moe", {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}),
    KindOfModel("Granite MoE", EXPERTS, "granitemoe", {"residual_multiplier": 0.22}),
    KindOfModel("AFMoE", EXPERTS, "afmoe"),
    KindOfModel("Llama 4", EXPERTS, "llama4_text", {"intermediate_size_mlp": 64}),
    KindOfModel("Jamba", HYBRID, "jamba", {
        "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4, "use_mamba_kernels": False,
    }),
    KindOfModel("Bamba", HYBRID, "bamba", {**_MAMBA, "attn_layer_indices": [1]}),
    KindOfModel("Falcon-H1", HYBRID, "falcon_h1", {**_MAMBA, "mamba_d_ssm": 64, "attention_out_multiplier": 0.5}),
    KindOfModel("Qwen 3 Next", HYBRID, "qwen3_next", _LINEAR),
    KindOfModel("Qwen 3.5", HYBRID, "qwen3_5_text", _LINEAR),
    KindOfModel("LFM 2", HYBRID, "lfm2", {"layer_types": ["conv", "full_attention"]}),
    KindOfModel("Granite 4", HYBRID, "granitemoehybrid", {
        **_MAMBA, "residual_multiplier": 0.22, "layer_types": ["mamba", "attention"],
    }),
    KindOfModel("RecurrentGemma", HYBRID, "recurrent_gemma"),
    KindOfModel("Mamba", STATES, "mamba"),
    KindOfModel("Mamba 2", STATES, "mamba2", {"num_heads": 8, "n_groups": 1}),
    KindOfModel("RWKV", STATES, "rwkv"),
    KindOfModel("Gemma 3 (4B and larger)", WRAPPER, "gemma3", {"mm_tokens_per_image": 4},
                text=("gemma3_text", {}), vision=("siglip_vision_model", {})),
    KindOfModel("LLaVA", WRAPPER, "llava", text=("llama", {}), vision=("clip_vision_model", {})),
    KindOfModel("Mistral 3", WRAPPER, "mistral3", text=("mistral", {}), vision=("pixtral", {})),
    KindOfModel("Qwen 2.5 VL", WRAPPER, "qwen2_5_vl", text=("qwen2_5_vl_text", _ROPE), vision=("", _QWEN_VISION)),
    KindOfModel("Qwen 3 VL", WRAPPER, "qwen3_vl", text=("qwen3_vl_text", {}), vision=("", _QWEN_VISION)),
    KindOfModel("Gemma 3n", STREAMS, "gemma3n_text", {
        "num_hidden_layers": 4, "num_kv_shared_layers": 0, "vocab_size_per_layer_input": 320, "laurel_rank": 4,
        "hidden_size_per_layer_input": 8, "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.0] * 4,
    }),
)  # fmt: skip
KINDS_OF_MODELS: Mapping[str, KindOfModel] = {kind.config: kind for kind in _ALL}
"""The kinds of `tiny_causal_lm`."""


def tiny_causal_lm(kind: str) -> LanguageModel:
    """A random model of a kind with two layers of width 32, float32, on the CPU.

    Args:
        kind: one of `KINDS_OF_MODELS`.
    Raises:
        UnknownNameError: it is none of them.
        ModelError: models of this kind cannot be used.
    """
    if kind not in KINDS_OF_MODELS:
        raise UnknownNameError("kind of model", kind, [*KINDS_OF_MODELS])
    config = _config(KINDS_OF_MODELS[kind])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = causal_lm_class(config).from_config(config)
    return LanguageModel(model.float(), tiny_tokenizer(), name=f"tiny-{kind}")


def _config(kind: KindOfModel) -> Any:
    parts: dict[str, Any] = {}
    if kind.text is not None and kind.vision is not None:
        parts["text_config"] = _values(kind.text[0], _SIZES, kind.text[1])
        parts["vision_config"] = _values(kind.vision[0], _VISION, kind.vision[1]) if kind.vision[0] else kind.vision[1]
    sizes = {} if parts else _SIZES
    values = _values(kind.config, sizes, {**kind.changes, **parts})
    return _class_of(values.pop("model_type"))(**values)


def _values(config: str, sizes: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a configuration, its `model_type` among them."""
    values = {**{key: value for key, value in sizes.items() if key in _fields(_class_of(config))}, **changes}
    return {"model_type": config, **{key: value for key, value in values.items() if value is not None}}


def _class_of(config: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[config]


def _fields(config_class: Any) -> set[str]:
    return {*getattr(config_class, "__dataclass_fields__", {}), *inspect.signature(config_class.__init__).parameters}
