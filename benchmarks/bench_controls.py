"""What controls cost: evals that repeat their procedure with random latents, with and without them, in CPU seconds."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

from common import REPEATS, Page

EVALS = ("scr", "tpp", "unlearning", "ravel")
SAES = "embedded:(topk|relu)"
ALLOWED = 0.25
"""Share of the eval itself that its controls may cost."""
HEADER = "| eval | CPU s without controls | with | more |\n| --- | --- | --- | --- |"


@dataclass(frozen=True)
class Price:
    """CPU seconds of a run of one eval, loading the model left out; medians."""

    eval: str
    without: float
    with_controls: float

    @property
    def share(self) -> float:
        """What controls cost, of the eval itself."""
        return self.with_controls / self.without - 1.0

    def markdown(self) -> str:
        return f"| {self.eval} | {self.without:.1f} | {self.with_controls:.1f} | {self.share:+.0%} |"


def measure(work: Path) -> Page:
    """Every eval in turn without and with controls; this package alone."""
    from sae_bench.language_models import load_language_model

    lm = load_language_model("embedded", device="cpu", dtype="float32")
    return page([price(lm, name, work) for name in EVALS])


def page(prices: list[Price]) -> Page:
    """The table."""
    dearest = max(prices, key=lambda one: one.share)
    introduction = (
        f"Evals that pick latents, on `{SAES}`, float32, one seed, settings of the demo, with `--no-controls` and "
        f"without. CPU seconds of the process in alternating runs, medians of {REPEATS}: preparing, the pass of the "
        f"model, encoding and scores; loading left out.\n\n{HEADER}\n" + "\n".join(one.markdown() for one in prices)
    )
    return Page("controls", introduction, [], [f"At most {ALLOWED:.0%} is allowed; the most is {dearest.eval}'s."])


def price(lm: Any, name: str, work: Path) -> Price:
    """One eval; a first run that warms up is left out."""
    _seconds(lm, name, work, controls=False)
    runs = [[_seconds(lm, name, work, controls=controls) for controls in (False, True)] for _ in range(REPEATS)]
    without, with_controls = (statistics.median(of) for of in zip(*runs, strict=True))
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
            handles=planning.resolve_saes([SAES]),
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
