"""Activations of prompts at one token, from any model that scripts hand over.

P prompts, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.language_models import LanguageModel, load_language_model
from sae_bench.published.absorption_steps.batches import batchify
from sae_bench.published.models import as_language_model


class PromptReader:
    """A model as the steps use it: a `LanguageModel`, whatever becomes one, or anything with `run_with_cache`.

    The last is how a HookedTransformer is read; its residual stream is the caller's choice.
    """

    def __init__(self, model: Any) -> None:
        self.hooked = model if hasattr(model, "run_with_cache") else None
        taken = None if self.hooked is not None else as_language_model(model)
        self.lm = load_language_model(taken) if isinstance(taken, str) else taken

    @property
    def name(self) -> str:
        """What files are named by."""
        return str(self.hooked.cfg.model_name) if self.hooked is not None else self._lm.name

    @property
    def tokenizer(self) -> Any:
        """Of transformers."""
        return self.hooked.tokenizer if self.hooked is not None else self._lm.tokenizer

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.hooked.cfg.d_model) if self.hooked is not None else self._lm.d_model

    @property
    def _lm(self) -> LanguageModel:
        if self.lm is None:
            raise UsageError("a model with `run_with_cache` is read through that alone.")
        return self.lm

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each prompt, with BOS."""
        if self.hooked is not None:
            return [len(self.hooked.to_tokens(prompt)[0]) for prompt in prompts]
        return self._lm.tokenize(prompts).lengths.tolist()

    @torch.no_grad()
    def read(self, prompts: Sequence[str], hook: str, position: int, batch_size: int) -> Float[Tensor, "P D"]:
        """Activations at a hook and a token of each prompt, on the model's device.

        Args:
            position: of the token; a negative one counts from the end of each prompt.
        """
        parts = [self._read_batch(batch, hook, position) for batch in batchify(prompts, batch_size)]
        return torch.cat(parts) if parts else torch.empty(0, self.d_model)

    def _read_batch(self, prompts: Sequence[str], hook: str, position: int) -> Float[Tensor, "P D"]:
        if self.hooked is not None:
            return self.hooked.run_with_cache(list(prompts), names_filter=[hook])[1][hook][:, position, :]
        tokens = self._lm.tokenize(prompts)
        ids_PL, _ = tokens.padded(range(len(tokens)), 0)
        at_P = torch.tensor([position + (length if position < 0 else 0) for length in tokens.lengths.tolist()])
        x_PLD = self._lm.capture(ids_PL, [hook])[hook]
        return x_PLD[torch.arange(len(tokens), device=x_PLD.device), at_P.to(x_PLD.device)]


def layer_hook(layer: int) -> str:
    """The residual stream after a layer."""
    return f"blocks.{layer}.hook_resid_post"
