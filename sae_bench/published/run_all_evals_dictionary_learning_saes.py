"""All evals on every SAE of dictionary_learning repositories on the hub, or of local directories in their layout.

`sae-bench run --sae dictionary_learning:<repo or dir>` does the same, and loads only as many SAEs as fit into memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch

from sae_bench.cli.process import configure_logging
from sae_bench.cli.values import FOLDER
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.loaders.python_callable import DEFAULT_ID
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.errors import SAEMismatchError, UnknownNameError
from sae_bench.evals.registry import evals_of
from sae_bench.published import sae_loaders
from sae_bench.published.run_all_evals_custom_saes import (
    MODEL_CONFIGS,
    RANDOM_SEED,
    output_folders,
    read_api_key,
)
from sae_bench.published.suite import Suite, run_suite
from sae_bench.published.utils import general_utils

__all__ = [
    "MODEL_CONFIGS",
    "TRAINER_LOADERS",
    "get_all_hf_repo_autoencoders",
    "load_dictionary_learning_sae",
    "output_folders",
    "run_evals",
    "verify_saes_load",
]

TRAINER_LOADERS: dict[str, Callable[..., BaseSAE]] = {
    "MatryoshkaBatchTopKTrainer": sae_loaders.load_dictionary_learning_matryoshka_batch_topk_sae,
    "BatchTopKTrainer": sae_loaders.load_dictionary_learning_batch_topk_sae,
    "TopKTrainer": sae_loaders.load_dictionary_learning_topk_sae,
    "StandardTrainerAprilUpdate": sae_loaders.load_dictionary_learning_relu_sae,
    "StandardTrainer": sae_loaders.load_dictionary_learning_relu_sae,
    "PAnnealTrainer": sae_loaders.load_dictionary_learning_relu_sae,
    "JumpReluTrainer": sae_loaders.load_dictionary_learning_jump_relu_sae,
    "GatedSAETrainer": sae_loaders.load_dictionary_learning_gated_sae,
}
"""Trainer class -> the function that loads its checkpoints."""

PUBLISHED_REPOS = (
    ("adamkarvonen/saebench_pythia-160m-deduped_width-2pow14_date-0108", "pythia-160m-deduped"),
    ("canrager/saebench_gemma-2-2b_width-2pow14_date-0107", "gemma-2-2b"),
)


def get_all_hf_repo_autoencoders(repo_id: str, download_location: str = "downloaded_saes") -> list[str]:
    """Folders of a repository (or local directory) that hold an SAE; only configurations are fetched, into the cache.

    Raises:
        SAEBenchError: the repository cannot be had, or holds no SAE.
    """
    del download_location
    return [_location(handle) for handle in _handles(repo_id).values()]


def load_dictionary_learning_sae(
    repo_id: str,
    location: str,
    model_name: str,
    device: str,
    dtype: torch.dtype,
    layer: int | None = None,
    download_location: str = "downloaded_saes",
) -> BaseSAE:
    """One SAE of a repository.

    Raises:
        UnknownNameError: no SAE at this location.
        SAEMismatchError: it is of another layer.
        SAELoadError: broken files.
    """
    del download_location
    handle = _handle(repo_id, location)
    if layer is not None and handle.hook_name is not None and int(handle.hook_name.split(".")[1]) != layer:
        raise SAEMismatchError(f"'{location}' sits at {handle.hook_name}, layer {layer} was asked for.")
    sae: Any = handle.load(LoadContext(device=torch.device(device), dtype=dtype))
    sae.cfg = replace(sae.cfg, model_name=model_name)
    return sae


def verify_saes_load(
    repo_id: str, sae_locations: Sequence[str], model_name: str, device: str, dtype: torch.dtype
) -> None:
    """Load every SAE once, one after the other, and let it go. Errors as `load_dictionary_learning_sae`."""
    for location in sae_locations:
        load_dictionary_learning_sae(repo_id, location, model_name, device, dtype)


def run_evals(
    repo_id: str,
    model_name: str,
    sae_locations: Sequence[str],
    llm_batch_size: int,
    llm_dtype: str,
    device: str,
    eval_types: Sequence[str],
    random_seed: int,
    api_key: str | None = None,
    force_rerun: bool = False,
    *,
    n_seeds: int = 1,
    output_folder: str | Path = "eval_results",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Eval -> `<repo>_<location>_custom_sae` -> result, with the published settings; one pass for all evals and SAEs.

    An SAE that does not load is a failure of its own; the others go on.

    Args:
        api_key: key of the judge; without one, autointerp is left out.
        n_seeds: scores are means over so many seeds, from `random_seed` on.
        settings: eval -> setting -> value, over the published settings.
    Raises:
        SAEBenchError: as `run_suite`.
    """
    suite = Suite(
        model_name, eval_types, llm_batch_size, llm_dtype, device, random_seed, n_seeds, api_key, force_rerun,
        output_folder=Path(output_folder), settings=settings or {},
    )  # fmt: skip
    repo = repo_id.rstrip("/").rsplit("/", 1)[-1]
    handles = [
        replace(_handle(repo_id, location), release=f"{repo}_{location.replace('/', '_')}", sae_id=DEFAULT_ID)
        for location in sae_locations
    ]
    return run_suite(suite, handles)


def _handles(repo_id: str) -> dict[str, SAEHandle]:
    """Location -> SAE."""
    return {_location(handle): handle for handle in resolve_spec(f"dictionary_learning:{repo_id}")}


def _location(handle: SAEHandle) -> str:
    return "." if handle.sae_id == DEFAULT_ID else handle.sae_id


def _handle(repo_id: str, location: str) -> SAEHandle:
    known = _handles(repo_id)
    if location not in known:
        raise UnknownNameError(f"SAE of {repo_id}", location, known)
    return known[location]


@click.command()
@click.option("--repo", "repos", multiple=True, help="<repository or directory>=<model>; repeat for several.")
@click.option(
    "--eval_types", default=",".join(evals_of("language")), show_default=True, help="Evals, separated by commas."
)
@click.option(
    "--exclude", multiple=True, default=("checkpoints",), show_default=True, help="Words of SAEs to leave out."
)
@click.option("--include", multiple=True, help="Words that an SAE's location must have.")
@click.option("--output_folder", type=FOLDER, default=Path("eval_results"), show_default=True)
@click.option("--force_rerun", is_flag=True, help="Compute again what is there already.")
def command(
    repos: tuple[str, ...],
    eval_types: str,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    output_folder: Path,
    force_rerun: bool,
) -> None:
    """All evals on all SAEs of the repositories; by default those of the published suite of width 2^14."""
    configure_logging(verbose=False)
    device = general_utils.setup_environment()
    chosen = [tuple(re.split("=(?=[^=]*$)", repo)) for repo in repos] or list(PUBLISHED_REPOS)
    for repo_id, model_name in chosen:
        config = MODEL_CONFIGS.get(model_name, {"batch_size": 32, "dtype": "auto"})
        locations = general_utils.filter_keywords(get_all_hf_repo_autoencoders(repo_id), exclude, include)
        run_evals(
            repo_id, model_name, locations, config["batch_size"], config["dtype"], device, eval_types.split(","),
            RANDOM_SEED, api_key=read_api_key(), force_rerun=force_rerun, output_folder=output_folder,
        )  # fmt: skip
