"""mdl on the shared pass: packed rows in, active codes kept, then a sweep over numbers of bins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.rows import CorpusRows
from sae_bench.evals.mdl.consumer import ROWS_PER_BLOCK, MDLConsumer
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.results import score_sae


class MDLJob:
    """mdl on one model and corpus."""

    def __init__(self, context: EvalContext, config: MDLEvalConfig, rows_NL: Tensor | None = None) -> None:
        self.config = config
        self.seeds = context.seeds
        self.corpus = self._pack(context) if rows_NL is None else CorpusRows(rows_NL)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {self.config.dataset_name: self.corpus.described}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        consumer = MDLConsumer(members, self.config.k_values)
        keys = frozenset(member.key for member in members)
        return [
            TokenRows(
                self.corpus.rows_NL,
                self.config.sae_batch_size,
                consumer,
                tuple(sorted({member.hook_name_out for member in members})),
                sae_keys=keys,
                max_rows=self.config.llm_batch_size,
            )
        ]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        consumer = only(served, MDLConsumer)
        return score_sae(consumer, member, self.config, self._units(), self._clusters, self.seeds)

    @cached_property
    def _clusters(self) -> Tensor | None:
        """The document of every block of rows."""
        n_rows = len(self.corpus.rows_NL)
        starts = range(0, n_rows, ROWS_PER_BLOCK)
        return self.corpus.clusters(range(start, min(start + ROWS_PER_BLOCK, n_rows)) for start in starts)

    def _units(self) -> str:
        return hashlib.sha256(self.corpus.rows_NL.cpu().numpy().tobytes()).hexdigest()

    def _pack(self, context: EvalContext) -> CorpusRows:
        return CorpusRows.load(
            self.config.dataset_name,
            context,
            n_rows=self.config.n_rows,
            context_length=self.config.context_length,
            seed=self.config.random_seed,
        )
