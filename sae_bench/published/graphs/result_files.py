"""Result files as the plots read them: one flat mapping of numbers per SAE."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sae_bench.errors import UsageError
from sae_bench.results.files import read_result

logger = logging.getLogger(__name__)

ENDING = "_eval_results.json"
UNKNOWN_TOKENS = 1e-6
"""Stands for an unknown number of training tokens: a plot with a logarithmic axis can show it."""

_METRICS: tuple[tuple[str, str, str], ...] = (
    ("tpp", "tpp_threshold_{k}_total_metric", "TPP Top {k} Metric"),
    ("scr", "scr_metric_threshold_{k}", "SCR Top {k} Metric"),
    ("sparse_probing_sae_probes", "sae_top_{k}_test_accuracy", "Sparse Probing (sae-probes) Top {k} Test Accuracy"),
    ("sparse_probing", "sae_top_{k}_test_accuracy", "Sparse Probing Top {k} Test Accuracy"),
    ("absorption", "mean_absorption_fraction_score", "Mean Absorption Score"),
    ("autointerp", "autointerp_score", "Autointerp Score"),
    ("unlearning", "unlearning_score", "Unlearning Score"),
    ("ravel", "disentanglement_score", "RAVEL Disentanglement Score"),
    ("core", "ce_loss_score", "Loss Recovered"),
)
"""Part of the eval's name or of its path -> metric that is plotted, and its title; looked at in this order."""


def get_custom_metric_key_and_name(eval_path: str, k: int | None = None) -> tuple[str, str]:
    """The metric that stands for an eval, and its title. `k` is the number of latents where there is a choice.

    Raises:
        UsageError: none of the known evals is named in the path.
    """
    for part, key, title in _METRICS:
        if part in eval_path:
            return key.format(k=k), title.format(k=k)
    raise UsageError(f"'{eval_path}' names no eval with a metric to plot; known: {', '.join(m[0] for m in _METRICS)}.")


def find_eval_results_files(folders: Sequence[str]) -> list[str]:
    """Every result file in these folders and below, sorted."""
    paths = [path for folder in folders for path in Path(folder).rglob(f"*{ENDING}")]
    return [str(path) for path in sorted(paths)]


def get_eval_results(eval_filenames: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`<release>_<id>` -> the numbers of its result, `eval_config`, `sae_class`, `d_sae` and `train_tokens`.

    Files that are not there are left out with a warning.

    Raises:
        ResultError: a file is broken, or no result.
    """
    return {_key(path): _flat(content) for path, content in _read(eval_filenames)}


def get_core_results(core_filenames: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`<release>_<id>` -> `l0` and `ce_loss_score`, from results of the core eval."""
    return {
        _key(path): {
            "l0": content["eval_result_metrics"]["sparsity"]["l0"],
            "ce_loss_score": content["eval_result_metrics"]["model_performance_preservation"]["ce_loss_score"],
        }
        for path, content in _read(core_filenames)
    }


def with_core(
    eval_results: Mapping[str, dict[str, Any]], core: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The results beside L0 and loss recovered; SAEs without a core result are left out with a warning."""
    lacking = sorted(set(eval_results) - set(core))
    if lacking:
        logger.warning("left out, for there is no core result: %s", ", ".join(lacking))
    return {name: {**values, **core[name]} for name, values in eval_results.items() if name in core}


def get_d_sae_string(d_sae: int) -> str:
    """A width as plots show it: 16k, 65k (for 2^16), 1M."""
    thousands = round(d_sae / 1000)
    if thousands < 1:
        return str(d_sae)
    if 1000 <= thousands <= 1060:
        return "1M"
    return "65k" if thousands == 66 else f"{thousands}k"


def get_sae_bench_train_tokens(filename: str) -> int:
    """Training tokens of an SAE of the published suite, told by its name (steps of 2048 tokens)."""
    _check_is_of_the_suite(filename)
    return _steps(filename, default=244140) * 2048


def get_sae_bench_train_tokens_archived(sae_release: str, sae_id: str) -> int:
    """Training tokens of an SAE of the suite before January 2025."""
    _check_is_of_the_suite(sae_release)
    if "pythia" in sae_release:
        return _steps(sae_id, default=48828) * 4096
    return _steps(sae_id, default=146484 if "2pow14" in sae_release else 97656) * 2048


def get_sae_class_archived(sae_cfg: Mapping[str, Any], sae_release: str) -> str:
    """Architecture of an SAE in results before January 2025."""
    if "sae_bench" in sae_release and "panneal" in sae_release:
        return "p_anneal"
    return "topk" if sae_cfg["activation_fn_str"] == "topk" else str(sae_cfg["architecture"])


def _read(filenames: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    there = [path for path in filenames if os.path.exists(path)]
    for path in filenames:
        if path not in there:
            logger.warning("there is no file '%s'", path)
    return [(path, read_result(Path(path))) for path in there]


def _key(path: str) -> str:
    return os.path.basename(path).replace(ENDING, "")


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {key: value for part in content["eval_result_metrics"].values() for key, value in part.items()}
    cfg = content["sae_cfg_dict"] or {}
    return {
        **numbers,
        "eval_config": content["eval_config"],
        "sae_class": cfg.get("architecture") or "unknown",
        "d_sae": get_d_sae_string(int(cfg["d_sae"])) if cfg.get("d_sae") else "unknown",
        "train_tokens": _first(cfg.get("training_tokens"), UNKNOWN_TOKENS),
    }


def _first(value: Any, otherwise: float) -> float:
    return otherwise if value is None or float(value) <= 0 else float(value)


def _steps(name: str, *, default: int) -> int:
    """Training steps that a name tells; those of a finished SAE if it tells none."""
    if "step" not in name:
        return default
    match = re.search(r"step_(\d+)", name)
    if match is None:
        raise UsageError(f"'{name}' does not tell its step: 'step_<number>' is expected.")
    return int(match[1])


def _check_is_of_the_suite(name: str) -> None:
    if "sae_bench" not in name:
        raise UsageError(f"training tokens are known by name of the published suite only; '{name}' has no 'sae_bench'.")
