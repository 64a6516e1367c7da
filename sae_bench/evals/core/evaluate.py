"""The core eval: reconstruction, sparsity, loss recovered, densities and weight geometry.

The rows of the packed corpus go through the model once for all SAEs. For the loss metrics, layers up to the hook are
not run again: the original, the ablated and every reconstructed branch resume from what the pass captured.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.interface import weights_only
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.core.consumer import CoreConsumer
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.mean_activation import MeanActivation
from sae_bench.evals.core.results import score_sae
from sae_bench.evals.families.rows import CorpusRows


class CoreJob:
    """The core eval on one model and corpus."""

    def __init__(self, context: EvalContext, config: CoreEvalConfig, rows_NL: Tensor | None = None) -> None:
        if max(config.n_eval_reconstruction_batches, config.n_eval_sparsity_variance_batches) == 0:
            raise UsageError(
                "core: n_eval_reconstruction_batches and n_eval_sparsity_variance_batches are both 0: nothing to do."
            )
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self._means: dict[str, MeanActivation] = {}
        self.corpus = self._pack(context) if rows_NL is None else CorpusRows(rows_NL)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {self.config.dataset: self.corpus.described}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        with_codes = [member for member in members if not weights_only(member.sae)]
        consumer = CoreConsumer(self.lm, self.config, with_codes, self._means)
        rows_NL = self.corpus.rows_NL[: max(consumer.n_loss_rows, consumer.n_statistics_rows)]
        keys = frozenset(m.key for m in members)
        return [TokenRows(rows_NL, self.config.batch_size_prompts, consumer, consumer.extra_hooks(), keys)]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        consumer = only(served, CoreConsumer)
        self._means |= consumer.means
        return score_sae(consumer, member, self.corpus, self.seeds)

    def _pack(self, context: EvalContext) -> CorpusRows:
        batches = max(self.config.n_eval_reconstruction_batches, self.config.n_eval_sparsity_variance_batches)
        return CorpusRows.load(
            self.config.dataset,
            context,
            n_rows=batches * self.config.batch_size_prompts,
            context_length=self.config.context_size,
            seed=self.config.random_seed,
        )
