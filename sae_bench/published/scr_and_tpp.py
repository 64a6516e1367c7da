"""`python -m sae_bench.evals.scr_and_tpp.main --perform_scr true|false --sae_regex_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sae_bench.evals.base import EvalSpec
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig, ScrEvalConfig, TppEvalConfig
from sae_bench.evals.scr_and_tpp.spec import SPECS
from sae_bench.published import entry_points
from sae_bench.published.arguments import ACTIVATION_FLAGS, PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel
from sae_bench.results.model import config_values


def _command() -> click.Command:
    """One command over both evals; results go into `<output_folder>/scr` or `<output_folder>/tpp`, as published."""
    commands = {perform_scr: eval_command(spec) for perform_scr, spec in SPECS.items()}
    either = commands[True]
    choice = click.Option(
        ["--perform_scr"],
        type=click.BOOL,
        required=True,
        help="true: spurious correlation removal (scr); false: targeted probe perturbation (tpp).",
    )
    folder = click.Option(
        ["--output_folder"],
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("eval_results"),
        show_default=True,
        help="Where results go: <folder>/scr/<release>_<id>_eval_results.json, or <folder>/tpp.",
    )
    replaced = {"perform_scr": choice, "output_folder": folder}

    def callback(perform_scr: bool, output_folder: Path, **given: Any) -> None:
        run = commands[perform_scr].callback
        assert run is not None
        run(**given, output_folder=output_folder / SPECS[perform_scr].name)

    return click.Command(
        "scr_and_tpp",
        params=[replaced.get(param.name or "", param) for param in either.params],
        callback=callback,
        help="Spurious correlation removal or targeted probe perturbation.",
        context_settings=either.context_settings,
    )


command = _command()

arguments = PublishedArguments(command, ScrAndTppEvalConfig, ACTIVATION_FLAGS)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: ScrAndTppEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
    clean_up_activations: bool = False,
    save_activations: bool = False,
    artifacts_path: str | Path = "artifacts",
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result.

    `config.perform_scr` chooses the eval; results go into `<output_path>/scr` or `<output_path>/tpp`.
    """
    spec, own = _chosen(config)
    artifacts = Path(artifacts_path) if save_activations else None
    options = EntryOptions(Path(output_path) / spec.name, device, force_rerun, artifacts, clean_up_activations)
    return entry_points.run_eval(spec, own, selected_saes, options)


def run_eval_single_sae(
    config: ScrAndTppEvalConfig,
    sae: Any,
    model: GivenModel,
    device: str,
    artifacts_folder: str | Path,
    save_activations: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores (means, then those of every pair or data set by name) of one SAE object, and the unstructured results."""
    spec, own = _chosen(config)
    artifacts = Path(artifacts_folder) if save_activations else None
    scores = entry_points.score_single_sae(spec, own, sae, model, device=device, artifacts_path=artifacts)
    results: dict[str, Any] = {}
    for category in scores.metrics.model_dump(exclude_none=True).values():
        results |= category
    for detail in scores.details:
        values = detail.model_dump(exclude_none=True)
        results[values.pop("dataset_name")] = values
    return results, scores.unstructured


def _chosen(config: ScrAndTppEvalConfig) -> tuple[EvalSpec, ScrAndTppEvalConfig]:
    """The eval that the config asks for, and its settings as that eval's own."""
    own = ScrEvalConfig if config.perform_scr else TppEvalConfig
    return SPECS[config.perform_scr], own(**config_values(config))
