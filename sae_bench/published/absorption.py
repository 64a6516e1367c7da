"""`python -m sae_bench.evals.absorption.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

command = eval_command(SPEC)

arguments = PublishedArguments(command, AbsorptionEvalConfig)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: AbsorptionEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`."""
    return entry_points.run_eval(SPEC, config, selected_saes, EntryOptions(Path(output_path), device, force_rerun))


def run_eval_single_sae(
    config: AbsorptionEvalConfig, sae: Any, model: GivenModel, device: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Means over letters of one SAE object, and a row for every letter."""
    scores = entry_points.score_single_sae(SPEC, config, sae, model, device=device)
    return scores.metrics.model_dump()["mean"], [detail.model_dump() for detail in scores.details]
