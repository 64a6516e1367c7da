"""`sae-bench validate`: what each metric can tell apart here."""

from __future__ import annotations

import re
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from sae_bench.atomic import replaceable, write_text_atomically
from sae_bench.cli.console import err, table_console
from sae_bench.cli.process import speech_options
from sae_bench.cli.values import FILE, FILE_OR_FOLDER, FOLDER, TEXT
from sae_bench.errors import UsageError

if TYPE_CHECKING:
    from sae_bench.analysis.validity import MetricVerdict, Validation
    from sae_bench.evals.base import EvalSpec

EXAMPLES = """\b
Examples:
  sae-bench validate demo_results
  sae-bench validate demo_results --save --metric tpp
  sae-bench validate --model synthetic:small --output-folder truth
  sae-bench validate --model embedded --output-folder panel --truth truth
"""

PANEL_FOLDER = Path("validation_results")
EMBEDDED = "embedded"
PACKAGED = {EMBEDDED: f"{EMBEDDED}:.*", "synthetic:small": "synthetic:.*"}
"""Model -> the spec of its SAEs that come with the package."""
_STYLES = {
    "ranks SAEs here": "green",
    "separates good from bad only": "yellow",
    "not valid here": "red",
    "too little evidence": "dim",
}


@click.command(epilog=EXAMPLES)
@click.argument("results", type=FILE_OR_FOLDER, required=False)
@click.option(
    "--metric", "metrics", type=TEXT, multiple=True, metavar="REGEX",
    help="Only metrics whose eval.category.metric or title matches; repeat for several.",
)  # fmt: skip
@click.option("--json", "json_file", type=FILE, help="Write everything here too.")
@click.option("--save", is_flag=True, help="Write validity.json into RESULTS, for the report to show.")
@click.option("--markdown", type=FILE, help="Write the table into this page, between its marks.")
@click.option(
    "--truth", type=FOLDER, help="Results on a synthetic model, ground_truth among them.  [default: those in RESULTS]"
)
@click.option("--model", type=TEXT, help="Without RESULTS: evaluate a panel of SAEs on this model first.")
@click.option(
    "--sae",
    "saes",
    type=TEXT,
    multiple=True,
    metavar="SPEC",
    help="With --model: trained SAEs; repeat.  [default: those of the package for embedded and synthetic:small]",
)
@click.option("--ladder-of", type=TEXT, metavar="SPEC", help="With --model: made worse step by step.  [default: first]")
@click.option("--evals", type=TEXT, default="all", show_default=True, help="With --model: evals of the panel.")
@click.option("--seeds", type=click.IntRange(min=1), default=4, show_default=True, help="With --model: seeds.")
@click.option(
    "--set", "settings", type=TEXT, multiple=True, metavar="EVAL.FIELD=VALUE", help="With --model: as for run; repeat."
)
@click.option("--hook", type=TEXT, help="With --model: where SAEs without a hook of their own sit.")
@click.option("--device", default="auto", show_default=True, help="With --model: auto, cpu, cuda, cuda:<i> or mps.")
@click.option("--data-dir", type=FOLDER, help="With --model: mirror of hub repositories.")
@click.option(
    "--output-folder", type=FOLDER, default=PANEL_FOLDER, show_default=True, help="With --model: results go here."
)
@speech_options
def validate(
    results: Path | None,
    metrics: tuple[str, ...],
    json_file: Path | None,
    save: bool,
    markdown: Path | None,
    truth: Path | None,
    **panel: Any,
) -> None:
    """Say for each metric of RESULTS (the output folder of a run) what it can tell apart there.

    A metric is held against null baselines, ladders of known order and, on synthetic models, true features; best on
    results of a run with `--nulls` and some `baseline:degraded(...)`. With --model and --sae the panel is made first.
    --truth adds such a panel on a synthetic model: does a metric rise with the true features that are found?
    """
    from sae_bench.analysis.validity import FILE_NAME
    from sae_bench.analysis.validity import validate as validate_results

    for path in filter(None, (json_file, markdown)):
        replaceable(path)
    if (results is None) == (panel["model"] is None):
        raise UsageError("name RESULTS, the output folder of a run, or --model and --sae to make a panel first.")
    if results is None:
        results, save = panel["output_folder"], True
        evaluate_panel(**panel)
    start = perf_counter()
    validation = validate_results(results, truth=truth, metrics=metrics)
    validation = validation.model_copy(update={"seconds": round(perf_counter() - start, 1)})
    show(validation)
    text = validation.model_dump_json(indent=2) + "\n"
    beside = results / FILE_NAME if save and results.is_dir() else None
    for path in filter(None, (beside, json_file)):
        write_text_atomically(path, text)
    if markdown is not None:
        from sae_bench.cli.validity_page import write_into

        write_into(markdown, validation)


