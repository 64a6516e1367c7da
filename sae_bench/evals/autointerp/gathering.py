"""Activations of live latents from one pass, in bounded memory.

Which latents are live is known only at the end of the pass, but their activations are wanted from its start. So the
latents are put into a random order first, and the first n live ones of it are taken: a uniform draw of n live latents.
During the pass, once n latents at the front of the order are live, those behind them can no longer be taken and are
let go; a latent that is not live yet has few activations. Of a latent with many activations, only the rows that an
example may come from are kept (`_needed`).

Shapes: F latents, N tokens of a batch, E activations, R rows of the corpus, L tokens of a row, P pairs (latent, row).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.results import Findings
from sae_bench.evals.autointerp.sampling import WindowRules, race_keys, random_windows
from sae_bench.seeding import named_generator

KEPT_AT_ONCE = 1 << 21
"""Activations of one SAE above which rows that no example can come from are let go."""


class LatentActivations:
    """The activations of the latents of one SAE that may still be chosen.

    Args:
        order: latents in the order in which they are taken.
        n_wanted: how many are taken; those that are live, or all of `order` if `min_active` is None.
        min_active: a latent is live above this number of active tokens.
        n_rows: R.
        seeds: of the draws that `compact` has to leave possible.
    """

    def __init__(
        self,
        d_sae: int,
        order: Int[Tensor, " O"],
        *,
        n_wanted: int,
        min_active: float | None,
        rules: WindowRules,
        n_rows: int,
        seeds: Sequence[int],
        kept_at_once: int = KEPT_AT_ONCE,
    ) -> None:
        self.order_O = order
        self.n_wanted = n_wanted
        self.min_active = min_active
        self.rules = rules
        self.n_rows = n_rows
        self.seeds = tuple(seeds)
        self.count_F = torch.zeros(d_sae, dtype=torch.int64)
        self._place_in_draw_F = torch.full((d_sae,), len(order), dtype=torch.int64)
        self._place_in_draw_F[order] = torch.arange(len(order))
        self._end = len(order)
        """Latents from this place of the order on can no longer be taken."""
        self._limit = kept_at_once
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._random: dict[int, Tensor] = {}

    @property
    def n_kept(self) -> int:
        """Activations held."""
        return sum(len(part[0]) for part in self._parts)

    def add(self, position_N: Int[Tensor, " N"], codes: SparseCodes | Float[Tensor, "N F"]) -> None:
        """Take in the codes of tokens at `position_N` = row * L + column, behind all those before."""
        token_E, latent_E, value_E = active(codes)
        self.count_F += torch.bincount(latent_E, minlength=len(self.count_F)).cpu()
        wanted_E = (self._place_in_draw_F.to(latent_E.device) < self._end)[latent_E]
        token_E, latent_E, value_E = (x_E[wanted_E].cpu() for x_E in (token_E, latent_E, value_E))
        self._parts.append((latent_E.int(), position_N[token_E].int(), value_E.float()))
        self._end = self._find_end()
        if self.n_kept > self._limit:
            self.compact()
            self._limit = max(self._limit, 2 * self.n_kept)

    def compact(self) -> None:
        """Let go of latents that can no longer be taken, and of rows that no example can come from."""
        latent_E, position_E, value_E = self._sorted()
        needed_E = self._place_in_draw_F[latent_E.long()] < self._end
        latent_E, position_E, value_E = latent_E[needed_E], position_E[needed_E], value_E[needed_E]
        needed_E = self._needed(latent_E.long(), position_E.long(), value_E)
        self._parts = [(latent_E[needed_E], position_E[needed_E], value_E[needed_E])]

    def chosen(self) -> list[int]:
        """The latents that are taken, in the order of the draw; fewer than wanted where fewer are live."""
        if self.min_active is None:
            return self.order_O.tolist()
        live_O = self.order_O[self.count_F[self.order_O] > self.min_active]
        return live_O[: self.n_wanted].tolist()

    @property
    def n_live(self) -> int | None:
        """How many latents of the SAE are live; None where liveness was not asked about."""
        return None if self.min_active is None else int((self.count_F > self.min_active).sum())

    def by_latent(self) -> dict[int, tuple[Int[Tensor, " E"], Float[Tensor, " E"]]]:
        """Chosen latent, in the order of the draw -> positions, ascending, and activations there."""
        latent_E, position_E, value_E = self._sorted()
        self._parts = [(latent_E, position_E, value_E)]
        latents = self.chosen()
        wanted = torch.tensor(latents, dtype=latent_E.dtype)
        start = torch.searchsorted(latent_E, wanted).tolist()
        end = torch.searchsorted(latent_E, wanted, right=True).tolist()
        return {k: (position_E[a:b], value_E[a:b]) for k, a, b in zip(latents, start, end, strict=True)}

    def _find_end(self) -> int:
        """The place behind the n-th latent of the order that is live so far."""
        if self.min_active is None:
            return len(self.order_O)
        live = (self.count_F[self.order_O[: self._end]] > self.min_active).nonzero()[:, 0]
        return self._end if len(live) < self.n_wanted else int(live[self.n_wanted - 1]) + 1

    def _sorted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Everything held, by latent and then by position."""
        if not self._parts:
            empty = torch.zeros(0, dtype=torch.int32)
            return empty, empty, torch.zeros(0)
        latent_E, position_E, value_E = (torch.cat(parts) for parts in zip(*self._parts, strict=True))
        order_E = latent_E.sort(stable=True).indices  # positions come in ascending order
        return latent_E[order_E], position_E[order_E], value_E[order_E]

    def _needed(
        self, latent_E: Int[Tensor, " E"], position_E: Int[Tensor, " E"], value_E: Float[Tensor, " E"]
    ) -> Bool[Tensor, " E"]:
        """Whether each activation, sorted by latent and position, lies in a row that an example may come from.

        Of each latent these are, whatever is still to come:

        - the n_top rows of highest maximum: a top example is the highest of what is left of its row, so it can come
          from no other;
        - rows of possible draws. With v the n_top-th highest row maximum, all activations above v are in rows that
          are kept already. The final limit of the pool is v or more, so it either has all activations up to v or
          those below v, and of both groups those with the first `n_drawn` race keys suffice;
        - rows of the random windows.
        """
        row_E = position_E // self.rules.row_length
        pair_P, pair_E = torch.unique_consecutive(latent_E * self.n_rows + row_E, return_inverse=True)
        latent_P = pair_P // self.n_rows
        centred_E = self.rules.centred(position_E)
        top_P = torch.zeros(len(pair_P)).scatter_reduce(0, pair_E[centred_E], value_E[centred_E], "amax")
        rank_P = rank_within(latent_P, -top_P)
        needed_P = rank_P < self.rules.n_top
        limit_F = torch.zeros(len(self.count_F))
        last_P = rank_P == self.rules.n_top - 1
        limit_F[latent_P[last_P]] = top_P[last_P]
        pool = (centred_E & (value_E <= limit_F[latent_E])).nonzero()[:, 0]
        group = 2 * latent_E[pool] + (value_E[pool] == limit_F[latent_E[pool]])
        for seed in self.seeds:
            key = race_keys(seed, latent_E[pool], position_E[pool], value_E[pool])
            needed_P[pair_E[pool[rank_within(group, key) < self.rules.n_drawn]]] = True
        present = latent_P.unique().tolist()
        needed_P |= torch.isin(pair_P, torch.cat([self._random_pairs(latent) for latent in present]))
        return needed_P[pair_E]

    def _random_pairs(self, latent: int) -> Int[Tensor, " W"]:
        if latent not in self._random:
            positions = [p for seed in self.seeds for p in random_windows(seed, latent, self.n_rows, self.rules)]
            self._random[latent] = latent * self.n_rows + torch.tensor(positions) // self.rules.row_length
        return self._random[latent]


