"""`sae-bench demo`: the evals on the embedded model, data and SAEs, and a report."""

from __future__ import annotations

from pathlib import Path

import click

DEMO_SAES = ("embedded:.*", "baseline:identity", "baseline:random")
DEMO_EVALS = ("all",)
DEMO_SETTINGS = (
    "core.n_eval_reconstruction_batches=1",
    "core.n_eval_sparsity_variance_batches=12",
    "sparse_probing.dataset_names=[embedded/news_topics,embedded/code_languages]",
    "sparse_probing.context_length=64",
    "sparse_probing.probe_train_set_size=240",
    "sparse_probing.probe_test_set_size=120",
    "tpp.dataset_names=[embedded/news_topics,embedded/code_languages]",
    "tpp.context_length=64",  # as sparse_probing, whose texts it shares
    "tpp.train_set_size=240",
    "tpp.test_set_size=120",
    "scr.train_set_size=300",
    "sparse_probing_sae_probes.max_tasks=8",
    "sparse_probing_sae_probes.max_texts=240",
    "mdl.n_rows=48",
    "meta_structure.train_steps=40",
    "absorption.max_words=1800",
    "unlearning.max_questions=40",
    "unlearning.dataset_size=24",
    "ravel.entity_attribute_selection={city: [Country, Continent]}",
    "ravel.full_dataset_downsample=240",
    "ravel.num_pairs_per_attribute=8",
    "autointerp.total_tokens=16000",
    "autointerp.n_latents=6",
    "autointerp.max_judged_latents=1",
    "autointerp.buffer=5",
    "autointerp.n_top_ex_for_generation=5",
    "autointerp.n_iw_sampled_ex_for_generation=2",
)
"""Small enough for nine SAEs, eleven evals and three seeds in minutes on two cores."""


@click.command(epilog="\b\nExample:\n  sae-bench demo --output-folder demo_results")
@click.option(
    "--output-folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo_results"),
    show_default=True,
    help="Where results go.",
)
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of seeds; scores are means over them.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:<i> or mps.")
@click.option(
    "--llm-dtype",
    default="fast",
    show_default=True,
    help="dtype of the model; fast takes bfloat16 where this machine is fast at it, else float32.",
)
@click.option("--force-rerun", is_flag=True, help="Compute again what is there already.")
def demo(output_folder: Path, seeds: int, device: str, llm_dtype: str, force_rerun: bool) -> None:
    """Evaluate the SAEs that come with the package, beside identity, PCA and random baselines; needs no network."""
    from sae_bench.cli.evaluation import RunOptions, evaluate_and_show

    try:
        evaluate_and_show(
            RunOptions(
                model="embedded",
                sae_specs=DEMO_SAES,
                evals=DEMO_EVALS,
                preset="quick",
                settings=DEMO_SETTINGS,
                seeds=seeds,
                output_folder=output_folder,
                device=device,
                llm_dtype=llm_dtype,
                force_rerun=force_rerun,
            )
        )
    except SystemExit:  # some SAE failed: the report shows the others, and what failed
        _write_report(output_folder)
        raise
    _write_report(output_folder)


def _write_report(folder: Path) -> None:
    from sae_bench.cli.report import FILE_NAME, say_written
    from sae_bench.report.write import write_report

    if any(folder.rglob("*_eval_results.json")):
        target = folder / FILE_NAME
        say_written(target, write_report(folder, target))
