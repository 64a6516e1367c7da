"""Settings of autointerp."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_serializer, model_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import CorpusName, LLMBatchSize, LLMDtype, ModelName, RandomSeed
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
    n_latents: int | None = Field(
        default=1000,
        title="Number of Latents",
        description="How many live latents are drawn; all of them where there are fewer.",
        ge=1,
    )
    override_latents: list[int] | None = Field(
        default=None,
        title="Override Latents",
        description="Take these latents, live or not, instead of drawing n_latents.",
        min_length=1,
    )
    dead_latent_threshold: float = Field(
        default=15,
        title="Dead Latent Threshold",
        description="A latent is live if it is active on more tokens than this, counted per total_tokens tokens.",
        ge=0,
    )
    random_seed: RandomSeed = Field(
        default=42, description="Seed that draws the latents, and everything else where a run names no other seeds."
    )
    dataset_name: CorpusName = Field(
        default="monology/pile-uncopyrighted", description="Corpus that examples come from."
    )
    llm_context_size: int = Field(
        default=128, title="LLM Context Size", description="Tokens of a packed row of the corpus.", ge=3
    )
    llm_batch_size: LLMBatchSize = Field(default=None, description="Rows read at once; null chooses by size of a row.")
    llm_dtype: LLMDtype = ""
    buffer: int = Field(
        default=10,
        title="Buffer Size",
        description="Tokens shown on either side of the token that an example is about.",
        ge=1,
    )
    no_overlap: bool = Field(
        default=True,
        title="No Overlap",
        description="No two top examples within `buffer` tokens of one another in the same row.",
    )
    act_threshold_frac: float = Field(
        default=0.01,
        title="Activation Threshold Fraction",
        description="A token counts as active above this share of the largest activation in the top examples.",
        ge=0,
        lt=1,
    )
    total_tokens: int = Field(
        default=2_000_000,
        title="Total Tokens",
        description="Tokens of the corpus that are read.",
        ge=1,
        le=2_000_000_000,
    )
    scoring: bool = Field(
        default=True, title="Scoring", description="Whether explanations are scored, or only asked for."
    )
    max_tokens_in_explanation: int = Field(
        default=30,
        title="Max Tokens in Explanation",
        description="Most tokens that the judge may use for an explanation.",
        ge=1,
    )
    use_demos_in_explanation: bool = Field(
        default=True,
        title="Use Demos in Explanation",
        description="Whether the request for an explanation shows a few explanations.",
    )
    n_top_ex_for_generation: int = Field(
        default=10,
        title="Number of Top Examples for Generation",
        description="Examples of highest activation that an explanation is made from.",
        ge=1,
    )
    n_iw_sampled_ex_for_generation: int = Field(
        default=5,
        title="Number of IW Sampled Examples for Generation",
        description="Further examples for it, drawn below the top ones in proportion to the squared activation.",
        ge=0,
    )
    n_top_ex_for_scoring: int = Field(
        default=2,
        title="Number of Top Examples for Scoring",
        description="Examples of highest activation, others than those explained, among those to be told apart.",
        ge=0,
    )
    n_random_ex_for_scoring: int = Field(
        default=10,
        title="Number of Random Examples for Scoring",
        description="Windows from anywhere in the corpus among those to be told apart.",
        ge=0,
    )
    n_iw_sampled_ex_for_scoring: int = Field(
        default=2,
        title="Number of IW Sampled Examples for Scoring",
        description="Further activating examples, drawn as above, among those to be told apart.",
        ge=0,
    )
    max_judged_latents: int | None = Field(
        default=None,
        title="Max Judged Latents",
        description="Ask the judge about at most this many of the latents; null asks about all. The judge-free score "
        "always takes all.",
        ge=1,
    )
    embeddings: Embeddings = Field(
        default="minilm",
        title="Embeddings",
        description="Sentence embeddings of the judge-free score: minilm (all-MiniLM-L6-v2 from a package) or none.",
    )
    judge: JudgeKind = Field(
        default="openai",
        title="Judge",
        description="openai: any endpoint that speaks OpenAI's chat completions; local: a Hugging Face model in this "
        "process; none: only the judge-free score.",
    )
    judge_model: str | None = Field(
        default=None,
        title="Judge Model",
        description="The judge's model; null is gpt-4o-mini at an endpoint (as published), and locally the language "
        "model that the SAEs belong to.",
    )
    judge_base_url: str | None = Field(
        default=None,
        title="Judge Base URL",
        description="Where the endpoint is, such as http://localhost:8000/v1; null takes OPENAI_BASE_URL, else OpenAI. "
        "User, password and query are used and written nowhere.",
        repr=False,
    )
    judge_scoring: JudgeScoring = Field(
        default="list",
        title="Judge Scoring",
        description="list: the judge names the activating pieces of text, as published; logprob: it is asked yes or no "
        "about each piece, and the area under the ROC curve of its log-odds is the score (no list to parse, so small "
        "models can do it).",
    )
    judge_reasoning_tokens: int = Field(
        default=0,
        title="Judge Reasoning Tokens",
        description="Tokens beyond the published limits of a reply, for judges that think before they answer.",
        ge=0,
    )
    judge_temperature: float | None = Field(
        default=None,
        title="Judge Temperature",
        description="Temperature that the endpoint is asked for; null leaves it to the endpoint, as published. A local "
        "judge always takes the likeliest token.",
        ge=0,
    )
    judge_concurrency: int = Field(
        default=10, title="Judge Concurrency", description="Questions that an endpoint is asked at a time.", ge=1
    )
    judge_requests_per_minute: int | None = Field(
        default=None, title="Judge Requests per Minute", description="Rate limit of the endpoint; null is none.", ge=1
    )
    judge_tokens_per_minute: int | None = Field(
        default=None,
        title="Judge Tokens per Minute",
        description="Rate limit of the endpoint in tokens, in and out; null is none.",
        ge=1,
    )
    judge_timeout: float = Field(
        default=60.0, title="Judge Timeout", description="Seconds that one request may take.", gt=0
    )
    judge_max_retries: int = Field(
        default=8,
        title="Judge Max Retries",
        description="How often a request is repeated that met a rate limit, an error of the server or a broken "
        "connection; the pause grows each time.",
        ge=0,
    )
    judge_cache: str | None = Field(
        default=None,
        title="Judge Cache",
        description="Folder that keeps every reply, so that no question is paid for twice; null is sae_bench/judge in "
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
