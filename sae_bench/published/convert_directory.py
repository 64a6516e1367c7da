"""Core results of the oldest published form: `python -m sae_bench.evals.core.convert_directory FOLDER`.

There the details are one row of lists, field -> one value per latent; here they are one row per latent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sae_bench.atomic import write_text_atomically
from sae_bench.errors import IncompleteRunError, ResultError, UsageError
from sae_bench.results.files import read_result

OUTPUT_FOLDER = "converted_outputs"
DECIMALS = 10


def convert_feature_metrics(flattened_feature_metrics: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """One row per latent, with its `index`, from one list per field; numbers are rounded as in published results.

    Raises:
        ResultError: the lists differ in length.
    """
    lengths = {len(values) for values in flattened_feature_metrics.values()}
    if len(lengths) > 1:
        raise ResultError(f"lists of one value per latent have {len(lengths)} different lengths: {sorted(lengths)}.")
    columns = sorted(flattened_feature_metrics)
    return [
        {"index": i, **{name: round(flattened_feature_metrics[name][i], DECIMALS) for name in columns}}
        for i in range(max(lengths, default=0))
    ]


def convert(content: Mapping[str, Any]) -> dict[str, Any]:
    """An old result in the form of today's; one that has it already stays as it is.

    Raises:
        ResultError: the details have neither form.
    """
    details = content.get("eval_result_details")
    if not isinstance(details, list):
        raise ResultError(f"eval_result_details is a {type(details).__name__}, a list is expected.")
    if len(details) != 1 or "index" in details[0]:
        return dict(content)
    return {**content, "eval_result_details": convert_feature_metrics(details[0])}


def convert_directory(folder: str | Path) -> list[Path]:
    """Convert every result of a folder into `<folder>/converted_outputs`; returns the new files.

    Raises:
        UsageError: the folder has no JSON file.
        IncompleteRunError: some files are no core results; the others are converted.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise UsageError(f"'{folder}' holds no JSON file.")
    made, failed = [], []
    for path in paths:
        try:
            converted = convert(read_result(path))
        except ResultError as error:
            failed.append(f"{path.name}: {error}")
            continue
        made.append(path.parent / OUTPUT_FOLDER / path.name)
        write_text_atomically(made[-1], json.dumps(converted, indent=2))
    if failed:
        raise IncompleteRunError(f"{len(failed)} of {len(paths)} files were not converted. {'; '.join(failed)}")
    return made


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def command(folder: Path) -> None:
    """Convert the core results of FOLDER into FOLDER/converted_outputs."""
    for path in convert_directory(folder):
        click.echo(path)
