"""The floor of core: the mean activation of a batch in the place of every activation, measured once per hook."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.evals.core.blocks import sums_by_block
from sae_bench.evals.core.loss import BranchSums


@dataclass
class MeanActivation:
    """Sums of one hook, block by block of rows.

    Attributes:
        cosine_blocks: number of tokens and sum of their cosines with the mean, of the blocks of each batch.
        losses: sums of the branch in which the mean takes the place of the activation.
    """

    cosine_blocks: list[Float[Tensor, "_ 2"]] = field(default_factory=list)
    losses: BranchSums = field(default_factory=BranchSums)

    def add_cosines(self, batch: ActivationBatch, hook: str) -> None:
        """Add the valid tokens of one batch."""
        x_ND = batch.tokens(hook).float()
        cosine_N = torch.cosine_similarity(x_ND, x_ND.mean(dim=0), dim=-1)
        self.cosine_blocks.append(sums_by_block([cosine_N], batch.text_of_token_N, len(batch.rows)))


def with_mean(batch: ActivationBatch, hook: str, changed_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    """The activations with the mean of the batch's valid tokens in the place of some.

    Args:
        hook: of the activations.
        changed_BL: the tokens whose activations it takes the place of.
    """
    x_BLD = batch.x_BLD[hook]
    mean_D = batch.tokens(hook).float().mean(dim=0).to(x_BLD.dtype)
    return torch.where(changed_BL[..., None], mean_D, x_BLD)


def branch_name(hook: str) -> str:
    """Key of the branch among the others of a pass."""
    return f"mean activation at {hook}"
