"""Which activations of a latent become examples: the strongest, some drawn by size, and windows from anywhere.

Shapes: E activations of one or several latents, R rows of the corpus, L tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.seeding import named_generator


@dataclass(frozen=True)
class WindowRules:
    """Rules for which windows of text may serve as examples.

    Attributes:
        row_length: L.
        buffer: tokens on either side of the token an example is about; it lies that far from both ends of its row.
        n_top, n_drawn: top examples and importance-weighted ones.
        n_random: windows from anywhere, spare ones included.
        no_overlap: no top example within `buffer` of a higher one in its row.
    """

    row_length: int
    buffer: int
    n_top: int
    n_drawn: int
    n_random: int
    no_overlap: bool

    @classmethod
    def of(cls, config: AutoInterpEvalConfig) -> WindowRules:
        """The rules of a configuration; spare windows stand in where too few activations can be drawn."""
        n_random = config.n_random_ex_for_scoring + config.n_iw_sampled_ex_for_scoring
        return cls(
            config.llm_context_size, config.buffer, config.n_top_ex, config.n_iw_sampled_ex, n_random, config.no_overlap
        )

    def centred(self, position_E: Int[Tensor, " E"]) -> Bool[Tensor, " E"]:
        """Whether a window around each position stays within its row."""
        column_E = position_E.long() % self.row_length
        return (column_E >= self.buffer) & (column_E < self.row_length - self.buffer)


def top_places(position_E: Int[Tensor, " E"], value_E: Float[Tensor, " E"], rules: WindowRules) -> list[int]:
    """Places of the highest activations of one latent, highest first, equal ones in the order of the corpus.

    Args:
        position_E: row * L + column, ascending.
    """
    centred = rules.centred(position_E).nonzero()[:, 0]
    order = centred[value_E[centred].sort(descending=True, stable=True).indices]
    if not rules.no_overlap:
        return order[: rules.n_top].tolist()
    chosen: list[int] = []
    taken: set[int] = set()
    for example in order.tolist():
        if len(chosen) == rules.n_top:
            break
        position = int(position_E[example])
        if position not in taken:
            chosen.append(example)
            taken.update(range(position - rules.buffer, position + rules.buffer + 1))
    return chosen


def drawn_places(
    latent: int, position_E: Int[Tensor, " E"], value_E: Float[Tensor, " E"], rules: WindowRules, *, below: float,
    seed: int,
) -> list[int]:  # fmt: skip
    """Places drawn without replacement in proportion to the squared activation, among those under `below`."""
    pool = (rules.centred(position_E) & (value_E < below)).nonzero()[:, 0]
    key = race_keys(seed, torch.full_like(pool, latent), position_E[pool], value_E[pool])
    return pool[key.argsort()[: rules.n_drawn]].tolist()


def race_keys(
    seed: int, latent_E: Int[Tensor, " E"], position_E: Int[Tensor, " E"], value_E: Float[Tensor, " E"]
) -> Float[Tensor, " E"]:
    """Exponential times with rate value^2: the k first to ring are k draws without replacement in that proportion.

    The time of an activation is a hash of (seed, latent, position), so that it does not depend on what else is kept.
    """
    salt, step = _salt(seed)
    mixed_E = _mix(latent_E.long() * (step | 1) + salt) ^ position_E.long()
    uniform_E = ((_mix(mixed_E) >> 11) & (2**53 - 1)).double().add(0.5) / 2**53
    return -uniform_E.log() / value_E.double().square()


def random_windows(seed: int, latent: int, n_rows: int, rules: WindowRules) -> list[int]:
    """Positions row * L + column of the windows from anywhere."""
    generator = named_generator("autointerp", "random windows", seed, latent)
    row = torch.randint(n_rows, (rules.n_random,), generator=generator)
    column = torch.randint(rules.buffer, rules.row_length - rules.buffer, (rules.n_random,), generator=generator)
    return (row * rules.row_length + column).tolist()


@lru_cache(maxsize=64)
def _salt(seed: int) -> tuple[int, int]:
    salt, step = torch.randint(2**62, (2,), generator=named_generator("autointerp", "race", seed)).tolist()
    return salt, step


def _mix(x_E: Int[Tensor, " E"]) -> Int[Tensor, " E"]:
    """A bijection of 64-bit integers that scatters neighbours (the finaliser of splitmix64)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x_E = (x_E ^ _shifted(x_E, shift)) * factor
    return x_E ^ _shifted(x_E, 31)


def _shifted(x_E: Int[Tensor, " E"], n: int) -> Int[Tensor, " E"]:
    """Logical shift to the right; torch's own keeps the sign."""
    return (x_E >> n) & ((1 << (64 - n)) - 1)
