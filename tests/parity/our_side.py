"""Our side of the comparison with the published package: export its inputs, run ours on the same files, as JSON.

python tests/parity/our_side.py export --out IN --saes topk,jumprelu
python tests/parity/our_side.py core --inputs IN --saes topk --out OUT/core_ours.json
python tests/parity/our_side.py sparse_probing --inputs IN --saes topk --seeds 42,43,44 --out OUT/sp_ours.json
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.pass_report import PassReport
from sae_bench.activations.requests import PooledValues, only
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.datasets import LabelledTexts, load_corpus, load_labelled
from sae_bench.datasets.packing import pack_corpus
from sae_bench.evals.base import EvalContext, Job
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob
from sae_bench.language_models import LanguageModel, load_language_model

DATASETS = ("embedded/news_topics", "embedded/code_languages")
WRITTEN_IDS = "token ids: "


def export(args: argparse.Namespace) -> None:
    """Write model, SAEs (unit decoder rows, float32), packed rows and labelled texts for both sides."""
    lm = load_language_model("embedded", dtype="float32", device="cpu")
    lm.model.hf_quantizer = None  # the weights are plain tensors; only the loader remembers the GGUF file
    if hasattr(lm.model.config, "quantization_config"):
        del lm.model.config.quantization_config
    lm.model.save_pretrained(args.out / "model")
    lm.tokenizer.save_pretrained(args.out / "model")
    write_json(
        args.out / "meta.json",
        {
            "pad_id": lm.tokenizer.pad_token_id,
            "bos_id": lm.bos_token_id,
            "eos_id": lm.tokenizer.eos_token_id,
            "context_length": args.context_length,
        },
    )
    rows = pack_corpus(load_corpus("embedded"), lm, n_rows=args.rows, context_length=128)
    save_file({"tokens": rows}, args.out / "tokens.safetensors")
    texts = {}
    for name in args.datasets:
        drawn = load_labelled(name, train_set_size=args.train_size, test_set_size=args.test_size, seed=42)
        texts[name] = {"classes": list(drawn.classes)} | {
            split: {c: list(lm.tokenize(of_split[c], max_length=args.context_length)) for c in drawn.classes}
            for split, of_split in (("train", drawn.train), ("test", drawn.test))
        }
    write_json(args.out / "texts.json", texts)
    context = LoadContext(device=torch.device("cpu"), dtype=torch.float32)
    for name in args.saes:
        (handle,) = resolve_spec(f"embedded:{name}")
        sae = handle.load(context)
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))  # float16 on disk; the reference refuses 1e-4 off
        _, config_path = save_sae(sae, args.out / "saes" / f"{name}.safetensors")
        config = json.loads(config_path.read_text())
        flat = {k: config["cfg"][k] for k in ("architecture", "d_in", "d_sae", "hook_layer", "hook_name", "model_name")}
        write_json(config_path, {**config, **flat, "k": config.get("k")})


def run_core(args: argparse.Namespace) -> None:
    """The core eval on the exported rows."""
    lm, members, load_seconds = load_side(args)
    config = CoreEvalConfig(
        n_eval_reconstruction_batches=args.reconstruction_batches,
        n_eval_sparsity_variance_batches=args.sparsity_batches,
        batch_size_prompts=args.batch_size,
        exclude_special_tokens_from_reconstruction=args.exclude_special_tokens,
    )
    rows = load_file(args.inputs / "tokens.safetensors")["tokens"]
    n_rows = max(args.reconstruction_batches, args.sparsity_batches) * args.batch_size
    job = CoreJob(EvalContext(lm, (members[0].hook_name,), (42,)), config, rows_NL=rows[:n_rows])
    result = run_job(lm, job, members)
    result["model_load_s"] = load_seconds
    write_json(args.out, result)


def run_sparse_probing(args: argparse.Namespace) -> None:
    """Sparse probing on the exported token ids."""
    lm, members, load_seconds = load_side(args)
    texts = json.loads((args.inputs / "texts.json").read_text())
    length = json.loads((args.inputs / "meta.json").read_text())["context_length"]
    config = SparseProbingEvalConfig(dataset_names=list(texts), context_length=length)
    labelled = given_texts(lm, texts)
    job = SparseProbingJob(EvalContext(lm, (members[0].hook_name,), tuple(args.seeds)), config, labelled=labelled)
    report = serve(lm, job, members)
    if args.pooled:  # scoring lets the activations go
        save_pooled(job, only(report.served, PooledValues).activations[members[0].hook_name], args.pooled)
    result = scored(job, members, report)
    result["model_load_s"] = load_seconds
    write_json(args.out, result)


def given_texts(lm: LanguageModel, texts: Mapping[str, Any]) -> list[LabelledTexts]:
    """Labelled token ids, written out as texts that the model's tokeniser then reads back; other texts as ever."""
    tokenize = lm.tokenize

    def read_back(given: Sequence[str], **rest: Any) -> list[list[int]]:
        others = iter(tokenize([text for text in given if not text.startswith(WRITTEN_IDS)], **rest))
        return [
            json.loads(text.removeprefix(WRITTEN_IDS)) if text.startswith(WRITTEN_IDS) else next(others)
            for text in given
        ]

    lm.tokenize = read_back  # type: ignore[method-assign]

    def written(of_split: Mapping[str, Sequence[list[int]]]) -> dict[str, list[str]]:
        return {name: [f"{WRITTEN_IDS}{ids}" for ids in of_class] for name, of_class in of_split.items()}

    return [
        LabelledTexts(name, tuple(of["classes"]), written(of["train"]), written(of["test"]), {})
        for name, of in texts.items()
    ]


