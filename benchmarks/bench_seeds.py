"""What more seeds cost: the probing evals together, with one seed and with five."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common import Page

EVALS = ("sparse_probing", "scr", "tpp", "absorption")
SAE = "embedded:topk"
SETTINGS: dict[str, dict[str, Any]] = {
    "sparse_probing": {"probe_train_set_size": 160, "probe_test_set_size": 80},
    "scr": {"train_set_size": 300, "test_set_size": 176},
    "tpp": {"train_set_size": 160, "test_set_size": 80},
    "absorption": {"max_words": 780},
}
"""Smaller than `--preset quick`, which gives what is not named here."""
SEEDS = 5


def measure(work: Path) -> Page:
    """Seconds of one seed, and of the others on top of it; this package alone."""
    from sae_bench.evals.registry import eval_names
    from sae_bench.language_models import load_language_model

    lm = load_language_model("embedded", device="cpu", dtype="float32")
    evals = tuple(name for name in EVALS if name in eval_names())
    one, many = (_run(lm, evals, n, work) for n in (1, SEEDS))
    more = many["prepare"] + many["score"] - one["prepare"] - one["score"]
    introduction = (
        f"{', '.join(evals)} in one run on `{SAE}`, float32, with 1 and with {SEEDS} seeds; `--preset quick`, except "
        f"for {'; '.join(_settings(name) for name in evals if SETTINGS[name])}. Texts stay the same over seeds: the "
        "pass is paid once, a seed costs its probes. Seconds of the pass are those of the first run on both sides: it "
        "reads the same tokens, and a shared machine's speed varies more than seeds cost."
    )
    facts = [
        f"The first seed: {one['total']:.1f} s ({one['pass']:.1f} s of them the pass over {one['n_tokens']:,.0f} "
        f"tokens, {one['prepare']:.1f} s preparing, {one['score']:.1f} s probes and scores).",
        f"{SEEDS - 1} more seeds: {more:.1f} s, **{more / one['total']:.2f} of the first** ({many['prepare']:.1f} s "
        f"preparing and {many['score']:.1f} s probes and scores of all {SEEDS}).",
        f"Tokens that the model read: {one['n_tokens']:,.0f} with 1 seed, {many['n_tokens']:,.0f} with {SEEDS}.",
    ]
    return Page("more seeds", introduction, [], facts)


def _settings(name: str) -> str:
    return ", ".join(f"`{name}.{key}={value}`" for key, value in SETTINGS[name].items())


def _run(lm: Any, evals: tuple[str, ...], n_seeds: int, work: Path) -> dict[str, float]:
    """Seconds of a run of the engine, loading left out."""
    from sae_bench.evals.registry import get_eval
    from sae_bench.run import planning
    from sae_bench.run.runner import EvalRequest, RunPlan, run

    specs = [get_eval(name) for name in evals]
    requests = [
        EvalRequest(spec, planning.resolve_config(spec, preset="quick", overrides=SETTINGS[spec.name], lm=lm))
        for spec in specs
    ]
    prepare = _Clock()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        handles = planning.resolve_saes([SAE])
        plan = RunPlan(
            lm=lm,
            evals=requests,
            handles=handles,
            output_folder=Path(folder),
            load_context=planning.load_context(lm),
            seeds=planning.seed_list(n_seeds),
            on_phase=prepare,
        )
        start = perf_counter()
        summary = run(plan)
        total = perf_counter() - start
    if summary.failures:
        raise RuntimeError(summary.failures[0].message)
    pass_seconds = sum(summary.pass_seconds.values())
    return {
        "total": total,
        "pass": pass_seconds,
        "prepare": prepare.seconds,
        "score": total - pass_seconds - prepare.seconds,
        "n_tokens": summary.n_tokens,
    }


class _Clock:
    """Seconds of the phases that prepare evals."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def __call__(self, phase: str, _tokens: int) -> None:
        now = perf_counter()
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now if phase.startswith("preparing") else None
