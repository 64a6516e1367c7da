"""The report: results as one HTML page that needs no network, and as figures for papers. It reads only results.

The package can be called, as `sae_bench.report(results, output)`: it writes the page (`write.write_report`).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from sae_bench.report.write import write_report

        return write_report(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
