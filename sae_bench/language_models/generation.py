"""Greedy continuation of texts, with a change of the first pass if one is asked for.

Shapes: B texts, L tokens, D d_model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.language_models.interventions import Replacement
from sae_bench.language_models.model import LanguageModel
from sae_bench.language_models.text_cache import Past, TextCache

Constraint = Callable[[Int[Tensor, "B N"], Float[Tensor, "B V"]], Float[Tensor, "B V"]]


@torch.no_grad()
def generate(
    lm: LanguageModel,
    ids_BL: Int[Tensor, "B L"],
    *,
    n_tokens: int,
    real_BL: Bool[Tensor, "B L"] | None = None,
    past: Past | None = None,
    replace: Mapping[str, Replacement] | None = None,
    constrain: Constraint | None = None,
    stop: Collection[int] | None = None,
) -> list[list[int]]:
    """The most likely next tokens of each text, one after the other; a text ends with a stop token.

    Args:
        n_tokens: how many tokens at most.
        real_BL: False at padding, which stands on the left.
        past: the tokens before these, if `lm.reads_on()`.
        replace: hook name -> function from the value there to the one that takes its place, in the pass over the given
            tokens. Functions must go by place from the right where the model cannot read on: it then reads the whole
            text for each new token, and earlier places move to the left.
        constrain: (new tokens of each text, -1 behind its end; logits of the next) -> logits, as transformers'
            `LogitsProcessor` does it.
        stop: tokens that end a text; None takes the model's.
    """
    ids_BL = ids_BL.to(lm.device)
    real_BL = torch.ones_like(ids_BL, dtype=torch.bool) if real_BL is None else real_BL.to(lm.device)
    ends = torch.tensor(sorted(lm.stop_token_ids if stop is None else stop), dtype=torch.long, device=lm.device)
    cache = TextCache(past) if lm.reads_on() else None
    ended_B = torch.zeros(len(ids_BL), dtype=torch.bool, device=lm.device)
    written: list[Tensor] = []
    for _ in range(n_tokens):
        hidden_BLD = lm.final_hidden(ids_BL, attention_mask_BL=real_BL.long(), replace=replace, cache=cache)
        logits_BV = lm.unembed(hidden_BLD[:, -1]).float()
        if constrain is not None:
            so_far_BN = torch.stack(written, dim=1) if written else ids_BL.new_zeros(len(ids_BL), 0)
            logits_BV = constrain(so_far_BN, logits_BV)
        next_B = logits_BV.argmax(dim=-1)
        written.append(torch.where(ended_B, -1, next_B))
        ended_B = ended_B | torch.isin(next_B, ends)
        if bool(ended_B.all()):
            break
        new_B1 = next_B[:, None]
        if cache is None:
            ids_BL = torch.cat([ids_BL, new_B1], dim=1)
            real_BL = torch.cat([real_BL, torch.ones_like(new_B1, dtype=torch.bool)], dim=1)
        else:
            ids_BL, real_BL, replace = new_B1, torch.ones_like(new_B1, dtype=torch.bool), None
    return [[token for token in row if token >= 0] for row in torch.stack(written, dim=1).tolist()]
