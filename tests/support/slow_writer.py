"""`python slow_writer.py run ...`: `sae-bench` whose writes take their time, so that a test can stop it during one."""

from __future__ import annotations

import os
import time

fsync = os.fsync


def slow_fsync(file: int) -> None:
    """The file is there under its temporary name for a while."""
    time.sleep(0.3)
    fsync(file)


if __name__ == "__main__":
    from sae_bench.cli import main

    os.fsync = slow_fsync
    main()
