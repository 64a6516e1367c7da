"""Tiny random models and SAEs, built in memory without a network: what every test of this package runs on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from sae_bench.errors import UnknownNameError
from sae_bench.language_models.model import LanguageModel

D_MODEL = 32
CONTEXT = 256
_SENTENCES = (
    "The cat sat on the mat and looked at the dog.",
    "A large river runs through the old city of Paris, France.",
    "She wrote a short program that counts words in a file.",
    "I really like this book; the story was great and the price was low.",
    "This film was terrible, a waste of time and money.",
    "apple has the first letter: A\nbanana has the first letter: B\n",
    "def main(x): return x + 1  # a small function",
    "In 2021 the team won 14 of 38 games.",
)
_SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
_VOCABULARY = 320  # 3 special tokens, 256 bytes, and the most frequent merges of the sentences above


def tiny_tokenizer(*, bos: bool = True) -> Any:
    """A real fast tokenizer (byte-level BPE with offsets) trained on a few sentences; any text can be encoded.

    Args:
        bos: whether it has a BOS token; it never adds one by itself.
    """
    from transformers import PreTrainedTokenizerFast

    special = dict(_SPECIAL) if bos else {k: v for k, v in _SPECIAL.items() if k != "bos_token"}
    return PreTrainedTokenizerFast(tokenizer_object=_trained_tokenizer(), **special)


@lru_cache(maxsize=1)
def _trained_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=list(_SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return tokenizer


def _gpt2(common: dict[str, Any]) -> Any:
    from transformers import GPT2Config

    return GPT2Config(n_embd=D_MODEL, n_layer=3, n_head=4, n_inner=64, n_positions=CONTEXT, **common)


def _gpt_neox(common: dict[str, Any]) -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(**_SIZES, **common)


def _llama(common: dict[str, Any]) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_SIZES, num_key_value_heads=2, **common)


def _mistral(common: dict[str, Any]) -> Any:
    from transformers import MistralConfig

    return MistralConfig(**_SIZES, num_key_value_heads=2, sliding_window=None, **common)


def _qwen3(common: dict[str, Any]) -> Any:
    from transformers import Qwen3Config

    return Qwen3Config(**_SIZES, num_key_value_heads=2, head_dim=8, **common)


def _gemma2(common: dict[str, Any]) -> Any:
    from transformers import Gemma2Config

    return Gemma2Config(
        **_SIZES, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8, sliding_window=64, **common
    )


def _gemma3(common: dict[str, Any]) -> Any:
    from transformers import Gemma3TextConfig

    return Gemma3TextConfig(
        **_SIZES, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8, sliding_window=64, **common
    )


def _opt(common: dict[str, Any]) -> Any:
    from transformers import OPTConfig

    return OPTConfig(
        hidden_size=D_MODEL,
        word_embed_proj_dim=D_MODEL,
        ffn_dim=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        dropout=0.0,
        **common,
    )


def _phi(common: dict[str, Any]) -> Any:
    from transformers import PhiConfig

    return PhiConfig(**_SIZES, **common)


_SIZES: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_FAMILIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "mistral": _mistral,
    "qwen3": _qwen3,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "opt": _opt,
    "phi": _phi,
}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""The architectures of `tiny_model`: pre-norm, parallel, sandwich norms, learned and rotary positions, windows."""


def tiny_model(family: str = "gpt2", *, seed: int = 0, bos: bool = True) -> LanguageModel:
    """A random 3-layer model of `family` with d_model 32, float32, on the CPU.

    Args:
        family: one of `FAMILIES`.
        seed: of the weights; the global random state is left as it was.
        bos: whether its tokenizer has a BOS token.
    Raises:
        UnknownNameError: the family is not one of `FAMILIES`.
    """
    from transformers import AutoModelForCausalLM

    if family not in _FAMILIES:
        raise UnknownNameError("model family", family, FAMILIES)
    tokenizer = tiny_tokenizer(bos=bos)
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in _special_names()}
    config = _FAMILIES[family]({"vocab_size": len(tokenizer), **ids})
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config)
    _randomise(model, torch.Generator().manual_seed(seed))
    return LanguageModel(model.float(), tokenizer, name=f"tiny-{family}")


def _special_names() -> list[tuple[str, str]]:
    return [(key.removesuffix("_token"), token) for key, token in _SPECIAL.items()]


@torch.no_grad()
def _randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Weights large enough that layers, positions and tokens all matter; norms keep their initial gain."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 2:
            std = 0.5 if "emb" in name or "wte" in name else 1.2 / weight.shape[-1] ** 0.5
            weight.normal_(0.0, std, generator=generator)
        elif name.endswith("bias"):
            weight.normal_(0.0, 0.1, generator=generator)


def tiny_sae(
    architecture: str,
    *,
    d_in: int = D_MODEL,
    d_sae: int = 64,
    hook_name: str = "blocks.1.hook_resid_post",
    seed: int = 0,
    model_name: str = "tiny-gpt2",
) -> Any:
    """A random SAE of `architecture` with unit decoder rows and biases that are not zero, float32, on the CPU.

    Args:
        architecture: one of `ARCHITECTURES`; pca, identity and zero have `d_sae = d_in`.
    Raises:
        UnknownNameError: the architecture is not one of `ARCHITECTURES`.
    """
    build = _sae_builders()
    if architecture not in build:
        raise UnknownNameError("SAE architecture", architecture, ARCHITECTURES)
    layer = int(hook_name.split(".")[1]) if hook_name.startswith("blocks.") else 0
    common = {
        "model_name": model_name,
        "hook_layer": layer,
        "device": "cpu",
        "dtype": torch.float32,
        "hook_name": hook_name,
    }
    sae = build[architecture](d_in, d_sae, common)
    if architecture not in ("identity", "zero", "random"):
        _fill_sae(sae, torch.Generator().manual_seed(seed))
    return sae


