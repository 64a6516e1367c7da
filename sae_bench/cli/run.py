"""`sae-bench run`: evaluate SAEs on a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import yaml

from sae_bench.cli.console import run_progress, show_summary
from sae_bench.errors import UsageError

EXAMPLES = """\b
Examples:
  sae-bench run --model embedded --sae 'embedded:.*' --evals core,sparse_probing --preset quick
  sae-bench run --model pythia-70m-deduped --sae dictionary_learning:my_saes/ --evals core --seeds 3
  sae-bench run --model gemma-2-2b --sae 'sae_lens:gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical' \\
      --evals sparse_probing --preset paper --data-dir mirror/
"""


@click.command(epilog=EXAMPLES)
@click.option("--model", required=True, help="Hub id, directory, .gguf file, TransformerLens alias or 'embedded'.")
@click.option("--sae", "sae_specs", multiple=True, required=True, help="SAE spec; repeat for several (see below).")
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
@click.option("--seeds", type=int, default=1, show_default=True, help="Number of seeds; scores are means over them.")
@click.option("--random-seed", type=int, default=42, show_default=True, help="The first seed, also that of the texts.")
@click.option(
    "--output-folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("eval_results"),
    show_default=True,
    help="Where results go: <folder>/<eval>/<release>_<id>_eval_results.json.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Mirror of hub repositories, <dir>/<org>/<name>; looked at before the hub.",
)
@click.option(
    "--dataset-file",
    "dataset_files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file that declares datasets of one's own; repeat for several.",
)
@click.option("--hook", help="Where baselines sit, e.g. blocks.8.hook_resid_post; by default where the other SAEs sit.")
@click.option(
    "--pca-corpus", default="embedded_train", show_default=True, help="Corpus that baseline:pca is fitted to."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:<i> or mps.")
@click.option("--llm-dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16 or float64.")
@click.option("--sae-dtype", default="auto", show_default=True, help="dtype of the SAEs; auto is the model's.")
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Padded tokens per batch of texts.",
)
@click.option("--max-saes", type=click.IntRange(min=1), help="SAEs held in memory at a time; measured by default.")
@click.option(
    "--cache-activations",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the model's activations in this folder, so that SAEs added later need no pass.",
)
@click.option("--force-rerun", is_flag=True, help="Compute again what is there already.")
def run(**options: Any) -> None:
    """Evaluate SAEs on a language model: one pass of the model for all SAEs and evals.

    \b
    An SAE spec is one of
      sae_lens:<release regex>:<id regex>      dictionary_learning:<repo or dir>
      gemma_scope:<repo>:<path>                path:<dir or .safetensors>
      baseline:identity|pca|random|zero        embedded:<name regex>
      python:<module>:<callable>
    """
    seconds, summary, specs = evaluate(**options)
    show_summary(specs, summary, options["output_folder"], seconds)
    if summary.failures:
        raise SystemExit(1)


def evaluate(
    *,
    model: str,
    sae_specs: Sequence[str],
    evals: Sequence[str],
    preset: str,
    settings: Sequence[str],
    seeds: int,
    random_seed: int,
    output_folder: Path,
    data_dir: Path | None,
    dataset_files: Sequence[Path],
    hook: str | None,
    pca_corpus: str,
    device: str,
    llm_dtype: str,
    sae_dtype: str,
    batch_tokens: int,
    max_saes: int | None,
    cache_activations: Path | None,
    force_rerun: bool,
) -> tuple[float, Any, list[Any]]:
    """Plan and run; returns seconds, the run's summary and the specs of its evals."""
    from sae_bench.activations.one_pass import PassOptions
    from sae_bench.activations.store import ActivationStore
    from sae_bench.custom_saes.loading import GroupLimits
    from sae_bench.custom_saes.spec import resolve_spec
    from sae_bench.datasets import register_yaml
    from sae_bench.evals import planning
    from sae_bench.evals.runner import EvalRequest, RunPlan
    from sae_bench.evals.runner import run as run_plan
    from sae_bench.language_models import load_language_model

    start = perf_counter()
    specs = planning.choose_evals(evals)
    overrides = parse_settings(settings, [spec.name for spec in specs])
    for path in dataset_files:
        register_yaml(path)
    handles = [handle for text in sae_specs for handle in resolve_spec(text, data_dir=data_dir)]
    handles = list({handle.name: handle for handle in planning.place_baselines(handles, hook)}.values())
    seed_values = planning.seed_list(seeds, random_seed)
    with run_progress() as progress:
        progress.phase(f"loading {model}", 0)
        lm = load_language_model(model, device=device, dtype=llm_dtype, data_dir=data_dir)
        requests = [
            EvalRequest(
                spec,
                planning.resolve_config(
                    spec, preset=preset, overrides=overrides.get(spec.name, {}), lm=lm, seed=random_seed
                ),
            )
            for spec in specs
        ]
        store = ActivationStore(cache_activations) if cache_activations else None
        summary = run_plan(
            RunPlan(
                lm=lm,
                evals=requests,
                handles=handles,
                output_folder=output_folder,
                load_context=planning.load_context(
                    lm, sae_dtype=sae_dtype, hook=hook, data_dir=data_dir, pca_corpus=pca_corpus
                ),
                seeds=seed_values,
                data_dir=data_dir,
                force_rerun=force_rerun,
                limits=GroupLimits(max_saes=max_saes),
                pass_options=PassOptions(max_tokens=batch_tokens, store=store, on_progress=progress.advance),
                on_phase=progress.phase,
            )
        )
    return perf_counter() - start, summary, specs


def parse_settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """`eval.field=value` texts as eval -> field -> value; values are read as YAML."""
    parsed: dict[str, dict[str, Any]] = {}
    for text in settings:
        left, equals, value = text.partition("=")
        name, dot, field = left.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {text}: write EVAL.FIELD=VALUE, e.g. core.context_size=256.")
        if name not in names:
            raise UsageError(f"--set {text}: '{name}' is not among the evals of this run ({', '.join(names)}).")
        try:
            parsed.setdefault(name, {})[field.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text}: cannot read the value ({error}).") from error
    return dict(parsed)
