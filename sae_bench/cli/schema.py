"""`sae-bench schema`: what a result file looks like, for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sae_bench.cli.values import FOLDER

EXAMPLES = """\b
Examples:
  sae-bench schema core
  sae-bench schema --out schemas --typescript
"""


@click.command(epilog=EXAMPLES)
@click.argument("evals", nargs=-1)
@click.option(
    "--out",
    type=FOLDER,
    help="Write eval_output_schema_<eval>.json files into this folder instead of printing.",
)
@click.option("--typescript", is_flag=True, help="Write TypeScript types beside them (needs --out, and Node.js).")
def schema(evals: tuple[str, ...], out: Path | None, typescript: bool) -> None:
    """JSON Schema of the result files of EVALS (all by default).

    One eval prints its schema, several an object: eval -> schema.
    """
    from sae_bench.cli.json_schemas import output_schema, schema_name, write_schema
    from sae_bench.cli.typescript_types import generate
    from sae_bench.errors import UsageError
    from sae_bench.run.planning import choose_evals

    specs = choose_evals(evals or ("all",))
    if out is None:
        if typescript:
            raise UsageError("--typescript writes files. Next: name a folder, e.g. --out schemas.")
        by_eval = {spec.name: output_schema(spec.output) for spec in specs}
        click.echo(json.dumps(by_eval[specs[0].name] if len(specs) == 1 else by_eval, indent=2, ensure_ascii=False))
        return
    schemas = {schema_name(spec): output_schema(spec.output) for spec in specs}
    for name, content in schemas.items():
        write_schema(content, out / f"{name}.json")
        click.echo(out / f"{name}.json")
    if typescript:
        for path in generate(schemas, out):
            click.echo(path)
