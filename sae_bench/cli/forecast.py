"""`sae-bench run --dry-run`: what a run would do and take, as tables."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from sae_bench.activations.pooled import DENSE_LIMIT_BYTES
from sae_bench.cli.console import err, table_console
from sae_bench.cli.progress import duration
from sae_bench.run.dry_run import dry_run
from sae_bench.run.forecast import ModelForecast
from sae_bench.run.request import RunRequest


def show_forecast(request: RunRequest, n_workers: int) -> None:
    """One table per model, then what its numbers add up to.

    Args:
        n_workers: how many devices like this one.
    Raises:
        SAEBenchError: as the run itself would, before it starts.
    """
    nothing = True
    for forecast in dry_run(request, n_workers):
        nothing = False
        console = table_console()
        title = f"{forecast.name}: {forecast.n_saes} SAEs to do, {forecast.n_done} results are there"
        console.print(escape(title), soft_wrap=True, highlight=False)
        console.print(_table(forecast))
        for line in _lines(forecast):
            err.print(escape(line), soft_wrap=True, highlight=False)
    if nothing:
        err.print(
            f"Nothing to do: there are more shares than SAEs, and share {request.shard} has none.", soft_wrap=True
        )


def _table(forecast: ModelForecast) -> Table:
    table = Table(header_style="bold")
    for column in ("Eval", "SAEs", "Tokens", "Preparing", "Scoring, per SAE", "Scoring, all"):
        table.add_column(column, justify="left" if column == "Eval" else "right")
    for one in forecast.evals:
        table.add_row(
            one.name,
            str(one.n_saes),
            f"{one.tokens:,}",
            _time(one.prepare_seconds),
            _time(one.score_seconds),
            _time(one.all_score_seconds),
        )
    return table


def _lines(forecast: ModelForecast) -> list[str]:
    lines = [
        f"The model: {forecast.model_bytes / 1e9:.2f} GB in {forecast.dtype} on {forecast.device}, loaded in "
        f"{duration(forecast.load_seconds)}."
    ]
    seconds = forecast.pass_seconds
    if seconds is not None:
        lines.append(
            f"One pass of the model over {forecast.tokens:,} tokens (texts that evals share count once): "
            f"{duration(seconds)} at {forecast.tokens_per_second:,.0f} tokens/s, measured just now; codes: "
            f"{_time(forecast.codes_seconds)} per SAE."
        )
    if forecast.n_texts:
        pooled, codes, most = map(_size, (forecast.pooled_bytes, forecast.pooled_code_bytes, DENSE_LIMIT_BYTES))
        lines.append(
            f"Kept in main memory of {forecast.n_texts:,} texts: {pooled} of activations, and per SAE and 1,000 "
            f"latents {codes} of codes (the active ones alone where that is over {most} for an SAE)."
        )
    workers = f"{forecast.n_workers} workers like this" if forecast.n_workers > 1 else "one process"
    sizes = sorted({len(unit.members) for unit in forecast.units}, reverse=True)
    saes = "SAE" if sizes == [1] else "SAEs"
    if forecast.units:
        n_units = f"{len(forecast.units)} unit" + ("s" if len(forecast.units) > 1 else "")
        lines.append(f"For {workers}: {n_units} of {', '.join(map(str, sizes))} {saes}, each with a pass of its own.")
    lines += [f"The judge of {one.name}: {one.judge}." for one in forecast.evals if one.judge is not None]
    if forecast.seconds is not None and forecast.units:
        lines.append(f"All in all: about {duration(forecast.seconds)}.")
    elif forecast.units:
        missing = [one.name for one in forecast.evals if one.n_saes and one.score_seconds is None]
        lines.append(
            f"How long {', '.join(missing)} will take is not known: no result in this folder tells. Next: evaluate one "
            "SAE there, then ask again."
        )
    return lines


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
