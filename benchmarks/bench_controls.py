"""What controls cost: evals that repeat their procedure with random latents, with and without them, in CPU seconds."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

from common import Page

EVALS = ("scr", "tpp", "unlearning", "ravel", "autointerp")
"""Those that pick latents; the floors of all others come with the eval itself."""
SAE = "embedded:topk"
ALLOWED = 0.25
"""Share of the eval itself that its controls may cost."""
HEADER = "| eval | CPU s without controls | with | more |\n| --- | --- | --- | --- |"


@dataclass(frozen=True)
class Price:
    """CPU seconds of one eval on one SAE: preparing, its share of the pass, and scoring; loading is left out."""

    eval: str
    without: float
    with_controls: float

    @property
    def share(self) -> float:
        """Of the eval itself."""
        return self.with_controls / self.without - 1.0

    def markdown(self) -> str:
        return f"| {self.eval} | {self.without:.1f} | {self.with_controls:.1f} | {self.share:+.0%} |"


def measure(work: Path) -> Page:
    """Every eval twice; this package alone."""
    from sae_bench.language_models import load_language_model

    lm = load_language_model("embedded", device="cpu", dtype="float32")
    prices = [price(lm, name, work) for name in EVALS]
    return page(prices)


def page(prices: list[Price]) -> Page:
    """The table."""
    dearest = max(prices, key=lambda one: one.share)
    introduction = (
        f"Evals that pick latents, on `{SAE}`, float32, one seed, settings of the demo, with and without the same "
        "procedure on random latents (autointerp: with and without questions on another latent's explanation). CPU "
        "seconds of the process, the model's pass included, loading left out.\n\n"
        f"{HEADER}\n" + "\n".join(one.markdown() for one in prices)
    )
    return Page("controls", introduction, [], [f"At most {ALLOWED:.0%} is allowed; the most is {dearest.eval}'s."])


def price(lm: Any, name: str, work: Path) -> Price:
    """One eval, without controls and with them."""
    without, with_controls = (_seconds(lm, name, work, controls=controls) for controls in (False, True))
    return Price(name, without, with_controls)


def _seconds(lm: Any, name: str, work: Path, *, controls: bool) -> float:
    from sae_bench.evals.registry import get_eval
    from sae_bench.run import planning
    from sae_bench.run.runner import EvalRequest, RunPlan, run

    spec = get_eval(name)
    config = planning.resolve_config(spec, preset="quick", overrides=spec.demo, lm=lm)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        plan = RunPlan(
            lm=lm,
            evals=[EvalRequest(spec, config)],
            handles=planning.resolve_saes([SAE]),
            output_folder=Path(folder),
            load_context=planning.load_context(lm),
            seeds=planning.seed_list(1),
            controls=controls,
        )
        start = process_time()
        summary = run(plan)
        seconds = process_time() - start
    if summary.failures:
        raise RuntimeError(summary.failures[0].message)
    return seconds
