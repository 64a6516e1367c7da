"""Do SAEs of one hook find the same latents? Directions, codes and activity of matched latents.

PW-MCC (arXiv 2505.20254) is the mean |cosine| of the matched decoder directions, over all pairs of SAEs; random
dictionaries of that shape do not get 0, so their value stands beside it and the calibrated score is relative to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import t
from torch import Tensor

from sae_bench.analysis.matching import EXACT, Matching, calibrated, match_directions, null_score
from sae_bench.custom_saes.interface import SparseCodes, encode_tokens
from sae_bench.custom_saes.loading import Member

FILE_NAME = "consistency.json"
SHARED = 0.7
"""Two latents are the same from this |cosine| on (Paulo and Belrose, arXiv 2501.16615)."""

MIN_RUNS = 5
"""Runs below which nothing is said of how far others would be off."""

FREQUENCIES = (0.0, 0.001, 0.01, 0.1, 1.0)
_CODES_AT_ONCE = 2**22


class FrequencyBand(BaseModel):
    """Overlap of activity among matched latents that are about as frequent."""

    model_config = ConfigDict(frozen=True)

    above: float = Field(description="The more frequent of the two is active on more than this share of tokens.")
    up_to: float = Field(description="And on at most this share.")
    n_latents: int = Field(description="Matched pairs in this band.")
    activity_iou: float | None = Field(description="Mean overlap of their activity; null without any pair.")


class PairConsistency(BaseModel):
    """Two SAEs of one hook."""

    model_config = ConfigDict(frozen=True)

    a: str = Field(description="First SAE, as release:id.")
    b: str = Field(description="Second SAE.")
    pw_mcc: float = Field(description="Mean |cosine| of matched decoder directions.")
    null: float = Field(description="The same for random dictionaries of these shapes.")
    calibrated: float = Field(description="(pw_mcc - null) / (1 - null).")
    shared: float = Field(description="Share of the smaller dictionary's latents with a match above |cosine| 0.7.")
    code_correlation: float | None = Field(description="Mean correlation of matched latents' codes, signed as cosines.")
    activity_iou: float | None = Field(description="Mean over matched latents of tokens with both over with either.")
    by_frequency: list[FrequencyBand] = Field(default_factory=list, description="The overlap by frequency.")
    n_matched: int = Field(description="Matched pairs of latents.")
    n_silent: int = Field(description="Of these, pairs of which neither was active: they count in no agreement.")
    within_candidates: bool = Field(description="Whether the match was looked for among the most similar only.")


class Consistency(BaseModel):
    """How far the SAEs of one hook agree."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="Name of the language model.")
    hook: str = Field(description="Where the SAEs sit.")
    saes: list[str] = Field(description="SAEs, as release:id.")
    pw_mcc: float = Field(description="Mean over all pairs.")
    null: float = Field(description="Mean over all pairs of the value of random dictionaries.")
    calibrated: float = Field(description="Mean over all pairs; 1 for equal dictionaries, 0 for random ones.")
    ci_low: float | None = Field(default=None, description="Lower end of the interval of `calibrated` over runs.")
    ci_high: float | None = Field(default=None, description="Upper end of that interval.")
    reason: str | None = Field(default=None, description="Why there is no interval.")
    shared: float = Field(description="Mean share of latents with a match above |cosine| 0.7.")
    code_correlation: float | None = Field(description="Mean correlation of matched latents' codes.")
    activity_iou: float | None = Field(description="Mean overlap of matched latents' activity.")
    n_tokens: int = Field(description="Held-out tokens on which codes were compared.")
    corpus: str = Field(default="", description="What these tokens are of.")
    pairs: list[PairConsistency] = Field(description="Every pair of SAEs.")
    sentence: str = Field(description="The same in words.")


class Consistencies(BaseModel):
    """The file beside the results: one entry per hook."""

    hooks: list[Consistency] = Field(description="SAEs of one hook each.")


