"""`python -m sae_bench.evals.sparse_probing_sae_probes.main --sae_regex_pattern .. --sae_block_pattern ..`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

command = eval_command(SPEC)

arguments = PublishedArguments(command, SparseProbingSaeProbesEvalConfig, batch_share=None)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: SparseProbingSaeProbesEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`."""
    options = EntryOptions(Path(output_path), device, force_rerun, _cache(config))
    return entry_points.run_eval(SPEC, config, selected_saes, options)


def run_eval_single_sae(
    config: SparseProbingSaeProbesEvalConfig, sae: Any, model: GivenModel, device: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Scores of one SAE object (means over tasks), and those of every task."""
    scores = entry_points.score_single_sae(SPEC, config, sae, model, device=device, artifacts_path=_cache(config))
    results: dict[str, Any] = {}
    for category in scores.metrics.model_dump(exclude_none=True).values():
        results |= category
    return results, [detail.model_dump(exclude_none=True) for detail in scores.details]


def _cache(config: SparseProbingSaeProbesEvalConfig) -> Path | None:
    return None if config.model_cache_path is None else Path(config.model_cache_path)
