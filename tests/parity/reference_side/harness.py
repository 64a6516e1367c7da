"""What the command-line scripts of this folder share: arguments, quiet output, timing, memory, JSON.

Standard library only, so that it can be imported before anything reads the environment.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import logging
import math
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

REFERENCE_VERSION = "0.6.0"
PUBLISHED_RESULTS = "published_results"
"""Folder beside the output, for the result files of the published code."""
PACKAGES = (
    "sae-bench",
    "sae-lens",
    "transformer-lens",
    "transformers",
    "torch",
    "scikit-learn",
    "beartype",
    "jaxtyping",
)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
logger = logging.getLogger("reference_side")


# ---- the environment


def keep_results(folder: Path, out: Path) -> None:
    """Copy the result files that the published code wrote; those of an SAE's first run stay."""
    for file in folder.rglob("*_eval_results.json"):
        eval_name = json.loads(file.read_text())["eval_type_id"]
        kept = out.resolve().parent / PUBLISHED_RESULTS / eval_name / file.name
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)


def start_logging() -> None:
    """Progress of the scripts on the terminal's stderr, whatever is redirected later."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def require_reference() -> None:
    """Make sure that `sae_bench` is the published package, not the one of this repository.

    Raises:
        SystemExit: it is another version, or it would be imported from a source tree.
    """
    try:
        version = metadata.version("sae-bench")
    except metadata.PackageNotFoundError:
        raise SystemExit("sae-bench is not installed here; see requirements.txt in this folder.") from None
    place = Path(next(iter(importlib.import_module("sae_bench").__path__)))
    if version != REFERENCE_VERSION or "site-packages" not in place.parts:
        raise SystemExit(
            f"these scripts need the published sae-bench=={REFERENCE_VERSION}; found {version} in {place}. "
            "Run them with the reference's own Python and without PYTHONPATH."
        )


def reference(module: str) -> Any:
    """A module of the published package, such as `evals.core.main`.

    By name, so that no tool takes the import for one of this repository's own package.
    """
    return importlib.import_module(f"sae_bench.{module}")


def versions() -> dict[str, str | None]:
    """Versions of the packages that decide the numbers."""

    def of(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    return {"python": sys.version.split()[0], **{name: of(name) for name in PACKAGES}}


@contextmanager
def output_to(log_file: Path | None) -> Iterator[None]:
    """Send what the reference writes to stdout and stderr to a file; None leaves it on the terminal."""
    if log_file is None:
        yield
        return
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", buffering=1) as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield


# ---- arguments


def base_parser(description: str) -> argparse.ArgumentParser:
    """Arguments that every script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder of the language model")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--dtype", default="float32", help="dtype of the language model and the SAEs")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--threads", type=int, help="torch threads; not given: torch's own choice")
    parser.add_argument("--n-ctx", type=int, help="shorter positions: smaller attention masks, same values")
    parser.add_argument("--verbose", action="store_true", help="leave the reference's own output on the terminal")
    return parser


def add_sae_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scripts that evaluate SAEs."""
    parser.add_argument("--sae-dir", type=Path, required=True, help="folder with <name>.safetensors and <name>.json")
    parser.add_argument("--saes", type=names, help="comma-separated names, in this order; not given: all")
    parser.add_argument("--meta", type=Path, required=True, help="meta.json: pad_id, bos_id, eos_id, context_length")
    parser.add_argument("--check-logits", action="store_true", help="compare the logits with transformers' own first")


def names(text: str) -> list[str]:
    """`a,b` -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]


def integers(text: str) -> list[int]:
    """`42,43` -> [42, 43]."""
    return [int(part) for part in names(text)]


# ---- measuring


def peak_rss_mb() -> float:
    """Highest resident memory of this process so far, in MB of 2^20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


class Stopwatch:
    """Wall and CPU seconds by phase; CPU seconds say how much of the wall time other processes took.

    `attach` times a function of a module wherever that module calls it by name.
    """

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def attach(self, module: Any, name: str, phase: str | Callable[[], str]) -> None:
        """Replace `module.name` by a version that adds its time to `phase` and changes nothing else."""
        function = getattr(module, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.measure(phase() if callable(phase) else phase):
                return function(*args, **kwargs)

        setattr(module, name, timed)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time of the block to `phase`."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[phase] = self.wall.get(phase, 0.0) + time.perf_counter() - wall
            self.cpu[phase] = self.cpu.get(phase, 0.0) + time.process_time() - cpu

    def take(self) -> dict[str, dict[str, float]]:
        """`seconds` and `cpu_seconds` by phase so far; and start again from zero."""
        taken = {"seconds": self.wall, "cpu_seconds": self.cpu}
        self.wall, self.cpu = {}, {}
        return {kind: {phase: round(value, 3) for phase, value in of.items()} for kind, of in taken.items()}


# ---- JSON


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write atomically; NaN and infinities become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # tensors, numpy arrays and numpy scalars
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
