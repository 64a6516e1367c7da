"""Compare numbers with the published package on the same model, SAEs, tokens and labels; writes docs/parity/.

make parity

Every `parity_<name>.py` beside this file is one part: `TITLE`, `INTRODUCTION` and `compare(work, run=True) -> rows`.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from reference import ROOT, run_ours
from rows import Row

PAGES = ROOT / "docs" / "parity"
INDEX = ROOT / "docs" / "parity.md"
FIRST = ("hooks", "tokens", "core", "sparse_probing")
LAST = ("published_results",)
"""Reads what the other parts have left."""
EXPORTED = ("topk", "batch_topk", "jumprelu", "gated", "relu", "matryoshka_batch_topk")
HEADER = "| what | published package | ours | allowed | |\n| --- | --- | --- | --- | --- |"
COUNTS = re.compile(r"^(\d+) numbers compared, (\d+) differ\.$", re.MULTILINE)
INTRODUCTION = """# Parity with the published package

`make parity` runs `sae-bench==0.6.0` in an environment of its own and this package beside it: SmolLM2-135M-Instruct in
float32 on a CPU, the embedded SAEs (decoder rows scaled to unit length, which the published package demands), the same
token ids and labels. Whether both make the same token ids of the same texts is a [part of its own](parity/tokens.md).
Model and data loading of the published package are replaced by adapters
([tests/parity/reference_side](../tests/parity/reference_side/README.md)); every number on its side comes from its code.
"""


def parts() -> dict[str, str]:
    """Name of every part -> its module, the basic ones first."""
    found = {path.stem.removeprefix("parity_"): path.stem for path in Path(__file__).parent.glob("parity_*.py")}
    names = [*(n for n in FIRST if n in found), *sorted(set(found) - {*FIRST, *LAST}), *(n for n in LAST if n in found)]
    return {name: found[name] for name in names}


def write_page(title: str, introduction: str, rows: Sequence[Row], path: Path) -> None:
    """What was compared, how, and every number of both sides."""
    bad = sum(not row.good for row in rows)
    counts = f"{len(rows)} numbers compared, {bad} differ."
    lines = [f"# Parity: {title}", "", introduction.strip(), "", counts, "", HEADER]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, *(row.markdown() for row in rows), ""]))


def write_index() -> None:
    """docs/parity.md: one line per page that is there."""
    lines = [INTRODUCTION, "| part | numbers compared | differ |", "| --- | --- | --- |"]
    for name in parts():
        page = PAGES / f"{name}.md"
        if page.exists():
            text = page.read_text()
            title, counts = text.partition("\n")[0].removeprefix("# Parity: "), COUNTS.search(text)
            lines.append(f"| [{title}](parity/{name}.md) | {' | '.join(counts.groups()) if counts else '? | ?'} |")
    INDEX.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Run the chosen parts, write a page for each; exit 1 if a number differs."""
    names = parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "parity", help="folder for what both sides write")
    parser.add_argument("--only", nargs="*", choices=list(names), help="all by default")
    parser.add_argument("--reuse-inputs", action="store_true", help="the exported inputs are there already")
    parser.add_argument("--compare-only", action="store_true", help="read what both sides wrote before")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.reuse_inputs or args.compare_only):
        run_ours("export", "--out", args.work / "in", "--saes", ",".join(EXPORTED), "--rows", 64)
    n_rows = n_bad = 0
    for name in args.only or names:
        part = importlib.import_module(names[name])
        rows = part.compare(args.work, run=not args.compare_only)
        write_page(part.TITLE, part.INTRODUCTION, rows, PAGES / f"{name}.md")
        bad = [row for row in rows if not row.good]
        sys.stderr.writelines(f"{row.markdown()}\n" for row in bad)
        n_rows, n_bad = n_rows + len(rows), n_bad + len(bad)
    write_index()
    sys.stderr.write(f"{n_rows} numbers compared, {n_bad} differ\n")
    raise SystemExit(1 if n_bad else 0)


if __name__ == "__main__":
    main()
