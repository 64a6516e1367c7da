"""`python -m sae_bench.evals.sparse_probing.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import ACTIVATION_FLAGS, PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

command = eval_command(SPEC)

arguments = PublishedArguments(command, SparseProbingEvalConfig, ACTIVATION_FLAGS)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: SparseProbingEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
    clean_up_activations: bool = False,
    save_activations: bool = False,
    artifacts_path: str | Path = "artifacts",
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`."""
    artifacts = Path(artifacts_path) if save_activations else None
    options = EntryOptions(Path(output_path), device, force_rerun, artifacts, clean_up_activations)
    return entry_points.run_eval(SPEC, config, selected_saes, options)


def run_eval_single_sae(
    config: SparseProbingEvalConfig,
    sae: Any,
    model: GivenModel,
    device: str,
    artifacts_folder: str | Path,
    save_activations: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Accuracies (means, then `<dataset>_results` -> its own) of one SAE object, and those of every class."""
    artifacts = Path(artifacts_folder) if save_activations else None
    scores = entry_points.score_single_sae(SPEC, config, sae, model, device=device, artifacts_path=artifacts)
    results: dict[str, Any] = {}
    for category in scores.metrics.model_dump(exclude_none=True).values():
        results |= category
    for detail in scores.details:
        values = detail.model_dump(exclude_none=True)
        results[values.pop("dataset_name")] = values
    return results, scores.unstructured
