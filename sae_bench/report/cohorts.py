"""Which results may be compared: same definition, settings, model and hook. The others are shown apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sae_bench.analysis.comparison import why_not_comparable
from sae_bench.analysis.table import Record
from sae_bench.report.facts import SAEFacts


@dataclass
class Cohort:
    """Results of one eval that compare with one another.

    Attributes:
        differs: in what it differs from the first cohort of the eval; None for that one.
    """

    eval: str
    first: Record
    facts: SAEFacts
    differs: str | None = None
    members: list[int] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Definition, model and hook."""
        parts = (self.first.protocol, short_model(self.first.model), self.facts.hook)
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Entry:
    """One result with what is known of its SAE; `place` is its index among all."""

    place: int
    record: Record
    facts: SAEFacts


def cohorts_of(entries: Sequence[Entry]) -> list[Cohort]:
    """The results of one eval in groups, the group with the most of the user's own first."""
    found: list[Cohort] = []
    for entry in entries:
        home = next((c for c in found if reason_apart(c.first, c.facts, entry.record, entry.facts) is None), None)
        if home is None:
            home = Cohort(entry.record.eval_name, entry.record, entry.facts)
            found.append(home)
        elif home.facts.hook is None:
            home.facts = entry.facts
        home.members.append(entry.place)
    found.sort(key=lambda cohort: (not cohort.first.provenance, -len(cohort.members)))
    for cohort in found[1:]:
        cohort.differs = reason_apart(found[0].first, found[0].facts, cohort.first, cohort.facts)
    return found


def reason_apart(a: Record, a_facts: SAEFacts, b: Record, b_facts: SAEFacts) -> str | None:
    """Why two results of one eval must not be compared."""
    if bool(a.provenance) != bool(b.provenance):
        return f"the definition is recorded for one only ({a.protocol}, {b.protocol})"
    if (reason := why_not_comparable(a, b)) is not None:
        return reason
    if not a.provenance and a.protocol != b.protocol:
        return f"different definitions ({a.protocol}, {b.protocol})"
    models = [short_model(record.model) for record in (a, b)]
    fingerprints = [record.provenance.get("model_fingerprint") for record in (a, b)]
    if None in fingerprints and None not in models and models[0] != models[1]:
        return f"different models ({models[0]}, {models[1]})"
    if a_facts.hook and b_facts.hook and a_facts.hook != b_facts.hook:
        return f"different hooks ({a_facts.hook}, {b_facts.hook})"
    return None


def short_model(name: str | None) -> str | None:
    """The last part of a model's name, in lower case: `EleutherAI/pythia-160m` and `pythia-160m` are one."""
    return name.rstrip("/").split("/")[-1].lower() if name else None
