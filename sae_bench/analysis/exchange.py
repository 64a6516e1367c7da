"""Results in the forms in which other places take them: Neuronpedia's upload list and Every Eval Ever's records."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from sae_bench.analysis.bars import bounds_of
from sae_bench.analysis.table import Record
from sae_bench.errors import ResultError
from sae_bench.results.model import Metric, MetricStatistics
from sae_bench.version import VERSION

EEE_VERSION = "0.3.0"
"""Version of Every Eval Ever's schema that is written."""

EEE_BENCHMARK = "sae-bench"


def neuronpedia_entry(record: Record, *, sae_repo: str = "", sae_folder: str = "") -> dict[str, Any]:
    """One result as Neuronpedia's upload list holds it; details are left in the data, where it splits them off.

    Args:
        sae_repo, sae_folder: hub repository of the SAE, and its folder there.
    Raises:
        ResultError: neither the result nor the SAE's configuration says which source on Neuronpedia it is.
    """
    content = record.read()
    named = neuronpedia_id(content.get("sae_cfg_dict") or {})
    if not named:
        raise ResultError(
            f"'{record.path}' does not say what {record.sae} is called on Neuronpedia (neuronpedia_id in the SAE's "
            "configuration). Next: add neuronpedia_id: MODEL/SOURCE there, and evaluate the SAE again."
        )
    model, source = named
    return {
        "modelId": model,
        "sourceId": source,
        "type": record.eval_name,
        "data": json.dumps(content, ensure_ascii=False),
        "saelensConfig": content.get("sae_cfg_dict") or {},
        "hfFolderId": sae_folder,
        "hfRepoId": sae_repo,
    }


def neuronpedia_id(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Model and source of an SAE on Neuronpedia, from `neuronpedia_id` ("gemma-2-2b/12-gemmascope-res-16k")."""
    metadata = config.get("metadata")
    text = config.get("neuronpedia_id") or (metadata.get("neuronpedia_id") if isinstance(metadata, Mapping) else None)
    if not isinstance(text, str) or text.count("/") != 1:
        return None
    model, _, source = text.partition("/")
    return (model, source) if model and source else None


def eee_record(record: Record, *, organization: str, relationship: str) -> dict[str, Any]:
    """One result as a record of Every Eval Ever (schema 0.3.0): a result per headline metric that has a value.

    Args:
        organization: who evaluated.
        relationship: of the evaluator to the SAE: first_party, third_party, collaborative or other.
    Raises:
        ResultError: no headline metric has a value.
    """
    results = [_eee_result(record, metric) for metric in record.metrics() if metric.path in record.values]
    if not results:
        raise ResultError(f"'{record.path}' has no headline metric with a value. Next: leave it out.")
    made = int(record.content.get("datetime_epoch_millis") or 0) / 1000
    model = f"{record.model or 'unknown'}"
    provenance = record.provenance
    return {
        "schema_version": EEE_VERSION,
        "evaluation_id": f"{EEE_BENCHMARK}.{record.eval_name}/{model}+{record.sae}/{made:.0f}",
        "evaluation_timestamp": datetime.fromtimestamp(made, timezone.utc).isoformat(),
        "retrieved_timestamp": f"{made:.0f}",
        "source_metadata": {
            "source_name": "SAE Bench",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
        },
        "eval_library": {
            "name": "sae-bench",
            "version": str(provenance.get("package_version") or VERSION),
            "additional_details": {"protocol": record.protocol},
        },
        "model_info": {
            "name": f"{model} with {record.sae}",
            "id": model,
            "additional_details": _texts(
                {
                    "deployment_type": "self_deployed",
                    "model_availability": "open_weights",
                    "sae_release": record.release,
                    "sae_id": record.sae_id,
                    **{key: provenance.get(key) for key in ("model_fingerprint", "sae_fingerprint", "sae_hook")},
                    **{key: provenance.get(key) for key in ("llm_dtype", "sae_dtype")},
                }
            ),
        },
        "evaluation_results": results,
    }


def eee_path(record: Record) -> PurePosixPath:
    """Where the record lies in their repository: data/{benchmark}/{developer}/{model}/{uuid}.json, always the same."""
    developer, _, model = (record.model or "unknown").rpartition("/")
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{record.content.get('eval_id')}/{record.eval_name}/{record.sae}")
    return PurePosixPath("data", EEE_BENCHMARK, _file_name(developer or "unknown"), _file_name(model), f"{name}.json")


def _eee_result(record: Record, metric: Metric) -> dict[str, Any]:
    bar = record.statistics.get(metric.path)
    low, high = bounds_of(record, metric.path)
    details = {"score": record.values[metric.path], "details": _reference_texts(record, metric)}
    uncertainty = None if bar is None else _uncertainty(bar)
    return {
        "evaluation_result_id": f"{record.eval_name}.{metric.path}",
        "evaluation_name": f"{record.eval_name}: {metric.title}",
        "source_data": {"dataset_name": _datasets(record), "source_type": "other"},
        "metric_config": {
            "metric_id": f"sae_bench.{record.eval_name}.{metric.path}",
            "metric_name": metric.title,
            "lower_is_better": metric.higher_is_better is False,
            "score_type": "continuous",
            "min_score": "-Infinity" if low is None else low,
            "max_score": "Infinity" if high is None else high,
        },
        "score_details": {**details, **({"uncertainty": uncertainty} if uncertainty else {})},
    }


def _uncertainty(bar: MetricStatistics) -> dict[str, Any]:
    """The error bar, as far as there is one."""
    known: dict[str, Any] = {}
    if bar.ci_low is not None and bar.ci_high is not None:
        known["confidence_interval"] = {
            "lower": bar.ci_low, "upper": bar.ci_high, "confidence_level": bar.confidence, "method": bar.method,
        }  # fmt: skip
    if bar.std_over_seeds is not None:
        known["standard_deviation"] = bar.std_over_seeds
    if known and bar.n_units:
        known["num_samples"] = bar.n_units
    return known


def _reference_texts(record: Record, metric: Metric) -> dict[str, str]:
    validity = (record.content.get("validity") or {}).get(metric.path) or {}
    texts = {kind: (validity.get(kind) or {}).get("value") for kind in ("floor", "ceiling", "control", "above_floor")}
    return _texts(texts)


def _datasets(record: Record) -> str:
    config = record.content.get("eval_config") or {}
    names: Sequence[Any] = list(record.provenance.get("datasets") or ()) or [config.get("dataset", "unknown")]
    return ", ".join(str(name) for name in names)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Those that there are, as texts: the schema takes no other values there."""
    return {key: str(value) for key, value in values.items() if value not in (None, "")}


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".") or "unknown"
