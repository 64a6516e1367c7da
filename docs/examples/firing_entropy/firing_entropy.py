"""Firing entropy: how evenly an SAE uses its latents over the texts of a corpus.

With p_f the share of latent f in all (text, active latent) pairs, evenness is the entropy of p over log F: 1 if every
latent is active on equally many texts, 0 if one latent does all the work.
"""

from __future__ import annotations

from itertools import islice

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from sae_bench.activations.requests import PooledTexts, PooledValues, only
from sae_bench.datasets import corpus_provenance, load_corpus
from sae_bench.errors import DatasetError
from sae_bench.evals.base import SHARE, EvalContext, EvalSpec, Metric, Scores
from sae_bench.evals.families.reported import report
from sae_bench.evals.families.settings import ContextLength, CorpusName, LLMDtype, ModelName
from sae_bench.results import model as base
from sae_bench.results.references import Reference, References

EVENNESS, COVERED = "firing.evenness", "firing.covered"
NEVER_ACTIVE = "no latent is active on any of the texts"
ONE_TO_ALL = References(
    floor=Reference("one latent does all the work, or none does", 0.0),
    ceiling=Reference("every latent is active on equally many texts", 1.0),
)


@dataclass
class FiringConfig(base.BaseEvalConfig):
    model_name: ModelName = ""
    llm_dtype: LLMDtype = ""
    dataset: CorpusName = "embedded"
    n_texts: int = Field(default=500, gt=0, description="Texts that are read: the first of the corpus.")
    context_length: ContextLength = 128


class FiringMetrics(base.BaseMetrics):
    evenness: float | None = Field(default=None, description="Entropy of where latents fire, as a share of log F.")
    covered: float | None = Field(default=None, description="Share of latents that are active on at least one text.")


class FiringCategories(base.BaseMetricCategories):
    firing: FiringMetrics


class FiringOutput(base.BaseEvalOutput[FiringConfig, FiringCategories, base.BaseResultDetail]):
    eval_type_id: str = "firing_entropy"


def evenness(n_texts_F: torch.Tensor) -> float | None:
    """Entropy over log F of how many texts each latent is active on; None if none ever is."""
    share_F = n_texts_F.double() / n_texts_F.sum()
    if not n_texts_F.any() or len(n_texts_F) < 2:
        return None
    return float(torch.special.entr(share_F).sum() / torch.tensor(len(share_F)).double().log())


class FiringJob:
    """Reads a vector per text; nothing is random, and nothing is prepared that depends on an SAE."""

    def __init__(self, context: EvalContext, config: FiringConfig) -> None:
        self.datasets = {config.dataset: corpus_provenance(config.dataset, data_dir=context.data_dir)}
        texts = list(islice(load_corpus(config.dataset, data_dir=context.data_dir), config.n_texts))
        if not texts:
            raise DatasetError(f"the corpus '{config.dataset}' is empty. Next: name another in firing_entropy.dataset.")
        self.token_ids = context.lm.tokenize(texts, max_length=config.context_length)

    def requests(self, members):
        return [PooledTexts(self.token_ids, frozenset(member.key for member in members))]

    def score(self, member, served) -> Scores:
        codes = only(served, PooledValues).codes[member.key]
        n_texts_F = codes.column_sums(torch.arange(len(self.token_ids))).active_F
        even, silent = evenness(n_texts_F), not n_texts_F.any()
        return report(
            FiringCategories,
            values={EVENNESS: even, COVERED: float((n_texts_F > 0).double().mean())},
            references={EVENNESS: ONE_TO_ALL, COVERED: ONE_TO_ALL},
            reasons={EVENNESS: NEVER_ACTIVE if silent else "one latent alone has no evenness"},
            warnings=[NEVER_ACTIVE] if silent else [],
        )


SPEC = EvalSpec(
    name="firing_entropy",
    title="Firing entropy",
    summary="How evenly an SAE uses its latents, and how many of them it uses at all.",
    protocol="firing_entropy-1",
    config=FiringConfig,
    output=FiringOutput,
    metrics=(
        Metric(EVENNESS, "Evenness", True, bounds=SHARE),
        Metric(COVERED, "Latents used", True, bounds=SHARE),
    ),
    cost="one pass over the texts",
    start=FiringJob,
    embedded={"dataset": "embedded"},
    presets={"quick": {"n_texts": 100}},
)
