"""Several evals of SAEs that a script holds, in one pass of the model: what the `run_all_evals_*` scripts call."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sae_bench.activations.one_pass import PassOptions
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel, load_language_model
from sae_bench.published.entry_points import finished
from sae_bench.results.model import BaseEvalConfig, config_fields
from sae_bench.run import planning
from sae_bench.run.runner import EvalRequest, RunPlan, RunSummary, run

logger = logging.getLogger(__name__)

JUDGED = "autointerp"
"""The eval that needs a key; it runs through its own entry point."""

UNLEARNING = "unlearning"
INSTRUCTION_TUNED = {"gemma-2-2b": "gemma-2-2b-it", "gemma-2-9b": "gemma-2-9b-it"}
"""Models whose instruction-tuned version the published unlearning results were made on."""

CONTEXT_LENGTH = 128


@dataclass(frozen=True)
class Suite:
    """What to run, on which model.

    Attributes:
        llm_batch_size: texts that the model reads at once.
        n_seeds: seeds from `random_seed` on; scores are means over them.
        settings: eval -> setting -> value, over the published settings.
        api_key: key of the judge; without one, autointerp is left out.
    """

    model_name: str
    eval_types: Sequence[str]
    llm_batch_size: int
    llm_dtype: str
    device: str
    random_seed: int = planning.FIRST_SEED
    n_seeds: int = 1
    api_key: str | None = None
    force_rerun: bool = False
    output_folder: Path = Path("eval_results")
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def run_suite(suite: Suite, handles: Sequence[SAEHandle]) -> dict[str, dict[str, dict[str, Any]]]:
    """Eval -> `<release>_<id>` -> the content of its result file; results are in `<output_folder>/<eval>`.

    Raises:
        UnknownNameError: there is no such eval.
        IncompleteRunError: some SAEs failed; the results of the others are written.
    """
    specs = [get_eval(name) for name in dict.fromkeys(suite.eval_types)]
    shared: dict[str, list[EvalSpec]] = {}
    for spec in specs:
        if spec.name != JUDGED:
            shared.setdefault(_model_of(suite, spec), []).append(spec)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for model_name, chosen in shared.items():
        lm = load_language_model(model_name, device=suite.device, dtype=suite.llm_dtype)
        summary = run(_plan(suite, lm, chosen, handles))
        finished(summary)  # raises if some failed
        results |= {spec.name: finished(_of_eval(summary, suite.output_folder / spec.name)) for spec in chosen}
        del lm  # before the next one is loaded
    if any(spec.name == JUDGED for spec in specs):
        results |= _judged(suite, handles)
    return results


def _model_of(suite: Suite, spec: EvalSpec) -> str:
    if spec.name == UNLEARNING:
        return INSTRUCTION_TUNED.get(suite.model_name, suite.model_name)
    return suite.model_name


def _plan(suite: Suite, lm: LanguageModel, specs: Sequence[EvalSpec], handles: Sequence[SAEHandle]) -> RunPlan:
    n_texts = suite.llm_batch_size
    return RunPlan(
        lm=lm,
        evals=[EvalRequest(spec, _config(suite, spec, lm)) for spec in specs],
        handles=planning.place_baselines(handles, None),
        output_folder=suite.output_folder,
        load_context=planning.load_context(lm),
        seeds=planning.seed_list(suite.n_seeds, suite.random_seed),
        force_rerun=suite.force_rerun,
        pass_options=PassOptions(max_texts=n_texts, max_tokens=n_texts * CONTEXT_LENGTH),
    )


def _config(suite: Suite, spec: EvalSpec, lm: LanguageModel) -> BaseEvalConfig:
    """The published settings, those of the suite, then those that the caller set."""
    n_texts = max(suite.llm_batch_size // 8, 1) if spec.name == UNLEARNING else suite.llm_batch_size
    own = {"llm_batch_size": n_texts} if "llm_batch_size" in config_fields(spec.config) else {}
    overrides = {**own, **suite.settings.get(spec.name, {})}
    return planning.resolve_config(spec, preset="paper", overrides=overrides, lm=lm, seed=suite.random_seed)


def _of_eval(summary: RunSummary, folder: Path) -> RunSummary:
    return RunSummary(
        written=[path for path in summary.written if path.parent == folder],
        skipped=[path for path in summary.skipped if path.parent == folder],
    )


def _judged(suite: Suite, handles: Sequence[SAEHandle]) -> dict[str, dict[str, dict[str, Any]]]:
    """autointerp through its entry point, which takes the key."""
    if suite.api_key is None:
        logger.warning("autointerp is left out: it needs the key of a judge (api_key).")
        return {}
    spec = get_eval(JUDGED)
    lm = load_language_model(suite.model_name, device=suite.device, dtype=suite.llm_dtype)
    config = _config(suite, spec, lm)
    context = planning.load_context(lm)
    del lm
    main = importlib.import_module("sae_bench.published.autointerp")
    saes = [(handle.release, handle.load(context)) for handle in handles]
    folder = suite.output_folder / JUDGED
    return {JUDGED: main.run_eval(config, saes, suite.device, suite.api_key, folder, suite.force_rerun)}
