"""Wide SAEs through core and sparse_probing: seconds, and memory over model and weights; beside the dense path at 16k.

One case alone: python benchmarks/bench_wide.py WORK D_MODEL D_SAE DTYPE. Everything is random, nothing is read from
elsewhere: a model of two layers, a JumpReLU SAE in the package's own file format, embedded texts.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import torch
from common import Page

CASES = ((576, 1 << 20, "bfloat16"), (576, 1 << 18, "bfloat16"), (2304, 1 << 18, "bfloat16"))
AT_16K = (576, 1 << 14, "float32")
L0 = 60
"""Active latents of a token, about."""
SETTINGS: dict[str, dict[str, Any]] = {
    "core": {
        "n_eval_reconstruction_batches": 1, "n_eval_sparsity_variance_batches": 2, "batch_size_prompts": 4,
        "context_size": 64, "compute_pairwise_cosines": False, "dataset": "embedded",
    },
    "sparse_probing": {
        "dataset_names": ["embedded/code_languages"], "probe_train_set_size": 40, "probe_test_set_size": 20,
        "compute_all_latents_probe": False, "context_length": 32,
    },
}  # fmt: skip
TOLERANCE = 1e-6


def measure(work: Path) -> Page:
    """Every case in a process of its own."""
    rows = [run_case(work, *case) for case in CASES]
    narrow, blocks = (run_case(work, *AT_16K, wide=wide) for wide in (False, True))
    worst, where = largest_difference(narrow["values"], blocks["values"])
    probing = SETTINGS["sparse_probing"]
    texts = f"{probing['probe_train_set_size']} and {probing['probe_test_set_size']} texts a class"
    introduction = (
        "Random JumpReLU SAEs on a random model of two layers through core (512 tokens; losses of 256; without the "
        f"cosines of all pairs) and sparse_probing ({probing['dataset_names'][0]}, {texts} of up to "
        f"{probing['context_length']} tokens), about {L0} active latents per token, computed in float32, one thread. "
        "Memory is what the process needs, at most, over what it held with the model loaded and the bytes of the two "
        "matrices in the file: texts and results are in it. CPU seconds are of the whole run, loading and writing of "
        "results included.\n\n"
        "| d_model | latents | in the file | matrices MB | memory over model and matrices MB | CPU s |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(line(row) for row in rows)
    )
    facts = [
        f"At {AT_16K[1]:,} latents and d_model {AT_16K[0]}, the path of wide SAEs beside the dense one: "
        f"{len(narrow['values'])} numbers of both evals, largest difference {worst:.1e} ({where}), relative above 1.",
        f"There the dense path takes {narrow['cpu_s']:.0f} CPU s and {narrow['over_mb']:.0f} MB, that of wide SAEs "
        f"{blocks['cpu_s']:.0f} CPU s and {blocks['over_mb']:.0f} MB.",
    ]
    if worst > TOLERANCE:
        facts.append(f"This is more than {TOLERANCE:g}.")
    return Page("wide SAEs", introduction, [], facts)


def line(row: dict[str, Any]) -> str:
    """One case as a row of the table."""
    numbers = f"{row['weights_mb']:,.0f} | **{row['over_mb']:,.0f}** | {row['cpu_s']:.0f}"
    return f"| {row['d_model']} | {row['d_sae']:,} | {row['dtype']} | {numbers} |"


def largest_difference(one: dict[str, float], other: dict[str, float]) -> tuple[float, str]:
    """Of all numbers, relative where they are above 1, and the name of the number."""
    assert one.keys() == other.keys()
    differences = {name: abs(one[name] - other[name]) / max(1.0, abs(one[name])) for name in one}
    where = max(differences, key=lambda name: differences[name])
    return differences[where], where


def run_case(work: Path, d_model: int, d_sae: int, dtype: str, *, wide: bool | None = None) -> dict[str, Any]:
    """A case in a process of its own; `wide` says whether the latents are worked on in blocks, None leaves it."""
    command = [sys.executable, __file__, str(work), str(d_model), str(d_sae), dtype, "" if wide is None else str(wide)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def random_model(d_model: int) -> Any:
    """Two layers, byte-level tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from sae_bench.language_models import LanguageModel
    from sae_bench.testing.tiny_models import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=d_model, intermediate_size=2 * d_model, num_hidden_layers=2,
        num_attention_heads=d_model // 64, num_key_value_heads=1, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    return LanguageModel(model.float().eval(), tokenizer, name=f"random-{d_model}")


