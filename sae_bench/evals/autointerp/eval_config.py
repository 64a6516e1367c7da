"""Settings of autointerp."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_serializer, model_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import CorpusName, LLMBatchSize, LLMDtype, ModelName, RandomSeed, option
from sae_bench.results.model import BaseEvalConfig

JudgeKind = Literal["openai", "local", "none"]
JudgeScoring = Literal["list", "logprob"]
Embeddings = Literal["minilm", "none"]
ROW_TOKENS = 4096
"""Tokens that are encoded at once, where no batch size is given."""


@dataclass(config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class AutoInterpEvalConfig(BaseEvalConfig):
    """Settings of autointerp; the defaults are the published ones."""

    model_name: ModelName = ""
    n_latents: int | None = option(
        1000, "How many live latents are drawn; all of them where there are fewer.", title="Number of Latents", ge=1
    )
    override_latents: list[int] | None = option(
        None, "Take these latents, live or not, instead of drawing n_latents.", min_length=1
    )
    dead_latent_threshold: float = option(
        15, "A latent is live if it is active on more tokens than this, counted per total_tokens tokens.", ge=0
    )
    random_seed: RandomSeed = Field(
        default=42, description="Seed that draws the latents, and everything else where a run names no other seeds."
    )
    dataset_name: CorpusName = Field(
        default="monology/pile-uncopyrighted", description="Corpus that examples come from."
    )
    llm_context_size: int = option(128, "Tokens of a packed row of the corpus.", title="LLM Context Size", ge=3)
    llm_batch_size: LLMBatchSize = Field(default=None, description="Rows read at once; null chooses by size of a row.")
    llm_dtype: LLMDtype = ""
    buffer: int = option(
        10, "Tokens shown on either side of the token that an example is about.", title="Buffer Size", ge=1
    )
    no_overlap: bool = option(True, "No two top examples within `buffer` tokens of one another in the same row.")
    act_threshold_frac: float = option(
        0.01,
        "A token counts as active above this share of the largest activation in the top examples.",
        title="Activation Threshold Fraction",
        ge=0,
        lt=1,
    )
    total_tokens: int = option(2_000_000, "Tokens of the corpus that are read.", ge=1, le=2_000_000_000)
    scoring: bool = option(True, "Whether explanations are scored, or only asked for.")
    max_tokens_in_explanation: int = option(
        30, "Most tokens that the judge may use for an explanation.", title="Max Tokens in Explanation", ge=1
    )
    use_demos_in_explanation: bool = option(
        True, "Whether the request for an explanation shows a few explanations.", title="Use Demos in Explanation"
    )
    n_top_ex_for_generation: int = option(
        10,
        "Examples of highest activation that an explanation is made from.",
        title="Number of Top Examples for Generation",
        ge=1,
    )
    n_iw_sampled_ex_for_generation: int = option(
        5,
        "Further examples for it, drawn below the top ones in proportion to the squared activation.",
        title="Number of IW Sampled Examples for Generation",
        ge=0,
    )
    n_top_ex_for_scoring: int = option(
        2,
        "Examples of highest activation, others than those explained, among those to be told apart.",
        title="Number of Top Examples for Scoring",
        ge=0,
    )
    n_random_ex_for_scoring: int = option(
        10,
        "Windows from anywhere in the corpus among those to be told apart.",
        title="Number of Random Examples for Scoring",
        ge=0,
    )
    n_iw_sampled_ex_for_scoring: int = option(
        2,
        "Further activating examples, drawn as above, among those to be told apart.",
        title="Number of IW Sampled Examples for Scoring",
        ge=0,
    )
    max_judged_latents: int | None = option(
        None,
        "Ask the judge about at most this many of the latents; null asks about all. The judge-free score "
        "always takes all.",
        ge=1,
    )
    embeddings: Embeddings = option(
        "minilm", "Sentence embeddings of the judge-free score: minilm (all-MiniLM-L6-v2 from a package) or none."
    )
    judge: JudgeKind = option(
        "openai",
        "openai: any endpoint that speaks OpenAI's chat completions; local: a Hugging Face model in this "
        "process; none: only the judge-free score.",
    )
    judge_model: str | None = option(
        None,
        "The judge's model; null is gpt-4o-mini at an endpoint (as published), and locally the language "
        "model that the SAEs belong to.",
    )
    judge_base_url: str | None = option(
        None,
        "Where the endpoint is, such as http://localhost:8000/v1; null takes OPENAI_BASE_URL, else OpenAI. "
        "User, password and query are used and written nowhere.",
        title="Judge Base URL",
        repr=False,
    )
    judge_scoring: JudgeScoring = option(
        "list",
        "list: the judge names the activating pieces of text, as published; logprob: it is asked yes or no "
        "about each piece, and the area under the ROC curve of its log-odds is the score (no list to parse, so small "
        "models can do it).",
    )
    judge_reasoning_tokens: int = option(
        0, "Tokens beyond the published limits of a reply, for judges that think before they answer.", ge=0
    )
    judge_temperature: float | None = option(
        None,
        "Temperature that the endpoint is asked for; null leaves it to the endpoint, as published. A local "
        "judge always takes the likeliest token.",
        ge=0,
    )
    judge_concurrency: int = option(10, "Questions that an endpoint is asked at a time.", ge=1)
    judge_requests_per_minute: int | None = option(
        None, "Rate limit of the endpoint; null is none.", title="Judge Requests per Minute", ge=1
    )
    judge_tokens_per_minute: int | None = option(
        None, "Rate limit of the endpoint in tokens, in and out; null is none.", title="Judge Tokens per Minute", ge=1
    )
    judge_timeout: float = option(60.0, "Seconds that one request may take.", gt=0)
    judge_max_retries: int = option(
        8,
        "How often a request is repeated that met a rate limit, an error of the server or a broken "
        "connection; the pause grows each time.",
        ge=0,
    )
    judge_cache: str | None = option(
        None,
        "Folder that keeps every reply, so that no question is paid for twice; null is sae_bench/judge in "
        "the user's cache folder.",
    )

    def __post_init__(self) -> None:
        """Latents that are named decide how many there are."""
        super().__post_init__()
        if self.override_latents is not None:
            object.__setattr__(self, "n_latents", len(self.override_latents))

    @property
    def latents(self) -> list[int] | None:
        """The latents that are named, as published scripts read them."""
        return self.override_latents

    @model_validator(mode="after")
    def _check(self) -> AutoInterpEvalConfig:
        if self.n_latents is None and self.override_latents is None:
            raise ValueError("give n_latents, or name latents in override_latents.")
        if self.override_latents is not None and len(set(self.override_latents)) < len(self.override_latents):
            raise ValueError("override_latents names a latent twice.")
        if self.override_latents is not None and min(self.override_latents) < 0:
            raise ValueError("override_latents holds a negative number.")
        if self.llm_context_size <= 2 * self.buffer:
            raise ValueError(
                f"a row of {self.llm_context_size} tokens has no room for {self.buffer} tokens on both sides; "
                "raise llm_context_size or lower buffer."
            )
        if self.n_correct_for_scoring == 0 or self.n_random_ex_for_scoring == 0:
            raise ValueError("scoring needs at least one activating and one random example.")
        if self.judge == "none" and self.embeddings == "none":
            raise ValueError("judge and embeddings are both none: nothing to score with.")
        return self

    @field_serializer("judge_base_url")
    def _without_credentials(self, url: str | None) -> str | None:
        from sae_bench.judges.credentials import public_address  # loads torch, which reading a declaration need not

        return None if url is None else public_address(url)

    @property
    def n_top_ex(self) -> int:
        """Top examples for both phases."""
        return self.n_top_ex_for_generation + self.n_top_ex_for_scoring

    @property
    def n_iw_sampled_ex(self) -> int:
        """Importance-weighted examples for both phases."""
        return self.n_iw_sampled_ex_for_generation + self.n_iw_sampled_ex_for_scoring

    @property
    def n_ex_for_generation(self) -> int:
        """Examples that an explanation is made from."""
        return self.n_top_ex_for_generation + self.n_iw_sampled_ex_for_generation

    @property
    def n_ex_for_scoring(self) -> int:
        """Examples to be told apart."""
        return self.n_correct_for_scoring + self.n_random_ex_for_scoring

    @property
    def n_correct_for_scoring(self) -> int:
        """Activating ones among them."""
        return self.n_top_ex_for_scoring + self.n_iw_sampled_ex_for_scoring

    @property
    def max_tokens_in_prediction(self) -> int:
        """Room for every number with its comma."""
        return 2 * self.n_ex_for_scoring + 5

    @property
    def n_rows(self) -> int:
        """Rows of the corpus: the published count, which reads a little more than `total_tokens`."""
        return (self.total_tokens + self.llm_context_size + 1) // self.llm_context_size

    @property
    def rows_at_once(self) -> int:
        """Rows of the corpus that the language model reads at once."""
        return self.llm_batch_size or max(1, ROW_TOKENS // self.llm_context_size)

    def batch_taken(self, limit_of_pass: int) -> int:
        """Rows have a size of their own."""
        del limit_of_pass
        return self.rows_at_once
