"""What tests of the runner look at: how often the model ran, and which files there have to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import RunPlan

Plan = Callable[..., RunPlan]
EVALS = ("core", "sparse_probing")


@contextmanager
def counted_forwards(lm: LanguageModel) -> Iterator[list[int]]:
    calls: list[int] = []
    hook = lm.embedding.register_forward_hook(lambda *_: calls.append(1))
    try:
        yield calls
    finally:
        hook.remove()


def names(*saes: str, evals: Sequence[str] = EVALS) -> set[str]:
    """Results of all evals, and the samples beside them."""
    results = {f"{e}/tiny_{sae}_eval_results.json" for e in evals for sae in saes}
    samples = {f"{e}/samples/tiny_{sae}.safetensors" for e in evals for sae in saes}
    return results | samples | set(evals) | ({f"{e}/samples" for e in evals} if saes else set())
