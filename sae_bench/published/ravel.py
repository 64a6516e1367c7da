"""`python -m sae_bench.evals.ravel.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import UsageError
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.spec import SPEC
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel

MDAS = "mdas"
MDAS_EPOCHS = 10


def mdas_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """MDAS trains longer, unless the number of epochs was given."""
    return {"num_epochs": MDAS_EPOCHS, **settings} if settings.get("train_mdas") else settings


def mdas_result(handles: list[SAEHandle], settings: Mapping[str, Any]) -> list[SAEHandle]:
    """The SAEs as they are; with MDAS the one that names the hook, and the result is called `mdas`.

    Raises:
        UsageError: MDAS with several SAEs.
    """
    if not settings.get("train_mdas"):
        return handles
    if len(handles) != 1:
        names = ", ".join(f"{handle.release}:{handle.sae_id}" for handle in handles[:4])
        raise UsageError(
            f"train_mdas leaves the SAE aside and takes only its hook, so choose one SAE; {len(handles)} match: {names}"
        )
    return [dataclasses.replace(handles[0], release=MDAS, sae_id=MDAS)]


command = eval_command(SPEC, adjust=mdas_settings, choose=mdas_result)

arguments = PublishedArguments(command, RAVELEvalConfig, ("artifacts_path",), batch_share=4, adjust=mdas_settings)
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: RAVELEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    output_path: str | Path,
    force_rerun: bool = False,
    artifacts_path: str | Path = "artifacts",
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`.

    Completions are kept in the config's `artifact_dir`, below the output folder; nothing in `artifacts_path`.
    """
    del artifacts_path
    handles = mdas_result(entry_points.handles_of(selected_saes), {"train_mdas": config.train_mdas})
    options = EntryOptions(Path(output_path), device, force_rerun)
    summary = entry_points.evaluate_selected(SPEC, handles, entry_points.settings_of(config), options)
    return entry_points.finished(summary)


def run_eval_single_sae(
    config: RAVELEvalConfig, sae: Any, model: GivenModel, device: str, artifacts_folder: str | Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of one SAE object, means first and then per entity class, and those of every attribute."""
    folder = Path(artifacts_folder)
    scores = entry_points.score_single_sae(SPEC, config, sae, model, device=device, artifacts_path=folder)
    keys = ("cause_score", "isolation_score", "disentangle_score")
    per_class = {key: value for key, value in scores.unstructured.items() if key.endswith("_results")}
    results: dict[str, Any] = dict(zip(keys, (None, None, None), strict=True))
    for name, of_attributes in per_class.items():
        results[name] = {key: _mean([values[key] for values in of_attributes.values()]) for key in keys}
    for key in keys:
        results[key] = _mean([results[name][key] for name in per_class])
    return results, per_class


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