def tiny_transcoder(
    architecture: str = "transcoder",
    *,
    d_sae: int = 64,
    d_out: int = D_MODEL,
    skip: bool = False,
    hook_names: tuple[str, str] = ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"),
    seed: int = 0,
) -> Any:
    """A random transcoder with unit decoder rows and biases that are not zero, float32, on the CPU.

    Args:
        architecture: `transcoder`, `jumprelu_transcoder` or `topk_transcoder`.
        hook_names: what it reads, and what it predicts.
    """
    from sae_bench.custom_saes.architectures import ARCHITECTURES as ROWS
    from sae_bench.custom_saes.files import empty_sae

    sae: Any = empty_sae(
        ROWS[architecture], d_in=D_MODEL, d_sae=d_sae, model_name="tiny-gpt2", hook_name=hook_names[0], k=8,
        d_out=d_out, hook_name_out=hook_names[1], skip=skip,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in sae.parameters():
            value.normal_(generator=generator)
        sae.W_enc /= sae.W_enc.norm(dim=0)
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        if hasattr(sae, "threshold"):
            sae.threshold.uniform_(0.3, 0.6, generator=generator)
    return sae


def tiny_temporal_sae(*, hook_name: str = "blocks.1.hook_resid_post", n_active: int | None = 8, seed: int = 0) -> Any:
    """A random temporal SAE, which encodes a token by the tokens before it, float32, on the CPU.

    Args:
        n_active: active latents per token; None: all that are positive.
    """
    from sae_bench.custom_saes.architectures import ARCHITECTURES as ROWS
    from sae_bench.custom_saes.files import empty_sae

    sae: Any = empty_sae(
        ROWS["temporal"], d_in=D_MODEL, d_sae=64, model_name="tiny-gpt2", hook_name=hook_name, n_active=n_active,
        n_heads=2, n_attn_layers=1, bottleneck_factor=4,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in sae.parameters():
            value.normal_(0.0, value.shape[-1] ** -0.5, generator=generator)
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        sae.W_enc.copy_(sae.W_dec.T)
    return sae


ARCHITECTURES: tuple[str, ...] = (
    "relu", "topk", "topk_threshold", "abs_topk", "batch_topk", "jumprelu", "gated", "matching_pursuit", "pca",
    "identity", "zero", "random",
)  # fmt: skip
"""The architectures of `tiny_sae`."""


def _sae_builders() -> dict[str, Callable[[int, int, dict[str, Any]], Any]]:
    from sae_bench.custom_saes.batch_topk_sae import BatchTopKSAE
    from sae_bench.custom_saes.gated_sae import GatedSAE
    from sae_bench.custom_saes.identity_sae import IdentitySAE, ZeroSAE
    from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
    from sae_bench.custom_saes.matching_pursuit_sae import MatchingPursuitSAE
    from sae_bench.custom_saes.pca_sae import PCASAE
    from sae_bench.custom_saes.random_sae import RandomSAE
    from sae_bench.custom_saes.relu_sae import ReluSAE
    from sae_bench.custom_saes.topk_sae import AbsTopKSAE, TopKSAE

    return {
        "relu": lambda d_in, d_sae, common: ReluSAE(d_in, d_sae, **common),
        "topk": lambda d_in, d_sae, common: TopKSAE(d_in, d_sae, 8, **common),
        "topk_threshold": lambda d_in, d_sae, common: TopKSAE(d_in, d_sae, 8, use_threshold=True, **common),
        "abs_topk": lambda d_in, d_sae, common: AbsTopKSAE(d_in, d_sae, 8, **common),
        "matching_pursuit": lambda d_in, d_sae, common: MatchingPursuitSAE(d_in, d_sae, max_iterations=8, **common),
        "batch_topk": lambda d_in, d_sae, common: BatchTopKSAE(d_in, d_sae, 8, **common),
        "jumprelu": lambda d_in, d_sae, common: JumpReluSAE(d_in, d_sae, **common),
        "gated": lambda d_in, d_sae, common: GatedSAE(d_in, d_sae, **common),
        "pca": lambda d_in, _d_sae, common: PCASAE(d_in, **common),
        "identity": lambda d_in, _d_sae, common: IdentitySAE(d_in, **common),
        "zero": lambda d_in, _d_sae, common: ZeroSAE(d_in, **common),
        "random": lambda d_in, d_sae, common: RandomSAE(d_in, d_sae, k=8, **common),
    }


@torch.no_grad()
def _fill_sae(sae: Any, generator: torch.Generator) -> None:
    """Tied random weights; biases and thresholds such that some latents are on for most inputs of unit scale."""
    d_sae, d_in = sae.W_dec.shape
    rows_FD = torch.randn(d_sae, d_in, generator=generator)
    if type(sae).__name__ == "PCASAE":
        rows_FD = torch.linalg.qr(rows_FD).Q
    sae.W_dec.copy_(rows_FD / rows_FD.norm(dim=1, keepdim=True))
    if "W_enc" in dict(sae.named_parameters()):
        sae.W_enc.copy_(sae.W_dec.T)
    spread = {"b_dec": 0.1, "b_enc": 0.1, "gate_bias": 0.1, "b_mag": 0.1, "r_mag": 0.1, "mean": 0.1}
    for name, std in spread.items():
        if hasattr(sae, name):
            getattr(sae, name).normal_(0.0, std, generator=generator)
    if hasattr(sae, "threshold"):
        sae.threshold.uniform_(0.3, 0.6, generator=generator)
