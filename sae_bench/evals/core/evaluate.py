"""The core eval: reconstruction, sparsity, loss recovered, densities and weight geometry.

The rows of the packed corpus go through the model once for all SAEs. For the loss metrics, layers up to the hook are
not run again: the original, the ablated and every reconstructed branch resume from what the pass captured.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.base import SHARE, Caveat, EvalContext, EvalSpec, Metric, Scores, Shows
from sae_bench.evals.core.consumer import CoreConsumer
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreEvalOutput
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
        self.corpus = self._pack(context) if rows_NL is None else CorpusRows(rows_NL)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {self.config.dataset: self.corpus.described}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        consumer = CoreConsumer(self.lm, self.config, members)
        rows_NL = self.corpus.rows_NL[: max(consumer.n_loss_rows, consumer.n_statistics_rows)]
        keys = frozenset(m.key for m in members)
        return [TokenRows(rows_NL, self.config.batch_size_prompts, consumer, consumer.extra_hooks(), keys)]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        return score_sae(only(served, CoreConsumer), member, self.corpus, self.seeds)

    def _pack(self, context: EvalContext) -> CorpusRows:
        batches = max(self.config.n_eval_reconstruction_batches, self.config.n_eval_sparsity_variance_batches)
        return CorpusRows.load(
            self.config.dataset,
            context,
            n_rows=batches * self.config.batch_size_prompts,
            context_length=self.config.context_size,
            seed=self.config.random_seed,
        )


SPEC = EvalSpec(
    name="core",
    title="Core",
    summary="Reconstruction, sparsity, loss recovered, densities and weight geometry.",
    protocol="core-2",
    config=CoreEvalConfig,
    output=CoreEvalOutput,
    metrics=(
        Metric("model_performance_preservation.ce_loss_score", "Loss recovered", True, 0.0),
        Metric("model_behavior_preservation.kl_div_score", "KL score", True, 0.0),
        Metric("reconstruction_quality.explained_variance", "Explained variance", True, 0.0, (None, 1.0)),
        Metric("reconstruction_quality.cossim", "Cosine", True, bounds=(-1.0, 1.0)),
        Metric("sparsity.l0", "L0", None, bounds=(0.0, None)),
        Metric("shrinkage.l2_ratio", "L2 ratio", None, bounds=(0.0, None)),
        Metric("misc_metrics.frac_alive", "Alive", True, bounds=SHARE),
    ),
    cost="one pass over the rows; for the loss rows, the layers after the hook once more per SAE",
    start=CoreJob,
    presets={
        "paper": {
            "n_eval_reconstruction_batches": 200,
            "n_eval_sparsity_variance_batches": 2000,
            "exclude_special_tokens_from_reconstruction": True,
        },
        "quick": {
            "n_eval_reconstruction_batches": 4,
            "n_eval_sparsity_variance_batches": 16,
            "exclude_special_tokens_from_reconstruction": True,
        },
    },
    embedded={"dataset": "embedded"},
    demo={"n_eval_reconstruction_batches": 1, "n_eval_sparsity_variance_batches": 12},
    caveats=(
        Caveat(
            "The published definition before version 0.4.1, which is wrong (too high); kept to stand beside old "
            "results.",
            ("reconstruction_quality.explained_variance_legacy",),
            serious=True,
        ),
        Caveat("Depends on the batch size; mse_per_token does not.", ("reconstruction_quality.mse",)),
        Caveat("An underestimate when few tokens were read.", ("misc_metrics.frac_alive",)),
    ),
    shows=Shows("index", rows="latents"),
)
