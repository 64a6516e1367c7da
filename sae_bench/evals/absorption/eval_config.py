"""Settings of absorption."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMBatchSize, LLMDtype, ModelName, RandomSeed
from sae_bench.results.model import BaseEvalConfig

WORD = "{word}"
PROMPTS_AT_ONCE = 256


@dataclass
class AbsorptionEvalConfig(BaseEvalConfig):
    """Settings of absorption; the defaults are the published ones."""

    model_name: ModelName = Field(
        default="", description="Language model; filled in by the run. Models below 2B parameters may know few letters."
    )
    random_seed: RandomSeed = Field(
        default=42,
        description="Seed of the words and in-context examples, and of splits and probes where a run names no seeds.",
    )
    f1_jump_threshold: float = Field(
        default=0.03,
        title="F1 Jump Threshold",
        description="A further latent counts as a split of the letter's feature if F1 rises by more than this.",
    )
    max_k_value: int = Field(
        default=10, title="Max K Value", description="Sparse probes read 1 to this many latents.", ge=1
    )
    prompt_template: str = Field(
        default="{word} has the first letter:",
        title="Prompt Template",
        description="What is asked about a word; holds {word} once. The answer follows after a space.",
    )
    prompt_token_pos: int = Field(
        default=-6,
        title="Prompt Token Position",
        description="Kept for published scripts; the word's token is found by the tokenizer's offsets.",
    )
    llm_batch_size: LLMBatchSize = Field(
        default=None,
        description="Largest number of prompts that the language model reads at once; null chooses by device.",
    )
    llm_dtype: LLMDtype = "float32"
    k_sparse_probe_l1_decay: float = Field(
        default=0.01,
        title="K-Sparse Probe L1 Decay",
        description="L1 penalty of the probe that ranks the latents of each letter.",
        ge=0,
    )
    k_sparse_probe_batch_size: int = Field(
        default=4096,
        title="K-Sparse Probe Batch Size",
        description="Words in a training step of the probe that ranks the latents.",
        ge=1,
    )
    k_sparse_probe_num_epochs: int = Field(
        default=50,
        title="K-Sparse Probe Number of Epochs",
        description="Epochs of the probe that ranks the latents.",
        ge=1,
    )
    min_GT_probe_f1: float = Field(
        default=0.0,
        title="Minimum Letter Probe F1",
        description="Letters whose probe has a test F1 of at most this are left out of the means (0.6.0: 0.6).",
        ge=0,
        le=1,
    )
    min_feats_for_eval: int = Field(
        default=1,
        title="Minimum Number of Letters",
        description="With fewer letters than this left the scores are null; sae-bench 0.6.0: 20.",
        ge=1,
    )
    eval_k_sparse_probe_batch_size: int = Field(
        default=24,
        title="Eval K-Sparse Probe Batch Size",
        description="Kept for published scripts; every word is encoded once, in batches of its own.",
        ge=1,
    )
    precalc_k_sparse_probe_sae_acts: bool = Field(
        default=False,
        title="Precalculate SAE Activations",
        description="Kept for published scripts; every word is encoded once in any case.",
    )
    max_words: int | None = Field(
        default=None,
        title="Max Words",
        description="At most this many words, shared among the letters as evenly as they allow; null takes all.",
        ge=1,
    )
    max_icl_examples: int = Field(
        default=10,
        title="In-Context Examples",
        description="Solved examples before a word.",
        ge=1,
    )
    words_per_examples: int = Field(
        default=1,
        title="Words per Draw of Examples",
        description=(
            "Words that follow the same in-context examples, which the model then reads once for all of them. 1 draws "
            "examples for every word, as published; more cost up to twenty times less."
        ),
        ge=1,
        le=256,
    )
    min_words_per_letter: int = Field(
        default=20,
        title="Minimum Words per Letter",
        description="Letters with fewer words are left out and named in the warnings; their words stay as negatives.",
        ge=5,
    )

    @field_validator("prompt_template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if template.count(WORD) != 1 or template.replace(WORD, "").count("{"):
            raise ValueError(f"prompt_template must hold {WORD} once and no other brace, got {template!r}.")
        return template

    def batch_taken(self, limit_of_pass: int) -> int:
        """Prompts have a limit of their own."""
        del limit_of_pass
        return PROMPTS_AT_ONCE
