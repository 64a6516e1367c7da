"""Settings of absorption."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMBatchSize, LLMDtype, ModelName, RandomSeed, option
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
    f1_jump_threshold: float = option(
        0.03, "A further latent counts as a split of the letter's feature if F1 rises by more than this."
    )
    max_k_value: int = option(10, "Sparse probes read 1 to this many latents.", ge=1)
    prompt_template: str = option(
        "{word} has the first letter:",
        "What is asked about a word; holds {word} once. The answer follows after a space.",
    )
    prompt_token_pos: int = option(
        -6,
        "Kept for published scripts; the word's token is found by the tokenizer's offsets.",
        title="Prompt Token Position",
    )
    llm_batch_size: LLMBatchSize = Field(
        default=None,
        description="Largest number of prompts that the language model reads at once; null chooses by device.",
    )
    llm_dtype: LLMDtype = "float32"
    k_sparse_probe_l1_decay: float = option(
        0.01, "L1 penalty of the probe that ranks the latents of each letter.", title="K-Sparse Probe L1 Decay", ge=0
    )
    k_sparse_probe_batch_size: int = option(
        4096, "Words in a training step of the probe that ranks the latents.", title="K-Sparse Probe Batch Size", ge=1
    )
    k_sparse_probe_num_epochs: int = option(
        50, "Epochs of the probe that ranks the latents.", title="K-Sparse Probe Number of Epochs", ge=1
    )
    min_GT_probe_f1: float = option(
        0.0,
        "Letters whose probe has a test F1 of at most this are left out of the means (0.6.0: 0.6).",
        title="Minimum Letter Probe F1",
        ge=0,
        le=1,
    )
    min_feats_for_eval: int = option(
        1,
        "With fewer letters than this left the scores are null; sae-bench 0.6.0: 20.",
        title="Minimum Number of Letters",
        ge=1,
    )
    eval_k_sparse_probe_batch_size: int = option(
        24,
        "Kept for published scripts; every word is encoded once, in batches of its own.",
        title="Eval K-Sparse Probe Batch Size",
        ge=1,
    )
    precalc_k_sparse_probe_sae_acts: bool = option(
        False,
        "Kept for published scripts; every word is encoded once in any case.",
        title="Precalculate SAE Activations",
    )
    max_words: int | None = option(
        None, "At most this many words, shared among the letters as evenly as they allow; null takes all.", ge=1
    )
    max_icl_examples: int = option(10, "Solved examples before a word.", title="In-Context Examples", ge=1)
    words_per_examples: int = option(
        1,
        "Words that follow the same in-context examples, which the model then reads once for all of them. 1 draws "
        "examples for every word, as published; more cost up to twenty times less.",
        title="Words per Draw of Examples",
        ge=1,
        le=256,
    )
    min_words_per_letter: int = option(
        20,
        "Letters with fewer words are left out and named in the warnings; their words stay as negatives.",
        title="Minimum Words per Letter",
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
