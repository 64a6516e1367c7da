"""`sae-bench run`: evaluate SAEs on a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sae_bench.cli.process import speech_options
from sae_bench.cli.tracking import TRACKERS
from sae_bench.cli.values import FILE, FOLDER
from sae_bench.custom_saes.listing import BASELINES, DERIVED_BASELINES, SPEC_FORMS
from sae_bench.errors import UsageError

EXAMPLES = """\b
Examples:
  sae-bench run --model embedded --sae 'embedded:.*' --evals core,sparse_probing --preset quick
  sae-bench run --model pythia-70m-deduped --sae dictionary_learning:my_saes/ --evals core --seeds 3
  sae-bench run --model gemma-2-2b --sae 'sae_lens:gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical' \\
      --evals sparse_probing --preset paper --data-dir mirror/
  sae-bench run --request sweep.yaml --seeds 3
"""


def _help() -> str:
    """What the command does, and the forms of a spec as the loaders declare them."""
    forms = [form for scheme, form in SPEC_FORMS.items() if scheme != "baseline"]
    forms += [f"baseline:{name}[@<hook name>]" for name in ("|".join(BASELINES), *DERIVED_BASELINES.values())]
    listed = "\n".join(f"  {form}" for form in forms)
    return (
        "Evaluate SAEs on a language model: one pass of the model for all SAEs and evals.\n\n"
        f"\b\nAn SAE spec is one of\n{listed}"
    )


@click.command(help=_help(), epilog=EXAMPLES)
@click.option(
    "--request",
    "request_file",
    type=FILE,
    help="YAML file that asks for the run, several models and their SAEs too; flags that are given go over it.",
)
@click.option("--model", help="Hub id, directory, .gguf file, TransformerLens alias, 'embedded' or 'synthetic:small'.")
@click.option("--sae", "sae_specs", multiple=True, help="SAE spec (see above); repeat for several.")
@click.option(
    "--evals",
    "evals",
    multiple=True,
    default=("core",),
    show_default=True,
    help="Evals, separated by commas, or 'all'.",
)
@click.option(
    "--preset",
    type=click.Choice(["paper", "quick"]),
    default="paper",
    show_default=True,
    help="Published settings, or a few minutes on a laptop.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="EVAL.FIELD=VALUE",
    help="Change one setting, e.g. core.context_size=256; repeat for several.",
)
@click.option(
    "--settings",
    "settings_files",
    multiple=True,
    metavar="NAME|FILE",
    help="Settings of several evals at once: reduced_memory or 1m_width, or a YAML file, eval -> field -> value; --set "
    "goes over them.",
)
@click.option("--seeds", type=int, default=1, show_default=True, help="Number of seeds; scores are means over them.")
@click.option(
    "--resample-data",
    is_flag=True,
    help="Draw the texts anew for every seed too; costs a pass over them per seed.",
)
@click.option(
    "--controls/--no-controls",
    default=True,
    show_default=True,
    help="Repeat evals that pick latents with random ones that are as active, to hold the scores against; results that "
    "are there already are not made again for it.",
)
@click.option("--random-seed", type=int, default=42, show_default=True, help="The first seed, also that of the texts.")
@click.option(
    "--shard",
    metavar="I/N|slurm",
    help="Evaluate this share of the SAEs only, for machines that do not talk to one another; slurm: the share of this "
    "task of a Slurm array. Shares may write into one folder.",
)
@click.option(
    "--engine",
    type=click.Choice(["process", "ray"]),
    default="process",
    show_default=True,
    help="Work in this process, or on the workers of a Ray cluster: one per GPU, or per core where there are none.",
)
@click.option("--ray-address", help="Ray cluster to join: auto, or HOST:PORT; by default one is started here.")
@click.option(
    "--gpus-per-worker", type=float, default=1.0, show_default=True, help="GPUs of a Ray worker; 0.5: two on a GPU."
)
@click.option(
    "--output-folder",
    type=FOLDER,
    default=Path("eval_results"),
    show_default=True,
    help="Where results go: <folder>/<eval>/<release>_<id>_eval_results.json.",
)
@click.option(
    "--data-dir",
    type=FOLDER,
    help="Mirror of hub repositories, <dir>/<org>/<name>; looked at before the hub.",
)
@click.option(
    "--dataset-file",
    "dataset_files",
    multiple=True,
    type=FILE,
    help="YAML file that declares datasets of one's own; repeat for several.",
)
@click.option("--hook", help="Where baselines sit, e.g. blocks.8.hook_resid_post; by default where the other SAEs sit.")
@click.option("--pca-corpus", default="embedded_train", show_default=True, help="Corpus that baselines are fitted to.")
@click.option(
    "--nulls",
    is_flag=True,
    help="Evaluate three null baselines of every SAE too: random_l0_matched, permuted_decoder, frozen_encoder.",
)
@click.option(
    "--ladder",
    multiple=True,
    metavar="SPEC",
    help="SAE spec of the snapshots of one training run: evaluated and marked in their order; repeat for several runs.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:<i> or mps.")
@click.option(
    "--device-map",
    metavar="auto|balanced|JSON",
    help="Divide a model that does not fit one device: over all GPUs, then CPU and disk, or as JSON says, module -> "
    "device. --device stays auto.",
)
@click.option(
    "--llm-dtype",
    default="auto",
    show_default=True,
    help="float32, bfloat16, float16, float64; auto: that of the published results, else of the checkpoint; fast: "
    "bfloat16 where this machine is fast at it, else float32.",
)
@click.option(
    "--attn-implementation",
    metavar="eager|sdpa|...",
    help="How the model computes attention, as transformers calls it; by default its choice.",
)
@click.option(
    "--quantize",
    type=click.Choice(["8bit", "4bit"]),
    help="Quantise the model's weights when they are read; needs bitsandbytes, and 4bit a GPU.",
)
@click.option(
    "--prepend-bos/--no-prepend-bos",
    default=None,
    help="Whether texts start with BOS; by default wherever the tokenizer has one.",
)
@click.option(
    "--exclude-tokens",
    multiple=True,
    metavar="ID[,ID...]",
    help="Token ids that SAEs neither read nor change, besides BOS, EOS and PAD; repeat for several.",
)
@click.option(
    "--seqpos-slice",
    metavar="START:STOP[:STEP]",
    help="Positions that SAEs read and change, BOS at 0, such as 1: for all but the first; by default all.",
)
@click.option("--sae-dtype", default="auto", show_default=True, help="dtype of the SAEs; auto is the model's.")
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    help="Padded tokens the model reads at once; 1024 on a CPU and 16384 elsewhere by default.",
)
@click.option("--max-saes", type=click.IntRange(min=1), help="SAEs held in memory at a time; measured by default.")
@click.option(
    "--cache-activations",
    type=FOLDER,
    help="Keep the model's activations in this folder, so that SAEs added later need no pass.",
)
@click.option("--force-rerun", is_flag=True, help="Compute again what is there already.")
@click.option(
    "--dry-run", is_flag=True, help="Say what the run would do and about how long it would take, and do nothing."
)
@click.option(
    "--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="With --dry-run: devices like this one."
)
@click.option(
    "--published-nulls",
    is_flag=True,
    help="Write -1 for null in the fields where published result files always hold a number.",
)
@click.option("--judge", type=click.Choice(["openai", "local", "none"]), help="Who judges explanations in autointerp.")
@click.option("--judge-model", help="The judge's model; gpt-4o-mini at OpenAI's endpoint by default.")
@click.option("--judge-base-url", help="An OpenAI-compatible endpoint, e.g. http://localhost:8000/v1.")
@click.option(
    "--track",
    type=click.Choice(TRACKERS),
    help="At the end, log every SAE's headline metrics to this tracker's project 'sae-bench', results that were there "
    "already too.",
)
@speech_options
@click.pass_context
def run(
    context: click.Context, /, request_file: Path | None, track: str | None, dry_run: bool, gpus: int, **options: Any
) -> None:
    """Evaluate SAEs on a language model: one pass of the model for all SAEs and evals."""
    from sae_bench.cli.evaluation import evaluate_and_show
    from sae_bench.run.request import RunRequest

    given = {name: value for name, value in options.items() if not request_file or _was_given(context, name)}
    given = {name: value for name, value in given.items() if value is not None}
    request = RunRequest.from_flags(given, request_file=request_file)
    if dry_run and track is not None:
        raise UsageError("--dry-run makes no results that --track could log. Next: leave one of them out.")
    if dry_run:
        from sae_bench.cli.forecast import show_forecast

        show_forecast(request, gpus)
        return
    if _was_given(context, "gpus"):
        raise UsageError("--gpus says for how many devices --dry-run plans. Next: add --dry-run, or --engine ray.")
    evaluate_and_show(request, track)


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT
