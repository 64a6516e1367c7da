"""The report of 300 SAEs in a real browser: how long until it can be used, its longest tasks, and how large it is.

On a machine that does something else too: `chrt -r 5 python benchmarks/run_benchmarks.py --only report`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common import REPEATS, Page

from sae_bench.errors import PrerequisiteError
from sae_bench.evals.registry import eval_names
from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_results import write_synthetic_results

N_SAES, N_UNITS = 300, 600
MOST_MB, MOST_SECONDS, MOST_TASK_MS = 15, 1, 300
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def measure(work: Path) -> Page:
    """Write the results once, the report, and open it several times."""
    folder, target = work / "report" / "results", work / "report" / "report.html"
    if not folder.exists():
        write_synthetic_results(folder, N_SAES, evals=eval_names(), n_units=N_UNITS)
    start = perf_counter()
    collected = write_report(folder, target)
    written_s = perf_counter() - start
    opened = [_open(target) for _ in range(REPEATS)]
    names = ("first", "drawn", "blocked", "cpu", "sort", "filter")
    first, drawn, blocked, cpu, sorting, filtering = (statistics.median(run[name] for run in opened) for name in names)
    introduction = (
        f"{N_SAES} synthetic SAEs with {len(collected.metrics)} metrics of {len(collected.evals)} evals, three seeds, "
        f"details of every SAE; headless Chromium, an empty profile each time, median of {REPEATS}. The published "
        "package has no report to compare with."
    )
    facts = [
        f"First interaction (table built, filters answer): {first:.2f} s after the file is opened "
        f"(to be under {MOST_SECONDS} s).",
        f"The chart above the table drawn as well: {drawn:.2f} s, {cpu:.2f} s of them CPU time of the page's thread. "
        f"A click in between waits for at most {blocked:.2f} s (longest task).",
        f"Sorting by a column: {sorting * 1000:.0f} ms; filtering by a word, table and plot drawn: "
        f"{filtering * 1000:.0f} ms.",
        f"Size: {target.stat().st_size / 2**20:.1f} MB (to be under {MOST_MB} MB).",
        f"Writing it took {written_s:.1f} s.",
    ]
    steps = "; ".join(_step(name, [run[name] for run in opened]) for name in STEPS)
    facts.append(
        f"Longest task (to be under {MOST_TASK_MS} ms on an idle machine) and CPU time of what is done then: {steps}."
    )
    return Page("report", introduction, [], facts)


def _step(name: str, runs: list[list[float]]) -> str:
    task, cpu = (statistics.median(run[part] for run in runs) for part in (0, 1))
    return f"{name} {f'{task * 1000:.0f}' if task else 'under 50'} ms, {cpu:.2f} s"


def _open(target: Path) -> dict[str, float]:
    """Seconds until the page can be used, of a sort, and of a filter."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise PrerequisiteError("this benchmark needs a browser driver. Next: pip install playwright.") from error
    with sync_playwright() as started, tempfile.TemporaryDirectory() as profile:
        context = started.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", headless=True, args=list(FLAGS)
        )
        context.set_default_timeout(120_000)
        page: Any = context.pages[0]
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.add_init_script(_LONG_TASKS)
        page.goto(target.resolve().as_uri(), wait_until="commit")
        page.wait_for_function("typeof Report !== 'undefined' && Report.ready === true")
        spent = _thread_seconds(session)
        found = {**json.loads(page.evaluate(_MEASURE)), "cpu": spent}
        found |= {name: _longest(page, session, script) for name, script in STEPS.items()}
        context.close()
    return found


def _longest(page: Any, session: Any, script: str) -> list[float]:
    """Seconds of the longest task of a step and its CPU time, from the click until nothing is left to do."""
    page.evaluate("window.longTasks.length = 0")
    before = _thread_seconds(session)
    page.evaluate(script)
    page.wait_for_function("!document.querySelector('main[aria-busy]')", polling=100)
    page.wait_for_timeout(1000)
    return [
        page.evaluate("Math.max(0, ...window.longTasks.map(([, length]) => length))") / 1000,
        _thread_seconds(session) - before,
    ]


def _thread_seconds(session: Any) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(entry["value"]) for entry in metrics if entry["name"] == "ThreadTime")


STEPS = {
    "Overview, all headline metrics": "document.getElementById('best-all').click()",
    "Filters reset": "document.getElementById('reset').click()",
    "Plots": "location.hash = '#plots'",
    "Plots, all metrics": "document.getElementById('plots-all').click()",
    "Run facts": "location.hash = '#run'",
    "Page of an SAE": "location.hash = '#sae/0'",
    "Page of another": "location.hash = '#sae/1'",
    "Back to the overview": "location.hash = '#overview'",
    "Dark": "document.getElementById('theme').click()",
}
"""What is done in this order, after the page was opened, sorted and filtered."""

_LONG_TASKS = """window.longTasks = [];
new PerformanceObserver(list => list.getEntries().forEach(task => longTasks.push([task.startTime, task.duration])))
  .observe({ type: "longtask", buffered: true });"""

_MEASURE = """async () => {
  const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const timed = async act => {
    const start = performance.now();
    await act();
    await painted();
    return (performance.now() - start) / 1000;
  };
  const search = () => {
    const box = document.getElementById("search");
    box.value = "gated";
    box.dispatchEvent(new Event("input"));
  };
  const key = Report.ranked()[0], tasks = [...window.longTasks];
  return JSON.stringify({
    first: Report.usableAfter / 1000,
    drawn: Report.drawnAfter / 1000,
    blocked: Math.max(0, ...tasks.filter(([start]) => start >= Report.usableAfter).map(([, length]) => length)) / 1000,
    sort: await timed(() => Report.table.setSort(`m${key.index}`, "desc")),
    filter: await timed(search),
  });
}"""
