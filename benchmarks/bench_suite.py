"""All evals of this suite that the published package has too, for five SAEs in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bench_mdl
import bench_meta_structure
from bench_core import BATCHES, reference_file
from common import SAES, Comparison, Page, read
from suite_side import SEED

OURS = Path(__file__).with_name("suite_side.py")
OTHERS = len(SAES) - 1
INTRODUCTION = f"""\
{len(SAES)} SAEs at one hook, one seed, float32. Ours: one run with one pass of the model. The published package: what
its runs in the other parts took on the same inputs, evals added up. core and sparse_probing ran there for {len(SAES)}
SAEs; the other evals ran for one, and count as the whole of that run and, for each of the other {OTHERS}, what it spent
after the pass of the model and the probes that it shares between SAEs. Its peak is the largest of its runs. mdl:
without the pass of the model on the published side."""


def measure(work: Path) -> Page:
    """Ours in one process; the published package from the files that the other parts have left in `work`."""
    published = {name: total(work) for name, total in PUBLISHED.items()}
    out = work / "suite_ours.json"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    command = [sys.executable, str(OURS), "--inputs", str(work / "in"), "--out", str(out)]
    subprocess.run(command, check=True, env=environment)
    ours = read(out)
    seconds = ours["seconds"]
    line = Comparison(
        f"{', '.join(PUBLISHED)}: {len(SAES)} SAEs", sum(published.values()), seconds["total"],
        max(_peaks(work)), ours["peak_rss_mb"],
    )  # fmt: skip
    facts = [
        f"Published: {', '.join(f'{name} {value:.1f} s' for name, value in published.items())}.",
        f"Ours: preparing {seconds['prepare']:.1f} s (words and letter probes of absorption "
        f"{seconds['absorption']:.1f} s of them), pass of the model {seconds['lm_pass']:.1f} s over "
        f"{ours['n_tokens']:,} tokens, encoding {seconds['sae_encode']:.1f} s, what reads the pass "
        f"{seconds['consume']:.1f} s (nearly all of it the branches of core), scores {seconds['score']:.1f} s.",
    ]  # fmt: skip
    return Page("whole suite", INTRODUCTION, [line], facts)


# ---- the published package


def _one_sae(work: Path, name: str) -> dict[str, float]:
    """Seconds of its run with one SAE and one seed."""
    return read(work / f"{name}_reference.json")["seeds"][str(SEED)]["topk"]["seconds"]


def _core(work: Path) -> float:
    return sum(sae["seconds"]["total"] for sae in read(reference_file(work, SAES, BATCHES, "float32"))["saes"].values())


def _sparse_probing(work: Path) -> float:
    saes = read(work / "sparse_probing_reference.json")["seeds"][str(SEED)].values()
    return sum(sae["seconds"]["total"] for sae in saes)


def _with_further(name: str, each: str) -> Callable[[Path], float]:
    def total(work: Path) -> float:
        seconds = _one_sae(work, name)
        return seconds["total"] + OTHERS * seconds[each]

    return total


def _mdl(work: Path) -> float:
    return len(SAES) * read(work / "mdl_reference.json")["saes"][bench_mdl.SAE]["seconds"]["total"]


def _meta_structure(work: Path) -> float:
    of_seed = read(work / "meta_structure_reference.json")["seeds"][str(SEED)]
    return len(SAES) * of_seed[bench_meta_structure.SAE]["train_time_seconds"]


PUBLISHED: dict[str, Callable[[Path], float]] = {
    "core": _core,
    "sparse_probing": _sparse_probing,
    "scr": _with_further("scr", "after"),
    "tpp": _with_further("tpp", "after"),
    "absorption": _with_further("absorption", "after"),
    "sparse_probing_sae_probes": _with_further("sparse_probing_sae_probes", "sae_probes"),
    "mdl": _mdl,
    "meta_structure": _meta_structure,
}
"""Eval -> seconds of the published package for all SAEs."""


def _peaks(work: Path) -> list[float]:
    names = ("sparse_probing", "scr", "tpp", "absorption", "sparse_probing_sae_probes", "mdl", "meta_structure")
    files = [reference_file(work, SAES, BATCHES, "float32"), *(work / f"{name}_reference.json" for name in names)]
    return [read(file)["peak_rss_mb"] for file in files]
