"""Sparse probing on the tasks of sae-probes against the published package.

python tests/parity/parity_sparse_probing_sae_probes.py --inputs IN --out OURS.json --seeds 42,43,44
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row

TITLE = "Sparse probing (sae-probes)"
TASKS = (
    "5_hist_fig_ismale", "6_hist_fig_isamerican", "7_hist_fig_ispolitician", "21_headline_istrump", "54_cs_tf",
    "87_glue_cola", "92_glue_sst2", "96_spam_is", "105_click_bait", "114_nyc_borough_Manhattan", "117_us_state_FL",
    "119_us_state_TX", "120_us_timezone_Chicago", "121_us_timezone_New_York", "123_world_country_United_Kingdom",
    "124_world_country_United_States", "126_art_type_book", "127_art_type_song", "129_arith_mc_A",
    "130_temp_cat_Frequency", "131_temp_cat_Typical Time", "133_context_type_Causality",
    "155_athlete_sport_basketball", "156_athlete_sport_baseball",
)  # fmt: skip
BASELINE_TASKS = TASKS[::4]
"""Tasks whose probes on the residual stream are compared: the published solver takes half a minute for each."""
STEPPED_TASKS = ("96_spam_is", "119_us_state_TX", "131_temp_cat_Typical Time")
SAES = ("topk", "jumprelu")
STEPPED_SAE = "topk"
ENOUGH_TEXTS = 32
"""Fewer training texts are often separable, and SAGA then stops far from the optimum after 1000 rounds."""
SEEDS = (42, 43, 44)
KS = (1, 2, 5)
MAX_TEXTS = 240
AUC = 0.005
NEEDED = 20 / 24
"""Share of the tasks that have to agree within `AUC` for every SAE and k."""
INTRODUCTION = f"""`sae-bench==0.6.0` with `sae-probes==0.4.2`: {len(TASKS)} of the package's 113 tasks, its files cut to the
first {MAX_TEXTS} texts ({MAX_TEXTS // 2} of each class; {MAX_TEXTS - 100} train, 99 test), {len(SEEDS)} seeds, L1 probes on k = 1, 2, 5 latents and the L2
probe on the residual stream ({len(BASELINE_TASKS)} tasks). Both sides read the same files, tokenise them themselves, draw the same splits and folds;
AUCs are compared task by task (mean over seeds, within {AUC}), accuracy and F1 as means over tasks. The published
solvers stop early (SAGA and L-BFGS, at most 1000 iterations, float32); ours go to the optimum. The settings scarcity
and imbalance, which the published eval refuses, are compared with the functions of `sae-probes` on {len(STEPPED_TASKS)} tasks.
Rows marked "converged": the published baseline with its L-BFGS in float32 replaced by scikit-learn's Newton solver in
float64, same objective, same folds.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Every task's AUC, and the means of accuracy and F1."""
    inputs, data = work / "in", work / "sae_probes" / "data"
    outputs = {side: work / f"sparse_probing_sae_probes_{side}.json" for side in ("reference", "ours")}
    if run:
        export(data, MAX_TEXTS)
        seeds = ",".join(map(str, SEEDS))
        common = ("--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir", inputs / "saes",
                  "--data", data, "--seeds", seeds, "--k", ",".join(map(str, KS)),
                  "--cache-dir", work / "sae_probes" / "activations")  # fmt: skip
        script = "run_sparse_probing_sae_probes.py"
        run_reference(
            script, *common, "--saes", ",".join(SAES), "--tasks", ",".join(TASKS), "--no-baseline",
            "--out", outputs["reference"],
        )  # fmt: skip
        baseline = ("--saes", SAES[0], "--tasks", ",".join(BASELINE_TASKS))
        run_reference(script, *common, *baseline, "--out", _baseline_file(work, "published"))
        run_reference(script, *common, *baseline, "--converged-baseline", "--out", _baseline_file(work, "converged"))
        for setting in ("scarcity", "imbalance"):
            run_reference(
                script, *common, "--saes", STEPPED_SAE, "--tasks", ",".join(STEPPED_TASKS), "--setting", setting,
                "--out", work / f"sparse_probing_sae_probes_reference_{setting}.json",
            )  # fmt: skip
        run_ours("--inputs", inputs, "--out", outputs["ours"], "--seeds", seeds)
    theirs, ours = read(outputs["reference"]), read(outputs["ours"])
    rows = list(_tokens(theirs["token_ids"], ours["token_ids"]))
    rows += _residual_stream(*(read(_baseline_file(work, kind)) for kind in ("published", "converged")), ours)
    for name in SAES:
        reference = _mean_over_seeds(theirs, name)
        rows += _probes(name, reference, {row["dataset_name"]: row for row in ours["saes"][name]["details"]})
    for setting in ("scarcity", "imbalance"):
        stepped = read(work / f"sparse_probing_sae_probes_reference_{setting}.json")
        rows += _stepped(setting, stepped, ours["settings"][setting])
    return rows


def _baseline_file(work: Path, kind: str) -> Path:
    return work / f"sparse_probing_sae_probes_reference_baseline_{kind}.json"


def _mean_over_seeds(report: Mapping[str, Any], name: str) -> dict[str, dict[str, float]]:
    """Task -> field -> mean over seeds, of the reference's rows."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for of_seed in report["seeds"].values():
        for row in of_seed[name]["details"]:
            by_task.setdefault(row["dataset_name"], []).append(row)
    return {
        task: {key: fmean(row[key] for row in rows) for key, value in rows[0].items() if isinstance(value, float)}
        for task, rows in by_task.items()
    }


def _tokens(theirs: Mapping[str, list[int]], ours: Mapping[str, list[int]]) -> Iterator[Row]:
    equal = sum(theirs[task] == ours[task] for task in TASKS)
    yield Row("token ids of each task's first text, equal tasks", len(TASKS), equal, "all", equal == len(TASKS))


def _residual_stream(theirs: Mapping[str, Any], converged: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    mine = {row["dataset_name"]: row for row in ours["saes"][SAES[0]]["details"]}
    for row in _scores("residual stream", "llm", _mean_over_seeds(theirs, SAES[0]), mine, BASELINE_TASKS):
        yield replace(row, allowed="decided: the published solver stops before its optimum", good=True)
    solved = _mean_over_seeds(converged, SAES[0])
    yield from _scores("residual stream, converged", "llm", solved, mine, BASELINE_TASKS)


def _probes(name: str, reference: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    for k in KS:
        yield from _scores(f"{name} top-{k}", f"sae_top_{k}", reference, ours)


def _scores(
    what: str, prefix: str, reference: Mapping[str, Any], ours: Mapping[str, Any], tasks: Sequence[str] = TASKS
) -> Iterator[Row]:
    key = f"{prefix}_test_auc"
    differences = [abs(reference[task][key] - ours[task][key]) for task in tasks]
    agree, needed = sum(difference <= AUC for difference in differences), round(NEEDED * len(tasks))
    yield Row(
        f"{what} AUC, tasks within {AUC} (largest difference {max(differences):.4f})",
        len(tasks),
        agree,
        f"{needed} of {len(tasks)}",
        agree >= needed,
    )
    for metric, within in (("test_auc", AUC), ("test_accuracy", 0.01), ("test_f1", 0.01)):
        a, b = (fmean(side[task][f"{prefix}_{metric}"] for task in tasks) for side in (reference, ours))
        yield Row(f"{what} {metric}, mean over {len(tasks)} tasks", a, b, f"{within:g}", abs(a - b) <= within)


def _stepped(setting: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    """Means over tasks, steps and seeds; with few training texts the published solver is far from its optimum."""
    names = {task: list(ours[task]) for task in STEPPED_TASKS}
    enough = {task: [name for name in names[task] if ours[task][name]["n_train"] >= ENOUGH_TEXTS] for task in names}
    for k in KS:
        key = f"sae_top_{k}_test_auc"
        for chosen, which in ((enough, f", {ENOUGH_TEXTS} training texts or more"), (names, "")):
            if which and setting == "imbalance":
                continue  # every step has the same number of training texts
            a = fmean(_step_auc(theirs, task, name, key) for task in names for name in chosen[task])
            b = fmean(ours[task][name][key] for task in names for name in chosen[task])
            row = Row(f"{setting}{which}, {STEPPED_SAE} top-{k} AUC", a, b, f"{AUC:g}", abs(a - b) <= AUC)
            if setting == "scarcity" and chosen != enough:
                row = replace(row, allowed="decided: the published solver stops before its optimum", good=True)
            yield row


def _step_auc(report: Mapping[str, Any], task: str, step: str, key: str) -> float:
    """The reference's mean over seeds of one step."""
    rows = [row for of in report["seeds"].values() for row in of[STEPPED_SAE]["details"] if row["dataset_name"] == task]
    return fmean(row["steps"][step][key] for row in rows)


# ---- our side


def export(folder: Path, max_texts: int) -> None:
    """Write the list of tasks and the first texts of each chosen task as the package's files hold them."""
    import numpy as np
    import pandas as pd

    from sae_bench.datasets.embedded import data_folder

    source = data_folder()
    (folder / "cleaned_data").mkdir(parents=True, exist_ok=True)
    shutil.copy(source.parent / "probing_datasets_MASTER.csv.zst", folder)
    for task in TASKS:
        frame = pd.read_csv(source / f"{task}.csv.zst")
        classes = np.unique(frame["target"].to_numpy())
        rows = np.sort(np.concatenate([np.flatnonzero(frame["target"] == c)[: max_texts // 2] for c in classes]))
        frame.iloc[rows].to_csv(folder / "cleaned_data" / f"{task}.csv.zst", index=False)


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


def main() -> None:
    """The eval on the same model, SAEs, tasks and seeds; writes one JSON file."""
    args = _parse()
    import torch

    from sae_bench.activations.one_pass import PassOptions
    from sae_bench.activations.store import ActivationStore
    from sae_bench.custom_saes.loading import Member
    from sae_bench.custom_saes.spec import LoadContext, resolve_spec
    from sae_bench.evals.sparse_probing_sae_probes.evaluate import tokenize_ends
    from sae_bench.evals.sparse_probing_sae_probes.tasks import load_task
    from sae_bench.language_models import load_language_model

    logging.disable(logging.WARNING)
    if args.threads:
        torch.set_num_threads(args.threads)
    start = perf_counter()
    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    seconds = perf_counter() - start
    context = LoadContext(device=lm.device, dtype=lm.dtype, lm=lm)
    members = []
    for name in args.saes:
        (handle,) = resolve_spec(f"path:{args.inputs / 'saes' / name}.safetensors")
        sae = handle.load(context)
        members.append(Member("parity", name, sae, sae.cfg.hook_name))
    options = PassOptions(store=None if args.activations is None else ActivationStore(args.activations))
    result = _run(lm, members, args.tasks, args.seeds, "normal", options, args.max_texts)
    result["model_load_s"] = seconds
    result["token_ids"] = {task: tokenize_ends(lm, load_task(task).texts[:1], 1024)[0] for task in args.tasks}
    stepped = [member for member in members if member.sae_id == STEPPED_SAE]
    if not args.normal_only:
        result["settings"] = {}
        for setting in ("scarcity", "imbalance"):
            of_setting = _run(lm, stepped, STEPPED_TASKS, args.seeds, setting, options, args.max_texts)
            result["settings"][setting] = of_setting["saes"][STEPPED_SAE]["steps"]
    result["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    args.out.write_text(json.dumps(result, indent=1))


def _run(
    lm: Any,
    members: Sequence[Any],
    tasks: Sequence[str],
    seeds: Sequence[int],
    setting: Any,
    options: Any,
    max_texts: int,
) -> dict[str, Any]:
    from sae_bench.activations.one_pass import run_pass
    from sae_bench.activations.requests import PooledValues, only
    from sae_bench.evals.base import EvalContext
    from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
    from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob

    config = SparseProbingSaeProbesEvalConfig(
        dataset_names=list(tasks),
        max_texts=max_texts,
        setting=setting,
        ks=list(KS),
        include_llm_baseline=setting == "normal",
    )
    start = perf_counter()
    job = SaeProbesJob(EvalContext(lm, (members[0].hook_name,), tuple(seeds)), config)
    prepare = perf_counter() - start
    report = run_pass(lm, job.requests(members), members, options)
    if report.failed:
        raise next(iter(report.failed.values()))
    probing = perf_counter()
    job.prepared_at(members[0].hook_name, only(report.served, PooledValues))  # timed apart from the first SAE's score
    stream = perf_counter() - probing
    saes: dict[str, Any] = {}
    for member in members:
        began = perf_counter()
        scores = job.score(member, report.served)
        saes[member.sae_id] = {
            "metrics": scores.metrics.model_dump(),
            "details": [detail.model_dump() for detail in scores.details],
            "seeds": {str(r.seed): r.metrics for r in scores.seed_results},
            "steps": scores.unstructured,
            "seconds": {"score": perf_counter() - began},
            "warnings": scores.warnings,
        }
    total = perf_counter() - start
    return {
        "saes": saes,
        "seconds": {"prepare": prepare, "lm_probes": stream, "total": total, **report.seconds},
        "n_tokens": report.n_tokens,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, required=True, help="folder with the exported model and SAEs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=list(SEEDS))
    parser.add_argument("--saes", type=lambda text: text.split(","), default=list(SAES))
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--max-texts", type=int, default=MAX_TEXTS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--activations", type=Path, help="keep the model's activations here for another call")
    parser.add_argument("--normal-only", action="store_true", help="leave scarcity and imbalance out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
