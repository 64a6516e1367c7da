"""SAE Bench: a benchmark suite for sparse autoencoders on language models.

    import sae_bench

    run = sae_bench.evaluate("embedded", "embedded:.*", ["core"], preset="quick", output_folder="results")
    table = sae_bench.load_results("results")

Names are imported when they are first used: `import sae_bench` alone loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sae_bench.version import VERSION as __version__

if TYPE_CHECKING:
    from sae_bench.analysis.comparison import compare as compare
    from sae_bench.analysis.comparison import rank as rank
    from sae_bench.analysis.table import results_frame as load_results
    from sae_bench.analysis.validity import validate as validate
    from sae_bench.language_models.load import load_language_model as load_model
    from sae_bench.report.write import write_report as report
    from sae_bench.run.evaluate import evaluate as evaluate
    from sae_bench.run.objects import load_saes as load_saes

__all__ = [
    "__version__",
    "compare",
    "evaluate",
    "load_model",
    "load_results",
    "load_saes",
    "rank",
    "report",
    "validate",
]

_HOMES = {
    "compare": "sae_bench.analysis.comparison:compare",
    "evaluate": "sae_bench.run.evaluate:evaluate",
    "load_model": "sae_bench.language_models.load:load_language_model",
    "load_results": "sae_bench.analysis.table:results_frame",
    "load_saes": "sae_bench.run.objects:load_saes",
    "rank": "sae_bench.analysis.comparison:rank",
    "validate": "sae_bench.analysis.validity:validate",
}
"""Name -> where it is; `report` is the subpackage of that name, which can be called."""


def __getattr__(name: str) -> Any:
    if name == "report":
        return importlib.import_module("sae_bench.report")
    if name not in _HOMES:
        raise AttributeError(f"module 'sae_bench' has no attribute '{name}'")
    module, attribute = _HOMES[name].split(":")
    globals()[name] = value = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
