"""`python -m sae_bench.evals.mdl.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sae_bench.evals.mdl.eval_config import PUBLISHED_RUN, MDLEvalConfig
from sae_bench.evals.mdl.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

EVAL_TYPE = "mdl"

command = eval_command(SPEC, adjust=lambda settings: {**PUBLISHED_RUN, **settings})
command.help = (
    f"{command.help} As in the published command, settings that are not given are all codes of a token, 8, 16, 32 and "
    "64 bins and a threshold of 0.2, not the defaults of the configuration class."
)

arguments = PublishedArguments(command, MDLEvalConfig, ("clean_up_activations",))
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: MDLEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`."""
    return entry_points.run_eval(SPEC, config, selected_saes, EntryOptions(Path(output_path), device, force_rerun))


def run_eval_single_sae(
    config: MDLEvalConfig, sae: Any, model: GivenModel, device: str, dataset_name: str | None = None
) -> list[dict[str, Any]]:
    """One record per number of bins and k of one SAE object; `dataset_name` goes before the configuration's."""
    if dataset_name is not None:
        config = replace(config, dataset_name=dataset_name)
    scores = entry_points.score_single_sae(SPEC, config, sae, model, device=device)
    return [detail.model_dump() for detail in scores.details]
