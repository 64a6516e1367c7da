"""Result files of the published package in all its forms: what was renamed or redefined goes where it belongs today.

The forms differ in fields: 0.1 and 0.2 call full absorption `mean_absorption_score`; up to 0.4.0 `explained_variance`
is what later versions keep as `explained_variance_legacy`; from 0.4.1 the absorption fraction is the thresholded one;
the first core files hold their latents as one row of lists; files of early 2025 call the eval RAVEL, not ravel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sae_bench.results.published_numbers import without_published_nulls

OLD_CORE = "published (up to 0.4.0)"
NEW_CORE = "published (0.4.1 or later)"
OLDEST_ABSORPTION = "published (0.1 or 0.2)"
OLD_ABSORPTION = "published (up to 0.4.0)"
NEW_ABSORPTION = "published (0.4.1 or later)"
ANY = "published"

FORMER_EVAL_IDS = {"RAVEL": "ravel"}
"""Id of an eval in older files -> its id today."""

BEFORE_METRICS = (
    "a published result of 2024, from before results held their numbers in eval_result_metrics. Next: take its later "
    "published file, or evaluate that SAE anew"
)

LEGACY_VARIANCE = "explained_variance holds the legacy definition there and is read as explained_variance_legacy"
RENAMED_ABSORPTION = (
    "mean_absorption_score is read as mean_full_absorption_score, its later name; files of that age hold no absorption "
    "fraction"
)
THRESHOLDED = (
    "the absorption fraction is the thresholded one there and is read as mean_absorption_fraction_thresholded_score"
)

_FULL = {
    "mean_absorption_score": "mean_full_absorption_score",
    "absorption_rate": "full_absorption_rate",
    "num_absorption": "num_full_absorption",
}
_FRACTIONS = {
    "mean_absorption_fraction_score": "mean_absorption_fraction_thresholded_score",
    "std_dev_absorption_fraction_score": "std_dev_absorption_fraction_thresholded_score",
    "mean_absorption_fraction": "mean_absorption_fraction_thresholded",
}
_ABSORPTION_SINCE_0_4_1 = ("min_GT_probe_f1", "min_feats_for_eval")


def is_published(content: Mapping[str, Any]) -> bool:
    """Whether the published package wrote it: it keeps no provenance."""
    return not content.get("provenance")


def is_before_metrics(content: Mapping[str, Any]) -> bool:
    """Whether it is of the form of 2024, which keeps its numbers wherever each eval put them."""
    return "eval_result_metrics" not in content and any(
        key in content for key in ("eval_type_id", "eval_config", "eval_results", "custom_eval_config")
    )


def as_current(content: dict[str, Any]) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """A published result with today's field names, the form it had, and what was moved.

    The content is changed in place where fields move; results of this package come back with their protocol, and with
    null for a -1 that stands for it.
    """
    if not is_published(content):
        return without_published_nulls(content), str(content["provenance"].get("protocol") or "unknown"), ()
    if isinstance(content.get("datetime_epoch_millis"), str):
        content["datetime_epoch_millis"] = _whole_number(content["datetime_epoch_millis"])
    content["eval_type_id"] = FORMER_EVAL_IDS.get(content["eval_type_id"], content["eval_type_id"])
    metrics = content["eval_result_metrics"]
    if content["eval_type_id"] == "core":
        return _core(content, metrics)
    if content["eval_type_id"] == "absorption_first_letter":
        return _absorption(content, metrics)
    return content, ANY, ()


def _core(content: dict[str, Any], metrics: dict[str, Any]) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    details = content.get("eval_result_details")
    if isinstance(details, list) and len(details) == 1 and isinstance(details[0], dict):
        content["eval_result_details"] = _rows_of_lists(details[0])
    quality = metrics.get("reconstruction_quality")
    if not isinstance(quality, dict) or "explained_variance_legacy" in quality:
        return content, NEW_CORE, ()
    if "explained_variance" not in quality:
        return content, OLD_CORE, ()
    quality["explained_variance_legacy"] = quality.pop("explained_variance")
    return content, OLD_CORE, (LEGACY_VARIANCE,)


def _absorption(content: dict[str, Any], metrics: dict[str, Any]) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    means = metrics.get("mean")
    config = content.get("eval_config") or {}
    rows = [row for row in content.get("eval_result_details") or () if isinstance(row, dict)]
    if isinstance(means, dict) and "mean_absorption_score" in means:
        _rename([means, *rows], _FULL)
        return content, OLDEST_ABSORPTION, (RENAMED_ABSORPTION,)
    if any(key in config for key in _ABSORPTION_SINCE_0_4_1):
        _rename([means, *rows] if isinstance(means, dict) else rows, _FRACTIONS)
        return content, NEW_ABSORPTION, (THRESHOLDED,)
    return content, OLD_ABSORPTION, ()


def _rename(mappings: list[dict[str, Any]], names: Mapping[str, str]) -> None:
    for mapping in mappings:
        for old, new in names.items():
            if old in mapping:
                mapping[new] = mapping.pop(old)


def _rows_of_lists(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """{column: values of all latents} as one row per latent; anything else as it is."""
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    if not lists or len({len(values) for values in lists.values()}) != 1:
        return [columns]
    length = len(next(iter(lists.values())))
    return [{"index": i, **{name: values[i] for name, values in lists.items()}} for i in range(length)]


def _whole_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
