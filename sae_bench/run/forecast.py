"""What a run takes, as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sae_bench.judges.pricing import Estimate
from sae_bench.run import planner


@dataclass(frozen=True)
class EvalForecast:
    """One eval on one model.

    Attributes:
        n_saes: how many lack a result.
        tokens: of its texts in the pass, those that it shares with others included.
        prepare_seconds, score_seconds: once, and per SAE; None if no result of it tells.
        at_once: how many SAEs are scored at the same time.
        judge: what its judge reads and writes for all SAEs; None if it asks none, or a local one.
    """

    name: str
    n_saes: int
    tokens: int
    prepare_seconds: float | None = None
    score_seconds: float | None = None
    at_once: int = 1
    judge: Estimate | None = None

    @property
    def all_score_seconds(self) -> float | None:
        """Scoring all SAEs."""
        return None if self.score_seconds is None else self.score_seconds * self.n_saes / self.at_once


@dataclass(frozen=True)
class ModelForecast:
    """One model with its SAEs.

    Attributes:
        n_done: results that are there.
        load_seconds: of the model, as it was loaded just now.
        model_bytes: of its weights.
        tokens: of the pass; texts that evals share count once.
        n_texts: of those, texts that a vector is kept of: of activations, and of the codes of each SAE.
        pooled_bytes: of the activations that are kept, float32.
        tokens_per_second: what the model reads, up to the deepest hook of the SAEs.
        codes_seconds: per SAE, encoding and summing up in the pass; None if no result tells.
        units: what each worker takes, in the order in which they are handed out.
        seconds: from the start to the end with these workers; None unless all parts of it are known.
    """

    name: str
    device: str
    dtype: str
    n_saes: int
    n_done: int
    load_seconds: float
    model_bytes: int
    tokens: int
    n_texts: int
    pooled_bytes: int
    tokens_per_second: float | None
    codes_seconds: float | None
    evals: Sequence[EvalForecast]
    n_workers: int = 1
    units: Sequence[planner.Unit] = field(default_factory=tuple)
    seconds: float | None = None

    @property
    def pass_seconds(self) -> float | None:
        """One pass of the model over all texts."""
        return None if self.tokens_per_second is None else self.tokens / self.tokens_per_second

    @property
    def all_codes_seconds(self) -> float | None:
        """Encoding and summing up for all SAEs."""
        return None if self.codes_seconds is None else self.codes_seconds * self.n_saes

    @property
    def all_score_seconds(self) -> float | None:
        """Scoring all SAEs on all evals; None unless it is known of every eval."""
        seconds = [one.all_score_seconds for one in self.evals if one.n_saes]
        known = [one for one in seconds if one is not None]
        return sum(known, 0.0) if len(known) == len(seconds) else None

    @property
    def pooled_code_bytes(self) -> int:
        """Of what is kept of the codes of an SAE, per 1,000 latents, while they are dense."""
        return self.n_texts * 1000 * 4
