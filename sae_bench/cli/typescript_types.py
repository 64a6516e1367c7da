"""TypeScript types of result files, made from their JSON Schemas by json-schema-to-typescript (a Node.js tool).

The head of every file holds a digest of the schema that it was made from, so that its age shows without Node.js.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sae_bench
from sae_bench.atomic import write_text_atomically
from sae_bench.errors import PrerequisiteError

FOLDER = Path(sae_bench.__file__).parent / "evals_outputs_typescript_types"
TOOL = "json-schema-to-typescript@16.0.0"
_DIGEST = re.compile(r"schema sha256 ([0-9a-f]{64})")


def types_path(schema_name: str) -> Path:
    """Where the types of a schema are kept."""
    return FOLDER / f"{schema_name}.d.ts"


def digest(schema: Mapping[str, Any]) -> str:
    """SHA-256 of a schema, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def recorded_digest(path: Path) -> str | None:
    """The digest at the head of a file of types; None if it has none."""
    match = _DIGEST.search(path.read_text(encoding="utf-8")[:1000])
    return match[1] if match else None


def generate(schemas: Mapping[str, Mapping[str, Any]], folder: Path, *, offline: bool = False) -> list[Path]:
    """Write `<name>.d.ts` for every schema.

    Args:
        schemas: name -> schema.
        offline: use the tool only if it has been fetched before.
    Raises:
        PrerequisiteError: there is no Node.js, or the tool cannot be fetched or fails.
    """
    with TemporaryDirectory() as work:
        for name, schema in schemas.items():
            (Path(work) / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")
        _run_tool(Path(work), offline=offline)
        made = {name: (Path(work) / "types" / f"{name}.d.ts").read_text(encoding="utf-8") for name in schemas}
    paths = []
    for name, schema in schemas.items():
        made_of = f"{name}.json, schema sha256 {digest(schema)}"
        head = f"/* eslint-disable */\n/* Made by json-schema-to-typescript; do not edit.\n   {made_of} */\n"
        path = folder / f"{name}.d.ts"
        write_text_atomically(path, head + made[name])
        paths.append(path)
    return paths


def _run_tool(folder: Path, *, offline: bool) -> None:
    """Turn every `*.json` of a folder into `types/*.d.ts`."""
    npx = shutil.which("npx")
    if npx is None:
        raise PrerequisiteError(
            "TypeScript types are made by a Node.js tool and there is no 'npx'. Next: install Node.js 18 or newer, or "
            "leave out --typescript."
        )
    command = [npx, "--yes", *(["--offline"] if offline else []), TOOL, "-i", "*.json", "-o", "types"]
    done = subprocess.run([*command, "--bannerComment", ""], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (folder / "types").is_dir():
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise PrerequisiteError(f"{TOOL} failed: {said[-1]} Next: run '{npx} {TOOL} --help' to see whether npm works.")
