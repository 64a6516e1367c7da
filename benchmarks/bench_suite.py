"""All evals of this suite that the published package has too, for five SAEs in one run.

python benchmarks/bench_suite.py --inputs WORK/in --out OURS.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import bench_absorption
import bench_mdl
import bench_meta_structure
import bench_sparse_probing_sae_probes as bench_tasks
from bench_core import BATCHES, reference_file
from common import SAES, Comparison, Page, read

SEED = 42
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
    command = [sys.executable, __file__, "--inputs", str(work / "in"), "--out", str(out)]
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


# ---- our side


def run_suite(args: argparse.Namespace) -> dict[str, Any]:
    """Every eval on the inputs of the other parts, in one pass."""
    from safetensors.torch import load_file

    from sae_bench.activations.one_pass import run_pass
    from sae_bench.custom_saes.members import Member
    from sae_bench.custom_saes.spec import LoadContext, resolve_spec
    from sae_bench.evals.base import EvalContext
    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    context = LoadContext(device=lm.device, dtype=lm.dtype, lm=lm)
    members = []
    for name in SAES:
        (handle,) = resolve_spec(f"path:{args.inputs / 'saes' / name}.safetensors")
        sae = handle.load(context)
        members.append(Member("suite", name, sae, sae.cfg.hook_name))
    start = perf_counter()
    rows_NL = load_file(args.inputs / "tokens.safetensors")["tokens"]
    jobs = _jobs(EvalContext(lm, (members[0].hook_name,), (SEED,)), rows_NL, args.inputs)
    made = {name: _timed(job) for name, job in jobs.items()}
    prepare = perf_counter() - start
    report = run_pass(lm, [request for job, _ in made.values() for request in job.requests(members)], members)
    if report.failed:
        raise next(iter(report.failed.values()))
    scoring = perf_counter()
    for member in members:
        for job, _ in made.values():
            job.score(member)
    end = perf_counter()
    return {
        "seconds": {
            "total": end - start,
            "prepare": prepare,
            "absorption": made["absorption"][1],
            **report.seconds,
            "score": end - scoring,
        },
        "n_tokens": report.n_tokens,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = perf_counter()
    return make(), perf_counter() - start


def _jobs(context: Any, rows_NL: Any, inputs: Path) -> dict[str, Callable[[], Any]]:
    """Eval -> what makes its job, with the settings of the other parts."""
    from our_side import given_texts
    from parity_mdl import ROWS
    from parity_scr_and_tpp import DATASET, N_VALUES, SIZES
    from parity_sparse_probing_sae_probes import KS

    from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
    from sae_bench.evals.absorption.evaluate import AbsorptionJob
    from sae_bench.evals.core.eval_config import CoreEvalConfig
    from sae_bench.evals.core.evaluate import CoreJob
    from sae_bench.evals.mdl.eval_config import MDLEvalConfig
    from sae_bench.evals.mdl.evaluate import MDLJob
    from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
    from sae_bench.evals.meta_structure.evaluate import MetaStructureJob
    from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig, TppEvalConfig
    from sae_bench.evals.scr_and_tpp.evaluate import ScrJob, TppJob
    from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
    from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob
    from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
    from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob

    def sizes(name: str) -> dict[str, Any]:
        train, test, length = SIZES[name]
        return {"train_set_size": train, "test_set_size": test, "context_length": length, "n_values": list(N_VALUES)}

    losses, others = BATCHES
    core = CoreEvalConfig(
        n_eval_reconstruction_batches=losses, n_eval_sparsity_variance_batches=others, batch_size_prompts=16,
        exclude_special_tokens_from_reconstruction=True,
    )  # fmt: skip
    probing, tpp = (given_texts(context.lm, read(inputs / f"{name}.json")) for name in ("texts", "tpp_texts"))
    tasks = SparseProbingSaeProbesEvalConfig(
        dataset_names=list(bench_tasks.CHOSEN), max_texts=bench_tasks.MAX_TEXTS, ks=list(KS), include_llm_baseline=True
    )
    bins = [int(n) for n in bench_mdl.BINS.split(",")]
    return {
        "core": lambda: CoreJob(context, core, rows_NL=rows_NL[: 16 * max(BATCHES)]),
        "sparse_probing": lambda: SparseProbingJob(
            context, SparseProbingEvalConfig(dataset_names=[t.name for t in probing]), labelled=probing
        ),
        "scr": lambda: ScrJob(context, ScrEvalConfig(dataset_names=[DATASET], **sizes("scr"))),
        "tpp": lambda: TppJob(
            context, TppEvalConfig(dataset_names=[t.name for t in tpp], **sizes("tpp")), labelled=tpp
        ),
        "absorption": lambda: AbsorptionJob(
            context, AbsorptionEvalConfig(max_words=bench_absorption.WORDS, words_per_examples=1)
        ),
        "sparse_probing_sae_probes": lambda: SaeProbesJob(context, tasks),
        "mdl": lambda: MDLJob(
            context, MDLEvalConfig(k_values=[None], num_bins_values=bins, mse_epsilon_threshold=0.2), rows_NL[:ROWS]
        ),
        "meta_structure": lambda: MetaStructureJob(
            context, MetaStructureEvalConfig(train_steps=bench_meta_structure.STEPS)
        ),
    }  # fmt: skip


def main() -> None:
    """Run our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.write_text(json.dumps(run_suite(args), indent=1))


if __name__ == "__main__":
    main()
