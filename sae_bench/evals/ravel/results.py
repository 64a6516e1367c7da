"""The result of one SAE: headline numbers, a row per attribute, what the model knows, which latents were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sae_bench.evals.base import Scores
from sae_bench.evals.families.reported import columns, mean_of_known, report
from sae_bench.evals.ravel import outcomes as maths
from sae_bench.evals.ravel.control import Unchosen
from sae_bench.evals.ravel.entity_class import KnownClass
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.eval_output import RAVELMetricCategories, RAVELResultDetail
from sae_bench.evals.ravel.outcomes import CAUSE, DISENTANGLEMENT, ISOLATION, STRICT, UNAIDED_CAUSE, Outcome
from sae_bench.evals.ravel.swaps import LatentMask, Swap
from sae_bench.evals.ravel.training import Schedule
from sae_bench.results.references import References

MAX_LATENTS_LISTED = 100
FEW_PAIRS = 50
PAIRS_WITH_POWER, STEPS_WITH_POWER = 10, 20
"""Fewer scored pairs a seed, or fewer steps of training, cannot tell SAEs apart."""
ALL_AIDED = "every cause pair may count without any change"
NO_PAIRS = "no test pair of this kind: too few known prompts"
MDAS = "train_mdas: a rotation of the activation space was trained in the place of the SAE, which has no part in this"


def to_scores(
    outcomes: Sequence[Outcome],
    unchosen: Unchosen,
    chosen: dict[str, list[int]],
    known: Sequence[KnownClass],
    config: RAVELEvalConfig,
    seeds: Sequence[int],
    references: Mapping[str, References],
) -> Scores:
    """Everything that is reported of one SAE.

    Args:
        outcomes: one per entity class, attribute and seed.
        unchosen: the same pairs without an SAE.
        chosen: latents that the masks of the first seed take over.
        references: path -> floor, ceiling and control.
    """
    by_seed = [[outcome for outcome in outcomes if outcome.seed == seed] for seed in seeds]
    details = _details(outcomes, unchosen, config)
    samples, seed_values = maths.samples(by_seed), columns(maths.headline(of_seed) for of_seed in by_seed)
    for field, path, of_field in maths.also(by_seed):
        seed_values[field] = [maths.headline(of_seed)[path] for of_seed in of_field]
        if path in (of_view := maths.samples(of_field)):
            samples[field] = of_view[path]
    return report(
        RAVELMetricCategories,
        seeds,
        samples=samples,
        seed_values=seed_values,
        references=references,
        reasons={
            **dict.fromkeys((DISENTANGLEMENT, CAUSE, ISOLATION, *STRICT.values()), NO_PAIRS),
            UNAIDED_CAUSE: ALL_AIDED,
        },
        details=details,
        detail_reasons={
            f"{row.entity_class}.{row.attribute}.{field}": NO_PAIRS
            for row in details
            for field in ("cause_score", "isolation_score", "strict_cause_score", "strict_isolation_score")
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


def _details(outcomes: Sequence[Outcome], unchosen: Unchosen, config: RAVELEvalConfig) -> list[RAVELResultDetail]:
    whole, mean, untouched = map(_by_attribute, (unchosen.patched, unchosen.mean, unchosen.untouched))
    schedule = Schedule(config.pairs_per_step, config.num_epochs, config.learning_rate)
    rows: list[RAVELResultDetail] = []
    for (entity_class, attribute), of in _by_attribute(outcomes).items():
        name = entity_class, attribute
        strict = [o.strictly() for o in of]
        cause, isolation = mean_of_known(o.cause for o in of), mean_of_known(o.isolation for o in of)
        counts = {
            "n_chosen": [o.n_chosen for o in of],
            "n_train_pairs": [o.n_train for o in of],
            "n_cause_pairs": [int(o.cause_B.sum()) for o in of],
            "n_isolation_pairs": [int((~o.cause_B).sum()) for o in of],
            "n_aided_pairs": [int(o.aided_B.sum()) for o in of],
            "n_train_steps": [schedule.n_epochs * schedule.steps_per_epoch(o.n_train) for o in of],
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
                mean_activation_cause_score=mean_of_known(o.cause for o in mean[name]),
                mean_activation_isolation_score=mean_of_known(o.isolation for o in mean[name]),
                untouched_cause_score=mean_of_known(o.cause for o in untouched[name]),
                unaided_cause_score=mean_of_known(o.unaided().cause for o in of),
                strict_cause_score=mean_of_known(o.cause for o in strict),
                strict_isolation_score=mean_of_known(o.isolation for o in strict),
                **{field: sum(values) / len(values) for field, values in counts.items()},
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
    n_pairs = min(min(row.n_cause_pairs, row.n_isolation_pairs) for row in details)
    n_steps = min(row.n_train_steps or 0 for row in details)
    short = [
        f"{what} {n:.0f} {unit} (at least {needed} are needed)"
        for what, n, unit, needed in (
            ("trained in", n_steps, "steps", STEPS_WITH_POWER),
            ("scored on", n_pairs, "pairs a seed", PAIRS_WITH_POWER),
        )
        if n < needed
    ]
    if short:
        warnings.append(f"no power: some masks are {' and '.join(short)}; differences of SAEs may be chance")
    few = min(min(row.n_cause_pairs, row.n_isolation_pairs) for row in details)
    if few < FEW_PAIRS:
        warnings.append(
            f"some attributes are scored on {few:.0f} pairs: one completion moves their score by {1 / max(few, 1):.2f}"
        )
    return warnings
