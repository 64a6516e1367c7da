"""`python -m sae_bench.evals.meta_structure.main --sae_regex_pattern .. --sae_id_pattern ..`"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.spec import LoadContext
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.eval_output import EVAL_TYPE_ID_META_STRUCTURE, MetaStructureEvalOutput
from sae_bench.evals.meta_structure.evaluate import score_decoder
from sae_bench.evals.meta_structure.spec import SPEC
from sae_bench.language_models.load import DTYPES
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE, object_handle
from sae_bench.published.eval_command import eval_command
from sae_bench.results.provenance import config_as_dict, package_commit, sae_lens_version

command = eval_command(SPEC, model_required=False)
command.params = [
    click.Option(["sae_block_pattern", "--sae_id_pattern", "--sae_block_pattern"], help=option.help)
    if isinstance(option, click.Option) and option.name == "sae_block_pattern"
    else option
    for option in command.params
]

arguments = PublishedArguments(command, MetaStructureEvalConfig, ("sae_id_pattern",))
arg_parser, create_config = arguments.arg_parser, arguments.create_config


def run_eval(
    config: MetaStructureEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
) -> dict[str, float]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> variance explained."""
    options = EntryOptions(Path(output_path), device, force_rerun)
    results = entry_points.run_eval(SPEC, config, selected_saes, options)
    return {
        name: result["eval_result_metrics"]["meta_structure"]["decoder_fraction_variance_explained"]
        for name, result in results.items()
    }


def run_eval_single_sae(
    sae_release: str, sae_id: str, sae: Any, config: MetaStructureEvalConfig, device: str
) -> MetaStructureEvalOutput:
    """The result of one SAE object with the configuration's seed; no language model is loaded, nothing is written."""
    own = object_handle(sae_release, sae).load(LoadContext(torch.device(device), DTYPES[config.dtype]))
    fold_decoder_norm(own)
    scores = score_decoder(own.W_dec.detach(), (config.random_seed,), config)
    return MetaStructureEvalOutput.model_validate(
        {
            "eval_type_id": EVAL_TYPE_ID_META_STRUCTURE,
            "eval_config": config,
            "eval_id": str(uuid.uuid4()),
            "datetime_epoch_millis": int(time.time() * 1000),
            "eval_result_metrics": scores.metrics,
            "sae_bench_commit_hash": package_commit() or "Unknown",
            "sae_lens_id": sae_id,
            "sae_lens_release_id": sae_release,
            "sae_lens_version": sae_lens_version(),
            "sae_cfg_dict": config_as_dict(own.cfg),
            "seed_results": scores.seed_results,
        }
    )
