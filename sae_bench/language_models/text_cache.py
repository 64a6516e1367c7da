"""Keys and values of tokens that were read before, so that what follows them is read alone.

Shapes: B texts, P places of tokens read before, L new tokens, H heads of keys, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Past:
    """What attention needs of the first tokens of B texts.

    Attributes:
        layers: keys and values (B, H, P, E) of every layer.
        real_BP: which places hold a token; what stands in the others is never looked at.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    real_BP: Bool[Tensor, "B P"]

    def select(self, texts_N: Int[Tensor, " N"], *, first_layer: int = 0) -> Past:
        """The past of some of the texts, some of them several times perhaps.

        Args:
            first_layer: a pass that resumes from this layer needs nothing of those before it; they are left out.
        """
        texts_N = texts_N.to(self.real_BP.device)
        real_NP = self.real_BP[texts_N]
        n_places = int(real_NP.any(dim=0).nonzero().max()) + 1 if bool(real_NP.any()) else 0
        layers: list[tuple[Tensor, Tensor]] = []
        for number, (keys, values) in enumerate(self.layers):
            if number < first_layer:  # a place holder: models read the number of places from the first layer
                nothing = keys.new_zeros(1, 1, n_places, 1)
                layers.append((nothing, nothing))
            else:
                own_N = texts_N.to(keys.device)  # layers may be on several devices
                layers.append((keys[own_N, :, :n_places], values[own_N, :, :n_places]))
        return Past(tuple(layers), real_NP[:, :n_places])


class TextCache:
    """B texts as far as they have been read; every pass that is given it reads on and lengthens it.

    Args:
        past: what was read before; None starts at the beginning.
    """

    def __init__(self, past: Past | None = None) -> None:
        from transformers import DynamicCache

        self.states: Any = DynamicCache()
        self.real_BP: Tensor | None = None
        if past is not None and past.real_BP.shape[1] > 0:
            self.real_BP = past.real_BP
            for number, (keys, values) in enumerate(past.layers):
                self.states.update(keys, values, number)

    def past(self) -> Past:
        """All that was read so far, to be read on from several times."""
        assert self.real_BP is not None, "nothing has been read"
        return Past(tuple((layer.keys, layer.values) for layer in self.states.layers), self.real_BP)

    def arguments(self, real_BL: Bool[Tensor, "B L"]) -> dict[str, Any]:
        """What a model has to be told to read L more tokens, which thereby count as read."""
        before_B1 = 0 if self.real_BP is None else self.real_BP.sum(dim=1, keepdim=True)
        position_BL = before_B1 + (real_BL.long().cumsum(dim=1) - 1).clamp(min=0)
        self.real_BP = real_BL if self.real_BP is None else torch.cat([self.real_BP, real_BL], dim=1)
        return {
            "past_key_values": self.states,
            "use_cache": True,
            "attention_mask": self.real_BP.long(),
            "position_ids": position_BL,
        }
