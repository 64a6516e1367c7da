"""SAEs that kill processes while they encode: what a test of clusters needs to be sure of the moment.

A trap is a file in the folder that SAE_TRAPS names; without it the SAE is like any other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sae_bench.atomic import write_text_atomically
from sae_bench.run.plan import RunSummary
from sae_bench.testing.tiny_models import tiny_sae

FOLDER = "SAE_TRAPS"


def _sprung(name: str, *, once: bool) -> bool:
    path = Path(os.environ.get(FOLDER, "/nowhere")) / name
    if not path.exists():
        return False
    if once:
        path.unlink()
    return True


class Trap:
    def encode(self, x: Tensor) -> Tensor:
        trap = self.trap  # type: ignore[attr-defined]
        if trap == "slow" and _sprung("slow", once=False):
            time.sleep(1.0)
        while trap == "stuck" and _sprung("stuck", once=False):
            time.sleep(0.05)
        if trap == "worker" and _sprung("worker", once=True):
            os.kill(os.getpid(), signal.SIGKILL)
        if trap == "always" and _sprung("always", once=False):
            os.kill(os.getpid(), signal.SIGKILL)
        if trap == "node" and _sprung("node", once=True):
            os.kill(os.getppid(), signal.SIGKILL)  # the raylet that has started this worker
            time.sleep(600)
        return super().encode(x)  # type: ignore[misc]


def _trapped(name: str, seed: int) -> tuple[str, Any]:
    sae = tiny_sae("relu", seed=seed)
    sae.__class__ = type("Trapped", (Trap, type(sae)), {})
    sae.trap = name
    return name, sae


def lethal() -> list[tuple[str, Any]]:
    """One that kills its worker whenever it encodes, and one that never does."""
    return [_trapped("always", 20), _trapped("harmless", 21)]


def once() -> list[tuple[str, Any]]:
    """One that kills its worker, and one that is slow."""
    return [_trapped("worker", 22), _trapped("slow", 23)]


def of_node() -> list[tuple[str, Any]]:
    """Slow ones, and one that kills the node of its worker."""
    return [_trapped("slow", 24), _trapped("node", 25)]


def stuck() -> list[tuple[str, Any]]:
    """One that is not done before its trap is taken away."""
    return [_trapped("stuck", 26)]


def tight(request: Any, members: Sequence[int], held: Any, listener: Any) -> RunSummary:
    """Work that has memory for one SAE at a time, and for the third of a request not even for that."""
    if len(members) > 1 or 2 in members:
        raise MemoryError("no room")
    path = request.output_folder / "core" / f"r_{members[0]}_eval_results.json"
    write_text_atomically(path, "{}")
    return RunSummary(written=[path])
