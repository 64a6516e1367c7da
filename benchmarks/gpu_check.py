"""What the package does on one accelerator, in under 8 minutes and without a download; one page and its JSON.

python benchmarks/gpu_check.py [--out docs/benchmarks/gpu.md] [--device cuda] [--budget 450] [--toy]

Models and SAEs have published shapes and random weights; texts are made of invented words. What a random model has to
know is planted: it repeats the last word. `--toy` runs all of it at toy size on the CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from gpu_inputs import (
    ALL_PAIRS_UP_TO,
    ARCHITECTURES,
    SHAPES,
    TOY,
    Size,
    make_model,
    make_tokenizer,
    make_words,
    sae_handles,
    scaled,
    settings_of,
    write_data,
)

import sae_bench
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.evals.registry import evals_of, get_eval
from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob
from sae_bench.language_models import LanguageModel

FIRST = ("core", "sparse_probing")
"""Measured at every width before any other eval."""
COMPARED = {"core": 1e-3, "mdl": 1e-3, "sparse_probing": 0.02}
"""Eval -> largest difference to the CPU, relative above 1. Codes at the threshold may be on here and off there, and a
probe may decide a few of its test texts the other way."""
BOUNDS = {"activations": 1e-4, "codes on one side only": 1e-3, **COMPARED}
"""Relative distance of activations (float32 rounds at 6e-8; 30 layers add up), share of codes that are on in one."""


@dataclass
class Check:
    """Device, budget, and the rows measured so far."""

    size: Size
    device: torch.device
    dtype: torch.dtype
    ends: float
    work: Path

    def left_s(self) -> float:
        return self.ends - perf_counter()


class OutOfTime(BaseException):
    """Passes whoever keeps the exceptions of an SAE."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` inside when the time is over."""

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def guarded(check: Check, what: str, needs_s: float, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured, or the reason why not, with seconds and peak memory; nothing here ends the others."""
    row: dict[str, Any] = {"what": what, "outcome": "ok"}
    if needs_s == torch.inf:
        return row | {"outcome": "left out: with fewer latents it had to be stopped"}
    if check.left_s() < needs_s:
        return row | {"outcome": f"left out: {max(check.left_s(), 0):.0f} s left, about {needs_s:.0f} s needed"}
    limit, start = min(check.left_s(), check.size.case_s), perf_counter()
    on_cuda = check.device.type == "cuda"
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(check.device)
    try:
        with at_most(limit):
            row |= measure()
    except OutOfTime:
        row["outcome"] = f"stopped after {limit:.0f} s"
    except Exception as error:  # recorded on the page, with its type
        row["outcome"] = outcome_of(error)
    peak = torch.cuda.max_memory_allocated(check.device) if on_cuda else 1024 * max_resident_kb()
    sys.stderr.write(f"{perf_counter() - start:6.1f} s  {what}: {row['outcome']}\n")
    return row | {"seconds": perf_counter() - start, "peak_gb": peak / 1e9}


def outcome_of(error: Exception) -> str:
    """Out of memory is no fault of the package."""
    if "out of memory" in str(error).lower():
        return "out of memory"
    return f"failed: {type(error).__name__}: {str(error)[:200]}"


def max_resident_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ---- what is measured


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_s(call: Callable[[], object], device: torch.device, *, seconds: float) -> float:
    """Median seconds of a call, after two that do not count."""
    times: list[float] = []
    for number in range(1000):
        start = perf_counter()
        call()
        synchronize(device)
        times += [perf_counter() - start] if number > 1 else []
        if sum(times) > seconds:
            break
    return statistics.median(times)


def matrix_peak(check: Check, dtype: torch.dtype) -> float:
    """TFLOP/s of a square matrix product."""
    n = check.size.matrix
    a, b = (torch.randn(n, n, device=check.device).to(dtype) for _ in range(2))
    return 2 * n**3 / median_s(lambda: a @ b, check.device, seconds=0.05 if check.size.toy else 1.0) / 1e12


def pass_speed(check: Check, lm: LanguageModel, layer: int, peak: float) -> dict[str, Any]:
    """The pass to the hook, in rows of 128: tokens per second, and its share of the matrix peak."""
    ids = torch.randint(8, 250, (check.size.pass_tokens // 128, 128), generator=torch.Generator().manual_seed(0))
    hooks, on_device = [f"blocks.{layer}.hook_resid_post"], ids.to(check.device)
    with torch.no_grad():
        second = median_s(lambda: lm.capture(on_device, hooks), check.device, seconds=0.1 if check.size.toy else 3.0)
    weights = sum(p.numel() for part in lm.layers[: layer + 1] for p in part.parameters())
    tflops = 2 * weights * ids.numel() / second / 1e12
    return {"tokens_per_s": ids.numel() / second, "tflops": tflops, "of_peak": tflops / peak}


def evaluate(
    name: str,
    settings: dict[str, Any],
    data: dict[str, Any],
    lm: LanguageModel,
    saes: Sequence[SAEHandle],
    folder: Path,
) -> dict[str, Any]:
    """One eval of the SAEs: where its seconds went, and its numbers."""
    spec: Any = get_eval(name)
    if name == "sparse_probing_sae_probes":
        spec = replace(spec, start=lambda context, config: SaeProbesJob(context, config, [data["task"]]))
    start = perf_counter()
    done = sae_bench.evaluate(lm, saes, [spec], preset="paper", settings={name: settings}, output_folder=folder)
    synchronize(lm.device)
    total = perf_counter() - start
    for failure in done.failures:
        raise RuntimeError(failure.message)
    results = [json.loads(path.read_text()) for path in done.written]
    spent = [result["provenance"]["seconds"] for result in results]
    encoding = sum(done.pass_seconds.get(phase, 0.0) for phase in ("sae_encode", "consume"))
    values = {
        f"{result['sae_lens_id']}.{group}.{key}": value
        for result in results for group, of_group in result["eval_result_metrics"].items()
        for key, value in of_group.items() if isinstance(value, int | float)
    }  # fmt: skip
    return {
        "total_s": total, "prepare_s": spent[0]["prepare (shared)"], "pass_s": done.pass_seconds.get("lm_pass", 0.0),
        "sae_s": (encoding + sum(of_sae["score"] for of_sae in spent)) / len(saes),
        "scores_s": [of_sae["score"] for of_sae in spent], "tokens": done.n_tokens, "values": values,
    }  # fmt: skip


def run_case(
    check: Check,
    name: str,
    settings: dict[str, Any],
    data: dict[str, Any],
    lm: LanguageModel,
    layer: int,
    width: int,
    words: Sequence[str],
) -> dict[str, Any]:
    """One eval of SAEs that are made for it."""
    saes = sae_handles(lm, layer, check.size, width, words)
    return evaluate(name, settings, data, lm, saes, check.work / "results")


@torch.no_grad()
def against_cpu(check: Check, tokenizer: Any, words: Sequence[str], data: dict[str, Any]) -> dict[str, Any]:
    """Activations, codes and results of one float32 model on the CPU and on the device, at the narrowest width."""
    width, size, cpu = check.size.widths[0], replace(check.size, n=min(check.size.n, 10)), torch.device("cpu")
    lm, layer = make_model("smollm2-135m", tokenizer, cpu, torch.float32, toy=size.toy)
    saes = sae_handles(lm, layer, size, width, words)
    hook, texts = str(saes[0].hook_name), [" ".join(words[i : i + 40]) for i in range(4)]
    ids = torch.tensor(list(lm.tokenize(texts)))
    sides: list[tuple[Any, ...]] = []
    for device in (cpu, check.device):
        lm.model.to(device)
        x_ND = lm.capture(ids.to(device), [hook])[hook][:, 1:].flatten(0, 1)
        codes_NF = torch.cat([sae.load(LoadContext(device, torch.float32)).encode(x_ND) for sae in saes])
        folder, values = check.work / f"compared_{len(sides)}", {}
        for name in COMPARED:
            settings = settings_of(size, data, folder, width)[name]
            values[name] = evaluate(name, settings, data, lm, saes, folder)["values"]
        sides.append((x_ND.cpu(), codes_NF.cpu(), values))
    return compare(*sides)


def compare(cpu: tuple[Any, ...], device: tuple[Any, ...]) -> dict[str, Any]:
    """The largest differences of activations, codes and numbers of evals, and which are beyond their bound.

    Args:
        cpu, device: activations (N, D), codes (N, F), and eval -> number -> value.
    """
    (x_ND, codes_NF, values), (other_ND, other_NF, others) = cpu, device
    one_side = ((codes_NF > 0) != (other_NF > 0)).sum() / (codes_NF > 0).sum()
    found = {"activations": float((x_ND - other_ND).norm() / x_ND.norm()), "codes on one side only": float(one_side)}
    for name, of_eval in values.items():
        missing = dict.fromkeys(of_eval.keys() ^ others[name].keys(), torch.inf)
        both = of_eval.keys() & others[name].keys()
        apart = {key: abs(of_eval[key] - others[name][key]) / max(1.0, abs(of_eval[key])) for key in both}
        found[name] = max((missing | apart).values())
    beyond = [name for name, value in found.items() if not value <= BOUNDS[name]]
    outcome = {"outcome": f"failed: beyond the bound: {', '.join(beyond)}"} if beyond else {}
    return {"differences": found, "bounds": BOUNDS, "n_codes": int((codes_NF > 0).sum())} | outcome


def measure_all(check: Check) -> dict[str, Any]:
    """Speed of the pass, the comparison with the CPU, then eval after eval; what comes last is left out first."""
    size, words, folder = check.size, make_words(check.size), check.work / "data"
    folder.mkdir()
    tokenizer, data = make_tokenizer(words), write_data(folder, words, size)
    peaks = {str(dtype)[6:]: matrix_peak(check, dtype) for dtype in dict.fromkeys((check.dtype, torch.float32))}
    lms = {name: make_model(name, tokenizer, check.device, check.dtype, toy=size.toy) for name in SHAPES}
    peak = peaks[str(check.dtype)[6:]]
    passes = [guarded(check, name, 5, partial(pass_speed, check, *lm, peak)) for name, lm in lms.items()]
    compared = guarded(check, "beside the CPU", 10, partial(against_cpu, check, tokenizer, words, data))
    later = [name for name in evals_of("language") if name not in FIRST]
    cases = [(name, width, model) for width in size.widths for model in lms for name in FIRST]
    cases += [(name, width, model) for width in size.widths_of_all for model in lms for name in later]
    took: dict[tuple[str, str], float] = {}
    rows = []
    for name, width, model in cases:
        settings = settings_of(size, data, folder, width)[name]
        measure = partial(run_case, check, name, settings, data, *lms[model], width, words)
        what = f"{name}, {model}, {width:,}"
        row = guarded(check, what, took.get((name, model), 2.0), measure)
        stopped = row["outcome"].startswith("stopped")
        took[name, model] = max(took.get((name, model), 0.0), torch.inf if stopped else row.get("seconds", 0.0))
        rows.append(row | {"eval": name, "model": model, "width": width})
    said = {name: scaled(name, settings) for name, settings in settings_of(size, data, folder, 1).items()}
    return {"peaks_tflops": peaks, "passes": passes, "compared": compared, "evals": rows, "scaled": said}


# ---- the page


def page(check: Check, found: dict[str, Any]) -> str:
    """Everything that was measured and all that was not, as Markdown."""
    on_cuda, size = check.device.type == "cuda", check.size
    device = torch.cuda.get_device_name(check.device) if on_cuda else "CPU"
    peaks = ", ".join(f"{value:.4g} TFLOP/s in {dtype}" for dtype, value in found["peaks_tflops"].items())
    memory = "allocated on the device, with both models" if on_cuda else "resident in the process until then"
    return f"""# On one accelerator: {device}{", toy size" if size.toy else ""}

`python benchmarks/gpu_check.py{" --toy" if size.toy else ""}`, torch {torch.__version__}, {str(check.dtype)[6:]}.
Models and SAEs have {"toy" if size.toy else "published"} shapes and random weights, about {size.l0} latents are active
per token; texts are of invented words, one token each. Memory is the most that was {memory}.

Square matrix product of {size.matrix}: {peaks}.

## The shared pass

To the hook of the SAEs, in rows of 128 tokens; two operations are counted per weight of its layers and token.

{pass_table(found["passes"], size)}

## Beside the CPU

The same float32 model (smollm2-135m), inputs and SAEs of {size.widths[0]:,} latents: distance of activations over
their norm; codes; and the largest difference of a number of an eval, relative above 1. {found["compared"]["outcome"]}.

{compared_table(found["compared"])}

## Evals

A row is one run of one eval for two SAEs ({", ".join(ARCHITECTURES)}). `per SAE` is half of encoding, sums and
scores, to which the first SAE may add what an eval makes once per hook; `prepare` and `pass` are paid once for all
SAEs, and what an earlier row has prepared may be read from its file. Nothing waits for the device between the parts, so
that a part may hold time of the one before; the whole run is exact.

{eval_table(found["evals"])}

Numbers that are not the published ones, with those:

{chr(10).join(f"- {name}: {said}" for name, said in found["scaled"].items())}
- All evals read invented texts, of one data set or two, in place of the published data sets. Above {ALL_PAIRS_UP_TO:,}
  latents core leaves out the cosines of all pairs. ground_truth reads synthetic models only and is not here.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def pass_table(passes: Sequence[dict[str, Any]], size: Size) -> str:
    keys = ("tokens_per_s", "tflops", "of_peak", "peak_gb")
    rows = [[r["what"], f"{size.pass_tokens:,}", *(shown(r.get(key)) for key in keys), r["outcome"]] for r in passes]
    return table(["model", "tokens at once", "tokens/s", "TFLOP/s", "of the peak", "peak GB", "outcome"], rows)


def compared_table(compared: dict[str, Any]) -> str:
    differences = compared.get("differences", {})
    rows = [[name, shown(differences.get(name)), f"{bound:g}"] for name, bound in BOUNDS.items()]
    return table(["what", "difference", "at most"], rows)


def eval_table(evals: Sequence[dict[str, Any]]) -> str:
    keys = ("sae_s", "prepare_s", "pass_s", "total_s", "tokens", "peak_gb")
    header = [
        "eval",
        "model",
        "latents",
        "per SAE s",
        "prepare s",
        "pass s",
        "whole run s",
        "tokens",
        "peak GB",
        "outcome",
    ]
    rows = [[r["eval"], r["model"], f"{r['width']:,}", *(shown(r.get(k)) for k in keys), r["outcome"]] for r in evals]
    return table(header, rows)


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the page and the JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("docs/benchmarks/gpu.md"), help="the page; JSON goes beside it"
    )
    parser.add_argument("--device", default="", help="cuda by default, the CPU with --toy")
    parser.add_argument("--dtype", default="", help="bfloat16 by default, float32 with --toy")
    parser.add_argument("--budget", type=float, default=450.0, help="seconds for all of it")
    parser.add_argument("--toy", action="store_true", help="everything at toy size")
    args = parser.parse_args(arguments)
    device = torch.device(args.device or ("cpu" if args.toy else "cuda"))
    dtype = getattr(torch, args.dtype or ("float32" if args.toy else "bfloat16"))
    with TemporaryDirectory(prefix="gpu_check_") as work:
        check = Check(TOY if args.toy else Size(), device, dtype, perf_counter() + args.budget, Path(work))
        found = measure_all(check)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page(check, found))
    args.out.with_suffix(".json").write_text(json.dumps(found, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
