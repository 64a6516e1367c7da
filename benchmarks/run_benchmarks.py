"""Seconds and memory beside the published package; writes docs/benchmarks/.

make bench

Every `bench_<name>.py` beside this file is one part: `measure(work) -> Page`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import torch
from common import ROOT, Page, export_inputs

PAGES = ROOT / "docs" / "benchmarks"
INDEX = ROOT / "docs" / "benchmarks.md"
FIRST = ("core", "sparse_probing")
LAST = ("suite",)
"""Adds up what the other parts have measured."""
HEADER = "| | published s | ours s | ratio | published peak MB | ours peak MB |\n| --- | --- | --- | --- | --- | --- |"
INTRODUCTION = """# Benchmarks

`make bench` runs `sae-bench==0.6.0` and this package on one machine, in one run per part, with the same model
(SmolLM2-135M-Instruct), SAEs (1536 latents, layer 10 of 30), inputs, dtype and number of threads. Loading the model is
not counted. Each part's page says how it was measured and where the time goes.
"""


def parts() -> dict[str, str]:
    """Name of every part -> its module, the basic ones first, sums last."""
    found = {path.stem.removeprefix("bench_"): path.stem for path in Path(__file__).parent.glob("bench_*.py")}
    names = [*(n for n in FIRST if n in found), *sorted(set(found) - {*FIRST, *LAST}), *(n for n in LAST if n in found)]
    return {name: found[name] for name in names}


def write_page(page: Page, path: Path) -> None:
    """One part."""
    lines = [f"# Benchmark: {page.title}", "", page.introduction.strip(), ""]
    if page.lines:
        lines += [HEADER, *(line.markdown() for line in page.lines), ""]
    lines += [f"- {fact}" for fact in page.facts]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines).rstrip() + "\n")


def write_index() -> None:
    """docs/benchmarks.md: the tables of all pages that are there, then links to those without one."""
    lines, others = [INTRODUCTION, HEADER], []
    for name in parts():
        page = PAGES / f"{name}.md"
        if not page.exists():
            continue
        title, *content = page.read_text().splitlines()
        below = content[content.index(HEADER.splitlines()[0]) + 2 :] if HEADER.splitlines()[0] in content else []
        rows = [row for row in below if row.startswith("| ")]
        lines += [f"| [{name}](benchmarks/{name}.md): {row[2:]}" for row in rows]
        if not rows:
            others.append(f"[{title.removeprefix('# Benchmark: ')}](benchmarks/{name}.md)")
    if others:
        lines += ["", f"Nothing of the published package to compare with: {', '.join(others)}."]
    INDEX.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure the chosen parts and write a page for each."""
    names = parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "bench", help="folder for what both sides write")
    parser.add_argument("--only", nargs="*", choices=list(names), help="all by default")
    parser.add_argument("--reuse-inputs", action="store_true", help="the exported inputs are there already")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.reuse_inputs:
        export_inputs(args.work)
    for name in args.only or names:
        write_page(importlib.import_module(names[name]).measure(args.work), PAGES / f"{name}.md")
        sys.stderr.write(f"{name}: docs/benchmarks/{name}.md ({torch.get_num_threads()} threads)\n")
    write_index()


if __name__ == "__main__":
    main()
