"""Compare two folders of results number by number, bit for bit: `python scripts/compare_results.py BEFORE AFTER`.

What differs between any two runs (ids, times, versions) is left out. A number that differs is shown with its relative
size. Exit code 1 if anything differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LEFT_OUT = frozenset({"eval_id", "datetime_epoch_millis", "sae_bench_commit_hash", "provenance", "sae_lens_version"})
SHOWN = 20
"""Differences of one file that are listed; the rest is counted."""


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Every place where two contents of result files differ, in words; types count as well as values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after} - LEFT_OUT):
            where = f"{path}.{key}" if path else key
            if "seconds" in key:
                continue
            if key not in before:
                yield f"{where}: new"
            elif key not in after:
                yield f"{where}: gone"
            else:
                yield from differences(before[key], after[key], where)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{path}: {len(before)} entries, then {len(after)}"
        for n, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from differences(one, other, f"{path}[{n}]")
    elif type(before) is not type(after) or before != after:
        yield f"{path}: {before!r}, then {after!r}{_relative(before, after)}"


def _relative(before: Any, after: Any) -> str:
    if not isinstance(before, float) or not isinstance(after, float) or before == 0:
        return ""
    return f" (relative {abs(after - before) / abs(before):.1e})"


def compare_folders(before: Path, after: Path) -> tuple[int, list[str]]:
    """How many files stand in both folders, and the lines to show of all that differs."""
    names = sorted({p.relative_to(f) for f in (before, after) for p in f.rglob("*_eval_results.json")})
    n_both, lines = 0, []
    for name in names:
        one, other = before / name, after / name
        if not one.is_file() or not other.is_file():
            lines.append(f"{name}: only in {before if one.is_file() else after}")
            continue
        n_both += 1
        found = list(differences(json.loads(one.read_text("utf-8")), json.loads(other.read_text("utf-8"))))
        if found:
            lines += [f"{name}: {len(found)} differences", *(f"    {line}" for line in found[:SHOWN])]
    return n_both, lines


def main(arguments: Sequence[str]) -> int:
    """Entry point; returns the exit code."""
    if len(arguments) != 2 or not all(Path(a).is_dir() for a in arguments):
        sys.stderr.write("usage: compare_results.py BEFORE AFTER (two folders of results)\n")
        return 2
    n_both, lines = compare_folders(Path(arguments[0]), Path(arguments[1]))
    n_files = sum(not line.startswith(" ") for line in lines)
    sys.stdout.write("".join(f"{line}\n" for line in [*lines, f"{n_both} files in both folders, {n_files} differ"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
