"""Several evals of SAEs that a script holds, in one pass of the model: what the `run_all_evals_*` scripts call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.evals.base import JUDGE, EvalSpec
from sae_bench.published.entry_points import finished
from sae_bench.results.model import batch_field, config_fields
from sae_bench.run.evaluate import execute
from sae_bench.run.planning import FIRST_SEED, choose_evals
from sae_bench.run.request import RunRequest
from sae_bench.run.runner import RunSummary

logger = logging.getLogger(__name__)

UNLEARNING = "unlearning"
INSTRUCTION_TUNED = {"gemma-2-2b": "gemma-2-2b-it", "gemma-2-9b": "gemma-2-9b-it"}
"""Models whose instruction-tuned version the published unlearning results were made on."""


@dataclass(frozen=True)
class Suite:
    """What to run, on which model.

    Attributes:
        llm_batch_size: texts that the model reads at once.
        n_seeds: seeds from `random_seed` on; scores are means over them.
        settings: eval -> setting -> value, over the published settings.
        api_key: key of the judge; without one, evals that ask a judge at an endpoint are left out.
    """

    model_name: str
    eval_types: Sequence[str]
    llm_batch_size: int
    llm_dtype: str
    device: str
    random_seed: int = FIRST_SEED
    n_seeds: int = 1
    api_key: str | None = field(default=None, repr=False)
    force_rerun: bool = False
    output_folder: Path = Path("eval_results")
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def run_suite(suite: Suite, handles: Sequence[SAEHandle]) -> dict[str, dict[str, dict[str, Any]]]:
    """Eval -> `<release>_<id>` -> the content of its result file; results are in `<output_folder>/<eval>`.

    Raises:
        UnknownNameError: there is no such eval.
        IncompleteRunError: some SAEs failed; the results of the others are written.
    """
    by_model: dict[str, list[EvalSpec]] = {}
    for spec in choose_evals(suite.eval_types):
        if JUDGE in spec.needs and suite.api_key is None and _asks_an_endpoint(suite, spec):
            logger.warning("%s is left out: it needs the key of a judge (api_key).", spec.name)
            continue
        by_model.setdefault(_model_of(suite, spec), []).append(spec)
    summaries = {model: execute(_request(suite, model, specs, handles)) for model, specs in by_model.items()}
    whole = RunSummary()
    for summary in summaries.values():
        whole.add(summary)
    finished(whole)  # raises if some failed
    return {
        spec.name: finished(_of_eval(summaries[model], suite.output_folder / spec.name))
        for model, specs in by_model.items()
        for spec in specs
    }


def _asks_an_endpoint(suite: Suite, spec: EvalSpec) -> bool:
    default = config_fields(spec.config)["judge"].default
    return suite.settings.get(spec.name, {}).get("judge", default) == "openai"


def _model_of(suite: Suite, spec: EvalSpec) -> str:
    if spec.name == UNLEARNING:
        return INSTRUCTION_TUNED.get(suite.model_name, suite.model_name)
    return suite.model_name


def _request(suite: Suite, model: str, specs: Sequence[EvalSpec], handles: Sequence[SAEHandle]) -> RunRequest:
    return RunRequest.of(
        targets=[{"model": model, "saes": tuple(handles), "llm_dtype": suite.llm_dtype}],
        evals=specs,
        settings={spec.name: _settings(suite, spec) for spec in specs},
        seeds=suite.n_seeds,
        random_seed=suite.random_seed,
        output_folder=suite.output_folder,
        device=suite.device,
        force_rerun=suite.force_rerun,
        judge_key=suite.api_key,
    )


def _settings(suite: Suite, spec: EvalSpec) -> dict[str, Any]:
    """What goes over the published settings of an eval: the suite's batch size, then what the caller set."""
    n_texts = max(suite.llm_batch_size // 8, 1) if spec.name == UNLEARNING else suite.llm_batch_size
    batch = batch_field(spec.config)
    own = {} if batch is None else {batch: n_texts}
    return {**own, **suite.settings.get(spec.name, {})}


def _of_eval(summary: RunSummary, folder: Path) -> RunSummary:
    return RunSummary(
        written=[path for path in summary.written if path.parent == folder],
        skipped=[path for path in summary.skipped if path.parent == folder],
    )
