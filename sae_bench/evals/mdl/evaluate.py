"""mdl on the shared pass: packed rows in, active codes kept, then a sweep over numbers of bins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import corpus_provenance, load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.evals.base import EvalContext, EvalSpec, Metric, Scores
from sae_bench.evals.mdl.consumer import MDLConsumer
from sae_bench.evals.mdl.eval_config import PUBLISHED_RUN, MDLEvalConfig
from sae_bench.evals.mdl.eval_output import MDLEvalOutput
from sae_bench.evals.mdl.scores import score_sae

NOTHING_RANDOM = (
    "mdl draws nothing at random from its rows: more seeds change no number (unless data are resampled); error bars "
    "are over rows"
)


class MDLJob:
    """mdl on one model and corpus."""

    def __init__(self, context: EvalContext, config: MDLEvalConfig, rows_NL: Tensor | None = None) -> None:
        self.config = config
        self.seeds = context.seeds
        self.rows_NL = self._pack(context) if rows_NL is None else rows_NL
        self._origin = corpus_provenance(config.dataset_name, data_dir=context.data_dir) if rows_NL is None else {}

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {self.config.dataset_name: {**self._origin, "rows": str(len(self.rows_NL))}}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        consumer = MDLConsumer(members, self.config.k_values)
        keys = frozenset(member.key for member in members)
        return [
            TokenRows(
                self.rows_NL, self.config.sae_batch_size, consumer, sae_keys=keys, max_rows=self.config.llm_batch_size
            )
        ]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        scores = score_sae(only(served, MDLConsumer), member, self.config, self._units())
        if len(self.seeds) > 1:
            scores.warnings.append(NOTHING_RANDOM)
        return scores

    def _units(self) -> str:
        return hashlib.sha256(self.rows_NL.cpu().numpy().tobytes()).hexdigest()

    def _pack(self, context: EvalContext) -> Tensor:
        return pack_corpus(
            load_corpus(self.config.dataset_name, data_dir=context.data_dir),
            context.lm,
            n_rows=self.config.n_rows,
            context_length=self.config.context_length,
            seed=self.config.random_seed,
        )


SPEC = EvalSpec(
    name="mdl",
    title="MDL",
    summary="Bits per token that the codes take when values are put into bins, and whether they still reconstruct.",
    protocol="mdl-1",
    config=MDLEvalConfig,
    output=MDLEvalOutput,
    metrics=(
        Metric("mdl.description_length", "Bits per token", False, bounds=(0.0, None)),
        Metric("mdl.explained_variance", "Explained variance", True, 0.0, (None, 1.0)),
        Metric("mdl.num_bins", "Bins", None),
    ),
    cost="one pass over the rows; then one decode of the codes per number of bins and SAE",
    start=MDLJob,
    presets={"paper": dict(PUBLISHED_RUN), "quick": {**PUBLISHED_RUN, "n_rows": 256}},
    embedded={"dataset_name": "embedded"},
    demo={"n_rows": 48},
)