def evaluate_panel(*, saes: tuple[str, ...], ladder_of: str | None, output_folder: Path, **options: Any) -> None:
    """Evaluate SAEs, their null baselines, references, and one SAE made worse step by step in every way.

    Args:
        saes: specs of trained SAEs.
        ladder_of: spec of the SAE that is made worse; the first of `saes` by default.
        output_folder: of the results.
        options: other flags of a run: model, evals, seeds, settings, hook, device, data_dir.
    """
    from sae_bench.cli.evaluation import evaluate_and_show
    from sae_bench.run.request import RunRequest

    saes = trained_specs(options["model"], saes)
    specs = (*saes, *panel_specs(ladder_of or _first(saes[0], options["data_dir"])))
    flags = {name: value for name, value in options.items() if value is not None}
    request = RunRequest.from_flags(
        {**flags, "sae_specs": specs, "preset": "quick", "nulls": True, "output_folder": output_folder}
    )
    if options["model"] in PACKAGED:
        given: dict[str, Any] = dict(request.settings)
        sizes = {spec.name: _demo_sizes(spec, options["model"]) for spec in request.specs()}
        settings = {name: {**of_eval, **given.get(name, {})} for name, of_eval in sizes.items()}
        request = request.model_copy(update={"settings": settings})
    try:
        evaluate_and_show(request)
    except SystemExit:  # some SAE or eval failed, and was named; the others count
        err.print("[yellow]note[/yellow] verdicts rest on what did not fail", highlight=False)


def _demo_sizes(spec: EvalSpec, model: str) -> dict[str, Any]:
    """The demo's settings of an eval; on a synthetic model without those that are about texts."""
    left_out = () if model == EMBEDDED else {*spec.synthetic, "context_length"}
    return {name: value for name, value in spec.demo.items() if name not in left_out}


def trained_specs(model: str, saes: tuple[str, ...]) -> tuple[str, ...]:
    """The trained SAEs of a panel: those of the package for that model, if none are named.

    Raises:
        UsageError: none are named on another model.
    """
    if saes or model in PACKAGED:
        return saes or (PACKAGED[model],)
    raise UsageError("a panel needs trained SAEs. Next: --sae SPEC, e.g. --sae path:my_saes.")


def panel_specs(ladder_of: str) -> list[str]:
    """What is evaluated beside the trained SAEs and their own null baselines."""
    from sae_bench.custom_saes.listing import DEGRADING, LEVELS

    worse = LEVELS[1:]  # the first is the SAE itself, which is there
    degraded = [f"baseline:degraded({ladder_of},{kind},{level:g})" for kind in DEGRADING for level in worse]
    return ["baseline:identity", "baseline:random", *degraded]


def _first(spec: str, data_dir: Path | None) -> str:
    """A spec of the first SAE alone that a spec names."""
    from sae_bench.custom_saes.spec import resolve_spec

    handles = resolve_spec(spec, data_dir=data_dir)
    if len(handles) == 1:
        return spec
    scheme = spec.partition(":")[0]
    if spec not in PACKAGED.values():
        raise UsageError(f"'{spec}' names {len(handles)} SAEs. Next: --ladder-of with the spec of one of them.")
    return f"{scheme}:{re.escape(handles[0].sae_id)}"


def show(validation: Validation) -> None:
    """A table and a sentence per metric, on standard output."""
    console = table_console()
    groups: dict[str, list[MetricVerdict]] = {}
    for verdict in validation.metrics:
        groups.setdefault(f"{verdict.eval} ({verdict.group})", []).append(verdict)
    for title, verdicts in groups.items():
        console.print(_table(title, verdicts))
        for one in verdicts:
            sentence = f"{one.title}: {one.verdict}. {one.sentence[:1].upper()}{one.sentence[1:]}."
            console.print(f"  {escape(sentence)}", soft_wrap=True, highlight=False)
        console.print()
    for note in validation.notes:
        err.print(f"[yellow]note[/yellow] {escape(note)}", soft_wrap=True, highlight=False)
    console.print(
        "CV: spread of one seed's score over its mean; tells apart: true difference that 80 % of such runs find; "
        "nulls: comparisons with SAEs that learned nothing that trained ones win, and the median standard errors; "
        "ladders: neighbouring rungs in the right order (significantly); floor: place of trained SAEs between floor "
        "and ceiling; truth: rank correlation with the MCC; s: seconds per SAE.",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


def _table(title: str, verdicts: list[MetricVerdict]) -> Table:
    from sae_bench.analysis.validity import SHORT
    from sae_bench.cli.validity_page import COLUMNS, cells

    table = Table(title=escape(title), title_justify="left", header_style="bold")
    table.add_column("metric", overflow="fold")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in verdicts:
        table.add_row(escape(one.title), *cells(one), SHORT[one.verdict], style=_STYLES[one.verdict])
    return table
