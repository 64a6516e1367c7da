"""`sae-bench demo`: the evals on the embedded model, data and SAEs, and a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sae_bench.cli.process import speech_options
from sae_bench.cli.values import FOLDER

DEMO_SAES = (
    "embedded:.*",
    "baseline:identity",
    "baseline:random",
    "baseline:random_l0_matched(embedded:topk)",
    "baseline:permuted_decoder(embedded:topk)",
)
DEMO_EVALS = ("all",)


@click.command(epilog="\b\nExample:\n  sae-bench demo --output-folder demo_results")
@click.option(
    "--output-folder",
    type=FOLDER,
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
@speech_options
def demo(output_folder: Path, seeds: int, device: str, llm_dtype: str, force_rerun: bool) -> None:
    """Evaluate the SAEs that come with the package, beside baselines that learned nothing; needs no network.

    Then say what each metric can tell apart, and write a report.
    """
    from sae_bench.cli.evaluation import evaluate_and_show
    from sae_bench.run.request import RunRequest

    request = RunRequest.of(
        targets=[{"model": "embedded", "saes": DEMO_SAES, "llm_dtype": llm_dtype}],
        evals=DEMO_EVALS,
        preset="quick",
        settings=demo_settings(),
        seeds=seeds,
        output_folder=output_folder,
        device=device,
        force_rerun=force_rerun,
    )
    try:
        evaluate_and_show(request)
    except SystemExit:  # some SAE failed: the report shows the others, and what failed
        _write_report(output_folder)
        raise
    _write_report(output_folder)


def demo_settings() -> dict[str, Mapping[str, Any]]:
    """Eval -> what it asks for in a demo."""
    from sae_bench.evals.registry import eval_names, get_eval

    return {name: get_eval(name).demo for name in eval_names()}


def _write_report(folder: Path) -> None:
    """Verdicts on the metrics, and the report that shows them."""
    from sae_bench.analysis import validity
    from sae_bench.atomic import write_text_atomically
    from sae_bench.cli.report import FILE_NAME, say_written
    from sae_bench.report.write import write_report

    if any(folder.rglob("*_eval_results.json")):
        verdicts = validity.validate(folder)
        write_text_atomically(folder / validity.FILE_NAME, verdicts.model_dump_json(indent=2) + "\n")
        target = folder / FILE_NAME
        say_written(target, write_report(folder, target))
