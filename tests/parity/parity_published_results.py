"""Result files that the published package wrote in the other parts: they load, and the report shows them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rows import Row

from sae_bench.report.sources import load_sources
from sae_bench.report.write import write_report

TITLE = "result files of the published package"
FOLDER = "published_results"
INTRODUCTION = """The result files that `sae-bench==0.6.0` wrote while the other parts ran, as they are: how many
there are of each eval, and how many of them this package loads into the table of its report; then the SAEs of the
report.
"""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Files written and loaded of every eval; the report is written beside them."""
    del run
    folder = work / FOLDER
    files = [json.loads(file.read_text()) for file in folder.rglob("*_eval_results.json")]
    written = Counter(content["eval_type_id"] for content in files)
    (source,) = load_sources(folder)
    loaded = Counter(record.eval_name for record in source.table.records)
    rows = [
        Row(f"{name}: result files that load", count, loaded[name], "all", loaded[name] == count)
        for name, count in sorted(written.items())
    ]
    collected = write_report(folder, work / "published_report.html")
    saes = {(content["sae_lens_release_id"], content["sae_lens_id"]) for content in files}
    rows.append(Row("SAEs in the report", len(saes), len(collected.saes), "all", len(saes) == len(collected.saes)))
    return rows
