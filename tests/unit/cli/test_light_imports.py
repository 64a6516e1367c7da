"""What only prints a text loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "scipy", "sklearn", "pandas")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["compare", "--help"],
        ["list", "--help"],
        ["list", "models"],
        ["list", "evals"],
        ["list", "datasets"],
        ["list", "saes", "embedded|baseline"],
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]):
    code = (
        "import sys; from sae_bench.cli import cli; "
        f"cli({arguments!r}, standalone_mode=False); "
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_the_package_loads_nothing_heavy():
    code = f"import sae_bench, sys; print([name for name in {(*HEAVY, 'pydantic')!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["list", "models"], ["schema", "core"]])
def test_a_reader_that_has_seen_enough_gets_no_traceback(arguments: list[str]):
    """As in `sae-bench list models | head -1`."""
    command = [sys.executable, "-m", "sae_bench.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=180) <= 1
