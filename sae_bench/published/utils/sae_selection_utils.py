"""Which pretrained SAEs there are, chosen by regular expressions, under their published names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from sae_bench.custom_saes.loaders.sae_lens import pretrained_directory
from sae_bench.custom_saes.spec import compile_pattern, resolve_spec
from sae_bench.errors import PrerequisiteError, UnknownNameError, UsageError
from sae_bench.published.entry_points import EMBEDDED_RELEASE

logger = logging.getLogger(__name__)


def get_pretrained_saes_directory() -> dict[str, Any]:
    """SAELens' list: release -> record with `model`, `repo_id`, `saes_map`; `PrerequisiteError` without SAELens."""
    return pretrained_directory()


Expected = float | int | None
"""What SAELens says to expect; None where it says nothing."""


def all_loadable_saes() -> list[tuple[str, str, Expected, Expected]]:
    """(release, id, expected explained variance, expected L0) of every SAE in SAELens' list."""
    return [
        (release, sae_id, record.expected_var_explained.get(sae_id), record.expected_l0.get(sae_id))
        for release, record in get_pretrained_saes_directory().items()
        for sae_id in record.saes_map
    ]


def get_saes_from_regex(sae_regex_pattern: str, sae_id_pattern: str) -> list[tuple[str, str]]:
    """(release, id) of all SAEs whose release and id match as a whole; those of this package count as `embedded`.

    Raises:
        UsageError: a pattern is no regular expression.
        PrerequisiteError: SAELens is not installed, and the pattern does not name the embedded SAEs.
    """
    release_pattern, id_pattern = compile_pattern(sae_regex_pattern), compile_pattern(sae_id_pattern)
    known: list[tuple[str, str]] = []
    if release_pattern.fullmatch(EMBEDDED_RELEASE):
        known += [(handle.release, handle.sae_id) for handle in resolve_spec(f"{EMBEDDED_RELEASE}:.*")]
    try:
        known += [(release, sae_id) for release, sae_id, _, _ in all_loadable_saes()]
    except PrerequisiteError:
        if not known:
            raise
    return [pair for pair in known if release_pattern.fullmatch(pair[0]) and id_pattern.fullmatch(pair[1])]


def select_saes_multiple_patterns(
    sae_regex_patterns: Sequence[str], sae_block_patterns: Sequence[str]
) -> list[tuple[str, str]]:
    """(release, id) of the SAEs that each pair of patterns matches, pair after pair.

    Raises:
        UsageError: the lists differ in length, or nothing matches.
    """
    if len(sae_regex_patterns) != len(sae_block_patterns):
        raise UsageError(
            f"patterns come in pairs; got {len(sae_regex_patterns)} for releases and {len(sae_block_patterns)} for ids."
        )
    pairs = zip(sae_regex_patterns, sae_block_patterns, strict=True)
    selected = [sae for release, block in pairs for sae in get_saes_from_regex(release, block)]
    if not selected:
        raise UsageError(f"no SAE matches {list(sae_regex_patterns)} with {list(sae_block_patterns)}.")
    logger.info("selected %d SAEs of %s", len(selected), ", ".join(sorted({release for release, _ in selected})))
    return selected


def print_all_sae_releases() -> None:
    """A table of SAELens' releases, sorted by model, on standard output."""
    _show(("model", "release", "repo_id", "n_saes"), _metadata_rows())


def print_release_details(release_name: str) -> None:
    """A table of what SAELens knows of one release, on standard output. Raises `UnknownNameError` for another name."""
    directory = get_pretrained_saes_directory()
    if release_name not in directory:
        raise UnknownNameError("SAELens release", release_name, directory)
    _show(("Field", "Value"), [(key, _brief(value)) for key, value in vars(directory[release_name]).items()])


def __getattr__(name: str) -> Any:
    """`metadata_rows`, made when it is asked for and not on import."""
    if name == "metadata_rows":
        return [list(row) for row in _metadata_rows()]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _metadata_rows() -> list[tuple[str, str, str, int]]:
    records = get_pretrained_saes_directory().values()
    return sorted(((r.model, r.release, r.repo_id, len(r.saes_map)) for r in records), key=lambda row: row[0])


def _brief(value: Any) -> str:
    """A dictionary by its first entry."""
    if isinstance(value, dict) and len(value) > 1:
        first = next(iter(value.items()))
        return f"{{{first[0]!r}: {first[1]!r}, ...}}"
    return repr(value)


def _show(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as wide as it has to be: what it shows is there to be copied."""
    table = Table(box=SIMPLE)
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = Console(width=10_000)
    console.width = Measurement.get(console, console.options, table).maximum
    console.print(table)
