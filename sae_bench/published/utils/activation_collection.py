"""Activations and codes of whole batches of rows, under their published names.

They keep dense (texts, tokens, width) tensors: good for a look at a few texts. Evals read from the shared pass instead.
Models are `sae_bench.language_models.LanguageModel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from sae_bench.atomic import atomic_path
from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.load import PUBLISHED_DTYPES

_GEMMA = ("gemma-2-2b", "gemma-2-9b", "gemma-2-2b-it", "gemma-2-9b-it")

LLM_NAME_TO_BATCH_SIZE = {"pythia-70m-deduped": 512, "pythia-160m-deduped": 256, **dict.fromkeys(_GEMMA, 32)}
"""Texts of 128 tokens at once on a 24 GB GPU."""

LLM_NAME_TO_DTYPE = {hub_id.partition("/")[2]: dtype for hub_id, dtype in PUBLISHED_DTYPES.items()}
"""What the published results were made in."""


def get_module(model: Any, layer_num: int) -> torch.nn.Module:
    """The module of one layer."""
    return _checked(model).layers[layer_num]


@torch.no_grad()
def get_layer_activations(
    model: Any, target_layer: int, inputs: Mapping[str, Tensor], source_pos_B: Int[Tensor, " B"]
) -> Float[Tensor, "B D"]:
    """The residual stream after a layer, at one position of each text.

    Args:
        inputs: `input_ids` and, where texts are padded on the left, `attention_mask`.
    """
    hook = f"blocks.{target_layer}.hook_resid_post"
    mask_BL = inputs.get("attention_mask")
    x_BLD = _checked(model).capture(inputs["input_ids"], [hook], attention_mask_BL=mask_BL)[hook]
    return x_BLD[torch.arange(len(x_BLD)), source_pos_B.to(x_BLD.device)]


def get_bos_pad_eos_mask(tokens: Int[Tensor, "B L"], tokenizer: Any) -> Bool[Tensor, "B L"]:
    """True where a token is neither BOS nor PAD nor EOS."""
    special = [i for i in (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None]
    return ~torch.isin(tokens, torch.tensor(special, dtype=tokens.dtype, device=tokens.device))


@torch.no_grad()
def get_llm_activations(
    tokens: Int[Tensor, "B L"],
    model: Any,
    batch_size: int,
    layer: int,
    hook_name: str,
    mask_bos_pad_eos_tokens: bool = False,
    show_progress: bool = True,
) -> Float[Tensor, "B L D"]:
    """Activations at a hook; with the mask, those of BOS, PAD and EOS are zeros. `layer` follows from the hook."""
    del layer
    lm = _checked(model)
    batches = _activations(tokens, lm, batch_size, hook_name, show_progress=show_progress)
    masked = [x_BLD * _mask(ids_BL, lm, x_BLD, mask_bos_pad_eos_tokens) for ids_BL, x_BLD in batches]
    return torch.cat(masked)


def get_all_llm_activations(
    tokenized_inputs_dict: Mapping[str, Mapping[str, Tensor]],
    model: Any,
    batch_size: int,
    layer: int,
    hook_name: str,
    mask_bos_pad_eos_tokens: bool = False,
) -> dict[str, Tensor]:
    """`get_llm_activations` of every class: class -> (B, L, D)."""
    lm = _checked(model)
    return {
        name: get_llm_activations(inputs["input_ids"], lm, batch_size, layer, hook_name, mask_bos_pad_eos_tokens)
        for name, inputs in tokenized_inputs_dict.items()
    }


@torch.no_grad()
def create_meaned_model_activations(all_llm_activations_BLD: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means over the tokens of each text, class -> (B, D); a token whose activation is all zeros does not count."""
    return {name: _mean(x_BLD, _is_token(x_BLD)) for name, x_BLD in all_llm_activations_BLD.items()}


@torch.no_grad()
def get_sae_meaned_activations(
    all_llm_activations_BLD: Mapping[str, Tensor], sae: Any, sae_batch_size: int
) -> dict[str, Tensor]:
    """Means of an SAE's codes over the tokens of each text, class -> (B, F); zeroed tokens do not count."""

    def of_class(x_BLD: Tensor) -> Tensor:
        parts = [_mean(_encode(sae, part), _is_token(part)) for part in x_BLD.split(sae_batch_size)]
        return torch.cat(parts)

    return {name: of_class(x_BLD) for name, x_BLD in all_llm_activations_BLD.items()}


@torch.no_grad()
def collect_sae_activations(
    tokens: Int[Tensor, "B L"],
    model: Any,
    sae: Any,
    batch_size: int,
    layer: int,
    hook_name: str,
    mask_bos_pad_eos_tokens: bool = False,
    selected_latents: Sequence[int] | None = None,
    activation_dtype: torch.dtype | None = None,
) -> Float[Tensor, "B L F"]:
    """Codes of an SAE for all tokens, or of the selected latents; masked tokens are zeros."""
    del layer
    lm = _checked(model)
    codes = []
    for ids_BL, x_BLD in _activations(tokens, lm, batch_size, hook_name):
        f_BLF = _encode(sae, x_BLD) * _mask(ids_BL, lm, x_BLD, mask_bos_pad_eos_tokens)
        f_BLF = f_BLF if selected_latents is None else f_BLF[:, :, list(selected_latents)]
        codes.append(f_BLF if activation_dtype is None else f_BLF.to(activation_dtype))
    return torch.cat(codes)


