"""The result of one SAE: headline numbers, a row per attribute, what the model knows, which latents were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sae_bench.evals.base import Scores
from sae_bench.evals.families.reported import columns, mean_of_known, report
from sae_bench.evals.ravel import outcomes as maths
from sae_bench.evals.ravel.entity_class import KnownClass
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.eval_output import RAVELMetricCategories, RAVELResultDetail
from sae_bench.evals.ravel.outcomes import CAUSE, DISENTANGLEMENT, ISOLATION, Outcome
from sae_bench.evals.ravel.swaps import LatentMask, Swap

MAX_LATENTS_LISTED = 100
FEW_PAIRS = 50
NO_PAIRS = "no test pair of this kind: too few known prompts"
MDAS = "train_mdas: a rotation of the activation space was trained in the place of the SAE, which has no part in this"


def to_scores(
    outcomes: Sequence[Outcome],
    patched: Sequence[Outcome],
    chosen: dict[str, list[int]],
    known: Sequence[KnownClass],
    config: RAVELEvalConfig,
    seeds: Sequence[int],
) -> Scores:
    """Everything that is reported of one SAE.

    Args:
        outcomes: one per entity class, attribute and seed.
        patched: the same pairs with the whole activation taken over.
        chosen: latents that the masks of the first seed take over.
    """
    by_seed = [[outcome for outcome in outcomes if outcome.seed == seed] for seed in seeds]
    details = _details(outcomes, patched)
    return report(
        RAVELMetricCategories,
        seeds,
        samples=maths.samples(by_seed),
        seed_values=columns(maths.headline(of_seed) for of_seed in by_seed),
        reasons=dict.fromkeys((DISENTANGLEMENT, CAUSE, ISOLATION), NO_PAIRS),
        details=details,
        detail_reasons={
            f"{row.entity_class}.{row.attribute}.{field}": NO_PAIRS
            for row in details
            for field in ("cause_score", "isolation_score")
            if getattr(row, field) is None
        },
        unstructured=_unstructured(outcomes, chosen, known, config),
        warnings=_warnings(details, config),
    )


def chosen_latents(outcomes: Sequence[Outcome], swaps: Sequence[Swap]) -> dict[str, list[int]]:
    """`<class>_<attribute>` -> latents that the first seed's mask takes over, those that are most sure first."""
    by_attribute: dict[str, list[int]] = {}
    for outcome, swap in zip(outcomes, swaps, strict=True):
        if isinstance(swap, LatentMask):
            ranked = swap.mask_F.detach().sort(descending=True, stable=True)
            positive = int((ranked.values > 0).sum())
            listed = ranked.indices[: min(positive, MAX_LATENTS_LISTED)].tolist()
            by_attribute.setdefault(f"{outcome.entity_class}_{outcome.attribute}", listed)
    return by_attribute


def _by_attribute(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.entity_class, outcome.attribute), []).append(outcome)
    return grouped


def _details(outcomes: Sequence[Outcome], patched: Sequence[Outcome]) -> list[RAVELResultDetail]:
    whole = _by_attribute(patched)
    rows: list[RAVELResultDetail] = []
    for (entity_class, attribute), of in _by_attribute(outcomes).items():
        cause, isolation = mean_of_known(o.cause for o in of), mean_of_known(o.isolation for o in of)
        counts = {
            "n_chosen": [o.n_chosen for o in of],
            "n_train_pairs": [o.n_train for o in of],
            "n_cause_pairs": [int(o.cause_B.sum()) for o in of],
            "n_isolation_pairs": [int((~o.cause_B).sum()) for o in of],
        }
        rows.append(
            RAVELResultDetail(
                entity_class=entity_class,
                attribute=attribute,
                cause_score=cause,
                isolation_score=isolation,
                disentanglement_score=maths.both(cause, isolation),
                patched_cause_score=mean_of_known(o.cause for o in whole[entity_class, attribute]),
                patched_isolation_score=mean_of_known(o.isolation for o in whole[entity_class, attribute]),
                **{name: sum(values) / len(values) for name, values in counts.items()},
            )
        )
    return rows


def _unstructured(
    outcomes: Sequence[Outcome], chosen: dict[str, list[int]], known: Sequence[KnownClass], config: RAVELEvalConfig
) -> dict[str, Any]:
    """The published per-class scores, and beside them what they rest on."""
    by_class: dict[str, Any] = {f"{of_class.name}_results": {} for of_class in known}
    by_first_token: dict[str, Any] = {}
    for (entity_class, attribute), of in _by_attribute(outcomes).items():
        name = f"{entity_class}_{attribute}"
        cause, isolation = mean_of_known(o.cause for o in of), mean_of_known(o.isolation for o in of)
        by_class[f"{entity_class}_results"][name] = {
            "cause_score": cause,
            "isolation_score": isolation,
            "disentangle_score": maths.both(cause, isolation),
        }
        published = [o.by_first_token() for o in of]
        by_first_token[name] = {
            "cause_score": mean_of_known(c for c, _ in published),
            "isolation_score": mean_of_known(i for _, i in published),
        }
    return {
        **by_class,
        "sorted_by_first_token": by_first_token,
        "known_prompts": {of_class.name: of_class.counts for of_class in known},
        "latents": chosen,
        "pairs_per_step": config.pairs_per_step,
        "example_prompts": {of_class.name: _example(of_class) for of_class in known},
    }


def _example(of_class: KnownClass) -> dict[str, Any]:
    """The first known prompt as the model reads it: whether it begins with BOS is seen here."""
    prompt = of_class.known[0].prompt
    return {"text": prompt.question.text, "token_ids": list(prompt.ids)}


def _warnings(details: Sequence[RAVELResultDetail], config: RAVELEvalConfig) -> list[str]:
    warnings = [MDAS] if config.train_mdas else []
    few = min(min(row.n_cause_pairs, row.n_isolation_pairs) for row in details)
    if few < FEW_PAIRS:
        warnings.append(
            f"some attributes are scored on {few:.0f} pairs: one completion moves their score by {1 / max(few, 1):.2f}"
        )
    return warnings
