"""All evals on SAE objects that a script holds: call `run_evals`, or copy this file and change `example_saes`.

`sae-bench run --sae python:<module>:<callable>` does the same without a script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch

from sae_bench.cli.process import configure_logging
from sae_bench.cli.values import FOLDER
from sae_bench.custom_saes.identity_sae import IdentitySAE
from sae_bench.evals.registry import evals_of
from sae_bench.published.entry_points import SelectedSAE, handles_of
from sae_bench.published.suite import Suite, run_suite
from sae_bench.published.utils import general_utils

RANDOM_SEED = 42

_PUBLISHED = {
    "pythia-70m-deduped": (512, "float32", [3, 4], 512),
    "pythia-160m-deduped": (256, "float32", [8], 768),
    "gemma-2-2b": (32, "bfloat16", [5, 12, 19], 2304),
}
MODEL_CONFIGS: dict[str, dict[str, Any]] = {
    name: {"batch_size": batch_size, "dtype": dtype, "layers": layers, "d_model": d_model}
    for name, (batch_size, dtype, layers, d_model) in _PUBLISHED.items()
}
"""Batch sizes for a 24 GB GPU, and the layers of the published SAEs. Other models run too."""

output_folders = {name: f"eval_results/{name}" for name in evals_of("language")}


def run_evals(
    model_name: str,
    selected_saes: Sequence[SelectedSAE],
    llm_batch_size: int,
    llm_dtype: str,
    device: str,
    eval_types: Sequence[str],
    api_key: str | None = None,
    force_rerun: bool = False,
    save_activations: bool = False,
    *,
    n_seeds: int = 1,
    output_folder: str | Path = "eval_results",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Eval -> `<name>_custom_sae` -> result, with the published settings; all evals share one pass of the model.

    Args:
        selected_saes: (name, SAE object), or (release, id) of a pretrained SAE.
        api_key: key of the judge; without one, autointerp is left out.
        save_activations: accepted as published; one pass has nothing to save for a later one.
        n_seeds: scores are means over so many seeds, from 42 on.
        settings: eval -> setting -> value, over the published settings.
    Raises:
        SAEBenchError: as `run_suite`.
    """
    del save_activations
    suite = Suite(
        model_name, eval_types, llm_batch_size, llm_dtype, device, RANDOM_SEED, n_seeds, api_key, force_rerun,
        output_folder=Path(output_folder), settings=settings or {},
    )  # fmt: skip
    return run_suite(suite, handles_of(selected_saes))


def example_saes(model_name: str, dtype: str, device: str) -> list[SelectedSAE]:
    """The identity at the published layers of a model."""
    config, torch_dtype = MODEL_CONFIGS[model_name], general_utils.str_to_dtype(dtype)

    def identity(layer: int) -> IdentitySAE:
        return IdentitySAE(config["d_model"], model_name, layer, torch.device(device), torch_dtype)

    return [(f"{model_name}_layer_{layer}_identity_sae", identity(layer)) for layer in config["layers"]]


@click.command()
@click.option("--model_name", type=click.Choice(list(MODEL_CONFIGS)), default="gemma-2-2b", show_default=True)
@click.option(
    "--eval_types", default=",".join(evals_of("language")), show_default=True, help="Evals, separated by commas."
)
@click.option("--output_folder", type=FOLDER, default=Path("eval_results"), show_default=True)
@click.option("--force_rerun", is_flag=True, help="Compute again what is there already.")
def command(model_name: str, eval_types: str, output_folder: Path, force_rerun: bool) -> None:
    """All evals on the identity, as an example: copy the file and put your SAEs in place of `example_saes`."""
    configure_logging(verbose=False)
    config, device = MODEL_CONFIGS[model_name], general_utils.setup_environment()
    run_evals(
        model_name, example_saes(model_name, config["dtype"], device), config["batch_size"], config["dtype"], device,
        eval_types.split(","), api_key=read_api_key(), force_rerun=force_rerun, output_folder=output_folder,
    )  # fmt: skip


def read_api_key(path: str | Path = "openai_api_key.txt") -> str | None:
    """The judge's key from a file in the working directory; None if there is none."""
    file = Path(path)
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None
