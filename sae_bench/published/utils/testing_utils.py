"""Checks of result files and command lines, under their published names."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sae_bench.results.model import BaseEvalOutput

logger = logging.getLogger(__name__)

COMMON_FLAGS = frozenset({"sae_regex_pattern", "sae_block_pattern", "output_folder", "force_rerun"})


def validate_eval_output_format_file(output_path: str | Path, eval_output_type: type[BaseEvalOutput]) -> None:
    """Raise unless the file holds a result of this class (`FileNotFoundError`, `pydantic.ValidationError`)."""
    validate_eval_output_format_str(Path(output_path).read_text(encoding="utf-8"), eval_output_type)


def validate_eval_output_format_str(output_str: str, eval_output_type: type[BaseEvalOutput]) -> None:
    """Raise `pydantic.ValidationError` unless the JSON text is a result of this class."""
    eval_output_type.model_validate_json(output_str)


def validate_eval_cli_interface(
    parser: ArgumentParser,
    eval_config_cls: Any = None,
    additional_required_args: set[str] | None = None,
) -> None:
    """Raise `AssertionError` unless a parser has the common flags, the config's fields and no others, all with help."""
    actions = [action for action in parser._actions if action.dest != "help"]
    flags = {action.dest for action in actions}
    required = COMMON_FLAGS | (additional_required_args or set())
    _check(not required - flags, f"flags are missing: {sorted(required - flags)}")
    if eval_config_cls is not None:
        fields = set(eval_config_cls.__dataclass_fields__)
        fields.add("model_name")
        own = flags - required
        _check(not fields - own, f"settings have no flag: {sorted(fields - own)}")
        _check(not own - fields, f"flags are no settings: {sorted(own - fields)}")
    silent = sorted(action.dest for action in actions if not action.help)
    _check(not silent, f"flags have no help: {silent}")


def compare_dicts_within_tolerance(
    actual: Any,
    expected: Any,
    tolerance: float,
    path: str = "",
    all_diffs: list[float] | None = None,
    ignore_keys: Collection[str] = ("random_seed",),
    keys_to_compare: Collection[str] | None = None,
) -> None:
    """Raise `AssertionError` unless two nested dictionaries have the same keys, and numbers within `tolerance`.

    Args:
        keys_to_compare: compare the values of these keys only.
        all_diffs: filled with the absolute differences of all numbers.
    """
    differences = [] if all_diffs is None else all_diffs
    _compare(actual, expected, path, differences, frozenset(ignore_keys), keys_to_compare)
    if not differences:
        logger.info("no numbers to compare at '%s'", path)
        return
    worst = max(differences)
    logger.info("mean difference %.3g, largest %.3g", sum(differences) / len(differences), worst)
    _check(worst <= tolerance, f"at '{path}' numbers differ by up to {worst:.6g}, {tolerance:g} is allowed")


def _compare(
    actual: Any,
    expected: Any,
    path: str,
    differences: list[float],
    ignored: frozenset[str],
    wanted: Collection[str] | None,
) -> None:
    """Collect absolute differences of numbers in `differences`; anything else has to be equal."""
    if isinstance(expected, Mapping):
        _check(isinstance(actual, Mapping), f"at '{path}': {type(actual).__name__} where a mapping is expected")
        _check(set(actual) == set(expected), f"at '{path}': keys differ in {sorted(set(actual) ^ set(expected))}")
        for key in expected:
            if key not in ignored:
                where = f"{path}.{key}" if path else str(key)
                _compare(actual[key], expected[key], where, differences, ignored, wanted)
        return
    if wanted is not None and path.rpartition(".")[2] not in wanted:
        return
    _check(isinstance(actual, type(expected)), f"at '{path}': {actual!r} and {expected!r} are of different types")
    if isinstance(expected, int | float):
        differences.append(abs(actual - expected))
    else:
        _check(actual == expected, f"at '{path}': {actual!r} is not {expected!r}")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