class ActivationGatherer:
    """Consumer of packed rows that keeps, of each SAE, the activations that examples are made of.

    Attributes:
        members: the SAEs of the group.
        activations: SAE key -> its activations, until its examples are made.
        findings: SAE key -> what is known of an SAE whose examples are made and that is not scored yet.
        judged: keys of the SAEs that the judge has been asked about.
        faults: SAE key -> why its examples could not be made, for when it is scored.
    """

    def __init__(
        self,
        members: Iterable[Member],
        config: AutoInterpEvalConfig,
        *,
        seeds: Sequence[int],
        n_rows: int,
        n_valid_tokens: int,
    ) -> None:
        self.members = list(members)
        self.findings: dict[str, Findings] = {}
        self.judged: set[str] = set()
        self.faults: dict[str, Exception] = {}
        self._row_length = config.llm_context_size
        self._position_N = torch.zeros(0, dtype=torch.int64)
        self.n_tokens = n_valid_tokens
        min_active = config.dead_latent_threshold * n_valid_tokens / config.total_tokens
        self.activations: dict[str, LatentActivations] = {}
        for member in self.members:
            d_sae = int(member.sae.cfg.d_sae)
            self.activations[member.key] = LatentActivations(
                d_sae,
                latent_order(d_sae, config),
                n_wanted=config.n_latents or d_sae,
                min_active=None if config.override_latents else min_active,
                rules=WindowRules.of(config),
                n_rows=n_rows,
                seeds=seeds,
            )

    def on_activations(self, batch: ActivationBatch) -> None:
        row_N, column_N = batch.valid_BL.cpu().nonzero().unbind(dim=1)
        self._position_N = torch.tensor(batch.rows)[row_N] * self._row_length + column_N

    def on_codes(self, _batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        self.activations[member.key].add(self._position_N, codes)

    def on_batch_end(self, batch: ActivationBatch) -> None:
        pass

    def drop(self, member: Member) -> None:
        self.activations.pop(member.key, None)


def latent_order(d_sae: int, config: AutoInterpEvalConfig) -> Int[Tensor, " O"]:
    """All latents in random order, or those that the configuration names.

    Raises:
        UsageError: a named latent does not exist.
    """
    if config.override_latents is None:
        return torch.randperm(d_sae, generator=named_generator("autointerp", "latents", config.random_seed))
    missing = [latent for latent in config.override_latents if latent >= d_sae]
    if missing:
        raise UsageError(f"override_latents: the SAE has latents 0 to {d_sae - 1}; there is no {missing[0]}.")
    return torch.tensor(config.override_latents)


def active(codes: SparseCodes | Float[Tensor, "N F"]) -> tuple[Tensor, Tensor, Tensor]:
    """Token, latent and strength (the value without its sign) of every activation that is not 0, token after token."""
    if isinstance(codes, SparseCodes):
        token_E, slot_E = (codes.values_NK != 0).nonzero(as_tuple=True)
        return token_E, codes.indices_NK[token_E, slot_E], codes.values_NK[token_E, slot_E].abs()
    token_E, latent_E = (codes != 0).nonzero(as_tuple=True)
    return token_E, latent_E, codes[token_E, latent_E].abs()


def rank_within(group_E: Int[Tensor, " E"], key_E: Tensor) -> Int[Tensor, " E"]:
    """Place of each entry in its group by ascending key, from 0; equal keys keep their order."""
    order_E = key_E.sort(stable=True).indices
    order_E = order_E[group_E[order_E].sort(stable=True).indices]
    sorted_E = group_E[order_E]
    _, size_G = torch.unique_consecutive(sorted_E, return_counts=True)
    start_G = size_G.cumsum(0) - size_G
    rank_E = torch.arange(len(group_E)) - start_G.repeat_interleave(size_G)
    return torch.empty_like(rank_E).scatter_(0, order_E, rank_E)