def write_sae(folder: Path, d_model: int, d_sae: int, dtype: torch.dtype, hook: str) -> None:
    """A random JumpReLU SAE; it is in memory as a whole, so this has a process of its own."""
    from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
    from sae_bench.custom_saes.loaders.native import save_sae

    sae = JumpReluSAE(d_model, d_sae, "random", 0, "cpu", dtype, hook)
    generator = torch.Generator().manual_seed(1)
    for start in range(0, d_sae, 1 << 14):
        rows_BD = torch.randn(1 << 14, d_model, generator=generator)
        rows_BD /= rows_BD.norm(dim=1, keepdim=True)
        sae.W_dec.data[start : start + (1 << 14)] = rows_BD.to(dtype)
        sae.W_enc.data[:, start : start + (1 << 14)] = rows_BD.T.to(dtype)
    # of N(0, 1) projections, L0 of d_sae lie above this
    sae.threshold.fill_(float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - L0 / d_sae))))
    save_sae(sae, folder, dtype=dtype)


def unit_scale(lm: Any, hook: str) -> None:
    """Scale the embedding of the model until a token's activation has the length that makes projections N(0, 1)."""
    ids = torch.arange(8, 72)[None]
    for _ in range(24):  # what the layer adds does not grow with the embedding
        size = float(lm.capture(ids, [hook])[hook].norm(dim=-1).mean())
        lm.model.get_input_embeddings().weight.data.mul_(lm.d_model**0.5 / size)


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(work: str, d_model: str, d_sae: str, dtype: str, wide: str = "") -> None:
    """One case; prints what was measured as JSON."""
    import sae_bench
    import sae_bench.evals.core.evaluate
    import sae_bench.evals.sparse_probing.evaluate  # what libraries take is no memory of an SAE
    from sae_bench.custom_saes import codes
    from sae_bench.results.files import read_result

    torch.set_num_threads(1)
    folder, hook = Path(work) / f"sae_{d_model}_{d_sae}_{dtype}", "blocks.0.hook_resid_post"
    if not folder.exists():
        command = [sys.executable, __file__, "write", str(folder), d_model, d_sae, dtype, hook]
        subprocess.run(command, check=True)
    if wide:
        codes.WIDE = 1 if wide == "True" else 1 << 60
    lm = random_model(int(d_model))
    unit_scale(lm, hook)
    before, begun = peak_mb(), process_time()
    out = Path(work) / f"results_{d_model}_{d_sae}_{dtype}_{wide}"
    summary = sae_bench.evaluate(
        lm, f"path:{folder}", tuple(SETTINGS), preset=None, settings=SETTINGS, output_folder=out, force_rerun=True
    )
    cpu_s, over = process_time() - begun, peak_mb() - before
    values: dict[str, float] = {}
    for path in summary.written:
        result = read_result(path)
        for group, of_group in result["eval_result_metrics"].items():
            values |= {f"{group}.{name}": value for name, value in of_group.items() if isinstance(value, int | float)}
    assert 0.3 * L0 < values["sparsity.l0"] < 3 * L0, "the SAE does not fire as it should"
    weights_mb = 2 * int(d_model) * int(d_sae) * getattr(torch, dtype).itemsize / (1 << 20)
    measured = {
        "d_model": int(d_model), "d_sae": int(d_sae), "dtype": dtype, "weights_mb": weights_mb,
        "over_mb": over - weights_mb, "cpu_s": cpu_s, "values": values,
    }  # fmt: skip
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write_sae(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), getattr(torch, sys.argv[5]), sys.argv[6])
    else:
        main(*sys.argv[1:])
