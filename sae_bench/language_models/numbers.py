"""The numbers of a model: dtype, quantisation, and one error for activations that are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sae_bench.errors import ModelError


def check_finite(
    name: str, dtype: torch.dtype, values: Mapping[str, Tensor], counts_BL: Bool[Tensor, "B L"] | None = None
) -> None:
    """Refuse activations that are NaN or infinite at a token that counts.

    Args:
        name: the language model's.
        dtype: the language model's.
        values: hook -> (B, L, D) or (N, D) activations of one batch.
        counts_BL: which tokens are looked at; None for all.
    Raises:
        ModelError: names the hook, the share of tokens and the dtype to try.
    """
    for hook, x_BLD in values.items():
        wrong_BL = ~torch.isfinite(x_BLD).all(dim=-1)
        if counts_BL is not None:
            wrong_BL &= counts_BL.to(wrong_BL.device)
        if bool(wrong_BL.any()):
            n_wrong, n_tokens = int(wrong_BL.sum()), int(counts_BL.sum()) if counts_BL is not None else wrong_BL.numel()
            raise ModelError(
                f"'{name}' gives activations at {hook} that are NaN or infinite for {n_wrong:,} of {n_tokens:,} tokens "
                f"({n_wrong / n_tokens:.1%}) of a batch, in {dtype_name(dtype)}. {next_dtype(dtype)}"
            )


def next_dtype(dtype: torch.dtype) -> str:
    """The next step for a model whose numbers do not fit its dtype."""
    if dtype == torch.float16:
        return "Numbers above 65,504 do not fit float16. Next: run it with --llm-dtype bfloat16 or float32."
    if dtype == torch.float32:
        return "Next: look for broken weights in its files; a wider dtype would not help."
    return "Next: run it with --llm-dtype float32; if that gives the same, its weights are broken."


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` and its kin."""
    return str(dtype).removeprefix("torch.")


def quantisation_of(model: Any) -> str | None:
    """`8bit` or `4bit` if bitsandbytes quantised the weights, another method by name, None if they are whole."""
    stated = getattr(getattr(model, "config", None), "quantization_config", None)
    if stated is None:
        return None
    values = stated if isinstance(stated, dict) else stated.to_dict()
    bits = [name for name in ("8bit", "4bit") if values.get(f"load_in_{name}")]
    method = values.get("quant_method")
    return bits[0] if bits else str(getattr(method, "value", method))
