"""`sae-bench compare`: which SAE is better, and could this run have told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sae_bench.atomic import replaceable, write_text_atomically
from sae_bench.cli.console import err, table_console
from sae_bench.cli.values import FILE, FILE_OR_FOLDER, FOLDER, TEXT
from sae_bench.errors import UsageError

if TYPE_CHECKING:
    from sae_bench.analysis.comparison import Comparison
    from sae_bench.analysis.verdicts import PairVerdict, RankedSAE, Ranking

EXAMPLES = """\b
Examples:
  sae-bench compare demo_results --a embedded:topk --b embedded:relu
  sae-bench compare demo_results --baseline baseline:pca --metric sparse_probing
  sae-bench compare demo_results
  sae-bench compare demo_results --consistency
  sae-bench compare --consistency --model embedded --sae 'embedded:(topk|relu)'
"""

_STYLES = {"better": "green", "worse": "red", "higher": "cyan", "lower": "cyan"}
_SHOWN_SKIPPED = 20


@click.command(epilog=EXAMPLES)
@click.argument("results", type=FILE_OR_FOLDER, required=False)
@click.option("--a", type=TEXT, help="SAE A, as release:id, or an id that one release has.")
@click.option("--b", type=TEXT, help="SAE B.")
@click.option("--baseline", type=TEXT, help="Compare every other SAE with this one.")
@click.option(
    "--metric", "metrics", type=TEXT, multiple=True, metavar="REGEX",
    help="Only metrics whose eval.category.metric or title matches; repeat for several.",
)  # fmt: skip
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Accepted chance of any false finding.")
@click.option("--detect", type=float, help="Difference that 'more seeds' is about.  [default: 0.01, or 1 % above 1]")
@click.option(
    "--family", type=click.Choice(["table", "metric"]), default="table", show_default=True,
    help="What the correction for many comparisons spans: all that are made, or the SAEs on one metric.",
)  # fmt: skip
@click.option("--json", "json_file", type=FILE, help="Write everything here too.")
@click.option(
    "--consistency", is_flag=True,
    help="Instead of scores: do SAEs of one hook find the same latents? Loads those of RESULTS or --sae, and writes "
    "consistency.json into RESULTS.",
)  # fmt: skip
@click.option("--model", type=TEXT, help="With --consistency: the language model, if RESULTS do not say it.")
@click.option("--sae", "saes", type=TEXT, multiple=True, metavar="SPEC", help="With --consistency: SAEs; repeat.")
@click.option("--hook", type=TEXT, help="With --consistency: where SAEs without a hook of their own sit.")
@click.option("--corpus", type=TEXT, help="With --consistency: held-out text.  [default: that of the package]")
@click.option("--data-dir", type=FOLDER, help="With --consistency: mirror of hub repositories.")
def compare(
    results: Path | None,
    a: str | None,
    b: str | None,
    baseline: str | None,
    metrics: tuple[str, ...],
    alpha: float,
    detect: float | None,
    family: str,
    json_file: Path | None,
    consistency: bool,
    **loading: Any,
) -> None:
    """Compare two SAEs of RESULTS (the output folder of a run), or all with a baseline; else rank all SAEs."""
    if json_file is not None:
        replaceable(json_file)
    if consistency:
        if a or b or baseline or metrics:
            raise UsageError(
                "--consistency compares latents, not scores; --a, --b, --baseline and --metric are not for it."
            )
        _consistency(results, json_file, loading)
        return
    if given := [name for name, value in loading.items() if value]:
        raise UsageError(f"--{given[0].replace('saes', 'sae').replace('_', '-')} goes with --consistency.")
    if results is None:
        raise UsageError("Missing argument 'RESULTS'. Next: name the output folder of a run.")
    from sae_bench.analysis import comparison
    from sae_bench.analysis.table import load_results

    table = load_results(results)
    if a is None and b is None and baseline is None:
        if detect is not None or family != "table":
            raise UsageError("--detect and --family go with --a and --b, or with --baseline; a ranking has neither.")
        compared = comparison.rank(table, metrics=metrics, alpha=alpha)
    else:
        compared = comparison.compare(
            table, a=a, b=b, baseline=baseline, metrics=metrics, alpha=alpha, detect=detect,
            family="metric" if family == "metric" else "table",
        )  # fmt: skip
    show(compared, by_metric=baseline is not None)
    if json_file is not None:
        write_text_atomically(json_file, compared.model_dump_json(indent=2) + "\n")


def _consistency(results: Path | None, json_file: Path | None, loading: Mapping[str, Any]) -> None:
    from sae_bench.analysis.consistency import FILE_NAME
    from sae_bench.cli.consistency import CORPUS, Asked, measure
    from sae_bench.cli.consistency import show as show_consistency

    asked = Asked(results=results, **{**loading, "saes": tuple(loading["saes"]), "corpus": loading["corpus"] or CORPUS})
    measured = measure(asked)
    show_consistency(measured)
    beside = results / FILE_NAME if results is not None and results.is_dir() else None
    for path in filter(None, (beside, json_file)):
        write_text_atomically(path, measured.model_dump_json(indent=2) + "\n")


def show(compared: Comparison, *, by_metric: bool) -> None:
    """Tables and sentences on standard output; what could not be used on standard error."""
    console = table_console()
    groups: dict[str, list[PairVerdict]] = {}
    for pair in compared.pairs:
        title = f"{pair.eval}: {pair.title}, B = {pair.b}" if by_metric else f"{pair.eval}: A = {pair.a}, B = {pair.b}"
        groups.setdefault(title, []).append(pair)
    for title, pairs in groups.items():
        console.print(pair_table(title, pairs, by_metric=by_metric, confidence=_confidence(compared)))
        _print_given(console, pairs[0].given)
        for pair in pairs:
            name = pair.a if by_metric else pair.title
            console.print(f"  {escape(name)}: {escape(pair.sentence)}.", soft_wrap=True, highlight=False)
        console.print()
    for ranking in compared.rankings:
        console.print(ranking_table(ranking))
        _print_given(console, ranking.given)
        if ranking.beside:
            console.print(f"  {escape(ranking.beside)}.", soft_wrap=True, highlight=False)
        console.print(f"  {escape(ranking.sentence)}.\n", soft_wrap=True, highlight=False)
    console.print(escape(_legend(compared)), soft_wrap=True, highlight=False)
    _show_left_out(compared)


def _print_given(console: Console, given: str) -> None:
    if given:
        text = f"  Given {given}: how far others would be off is not in the intervals (--resample-data puts it there)."
        console.print(escape(text), soft_wrap=True, highlight=False)


def _confidence(compared: Comparison) -> str:
    return f"{100 * (1 - compared.alpha):g} %"


def pair_table(title: str, pairs: list[PairVerdict], *, by_metric: bool, confidence: str = "95 %") -> Table:
    """One row per metric, or per SAE against the baseline."""
    from sae_bench.analysis.verdicts import number

    table = Table(title=escape(title), title_justify="left", header_style="bold")
    table.add_column("SAE" if by_metric else "metric", overflow="fold")
    for name in ("A", "B", "A - B", f"{confidence} interval", "p", "detectable"):
        table.add_column(name, justify="right", no_wrap="interval" not in name)
    table.add_column("A is")
    for pair in pairs:
        table.add_row(
            escape(pair.a if by_metric else pair.title),
            _cell(pair.value_a),
            _cell(pair.value_b),
            "-" if pair.difference is None else number(pair.difference),
            _range(pair.ci_low, pair.ci_high),
            "-" if pair.p_adjusted is None else _p(pair.p_adjusted),
            _range(pair.detectable_low, pair.detectable_high),
            pair.verdict,
            style=_STYLES.get(pair.verdict),
        )
    return table


def ranking_table(ranking: Ranking) -> Table:
    """One row per SAE, the best first."""
    arrow = "↑" if ranking.higher_is_better else "↓"
    apart = f" ({ranking.group})" if ranking.group else ""
    table = Table(
        title=escape(f"{ranking.eval}: {ranking.title} {arrow}{apart}"), title_justify="left", header_style="bold"
    )
    table.add_column("rank", justify="right")
    table.add_column("best?")
    table.add_column("SAE", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("behind the best by", justify="right")
    with_place = any(row.above_floor is not None for row in ranking.saes)
    if with_place:
        table.add_column("above floor", justify="right")
    n_candidates = sum(row.could_be_best for row in ranking.saes)
    for row in ranking.saes:
        possible = "no" if not row.could_be_best else "maybe" if row.compared else "?"
        if row.could_be_best and row.compared and n_candidates == 1:
            possible = "yes"
        interval = "-" if row.ci_low is None or row.ci_high is None else f"{_cell(row.ci_low)} to {_cell(row.ci_high)}"
        place = [_place(row)] if with_place else []
        table.add_row(str(row.rank), possible, escape(row.sae), _cell(row.value), interval, _behind(row), *place)
    return table


def _place(row: RankedSAE) -> str:
    if row.above_floor is None:
        return "-"
    low, high = row.above_floor_low, row.above_floor_high
    interval = "" if low is None or high is None else f" ({_cell(low)} to {_cell(high)})"
    return _cell(row.above_floor) + interval


def _behind(row: RankedSAE) -> str:
    from sae_bench.analysis.verdicts import number

    if row.behind_low is not None and row.behind_high is None:
        return f"{number(row.behind_low)} or more"
    return _range(row.behind_low, row.behind_high)


def _legend(compared: Comparison) -> str:
    confidence = _confidence(compared)
    if compared.rankings or not compared.pairs:
        return (
            f"'behind the best by': least and most, all SAEs of a table at once with {confidence} confidence (below 0: "
            "ahead of all others); 'best?' is 'no' where the least is above 0, and '?' where no pair with it has an "
            "error bar. '95 % interval' is of the score of one SAE alone; 'above floor' is (score - floor) / "
            "(ceiling - floor)."
        )
    n = sum(pair.p_value is not None for pair in compared.pairs)
    spans = f"the {n} comparisons above" if compared.family == "table" else "the comparisons on one metric"
    return (
        f"Intervals and p are corrected for {spans}: with {confidence} confidence all these intervals hold at once. "
        "A difference is inside the noise if its interval holds 0. 'detectable' is the true difference that 80 % of "
        "runs like these would find: a range, since a run knows its own noise only roughly."
    )


def _range(low: float | None, high: float | None) -> str:
    from sae_bench.analysis.verdicts import number

    if low is None or high is None:
        return "-"
    return f"over {number(low)}" if 0 < low == high else f"{number(low)} to {number(high)}"


def _show_left_out(compared: Comparison) -> None:
    for note in dict.fromkeys([*compared.notes, *(note for pair in compared.pairs for note in pair.notes)]):
        err.print(f"[yellow]note[/yellow] {escape(note)}", soft_wrap=True, highlight=False)
    for n_shown, (path, reason) in enumerate(compared.skipped.items()):
        if n_shown == _SHOWN_SKIPPED:
            err.print(
                f"... and {len(compared.skipped) - n_shown} more files skipped (--json lists all)", highlight=False
            )
            break
        err.print(f"[yellow]skipped[/yellow] {escape(f'{path}: {reason}')}", soft_wrap=True, highlight=False)


def _cell(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
