"""Our side of the benchmark of the whole suite: every eval on the inputs of the other parts, in one pass.

python benchmarks/suite_side.py --inputs WORK/in --out OURS.json
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import bench_absorption
import bench_mdl
import bench_meta_structure
import bench_sparse_probing_sae_probes as bench_tasks
import parity_scr_and_tpp as ablations
from bench_core import BATCHES
from common import SAES, read
from our_side import given_texts
from parity_mdl import ROWS
from parity_sparse_probing_sae_probes import KS
from safetensors.torch import load_file
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.evaluate import AbsorptionJob
from sae_bench.evals.base import EvalContext, Job
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
from sae_bench.language_models import load_language_model

SEED = 42


def run_suite(args: argparse.Namespace) -> dict[str, Any]:
    """Every eval on the inputs of the other parts, in one pass."""
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
    requests = {name: list(job.requests(members)) for name, (job, _) in made.items()}
    report = run_pass(lm, [request for of_job in requests.values() for request in of_job], members)
    if report.failed:
        raise next(iter(report.failed.values()))
    scoring = perf_counter()
    served = iter(report.served)
    for name, (job, _) in made.items():
        of_job = list(islice(served, len(requests[name])))
        for member in members:
            job.score(member, of_job)
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


def _jobs(context: EvalContext, rows_NL: Tensor, inputs: Path) -> Mapping[str, Callable[[], Job]]:
    """Eval -> what makes its job, with the settings of the other parts."""
    texts, tpp_texts = (given_texts(context.lm, read(inputs / f"{name}.json")) for name in ("texts", "tpp_texts"))
    losses, others = BATCHES
    core = CoreEvalConfig(
        n_eval_reconstruction_batches=losses, n_eval_sparsity_variance_batches=others, batch_size_prompts=16,
        exclude_special_tokens_from_reconstruction=True,
    )  # fmt: skip
    probing = SparseProbingEvalConfig(dataset_names=[t.name for t in texts])
    scr = ScrEvalConfig(dataset_names=[ablations.DATASET], **_sizes("scr"))
    tpp = TppEvalConfig(dataset_names=[t.name for t in tpp_texts], **_sizes("tpp"))
    absorption = AbsorptionEvalConfig(max_words=bench_absorption.WORDS, words_per_examples=1)
    tasks = SparseProbingSaeProbesEvalConfig(
        dataset_names=list(bench_tasks.CHOSEN), max_texts=bench_tasks.MAX_TEXTS, ks=list(KS), include_llm_baseline=True
    )
    bins = [int(n) for n in bench_mdl.BINS.split(",")]
    mdl = MDLEvalConfig(k_values=[None], num_bins_values=bins, mse_epsilon_threshold=0.2)
    meta = MetaStructureEvalConfig(train_steps=bench_meta_structure.STEPS)
    return {
        "core": lambda: CoreJob(context, core, rows_NL=rows_NL[: 16 * max(BATCHES)]),
        "sparse_probing": lambda: SparseProbingJob(context, probing, labelled=texts),
        "scr": lambda: ScrJob(context, scr),
        "tpp": lambda: TppJob(context, tpp, labelled=tpp_texts),
        "absorption": lambda: AbsorptionJob(context, absorption),
        "sparse_probing_sae_probes": lambda: SaeProbesJob(context, tasks),
        "mdl": lambda: MDLJob(context, mdl, rows_NL[:ROWS]),
        "meta_structure": lambda: MetaStructureJob(context, meta),
    }


def _sizes(name: str) -> dict[str, Any]:
    train, test, length = ablations.SIZES[name]
    n_values = list(ablations.N_VALUES)
    return {"train_set_size": train, "test_set_size": test, "context_length": length, "n_values": n_values}


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
