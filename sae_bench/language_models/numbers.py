"""Activations that are no finite numbers: one error that says where, how many, and which dtype to try."""

from __future__ import annotations

from collections.abc import Mapping

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
        finite_BL = torch.isfinite(x_BLD).all(dim=-1)
        if counts_BL is not None:
            finite_BL = finite_BL[counts_BL.to(finite_BL.device)]
        if not bool(finite_BL.all()):
            n_wrong, n_tokens = int((~finite_BL).sum()), finite_BL.numel()
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
