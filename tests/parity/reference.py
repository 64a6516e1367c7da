"""The published package in a virtual environment of its own: make it, run its side, read what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIDE = HERE / "reference_side"
TORCH = "torch==2.13.0"
"""Installed first and on its own, so that both sides compute with the same build."""


def reference_python() -> Path:
    """The interpreter of the published package's environment, made when it is missing.

    SAE_BENCH_REFERENCE_PYTHON names one that exists already.
    """
    given = os.environ.get("SAE_BENCH_REFERENCE_PYTHON")
    if given:
        return Path(given)
    folder = ROOT / ".venv-parity"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, TORCH], check=True)
        subprocess.run([*pip, "--no-deps", "-r", str(SIDE / "requirements.txt")], check=True)
        (folder / "complete").touch()
    return python


def run_reference(script: str, *arguments: object) -> None:
    """Run one script of the reference's side in its own environment, offline."""
    _run(reference_python(), SIDE / script, arguments, without=("PYTHONPATH",))  # it would lead to this package


def run_ours(*arguments: object) -> None:
    """Run one command of our side in this environment, offline."""
    _run(Path(sys.executable), HERE / "our_side.py", arguments)


def read(path: Path) -> Any:
    """The JSON in a file."""
    return json.loads(path.read_text())


def _run(python: Path, script: Path, arguments: tuple[object, ...], *, without: Sequence[str] = ()) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    environment = {**inherited, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    subprocess.run([str(python), str(script), *map(str, arguments)], check=True, env=environment)
