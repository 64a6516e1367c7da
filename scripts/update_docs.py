"""Put the real output of a demo run into the README (text and picture) and the suite's scores into its page.

make demo 2>&1 | tee demo.log
python scripts/update_docs.py --log demo.log --results demo_results
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from rich.console import Console

from sae_bench.cli.console import results_table
from sae_bench.evals.registry import eval_names, get_eval

ROOT = Path(__file__).resolve().parent.parent


def contents(results: Path, name: str) -> list[dict]:
    """Results of one eval, sorted by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / name).glob("*.json"))]


def replace_between(path: Path, marker: str, text: str) -> None:
    """Put `text` between `<!-- marker -->` and `<!-- /marker -->`."""
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(f"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{path} has no marker '{marker}'")
    path.write_text(pattern.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page), encoding="utf-8")


def picture(results: Path, target: Path) -> None:
    """The tables of the demo as they look in a terminal."""
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    for name in eval_names():
        console.print(results_table(get_eval(name), contents(results, name)))
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="sae-bench demo")
    local = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # fonts of a web server: take the reader's own
    target.write_text(local.replace("Fira Code, monospace", "monospace"), encoding="utf-8")


def suite_table(results: Path) -> str:
    """Core metrics of the embedded SAEs as a Markdown table."""
    spec = get_eval("core")
    lines = ["| SAE | " + " | ".join(metric.title for metric in spec.metrics) + " |",
             "| --- |" + " --- |" * len(spec.metrics)]  # fmt: skip
    for content in contents(results, "core"):
        if content["sae_lens_release_id"] == "embedded":
            values = (metric.read(content["eval_result_metrics"]) for metric in spec.metrics)
            cells = " | ".join("none" if value is None else f"{value:.3f}" for value in values)
            lines.append(f"| `{content['sae_lens_id']}` | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="what the demo printed")
    parser.add_argument("--results", type=Path, default=Path("demo_results"), help="what the demo wrote")
    args = parser.parse_args()
    replace_between(ROOT / "README.md", "demo-output", "```\n" + args.log.read_text(encoding="utf-8").strip() + "\n```")
    replace_between(ROOT / "docs" / "embedded_suite.md", "suite-table", suite_table(args.results))
    picture(args.results, ROOT / "docs" / "images" / "demo.svg")


if __name__ == "__main__":
    main()
