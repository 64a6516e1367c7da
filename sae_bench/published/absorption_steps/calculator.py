"""Absorption of single words with the latents that take part, under its published names.

N words, F latents, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.evals.absorption.absorption_scores import (
    ABSORBER_MIN_COSINE,
    FULL_MIN_COSINE,
    MAX_ABSORBERS,
    MIN_SHARE,
    SILENT_BELOW,
    is_fully_absorbed,
    probe_cosines,
    thresholded_fraction,
)
from sae_bench.published.absorption_prompting import (
    Formatter,
    SpellingPrompt,
    create_icl_prompt,
    first_letter_formatter,
)
from sae_bench.published.absorption_steps.reading import PromptReader, layer_hook

EPS = SILENT_BELOW


@dataclass
class FeatureScore:
    """A latent on a word.

    Attributes:
        activation: its code.
        probe_cos_sim: cosine of its decoder direction with the probe.
    """

    feature_id: int
    activation: float
    probe_cos_sim: float

    @property
    def probe_projection(self) -> float:
        """What it adds to the word's projection on the probe."""
        return self.activation * self.probe_cos_sim


@dataclass
class WordAbsorptionResult:
    """Absorption of one word.

    Attributes:
        main_feature_scores: of the letter's own latents, in the order in which they were given.
        top_projection_feature_scores: of the latents that add most, from the most on.
    """

    word: str
    prompt: str
    probe_projection: float
    """Of the word's activation on the unit probe."""
    main_feature_scores: list[FeatureScore]
    top_projection_feature_scores: list[FeatureScore]
    absorption_fraction: float
    is_full_absorption: bool


@dataclass
class AbsorptionResults:
    """The words of one letter, and the latents that are its own."""

    main_feature_ids: list[int]
    word_results: list[WordAbsorptionResult]


@dataclass
class FeatureAbsorptionCalculator:
    """Measures how much of a letter other latents carry, word by word; definitions are those of the eval.

    Attributes:
        model: see `PromptReader`.
        icl_word_list: words that prompts take their examples from.
        max_icl_examples, base_template, answer_formatter, example_separator, shuffle_examples,
            prepend_separator_to_first_example: as in `create_icl_prompt`.
        word_token_pos: the token of the prompt that is read, from its end.
        batch_size: prompts at once.
        topk_feats: latents listed per word.
        full_absorption_probe_cos_sim_threshold: least cosine of a latent that absorbs alone.
        absorption_fraction_probe_cos_sim_threshold: least cosine of one that absorbs among others.
        probe_projection_proportion_threshold: least share of the projection that absorbing latents carry.
        absorption_fraction_max_absorbing_latents: most latents that absorb together.
    """

    model: Any
    icl_word_list: list[str]
    max_icl_examples: int | None = None
    base_template: str = "{word}:"
    answer_formatter: Formatter = field(default_factory=first_letter_formatter)
    example_separator: str = "\n"
    shuffle_examples: bool = True
    prepend_separator_to_first_example: bool = True
    word_token_pos: int = -2
    batch_size: int = 10
    topk_feats: int = 10
    full_absorption_probe_cos_sim_threshold: float = FULL_MIN_COSINE
    absorption_fraction_probe_cos_sim_threshold: float = ABSORBER_MIN_COSINE
    probe_projection_proportion_threshold: float = MIN_SHARE
    absorption_fraction_max_absorbing_latents: int = MAX_ABSORBERS

    @torch.no_grad()
    def calculate_absorption(
        self,
        sae: Any,
        words: Sequence[str],
        probe_direction: Tensor,
        main_feature_ids: list[int],
        layer: int,
        show_progress: bool = True,
    ) -> AbsorptionResults:
        """Ask about each word, and see which latents carry its letter.

        Args:
            words: of one letter; all prompts must have the same number of tokens.
            probe_direction: of the letter's probe, (D,), of any length.
            main_feature_ids: the latents that are the letter's own.
            layer: whose residual stream is read.
        Raises:
            UsageError: the direction is no vector, or prompts differ in length.
        """
        del show_progress
        if probe_direction.ndim != 1:
            raise UsageError(
                f"the probe's direction has the shape {tuple(probe_direction.shape)}; one vector is needed."
            )
        prompts = self._build_prompts(words)
        self._validate_prompts_are_same_length(prompts)
        reader = PromptReader(self.model)
        texts = [prompt.base for prompt in prompts]
        x_ND = reader.read(texts, layer_hook(layer), self.word_token_pos, self.batch_size).to(sae.W_dec)
        unit_D = torch.nn.functional.normalize(probe_direction.to(sae.W_dec), dim=0)
        cosine_F = probe_cosines(sae.W_dec, unit_D[:, None])[:, 0]
        results: list[WordAbsorptionResult] = []
        for start in range(0, len(prompts), self.batch_size):
            batch = slice(start, start + self.batch_size)
            codes_BF, projection_B = sae.encode(x_ND[batch]).float(), (x_ND[batch] @ unit_D).float()
            results += self._batch_results(prompts[batch], codes_BF, projection_B, cosine_F, main_feature_ids)
        return AbsorptionResults(main_feature_ids, results)

    def _batch_results(
        self,
        prompts: Sequence[SpellingPrompt],
        codes_BF: Float[Tensor, "B F"],
        projection_B: Float[Tensor, " B"],
        cosine_F: Float[Tensor, " F"],
        own: list[int],
    ) -> list[WordAbsorptionResult]:
        share_BF, cosine_BF = codes_BF * cosine_F, cosine_F.expand_as(codes_BF)
        is_own_BF = torch.zeros_like(codes_BF, dtype=torch.bool)
        is_own_BF[:, own] = True
        min_share = self.probe_projection_proportion_threshold
        fraction_B = thresholded_fraction(
            share_BF[:, own].sum(dim=1), share_BF, cosine_BF, is_own_BF, projection_B,
            min_cosine=self.absorption_fraction_probe_cos_sim_threshold, min_share=min_share,
            max_absorbers=self.absorption_fraction_max_absorbing_latents,
        ).tolist()  # fmt: skip
        full_B = is_fully_absorbed(
            codes_BF, share_BF, cosine_BF, is_own_BF, projection_B,
            min_cosine=self.full_absorption_probe_cos_sim_threshold, min_share=min_share,
        ).tolist()  # fmt: skip
        strongest_BK = share_BF.topk(min(self.topk_feats, share_BF.shape[1]), dim=1).indices.tolist()

        def scores(word: int, latents: Sequence[int]) -> list[FeatureScore]:
            return [FeatureScore(k, codes_BF[word, k].item(), cosine_F[k].item()) for k in latents]

        return [
            WordAbsorptionResult(
                prompt.word, prompt.base, projection_B[i].item(), scores(i, own), scores(i, strongest_BK[i]),
                fraction_B[i], full_B[i],
            )
            for i, prompt in enumerate(prompts)
        ]  # fmt: skip

    def _build_prompts(self, words: Sequence[str]) -> list[SpellingPrompt]:
        return [
            create_icl_prompt(
                word, self.icl_word_list, self.base_template, self.example_separator, self.answer_formatter,
                self.max_icl_examples, self.shuffle_examples,
                prepend_separator_to_first_example=self.prepend_separator_to_first_example,
            )
            for word in words
        ]  # fmt: skip

    def _validate_prompts_are_same_length(self, prompts: Sequence[SpellingPrompt]) -> None:
        lengths = set(PromptReader(self.model).lengths([prompt.base for prompt in prompts]))
        if len(lengths) > 1:
            raise UsageError(f"prompts have {sorted(lengths)} tokens; ask about words and examples of as many tokens.")
