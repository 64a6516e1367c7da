"""How well the intervals and comparisons hold up on constructed evals; prints the table of docs/statistics.md.

python scripts/simulate_statistics.py --runs 2000
"""

from __future__ import annotations

import argparse
import sys
from statistics import fmean

from sae_bench.results.statistics.intervals import interval_of_samples
from sae_bench.results.statistics.paired import difference
from sae_bench.results.statistics.power import detectable
from sae_bench.testing.simulated_samples import DESIGNS, Design, runs_of_one, runs_of_two, shifted, truth

ALPHA = 0.05
HEADER = (
    "| constructed eval | seeds | texts | interval covers | bootstrap covers | false positives: one SAE, other seeds | "
    "false positives: two SAEs | stated difference found |"
)


def coverage(design: Design, runs: int) -> tuple[float, float]:
    """Share of runs whose interval, and whose plain bootstrap, holds the truth."""
    mean = truth(design)
    found = [interval_of_samples(samples, draws=400) for samples in runs_of_one(design, runs)]
    return (
        fmean(i.low <= mean <= i.high for i in found if i.low is not None and i.high is not None),
        fmean(i.bootstrap_low <= mean <= i.bootstrap_high for i in found if i.bootstrap_low and i.bootstrap_high),
    )


def false_positives(design: Design, runs: int, *, same_sae: bool) -> float:
    """Share of runs that tell apart what does not differ."""
    return fmean((difference(a, b).p_value or 0.0) <= ALPHA for a, b in runs_of_two(design, runs, same_sae=same_sae))


def power(design: Design, runs: int) -> float:
    """Share of runs that find a true difference of the size that runs like them state on average."""
    noises = [difference(a, b).noise for a, b in runs_of_two(design, runs, seed=1)]
    stated = fmean(detectable(noise) for noise in noises if noise is not None)
    found = [difference(shifted(a, stated), b).p_value for a, b in runs_of_two(design, runs, seed=2)]
    return fmean(p is not None and p <= ALPHA for p in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated runs per number")
    runs = parser.parse_args().runs
    sys.stdout.write(HEADER + "\n|" + " --- |" * 8 + "\n")
    for name, design in DESIGNS.items():
        covers, bootstrap = coverage(design, runs)
        cells = [name, str(design.n_seeds), str(design.n_units), f"{covers:.1%}", f"{bootstrap:.1%}"]
        cells += [f"{false_positives(design, runs, same_sae=same):.1%}" for same in (True, False)]
        sys.stdout.write("| " + " | ".join([*cells, f"{power(design, runs):.1%}"]) + " |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
