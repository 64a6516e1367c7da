"""Result files: where they are, whether one is already there, and writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sae_bench.errors import ResultError
from sae_bench.evals.base_eval_output import BaseEvalConfig, BaseEvalOutput
from sae_bench.results.atomic import write_text_atomically


def result_path(output_folder: str | Path, eval_name: str, release: str, sae_id: str) -> Path:
    """`<output-folder>/<eval>/<release>_<id>_eval_results.json`, with '/' written as '_'."""
    return Path(output_folder) / eval_name / _file_name(release, sae_id, "_eval_results.json")


def failure_path(output_folder: str | Path, eval_name: str, release: str, sae_id: str) -> Path:
    """Where the traceback of a failed (SAE, eval) goes."""
    return Path(output_folder) / eval_name / "failed" / _file_name(release, sae_id, ".txt")


def is_done(path: Path, config: BaseEvalConfig, seeds: list[int]) -> bool:
    """Whether `path` holds a result made with these very settings.

    Raises:
        ResultError: the file holds a result of other settings, or is no result: overwriting it would lose something.
    """
    if not path.exists():
        return False
    found = read_result(path)
    wanted = config.model_dump(mode="json")
    differing = _differing_settings(found.get("eval_config") or {}, wanted)
    found_seeds = (found.get("provenance") or {}).get("seeds")
    if found_seeds is not None and found_seeds != seeds:
        differing.append(f"seeds: {found_seeds} there, {seeds} asked for")
    if differing:
        raise ResultError(
            f"'{path}' was made with other settings ({'; '.join(differing[:4])}). "
            "Next: --force-rerun to replace it, or another --output-folder to keep both."
        )
    return True


def read_result(path: Path) -> dict[str, Any]:
    """The JSON of a result file.

    Raises:
        ResultError: the file is cut off, not JSON, or no result.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ResultError(
            f"'{path}' is not a readable result ({error}). Next: move it away, or --force-rerun to replace it."
        ) from error
    if not isinstance(content, dict) or "eval_result_metrics" not in content:
        raise ResultError(f"'{path}' is no result file: it has no 'eval_result_metrics'. Next: move it away.")
    return content


def write_result(path: Path, output: BaseEvalOutput) -> None:
    """Write one result whole or not at all."""
    write_text_atomically(path, output.to_json())


def _file_name(release: str, sae_id: str, ending: str) -> str:
    return f"{release}_{sae_id}{ending}".replace("/", "_")


def _differing_settings(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    keys = sorted(k for k in wanted if k in found and found[k] != wanted[k])
    return [f"{k}: {found[k]!r} there, {wanted[k]!r} asked for" for k in keys]