@torch.no_grad()
def get_feature_activation_sparsity(
    tokens: Int[Tensor, "B L"],
    model: Any,
    sae: Any,
    batch_size: int,
    layer: int,
    hook_name: str,
    mask_bos_pad_eos_tokens: bool = False,
) -> Float[Tensor, " F"]:
    """Share of (unmasked) tokens on which each latent is positive."""
    del layer
    lm = _checked(model)
    active_F = torch.zeros(sae.W_dec.shape[0], dtype=torch.long, device=sae.W_dec.device)
    n_tokens = 0
    for ids_BL, x_BLD in _activations(tokens, lm, batch_size, hook_name):
        valid_BL1 = _mask(ids_BL, lm, x_BLD, mask_bos_pad_eos_tokens)
        active_F += ((_encode(sae, x_BLD) != 0) & valid_BL1).sum(dim=(0, 1))
        n_tokens += int(valid_BL1.sum())
    return active_F / max(n_tokens, 1)


@torch.no_grad()
def save_activations(
    tokens: Int[Tensor, "B L"],
    model: Any,
    batch_size: int,
    layer: int,
    hook_name: str,
    num_chunks: int,
    save_size: int,
    artifacts_dir: str | Path,
) -> None:
    """Keep activations on disk, `save_size` rows a file, for `encode_precomputed_activations`."""
    del layer
    lm = _checked(model)
    Path(artifacts_dir).mkdir(parents=True, exist_ok=True)
    for i, chunk_SL in enumerate(tokens.split(save_size)[:num_chunks]):
        activations = [x_BLD.cpu() for _, x_BLD in _activations(chunk_SL, lm, batch_size, hook_name)]
        valid_SL = get_bos_pad_eos_mask(chunk_SL, lm.tokenizer)
        tensors = {"activations": torch.cat(activations), "tokens": chunk_SL.cpu(), "is_text": valid_SL.cpu()}
        with atomic_path(_chunk(artifacts_dir, i, num_chunks)) as partial:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)


@torch.no_grad()
def encode_precomputed_activations(
    sae: Any,
    sae_batch_size: int,
    num_chunks: int,
    activation_dir: str | Path,
    mask_bos_pad_eos_tokens: bool = False,
    selected_latents: Sequence[int] | None = None,
    activation_dtype: torch.dtype | None = None,
) -> Float[Tensor, "B L F"]:
    """Codes of what `save_activations` kept. Raises `PrerequisiteError` if a file is missing."""
    codes = []
    for i in range(num_chunks):
        path = _chunk(activation_dir, i, num_chunks)
        if not path.is_file():
            raise PrerequisiteError(f"there is no '{path}'. Next: save_activations(..., num_chunks={num_chunks}).")
        saved = load_file(path)
        pairs = zip(saved["activations"].split(sae_batch_size), saved["is_text"].split(sae_batch_size), strict=True)
        for x_BLD, valid_BL in pairs:
            f_BLF = _encode(sae, x_BLD)
            f_BLF = f_BLF * valid_BL[:, :, None].to(f_BLF.device) if mask_bos_pad_eos_tokens else f_BLF
            f_BLF = f_BLF if selected_latents is None else f_BLF[:, :, list(selected_latents)]
            codes.append(f_BLF if activation_dtype is None else f_BLF.to(activation_dtype))
    return torch.cat(codes)


# ---- parts


def _chunk(folder: str | Path, index: int, n_chunks: int) -> Path:
    return Path(folder) / f"activations_{index + 1}_of_{n_chunks}.safetensors"


def _checked(model: Any) -> LanguageModel:
    if isinstance(model, LanguageModel):
        return model
    raise UsageError(
        f"a model is a LanguageModel here, not a {type(model).__name__}. Next: load_language_model(name), or "
        "LanguageModel(model, tokenizer, name=...) around a Hugging Face model."
    )


def _activations(
    tokens: Tensor, lm: LanguageModel, batch_size: int, hook_name: str, *, show_progress: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of ids and of activations at a hook."""
    for ids_BL in tqdm(tokens.split(batch_size), desc="activations", disable=None if show_progress else True):
        yield ids_BL, lm.capture(ids_BL, [hook_name])[hook_name]


def _mask(ids_BL: Tensor, lm: LanguageModel, x_BLD: Tensor, wanted: bool) -> Bool[Tensor, "B L 1"]:
    """What counts of a batch, on the device of its activations."""
    mask_BL = get_bos_pad_eos_mask(ids_BL, lm.tokenizer) if wanted else torch.ones_like(ids_BL, dtype=torch.bool)
    return mask_BL[:, :, None].to(x_BLD.device)


def _is_token(x_BLD: Float[Tensor, "B L D"]) -> Bool[Tensor, "B L 1"]:
    """False where an activation was zeroed."""
    return (x_BLD != 0).any(dim=-1, keepdim=True)


def _mean(x_BLW: Float[Tensor, "B L W"], counts_BL1: Bool[Tensor, "B L 1"]) -> Float[Tensor, "B W"]:
    """Means over the tokens that count, summed in float32."""
    counts_BL1 = counts_BL1.to(x_BLW.device)
    mean_BW = (x_BLW.float() * counts_BL1).sum(dim=1) / counts_BL1.sum(dim=1).clamp(min=1)
    return mean_BW.to(x_BLW.dtype)


def _encode(sae: Any, x_BLD: Tensor) -> Tensor:
    """Codes, computed where the SAE is and in its dtype."""
    return sae.encode(x_BLD.to(device=sae.W_dec.device, dtype=sae.W_dec.dtype))
