"""How a metric agrees with the truth, where it is known, and with other metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.stats import kendalltau, spearmanr

from sae_bench.analysis.comparable import groups_of, hook_of, short_model
from sae_bench.analysis.panel import role_of
from sae_bench.analysis.table import Record, ResultTable
from sae_bench.analysis.validity_model import Agreement, TruthEvidence
from sae_bench.evals.ground_truth.spec import F1, MCC
from sae_bench.results.model import Metric

TRUTH = "ground_truth"

MIN_SAES = 5
"""SAEs below which no correlation is given."""


def truth_of(table: ResultTable, eval_name: str, metric: Metric) -> TruthEvidence:
    """Correlation with MCC and F1 over all SAEs of the synthetic models in the folder, references left out.

    Args:
        eval_name: the eval that the metric is of, as results call it.
    """
    if eval_name == TRUTH:
        return TruthEvidence(reason="it is measured on the true features itself")
    truths = {_identity(record): record for record in table.records if record.eval_name == TRUTH}
    if not truths:
        return TruthEvidence(reason="no synthetic model was evaluated")
    of_eval = [r for r in table.of_eval(eval_name) if _identity(r) in truths and role_of(r).kind != "reference"]
    rows = [
        (metric_value, truth.values[MCC], truth.values[F1])
        for record in of_eval
        for truth in [truths[_identity(record)]]
        if (metric_value := record.values.get(metric.path)) is not None and {MCC, F1} <= truth.values.keys()
    ]
    if len(rows) < MIN_SAES:
        return TruthEvidence(n_saes=len(rows), reason=f"{len(rows)} SAEs of a synthetic model have both")
    sign = 1.0 if metric.higher_is_better else -1.0
    value, mcc, f1 = np.asarray(rows).T
    (with_mcc, p_mcc), (with_f1, p_f1) = _spearman(sign * value, mcc), _spearman(sign * value, f1)
    reason = "it is the same for all SAEs" if with_mcc is None else None
    return TruthEvidence(n_saes=len(rows), mcc=with_mcc, f1=with_f1, p_mcc=p_mcc, p_f1=p_f1, reason=reason)


def agreement_of(table: ResultTable, metrics: Sequence[tuple[str, str, str, bool]]) -> list[Agreement]:
    """Kendall's tau of each metric with those of other evals on its model.

    Args:
        metrics: as (eval, path, group, higher is better).
    """
    scores: list[Mapping[str, float]] = []
    places: list[tuple[str | None, str | None]] = []
    groups = {(name, g.title): g for name in table.eval_names() for g in groups_of(table.of_eval(name))}
    for eval_name, path, title, higher in metrics:
        group = groups[eval_name, title]
        sign = 1.0 if higher else -1.0
        trained = [r for r in group.records if role_of(r).kind == "trained" and path in r.values]
        scores.append({r.sae: sign * r.values[path] for r in trained})
        places.append((short_model(group.first.model), group.hook))
    return [_agreement(n, metrics, scores, places) for n in range(len(metrics))]


def _agreement(
    n: int,
    metrics: Sequence[tuple[str, str, str, bool]],
    scores: Sequence[Mapping[str, float]],
    places: Sequence[tuple[str | None, str | None]],
) -> Agreement:
    taus: dict[str, float] = {}
    for other, (eval_name, path, *_) in enumerate(metrics):
        shared = sorted(scores[n].keys() & scores[other].keys())
        if eval_name == metrics[n][0] or places[other] != places[n] or len(shared) < MIN_SAES:
            continue
        a, b = ([scores[which][sae] for sae in shared] for which in (n, other))
        if len(set(a)) > 1 and len(set(b)) > 1:
            taus[f"{eval_name}.{path}"] = float(kendalltau(a, b).statistic)
    return Agreement(n_saes=len(scores[n]), mean=fmean(taus.values()) if taus else None, with_metrics=taus)


def _spearman(a: np.ndarray, b: np.ndarray) -> tuple[float | None, float | None]:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None, None
    result = spearmanr(a, b)
    return float(result.statistic), float(result.pvalue)


def _identity(record: Record) -> tuple[str, str | None, str | None]:
    return record.sae, short_model(record.model), hook_of(record)
