"""The table of `validate` as Markdown, written between two marks of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sae_bench.analysis.validity import MetricVerdict, Validation
from sae_bench.analysis.validity_model import FURTHEST
from sae_bench.analysis.verdicts import number
from sae_bench.atomic import write_text_atomically
from sae_bench.errors import UsageError

COLUMNS = ("CV", "tells apart", "nulls", "ladders", "floor", "truth", "s")
"""Of the table, here and on the command line."""

BEGIN, END = "<!-- sae-bench validate: begin {model} -->", "<!-- sae-bench validate: end {model} -->"


def write_into(page: Path, validation: Validation, *, model: str | None = None) -> None:
    """Put the table between the marks of its model; the rest of the page stays.

    Args:
        page: a Markdown file with a line `<!-- sae-bench validate: begin MODEL -->` and one that ends so.
        validation: of one model.
        model: its name in the marks; that of the results by default.
    Raises:
        UsageError: the page is not there, or has no such marks.
    """
    name = model or _model(validation)
    begin, end = BEGIN.format(model=name), END.format(model=name)
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"'{page}' has no place for this table. Next: add the lines '{begin}' and '{end}' to it.")
    write_text_atomically(page, f"{before}{begin}\n{as_markdown(validation.metrics)}\n{end}{after}")


def as_markdown(verdicts: Sequence[MetricVerdict]) -> str:
    """One row per metric: its numbers, the verdict, and why."""
    lines = [
        "| eval | metric | " + " | ".join(COLUMNS) + " | verdict | why |",
        "| --- " * (len(COLUMNS) + 4) + "|",
    ]
    for one in verdicts:
        row = (one.eval, one.title, *cells(one), one.verdict, one.sentence)
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |")
    return "\n".join(lines)


def _model(validation: Validation) -> str:
    models = {one.group.split(" · ")[1] for one in validation.metrics if " · " in one.group}
    if len(models) != 1:
        raise UsageError(f"a page takes the table of one model; these results are of {len(models)}.")
    return models.pop()


def cells(one: MetricVerdict) -> list[str]:
    """The numbers of one metric, in the order of `COLUMNS`."""
    nulls, ladders = one.nulls, one.ladders
    z = "" if nulls.median_z is None else f" ({_errors(nulls.median_z)})"
    return [
        "-" if one.noise.cv is None else ">100%" if one.noise.cv > 1 else f"{one.noise.cv:.1%}",
        _apart(one),
        f"{nulls.n_better}/{nulls.n_pairs}{z}" if nulls.n_pairs else "-",
        f"{ladders.n_right}/{ladders.n_neighbours} ({ladders.n_significant})" if ladders.n_neighbours else "-",
        "-" if one.floor.median is None else number(one.floor.median),
        "-" if one.truth.mcc is None else f"{one.truth.mcc:+.2f}",
        "-" if one.seconds_per_sae is None else f"{one.seconds_per_sae:.1f}",
    ]


def _errors(z: float) -> str:
    return f">{FURTHEST:.0f}" if z >= FURTHEST else f"{z:.1f}"


def _apart(one: MetricVerdict) -> str:
    """The difference that such runs tell apart; none, where it would have to be larger than the metric can be."""
    if one.detectable is None:
        return "-"
    return "nothing" if one.scale is not None and one.detectable >= one.scale else number(one.detectable)
