"""JSON Schema of every eval's result, kept beside the eval: `python -m sae_bench.evals.generate_json_schemas`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import click

from sae_bench.atomic import write_text_atomically
from sae_bench.cli import typescript_types
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results.model import BaseEvalOutput

Schema = dict[str, Any]

COMMAND = "make schemas"
"""Makes again what is checked in."""


def output_schema(eval_output: type[BaseEvalOutput]) -> Schema:
    """The JSON Schema (draft 2020-12) that results of this class validate against."""
    return eval_output.model_json_schema()


def schema_name(spec: EvalSpec) -> str:
    """Name of an eval's schema without its ending, such as `eval_output_schema_core`."""
    return f"eval_output_schema_{spec.type_id}"


def schema_path(spec: EvalSpec) -> Path:
    """Where the schema of an eval is kept: beside the module of its output class."""
    return Path(inspect.getfile(spec.output)).with_name(f"{schema_name(spec)}.json")


def registered_specs() -> list[EvalSpec]:
    """The specs of all evals, in the order of the registry."""
    return [get_eval(name) for name in eval_names()]


def generate_json_schema(eval_output: type[BaseEvalOutput], output_file: str | Path) -> None:
    """Write the schema of one output class."""
    write_schema(output_schema(eval_output), Path(output_file))


def write_schema(schema: Schema, path: Path) -> None:
    """Write a schema whole or not at all."""
    write_text_atomically(path, json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


def stale(specs: list[EvalSpec]) -> list[str]:
    """What is missing or no longer true of the schemas and types of these evals, one line each."""
    problems = []
    for spec in specs:
        schema, path = output_schema(spec.output), schema_path(spec)
        if not path.is_file():
            problems.append(f"'{spec.name}' has no schema ({path.name})")
        elif json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(schema)):
            problems.append(f"{path.name} is older than the output class or the config of '{spec.name}'")
        types = typescript_types.types_path(schema_name(spec))
        if not types.is_file():
            problems.append(f"'{spec.name}' has no TypeScript types ({types.name})")
        elif typescript_types.recorded_digest(types) != typescript_types.digest(schema):
            problems.append(f"{types.name} is older than the schema of '{spec.name}'")
    return problems


def main() -> list[Path]:
    """Write the schema of every registered eval beside it; returns the files."""
    specs = registered_specs()
    for spec in specs:
        generate_json_schema(spec.output, schema_path(spec))
    return [schema_path(spec) for spec in specs]


@click.command(epilog="\b\nExample:\n  python -m sae_bench.evals.generate_json_schemas --typescript")
@click.option("--typescript", is_flag=True, help="Make the TypeScript types too (needs Node.js).")
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if something is out of date.")
def command(typescript: bool, check: bool) -> None:
    """Make the JSON Schema of every registered eval again, beside the eval."""
    if check:
        problems = stale(registered_specs())
        if problems:
            click.echo("\n".join([*problems, f"Next: {COMMAND}"]))
            raise SystemExit(1)
        return
    made = main()
    if typescript:
        schemas = {schema_name(spec): output_schema(spec.output) for spec in registered_specs()}
        made += typescript_types.generate(schemas, typescript_types.FOLDER)
    for path in made:
        click.echo(path)
