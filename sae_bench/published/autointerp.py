"""`python -m sae_bench.evals.autointerp.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sae_bench.atomic import atomic_path, write_text_atomically
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.evaluate import pack_rows
from sae_bench.evals.autointerp.spec import SPEC
from sae_bench.evals.base import EvalContext
from sae_bench.language_models import load_language_model
from sae_bench.published import entry_points
from sae_bench.published.arguments import PublishedArguments
from sae_bench.published.autointerp_class import (
    AutoInterp,
    escape_slash,
    run_to_its_end,
)
from sae_bench.published.autointerp_class import (
    Messages as Messages,
)
from sae_bench.published.autointerp_class import (
    display_messages as display_messages,
)
from sae_bench.published.autointerp_class import (
    str_bool as str_bool,
)
from sae_bench.published.entry_points import EntryOptions, SelectedSAE
from sae_bench.published.eval_command import eval_command
from sae_bench.published.models import GivenModel, borrowed

command = eval_command(SPEC)

arguments = PublishedArguments(command, AutoInterpEvalConfig, ("artifacts_path",))
arg_parser = arguments.arg_parser
create_config_and_selected_saes = arguments.create_config_and_selected_saes


def run_eval(
    config: AutoInterpEvalConfig,
    selected_saes: Sequence[SelectedSAE],
    device: str,
    api_key: str | None,
    output_path: str | Path,
    force_rerun: bool = False,
    save_logs_path: str | Path | None = None,
    artifacts_path: str | Path = "artifacts",
) -> dict[str, dict[str, Any]]:
    """Evaluate SAEs, (release, id) or (name, SAE object); returns `<release>_<id>` -> result. See `entry_points`.

    Args:
        api_key: of the judge; None takes OPENAI_API_KEY or `openai_api_key.txt`. It is written nowhere.
        save_logs_path: a text file with a table of all latents and the conversations about the best and the worst.
        artifacts_path: nothing is kept there; the judge's replies are in the folder `judge_cache`.
    """
    del artifacts_path
    options = EntryOptions(Path(output_path), device, force_rerun, judge_key=api_key)
    results = entry_points.run_eval(SPEC, config, selected_saes, options)
    if save_logs_path is not None:
        logs = (f"{name}\n\n{as_text(result['eval_result_unstructured'])}" for name, result in results.items())
        write_text_atomically(Path(save_logs_path), "\n\n".join(logs))
    return results


def run_eval_single_sae(
    config: AutoInterpEvalConfig,
    sae: Any,
    model: GivenModel,
    device: str,
    artifacts_folder: str | Path,
    api_key: str | None,
    sae_sparsity: torch.Tensor | None = None,
) -> dict[int, dict[str, Any]]:
    """Latent -> explanation, predictions, correct numbers, score and log of one SAE object.

    The rows that are read are kept as `<model>_<total_tokens>_tokens_<llm_context_size>_ctx.pt` in `artifacts_folder`.
    Which latents are live is counted on them; `sae_sparsity` is not read.
    """
    del sae_sparsity
    with borrowed(model) as taken:
        lm = (
            load_language_model(taken, device=device, dtype=config.llm_dtype or "auto")
            if isinstance(taken, str)
            else taken
        )
        rows_RL = pack_rows(EvalContext(lm, (), (config.random_seed,)), config)
        name = f"{escape_slash(config.model_name)}_{config.total_tokens}_tokens_{config.llm_context_size}_ctx.pt"
        Path(artifacts_folder).mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(artifacts_folder) / name) as partial:
            torch.save(rows_RL.cpu(), partial)
        return run_to_its_end(AutoInterp(config, lm, sae, rows_RL, None, device, api_key).run())


def as_text(records: Mapping[str, Mapping[str, Any]]) -> str:
    """All latents in a table, then the conversations about the worst and the best."""
    lines = [f"{'latent':>8}  {'score':>6}  explanation"]
    lines += [f"{r['latent']:>8}  {_number(r['score']):>6}  {r['explanation']}" for r in records.values()]
    scored = sorted((r for r in records.values() if r["score"] is not None), key=lambda r: r["score"])
    if scored:
        for title, record in (("worst", scored[0]), ("best", scored[-1])):
            lines.append(
                f"\nThe {title} score, {record['score']:.3f}, has latent {record['latent']}:\n\n{record['logs']}"
            )
    return "\n".join(lines)


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
