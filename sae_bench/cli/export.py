"""`sae-bench export`: results in the forms in which other places take them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sae_bench.cli.values import FILE, FOLDER, TEXT

RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")

EXAMPLES = """\b
Examples:
  sae-bench export neuronpedia results/ -o upload.json --repo me/my-saes
  sae-bench export eee results/ --out export/ --organization "My Lab" --relationship first_party
  sae-bench export hub results/ --out hub_folder/
"""


@click.group("export", epilog=EXAMPLES)
def export() -> None:
    """Write results in the forms in which Neuronpedia, Every Eval Ever and the Hugging Face hub take them."""


@export.command(epilog="\b\nExample:\n  sae-bench export neuronpedia results/ -o upload.json --repo me/my-saes")
@click.argument("results", type=FOLDER)
@click.option("-o", "--output", type=FILE, required=True, help="The upload list, a JSON file.")
@click.option("--repo", default="", help="Hub repository of the SAEs.")
@click.option("--repo-folder", default="", help="Their folder in it.")
def neuronpedia(results: Path, output: Path, repo: str, repo_folder: str) -> None:
    """Write the upload list of Neuronpedia: one entry per SAE and eval.

    Every SAE's configuration has to say what it is called there (neuronpedia_id: MODEL/SOURCE); one that does not is
    named and left out, and the exit code is 1.
    """
    from sae_bench.analysis.exchange import neuronpedia_entry
    from sae_bench.analysis.table import load_results
    from sae_bench.atomic import write_text_atomically
    from sae_bench.cli.console import err
    from sae_bench.errors import ResultError

    entries, left_out = [], []
    for record in load_results(results).records:
        try:
            entries.append(neuronpedia_entry(record, sae_repo=repo, sae_folder=repo_folder))
        except ResultError as error:
            left_out.append(str(error))
    if not entries:
        raise ResultError(left_out[0])
    write_text_atomically(output, json.dumps(entries, ensure_ascii=False))
    click.echo(f"{len(entries)} entries written to {output}")
    for text in left_out:
        err.print(f"left out: {text}", soft_wrap=True, highlight=False, markup=False)
    if left_out:
        raise SystemExit(1)


@export.command(epilog="\b\nExample:\n  sae-bench export eee results/ --out export/ --organization 'My Lab'")
@click.argument("results", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Records go to <out>/data/sae-bench/<developer>/<model>/.")
@click.option("--organization", type=TEXT, required=True, help="Who evaluated.")
@click.option(
    "--relationship",
    type=click.Choice(RELATIONSHIPS),
    default="other",
    show_default=True,
    help="Of the evaluator to the SAEs.",
)
def eee(results: Path, out: Path, organization: str, relationship: str) -> None:
    """Write records of Every Eval Ever (schema 0.3.0): a file per SAE and eval, with error bars."""
    from sae_bench.analysis.exchange import eee_path, eee_record
    from sae_bench.analysis.table import load_results
    from sae_bench.atomic import write_text_atomically

    n = 0
    for record in load_results(results).records:
        if not any(metric.path in record.values for metric in record.metrics()):
            continue
        content = eee_record(record, organization=organization, relationship=relationship)
        path = out / eee_path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(content, indent=2, ensure_ascii=False))
        n += 1
    click.echo(f"{n} records written to {out}")


@export.command(epilog="\b\nExample:\n  sae-bench export hub results/ --out hub_folder/")
@click.argument("results", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="A new folder, ready to be uploaded as a data set.")
@click.option("--title", type=TEXT, default="SAE Bench results", show_default=True, help="Title of the card.")
def hub(results: Path, out: Path, title: str) -> None:
    """Copy results and samples into a folder with a card: a data set for the Hugging Face hub."""
    from sae_bench.analysis.hub_folder import write_hub_folder

    write_hub_folder(results, out, title=title)
    click.echo(f"Written to {out}. Next: sae-bench publish {out} --repo OWNER/NAME")