def read_consistency(folder: Path) -> Consistencies | None:
    """What `compare --consistency` wrote into a folder of results; None if nothing.

    Raises:
        ValueError: the file is broken.
    """
    path = folder / FILE_NAME
    return Consistencies.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


@torch.no_grad()
def consistency_of(
    members: Sequence[Member], batches: Iterable[Float[Tensor, "_ D"]], *, model: str, corpus: str = ""
) -> Consistency:
    """How far SAEs agree that sit at one hook.

    Args:
        members: two or more SAEs of the hook, loaded.
        batches: activations at the hook on text that no SAE was trained on.
        model, corpus: names, for the record.
    """
    directions = [member.weights.W_dec for member in members]
    places = list(combinations(range(len(members)), 2))
    matchings = [match_directions(directions[i], directions[j]) for i, j in places]
    sums = [_PairSums.of(matching) for matching in matchings]
    n_tokens = 0
    for x_ND in batches:
        for part in x_ND.split(max(1, _CODES_AT_ONCE // max(len(W) for W in directions))):
            codes = [_dense(encode_tokens(member.sae, part)) for member in members]
            n_tokens += len(part)
            for (i, j), of_pair in zip(places, sums, strict=True):
                of_pair.add(codes[i], codes[j])
    names = [f"{member.release}:{member.sae_id}" for member in members]
    pairs = [
        _pair(names[i], names[j], matching, of_pair, (len(directions[i]), *directions[j].shape), n_tokens)
        for (i, j), matching, of_pair in zip(places, matchings, sums, strict=True)
    ]
    low, high, reason = _interval(members, places, [pair.calibrated for pair in pairs])
    return Consistency(
        model=model, hook=members[0].place, saes=names, n_tokens=n_tokens, corpus=corpus, pairs=pairs, ci_low=low,
        ci_high=high, reason=reason, sentence=_sentence(pairs, low, high),
        **{name: _mean([getattr(pair, name) for pair in pairs]) for name in _AVERAGED},
    )  # fmt: skip


_AVERAGED = ("pw_mcc", "null", "calibrated", "shared", "code_correlation", "activity_iou")


@dataclass
class _PairSums:
    """Sums over tokens of the codes a and b of M matched latents, b signed as the directions' cosine."""

    first_M: Tensor
    second_M: Tensor
    sign_M: Tensor
    moments_5M: Tensor = field(repr=False)
    counts_3M: Tensor = field(repr=False)

    @classmethod
    def of(cls, matching: Matching) -> _PairSums:
        n = len(matching.first_M)
        return cls(
            torch.as_tensor(matching.first_M),
            torch.as_tensor(matching.second_M),
            torch.as_tensor(np.where(matching.cosine_M < 0, -1.0, 1.0)),
            torch.zeros(5, n, dtype=torch.float64),
            torch.zeros(3, n, dtype=torch.int64),
        )

    def add(self, first_NF: Tensor, second_NG: Tensor) -> None:
        a_NM = first_NF[:, self.first_M].cpu().double()
        b_NM = second_NG[:, self.second_M].cpu().double() * self.sign_M
        sums = (a_NM.sum(0), b_NM.sum(0), (a_NM**2).sum(0), (b_NM**2).sum(0), (a_NM * b_NM).sum(0))
        self.moments_5M += torch.stack(sums)
        on_a, on_b = a_NM != 0, b_NM != 0
        self.counts_3M += torch.stack([on_a.sum(0), on_b.sum(0), (on_a & on_b).sum(0)])

    def correlation(self, n_tokens: int) -> Float[np.ndarray, " M"]:
        """Of each pair; 0 where only one of the two varies, NaN where neither does."""
        a, b, aa, bb, ab = (self.moments_5M / max(n_tokens, 1)).numpy()
        variance_a, variance_b = np.maximum(aa - a * a, 0.0), np.maximum(bb - b * b, 0.0)
        varies_a, varies_b = variance_a > 1e-9 * aa, variance_b > 1e-9 * bb
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = (ab - a * b) / np.sqrt(variance_a * variance_b)
        return np.where(varies_a & varies_b, correlation, np.where(varies_a | varies_b, 0.0, np.nan))

    def overlap(self) -> Float[np.ndarray, " M"]:
        """Tokens on which both are active, over those on which either is; NaN where neither ever is."""
        a, b, both = self.counts_3M.double().numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            return both / (a + b - both)

    def frequency(self, n_tokens: int) -> Float[np.ndarray, " M"]:
        """Of the more frequent one of each pair."""
        return self.counts_3M[:2].amax(dim=0).double().numpy() / max(n_tokens, 1)


def _pair(
    a: str, b: str, matching: Matching, sums: _PairSums, shape: tuple[int, int, int], n_tokens: int
) -> PairConsistency:
    null = null_score(*shape)
    overlap_M, frequency_M = sums.overlap(), sums.frequency(n_tokens)
    bands = [
        FrequencyBand(above=low, up_to=high, n_latents=int(inside.sum()), activity_iou=_mean(overlap_M[inside]))
        for low, high in pairwise(FREQUENCIES)
        for inside in [(frequency_M > low) & (frequency_M <= high)]
    ]
    return PairConsistency(
        a=a, b=b, pw_mcc=matching.score, null=null, calibrated=calibrated(matching.score, null),
        shared=float((np.abs(matching.cosine_M) > SHARED).mean()),
        code_correlation=_mean(sums.correlation(n_tokens)), activity_iou=_mean(overlap_M), by_frequency=bands,
        n_matched=len(matching.cosine_M), n_silent=int(np.isnan(overlap_M).sum()),
        within_candidates=max(shape[:2]) > EXACT,
    )  # fmt: skip


def _interval(
    members: Sequence[Member], places: Sequence[tuple[int, int]], values: Sequence[float]
) -> tuple[float | None, float | None, str | None]:
    """95 % interval over runs, leaving out one run at a time: pairs that share a run are not independent."""
    n = len(members)
    kinds = {_kind(member) for member in members}
    if len(kinds) > 1:
        return None, None, "the SAEs are not runs of one setting: architecture, width or k differ"
    if n < MIN_RUNS:
        return None, None, f"{n} runs: at least {MIN_RUNS} are needed to tell how far others would be off"
    without_R = np.asarray(
        [fmean(v for pair, v in zip(places, values, strict=True) if run not in pair) for run in range(n)]
    )
    error = sqrt((n - 1) / n * float(((without_R - without_R.mean()) ** 2).sum()))
    half, center = float(t.ppf(0.975, n - 1)) * error, fmean(values)
    return center - half, min(center + half, 1.0), None


def _kind(member: Member) -> tuple[Any, ...]:
    cfg = member.sae.cfg
    return (getattr(cfg, "architecture", None), int(cfg.d_sae), getattr(cfg, "k", None))


def _sentence(pairs: Sequence[PairConsistency], low: float | None, high: float | None) -> str:
    value = fmean(pair.calibrated for pair in pairs)
    shared = fmean(pair.shared for pair in pairs)
    spread = f" ({low:.2f} to {high:.2f} over runs)" if low is not None and high is not None else ""
    said = f"calibrated PW-MCC {value:.2f}{spread}, {shared:.0%} of latents shared"
    if value < 0.05:
        return f"{said}: no more alike than random dictionaries"
    return f"{said}; 1 would be equal dictionaries, 0 random ones"


def _dense(codes: SparseCodes | Tensor) -> Tensor:
    return codes.to_dense() if isinstance(codes, SparseCodes) else codes


def _mean(values: Any) -> Any:
    """Mean of what is defined; None if nothing is."""
    known = [float(value) for value in values if value is not None and not np.isnan(value)]
    return fmean(known) if known else None
