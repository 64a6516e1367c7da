"""ground_truth on the shared pass: samples in, activity of latents against that of known features out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.ground_truth.counts import GroundTruthConsumer
from sae_bench.evals.ground_truth.eval_config import GroundTruthEvalConfig
from sae_bench.evals.ground_truth.matching import cosines, mean_of_matching, nearest
from sae_bench.evals.ground_truth.results import score_sae
from sae_bench.language_models.synthetic.model import SyntheticModel, is_on
from sae_bench.results.samples import units_key
from sae_bench.seeding import named_generator


class GroundTruthJob:
    """ground_truth on one synthetic model."""

    def __init__(self, context: EvalContext, config: GroundTruthEvalConfig) -> None:
        if not isinstance(context.lm, SyntheticModel):
            raise UsageError(
                f"ground_truth needs a model whose features are known; '{context.lm.name}' is a language model. "
                "Next: --model synthetic:small with SAEs of its width, or leave ground_truth out."
            )
        self.lm = context.lm
        self.config = config
        self.numbers_N = self.lm.numbers(config.random_seed, config.n_samples)
        self.key = units_key(
            "ground_truth",
            (self.lm.fingerprint(), f"{config.random_seed} {config.n_samples} {config.batch_size}"),
        )
        self._mcc_floor: dict[int, float] = {}

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        described = {"samples": str(self.config.n_samples), "seed": str(self.config.random_seed)}
        return {self.lm.name: {**self.lm.origin, **described}}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        consumer = GroundTruthConsumer(
            self._on,
            lambda member: nearest(self._cosines(member)),
            n_samples=len(self.numbers_N),
            batch_size=self.config.batch_size,
            n_features=self.lm.n_features,
            reference_D=self.lm.features.bias_D,
        )
        keys = frozenset(member.key for member in members)
        return [TokenRows(self.numbers_N[:, None], self.config.batch_size, consumer, sae_keys=keys)]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        consumer = only(served, GroundTruthConsumer)
        feature_F = consumer.features[member.key]
        cosine_FG = self._cosines(member)
        cosine_F = cosine_FG[torch.arange(len(cosine_FG)), feature_F]
        return score_sae(
            consumer.inputs,
            consumer.latents[member.key],
            feature_F,
            cosine_F,
            mcc=mean_of_matching(cosine_FG),
            mcc_floor=self._floor(len(cosine_FG)),
            key=self.key,
        )

    def _cosines(self, member: Member) -> Tensor:
        return cosines(member.weights.W_dec.detach().cpu(), self.lm.features.directions_GD)

    def _floor(self, d_sae: int) -> float:
        """MCC of as many random directions as the SAE has latents."""
        if d_sae not in self._mcc_floor:
            generator = named_generator("ground_truth floor", d_sae, self.config.random_seed)
            random_FD = torch.randn(d_sae, self.lm.d_model, generator=generator)
            self._mcc_floor[d_sae] = mean_of_matching(cosines(random_FD, self.lm.features.directions_GD))
        return self._mcc_floor[d_sae]

    def _on(self, numbers_B: Int[Tensor, " B"]) -> Bool[Tensor, "B G"]:
        return torch.from_numpy(is_on(self.lm.activity(numbers_B)))
