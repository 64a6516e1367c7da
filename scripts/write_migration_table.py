"""Write the table of all published names into docs/migration.md.

python scripts/write_migration_table.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NAMES, PAGE = ROOT / "tests" / "published" / "names.yaml", ROOT / "docs" / "migration.md"
START, END = "<!-- names -->\n", "<!-- /names -->\n"
STATES = ("wider", "differs", "removed")


def table(modules: Mapping[str, Any]) -> str:
    """One row for the names of a module that share their state and its reason."""
    states = [_state(entry) for published in modules.values() for entry in _entries(published).values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("same", *STATES))
    lines = [
        f"{len(states)} names of 0.6.0: {counts}.",
        "",
        "| module | names | state | how, or why and what instead |",
    ]
    lines += ["| --- | --- | --- | --- |"]
    for module, published in modules.items():
        lines += [f"| {f'`{module}`' if i == 0 else ''} | {row}" for i, row in enumerate(_rows(published))]
    return "\n".join(lines) + "\n"


def page_with(text: str, page: str) -> str:
    """A page with the table between its markers."""
    before, rest = page.split(START)
    return before + START + text + END + rest.split(END)[1]


def _entries(published: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if "removed" in published:
        return {name: {"removed": published["removed"]} for name in published["names"]}
    return dict(published["names"])


def _state(entry: Mapping[str, Any]) -> str:
    return next((state for state in STATES if state in entry), "same")


def _rows(published: Mapping[str, Any]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for name, entry in _entries(published).items():
        state = _state(entry)
        groups.setdefault((state, entry.get(state, "")), []).append(f"`{name}`")
    if published.get("flags"):
        groups.setdefault(("same", ""), []).extend(f"`--{flag}`" for flag in published["flags"])
    if "removed" in published and not groups:
        groups["removed", published["removed"]] = ["(the module)"]
    for (state, reason), names in groups.items():
        yield f"{', '.join(names)} | {state} | {reason} |"


def main() -> None:
    """Write the table between the markers of the page."""
    modules = yaml.safe_load(NAMES.read_text(encoding="utf-8"))
    PAGE.write_text(page_with(table(modules), PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