def save_pooled(job: SparseProbingJob, pooled_TD: Tensor, path: Path) -> None:
    """The pooled residual stream by data set, split and class, for the reference's own probes."""
    tensors = {
        f"{dataset.name}|{split}|{name}": pooled_TD[rows]
        for dataset in job.pooled
        for split, of_class in (("train", dataset.train_rows), ("test", dataset.test_rows))
        for name, rows in of_class.items()
    }
    save_file(tensors, path)


def run_hooks(args: argparse.Namespace) -> None:
    """Values at hooks of any exported model."""
    lm = LanguageModel(hf_model(args.model), None, name=str(args.model))
    tokens = load_file(args.tokens)["tokens"][: args.rows]
    with torch.no_grad():
        values = lm.capture(tokens, args.hooks)
    save_file({name: value.contiguous() for name, value in values.items()}, args.values)


def hf_model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def load_side(args: argparse.Namespace) -> tuple[LanguageModel, list[Member], float]:
    if args.threads:
        torch.set_num_threads(args.threads)
    start = perf_counter()
    lm = load_language_model(str(args.inputs / "model"), dtype=args.dtype, device="cpu")
    seconds = perf_counter() - start
    context = LoadContext(device=lm.device, dtype=lm.dtype, lm=lm)
    members = []
    for name in args.saes:
        (handle,) = resolve_spec(f"path:{args.inputs / 'saes' / name}.safetensors")
        sae = handle.load(context)
        members.append(Member("parity", name, sae, sae.cfg.hook_name))
    return lm, members, seconds


def run_job(lm: LanguageModel, job: Job, members: Sequence[Member]) -> dict[str, Any]:
    return scored(job, members, serve(lm, job, members))


def serve(lm: LanguageModel, job: Job, members: Sequence[Member]) -> PassReport:
    start = perf_counter()
    report: PassReport = run_pass(lm, job.requests(members), members)
    report.seconds["pass"] = perf_counter() - start
    if report.failed:
        raise next(iter(report.failed.values()))
    return report


def scored(job: Job, members: Sequence[Member], report: PassReport) -> dict[str, Any]:
    start = perf_counter()
    saes: dict[str, Any] = {}
    for member in members:
        began = perf_counter()
        scores = job.score(member, report.served)
        saes[member.sae_id] = {
            "metrics": scores.metrics.model_dump(),
            "details": [detail.model_dump() for detail in scores.details],
            "seeds": {str(r.seed): r.metrics for r in scores.seed_results},
            "seconds": {"score": perf_counter() - began},
        }
    return {
        "saes": saes,
        "seconds": {**report.seconds, "total": report.seconds["pass"] + perf_counter() - start},
        "n_tokens": report.n_tokens,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def _names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("export", help="write the inputs of both sides")
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--saes", type=_names, required=True)
    command.add_argument("--rows", type=int, default=512, help="packed rows of 128 tokens")
    command.add_argument("--context-length", type=int, default=128, help="of the labelled texts")
    command.add_argument("--train-size", type=int, default=400)
    command.add_argument("--test-size", type=int, default=200)
    command.add_argument("--datasets", type=_names, default=list(DATASETS))
    command.set_defaults(run=export)
    for name, function in (("core", run_core), ("sparse_probing", run_sparse_probing)):
        command = commands.add_parser(name, help=f"run {name}")
        command.add_argument("--inputs", type=Path, required=True)
        command.add_argument("--saes", type=_names, required=True)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--dtype", default="float32")
        command.add_argument("--threads", type=int)
        command.add_argument("--seeds", type=lambda text: [int(s) for s in _names(text)], default=[42])
        command.add_argument("--reconstruction-batches", type=int, default=2)
        command.add_argument("--sparsity-batches", type=int, default=4)
        command.add_argument("--batch-size", type=int, default=16)
        command.add_argument("--exclude-special-tokens", action="store_true")
        command.add_argument("--pooled", type=Path, help="also write the pooled residual stream here")
        command.set_defaults(run=function)
    command = commands.add_parser("hooks", help="values at hooks")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--tokens", type=Path, required=True)
    command.add_argument("--rows", type=int, default=4)
    command.add_argument("--hooks", type=_names, required=True)
    command.add_argument("--values", type=Path, required=True)
    command.set_defaults(run=run_hooks)
    return parser


def main() -> None:
    """Run one command."""
    logging.disable(logging.WARNING)
    args = _parser().parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
