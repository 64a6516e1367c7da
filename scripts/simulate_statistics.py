"""How well the intervals and comparisons hold up on constructed evals; prints the tables of docs/statistics.md.

python scripts/simulate_statistics.py --runs 2000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from sae_bench.results.statistics.intervals import interval_of_samples
from sae_bench.results.statistics.multiple import behind_the_best, common_level, n_pairs
from sae_bench.results.statistics.paired import difference
from sae_bench.results.statistics.pairwise import pairwise
from sae_bench.results.statistics.power import detectable
from sae_bench.testing.simulated_samples import (
    CONTESTS,
    DESIGNS,
    Contest,
    Design,
    runs_of_many,
    runs_of_one,
    runs_of_two,
    shifted,
    truth,
)

ALPHA = 0.05
TIMES_WITHOUT_SEEDS = 10
"""Designs that no seed changes are cheap, and some are near the limits: they get so many times the runs."""

CONTEST_PAIRS, LEAST_RUNS = 600, 20
"""Contests get fewer runs the more SAEs they have: as many as there are runs up to 24 SAEs, 20 at least."""
HEADER = (
    "| constructed eval | seeds | units | runs | interval covers | no interval | "
    "false positives: one SAE, other seeds | false positives: two SAEs | stated difference found |"
)
CONTEST_HEADER = "| SAEs ranked | runs | the best stays | any of the best left out | could be the best, on average |"


@dataclass(frozen=True)
class Coverage:
    """Share of the runs with an interval whose interval holds the truth, and of those without one."""

    covers: float
    none: float


def coverage(design: Design, runs: int) -> Coverage:
    """Of one SAE in many runs."""
    mean, slack = truth(design), 1e-6  # values are float32
    intervals = [interval_of_samples(s, draws=0, bounds=design.bounds) for s in runs_of_one(design, runs)]
    known = [(i.low, i.high) for i in intervals if i.low is not None and i.high is not None]
    return Coverage(fmean(low - slack <= mean <= high + slack for low, high in known), 1.0 - len(known) / runs)


def false_positives(design: Design, runs: int, *, same_sae: bool) -> float:
    """Share of runs that tell apart what does not differ; no p-value tells nothing apart."""
    pairs = runs_of_two(design, runs, same_sae=same_sae)
    p_values = [difference(a, b, bounds=design.bounds).p_value for a, b in pairs]
    return fmean(p is not None and p <= ALPHA for p in p_values)


def power(design: Design, runs: int) -> float | None:
    """Share of runs that find a true difference of the size that runs like them state on average."""
    if design.values != "real" or design.drawn is not None:
        return None  # a shift of all values alike is no other SAE
    found = [difference(a, b) for a, b in runs_of_two(design, runs, seed=1)]
    stated = [detectable(d.noise) for d in found if d.noise is not None and d.p_value is not None]
    if not stated:
        return None
    p_values = [difference(shifted(a, fmean(stated)), b).p_value for a, b in runs_of_two(design, runs, seed=2)]
    return fmean(p is not None and p <= ALPHA for p in p_values)


def candidates(contest: Contest, runs: int) -> Iterator[np.ndarray]:
    """Which SAEs could be the best, in every run."""
    for evidence in runs_of_many(contest, runs):
        n = len(evidence)
        level = common_level(ALPHA, n_pairs(n))
        found = pairwise(evidence, level=level, bounds=contest.design.bounds, pooled=True)
        scores_P = np.asarray([e.value for e in evidence])
        yield behind_the_best(scores_P, found.square(found.half_C, n)).could_be_best_P


def contest_row(name: str, runs: int) -> list[str]:
    """Whether the best, which is the last, stays; where all are equal, all are the best."""
    contest = CONTESTS[name]
    n_runs = max(LEAST_RUNS, min(runs, CONTEST_PAIRS * runs // contest.n_saes**2))
    candidate_RP = np.stack(list(candidates(contest, n_runs)))
    left_out = f"{1.0 - candidate_RP.all(axis=1).mean():.1%}" if contest.spread == 0 else "-"
    size = f"{candidate_RP.sum(axis=1).mean():.1f} of {contest.n_saes}"
    return [name, str(n_runs), f"{candidate_RP[:, -1].mean():.1%}", left_out, size]


def design_row(name: str, runs: int) -> list[str]:
    """Coverage, false positives and power of one constructed eval."""
    design = DESIGNS[name]
    n_runs = runs if design.random else TIMES_WITHOUT_SEEDS * runs
    one, stated = coverage(design, n_runs), power(design, runs)
    false = [
        f"{false_positives(design, n_runs, same_sae=same):.1%}" if design.random or not same else "-"
        for same in (True, False)
    ]
    seeds = str(design.n_seeds if design.random else "-")
    cells = [name, seeds, str(len(design.groups)), str(n_runs), f"{one.covers:.1%}", f"{one.none:.1%}"]
    return [*cells, *false, "-" if stated is None else f"{stated:.1%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs per number")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--jobs", type=int, default=2, help="rows at once")
    options = parser.parse_args()
    designs = [name for name in DESIGNS if options.only in name]
    contests = [name for name in CONTESTS if options.only in name]
    with ProcessPoolExecutor(options.jobs) as pool:
        of_designs = pool.map(design_row, designs, [options.runs] * len(designs))
        of_contests = pool.map(contest_row, contests, [options.runs] * len(contests))
        _line(HEADER, "|" + " --- |" * 9)
        for cells in of_designs:
            _row(cells)
        _line("", CONTEST_HEADER, "|" + " --- |" * 5)
        for cells in of_contests:
            _row(cells)


def _row(cells: list[str]) -> None:
    _line("| " + " | ".join(cells) + " |")


def _line(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
