"""`python -m sae_bench.evals.unlearning.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

EVAL_TYPE = "unlearning"


def _published_flags(command: click.Command) -> click.Command:
    """This eval was published with another name for one of the common flags; both are taken."""
    for option in command.params:
        if option.name == "clean_up_activations":
            option.opts.append("--clean_up_artifacts")
    return command


command = _published_flags(eval_command(SPEC))

arguments = PublishedArguments(command, UnlearningEvalConfig, ("artifacts_path", "clean_up_artifacts"), batch_share=8)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: UnlearningEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
    clean_up_artifacts: bool = False,
    artifacts_path: str | Path = "artifacts",
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`.

    Nothing is kept in `artifacts_path`: known questions and sparsities are found again in seconds to minutes.
    """
    del clean_up_artifacts, artifacts_path
    return entry_points.run_eval(SPEC, config, selected_saes, EntryOptions(Path(output_path), device, force_rerun))


def run_eval_single_sae(
    model: GivenModel,
    sae: Any,
    config: UnlearningEvalConfig,
    artifacts_folder: str | Path,
    sae_release_and_id: str,
    force_rerun: bool,
) -> list[dict[str, Any]]:
    """Accuracies of one SAE object on every data set: without a clamp first, then under each setting."""
    del artifacts_folder, sae_release_and_id, force_rerun
    scores = entry_points.score_single_sae(SPEC, config, sae, model)
    questions = scores.unstructured["questions"]
    untouched = {name: {"mean_correct": of_subset["accuracy_without_clamp"]} for name, of_subset in questions.items()}
    settings: list[dict[str, Any]] = []
    for row in scores.details:
        values = row.model_dump()
        accuracies = {name: {"mean_correct": accuracy} for name, accuracy in values.pop("accuracies").items()}
        settings.append({**accuracies, "ablate_params": values})
    return [untouched, *settings]


def convert_ndarrays_to_lists(obj: Any) -> Any:
    """The same with arrays as lists, within dictionaries and lists too."""
    if isinstance(obj, dict):
        return {key: convert_ndarrays_to_lists(value) for key, value in obj.items()}
    if isinstance(obj, list):
        return list(map(convert_ndarrays_to_lists, obj))
    return obj.tolist() if isinstance(obj, np.ndarray) else obj
