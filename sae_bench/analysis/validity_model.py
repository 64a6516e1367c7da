"""The evidence on one metric, as records that say themselves in words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

FURTHEST = 99.0
"""Standard errors beyond which a number says no more; also for differences without any noise."""


class _Evidence(BaseModel):
    model_config = ConfigDict(frozen=True)


class NoiseEvidence(_Evidence):
    """Where the error of a trained SAE's score comes from, the median over SAEs."""

    se_seeds: float | None = Field(default=None, description="Part of the standard error that seeds make.")
    se_units: float | None = Field(default=None, description="Part that the choice of test texts makes.")
    cv: float | None = Field(
        default=None, description="Standard deviation of one seed's score over its mean; null where nothing is random."
    )
    n_seeds: int = Field(default=0, description="Seeds behind a score.")
    n_units: int = Field(default=0, description="Units behind a score.")
    unit: str | None = Field(default=None, description="What a unit is.")


class AgainstNull(_Evidence):
    """Trained SAEs against one kind of null baseline."""

    n_pairs: int = Field(description="Comparisons.")
    n_better: int = Field(description="Of these, how many the trained SAE wins.")
    n_worse: int = Field(description="How many the null wins significantly.")
    median_z: float | None = Field(default=None, description="Standard errors by which trained SAEs win, median.")


class NullEvidence(_Evidence):
    """Trained SAEs against null baselines: the matched ones of each, and those that match none."""

    n_pairs: int = Field(default=0, description="Comparisons.")
    n_better: int = Field(default=0, description="Of these, how many the trained SAE wins.")
    n_significant: int = Field(default=0, description="Of these, significantly (5 %, corrected for all comparisons).")
    n_worse: int = Field(default=0, description="How many the null wins significantly.")
    median_z: float | None = Field(default=None, description="Standard errors by which trained SAEs win, median.")
    lowest_z: float | None = Field(default=None, description="The same of the worst comparison.")
    worst: str = Field(default="", description="The worst comparison, as trained SAE and null.")
    detectable: float | None = Field(
        default=None, description="True difference of SAE and null that 80 % of such runs find, median."
    )
    blind: list[str] = Field(
        default_factory=list, description="Nulls that the metric cannot tell from their SAE by what it reads."
    )
    by_null: dict[str, AgainstNull] = Field(default_factory=dict, description="The same by kind of null baseline.")
    reason: str | None = Field(default=None, description="Why nothing was compared, or without error bars.")

    @property
    def said(self) -> str:
        """In words."""
        z = "" if self.median_z is None else f"; median {_errors(self.median_z)}"
        if self.n_better == self.n_pairs:
            return f"trained SAEs beat every null baseline{z}"
        worst = f", worst: {self.worst}" if self.worst else ""
        lost = f"{self.n_worse or 'none'} significantly lost{worst}"
        return f"trained SAEs beat null baselines in {self.n_better} of {self.n_pairs} comparisons ({lost}){z}"


def _errors(z: float) -> str:
    return f"more than {FURTHEST:.0f} standard errors" if z >= FURTHEST else f"{z:.1f} standard errors"


class LadderEvidence(_Evidence):
    """SAEs whose order is known: degraded step by step, or trained longer step by step."""

    n_ladders: int = Field(default=0, description="Ladders on which the metric moves at all.")
    n_blind: int = Field(
        default=0, description="Ladders on which it stays the same bit for bit: it reads nothing of it."
    )
    n_neighbours: int = Field(default=0, description="Neighbouring pairs.")
    n_right: int = Field(default=0, description="Of these, in the right order.")
    n_significant: int = Field(default=0, description="Of these, significantly (5 %, corrected for all).")
    n_wrong: int = Field(default=0, description="In the wrong order significantly.")
    n_pairs: int = Field(default=0, description="All pairs of rungs, neighbours or not.")
    concordance: float | None = Field(default=None, description="Share of all pairs in the right order, ties half.")
    p_right: float | None = Field(
        default=None, description="Chance that so many pairs stand in the right order if the metric knew no order."
    )
    p_wrong: float | None = Field(default=None, description="The same of the wrong order.")
    by_ladder: dict[str, float] = Field(default_factory=dict, description="Concordance of each ladder.")
    reason: str | None = Field(default=None, description="Why there is nothing to order.")

    @property
    def said(self) -> str:
        """In words."""
        share = "-" if self.concordance is None else f"{self.concordance:.0%}"
        return (
            f"{self.n_right} of {self.n_neighbours} neighbouring rungs stand in the right order "
            f"({self.n_significant} significantly), {share} of all pairs"
        )


class FloorEvidence(_Evidence):
    """Where trained SAEs stand between the floor and the ceiling that their runs measured."""

    median: float | None = Field(
        default=None, description="(score - floor) / (ceiling - floor), median of trained SAEs."
    )
    n_with_interval: int = Field(default=0, description="Trained SAEs of which it has an interval.")
    n_above: int = Field(default=0, description="Of these, those whose interval lies above 0.")

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.n_above} of {self.n_with_interval} trained SAEs lie above the measured floor"


class TruthEvidence(_Evidence):
    """Rank correlation, over the SAEs of a synthetic model, with how well they find its true features."""

    n_saes: int = Field(default=0, description="SAEs that have both.")
    mcc: float | None = Field(default=None, description="Spearman correlation with the MCC, oriented: 1 is agreement.")
    f1: float | None = Field(default=None, description="The same with the F1.")
    p_mcc: float | None = Field(default=None, description="Two-sided p-value of the correlation with the MCC.")
    p_f1: float | None = Field(default=None, description="Two-sided p-value of that with the F1.")
    reason: str | None = Field(default=None, description="Why there is none.")

    @property
    def is_against(self) -> bool:
        """Whether it falls significantly as MCC and F1 rise."""
        if self.mcc is None or self.f1 is None or self.p_mcc is None or self.p_f1 is None:
            return False
        return self.mcc < 0 and self.f1 < 0 and max(self.p_mcc, self.p_f1) < 0.05

    @property
    def said(self) -> str:
        """In words."""
        if self.mcc is None or self.f1 is None:
            return self.reason or ""
        return f"rank correlation {self.mcc:+.2f} with MCC, {self.f1:+.2f} with F1, {self.n_saes} SAEs"


class Agreement(_Evidence):
    """Kendall's tau of its ranking of the trained SAEs with those of other evals' metrics, oriented."""

    n_saes: int = Field(default=0, description="Trained SAEs.")
    mean: float | None = Field(default=None, description="Mean over the metrics of other evals.")
    with_metrics: dict[str, float] = Field(default_factory=dict, description="Metric -> tau.")
