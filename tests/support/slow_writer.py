"""`python slow_writer.py run ...`: `sae-bench` whose writes take their time, so that a test can stop it during one."""

from __future__ import annotations

import time
from pathlib import Path

write_text = Path.write_text


def slow_write_text(self: Path, data: str, encoding: str | None = None) -> int:
    with self.open("w", encoding=encoding) as file:
        file.write(data[: len(data) // 2])
        file.flush()
        time.sleep(0.3)
        file.write(data[len(data) // 2 :])
    return len(data)


if __name__ == "__main__":
    from sae_bench.cli import main

    Path.write_text = slow_write_text  # type: ignore[method-assign]
    main()
