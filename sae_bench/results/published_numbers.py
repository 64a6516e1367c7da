"""Numbers of published result files: which are whole numbers, and which are never null there but -1.

This package writes null, and the reason under `not_computed`, where a number cannot be computed. Published files hold
-1 there, and what reads them may rely on a number: `--published-nulls` writes -1 into these very fields, and into no
other. `provenance.published_nulls` says so in the file, and reading it turns each -1 back into null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MISSING = -1
"""What published files hold where there is no number."""


class PublishedNumbers(NamedTuple):
    """Numbers that every published file of an eval has, by the part of the file; `whole` are those without fraction."""

    metrics: frozenset[str] = frozenset()
    details: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()


def _numbers(metrics: str, details: str = "", whole: str = "") -> PublishedNumbers:
    return PublishedNumbers(frozenset(metrics.split()), frozenset(details.split()), frozenset(whole.split()))


PUBLISHED_NUMBERS: Mapping[str, PublishedNumbers] = {
    "core": _numbers(
        metrics="kl_div_score kl_div_with_ablation kl_div_with_sae ce_loss_score ce_loss_with_ablation "
        "ce_loss_with_sae ce_loss_without_sae explained_variance explained_variance_legacy mse "
        "cossim l2_norm_in l2_norm_out l2_ratio relative_reconstruction_bias l0 l1 "
        "freq_over_1_percent freq_over_10_percent normalized_freq_over_1_percent "
        "normalized_freq_over_10_percent average_max_encoder_cosine_sim "
        "average_max_decoder_cosine_sim frac_alive total_tokens_eval_reconstruction "
        "total_tokens_eval_sparsity_variance",
        details="index feature_density consistent_activation_heuristic encoder_bias encoder_norm "
        "encoder_decoder_cosine_sim max_decoder_cosine_sim max_encoder_cosine_sim",
        whole="index total_tokens_eval_reconstruction total_tokens_eval_sparsity_variance",
    ),
    "absorption_first_letter": _numbers(
        metrics="mean_absorption_fraction_score mean_full_absorption_score mean_num_split_features "
        "std_dev_absorption_fraction_score std_dev_full_absorption_score std_dev_num_split_features",
        details="mean_absorption_fraction full_absorption_rate num_full_absorption num_probe_true_positives "
        "num_split_features",
        whole="num_full_absorption num_probe_true_positives num_split_features",
    ),
    "autointerp": _numbers("autointerp_score autointerp_std_dev"),
    "meta_structure_decoder_variance": _numbers(
        "decoder_fraction_variance_explained train_time_seconds final_reconstruction_mse"
    ),
    "ravel": _numbers("disentanglement_score cause_score isolation_score"),
    "scr": _numbers(""),
    "tpp": _numbers(""),
    "sparse_probing": _numbers("llm_test_accuracy", details="llm_test_accuracy"),
    "sparse_probing_sae_probes": _numbers(""),
    "unlearning": _numbers("unlearning_score"),
}
"""`eval_type_id` of every eval with a published result file -> its numbers (sae-bench 0.6.0)."""


def with_published_nulls(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a result file with -1 for null where published files always hold a number."""
    replaced = _replaced(content, None, MISSING)
    if replaced.get("provenance"):
        replaced["provenance"] = {**replaced["provenance"], "published_nulls": True}
    return replaced


def without_published_nulls(content: dict[str, Any]) -> dict[str, Any]:
    """The content with null again, if it was written by `with_published_nulls`; any other content as it is."""
    provenance = content.get("provenance")
    if not isinstance(provenance, dict) or not provenance.get("published_nulls"):
        return content
    return _replaced(content, MISSING, None)


def _replaced(content: Mapping[str, Any], old: int | None, new: int | None) -> dict[str, Any]:
    numbers = PUBLISHED_NUMBERS.get(str(content.get("eval_type_id")), PublishedNumbers())
    changed = dict(content)
    metrics, details = content.get("eval_result_metrics"), content.get("eval_result_details")
    if isinstance(metrics, Mapping):
        changed["eval_result_metrics"] = {
            name: _in_row(values, numbers.metrics, old, new) for name, values in metrics.items()
        }
    if isinstance(details, list):
        changed["eval_result_details"] = [_in_row(row, numbers.details, old, new) for row in details]
    return changed


def _in_row(row: Any, names: frozenset[str], old: int | None, new: int | None) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {name: new if name in names and value == old else value for name, value in row.items()}
