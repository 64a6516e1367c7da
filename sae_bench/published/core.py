"""`python -m sae_bench.evals.core.main SAE_REGEX_PATTERN SAE_BLOCK_PATTERN`; the patterns may also be flags."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command, only_chosen
from sae_bench.published.utils.sae_selection_utils import all_loadable_saes as all_loadable_saes

logger = logging.getLogger(__name__)

DEFAULT_FLOAT_PRECISION = 10
"""Decimals of latents' statistics in a result file."""

command = eval_command(SPEC, positional_patterns=True, model_required=False, adjust=only_chosen(SPEC, "compute_"))
command.help = f"{command.help} If any --compute_* flag is given, only those given are computed; without any, all are."
for option in command.params:
    if isinstance(option, click.Option) and str(option.name).startswith("compute_"):
        option.help = f"{option.help} Given alone, it turns the others off."
    if option.name == "output_folder":
        option.default = Path("eval_results")

arguments = PublishedArguments(command, CoreEvalConfig, positional=True, switches="compute_")
arg_parser = arguments.arg_parser


def run_eval(
    config: CoreEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`."""
    return entry_points.run_eval(SPEC, config, selected_saes, EntryOptions(Path(output_path), device, force_rerun))


def multiple_evals(
    selected_saes: Sequence[SelectedSAE], n_eval_reconstruction_batches: int, n_eval_sparsity_variance_batches: int,
    eval_batch_size_prompts: int = 8, compute_featurewise_density_statistics: bool = False,
    compute_featurewise_weight_based_metrics: bool = False, exclude_special_tokens_from_reconstruction: bool = False,
    dataset: str = "Skylion007/openwebtext", context_size: int = 128, output_folder: str | Path = "eval_results",
    verbose: bool = False, dtype: str = "float32", device: str = "auto", force_rerun: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """`run_eval` in the published form: each SAE on the model that it names, one record per SAE."""
    config = CoreEvalConfig(
        llm_dtype=dtype,
        batch_size_prompts=eval_batch_size_prompts,
        n_eval_reconstruction_batches=n_eval_reconstruction_batches,
        n_eval_sparsity_variance_batches=n_eval_sparsity_variance_batches,
        dataset=dataset,
        context_size=context_size,
        compute_featurewise_density_statistics=compute_featurewise_density_statistics,
        compute_featurewise_weight_based_metrics=compute_featurewise_weight_based_metrics,
        exclude_special_tokens_from_reconstruction=exclude_special_tokens_from_reconstruction,
        verbose=verbose,
    )
    results = run_eval(config, selected_saes, device, output_folder, force_rerun)
    return [_record(name, result) for name, result in results.items()]


def run_evaluations(args: Namespace) -> list[dict[str, Any]]:
    """`multiple_evals` of the SAEs that two patterns match, with the settings of a parsed command line.

    As published, all metrics are computed; of the switches, only those of the latents' statistics have an effect.

    Raises:
        UsageError: no SAE matches.
    """
    return multiple_evals(
        arguments.selected_saes(args),
        args.n_eval_reconstruction_batches,
        args.n_eval_sparsity_variance_batches,
        args.batch_size_prompts,
        args.compute_featurewise_density_statistics,
        args.compute_featurewise_weight_based_metrics,
        args.exclude_special_tokens_from_reconstruction,
        args.dataset,
        args.context_size,
        args.output_folder,
        args.verbose,
        args.llm_dtype,
        force_rerun=args.force_rerun,
    )


def _record(name: str, result: dict[str, Any]) -> dict[str, Any]:
    details = result["eval_result_details"]
    columns = [key for key in details[0] if key != "index"] if details else []
    return {
        "unique_id": name,
        "sae_set": result["sae_lens_release_id"],
        "sae_id": result["sae_lens_id"],
        "eval_cfg": CoreEvalConfig(**result["eval_config"]),
        "metrics": result["eval_result_metrics"],
        "feature_metrics": {key: [latent[key] for latent in details] for key in columns},
    }


# ---- dictionaries


def nested_dict() -> defaultdict[Any, Any]:
    """A dictionary of dictionaries to any depth, made as they are asked for."""
    return defaultdict(nested_dict)


def dict_to_nested(flat_dict: Mapping[str, Any]) -> defaultdict[Any, Any]:
    """`{"a/b": 1}` -> `{"a": {"b": 1}}`"""
    whole = nested_dict()
    for path, value in flat_dict.items():
        *folders, last = path.split("/")
        inner = whole
        for folder in folders:
            inner = inner[folder]
        inner[last] = value
    return whole


def replace_nans_with_negative_one(obj: Any) -> Any:
    """The same with -1 in place of every NaN, within dictionaries and lists too."""
    if isinstance(obj, Mapping):
        return {key: replace_nans_with_negative_one(value) for key, value in obj.items()}
    if isinstance(obj, list):
        return list(map(replace_nans_with_negative_one, obj))
    return -1 if isinstance(obj, float) and math.isnan(obj) else obj
