"""Put files into the pages that show them, the output of a demo run into the README, suites' scores into their pages.

python scripts/update_docs.py
make demo 2>&1 | tee demo.log
python scripts/update_docs.py --log demo.log --results demo_results
python scripts/update_docs.py --truth truth
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from sae_bench.evals.registry import get_eval

ROOT = Path(__file__).resolve().parent.parent
TABLES_SHOWN = 2


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


def excerpt(log: str) -> str:
    """The first tables and the last lines of what the demo printed; what is left out is said."""
    lines = [line.rstrip() for line in log[log.index("Core") :].strip().splitlines()]
    ends = [place for place, line in enumerate(lines) if line.startswith("└")]
    left_out = len(ends) - TABLES_SHOWN
    return "\n".join([*lines[: ends[TABLES_SHOWN - 1] + 1], f"[{left_out} more tables]", *lines[ends[-1] + 1 :]])


def suite_table(results: Path) -> str:
    """Core metrics of the embedded SAEs as a Markdown table."""
    of_suite = [one for one in contents(results, "core") if one["sae_lens_release_id"] == "embedded"]
    return scores_table("core", {one["sae_lens_id"]: one for one in of_suite})


def truth_table(results: Path) -> str:
    """What `ground_truth` says of every SAE there, the best F1 first."""
    of_saes = {f"{one['sae_lens_release_id']}:{one['sae_lens_id']}": one for one in contents(results, "ground_truth")}
    best_first = sorted(of_saes, key=lambda sae: -of_saes[sae]["eval_result_metrics"]["recovery"]["f1"])
    return scores_table("ground_truth", {sae: of_saes[sae] for sae in best_first})


def scores_table(eval_name: str, results: dict[str, dict]) -> str:
    """Headline metrics of an eval as a Markdown table, a row per name and result."""
    spec = get_eval(eval_name)
    lines = ["| SAE | " + " | ".join(metric.title for metric in spec.metrics) + " |",
             "| --- |" + " --- |" * len(spec.metrics)]  # fmt: skip
    for name, content in results.items():
        values = (metric.read(content["eval_result_metrics"]) for metric in spec.metrics)
        cells = " | ".join("none" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def show_files(page: Path) -> None:
    """Put each file that a page shows between `<!-- file path -->` (from the page's folder) and `<!-- /file -->`."""

    def shown(match: re.Match[str]) -> str:
        return f"{match[1]}{(page.parent / match[2]).read_text(encoding='utf-8')}{match[3]}"

    text = page.read_text(encoding="utf-8")
    pattern = r"(<!-- file (\S+) -->\n```\w*\n).*?(```\n<!-- /file -->)"
    page.write_text(re.sub(pattern, shown, text, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="what the demo printed; without it only files are shown")
    parser.add_argument("--truth", type=Path, help="results on synthetic:small, for the page of ground_truth")
    parser.add_argument("--results", type=Path, default=Path("demo_results"), help="what the demo wrote")
    args = parser.parse_args()
    for page in sorted((ROOT / "docs").glob("*.md")):
        show_files(page)
    if args.truth is not None:
        replace_between(ROOT / "docs" / "evals" / "ground_truth.md", "truth-table", truth_table(args.truth))
    if args.log is None:
        return
    replace_between(ROOT / "README.md", "demo-output", f"```\n{excerpt(args.log.read_text(encoding='utf-8'))}\n```")
    replace_between(ROOT / "docs" / "embedded_suite.md", "suite-table", suite_table(args.results))


if __name__ == "__main__":
    main()
