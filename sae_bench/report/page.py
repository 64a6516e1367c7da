"""The report as one HTML file: data, styles and scripts inside, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sae_bench.report.collect import Collected
from sae_bench.report.payload import details_blobs, page_data, pair_blobs
from sae_bench.version import VERSION

SCRIPTS = (
    "core.js", "ranks.js", "trends.js", "charts.js", "plot_keys.js", "verdicts.js", "filters.js", "exports.js",
    "table.js", "scatter.js", "overview_plot.js", "agreement.js", "plots_page.js", "address.js", "detail_charts.js",
    "latents.js", "sae_evals.js", "sae_page.js", "run_page.js", "main.js",
)  # fmt: skip
"""The page's own scripts in the order in which they run."""

_LICENCES = ("vendor/plotly/LICENSE", "vendor/tabulator/LICENSE")


def render(collected: Collected, *, title: str = "SAE Bench report", details: bool = True) -> str:
    """The page as text.

    Args:
        details: whether the pages of single SAEs have their details (most of the file's size).
    """
    blobs = {**pair_blobs(collected), **(details_blobs(collected) if details else {})}
    template = Environment(autoescape=True).from_string(_asset("assets/page.html.j2"))
    return template.render(
        title=title,
        version=VERSION,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        headline=headline(collected),
        data=_script_json(page_data(collected)),
        blobs={name: Markup(blob) for name, blob in blobs.items()},
        style=Markup(_asset("assets/style.css")),
        tabulator_css=Markup(_without_map(_asset("vendor/tabulator/tabulator.min.css"))),
        tabulator=Markup(_without_map(_asset("vendor/tabulator/tabulator.min.js"))),
        plotly=Markup(_asset("vendor/plotly/plotly-cartesian.min.js")),
        app=Markup("\n".join(_asset(f"assets/{name}") for name in SCRIPTS)),
        licences="\n\n".join(_asset(name) for name in _LICENCES),
    )


def headline(collected: Collected) -> str:
    """What the report is about in one line."""
    own = [record for source in collected.sources if source.is_own for record in source.table.records]
    seeds = {len(record.seeds) for record in own if record.seeds}
    models = sorted({record.model for record in own if record.model})
    hooks = sorted({sae.facts.hook for sae in collected.saes if sae.facts.hook})
    parts = [_count(len(collected.saes), "SAE"), _count(len(collected.evals), "eval")]
    if seeds:
        parts.append(_count(max(seeds), "seed") if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds")
    parts += [_listed(models), _listed(hooks)]
    beside = [source.label for source in collected.sources if not source.is_own]
    if beside:
        parts.append(f"beside {', '.join(beside)}")
    skipped = sum(len(source.table.skipped) for source in collected.sources)
    if skipped:
        parts.append(f"{_count(skipped, 'file')} not used (see Run facts)")
    return " · ".join(part for part in parts if part)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _script_json(content: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _without_map(script: str) -> str:
    """A script or style without the address of its source map, which a browser would try to fetch."""
    return "\n".join(line for line in script.splitlines() if "# sourceMappingURL=" not in line)


def _asset(name: str) -> str:
    return (files("sae_bench.report") / name).read_text(encoding="utf-8")
